/* Locks: an ephemeral znode at the key's own path is the lock. A node that finds it taken waits in a queue beside it:
 * each watches the one before it, and the first one the lock. A released lock that nobody else wants stays with
 * the node ("sticky"): taking it again needs no server. A node that wants it asks through the holder's inbox. */
#ifndef OZ_LOCK_H
#define OZ_LOCK_H

#include "recipe/grant.h"

struct oz_locks;

struct oz_locks_options {
    struct oz_session *session;
    struct oz_grants *grants;
    const char *root;          /* copied */
    const char *owner;         /* what a lock's znode says of its holder; copied */
    int operation_ms;          /* bound on the network part of an attempt */
    int handovers;             /* how often in a row a lock is handed over in this process while others wait */
    int sticky_max;            /* how many released locks are kept, at most; 0: none */
    int sticky_idle_ms;        /* and for how long without being used */
    const char *sticky_spaces; /* "all", or names separated by commas; copied */
    /* Why nothing is granted at the moment, for messages; may be NULL or return NULL. */
    const char *(*trouble)(void *arg);
    void *arg;
};

struct oz_locks *oz_locks_new(const struct oz_locks_options *options);

/* Whether space and key are allowed; otherwise what is wrong with them. Any thread. */
const char *oz_lock_mistake(const char *space, const char *key);

/* Grants a lock that this process has and nobody else wants; NULL when that cannot be done without a server.
 * Any thread. */
odezk_lock *oz_locks_grant_now(struct oz_locks *locks, const char *space, const char *key);

/* Takes over an attempt; it is finished later, never before this returns. */
void oz_locks_acquire(struct oz_locks *locks, odezk_lock_request *request);
void oz_locks_cancel(odezk_lock_request *request);

/* All requests that were there when this session connected last have been passed on. The inbox has the name of the
 * member znode. Without one nothing is sticky. */
void oz_locks_inbox_read(struct oz_locks *locks, const char *member);
void oz_locks_no_inbox(struct oz_locks *locks);
/* Another wants a lock; or, by an operator, ends it: an entry of the inbox. False when the entry is none of these. */
bool oz_locks_asked(struct oz_locks *locks, const char *entry);

/* The names of all locks that somebody in this process has, "space/key" each on a line of its own behind a first empty
 * one, with the key as it is encoded for paths, as it may contain a newline; to be freed. If they are too many, the
 * last line says so. NULL when out of memory. */
#define OZ_REPORT_TRUNCATED "truncated"
char *oz_locks_report(struct oz_locks *locks);

/* The znode that a grant stands for, to be freed; NULL when the grant is over, or out of memory. `certain` is set to
 * whether it can only be ours while it exists: otherwise an operator may have removed it without asking, and another
 * may have made it again. */
char *oz_locks_path(struct oz_locks *locks, const odezk_lock *lock, bool *certain);

/* Ends everything: attempts fail with this error, grants are lost. `why` may be NULL. */
void oz_locks_close(struct oz_locks *locks, int error, const char *why);
/* After the session is closed. */
void oz_locks_free(struct oz_locks *locks);

#endif
