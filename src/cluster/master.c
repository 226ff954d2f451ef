/* Who is master, through a cluster handle. */
#include "cluster/cluster.h"

#include "base/error.h"
#include "base/fork.h"
#include "base/mem.h"
#include "znode/paths.h"
#include "znode/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool odezk_is_master(odezk_cluster *cluster, int64_t *epoch)
{
    int64_t held;

    if (!cluster || cluster->forks != oz_fork_count())
        return false;
    held = oz_election_epoch(cluster->election);
    if (held && epoch)
        *epoch = held;
    return held != 0;
}

int odezk_get_master(odezk_cluster *cluster, odezk_master *master)
{
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_out(master);
    if (rc != ODEZK_OK)
        return rc;
    pthread_mutex_lock(&cluster->lock);
    memcpy(master->id, cluster->master.id, sizeof master->id);
    master->incarnation = cluster->master.incarnation;
    master->epoch = cluster->master.epoch;
    pthread_mutex_unlock(&cluster->lock);
    return ODEZK_OK;
}

static void resign_arrived(struct oz_msg *msg)
{
    odezk_cluster *cluster = oz_container(msg, odezk_cluster, resign_msg);

    atomic_store(&cluster->resign_posted, false);
    oz_election_resign(cluster->election);
}

int odezk_resign(odezk_cluster *cluster)
{
    int rc = oz_cluster_check(cluster);

    if (rc != ODEZK_OK)
        return rc;
    if (cluster->role == ODEZK_ROLE_CLIENT)
        return oz_fail(ODEZK_ENOTHELD, "a client is never master");
    pthread_mutex_lock(&cluster->lock);
    if (cluster->closed) {
        rc = oz_fail(ODEZK_ECLOSED, "the handle is closed");
    } else if (!oz_election_drop(cluster->election)) {
        rc = oz_fail(ODEZK_ENOTHELD, "%s is not master", cluster->id);
    } else if (!atomic_exchange(&cluster->resign_posted, true)) {
        cluster->resign_msg.run = resign_arrived;
        oz_dispatch_post(cluster->dispatch, &cluster->resign_msg);
    }
    pthread_mutex_unlock(&cluster->lock);
    return rc;
}

/* ---- asking another node ---- */

struct resignation {
    struct oz_task task;
    char id[65];
    int64_t epoch; /* of the mastership that is to end; 0 until it was seen */
    struct oz_node member;
    char *request_path;
    struct oz_timer timer;
    _Atomic bool asked;
};

static void destroy_resignation(struct oz_task *task)
{
    struct resignation *r = (struct resignation *)task;

    free(r->request_path);
    free(r);
}

static void finish(struct resignation *r, int error, const char *why)
{
    struct oz_session *session = r->task.cluster->session;

    if (r->asked && oz_session_id(session))
        oz_erase(session, r->request_path); /* usually the node has done that itself */
    oz_task_finish(&r->task, error, why);
}

static void read_leader(void *arg);

static void asked(void *owner, const struct oz_reply *reply)
{
    struct resignation *r = owner;

    if (reply->rc == OZ_GONE)
        oz_task_again(&r->task);
    else if (reply->rc == OZ_NONODE)
        finish(r, ODEZK_ENOTFOUND, "the node has just left, or is only just joining");
    else if (reply->rc == OZ_DENIED)
        finish(r, ODEZK_EAUTH, NULL);
    else
        read_leader(r);
}

static void ask(struct resignation *r)
{
    odezk_cluster *cluster = r->task.cluster;
    char name[OZ_MEMBER_NAME_SIZE];
    struct oz_request request = {.verb = OZ_CREATE, .flags = OZ_EPHEMERAL, .retry = true};

    oz_node_name(&r->member, name);
    free(r->request_path);
    r->request_path = oz_path_request(cluster->root, name, OZ_INBOX_RESIGN);
    request.path = r->request_path;
    r->asked = request.path && oz_submit(cluster->session, &request, asked, r);
    if (!r->asked)
        finish(r, ODEZK_ENOMEM, NULL);
}

static void leader_read(void *owner, const struct oz_reply *reply)
{
    struct resignation *r = owner;
    struct oz_leader leader = {0};

    if (reply->rc == OZ_GONE) {
        oz_task_again(&r->task);
        return;
    }
    if (reply->rc == OZ_OK)
        oz_leader_parse(&leader, reply->data);
    if (r->epoch && leader.epoch != r->epoch)
        finish(r, ODEZK_OK, NULL);
    else if (oz_task_abandoned(&r->task))
        finish(r, ODEZK_ETIMEDOUT, NULL);
    else if (strcmp(leader.id, r->id) != 0 || leader.incarnation != oz_incarnation(r->member.seq))
        finish(r, ODEZK_ENOTHELD, "it is not master");
    else if (r->asked)
        oz_session_later(r->task.cluster->session, &r->timer, OZ_POLL_AFTER, read_leader, r);
    else {
        r->epoch = leader.epoch;
        ask(r);
    }
}

static void read_leader(void *arg)
{
    struct resignation *r = arg;
    odezk_cluster *cluster = r->task.cluster;
    char *path = oz_path_leader(cluster->root);
    struct oz_request request = {.verb = OZ_GET, .path = path, .retry = true};

    if (!path || !oz_submit(cluster->session, &request, leader_read, r))
        finish(r, ODEZK_ENOMEM, NULL);
    free(path);
}

static void members_read(void *owner, const struct oz_reply *reply)
{
    struct resignation *r = owner;
    struct oz_view view = {0};
    const struct oz_node *node;

    if (reply->rc == OZ_GONE) {
        oz_task_again(&r->task);
        return;
    }
    if (oz_view_parse(&view, reply->names, reply->count) != 0) {
        finish(r, ODEZK_ENOMEM, NULL);
        return;
    }
    node = oz_view_find(&view, r->id);
    if (node) {
        r->member = *node;
        read_leader(r);
    } else {
        finish(r, reply->rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ENOTFOUND, "no live node has this id");
    }
    oz_view_free(&view);
}

static void run_resignation(struct oz_task *task)
{
    struct resignation *r = (struct resignation *)task;
    char *path = oz_path_members(task->cluster->root);
    struct oz_request request = {.verb = OZ_CHILDREN, .path = path, .retry = true};

    r->asked = false;
    if (!path || !oz_submit(task->cluster->session, &request, members_read, r))
        finish(r, ODEZK_ENOMEM, NULL);
    free(path);
}

static int check_id(const char *id)
{
    if (!id)
        return oz_fail(ODEZK_EINVAL, "the node id is NULL");
    if (!*id || strlen(id) > 64)
        return oz_fail(ODEZK_EINVAL, "the node id has %zu characters; 1 to 64 are allowed", strlen(id));
    return ODEZK_OK;
}

int odezk_resign_node(odezk_cluster *cluster, const char *id, int timeout_ms)
{
    struct resignation *r;
    char why[256];
    int rc = oz_cluster_check_blocking(cluster);

    if (rc == ODEZK_OK)
        rc = check_id(id);
    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc != ODEZK_OK)
        return rc;
    r = oz_alloc(sizeof *r);
    if (!r)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    oz_task_init(&r->task, run_resignation, destroy_resignation);
    strcpy(r->id, id);
    rc = oz_task_run(cluster, &r->task, timeout_ms);
    snprintf(why, sizeof why, "%s", odezk_last_error());
    if (rc == ODEZK_EUNREACHABLE && r->asked)
        rc = oz_fail(ODEZK_ETIMEDOUT, "%s was asked, but is still master after %d ms", id, timeout_ms);
    else if (rc != ODEZK_OK)
        rc = oz_fail(rc, "%s: %s", id, why);
    oz_task_unref(&r->task);
    return rc;
}
