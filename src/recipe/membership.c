#include "recipe/membership.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trouble.h"
#include "recipe/process.h"
#include "znode/fields.h"
#include "znode/names.h"
#include "znode/paths.h"
#include "znode/seat.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oz_membership {
    struct oz_membership_options options;
    struct oz_session *session;
    char *dir, *id;
    bool started, leaving, refused;
    struct oz_view view;
    bool ready;

    struct oz_seat *seat;
    struct oz_op *list_op;
    bool list_seated; /* the list under way was asked for when the seat was taken already */
    bool list_again;
    struct oz_watch list_watch;
    struct oz_timer retry;
    struct oz_trouble list_trouble;

    /* The one before us with the same id. */
    struct oz_node former;
    struct oz_op *former_op;
    struct oz_watch former_watch;
    struct oz_timer former_retry;
    struct oz_trouble former_trouble;
    int64_t former_written; /* mzxid of the last contents that were seen */
    int former_writes;
    char former_text[192];

    char path[1200]; /* of the lease write */
    void (*left)(void *arg);
    void *left_arg;
};

static void step(void *arg);

/* ---- views ---- */

int64_t oz_incarnation(int32_t seq)
{
    return (int64_t)(uint32_t)seq;
}

static bool parse_name(const char *name, struct oz_node *node)
{
    size_t prefix;
    int32_t seq;

    if (!oz_name_split(name, &prefix, &seq) || prefix == 0 || prefix >= sizeof node->id)
        return false;
    memcpy(node->id, name, prefix);
    node->id[prefix] = '\0';
    node->seq = seq;
    return true;
}

void oz_node_name(const struct oz_node *node, char name[OZ_MEMBER_NAME_SIZE])
{
    snprintf(name, OZ_MEMBER_NAME_SIZE, "%s#%010" PRId32, node->id, node->seq);
}

static int compare_nodes(const void *a, const void *b)
{
    const struct oz_node *x = a, *y = b;
    int by_id = strcmp(x->id, y->id);

    return by_id ? by_id : oz_seq_compare(x->seq, y->seq);
}

int oz_view_parse(struct oz_view *view, const char *const *names, size_t count)
{
    struct oz_node *nodes = oz_alloc((count + 1) * sizeof *nodes);
    size_t i, n = 0, kept = 0;

    if (!nodes)
        return -1;
    for (i = 0; i < count; i++)
        if (parse_name(names[i], &nodes[n]))
            n++;
    qsort(nodes, n, sizeof *nodes, compare_nodes);
    for (i = 0; i < n; i++)
        if (kept == 0 || strcmp(nodes[kept - 1].id, nodes[i].id) != 0)
            nodes[kept++] = nodes[i];
    view->nodes = nodes;
    view->count = kept;
    return 0;
}

void oz_view_free(struct oz_view *view)
{
    free(view->nodes);
    *view = (struct oz_view){0};
}

const struct oz_node *oz_view_find(const struct oz_view *view, const char *id)
{
    size_t low = 0, high = view->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(view->nodes[middle].id, id);

        if (order == 0)
            return &view->nodes[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Tells what differs; both are sorted by id. */
static void tell_differences(struct oz_membership *m, const struct oz_view *old, const struct oz_view *now)
{
    size_t i = 0, k = 0;

    while (i < old->count || k < now->count) {
        int order = i == old->count ? 1 : k == now->count ? -1 : strcmp(old->nodes[i].id, now->nodes[k].id);

        if (order < 0) {
            m->options.changed(m->options.arg, ODEZK_MEMBER_LEFT, &old->nodes[i++]);
        } else if (order > 0) {
            m->options.changed(m->options.arg, ODEZK_MEMBER_JOINED, &now->nodes[k++]);
        } else {
            if (old->nodes[i].seq != now->nodes[k].seq)
                m->options.changed(m->options.arg, ODEZK_MEMBER_RESTARTED, &now->nodes[k]);
            i++;
            k++;
        }
    }
}

/* ---- the previous process with our id ---- */

static void forget_former(struct oz_membership *m)
{
    oz_watch_disarm(m->session, &m->former_watch);
    oz_timer_clear(oz_session_timers(m->session), &m->former_retry);
    oz_op_detach(m->former_op);
    m->former_op = NULL;
    m->former = (struct oz_node){0};
    m->former_written = 0;
    m->former_writes = 0;
    m->former_text[0] = '\0';
}

static void refuse(struct oz_membership *m, int error, const char *why)
{
    m->refused = true;
    forget_former(m);
    m->seat = oz_seat_leave(m->seat);
    m->options.refused(m->options.arg, error, why);
}

static void refuse_duplicate(struct oz_membership *m)
{
    char *why = oz_format("a living node has the id %s: %s", m->id, m->former_text);

    refuse(m, ODEZK_EDUPLICATE, why ? why : "a living node has this id");
    free(why);
}

static void ask_former(struct oz_membership *m);

static void former_changed(void *owner)
{
    struct oz_membership *m = owner;

    oz_op_detach(m->former_op); /* it read too early, and has no watch any more */
    m->former_op = NULL;
    ask_former(m);
}

/* How many writes of its znode, which a node makes six times per session timeout, prove that the process is alive. One
 * may have been under way when it died, so it takes two; but only one if the process is still there when the write has
 * come. Without any, it may just be about to end: a restart does not always wait for that. */
static int writes_of_the_living(enum oz_process process)
{
    switch (process) {
    case OZ_PROCESS_SELF:
        return INT_MAX;
    case OZ_PROCESS_OTHER:
        return 1;
    default:
        return 2;
    }
}

static void former_failed(struct oz_membership *m, enum oz_rc rc)
{
    int64_t pause = oz_trouble_pause(&m->former_trouble, "odezk.member", "read", m->former_watch.path, oz_rc_name(rc));

    oz_watch_disarm(m->session, &m->former_watch);
    oz_session_later(m->session, &m->former_retry, pause, former_changed, m);
}

static void former_read(void *owner, const struct oz_reply *reply)
{
    struct oz_membership *m = owner;
    enum oz_process process;
    char host[96];

    m->former_op = NULL;
    if (reply->rc != OZ_OK) { /* when it is gone, the list tells */
        if (reply->rc != OZ_NONODE && reply->rc != OZ_GONE)
            former_failed(m, reply->rc);
        return;
    }
    oz_trouble_end(&m->former_trouble);
    oz_field_copy(reply->data, "host", host, sizeof host);
    snprintf(m->former_text, sizeof m->former_text, "host %s, pid %" PRId64, *host ? host : "unknown",
             oz_field_int(reply->data, "pid"));
    process = oz_process_look(reply->data, m->options.handle);
    if (m->former_written && reply->stat.mzxid != m->former_written)
        m->former_writes++;
    else if (!m->former_written)
        m->options.waiting(m->options.arg, m->former_text);
    m->former_written = reply->stat.mzxid;
    if (m->former_writes >= writes_of_the_living(process))
        refuse_duplicate(m);
}

static void ask_former(struct oz_membership *m)
{
    char path[1200], name[OZ_MEMBER_NAME_SIZE];
    struct oz_request request = {.verb = OZ_GET, .path = path, .watch = true, .retry = true};

    if (m->former_op || !m->former.id[0])
        return;
    oz_node_name(&m->former, name);
    snprintf(path, sizeof path, "%s/%s", m->dir, name);
    if (oz_watch_arm(m->session, &m->former_watch, path, former_changed, m))
        m->former_op = oz_submit(m->session, &request, former_read, m);
    if (!m->former_op)
        oz_session_later(m->session, &m->former_retry, OZ_RETRY_AFTER, former_changed, m);
}

/* ---- the list of members ---- */

static void become_ready(struct oz_membership *m, const struct oz_node *self)
{
    forget_former(m);
    if (m->ready)
        return;
    m->ready = true;
    m->options.ready(m->options.arg, self);
}

static void become_unready(struct oz_membership *m)
{
    if (!m->ready)
        return;
    m->ready = false;
    m->options.unready(m->options.arg);
}

static bool listed(const char *const *names, size_t count, const char *name)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What the list means for ourselves. */
static void find_self(struct oz_membership *m, const struct oz_reply *reply)
{
    const struct oz_node *self = oz_view_find(&m->view, m->id);

    if (!oz_seat_taken(m->seat))
        return;
    if (!listed(reply->names, reply->count, oz_seat_name(m->seat))) {
        if (!m->list_seated) { /* the list may be older than the seat */
            m->list_again = true;
            return;
        }
        oz_warn("member", "the member znode %s was removed: joining again", oz_seat_path(m->seat));
        m->seat = oz_seat_forget(m->seat);
        become_unready(m);
    } else if (self && self->seq == oz_seat_seq(m->seat)) {
        become_ready(m, self);
    } else if (self && (self->seq != m->former.seq || !m->former.id[0])) {
        forget_former(m);
        m->former = *self;
        ask_former(m);
    }
}

static void apply_list(struct oz_membership *m, const struct oz_reply *reply)
{
    struct oz_view old = m->view, now;

    if (oz_view_parse(&now, reply->names, reply->count) != 0) {
        m->list_again = true;
        oz_session_later(m->session, &m->retry, OZ_RETRY_AFTER, step, m);
        return;
    }
    m->view = now;
    tell_differences(m, &old, &now);
    oz_view_free(&old);
    m->options.viewed(m->options.arg);
    if (m->id && !m->leaving)
        find_self(m, reply);
}

/* The server has set no watch. */
static void list_failed(struct oz_membership *m, enum oz_rc rc)
{
    int64_t pause = oz_trouble_pause(&m->list_trouble, "odezk.member", "list", m->dir, oz_rc_name(rc));

    oz_watch_disarm(m->session, &m->list_watch);
    m->list_again = true;
    oz_session_later(m->session, &m->retry, pause, step, m);
}

static void list_read(void *owner, const struct oz_reply *reply)
{
    struct oz_membership *m = owner;

    m->list_op = NULL;
    if (reply->rc == OZ_OK) {
        oz_trouble_end(&m->list_trouble);
        apply_list(m, reply);
    } else if (reply->rc == OZ_NONODE) { /* there are no members, and we are none any more */
        oz_watch_disarm(m->session, &m->list_watch);
        apply_list(m, reply);
        if (!m->id) { /* who only watches makes nothing, and so has to look again */
            m->list_again = true;
            oz_session_later(m->session, &m->retry, 500 * OZ_MS, step, m);
            return;
        } /* who takes a seat makes the directory, and then lists again */
    } else if (reply->rc == OZ_DENIED) {
        refuse(m, ODEZK_EAUTH, "ZooKeeper denied access to the members");
        return;
    } else {
        if (reply->rc != OZ_GONE)
            list_failed(m, reply->rc);
        return;
    }
    step(m);
}

static void list_changed(void *owner)
{
    struct oz_membership *m = owner;

    m->list_again = true;
    step(m);
}

static bool read_list(struct oz_membership *m)
{
    struct oz_request request = {.verb = OZ_CHILDREN, .path = m->dir, .watch = true, .retry = true};

    if (!oz_watch_arm(m->session, &m->list_watch, m->dir, list_changed, m))
        return false;
    m->list_seated = oz_seat_taken(m->seat);
    m->list_op = oz_submit(m->session, &request, list_read, m);
    return m->list_op != NULL;
}

static void seat_taken(void *owner, struct oz_seat *seat, enum oz_rc rc)
{
    struct oz_membership *m = owner;

    if (rc == OZ_OK) {
        bool listing = m->list_op != NULL;

        oz_debug("member", "took %s", oz_seat_path(seat));
        if (!listing) /* otherwise the list under way was sent behind the create, and shows it */
            m->list_again = true;
        else
            m->list_again |= !m->list_watch.path;
        step(m);
        return;
    }
    m->seat = oz_seat_forget(seat);
    if (rc != OZ_GONE) {
        char *why = oz_format("cannot make a znode below %s: %s", m->dir, oz_rc_name(rc));

        refuse(m, rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER, why ? why : "cannot make the member znode");
        free(why);
    }
}

static bool take_seat(struct oz_membership *m)
{
    const char *data = m->options.data(m->options.arg);

    if (data)
        m->seat = oz_seat_take(m->session, m->dir, m->id, data, seat_taken, m);
    return m->seat != NULL;
}

/* Does the next thing that is missing. Create and list travel in one flight. */
static void step(void *arg)
{
    struct oz_membership *m = arg;
    bool good = true;

    if (!m->started || m->leaving || m->refused || oz_session_id(m->session) == 0)
        return;
    if (m->id && !m->seat)
        good = take_seat(m);
    if (good && !m->list_op && m->list_again) {
        m->list_again = false;
        good = read_list(m);
        m->list_again = !good;
    }
    if (!good)
        oz_session_later(m->session, &m->retry, OZ_RETRY_AFTER, step, m);
}

/* ---- the session's events ---- */

static void tell_left(struct oz_membership *m)
{
    void (*left)(void *arg) = m->left;

    m->left = NULL;
    if (left)
        left(m->left_arg);
}

static void session_event(void *self, enum oz_session_event event)
{
    struct oz_membership *m = self;

    if (event == OZ_UP) {
        m->list_again = true;
        step(m);
    } else if (event == OZ_DOWN) {
        forget_former(m);
        m->seat = oz_seat_forget(m->seat);
        oz_op_detach(m->list_op);
        m->list_op = NULL;
        oz_timer_clear(oz_session_timers(m->session), &m->retry);
        become_unready(m);
        tell_left(m);
    }
}

static bool lease_write(void *arg, const char **path, const char **data)
{
    struct oz_membership *m = arg;

    if (!oz_seat_taken(m->seat) || !m->ready)
        return false;
    *data = m->options.data(m->options.arg);
    snprintf(m->path, sizeof m->path, "%s", oz_seat_path(m->seat));
    *path = m->path;
    return *data != NULL;
}

/* ---- its life ---- */

struct oz_membership *oz_membership_new(const struct oz_membership_options *options)
{
    struct oz_membership *m = oz_alloc(sizeof *m);
    struct oz_listener listener = {session_event, m};

    if (!m)
        return NULL;
    m->options = *options;
    m->session = options->session;
    m->dir = oz_path_members(options->root);
    m->id = options->id ? oz_strdup(options->id) : NULL;
    if (!m->dir || (options->id && !m->id)) {
        oz_membership_free(m);
        return NULL;
    }
    oz_session_listen(m->session, &listener);
    if (m->id)
        oz_session_set_lease_write(m->session, lease_write, m);
    return m;
}

void oz_membership_start(struct oz_membership *m)
{
    m->started = true;
    m->list_again = true;
    step(m);
}

const struct oz_view *oz_membership_view(const struct oz_membership *m)
{
    return &m->view;
}

static void seat_deleted(void *owner, const struct oz_reply *reply)
{
    (void)reply;
    tell_left(owner);
}

void oz_membership_leave(struct oz_membership *m, void (*left)(void *arg), void *arg)
{
    struct oz_request request = {.verb = OZ_DELETE, .retry = true};
    bool sent = false;

    m->leaving = true;
    m->left = left;
    m->left_arg = arg;
    forget_former(m);
    oz_watch_disarm(m->session, &m->list_watch);
    oz_timer_clear(oz_session_timers(m->session), &m->retry);
    if (oz_seat_taken(m->seat) && oz_session_connected(m->session)) {
        request.path = oz_seat_path(m->seat);
        sent = oz_submit(m->session, &request, seat_deleted, m) != NULL;
    }
    m->seat = oz_seat_taken(m->seat) ? oz_seat_forget(m->seat) : oz_seat_leave(m->seat);
    become_unready(m);
    if (!sent)
        tell_left(m);
}

void oz_membership_free(struct oz_membership *m)
{
    if (!m)
        return;
    oz_view_free(&m->view);
    oz_seat_forget(m->seat);
    free(m->dir);
    free(m->id);
    free(m);
}
