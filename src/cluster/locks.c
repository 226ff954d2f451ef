/* Taking locks through a cluster handle. */
#include "cluster/cluster.h"

#include "base/error.h"
#include "base/fork.h"
#include "base/mem.h"

#include <string.h>

static int check_wait(int wait_ms)
{
    return wait_ms < 0 ? oz_fail(ODEZK_EINVAL, "wait_ms is %d; 0 or more is allowed", wait_ms) : ODEZK_OK;
}

static void arrived(struct oz_msg *msg)
{
    odezk_lock_request *request = oz_container(msg, odezk_lock_request, msg);

    oz_locks_acquire(request->locks, request);
}

static void begin(odezk_cluster *cluster, odezk_lock_request *request)
{
    request->locks = cluster->locks;
    request->msg.run = arrived;
    oz_dispatch_post(cluster->dispatch, &request->msg);
}

static void await(struct oz_wait *wait)
{
    pthread_mutex_lock(&wait->lock);
    while (!wait->done) /* bounded by the timers of the attempt */
        pthread_cond_wait(&wait->cond, &wait->lock);
    pthread_mutex_unlock(&wait->lock);
}

static int acquire(odezk_cluster *cluster, const char *space, const char *key, int wait_ms, odezk_lock **out)
{
    struct oz_wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    odezk_lock_request *request;
    int rc = oz_check_lock(space, key);

    if (rc != ODEZK_OK)
        return rc;
    request = oz_request_new(cluster->grants, space, key, wait_ms);
    if (!request)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    request->wait = &wait;
    rc = oz_cluster_start(cluster);
    if (rc == ODEZK_OK) {
        begin(cluster, request);
        await(&wait);
        rc = request->error ? oz_fail(request->error, "lock %s/%s: %s", space, key, request->why) : ODEZK_OK;
        if (rc == ODEZK_OK)
            *out = request->lock;
    }
    oz_request_unref(request);
    return rc;
}

int odezk_lock_acquire(odezk_cluster *cluster, const char *space, const char *key, int wait_ms, odezk_lock **out)
{
    odezk_lock *grant;
    int rc = oz_cluster_check_blocking(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_out(out);
    if (rc == ODEZK_OK)
        rc = check_wait(wait_ms);
    if (rc != ODEZK_OK)
        return rc;
    /* Needs no check of the names: we have only locks with valid ones. */
    grant = space && key ? oz_locks_grant_now(cluster->locks, space, key) : NULL;
    if (!grant)
        return acquire(cluster, space, key, wait_ms, out);
    *out = grant;
    return ODEZK_OK;
}

int odezk_lock_acquire_async(odezk_cluster *cluster, const char *space, const char *key, int wait_ms, odezk_lock_cb cb,
                             void *arg, odezk_lock_request **out)
{
    odezk_lock_request *request;
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        rc = cb ? check_wait(wait_ms) : oz_fail(ODEZK_EINVAL, "the callback is NULL");
    if (rc == ODEZK_OK)
        rc = oz_check_lock(space, key);
    if (rc != ODEZK_OK)
        return rc;
    request = oz_request_new(cluster->grants, space, key, wait_ms);
    if (!request)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    request->cb = cb;
    request->arg = arg;
    rc = oz_cluster_start(cluster);
    if (rc != ODEZK_OK) {
        oz_request_unref(request);
        return rc;
    }
    /* From the moment it is published another thread may cancel it. With this mutex held that cannot be posted before
     * the attempt itself, which needs the message and would not be there yet. */
    pthread_mutex_lock(&cluster->grants->lock);
    if (out)
        *out = request; /* before it can end */
    begin(cluster, request);
    pthread_mutex_unlock(&cluster->grants->lock);
    return ODEZK_OK;
}

static void cancel_arrived(struct oz_msg *msg)
{
    odezk_lock_request *request = oz_container(msg, odezk_lock_request, cancel_msg);

    oz_locks_cancel(request);
    oz_request_unref(request);
}

void odezk_lock_cancel(odezk_lock_request *request)
{
    struct oz_grants *grants = request ? request->grants : NULL;

    if (!request || grants->forks != oz_fork_count())
        return; /* in a child the mutex may stay locked for ever */
    pthread_mutex_lock(&grants->lock);
    if (!request->cancelling && grants->session) {
        request->cancelling = true;
        request->refs++;
        request->cancel_msg.run = cancel_arrived;
        oz_dispatch_post(grants->dispatch, &request->cancel_msg);
    }
    pthread_mutex_unlock(&grants->lock);
}
