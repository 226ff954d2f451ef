#include "recipe/grant.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what grants share ---- */

struct oz_grants *oz_grants_new(struct oz_session *session, struct oz_dispatch *dispatch, struct oz_dispatch *caller)
{
    struct oz_grants *grants = oz_alloc(sizeof *grants);

    if (!grants)
        return NULL;
    pthread_mutex_init(&grants->lock, NULL);
    pthread_cond_init(&grants->told, NULL);
    grants->refs = 1;
    grants->forks = oz_fork_count();
    grants->session = session;
    grants->dispatch = dispatch;
    grants->caller = caller;
    return grants;
}

static void unref_unlock(struct oz_grants *grants)
{
    bool last = --grants->refs == 0;

    pthread_mutex_unlock(&grants->lock);
    if (!last)
        return;
    pthread_cond_destroy(&grants->told);
    pthread_mutex_destroy(&grants->lock);
    free(grants);
}

void oz_grants_close(struct oz_grants *grants)
{
    odezk_lock *spare;

    pthread_mutex_lock(&grants->lock);
    grants->session = NULL;
    while ((spare = grants->spare) != NULL) {
        grants->spare = spare->next;
        free(spare);
    }
    grants->spares = 0;
    pthread_mutex_unlock(&grants->lock);
}

void oz_grants_unref(struct oz_grants *grants)
{
    if (!grants)
        return;
    pthread_mutex_lock(&grants->lock);
    unref_unlock(grants);
}

/* ---- grants ---- */

#define SPARES 64

odezk_lock *oz_grant_new(struct oz_grants *grants, int64_t token, int64_t serial,
                         void (*released)(void *entry, odezk_lock *lock, int64_t now), void *entry)
{
    odezk_lock *lock = grants->spare;

    if (lock) {
        grants->spare = lock->next;
        grants->spares--;
        *lock = (odezk_lock){0};
    } else {
        lock = oz_alloc(sizeof *lock);
        if (!lock)
            return NULL;
    }
    lock->grants = grants;
    lock->refs = 2;
    lock->state = OZ_GRANT_VALID;
    lock->token = token;
    lock->serial = serial;
    lock->released = released;
    lock->entry = entry;
    grants->refs++;
    return lock;
}

/* With the mutex held; it stays held. The last reference to the grants is never dropped here by the recipe, which has
 * one of its own; the others use drop_ref(). */
static void forget_ref(odezk_lock *lock)
{
    struct oz_grants *grants = lock->grants;

    if (--lock->refs > 0)
        return;
    grants->refs--;
    if (grants->session && grants->spares < SPARES) {
        lock->next = grants->spare;
        grants->spare = lock;
        grants->spares++;
    } else {
        free(lock);
    }
}

/* Called with the mutex held; gives it back. */
static void drop_ref(odezk_lock *lock)
{
    struct oz_grants *grants = lock->grants;

    grants->refs++;
    forget_ref(lock);
    unref_unlock(grants);
}

odezk_lock *oz_grant_ref(odezk_lock *lock)
{
    pthread_mutex_lock(&lock->grants->lock);
    lock->refs++;
    pthread_mutex_unlock(&lock->grants->lock);
    return lock;
}

void oz_grant_unref(odezk_lock *lock)
{
    pthread_mutex_lock(&lock->grants->lock);
    drop_ref(lock);
}

static void tell_lost(struct oz_msg *msg)
{
    odezk_lock *lock = oz_container(msg, odezk_lock, lost_msg);
    void (*lost)(odezk_lock *, void *);

    pthread_mutex_lock(&lock->grants->lock);
    lock->lost_msg.run = NULL; /* another callback may be set, and is told as well */
    lost = lock->lost;
    lock->lost = NULL;
    if (lost && lock->state == OZ_GRANT_LOST) {
        void *arg = lock->lost_arg;

        lock->telling = true;
        pthread_mutex_unlock(&lock->grants->lock);
        lost(lock, arg);
        pthread_mutex_lock(&lock->grants->lock);
        lock->telling = false;
        pthread_cond_broadcast(&lock->grants->told);
    }
    drop_ref(lock);
}

/* With the mutex held. */
static void post_lost(odezk_lock *lock)
{
    if (!lock->lost || lock->lost_msg.run)
        return;
    lock->refs++;
    lock->lost_msg.run = tell_lost;
    oz_dispatch_post(lock->grants->caller, &lock->lost_msg);
}

void oz_grant_lose(odezk_lock *lock)
{
    if (lock->state == OZ_GRANT_VALID) {
        lock->state = OZ_GRANT_LOST;
        post_lost(lock);
    }
    lock->entry = NULL;
    forget_ref(lock);
}

void oz_grant_forget(odezk_lock *lock)
{
    lock->entry = NULL;
    forget_ref(lock);
}

static bool foreign(const odezk_lock *lock)
{
    return lock->grants->forks != oz_fork_count();
}

int64_t odezk_lock_valid_ms(const odezk_lock *lock)
{
    int64_t left = 0;

    if (!lock || foreign(lock))
        return 0;
    pthread_mutex_lock(&lock->grants->lock);
    if (lock->state == OZ_GRANT_VALID && lock->grants->session)
        left = oz_session_lease_end(lock->grants->session) - oz_now();
    pthread_mutex_unlock(&lock->grants->lock);
    if (left <= 0)
        return 0;
    return left > OZ_MS ? left / OZ_MS : 1; /* never more than is left, but valid is not 0 */
}

bool odezk_lock_is_valid(const odezk_lock *lock)
{
    return odezk_lock_valid_ms(lock) > 0;
}

int64_t odezk_lock_token(const odezk_lock *lock)
{
    return lock ? lock->token : 0;
}

int64_t odezk_lock_serial(const odezk_lock *lock)
{
    return lock ? lock->serial : 0;
}

int odezk_lock_on_lost(odezk_lock *lock, void (*cb)(odezk_lock *lock, void *arg), void *arg)
{
    int rc = ODEZK_OK;

    if (!lock)
        return oz_fail(ODEZK_EINVAL, "no lock was given");
    if (foreign(lock))
        return oz_fail(ODEZK_EFORKED, "the lock belongs to the parent process");
    pthread_mutex_lock(&lock->grants->lock);
    if (lock->state == OZ_GRANT_RELEASED) {
        rc = oz_fail(ODEZK_ENOTHELD, "the lock was released before");
    } else {
        lock->lost = cb;
        lock->lost_arg = arg;
        if (lock->state == OZ_GRANT_LOST && lock->grants->session)
            post_lost(lock);
    }
    pthread_mutex_unlock(&lock->grants->lock);
    return rc;
}

/* With the mutex held: on return no lost callback is running, except the one that called us. */
static void silence(odezk_lock *lock)
{
    lock->lost = NULL;
    while (lock->telling && lock->grants->session && !oz_dispatch_inside(lock->grants->caller))
        pthread_cond_wait(&lock->grants->told, &lock->grants->lock);
}

/* With the mutex held. `now` is 0 when the caller does not need the result: reading the clock is a large part of the
 * cost of a sticky lock. */
static int release(odezk_lock *lock, int64_t now)
{
    int rc = lock->state == OZ_GRANT_VALID ? ODEZK_OK : lock->state == OZ_GRANT_LOST ? ODEZK_ELOST : ODEZK_ENOTHELD;

    if (rc == ODEZK_OK && lock->grants->session && oz_session_lease_end(lock->grants->session) <= now)
        rc = ODEZK_ELOST; /* its loss was not even noticed yet */
    lock->state = OZ_GRANT_RELEASED;
    if (lock->entry)
        lock->released(lock->entry, lock, now);
    silence(lock);
    return rc;
}

int odezk_lock_release(odezk_lock *lock)
{
    int rc;

    if (!lock)
        return oz_fail(ODEZK_EINVAL, "no lock was given");
    if (foreign(lock))
        return oz_fail(ODEZK_EFORKED, "the lock belongs to the parent process");
    pthread_mutex_lock(&lock->grants->lock);
    rc = release(lock, oz_now());
    pthread_mutex_unlock(&lock->grants->lock);
    if (rc == ODEZK_ELOST)
        return oz_fail(rc, "the lock was lost before it was released");
    if (rc == ODEZK_ENOTHELD)
        return oz_fail(rc, "the lock was released before");
    return rc;
}

void odezk_lock_free(odezk_lock *lock)
{
    if (!lock)
        return;
    if (foreign(lock))
        return; /* the mutex may stay locked for ever in this process */
    pthread_mutex_lock(&lock->grants->lock);
    release(lock, 0);
    drop_ref(lock);
}

/* ---- attempts ---- */

odezk_lock_request *oz_request_new(struct oz_grants *grants, const char *space, const char *key, int wait_ms)
{
    odezk_lock_request *request = oz_alloc(sizeof *request);

    if (!request)
        return NULL;
    oz_list_init(&request->link);
    request->grants = grants;
    request->refs = 1;
    request->wait_ms = wait_ms;
    pthread_mutex_lock(&grants->lock);
    grants->refs++;
    pthread_mutex_unlock(&grants->lock);
    request->space = oz_strdup(space);
    request->key = oz_strdup(key);
    if (!request->space || !request->key) {
        oz_request_unref(request);
        return NULL;
    }
    return request;
}

void oz_request_unref(odezk_lock_request *request)
{
    struct oz_grants *grants = request->grants;

    pthread_mutex_lock(&grants->lock);
    if (--request->refs > 0) {
        pthread_mutex_unlock(&grants->lock);
        return;
    }
    free(request->space);
    free(request->key);
    free(request);
    unref_unlock(grants);
}

static void call_back(struct oz_msg *msg)
{
    odezk_lock_request *request = oz_container(msg, odezk_lock_request, msg);

    if (request->error)
        oz_fail(request->error, "lock %s/%s: %s", request->space, request->key, request->why);
    request->cb(request->error, request->lock, request->arg);
    oz_request_unref(request);
}

void oz_request_finish(odezk_lock_request *request, int error, odezk_lock *lock, const char *why)
{
    request->done = true;
    request->error = error;
    request->lock = lock;
    snprintf(request->why, sizeof request->why, "%s", why ? why : odezk_strerror(error));
    if (request->wait) {
        struct oz_wait *wait = request->wait;

        pthread_mutex_lock(&wait->lock);
        wait->done = true;
        pthread_cond_signal(&wait->cond);
        pthread_mutex_unlock(&wait->lock);
        return; /* the waiting thread frees it */
    }
    request->msg.run = call_back;
    oz_dispatch_post(request->grants->caller, &request->msg);
}
