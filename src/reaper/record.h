/* What a handle tells its helper: one struct a message, over a socket that keeps messages apart. Only the newest
 * counts. */
#ifndef OZ_RECORD_H
#define OZ_RECORD_H

#include <stdint.h>

#define OZ_RECORD_VERSION 1

/* Where the helper finds what it was started with. */
enum { OZ_REAPER_SOCKET = 0, OZ_REAPER_PIDFD = 1 };

struct oz_record {
    uint32_t version; /* OZ_RECORD_VERSION: a helper of another release leaves at once */
    int32_t timeout_ms;
    int64_t session; /* 0: there is nothing to do any more */
    char password[16];
    char hosts[4096];  /* numeric addresses, as the C client wants them, chroot included */
    char member[1280]; /* the member znode, "" when there is none */
};

#endif
