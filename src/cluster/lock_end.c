/* Ending another's grant, for operators: its holder is asked first, and its znode removed if it does not answer. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/names.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdlib.h>

struct ending {
    struct oz_task task;
    char *path; /* of the lock */
    char *space, *encoded;
    char *request; /* in the holder's inbox */
    char *member;  /* the holder's */
    int64_t token, until;
    struct oz_timer timer;
    atomic_bool waits; /* for the holder */
    bool deleting;
    bool unguarded; /* the holder is no member, but the lock is still there */
    bool begun;     /* the grant was seen: once it is gone we succeeded */
};

static void destroy_ending(struct oz_task *task)
{
    struct ending *e = (struct ending *)task;

    free(e->path);
    free(e->space);
    free(e->encoded);
    free(e->request);
    free(e->member);
    free(e);
}

/* If we removed the lock's znode, the request stays: the holder has to learn of it when it reads its inbox again. */
static void finish_ending(struct ending *e, int error, const char *why)
{
    if (e->request && !e->deleting && oz_session_id(e->task.cluster->session))
        oz_erase(e->task.cluster->session, e->request);
    oz_task_finish(&e->task, error, why);
}

static void forget_holder(struct ending *e)
{
    free(e->request);
    free(e->member);
    e->request = e->member = NULL;
    e->waits = e->unguarded = false;
    e->until = 0;
}

static void look(void *arg);

static void look_again(struct ending *e)
{
    oz_session_later(e->task.cluster->session, &e->timer, OZ_POLL_AFTER, look, e);
}

static void asked(void *owner, const struct oz_reply *reply)
{
    struct ending *e = owner;

    if (reply->rc == OZ_GONE) {
        oz_task_again(&e->task);
        return;
    }
    if (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)
        e->until = oz_now() + oz_session_timeout(e->task.cluster->session) * OZ_MS;
    e->waits = e->until || reply->rc == OZ_NONODE; /* a member makes a missing inbox again */
    look_again(e);
}

static void ask_holder(struct ending *e, const char *inbox)
{
    odezk_cluster *cluster = e->task.cluster;
    struct oz_request request = {.verb = OZ_CREATE, .retry = true};

    e->request = oz_format("%s/inbox/%s/%s:%s#%" PRId64, cluster->root, inbox, e->space, e->encoded, e->token);
    e->member = oz_format("%s/members/%s", cluster->root, inbox);
    request.path = e->request;
    if (!e->request || !e->member || !oz_submit(cluster->session, &request, asked, e))
        finish_ending(e, ODEZK_ENOMEM, NULL);
}

static void deleted(void *owner, const struct oz_reply *reply)
{
    struct ending *e = owner;

    if (reply->rc == OZ_GONE) {
        oz_task_again(&e->task);
    } else if (reply->rc == OZ_DENIED) {
        finish_ending(e, ODEZK_EAUTH, NULL);
    } else if (reply->rc == OZ_NONODE && e->waits && !e->unguarded && reply->failed == 0) {
        e->unguarded = true;
        look_again(e);
    } else if (reply->rc == OZ_NONODE && e->waits && !e->unguarded && reply->failed == 1) {
        e->deleting = false;
        forget_holder(e); /* it did answer: ask again if it still has the lock */
        look_again(e);
    } else {
        look(e); /* shows the outcome, whatever the reply was */
    }
}

/* The checks make sure that the delete does not hit the next holder: it may have the lock already if the session of
 * this one ended, or if this one answered. */
static void delete_lock(struct ending *e)
{
    struct oz_request request = {.verb = OZ_DELETE, .path = e->path};
    struct oz_request items[] = {
        {.verb = OZ_CHECK, .path = e->member}, {.verb = OZ_CHECK, .path = e->request}, request};
    struct oz_request guarded = {.verb = OZ_MULTI, .items = items, .count = 3};

    e->begun = e->deleting = true;
    if (!oz_submit(e->task.cluster->session, e->waits && !e->unguarded ? &guarded : &request, deleted, e))
        finish_ending(e, ODEZK_ENOMEM, NULL);
}

static void looked(void *owner, const struct oz_reply *reply)
{
    struct ending *e = owner;
    char inbox[OZ_MEMBER_NAME_SIZE];

    if (reply->rc == OZ_GONE) {
        oz_task_again(&e->task);
    } else if (reply->rc == OZ_DENIED) {
        finish_ending(e, ODEZK_EAUTH, NULL);
    } else if (reply->rc == OZ_FAILED) {
        finish_ending(e, ODEZK_ESERVER, NULL);
    } else if (reply->rc != OZ_OK || reply->stat.czxid != e->token) {
        if (e->begun)
            finish_ending(e, ODEZK_OK, NULL);
        else
            finish_ending(e, ODEZK_ENOTFOUND, "nobody holds this lock under this token");
    } else if (oz_task_abandoned(&e->task)) {
        finish_ending(e, ODEZK_ETIMEDOUT, NULL);
    } else if (!e->request && !e->deleting && (oz_field_copy(reply->data, "inbox", inbox, sizeof inbox), *inbox)) {
        e->begun = true;
        ask_holder(e, inbox);
    } else if (oz_now() < e->until) {
        look_again(e);
    } else {
        delete_lock(e);
    }
}

static void look(void *arg)
{
    struct ending *e = arg;
    struct oz_request request = {.verb = OZ_GET, .path = e->path, .retry = true};

    if (!oz_submit(e->task.cluster->session, &request, looked, e))
        finish_ending(e, ODEZK_ENOMEM, NULL);
}

static void run_ending(struct oz_task *task)
{
    struct ending *e = (struct ending *)task;

    forget_holder(e);
    look(e);
}

int odezk_lock_end(odezk_cluster *cluster, const char *space, const char *key, int64_t token, int timeout_ms)
{
    struct ending *e;
    struct oz_buf encoded = {0};
    char bucket[3];
    int rc = oz_cluster_check_blocking(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_lock(space, key);
    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc != ODEZK_OK)
        return rc;
    e = oz_alloc(sizeof *e);
    if (!e)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    oz_task_init(&e->task, run_ending, destroy_ending);
    e->token = token;
    e->space = oz_strdup(space);
    oz_encode_key(&encoded, key);
    e->encoded = oz_buf_take(&encoded);
    oz_bucket(key, bucket);
    if (e->encoded)
        e->path = oz_format("%s/locks/%s/%s/%s", cluster->root, space, bucket, e->encoded);
    rc = e->space && e->path ? oz_task_run(cluster, &e->task, timeout_ms) : oz_fail(ODEZK_ENOMEM, "out of memory");
    if (rc == ODEZK_EUNREACHABLE && e->waits)
        rc = oz_fail(ODEZK_ETIMEDOUT, "the holder was asked, but still has the lock after %d ms", timeout_ms);
    oz_task_unref(&e->task);
    return rc;
}
