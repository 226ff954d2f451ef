/* The list of locks for operators: who holds which one, and who waits. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/names.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_WITHIN OZ_SECOND

/* ---- the list that the user gets ---- */

/* What is known of a lock so far. */
struct info {
    struct oz_map_node node; /* by name */
    char *name;              /* "space/key" */
    char *space, *key;
    char *holder, *host; /* "" when nobody holds it */
    char *inbox;         /* of the holder, "" when it has none */
    int64_t pid, since_ms, token;
    odezk_lock_use use;
    odezk_lock_waiter *waiters; /* first come first */
    int32_t *seqs;              /* of their seats */
    size_t waiter_count;
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

    for (k = 0; k < i->waiter_count; k++) {
        free((char *)i->waiters[k].node);
        free((char *)i->waiters[k].host);
    }
    free(i->waiters);
    free(i->seqs);
    free(i->name);
    free(i->space);
    free(i->key);
    free(i->holder);
    free(i->host);
    free(i->inbox);
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
    int64_t until; /* REPORT_READ: how long to wait for the holder */
};

struct walk {
    struct oz_task task;
    char *space;     /* NULL: all */
    unsigned number; /* makes this call's requests to holders unique */
    struct owned_list *result;
    struct oz_list todo;
    int under_way;
    bool over; /* the session ended: start over */
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

/* Takes ownership of the path. */
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
    i->space = oz_strndup(name, space_len);
    i->key = oz_strdup(name + space_len + 1);
    i->holder = oz_strdup("");
    i->host = oz_strdup("");
    i->inbox = oz_strdup("");
    if (i->name && i->space && i->key && i->holder && i->host && i->inbox)
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

/* The entry for a lock, added if it is new. NULL when the znode has no name of ours, or when out of memory. */
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

static void replace(struct walk *w, char **place, char *text)
{
    if (!text) {
        w->error = ODEZK_ENOMEM;
        return;
    }
    free(*place);
    *place = text;
}

static void lock_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    size_t space_len, len;
    const char *space = component(v->path, 2, &space_len), *encoded = component(v->path, 0, &len);
    struct info *i = find_info(w, space, space_len, encoded, len);

    if (!i)
        return;
    replace(w, &i->holder, field(reply->data, "node"));
    replace(w, &i->host, field(reply->data, "host"));
    replace(w, &i->inbox, field(reply->data, "inbox"));
    i->pid = oz_field_int(reply->data, "pid");
    i->since_ms = reply->stat.ctime_ms;
    i->token = reply->stat.czxid;
    i->use =
        *i->inbox ? ODEZK_LOCK_UNKNOWN : ODEZK_LOCK_BUSY; /* without an inbox a holder keeps no lock it does not use */
}

/* Makes room for one that waits with this sequence number, which grows with each newcomer, unlike the time in
 * milliseconds. NULL when out of memory. */
static odezk_lock_waiter *insert_waiter(struct info *i, int32_t seq)
{
    odezk_lock_waiter *waiters = oz_realloc(i->waiters, (i->waiter_count + 1) * sizeof *waiters);
    int32_t *seqs = waiters ? oz_realloc(i->seqs, (i->waiter_count + 1) * sizeof *seqs) : NULL;
    size_t at = i->waiter_count;

    i->waiters = waiters ? waiters : i->waiters;
    if (!seqs)
        return NULL;
    i->seqs = seqs;
    for (; at > 0 && oz_seq_compare(seqs[at - 1], seq) > 0; at--) {
        waiters[at] = waiters[at - 1];
        seqs[at] = seqs[at - 1];
    }
    seqs[at] = seq;
    i->waiter_count++;
    return &waiters[at];
}

static void seat_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    size_t space_len, len, prefix;
    const char *space = component(v->path, 2, &space_len), *name = component(v->path, 0, &len);
    int32_t seq;
    struct info *i =
        oz_name_split(name, &prefix, &seq) ? find_info(w, space, space_len, name, strcspn(name, "#")) : NULL;
    odezk_lock_waiter *waiter = i ? insert_waiter(i, seq) : NULL;

    if (waiter)
        *waiter = (odezk_lock_waiter){.node = field(reply->data, "node"),
                                      .host = field(reply->data, "host"),
                                      .pid = oz_field_int(reply->data, "pid"),
                                      .since_ms = reply->stat.ctime_ms};
    if (i && (!waiter || !waiter->node || !waiter->host))
        w->error = ODEZK_ENOMEM;
}

static bool is_truncated(const struct oz_reply *report)
{
    static const char last[] = "\n" OZ_REPORT_TRUNCATED "\n";
    size_t len = sizeof last - 1;

    return report->len >= len && memcmp(report->data + report->len - len, last, len) == 0;
}

static void report_line(struct walk *w, const char *line, size_t len)
{
    const char *slash = memchr(line, '/', len);
    struct oz_buf name = {0};
    struct oz_map_node *node = NULL;

    if (slash) {
        oz_buf_add(&name, line, (size_t)(slash + 1 - line));
        if (oz_decode_key(&name, slash + 1, (size_t)(line + len - slash - 1)) && !oz_buf_failed(&name))
            node = oz_map_find(&w->result->by_name, oz_buf_str(&name));
    }
    if (node)
        oz_container(node, struct info, node)->use = ODEZK_LOCK_BUSY;
    oz_buf_free(&name);
}

/* A report lists the locks that are in use in the holder's process, one per line. Its other locks are sticky, unless
 * not all that are in use had room. */
static void report_read(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    struct owned_list *r = w->result;
    size_t len, k;
    const char *member = component(v->path, 1, &len), *line, *end;
    bool complete = !is_truncated(reply);

    for (k = 0; complete && k < r->count; k++)
        if (strlen(r->infos[k]->inbox) == len && memcmp(r->infos[k]->inbox, member, len) == 0)
            r->infos[k]->use = ODEZK_LOCK_STICKY;
    for (line = reply->data; *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        report_line(w, line, (size_t)(end - line));
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

static void visit_again(void *arg)
{
    struct visit *v = arg;

    v->walk->under_way--;
    oz_list_append(&v->walk->todo, &v->link);
    go_on(v->walk);
}

/* Whether the visit goes on, because the holder has not written its report yet. */
static bool awaits_report(struct visit *v, const struct oz_reply *reply)
{
    struct walk *w = v->walk;

    if (v->kind == REPORT && (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)) {
        v->kind = REPORT_READ;
        v->until = oz_now() + ANSWER_WITHIN;
        visit_again(v);
        return true;
    }
    if (v->kind == REPORT_READ && reply->rc == OZ_OK && reply->len == 0 && oz_now() < v->until &&
        !oz_task_abandoned(&w->task)) {
        oz_session_later(w->task.cluster->session, &v->timer, OZ_POLL_AFTER, visit_again, v);
        return true;
    }
    return false;
}

static void take_in(struct walk *w, const struct visit *v, const struct oz_reply *reply)
{
    if (v->kind == LOCK) {
        lock_read(w, v, reply);
    } else if (v->kind == SEAT) {
        seat_read(w, v, reply);
    } else if (v->kind == REPORT_READ) {
        if (reply->len)
            report_read(w, v, reply);
        oz_erase(w->task.cluster->session, v->path);
    } else {
        children_read(w, v, reply);
    }
}

static void visited(void *owner, const struct oz_reply *reply)
{
    struct visit *v = owner;
    struct walk *w = v->walk;

    if (awaits_report(v, reply))
        return;
    if (reply->rc == OZ_GONE)
        w->over = true;
    else if (reply->rc == OZ_DENIED)
        w->error = ODEZK_EAUTH;
    else if (reply->rc == OZ_OK)
        take_in(w, v, reply); /* any other code: the znode has gone meanwhile */
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
    int by_space = strcmp((*x)->space, (*y)->space);

    return by_space ? by_space : strcmp((*x)->key, (*y)->key);
}

static bool is_asked(const struct walk *w, const char *path)
{
    const struct oz_list *node;

    oz_list_each(node, &w->todo)
        if (strcmp(oz_container(node, struct visit, link)->path, path) == 0)
            return true;
    return false;
}

/* Asks each holder that has an inbox, once, which of its locks are in use. */
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

static odezk_lock_info show(const struct info *i)
{
    return (odezk_lock_info){.space = i->space,
                             .key = i->key,
                             .node = i->holder,
                             .host = i->host,
                             .pid = i->pid,
                             .since_ms = i->since_ms,
                             .token = i->token,
                             .use = i->use,
                             .waiter_count = i->waiter_count,
                             .waiters = i->waiters};
}

static void complete(struct walk *w)
{
    struct owned_list *r = w->result;
    size_t i;

    if (r->count)
        qsort(r->infos, r->count, sizeof *r->infos, compare_infos);
    r->view = oz_alloc((r->count + 1) * sizeof *r->view);
    for (i = 0; r->view && i < r->count; i++)
        r->view[i] = show(r->infos[i]);
    r->list.count = r->count;
    r->list.locks = r->view;
    oz_task_finish(&w->task, r->view ? ODEZK_OK : ODEZK_ENOMEM, NULL);
}

/* Makes the next requests, as many as the window allows; completes the walk when nothing is left. */
static void go_on(struct walk *w)
{
    struct oz_list *node;

    while (!w->over && !w->error && w->under_way < OZ_WINDOW && (node = oz_list_pop(&w->todo)) != NULL) {
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

    if (rc == ODEZK_OK && space && !oz_is_name(space, ""))
        rc = oz_fail(ODEZK_EINVAL, "a space is 1 to 64 characters of A-Z a-z 0-9 . _ -");
    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc == ODEZK_OK)
        rc = oz_check_out(out);
    if (rc != ODEZK_OK)
        return rc;
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
