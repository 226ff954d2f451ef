/* What operators see of locks, and can do to them. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/names.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 64 /* requests in flight */
#define ANSWER_WITHIN OZ_SECOND
#define POLL_AFTER (20 * OZ_MS)

/* ---- the list that the user gets ---- */

struct info {
    struct oz_map_node node; /* by "space/key" */
    odezk_lock_info info;
    odezk_lock_waiter *waiters;
    char *inbox; /* of the holder, "" when it has none */
    char *name;  /* "space/key" */
};

struct owned_list {
    odezk_lock_list list;  /* first: it is what the user gets */
    odezk_lock_info *view; /* what list.locks points to */
    struct info **infos;
    size_t count, size;
    struct oz_map by_name;
};

static void free_info(struct info *i)
{
    size_t k;

    for (k = 0; k < i->info.waiter_count; k++) {
        free((char *)i->waiters[k].node);
        free((char *)i->waiters[k].host);
    }
    free(i->waiters);
    free(i->inbox);
    free(i->name);
    free((char *)i->info.space);
    free((char *)i->info.key);
    free((char *)i->info.node);
    free((char *)i->info.host);
    free(i);
}

void odezk_lock_list_free(odezk_lock_list *list)
{
    struct owned_list *l = (struct owned_list *)list;
    size_t i;

    if (!l)
        return;
    for (i = 0; i < l->count; i++)
        free_info(l->infos[i]);
    oz_map_free(&l->by_name);
    free(l->infos);
    free(l->view);
    free(l);
}

/* ---- the walk ---- */

enum step_kind { SPACES, BUCKETS, KEYS, LOCK, QUEUE_SPACES, QUEUE_BUCKETS, SEATS, SEAT, REPORT, REPORT_READ };

struct walk;

/* One request, to be made or under way. */
struct visit {
    struct oz_list link;
    struct oz_timer timer;
    struct walk *walk;
    enum step_kind kind;
    char *path;
    int64_t until; /* REPORT_READ: when the holder has had its time */
};

struct walk {
    struct oz_task task;
    char *space;     /* NULL: all */
    unsigned number; /* two calls at a time do not share their questions */
    struct owned_list *result;
    struct oz_list todo;
    int under_way;
    bool over; /* the session ended: all begins again */
    int error;
    bool reports_asked;
};

static void go_on(struct walk *w);

static void free_visit(struct visit *v)
{
    oz_list_remove(&v->link);
    free(v->path);
    free(v);
}

static void reset(struct walk *w)
{
    struct oz_list *node;

    while ((node = oz_list_pop(&w->todo)) != NULL)
        free_visit(oz_container(node, struct visit, link));
    odezk_lock_list_free(w->result ? &w->result->list : NULL);
    w->result = NULL;
    w->over = w->reports_asked = false;
    w->error = ODEZK_OK;
}

static void destroy_walk(struct oz_task *task)
{
    struct walk *w = (struct walk *)task;

    reset(w);
    free(w->space);
    free(w);
}

/* Takes the path over. */
static void add_visit(struct walk *w, enum step_kind kind, char *path)
{
    struct visit *v = path ? oz_alloc(sizeof *v) : NULL;

    if (!v) {
        free(path);
        w->error = ODEZK_ENOMEM;
        return;
    }
    v->walk = w;
    v->kind = kind;
    v->path = path;
    oz_list_append(&w->todo, &v->link);
}

/* The n-th last component of a path: 0 is the last. */
static const char *component(const char *path, int n, size_t *len)
{
    const char *end = path + strlen(path), *start = end;

    for (;;) {
        while (start > path && start[-1] != '/')
            start--;
        if (n-- == 0)
            break;
        end = --start;
    }
    *len = (size_t)(end - start);
    return start;
}

static char *field(const char *text, const char *key)
{
    struct oz_buf value = {0};

    if (!text || !oz_field_get(text, key, &value))
        oz_buf_free(&value);
    return oz_buf_take(&value);
}

static struct info *new_info(const char *name, size_t space_len)
{
    struct info *i = oz_alloc(sizeof *i);

    if (!i)
        return NULL;
    i->name = oz_strdup(name);
    i->info.space = oz_strndup(name, space_len);
    i->info.key = oz_strdup(name + space_len + 1);
    i->info.node = oz_strdup("");
    i->info.host = oz_strdup("");
    i->inbox = oz_strdup("");
    if (i->name && i->info.space && i->info.key && i->info.node && i->info.host && i->inbox)
        return i;
    free_info(i);
    return NULL;
}

static bool add_info(struct owned_list *r, struct info *i)
{
    if (r->count == r->size) {
        size_t size = r->size ? 2 * r->size : 64;
        struct info **more = oz_realloc(r->infos, size * sizeof *more);

        if (!more)
            return false;
        r->infos = more;
        r->size = size;
    }
    if (oz_map_put(&r->by_name, &i->node, i->name) != 0)
        return false;
    r->infos[r->count++] = i;
    return true;
}

/* The lock of a path's key, made when it is new; NULL when the name is none of ours, or out of memory. */
static struct info *find_info(struct walk *w, const char *space, size_t space_len, const char *encoded, size_t len)
{
    struct oz_buf name = {0};
    struct oz_map_node *node;
    struct info *i = NULL;

    oz_buf_add(&name, space, space_len);
    oz_buf_putc(&name, '/');
    if (oz_decode_key(&name, encoded, len) && !oz_buf_failed(&name)) {
        node = oz_map_find(&w->result->by_name, oz_buf_str(&name));
        i = node ? oz_container(node, struct info, node) : new_info(oz_buf_str(&name), space_len);
        if (!i || (!node && !add_info(w->result, i))) {
            if (i)
                free_info(i);
            i = NULL;
            w->error = ODEZK_ENOMEM;
        }
    }
    oz_buf_free(&name);
    return i;
}

static void replace(struct walk *w, const char **place, char *text)
{
    if (!text) {
        w->error = ODEZK_ENOMEM;
        return;
    }
    free((char *)*place);
    *place = text;
}

static void lock_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    size_t space_len, len;
    const char *space = component(v->path, 2, &space_len), *encoded = component(v->path, 0, &len);
    struct info *i = find_info(w, space, space_len, encoded, len);
    const char *inbox;

    if (!i)
        return;
    replace(w, &i->info.node, field(reply->data, "node"));
    replace(w, &i->info.host, field(reply->data, "host"));
    inbox = i->inbox;
    replace(w, &inbox, field(reply->data, "inbox"));
    i->inbox = (char *)inbox;
    i->info.pid = oz_field_int(reply->data, "pid");
    i->info.since_ms = reply->stat.ctime_ms;
    i->info.token = reply->stat.czxid;
    i->info.use = *i->inbox ? ODEZK_LOCK_UNKNOWN : ODEZK_LOCK_BUSY; /* without an inbox nothing is kept */
}

static void seat_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    size_t space_len, len;
    const char *space = component(v->path, 2, &space_len), *name = component(v->path, 0, &len);
    struct info *i = find_info(w, space, space_len, name, strcspn(name, "#"));
    odezk_lock_waiter *more;

    if (!i)
        return;
    more = oz_realloc(i->waiters, (i->info.waiter_count + 1) * sizeof *more);
    if (!more) {
        w->error = ODEZK_ENOMEM;
        return;
    }
    i->waiters = more;
    more += i->info.waiter_count++;
    *more = (odezk_lock_waiter){.node = field(reply->data, "node"),
                                .host = field(reply->data, "host"),
                                .pid = oz_field_int(reply->data, "pid"),
                                .since_ms = reply->stat.ctime_ms};
    if (!more->node || !more->host)
        w->error = ODEZK_ENOMEM;
}

static int compare_waiters(const void *a, const void *b)
{
    const odezk_lock_waiter *x = a, *y = b;

    return (x->since_ms > y->since_ms) - (x->since_ms < y->since_ms);
}

/* A holder's report names the locks that somebody in its process has, one a line. Its other locks are sticky. */
static void report_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    size_t len, k;
    const char *member = component(v->path, 1, &len), *line, *end;

    for (k = 0; k < w->result->count; k++)
        if (strlen(w->result->infos[k]->inbox) == len && memcmp(w->result->infos[k]->inbox, member, len) == 0)
            w->result->infos[k]->info.use = ODEZK_LOCK_STICKY;
    for (line = reply->data; *line; line = end + (*end == '\n')) {
        char *name;
        struct oz_map_node *node;

        end = line + strcspn(line, "\n");
        name = oz_strndup(line, (size_t)(end - line));
        node = name ? oz_map_find(&w->result->by_name, name) : NULL;
        if (node)
            oz_container(node, struct info, node)->info.use = ODEZK_LOCK_BUSY;
        free(name);
    }
}

static void children_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    static const enum step_kind next[] = {BUCKETS, KEYS, LOCK, LOCK, QUEUE_BUCKETS, SEATS, SEAT};
    size_t i;

    for (i = 0; i < reply->count; i++)
        if ((v->kind != SPACES && v->kind != QUEUE_SPACES) || !w->space || strcmp(w->space, reply->names[i]) == 0)
            add_visit(w, next[v->kind], oz_format("%s/%s", v->path, reply->names[i]));
}

static void poll_report(void *arg)
{
    struct visit *v = arg;

    v->walk->under_way--;
    oz_list_append(&v->walk->todo, &v->link);
    go_on(v->walk);
}

static void visited(void *owner, const struct oz_reply *reply)
{
    struct visit *v = owner;
    struct walk *w = v->walk;

    if (reply->rc == OZ_GONE) {
        w->over = true;
    } else if (v->kind == REPORT && (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)) {
        v->kind = REPORT_READ;
        v->until = oz_now() + ANSWER_WITHIN;
        oz_list_append(&w->todo, &v->link);
        w->under_way--;
        go_on(w);
        return;
    } else if (v->kind == REPORT_READ && reply->rc == OZ_OK) {
        if (reply->len == 0 && oz_now() < v->until && !oz_task_abandoned(&w->task)) {
            oz_timer_set(oz_session_timers(w->task.cluster->session), &v->timer, oz_now() + POLL_AFTER, poll_report, v);
            return;
        }
        if (reply->len)
            report_read(w, v, reply);
        oz_erase(w->task.cluster->session, v->path);
    } else if (reply->rc == OZ_DENIED) {
        w->error = ODEZK_EAUTH;
    } else if (reply->rc == OZ_OK) {
        if (v->kind == LOCK)
            lock_read(w, v, reply);
        else if (v->kind == SEAT)
            seat_read(w, v, reply);
        else
            children_read(w, v, reply);
    } /* otherwise it is there no more */
    w->under_way--;
    free_visit(v);
    go_on(w);
}

static bool submit(struct walk *w, struct visit *v)
{
    struct oz_request request = {.verb = OZ_CHILDREN, .path = v->path, .retry = true};

    if (v->kind == LOCK || v->kind == SEAT || v->kind == REPORT_READ)
        request.verb = OZ_GET;
    if (v->kind == REPORT) {
        request.verb = OZ_CREATE;
        request.flags = OZ_EPHEMERAL;
    }
    return oz_submit(w->task.cluster->session, &request, visited, v) != NULL;
}

static int compare_infos(const void *a, const void *b)
{
    const struct info *const *x = a, *const *y = b;
    int by_space = strcmp((*x)->info.space, (*y)->info.space);

    return by_space ? by_space : strcmp((*x)->info.key, (*y)->info.key);
}

static bool is_asked(const struct walk *w, const char *path)
{
    const struct oz_list *node;

    oz_list_each(node, &w->todo)
        if (strcmp(oz_container(node, struct visit, link)->path, path) == 0)
            return true;
    return false;
}

/* Each holder that has an inbox is asked once which of its locks are in use. */
static void ask_for_reports(struct walk *w)
{
    struct owned_list *r = w->result;
    const char *last = "";
    size_t i;

    w->reports_asked = true;
    for (i = 0; i < r->count; i++) {
        const char *inbox = r->infos[i]->inbox;
        char *path;

        if (!*inbox || strcmp(inbox, last) == 0)
            continue;
        last = inbox;
        path = oz_format("%s/inbox/%s/%s.%016" PRIx64 ".%u", w->task.cluster->root, inbox, OZ_INBOX_REPORT,
                         (uint64_t)oz_session_id(w->task.cluster->session), w->number);
        if (path && is_asked(w, path))
            free(path);
        else
            add_visit(w, REPORT, path);
    }
}

static void complete(struct walk *w)
{
    struct owned_list *r = w->result;
    size_t i;

    if (r->count)
        qsort(r->infos, r->count, sizeof *r->infos, compare_infos);
    r->view = oz_alloc((r->count + 1) * sizeof *r->view);
    for (i = 0; r->view && i < r->count; i++) {
        struct info *info = r->infos[i];

        if (info->info.waiter_count)
            qsort(info->waiters, info->info.waiter_count, sizeof *info->waiters, compare_waiters);
        info->info.waiters = info->waiters;
        r->view[i] = info->info;
    }
    r->list.count = r->count;
    r->list.locks = r->view;
    oz_task_finish(&w->task, r->view ? ODEZK_OK : ODEZK_ENOMEM, NULL);
}

/* Makes the next requests, as many as may be under way; the end when there is nothing left. */
static void go_on(struct walk *w)
{
    struct oz_list *node;

    while (!w->over && !w->error && w->under_way < WINDOW && (node = oz_list_pop(&w->todo)) != NULL) {
        struct visit *v = oz_container(node, struct visit, link);

        if (submit(w, v)) {
            w->under_way++;
        } else {
            free_visit(v);
            w->error = ODEZK_ENOMEM;
        }
    }
    if (w->under_way > 0)
        return;
    if (w->over) {
        oz_task_again(&w->task);
    } else if (w->error) {
        oz_task_finish(&w->task, w->error, NULL);
    } else if (!w->reports_asked) {
        ask_for_reports(w);
        go_on(w);
    } else {
        complete(w);
    }
}

static void run_walk(struct oz_task *task)
{
    struct walk *w = (struct walk *)task;

    reset(w);
    w->result = oz_alloc(sizeof *w->result);
    if (!w->result)
        w->error = ODEZK_ENOMEM;
    add_visit(w, SPACES, oz_format("%s/locks", task->cluster->root));
    add_visit(w, QUEUE_SPACES, oz_format("%s/queue", task->cluster->root));
    go_on(w);
}

int odezk_lock_list_read(odezk_cluster *cluster, const char *space, int timeout_ms, odezk_lock_list **out)
{
    static atomic_uint calls;
    struct walk *w;
    int rc = oz_cluster_check_blocking(cluster);

    if (rc != ODEZK_OK)
        return rc;
    if (!out || timeout_ms < 0 || (space && !oz_is_name(space, "")))
        return oz_fail(ODEZK_EINVAL, "a space of A-Z a-z 0-9 . _ - or none, a time of 0 ms or more, and a place for "
                                     "the list are needed");
    w = oz_alloc(sizeof *w);
    if (!w)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    oz_list_init(&w->todo);
    oz_task_init(&w->task, run_walk, destroy_walk);
    w->number = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    w->space = space ? oz_strdup(space) : NULL;
    if (space && !w->space)
        rc = oz_fail(ODEZK_ENOMEM, "out of memory");
    else
        rc = oz_task_run(cluster, &w->task, timeout_ms);
    if (rc == ODEZK_OK) {
        *out = &w->result->list;
        w->result = NULL;
    }
    oz_task_unref(&w->task);
    return rc;
}

/* ---- ending a grant ---- */

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
    bool unguarded; /* the holder is no member any more, and still has the lock */
    bool begun;     /* whatever ends it from here on, it was there */
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

/* A holder whose znode was removed is still to be told, once it reads its inbox again. */
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

static void poll(struct ending *e)
{
    oz_timer_set(oz_session_timers(e->task.cluster->session), &e->timer, oz_now() + POLL_AFTER, look, e);
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
    e->waits = e->until || reply->rc == OZ_NONODE; /* a member makes an inbox that is missing anew */
    poll(e);
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
        poll(e);
    } else if (reply->rc == OZ_NONODE && e->waits && !e->unguarded && reply->failed == 1) {
        e->deleting = false;
        forget_holder(e); /* it answers after all: asked again, should it still have the lock */
        poll(e);
    } else {
        look(e); /* whatever the outcome is, it shows there */
    }
}

/* If the holder's session ends now, or the holder answers, another may have the lock when the delete arrives. */
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
        poll(e);
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
    const char *mistake;
    int rc = oz_cluster_check_blocking(cluster);

    if (rc != ODEZK_OK)
        return rc;
    mistake = space && key ? oz_lock_mistake(space, key) : "a lock has a space and a key";
    if (mistake || timeout_ms < 0)
        return oz_fail(ODEZK_EINVAL, "%s", mistake ? mistake : "a time of 0 ms or more is needed");
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
