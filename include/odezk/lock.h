/* Distributed locks: keyed, fair, fenced. */
#ifndef ODEZK_LOCK_H
#define ODEZK_LOCK_H

#include <odezk/cluster.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The spaces that ODE uses; any other name of 1 to 64 characters of A-Z a-z 0-9 . _ - is a space too. */
#define ODEZK_SPACE_DEPLOYMENT "deployment"
#define ODEZK_SPACE_INSTANCE "instance"

/** The longest key, in bytes of UTF-8. */
#define ODEZK_LOCK_KEY_MAX 512

/**
 * One grant of a lock. It belongs to no thread: any thread may query, release or free it. It ends by
 * odezk_lock_release() or by being lost; odezk_lock_free() frees the memory.
 */
typedef struct odezk_lock odezk_lock;

/** An asynchronous attempt, from odezk_lock_acquire_async() until its callback has run. */
typedef struct odezk_lock_request odezk_lock_request;

/**
 * Takes a lock and waits for it.
 *
 * @param space   the name of the key's space
 * @param key     1 to ODEZK_LOCK_KEY_MAX bytes of UTF-8
 * @param wait_ms how long to wait for another holder, in milliseconds. 0: do not wait for a holder that is using the
 *                lock. A holder that only keeps it sticky is asked for it, which may take up to 250 ms. The network is
 *                not counted: the setting `operation-timeout` bounds it.
 * @param out     set to the grant, to be freed with odezk_lock_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EBUSY (wait_ms was 0 and another holds it); ODEZK_ETIMEDOUT (another held it all the time);
 *         ODEZK_EUNREACHABLE (no server answered within `operation-timeout`); ODEZK_EINCALLBACK; ODEZK_ECLOSED;
 *         ODEZK_EAUTH; ODEZK_ECHROOT; ODEZK_ESERVER; ODEZK_EINVAL; ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * A failed attempt leaves no lock and no place in a queue behind. Locks are not reentrant: a second attempt waits for
 * the first grant's release. Any thread but a callback's; starts the handle if that was not done. Since 0.1.
 */
int odezk_lock_acquire(odezk_cluster *cluster, const char *space, const char *key, int wait_ms, odezk_lock **out);

/**
 * The end of an asynchronous attempt; runs exactly once, on the callback thread.
 *
 * @param error as odezk_lock_acquire() returns it, or ODEZK_ECANCELED; odezk_last_error() says why, inside the callback
 * @param lock  the grant, to be freed by the receiver; NULL when error is not ODEZK_OK
 */
typedef void (*odezk_lock_cb)(int error, odezk_lock *lock, void *arg);

/**
 * Takes a lock and calls back.
 *
 * @param request may be NULL; set to a handle for odezk_lock_cancel(), valid until the callback has returned;
 *                untouched on failure
 * @return ODEZK_OK (the callback will run, exactly once, also if the handle is closed before); ODEZK_EINVAL;
 *         ODEZK_ENOMEM; ODEZK_ECLOSED; ODEZK_EFORKED (in these cases it will not run)
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_lock_acquire_async(odezk_cluster *cluster, const char *space, const char *key, int wait_ms, odezk_lock_cb cb,
                             void *arg, odezk_lock_request **request);

/**
 * Asks a pending attempt to end. Its callback runs all the same, with ODEZK_ECANCELED, or with ODEZK_OK when the
 * grant came first.
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
void odezk_lock_cancel(odezk_lock_request *request);

/**
 * Whether the grant holds at this very moment, answered from the lease without asking the network.
 * False for NULL, after release, after loss, after a fork.
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
bool odezk_lock_is_valid(const odezk_lock *lock);

/**
 * How long the grant holds even if no server answers any more, in whole milliseconds, but at least 1 while it is valid;
 * 0 when it is not. Since 0.1.
 */
int64_t odezk_lock_valid_ms(const odezk_lock *lock);

/**
 * The fencing token: positive, larger than that of every earlier holder. Grants that follow one another in one process
 * while no other had the lock may have the same. Stays readable after the end. 0 for NULL. Since 0.1.
 */
int64_t odezk_lock_token(const odezk_lock *lock);

/**
 * Counts the grants that have the same token, from 1: the pair of token and serial grows strictly from each grant of a
 * lock to the next. Stays readable after the end. 0 for NULL. Since 0.1.
 */
int64_t odezk_lock_serial(const odezk_lock *lock);

/**
 * Calls back once if the grant is lost before it is released: its lease lapsed, its session ended, an operator ended it
 * (odezk_lock_end()), or the handle was closed. The loss of locks is reported before that of the mastership. For a
 * grant that is lost already the callback runs at once.
 *
 * @param cb  runs on the callback thread; NULL removes a callback
 * @return ODEZK_OK; ODEZK_EINVAL; ODEZK_ENOTHELD (it was released); ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_lock_on_lost(odezk_lock *lock, void (*cb)(odezk_lock *lock, void *arg), void *arg);

/**
 * Ends this grant, and only this one. From here on it is not valid, and its lost callback does not run any more
 * (it waits for one that is running, unless called from inside it). The servers are notified without waiting; the
 * delete is repeated until its outcome is certain.
 *
 * @return ODEZK_OK; ODEZK_ELOST (it was lost before); ODEZK_ENOTHELD (it was released before); ODEZK_EINVAL;
 *         ODEZK_EFORKED. Whatever it returns, the grant is over.
 *
 * Any thread, also inside a callback; does not block on the network. Since 0.1.
 */
int odezk_lock_release(odezk_lock *lock);

/** Releases the grant if that was not done, and frees the handle. NULL does nothing. Any thread, any callback.
 * Since 0.1. */
void odezk_lock_free(odezk_lock *lock);

/* ---- by key, for callers that cannot keep a handle ---- */

/**
 * Takes a lock like odezk_lock_acquire(), to be released by its key.
 *
 * @param key NULL does nothing, with ODEZK_OK
 * @return as odezk_lock_acquire()
 *
 * Any thread but a callback's. Since 0.1.
 */
int odezk_lock_acquire_key(odezk_cluster *cluster, const char *space, const char *key, int wait_ms);

/**
 * Releases a lock that odezk_lock_acquire_key() took, from any thread; never one that was taken by handle. After a loss
 * the key may have been taken again before the first caller releases it: then the first call ends the grant that was
 * lost, and the second call the one after it.
 *
 * @param key NULL does nothing, with ODEZK_OK
 * @return as odezk_lock_release(); ODEZK_ENOTHELD also if the key was not taken this way
 *
 * Any thread, also inside a callback; does not block on the network. Since 0.1.
 */
int odezk_lock_release_key(odezk_cluster *cluster, const char *space, const char *key);

/* ---- for operators ---- */

typedef enum odezk_lock_use {
    ODEZK_LOCK_UNKNOWN = 0, /**< the holder cannot be asked, or did not answer */
    ODEZK_LOCK_BUSY = 1,    /**< in use in the holder's process */
    ODEZK_LOCK_STICKY = 2   /**< not in use; the holder gives it up when it is asked */
} odezk_lock_use;

/** A process that waits for a lock. */
typedef struct odezk_lock_waiter {
    const char *node; /**< "" for a client */
    const char *host;
    int64_t pid;
    int64_t since_ms; /**< milliseconds since 1970 by the servers' clock */
} odezk_lock_waiter;

/** A lock as the servers have it. */
typedef struct odezk_lock_info {
    const char *space, *key;
    const char *node; /**< the holder's node id; "" for a client, and when nobody holds it at the moment */
    const char *host; /**< "" when nobody holds it at the moment */
    int64_t pid;
    int64_t since_ms; /**< when the holder's process got it; milliseconds since 1970 by the servers' clock */
    int64_t token;    /**< 0 when nobody holds it at the moment */
    odezk_lock_use use;
    size_t waiter_count;
    const odezk_lock_waiter *waiters; /**< first come first */
} odezk_lock_info;

typedef struct odezk_lock_list {
    size_t count;
    const odezk_lock_info *locks; /**< sorted by space and key */
} odezk_lock_list;

/**
 * Reads who holds which lock and who waits, from the servers.
 *
 * @param space      only this space; NULL means all
 * @param timeout_ms how long it may take, in milliseconds
 * @param out        set to a new list, to be freed with odezk_lock_list_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EUNREACHABLE; ODEZK_ECHROOT; ODEZK_EAUTH; ODEZK_ESERVER; ODEZK_EINCALLBACK; ODEZK_ECLOSED;
 *         ODEZK_EINVAL; ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * Any thread but a callback's. Starts the handle if that was not done. Since 0.1.
 */
int odezk_lock_list_read(odezk_cluster *cluster, const char *space, int timeout_ms, odezk_lock_list **out);

/** Frees a list. NULL does nothing. Since 0.1. */
void odezk_lock_list_free(odezk_lock_list *list);

/**
 * Ends another holder's grant, for emergencies. A holder that answers loses it at once, as if its lease had lapsed. If
 * the holder does not answer, its znode is removed when the session timeout of this handle has passed: its lease is
 * over by then, unless its own session timeout is longer. A holder that is not a member, or joined again since it took
 * the lock, cannot be asked: its znode is removed at once. It watches that and loses the grant a moment later, if it is
 * connected; until then only the fencing token keeps its writes out.
 *
 * @param token      the grant's fencing token: a newer grant is not touched
 * @param timeout_ms how long it may take, in milliseconds; for a holder that does not answer that must be more than the
 *                   session timeout
 * @return ODEZK_OK (it is gone); ODEZK_ENOTFOUND (nobody holds this lock, or under another token); ODEZK_ETIMEDOUT (its
 *         holder was asked, and may still give it up); and as odezk_lock_list_read()
 *
 * Any thread but a callback's. Starts the handle if that was not done. Since 0.1.
 */
int odezk_lock_end(odezk_cluster *cluster, const char *space, const char *key, int64_t token, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
