/* What a program has of a lock: grants, and attempts to get one. They may outlive the cluster handle, and any thread
 * may use them, while the lock recipe (lock.c) runs on the dispatcher. */
#ifndef OZ_GRANT_H
#define OZ_GRANT_H

#include "base/list.h"
#include "session/session.h"

#include <odezk/lock.h>
#include <pthread.h>

/* What all grants of a handle share. Its mutex also guards the whole lock recipe, so that the calling thread itself
 * can grant a lock which this process has already. */
struct oz_grants {
    pthread_mutex_t lock;
    pthread_cond_t told; /* a lost callback has returned */
    int refs;
    unsigned forks;
    struct oz_session *session;   /* NULL once closed */
    struct oz_dispatch *dispatch; /* of the recipe */
    struct oz_dispatch *caller;   /* of the user's callbacks */
    odezk_lock *spare;            /* handles to be used again: taking a lock over and over allocates nothing */
    int spares;
};

struct oz_grants *oz_grants_new(struct oz_session *session, struct oz_dispatch *dispatch, struct oz_dispatch *caller);
/* No grant may be valid any more. */
void oz_grants_close(struct oz_grants *grants);
void oz_grants_unref(struct oz_grants *grants);

enum oz_grant_state { OZ_GRANT_VALID, OZ_GRANT_RELEASED, OZ_GRANT_LOST };

struct odezk_lock {
    struct oz_grants *grants;
    int refs; /* under grants->lock: the user's, the entry's, those of messages under way */
    enum oz_grant_state state;
    int64_t token, serial;
    void (*lost)(odezk_lock *lock, void *arg);
    void *lost_arg;
    bool telling;           /* the lost callback is running */
    struct oz_msg lost_msg; /* to the caller */
    /* With the mutex held, if it was not lost before; `now` is 0 when the clock was not read. */
    void (*released)(void *entry, odezk_lock *lock, int64_t now);
    void *entry;          /* NULL when the grant is over for the recipe */
    odezk_lock *next;     /* among the spare ones */
    struct oz_list keyed; /* among the grants that were taken by the same key; under the cluster's lock */
};

/* The recipe's, with the mutex held: a valid grant with two references, the user's and the entry's. NULL when out of
 * memory. */
odezk_lock *oz_grant_new(struct oz_grants *grants, int64_t token, int64_t serial,
                         void (*released)(void *entry, odezk_lock *lock, int64_t now), void *entry);
/* The recipe's, with the mutex held: it is lost, if it was not released meanwhile, and the entry forgets it. */
void oz_grant_lose(odezk_lock *lock);
/* The recipe's, with the mutex held: the entry forgets it. */
void oz_grant_forget(odezk_lock *lock);

/* Keeps the handle's memory, whatever its owner does. Any thread. */
odezk_lock *oz_grant_ref(odezk_lock *lock);
void oz_grant_unref(odezk_lock *lock);

/* ---- attempts ---- */

struct oz_locks;
struct entry;

struct odezk_lock_request {
    struct oz_grants *grants;
    struct oz_list link; /* in its entry's queue; the dispatcher's */
    struct oz_timer timer;
    struct oz_msg msg;        /* first to the dispatcher, then to the caller */
    struct oz_msg cancel_msg; /* to the dispatcher */
    int refs;                 /* under grants->lock */
    bool cancelling;          /* under grants->lock */
    bool done;                /* the dispatcher's */
    bool waiting;             /* the dispatcher's: it is known that another holds the lock */
    struct oz_locks *locks;   /* whose attempt it is */
    struct entry *entry;      /* the dispatcher's */
    char *space, *key;
    int wait_ms;
    /* How it ends: a callback on the caller, or a thread that waits. */
    odezk_lock_cb cb;
    void *arg;
    struct oz_wait *wait;
    int error;
    odezk_lock *lock;
    char why[192];
};

/* A blocked thread. */
struct oz_wait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

odezk_lock_request *oz_request_new(struct oz_grants *grants, const char *space, const char *key, int wait_ms);
void oz_request_unref(odezk_lock_request *request);
/* The recipe's, with the mutex held: ends the attempt, exactly once. The grant, if there is one, goes to the user. */
void oz_request_finish(odezk_lock_request *request, int error, odezk_lock *lock, const char *why);

#endif
