/* Who is in the cluster, through a cluster handle. */
#include "cluster/cluster.h"

#include "base/error.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/names.h"
#include "znode/paths.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the local view ---- */

int odezk_members(odezk_cluster *cluster, odezk_node_list **out)
{
    odezk_node_list *list;
    odezk_node *nodes;
    size_t i, text = 0;
    char *to;
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_out(out);
    if (rc != ODEZK_OK)
        return rc;
    pthread_mutex_lock(&cluster->lock);
    for (i = 0; i < cluster->view.count; i++)
        text += strlen(cluster->view.nodes[i].id) + 1;
    list = oz_alloc(sizeof *list + cluster->view.count * sizeof *nodes + text);
    if (!list) {
        pthread_mutex_unlock(&cluster->lock);
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    }
    nodes = (odezk_node *)(list + 1);
    to = (char *)(nodes + cluster->view.count);
    for (i = 0; i < cluster->view.count; i++) {
        nodes[i].id = strcpy(to, cluster->view.nodes[i].id);
        nodes[i].incarnation = oz_incarnation(cluster->view.nodes[i].seq);
        to += strlen(to) + 1;
    }
    list->count = cluster->view.count;
    list->nodes = nodes;
    pthread_mutex_unlock(&cluster->lock);
    *out = list;
    return ODEZK_OK;
}

void odezk_node_list_free(odezk_node_list *list)
{
    free(list);
}

/* ---- what this node tells about itself ---- */

#define METADATA_MAX 1024

static struct oz_pair **find_pair(odezk_cluster *cluster, const char *key)
{
    struct oz_pair **p = &cluster->metadata;

    while (*p && strcmp((*p)->key, key) != 0)
        p = &(*p)->next;
    return p;
}

static size_t pair_size(const struct oz_pair *pair)
{
    return strlen(pair->key) + strlen(pair->value);
}

static void free_pair(struct oz_pair *pair)
{
    if (pair) {
        free(pair->key);
        free(pair->value);
        free(pair);
    }
}

/* With the lock held. */
static int replace_pair(odezk_cluster *cluster, const char *key, const char *value)
{
    struct oz_pair **place = find_pair(cluster, key), *old = *place, *pair = NULL;
    size_t size = cluster->metadata_size - (old ? pair_size(old) : 0);

    if (value) {
        if (size + strlen(key) + strlen(value) > METADATA_MAX)
            return oz_fail(ODEZK_EINVAL, "the metadata would be longer than %d bytes", METADATA_MAX);
        pair = oz_alloc(sizeof *pair);
        if (!pair || !(pair->key = oz_strdup(key)) || !(pair->value = oz_strdup(value))) {
            free_pair(pair);
            return oz_fail(ODEZK_ENOMEM, "out of memory");
        }
        size += pair_size(pair);
        pair->next = old ? old->next : NULL;
        *place = pair;
    } else if (old) {
        *place = old->next;
    }
    free_pair(old);
    cluster->metadata_size = size;
    cluster->metadata_changed = true;
    return ODEZK_OK;
}

int odezk_cluster_set_metadata(odezk_cluster *cluster, const char *key, const char *value)
{
    int rc = oz_cluster_check(cluster);

    if (rc != ODEZK_OK)
        return rc;
    if (cluster->role == ODEZK_ROLE_CLIENT)
        return oz_fail(ODEZK_ESTATE, "a client is no node, and tells nothing about itself");
    if (!key || !oz_is_name(key, ""))
        return oz_fail(ODEZK_EINVAL, "a metadata key is 1 to 64 characters of A-Z a-z 0-9 . _ -");
    if (value && !oz_is_utf8(value))
        return oz_fail(ODEZK_EINVAL, "the metadata value of %s is not UTF-8", key);
    pthread_mutex_lock(&cluster->lock);
    rc = cluster->closed ? oz_fail(ODEZK_ECLOSED, "the handle is closed") : replace_pair(cluster, key, value);
    pthread_mutex_unlock(&cluster->lock);
    return rc;
}

/* ---- the state as the servers have it ---- */

struct owned_status {
    odezk_status status; /* first: it is what the user gets */
    odezk_member *members;
    char *cluster;
};

static void free_member(odezk_member *m)
{
    size_t i;

    for (i = 0; i < m->metadata_count; i++) {
        free((char *)m->metadata[i].key);
        free((char *)m->metadata[i].value);
    }
    free((odezk_pair *)m->metadata);
    free((char *)m->id);
    free((char *)m->host);
    free((char *)m->version);
}

void odezk_status_free(odezk_status *status)
{
    struct owned_status *s = (struct owned_status *)status;
    size_t i;

    if (!s)
        return;
    for (i = 0; i < s->status.member_count; i++)
        free_member(&s->members[i]);
    free(s->members);
    free(s->cluster);
    free(s);
}

struct inquiry;

/* The request for one member; its index is that of the node in the view and of the member in the result. */
struct question {
    struct inquiry *inquiry;
};

struct inquiry {
    struct oz_task task;
    struct oz_view view;
    struct oz_leader leader;
    struct owned_status *result;
    struct question *questions; /* one per node of the view */
    size_t asked, under_way;
    bool over; /* the session ended: start over */
    int error;
    const char *why; /* NULL: nothing to add */
};

static void reset(struct inquiry *q)
{
    oz_view_free(&q->view);
    if (q->result)
        odezk_status_free(&q->result->status);
    q->result = NULL;
    free(q->questions);
    q->questions = NULL;
    q->leader = (struct oz_leader){0};
    q->asked = 0;
    q->over = false;
    q->error = ODEZK_OK;
    q->why = NULL;
}

static void destroy_inquiry(struct oz_task *task)
{
    struct inquiry *q = (struct inquiry *)task;

    reset(q);
    free(q);
}

static bool parse_metadata(odezk_member *m, const char *text)
{
    struct oz_buf key = {0}, value = {0};
    odezk_pair *pairs = NULL;
    size_t count = 0;
    bool good = true;

    while (good && (text = oz_field_next(text, &key, &value)) != NULL) {
        odezk_pair *more;

        if (strncmp(oz_buf_str(&key), "meta.", 5) != 0)
            continue;
        more = oz_realloc(pairs, (count + 1) * sizeof *pairs);
        if (!more) {
            good = false;
            break;
        }
        pairs = more;
        pairs[count].key = oz_strdup(oz_buf_str(&key) + 5);
        pairs[count].value = oz_strdup(oz_buf_str(&value));
        good = pairs[count].key && pairs[count].value;
        count++;
    }
    oz_buf_free(&key);
    oz_buf_free(&value);
    m->metadata = pairs;
    m->metadata_count = count;
    return good;
}

static bool parse_member(odezk_member *m, const struct oz_node *node, const struct oz_reply *reply)
{
    m->id = oz_strdup(node->id);
    m->incarnation = oz_incarnation(node->seq);
    m->since_ms = reply->stat.ctime_ms;
    m->started_ms = oz_field_int(reply->data, "started");
    m->host = oz_field_dup(reply->data, "host");
    m->pid = oz_field_int(reply->data, "pid");
    m->version = oz_field_dup(reply->data, "version");
    m->observer = oz_field_int(reply->data, "observer") != 0;
    return parse_metadata(m, reply->data) && m->id && m->host && m->version;
}

/* Removes the places of nodes that left before they were read. */
static void close_gaps(struct owned_status *r)
{
    size_t i, count = 0;

    for (i = 0; i < r->status.member_count; i++)
        if (r->members[i].id)
            r->members[count++] = r->members[i];
    r->status.member_count = count;
}

static void complete(struct inquiry *q)
{
    struct owned_status *r = q->result;
    size_t i;

    close_gaps(r);
    r->status.cluster = r->cluster;
    r->status.members = r->members;
    for (i = 0; i < r->status.member_count; i++)
        if (strcmp(r->members[i].id, q->leader.id) == 0 && r->members[i].incarnation == q->leader.incarnation) {
            r->status.master = &r->members[i];
            r->status.master_epoch = q->leader.epoch;
        }
}

/* Called with no request under way. */
static void end(struct inquiry *q)
{
    if (q->over) {
        oz_task_again(&q->task);
        return;
    }
    if (!q->error)
        complete(q);
    oz_task_finish(&q->task, q->error, q->why);
}

static void refuse(struct inquiry *q, enum oz_rc rc)
{
    q->error = rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER;
    q->why = rc == OZ_DENIED ? NULL : oz_rc_name(rc);
}

static void ask_members(struct inquiry *q);

static void member_read(void *owner, const struct oz_reply *reply)
{
    struct question *question = owner;
    struct inquiry *q = question->inquiry;
    size_t i = (size_t)(question - q->questions);

    q->under_way--;
    if (reply->rc == OZ_GONE)
        q->over = true;
    else if (reply->rc == OZ_OK && !parse_member(&q->result->members[i], &q->view.nodes[i], reply))
        q->error = ODEZK_ENOMEM;
    else if (reply->rc != OZ_OK && reply->rc != OZ_NONODE) /* OZ_NONODE: it has just left */
        refuse(q, reply->rc);
    ask_members(q);
}

static bool ask_member(struct inquiry *q, size_t i)
{
    odezk_cluster *cluster = q->task.cluster;
    char name[OZ_MEMBER_NAME_SIZE], *path;
    struct oz_request request = {.verb = OZ_GET, .retry = true};
    bool good;

    oz_node_name(&q->view.nodes[i], name);
    path = oz_path_member(cluster->root, name);
    request.path = path;
    q->questions[i].inquiry = q;
    good = path && oz_submit(cluster->session, &request, member_read, &q->questions[i]);
    free(path);
    return good;
}

/* Reads the next members, as many as the window allows; ends the task when all have answered. */
static void ask_members(struct inquiry *q)
{
    while (!q->over && !q->error && q->under_way < OZ_WINDOW && q->asked < q->view.count) {
        if (ask_member(q, q->asked)) {
            q->asked++;
            q->under_way++;
        } else {
            q->error = ODEZK_ENOMEM;
        }
    }
    if (q->under_way == 0)
        end(q);
}

/* Allocates the result and the requests for its members. */
static bool make_room(struct inquiry *q)
{
    struct owned_status *r = q->result = oz_alloc(sizeof *q->result);

    q->questions = oz_alloc((q->view.count + 1) * sizeof *q->questions);
    if (!r || !q->questions)
        return false;
    r->cluster = oz_strdup(q->task.cluster->name);
    r->members = oz_alloc((q->view.count + 1) * sizeof *r->members);
    if (!r->cluster || !r->members)
        return false;
    r->status.member_count = q->view.count;
    return true;
}

static void leader_read(void *owner, const struct oz_reply *reply)
{
    struct inquiry *q = owner;

    if (reply->rc == OZ_GONE)
        q->over = true;
    else if (reply->rc == OZ_OK)
        oz_leader_parse(&q->leader, reply->data);
    else if (reply->rc != OZ_NONODE)
        refuse(q, reply->rc);
    if (!make_room(q))
        q->error = ODEZK_ENOMEM;
    ask_members(q);
}

static void members_read(void *owner, const struct oz_reply *reply)
{
    struct inquiry *q = owner;
    char *path = oz_path_leader(q->task.cluster->root);
    struct oz_request request = {.verb = OZ_GET, .path = path, .retry = true};

    if (reply->rc == OZ_GONE)
        q->over = true;
    else if (reply->rc != OZ_OK && reply->rc != OZ_NONODE)
        refuse(q, reply->rc);
    else if (!path || oz_view_parse(&q->view, reply->names, reply->count) != 0 ||
             !oz_submit(q->task.cluster->session, &request, leader_read, q))
        q->error = ODEZK_ENOMEM;
    free(path);
    if (q->over || q->error)
        end(q);
}

/* A sync comes first, so that a server that lags behind does not show an old state. */
static void run_inquiry(struct oz_task *task)
{
    struct inquiry *q = (struct inquiry *)task;
    struct oz_session *session = task->cluster->session;
    char *path = oz_path_members(task->cluster->root);
    struct oz_request sync = {.verb = OZ_SYNC, .path = path, .retry = true};
    struct oz_request list = {.verb = OZ_CHILDREN, .path = path, .retry = true};

    reset(q);
    if (!path || !oz_submit(session, &sync, oz_ignore_reply, NULL) || !oz_submit(session, &list, members_read, q))
        oz_task_finish(task, ODEZK_ENOMEM, NULL);
    free(path);
}

int odezk_cluster_status(odezk_cluster *cluster, int timeout_ms, odezk_status **out)
{
    struct inquiry *q;
    int rc = oz_cluster_check_blocking(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc == ODEZK_OK)
        rc = oz_check_out(out);
    if (rc != ODEZK_OK)
        return rc;
    q = oz_alloc(sizeof *q);
    if (!q)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    oz_task_init(&q->task, run_inquiry, destroy_inquiry);
    rc = oz_task_run(cluster, &q->task, timeout_ms);
    if (rc == ODEZK_OK) {
        *out = &q->result->status;
        q->result = NULL;
    }
    oz_task_unref(&q->task);
    return rc;
}
