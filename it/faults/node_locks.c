/* What the node's threads do under locks, and as master: hold, look, write, give back. */
#include "node.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_MS = 2000 };

#define SPACE "faults"

/* Mostly short, sometimes longer than a session lives without its node. */
static int64_t work_ns(struct worker *w)
{
    unsigned kind = node_dice(&w->dice, 40);

    if (kind == 0)
        return (int64_t)node_dice(&w->dice, (unsigned)node.timeout_ms * 3 / 2) * NS_PER_MS;
    return (int64_t)node_dice(&w->dice, kind < 10 ? 60 : 6) * NS_PER_MS;
}

/* Says yes for as long as the library does. */
static void hold(struct worker *w, const odezk_lock *lock, int key, int64_t asked)
{
    struct claim claim = {.key = key, .token = odezk_lock_token(lock), .asked = asked};
    int64_t end = record_now() + work_ns(w), before, after;
    bool first = true;

    for (;;) {
        before = record_now();
        if (!odezk_lock_is_valid(lock))
            break;
        after = record_now();
        claim.first_before = claim.last_before = before;
        claim.first_after = claim.last_after = after;
        if (first)
            claim_begin(w->claims, &claim);
        else
            claim_again(w->claims, before, after);
        first = false;
        if (after >= end || node.quit)
            break;
        node_nap(NS_PER_MS);
    }
    claim_end(w->claims);
}

/* A znode whose name tells the token: the order in which they were made is the order of the tokens.
 * Without a lock the token is the epoch of the mastership. */
static void write_guarded(struct worker *w, odezk_cluster *cluster, odezk_lock *lock, int key, int64_t token)
{
    char path[128];
    odezk_write item = {.type = ODEZK_WRITE_CREATE, .path = path, .version = ODEZK_ANY_VERSION};
    int rc;

    snprintf(path, sizeof path, ROOT "/written/%d-%lld-%d.%d.%u", key, (long long)token, (int)getpid(), w->caller,
             ++w->writes);
    call_begin(node.record, w->caller, lock ? CALL_WRITE : CALL_MASTER_WRITE, WRITE_MS);
    rc = lock ? odezk_lock_write(cluster, lock, &item, 1, WRITE_MS)
              : odezk_master_write(cluster, token, &item, 1, WRITE_MS);
    call_end(node.record, w->caller);
    if (rc == ODEZK_OK)
        node.record->writes++;
    else if (rc == ODEZK_ELOST)
        node.record->refused_writes++;
    else if (rc != ODEZK_EUNKNOWN && rc != ODEZK_ECLOSED)
        node_count_error(rc);
}

static void release(struct worker *w, odezk_lock *lock)
{
    int rc;

    call_begin(node.record, w->caller, CALL_RELEASE, 0);
    rc = odezk_lock_release(lock);
    call_end(node.record, w->caller);
    if (rc != ODEZK_OK && rc != ODEZK_ELOST)
        node_count_error(rc);
    odezk_lock_free(lock);
}

/* An asynchronous attempt, and what its callback said. */
struct attempt {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int calls, error;
    odezk_lock *grant;
};

static void attempted(int error, odezk_lock *lock, void *arg)
{
    struct attempt *a = arg;

    pthread_mutex_lock(&a->lock);
    a->calls++;
    a->error = error;
    a->grant = lock;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->lock);
}

static bool wait_for(struct attempt *a, int ms)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * NS_PER_MS;
    if (until.tv_nsec >= 1000 * NS_PER_MS) {
        until.tv_sec++;
        until.tv_nsec -= 1000 * NS_PER_MS;
    }
    pthread_mutex_lock(&a->lock);
    while (a->calls == 0 && rc == 0)
        rc = pthread_cond_clockwait(&a->cond, &a->lock, CLOCK_MONOTONIC, &until);
    rc = a->calls;
    pthread_mutex_unlock(&a->lock);
    return rc > 0;
}

/* Often it is cancelled before it ends; its callback has to come all the same. */
static int acquire_async(struct worker *w, odezk_cluster *cluster, const char *key, int wait_ms, odezk_lock **lock)
{
    struct attempt a = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    odezk_lock_request *request = NULL;
    int patience = (int)node_dice(&w->dice, 200);
    int rc = odezk_lock_acquire_async(cluster, SPACE, key, wait_ms, attempted, &a, &request);

    if (rc != ODEZK_OK)
        return rc;
    if (!wait_for(&a, patience)) {
        pthread_mutex_lock(&a.lock);
        if (a.calls == 0) /* the callback has not returned: the request may still be named */
            odezk_lock_cancel(request);
        pthread_mutex_unlock(&a.lock);
    }
    while (!wait_for(&a, 1000))
        ;
    *lock = a.grant;
    return a.error;
}

static int acquire(struct worker *w, odezk_cluster *cluster, const char *key, odezk_lock **lock)
{
    static const int waits[] = {0, 100, 500, 2000};
    int wait_ms = waits[node_dice(&w->dice, 4)];
    bool async = node_dice(&w->dice, 8) == 0;
    int rc;

    call_begin(node.record, w->caller, async ? CALL_ACQUIRE_ASYNC : CALL_ACQUIRE, wait_ms + OPERATION_MS);
    rc = async ? acquire_async(w, cluster, key, wait_ms, lock) : odezk_lock_acquire(cluster, SPACE, key, wait_ms, lock);
    call_end(node.record, w->caller);
    return rc;
}

static bool is_expected(int rc)
{
    return rc == ODEZK_EBUSY || rc == ODEZK_ETIMEDOUT || rc == ODEZK_EUNREACHABLE || rc == ODEZK_ECLOSED ||
           rc == ODEZK_ECANCELED;
}

static void work_once(struct worker *w, odezk_cluster *cluster)
{
    int key = (int)node_dice(&w->dice, KEYS);
    char name[16];
    odezk_lock *lock = NULL;
    int64_t asked = record_now();
    int rc;

    snprintf(name, sizeof name, "key %d", key);
    rc = acquire(w, cluster, name, &lock);
    if (rc != ODEZK_OK) {
        if (!is_expected(rc))
            node_count_error(rc);
        node_nap(5 * NS_PER_MS);
        return;
    }
    node.record->grants++;
    hold(w, lock, key, asked);
    if (node_dice(&w->dice, 16) == 0)
        write_guarded(w, cluster, lock, key, odezk_lock_token(lock));
    release(w, lock);
}

void *node_work(void *arg)
{
    struct worker *w = arg;
    odezk_cluster *cluster;

    while (!node.quit) {
        node.record->working++;
        cluster = node.record->quiet ? NULL : node_enter();
        if (cluster) {
            work_once(w, cluster);
            node_leave();
        }
        node.record->working--;
        node_nap(cluster ? (int64_t)node_dice(&w->dice, 20) * NS_PER_MS : 5 * NS_PER_MS);
    }
    return NULL;
}

/* ---- work as master ---- */

void *node_write_as_master(void *arg)
{
    struct worker *w = arg;
    odezk_cluster *cluster;
    int64_t epoch;

    while (!node.quit) {
        node.record->working++;
        cluster = node.record->quiet ? NULL : node_enter();
        if (cluster) {
            if (odezk_is_master(cluster, &epoch))
                write_guarded(w, cluster, NULL, MASTERSHIP, epoch);
            node_leave();
        }
        node.record->working--;
        node_nap((int64_t)node_dice(&w->dice, 300) * NS_PER_MS);
    }
    return NULL;
}
