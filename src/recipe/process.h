/* Which process a member znode speaks of. */
#ifndef OZ_PROCESS_H
#define OZ_PROCESS_H

#include "base/buf.h"

#include <stdint.h>

enum oz_process {
    OZ_PROCESS_SELF,   /* this very handle, in an earlier session of it */
    OZ_PROCESS_OTHER,  /* another living process of this machine */
    OZ_PROCESS_UNKNOWN /* another machine's, or dead, or another handle of this process */
};

/* Adds host, pid and what tells a process from a later one with the same pid. `handle` tells the handles of a
 * process apart. */
void oz_process_describe(struct oz_buf *b, uint64_t handle);

/* Judges the contents of a member znode, for the handle that asks. */
enum oz_process oz_process_look(const char *data, uint64_t handle);

#endif
