/* Which process a member znode speaks of. */
#ifndef OZ_PROCESS_H
#define OZ_PROCESS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum oz_process {
    OZ_PROCESS_SELF,   /* this very handle, in an earlier session of it */
    OZ_PROCESS_OTHER,  /* another process of this machine, which is not about to end */
    OZ_PROCESS_UNKNOWN /* another machine's or container's, or dead or dying, or another handle of this process */
};

/* Adds host, pid and what tells a process from a later one with the same pid. `handle` tells the handles of a
 * process apart. */
void oz_process_describe(struct oz_buf *b, uint64_t handle);

/* Judges the contents of a member znode, for the handle that asks. */
enum oz_process oz_process_look(const char *data, uint64_t handle);

/* Whether a process is dead, or certain to be so soon, by its /proc/PID/stat and status: a killed one may take seconds
 * to free its memory, or minutes to write it to a file. */
bool oz_process_ends(const char *stat, const char *status);

#endif
