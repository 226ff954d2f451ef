/* Locks: an ephemeral znode at the key's own path is the lock; who finds it taken waits in a queue beside it, where
 * each watches the one before, and the first the lock itself. */
#ifndef OZ_LOCK_H
#define OZ_LOCK_H

#include "recipe/grant.h"

struct oz_locks;

struct oz_locks_options {
    struct oz_session *session;
    struct oz_grants *grants;
    const char *root;  /* copied */
    const char *owner; /* what a lock's znode says of its holder; copied */
    int operation_ms;  /* bound on the network part of an attempt */
    int handovers;     /* how often in a row a lock is handed over in this process while others may wait */
    /* Why nothing is granted at the moment, for messages; may be NULL or return NULL. */
    const char *(*trouble)(void *arg);
    void *arg;
};

struct oz_locks *oz_locks_new(const struct oz_locks_options *options);

/* Whether space and key are allowed; otherwise what is wrong with them. Any thread. */
const char *oz_lock_mistake(const char *space, const char *key);

/* Takes over an attempt; it is finished later, never before this returns. */
void oz_locks_acquire(struct oz_locks *locks, odezk_lock_request *request);
void oz_locks_cancel(odezk_lock_request *request);

/* The znode that a grant stands for; NULL when the grant is over. */
const char *oz_locks_path(const odezk_lock *lock);

/* Ends everything: attempts fail with ODEZK_ECLOSED, grants are lost. */
void oz_locks_close(struct oz_locks *locks);
/* After the session is closed. */
void oz_locks_free(struct oz_locks *locks);

#endif
