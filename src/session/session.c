#include "session/session.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/config.h"
#include "session/lease.h"
#include "session/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LISTENERS 8
#define IN_FLIGHT 1000 /* more only queues up in the server, and far more would break the C client's pipe */
#define STATES 16
#define RETRY_AFTER (100 * OZ_MS)
#define STUCK_TIMEOUTS 3 /* without any answer from a connection that claims to be alive */

/* One client handle. It outlives its session until all its threads are gone. */
struct conn {
    struct oz_session *session;
    void *port;
    struct oz_list ops; /* in flight; the dispatcher's */
    int in_flight;
    int64_t opened;
    char *all;       /* servers, as they were looked up */
    char *hosts;     /* those that the client has: perhaps without a silent one */
    bool fewer;      /* that is so */
    char left[64];   /* the address that it was told to move away from, */
    int64_t left_at; /* and when */
    pthread_t closer;
    bool has_closer;
    struct oz_msg closed_msg;

    pthread_mutex_t lock; /* guards what follows: the client's threads write it */
    enum oz_port_state states[STATES];
    int state_count;
    bool watch_lost; /* a watch event found no memory: all watches fire */
    bool posted;
    struct oz_msg msg;
};

struct oz_op {
    struct oz_msg msg; /* carries the reply to the dispatcher */
    struct oz_list link;
    struct conn *conn; /* while in flight */
    struct oz_request request;
    oz_op_cb cb;
    void *owner;
    int64_t sent, acked;
    struct oz_reply reply;
    void *reply_memory;
    unsigned cuts;             /* of the session's, when it was submitted */
    bool answered;             /* with OZ_GONE, before its real reply came */
    struct oz_request items[]; /* of a multi; behind them what the requests' pointers point to */
};

struct watch_msg {
    struct oz_msg msg;
    struct conn *conn;
    char path[];
};

struct oz_session {
    struct oz_dispatch *dispatch;
    struct oz_timers *timers;
    const struct oz_port_class *port;
    struct oz_session_options options;
    struct oz_listener listeners[LISTENERS];
    int listener_count;
    char *servers, *auth, *root;
    int timeout_ms;
    int64_t margin_ms, lag_ms, period_ms; /* -1: from the negotiated timeout */

    odezk_session_state state;
    uint64_t generation;
    struct oz_identity identity;
    struct conn *conn; /* the present one */
    int conns;         /* with those that are still being closed */
    unsigned cuts;     /* how often the connection was lost */
    bool connected;    /* to a server, as far as was heard */
    bool up;           /* the listeners know of the session */
    bool granting;
    const char *loss;
    struct oz_resolver *resolver;
    struct oz_timer resolve_timer, lapse_timer, lease_timer, silence_timer, flush_timer, fail_timer;
    const char *failure;
    struct oz_list parked; /* requests that wait for a connection, in order */
    struct oz_map watches;
    struct oz_lease lease;
    int64_t brief_end; /* a lease that ends here is not worth beginning with */
    int64_t period;
    int lease_pending;
    int64_t waits_since; /* for an answer to a lease write */
    bool silence_late;
    bool slow_told;                         /* once a session is enough */
    int64_t moved_at, may_move, move_pause; /* when the next silent server may be left, and how long after that */
    bool (*lease_write)(void *arg, const char **path, const char **data);
    void *lease_write_arg;

    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    struct oz_msg closed_msg;
    bool closed_posted;
};

static void connect_now(void *arg);
static void resolve_now(void *arg);
static void flush(void *arg);
static void session_up(struct oz_session *s);
static void session_down(struct oz_session *s, const char *why);

/* ---- making and freeing ---- */

struct oz_session *oz_session_new(const struct oz_session_options *options)
{
    struct oz_session *s = oz_alloc(sizeof *s);
    const odezk_config *config = options->config;

    if (!s)
        return NULL;
    s->options = *options;
    s->options.config = NULL; /* not kept: what is needed is copied */
    s->dispatch = options->dispatch;
    s->timers = oz_dispatch_timers(options->dispatch);
    s->port = options->port;
    s->state = ODEZK_SESSION_CONNECTING;
    s->loss = "session";
    oz_list_init(&s->parked);
    s->servers = oz_strdup(odezk_config_get(config, "servers"));
    s->auth = oz_strdup(odezk_config_get(config, "auth"));
    s->root = oz_strdup(odezk_config_get(config, "base"));
    s->timeout_ms = (int)odezk_config_number(config, "session-timeout");
    s->margin_ms = odezk_config_number(config, "lease-margin");
    s->lag_ms = odezk_config_number(config, "lease-lag");
    s->period_ms = odezk_config_number(config, "lease-write-period");
    if (!s->servers || !s->auth || !s->root) {
        oz_session_free(s);
        return NULL;
    }
    return s;
}

void oz_session_free(struct oz_session *s)
{
    if (!s)
        return;
    oz_map_free(&s->watches);
    free(s->servers);
    free(s->auth);
    free(s->root);
    free(s);
}

void oz_session_listen(struct oz_session *s, const struct oz_listener *listener)
{
    if (s->listener_count < LISTENERS)
        s->listeners[s->listener_count++] = *listener;
}

static void tell(struct oz_session *s, enum oz_session_event event)
{
    int i;

    for (i = 0; i < s->listener_count; i++)
        s->listeners[i].event(s->listeners[i].self, event);
}

static void set_state(struct oz_session *s, odezk_session_state state, const char *why)
{
    if (s->state == state)
        return;
    s->state = state;
    oz_info("session", "%s, generation %llu%s%s", odezk_session_state_name(state), (unsigned long long)s->generation,
            why ? ": " : "", why ? why : "");
    s->options.state(s->options.arg, state, why);
}

/* ---- what is known ---- */

struct oz_dispatch *oz_session_dispatch(struct oz_session *s)
{
    return s->dispatch;
}

struct oz_timers *oz_session_timers(struct oz_session *s)
{
    return s->timers;
}

int64_t oz_session_id(const struct oz_session *s)
{
    return s->up ? s->identity.id : 0;
}

bool oz_session_connected(const struct oz_session *s)
{
    return s->up && s->connected;
}

bool oz_session_granting(const struct oz_session *s)
{
    return s->granting && oz_now() < oz_lease_end(&s->lease);
}

const char *oz_session_loss(const struct oz_session *s)
{
    return s->loss;
}

odezk_session_state oz_session_state(const struct oz_session *s)
{
    return s->state;
}

uint64_t oz_session_generation(const struct oz_session *s)
{
    return s->generation;
}

int oz_session_timeout(const struct oz_session *s)
{
    return s->identity.timeout_ms;
}

const struct oz_identity *oz_session_identity(const struct oz_session *s)
{
    return &s->identity;
}

const char *oz_session_hosts(const struct oz_session *s)
{
    return s->conn ? s->conn->hosts : "";
}

int64_t oz_session_lease_end(const struct oz_session *s)
{
    return oz_lease_end(&s->lease);
}

/* ---- the lease ---- */

static void write_lease(void *arg);
static void port_disconnected(struct oz_session *s);

static void lose_lease(struct oz_session *s, const char *why)
{
    oz_timer_clear(s->timers, &s->lapse_timer);
    if (!s->granting)
        return;
    s->granting = false;
    s->loss = why;
    if (!s->closing)
        oz_warn("session", "the lease is lost (%s): no grant holds any more", why);
    tell(s, OZ_LEASE_LOST);
}

/* Must come before the lease is prolonged: a lapse is told even if the news that would prevent it came just then. */
static void check_lapse(void *arg)
{
    struct oz_session *s = arg;

    if (s->granting && oz_now() >= oz_lease_end(&s->lease))
        lose_lease(s, "lease");
}

static void after_lease_change(struct oz_session *s)
{
    int64_t end = oz_lease_end(&s->lease);

    if (!s->granting && s->up && s->connected && oz_now() < end && end > s->brief_end) {
        s->granting = true;
        tell(s, OZ_LEASE_HELD);
    }
    if (s->granting)
        oz_timer_set(s->timers, &s->lapse_timer, end, check_lapse, s);
}

static void lease_acked(struct oz_session *s, int64_t sent, int64_t acked, bool write)
{
    check_lapse(s);
    if (acked - sent > s->lease.lag / 2 && !s->slow_told) {
        s->slow_told = true;
        oz_warn("session", "an answer took %lld ms, the half of lease-lag and more",
                (long long)((acked - sent) / OZ_MS));
    }
    oz_lease_acked(&s->lease, sent, acked, write);
    after_lease_change(s);
}

static void lease_answered(struct oz_session *s, const struct oz_reply *reply)
{
    s->lease_pending--;
    if (reply->rc != OZ_UNKNOWN)
        s->waits_since = oz_now();
}

static void lease_written(void *owner, const struct oz_reply *reply)
{
    lease_answered(owner, reply);
}

/* A delete of what never existed passes the leader as any write does, and leaves nothing behind. */
#define NOWHERE_SIZE 512
static const char *nowhere(const struct oz_session *s, char path[NOWHERE_SIZE])
{
    snprintf(path, NOWHERE_SIZE, "%s/no-member-%llx", strcmp(s->root, "/") ? s->root : "",
             (unsigned long long)s->identity.id);
    return path;
}

static void send_write(struct oz_session *s)
{
    const char *path = NULL, *data = "";
    char nothing[NOWHERE_SIZE];
    struct oz_request request = {.verb = OZ_SET};

    if (s->lease_write && s->lease_write(s->lease_write_arg, &path, &data)) {
        request.data = data;
        request.len = strlen(data);
    } else {
        path = nowhere(s, nothing);
        request.verb = OZ_DELETE;
    }
    request.path = path;
    if (oz_submit(s, &request, lease_written, s))
        s->lease_pending++;
}

static void lease_synced(void *owner, const struct oz_reply *reply)
{
    struct oz_session *s = owner;

    lease_answered(s, reply);
    if (s->up && s->connected && reply->rc != OZ_UNKNOWN)
        send_write(s);
}

/* ---- a server that does not answer ---- */

/* The list without the servers at one address, the only thing that the C client tells them apart by. NULL when
 * nothing is left, or out of memory. */
static char *hosts_without(const char *hosts, const char *address)
{
    struct oz_buf b = {0};
    size_t len = strlen(address), chroot = strcspn(hosts, "/");
    const char *p = hosts;

    while (p < hosts + chroot) {
        size_t n = strcspn(p, ",/");
        const char *colon = memrchr(p, ':', n);

        if (!colon || (size_t)(colon - p) != len || memcmp(p, address, len) != 0) {
            if (b.len)
                oz_buf_putc(&b, ',');
            oz_buf_add(&b, p, n);
        }
        p += n + (p[n] == ',');
    }
    if (b.len)
        oz_buf_puts(&b, hosts + chroot);
    else
        b.failed = true;
    return oz_buf_take(&b);
}

/* A server that answers as servers should, a while after we came to it: were it silent then, it may be left at once. */
static void prove_server(struct oz_session *s, int64_t sent, int64_t acked)
{
    int64_t timeout = s->identity.timeout_ms * OZ_MS;

    if (sent > s->moved_at + timeout / 2 && acked - sent < timeout / 8)
        s->may_move = 0;
}

/* Leaves the silent server with the same session, long before the client itself would, and before the lease ends. As
 * long as no server proves better the next move comes later each time: a whole ensemble that is slow is not helped by
 * moving. */
static void leave_server(struct oz_session *s)
{
    int64_t now = oz_now(), timeout = s->identity.timeout_ms * OZ_MS;
    char address[64];
    char *hosts;

    if (now < s->may_move || !s->port->peer(s->conn->port, address, sizeof address))
        return;
    hosts = hosts_without(s->conn->all, address);
    if (!hosts)
        return;
    s->move_pause = s->may_move ? 2 * s->move_pause : timeout;
    if (s->move_pause > 10 * timeout)
        s->move_pause = 10 * timeout;
    s->moved_at = now;
    s->may_move = now + s->move_pause;
    oz_warn("session", "no answer from %s: moving to another server", address);
    if (s->port->set_hosts(s->conn->port, hosts)) {
        free(s->conn->hosts);
        s->conn->hosts = hosts;
        s->conn->fewer = true;
        memcpy(s->conn->left, address, sizeof address);
        s->conn->left_at = now;
        write_lease(s);       /* it is a request that wakes the client up */
        port_disconnected(s); /* of which the client itself says nothing */
    } else {
        free(hosts);
    }
}

static void look_for_silence(void *arg)
{
    struct oz_session *s = arg;
    int64_t now = oz_now(), patience = s->identity.timeout_ms * OZ_MS / 4;
    struct oz_op *oldest;

    if (!s->up || !s->connected || oz_list_empty(&s->conn->ops))
        return;
    oldest = oz_container(s->conn->ops.next, struct oz_op, link);
    if (now - oldest->sent < patience) {
        oz_timer_set(s->timers, &s->silence_timer, oldest->sent + patience, look_for_silence, s);
    } else if (now - oldest->sent < 2 * patience || s->silence_late) {
        s->silence_late = false;
        leave_server(s);
        oz_timer_set(s->timers, &s->silence_timer, now + patience / 2, look_for_silence, s);
    } else { /* we were stopped ourselves: the answer may be on its way through the client's threads */
        s->silence_late = true;
        oz_timer_set(s->timers, &s->silence_timer, now + patience / 8, look_for_silence, s);
    }
}

/* Regularly; but while nothing is granted, at the very moment at which an earlier one can be proven. */
static void schedule_lease_write(struct oz_session *s)
{
    int64_t now = oz_now(), at = now + s->period, proof = oz_lease_next(&s->lease);

    if (!s->granting && proof > now && proof < at) /* if not later, what was just sent is the proof */
        at = proof;
    oz_timer_set(s->timers, &s->lease_timer, at, write_lease, s);
}

/* Where there is something to prove a sync goes ahead: it costs the servers less than a write. */
static void write_lease(void *arg)
{
    struct oz_session *s = arg;
    struct oz_request sync = {.verb = OZ_SYNC, .path = s->root};
    int64_t proof = oz_lease_next(&s->lease);

    if (!s->up || !s->connected)
        return;
    if (s->lease_pending == 0)
        s->waits_since = oz_now();
    if (oz_now() - s->waits_since > STUCK_TIMEOUTS * s->identity.timeout_ms * OZ_MS) {
        session_down(s, "the client got stuck");
        return;
    }
    if (s->lease_pending < 4) {
        if (proof == 0 || proof > oz_now())
            send_write(s);
        else if (oz_submit(s, &sync, lease_synced, s))
            s->lease_pending++;
    }
    if (!s->silence_timer.armed)
        look_for_silence(s);
    schedule_lease_write(s);
}

void oz_session_set_lease_write(struct oz_session *s, bool (*write)(void *arg, const char **path, const char **data),
                                void *arg)
{
    s->lease_write = write;
    s->lease_write_arg = arg;
}

/* What was configured may not fit what the servers granted. They grant no less than two ticks, unless told otherwise;
 * so a quarter of the timeout is half a tick at least. */
static void check_lease(struct oz_session *s, int64_t timeout, int64_t *lag, int64_t *margin)
{
    if (*lag + *margin + s->period >= timeout) {
        oz_warn("session", "the lease settings do not fit a session timeout of %d ms: using those that do",
                s->identity.timeout_ms);
        *lag = timeout / OZ_LEASE_LAG_PART;
        *margin = timeout / OZ_LEASE_MARGIN_PART;
        s->period = timeout / OZ_LEASE_WRITE_PART;
    } else if (*lag < timeout / OZ_LEASE_LAG_PART) {
        oz_warn("session", "lease-lag is %lld ms: safe only if the servers' tickTime is below %lld ms",
                (long long)(*lag / OZ_MS), (long long)(2 * *lag / OZ_MS));
    }
}

static void start_lease(struct oz_session *s)
{
    int64_t timeout = s->identity.timeout_ms * OZ_MS;
    int64_t lag = s->lag_ms >= 0 ? s->lag_ms * OZ_MS : timeout / OZ_LEASE_LAG_PART;
    int64_t margin = s->margin_ms >= 0 ? s->margin_ms * OZ_MS : timeout / OZ_LEASE_MARGIN_PART;

    s->period = s->period_ms >= 0 ? s->period_ms * OZ_MS : timeout / OZ_LEASE_WRITE_PART;
    if (margin < timeout / OZ_LEASE_MARGIN_PART)
        margin = timeout / OZ_LEASE_MARGIN_PART;
    check_lease(s, timeout, &lag, &margin);
    s->lease_pending = 0;
    s->slow_told = false;
    s->brief_end = 0;
    oz_lease_start(&s->lease, timeout, lag, margin, s->conn->opened);
}

/* ---- requests ---- */

static char *copy_text(char **to, const void *from, size_t len)
{
    char *start = *to;

    if (len)
        memcpy(start, from, len);
    start[len] = '\0';
    *to += len + 1;
    return start;
}

static size_t text_size(const struct oz_request *r)
{
    return (r->path ? strlen(r->path) : 0) + r->len + 2;
}

static void copy_request(struct oz_request *to, const struct oz_request *from, char **text)
{
    *to = *from;
    to->path = copy_text(text, from->path ? from->path : "", from->path ? strlen(from->path) : 0);
    to->data = copy_text(text, from->data, from->len);
}

static struct oz_op *new_op(const struct oz_request *request)
{
    size_t size = text_size(request) + request->count * sizeof *request, i;
    struct oz_op *op;
    char *text;

    for (i = 0; i < request->count; i++)
        size += text_size(&request->items[i]);
    op = oz_alloc(sizeof *op + size);
    if (!op)
        return NULL;
    oz_list_init(&op->link);
    text = (char *)(op->items + request->count);
    copy_request(&op->request, request, &text);
    for (i = 0; i < request->count; i++)
        copy_request(&op->items[i], &request->items[i], &text);
    op->request.items = op->items;
    return op;
}

static void free_op(struct oz_op *op)
{
    oz_list_remove(&op->link);
    free(op->reply_memory);
    free(op);
}

static void finish_op(struct oz_op *op)
{
    oz_op_cb cb = op->cb;

    op->cb = NULL;
    if (cb)
        cb(op->owner, &op->reply);
    free_op(op);
}

void oz_op_detach(struct oz_op *op)
{
    if (op)
        op->cb = NULL;
}

/* An answer to any of these came by way of the leader. */
static bool passed_leader(const struct oz_op *op)
{
    switch (op->request.verb) {
    case OZ_CREATE:
    case OZ_DELETE:
    case OZ_SET:
    case OZ_MULTI:
    case OZ_SYNC:
        return op->reply.rc != OZ_UNKNOWN && op->reply.rc != OZ_GONE && op->reply.rc != OZ_FAILED;
    default:
        return false;
    }
}

static void flush_later(struct oz_session *s)
{
    if (!s->flush_timer.armed)
        oz_timer_set(s->timers, &s->flush_timer, oz_now() + RETRY_AFTER, flush, s);
}

static void op_replied(struct oz_msg *msg)
{
    struct oz_op *op = (struct oz_op *)msg;
    struct conn *conn = op->conn;
    struct oz_session *s = conn->session;

    oz_list_remove(&op->link);
    conn->in_flight--;
    if (op->answered) {
        free_op(op);
        return;
    }
    if (s->up && conn == s->conn && passed_leader(op)) {
        lease_acked(s, op->sent, op->acked, op->request.verb != OZ_SYNC);
        prove_server(s, op->sent, op->acked);
    }
    if (op->reply.rc == OZ_UNKNOWN && op->request.retry && op->cb) {
        free(op->reply_memory);
        op->reply_memory = NULL;
        op->conn = NULL;
        oz_list_append(&s->parked, &op->link);
        flush_later(s);
        return;
    }
    finish_op(op);
    if (!oz_list_empty(&s->parked) && !s->flush_timer.armed)
        flush(s);
}

/* False: the client does not take it; it stays in no list. */
static bool send_op(struct oz_session *s, struct oz_op *op)
{
    struct conn *conn = s->conn;

    op->msg.run = op_replied;
    op->conn = conn;
    op->sent = oz_now(); /* before it is sent: the lease counts from here */
    oz_list_append(&conn->ops, &op->link);
    conn->in_flight++;
    if (s->port->submit(conn->port, &op->request, op))
        return true;
    oz_list_remove(&op->link);
    conn->in_flight--;
    op->conn = NULL;
    return false;
}

static void flush(void *arg)
{
    struct oz_session *s = arg;
    struct oz_list *node;

    oz_timer_clear(s->timers, &s->flush_timer);
    while (s->connected && s->conn->in_flight < IN_FLIGHT && (node = oz_list_pop(&s->parked)) != NULL) {
        struct oz_op *op = oz_container(node, struct oz_op, link);

        /* Too late for what was not sent on the connection that it was meant for. */
        if (!op->request.retry && op->cuts != s->cuts) {
            op->reply.rc = OZ_UNKNOWN;
            finish_op(op);
            continue;
        }
        if (!send_op(s, op)) { /* the others stay behind it */
            oz_list_prepend(&s->parked, node);
            flush_later(s);
            return;
        }
    }
}

static void op_without_session(struct oz_msg *msg)
{
    struct oz_op *op = (struct oz_op *)msg;

    op->reply.rc = OZ_GONE;
    finish_op(op);
}

struct oz_op *oz_submit(struct oz_session *s, const struct oz_request *request, oz_op_cb cb, void *owner)
{
    struct oz_op *op = new_op(request);

    if (!op)
        return NULL;
    op->cb = cb;
    op->owner = owner;
    op->cuts = s->cuts;
    if (!s->conn || s->identity.id == 0) {
        op->msg.run = op_without_session;
        oz_dispatch_post(s->dispatch, &op->msg);
        return op;
    }
    oz_list_append(&s->parked, &op->link);
    if (s->parked.next == &op->link && !s->flush_timer.armed)
        flush(s);
    return op;
}

struct oz_op *oz_barrier(struct oz_session *s, oz_op_cb cb, void *owner)
{
    char path[NOWHERE_SIZE];
    struct oz_request request = {.verb = OZ_DELETE, .path = nowhere(s, path), .retry = true};

    return oz_submit(s, &request, cb, owner);
}

/* All requests of a session that is over are answered now; those in flight are freed when their client is gone. */
static void fail_ops(struct oz_session *s, struct conn *conn)
{
    struct oz_list parked, *node, *tmp;

    oz_list_init(&parked);
    oz_list_splice(&parked, &s->parked);
    oz_timer_clear(s->timers, &s->flush_timer);
    oz_list_each_safe(node, tmp, &conn->ops) {
        struct oz_op *op = oz_container(node, struct oz_op, link);
        oz_op_cb cb = op->cb;
        struct oz_reply gone = {.rc = OZ_GONE};

        op->answered = true;
        op->cb = NULL;
        if (cb)
            cb(op->owner, &gone);
    }
    while ((node = oz_list_pop(&parked)) != NULL) {
        struct oz_op *op = oz_container(node, struct oz_op, link);

        op->reply.rc = OZ_GONE;
        finish_op(op);
    }
}

/* ---- watches ---- */

bool oz_watch_arm(struct oz_session *s, struct oz_watch *w, const char *path, void (*fire)(void *), void *owner)
{
    oz_watch_disarm(s, w);
    w->path = oz_strdup(path);
    if (!w->path)
        return false;
    if (oz_map_put(&s->watches, &w->node, w->path) != 0) {
        free(w->path);
        w->path = NULL;
        return false;
    }
    w->fire = fire;
    w->owner = owner;
    return true;
}

void oz_watch_disarm(struct oz_session *s, struct oz_watch *w)
{
    if (!w->path)
        return;
    oz_map_remove(&s->watches, &w->node);
    free(w->path);
    w->path = NULL;
    if (w->link.next) /* it is just about to be fired */
        oz_list_remove(&w->link);
}

static void fire_watches(struct oz_session *s, const char *path)
{
    struct oz_list due, *node;
    struct oz_map_node *found;
    size_t i;

    /* First collected, then fired: a watch that is armed again meanwhile waits for the next event. */
    oz_list_init(&due);
    if (path) {
        while ((found = oz_map_find(&s->watches, path)) != NULL) {
            oz_map_remove(&s->watches, found);
            oz_list_append(&due, &oz_container(found, struct oz_watch, node)->link);
        }
    } else {
        oz_map_each(&s->watches, i, found)
            oz_list_append(&due, &oz_container(found, struct oz_watch, node)->link);
    }
    while ((node = oz_list_pop(&due)) != NULL) {
        struct oz_watch *w = oz_container(node, struct oz_watch, link);

        oz_watch_disarm(s, w);
        w->fire(w->owner);
    }
}

static void disarm_all(struct oz_session *s)
{
    struct oz_map_node *node;
    size_t i;

    for (i = 0; i < s->watches.size; i++)
        while ((node = s->watches.slots[i]) != NULL)
            oz_watch_disarm(s, oz_container(node, struct oz_watch, node));
}

/* ---- what the client tells, from its own threads ---- */

static void conn_news(struct oz_msg *msg);

static void post_news(struct conn *conn)
{
    if (!conn->posted) {
        conn->posted = true;
        conn->msg.run = conn_news;
        oz_dispatch_post(conn->session->dispatch, &conn->msg);
    }
}

static void port_state(void *ctx, enum oz_port_state state)
{
    struct conn *conn = ctx;

    pthread_mutex_lock(&conn->lock);
    if (conn->state_count == STATES)
        conn->state_count--; /* the last word counts */
    conn->states[conn->state_count++] = state;
    post_news(conn);
    pthread_mutex_unlock(&conn->lock);
}

static void watch_fired(struct oz_msg *msg)
{
    struct watch_msg *w = (struct watch_msg *)msg;

    if (w->conn == w->conn->session->conn)
        fire_watches(w->conn->session, w->path);
    free(w);
}

static void port_watch(void *ctx, const char *path)
{
    struct conn *conn = ctx;
    size_t len = strlen(path);
    struct watch_msg *w = oz_alloc(sizeof *w + len + 1);

    if (w) {
        w->msg.run = watch_fired;
        w->conn = conn;
        memcpy(w->path, path, len);
        oz_dispatch_post(conn->session->dispatch, &w->msg);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    conn->watch_lost = true;
    post_news(conn);
    pthread_mutex_unlock(&conn->lock);
}

static size_t reply_size(const struct oz_reply *r)
{
    size_t size = r->count * sizeof(char *) + r->len + 1 + (r->path ? strlen(r->path) + 1 : 0), i;

    for (i = 0; i < r->count; i++)
        size += strlen(r->names[i]) + 1;
    return size;
}

/* The client frees its reply when the completion returns. What finds no memory becomes an unknown outcome. */
static void copy_reply(struct oz_op *op, const struct oz_reply *from)
{
    char *text, **names;
    size_t i;

    op->reply = *from;
    if (!from->path && !from->data && !from->count)
        return;
    names = oz_alloc(reply_size(from));
    if (!names) {
        op->reply = (struct oz_reply){.rc = OZ_UNKNOWN};
        return;
    }
    op->reply_memory = names;
    text = (char *)(names + from->count);
    for (i = 0; i < from->count; i++)
        names[i] = copy_text(&text, from->names[i], strlen(from->names[i]));
    op->reply.names = (const char *const *)names;
    if (from->path)
        op->reply.path = copy_text(&text, from->path, strlen(from->path));
    op->reply.data = copy_text(&text, from->data, from->len);
}

static void port_reply(void *ctx, void *token, const struct oz_reply *reply)
{
    struct conn *conn = ctx;
    struct oz_op *op = token;

    op->acked = oz_now();
    copy_reply(op, reply);
    oz_dispatch_post(conn->session->dispatch, &op->msg);
}

static const struct oz_port_events port_events = {port_state, port_watch, port_reply};

/* ---- connecting ---- */

static int64_t jitter(int64_t most)
{
    uint32_t r = 0;

    if (getentropy(&r, sizeof r) != 0)
        r = (uint32_t)oz_now();
    return (int64_t)((double)r / UINT32_MAX * (double)most);
}

static void free_conn(struct conn *conn)
{
    struct oz_list *node;

    while ((node = oz_list_pop(&conn->ops)) != NULL)
        free_op(oz_container(node, struct oz_op, link));
    pthread_mutex_destroy(&conn->lock);
    free(conn->hosts);
    free(conn->all);
    free(conn);
}

static struct conn *new_conn(struct oz_session *s, const char *hosts)
{
    struct conn *conn = oz_alloc(sizeof *conn);
    struct oz_port_options options = {.hosts = hosts, .timeout_ms = s->timeout_ms, .auth = s->auth};

    if (!conn)
        return NULL;
    conn->session = s;
    oz_list_init(&conn->ops);
    pthread_mutex_init(&conn->lock, NULL);
    conn->opened = oz_now();
    conn->all = oz_strdup(hosts);
    conn->hosts = oz_strdup(hosts);
    conn->port = conn->all && conn->hosts ? s->port->open(&options, &port_events, conn) : NULL;
    if (!conn->port) {
        free_conn(conn);
        return NULL;
    }
    return conn;
}

static void reconsider_later(struct oz_session *s, int64_t delay, void (*what)(void *))
{
    oz_timer_set(s->timers, &s->resolve_timer, oz_now() + delay, what, s);
}

/* Servers may move while we are cut off: names are looked up again from time to time until one answers. */
static void watch_addresses(struct oz_session *s)
{
    int64_t period = 5 * OZ_SECOND;

    if (s->timeout_ms * OZ_MS > period)
        period = s->timeout_ms * OZ_MS;
    if (s->conn && s->conn->fewer)
        period = s->timeout_ms * OZ_MS / 4;
    reconsider_later(s, period, resolve_now);
}

static void change_hosts(struct oz_session *s, const char *hosts)
{
    struct conn *conn = s->conn;
    char *all = oz_strdup(hosts), *copy = oz_strdup(hosts);

    if (!all || !copy || !s->port->set_hosts(conn->port, hosts)) {
        free(all);
        free(copy);
        return;
    }
    oz_info("session", "the servers' addresses changed: %s", hosts);
    free(conn->all);
    free(conn->hosts);
    conn->all = all;
    conn->hosts = copy;
    conn->fewer = false;
}

/* A client that gets its full list back before it looked at the shorter one stays where it is, and says nothing. */
static bool has_moved(const struct conn *conn)
{
    char address[64];

    return !conn->fewer || !conn->session->port->peer(conn->port, address, sizeof address) ||
           strcmp(address, conn->left) != 0;
}

static void resolved(void *arg, const char *hosts, const char *why)
{
    struct oz_session *s = arg;

    s->resolver = NULL;
    if (s->connected || s->closing)
        return;
    if (*why)
        oz_warn("session", "%s", why);
    if (s->conn) {
        if (!has_moved(s->conn)) {
            if (oz_now() - s->conn->left_at > STUCK_TIMEOUTS * s->identity.timeout_ms * OZ_MS) {
                session_down(s, "the client got stuck");
                return;
            }
        } else if (hosts && strcmp(hosts, s->conn->hosts) != 0) {
            change_hosts(s, hosts);
        }
        watch_addresses(s);
        return;
    }
    s->conn = hosts ? new_conn(s, hosts) : NULL;
    if (!s->conn) {
        if (hosts)
            oz_warn("session", "cannot make a ZooKeeper client: %s", strerror(errno));
        reconsider_later(s, OZ_SECOND + jitter(OZ_SECOND), resolve_now);
        return;
    }
    s->conns++;
    watch_addresses(s);
}

static void resolve_now(void *arg)
{
    struct oz_session *s = arg;

    if (s->resolver || s->closing)
        return;
    s->resolver = oz_resolve(s->dispatch, s->servers, resolved, s);
    if (!s->resolver)
        reconsider_later(s, RETRY_AFTER, resolve_now);
}

static void connect_now(void *arg)
{
    struct oz_session *s = arg;

    set_state(s, ODEZK_SESSION_CONNECTING, NULL);
    resolve_now(s);
}

void oz_session_start(struct oz_session *s)
{
    connect_now(s);
}

static void maybe_closed(struct oz_session *s);

static void conn_closed(struct oz_msg *msg)
{
    struct conn *conn = oz_container(msg, struct conn, closed_msg);
    struct oz_session *s = conn->session;

    if (conn->has_closer)
        pthread_join(conn->closer, NULL);
    free_conn(conn);
    s->conns--;
    maybe_closed(s);
}

static void *close_port(void *arg)
{
    struct conn *conn = arg;

    conn->session->port->close(conn->port);
    conn->closed_msg.run = conn_closed;
    oz_dispatch_post(conn->session->dispatch, &conn->closed_msg);
    return NULL;
}

/* Closing a client may block for seconds: a thread of its own does it. */
static void close_conn(struct conn *conn)
{
    conn->has_closer = oz_thread_start(&conn->closer, close_port, conn) == 0;
    if (!conn->has_closer)
        close_port(conn);
}

/* ---- the session's ups and downs ---- */

static void session_up(struct oz_session *s)
{
    s->up = true;
    s->generation++;
    start_lease(s);
    set_state(s, ODEZK_SESSION_CONNECTED, NULL);
    tell(s, OZ_UP);
    after_lease_change(s);
    write_lease(s);
}

static void chroot_checked(void *owner, const struct oz_reply *reply)
{
    struct oz_session *s = owner;

    if (reply->rc == OZ_NONODE) {
        char *why = oz_format("the chroot %s of the servers %s does not exist", strchr(s->servers, '/'), s->servers);

        s->options.refused(s->options.arg, ODEZK_ECHROOT, why ? why : "the chroot does not exist");
        free(why);
    } else if (reply->rc != OZ_GONE) {
        session_up(s);
    }
}

static void check_chroot(struct oz_session *s)
{
    struct oz_request request = {.verb = OZ_STAT, .path = "/", .retry = true};

    if (!strchr(s->servers, '/'))
        session_up(s);
    else if (!oz_submit(s, &request, chroot_checked, s))
        session_down(s, "out of memory");
}

static void port_connected(struct oz_session *s)
{
    bool first = s->identity.id == 0;

    oz_timer_clear(s->timers, &s->resolve_timer);
    s->connected = true;
    s->port->identity(s->conn->port, &s->identity);
    if (first) {
        check_chroot(s);
        return;
    }
    flush(s);
    if (!s->up)
        return;
    check_lapse(s);
    s->waits_since = oz_now();
    oz_lease_reconnected(&s->lease);
    /* What is granted now would be lost before the next proof: that is waited for. */
    s->brief_end = oz_lease_end(&s->lease) - oz_now() < s->lease.lag + s->period ? oz_lease_end(&s->lease) : 0;
    set_state(s, ODEZK_SESSION_CONNECTED, NULL);
    tell(s, OZ_RESUMED);
    after_lease_change(s);
    write_lease(s);
}

static void port_disconnected(struct oz_session *s)
{
    if (!s->connected)
        return;
    s->connected = false;
    s->cuts++;
    oz_timer_clear(s->timers, &s->lease_timer);
    oz_timer_clear(s->timers, &s->silence_timer);
    watch_addresses(s);
    if (!s->up)
        return;
    set_state(s, ODEZK_SESSION_SUSPENDED, NULL);
    tell(s, OZ_SUSPENDED);
}

/* Ends what was built on the session; the client itself is closed behind our back. */
static void end_session(struct oz_session *s, const char *loss)
{
    struct conn *conn = s->conn;
    bool was_up = s->up;

    oz_lease_stop(&s->lease);
    lose_lease(s, loss);
    s->loss = loss;
    s->connected = false;
    s->up = false;
    s->identity = (struct oz_identity){0};
    s->conn = NULL;
    oz_timer_clear(s->timers, &s->lease_timer);
    oz_timer_clear(s->timers, &s->silence_timer);
    oz_timer_clear(s->timers, &s->resolve_timer);
    oz_timer_clear(s->timers, &s->fail_timer);
    oz_resolve_cancel(s->resolver);
    s->resolver = NULL;
    if (!conn)
        return;
    disarm_all(s);
    fail_ops(s, conn);
    close_conn(conn);
    if (was_up)
        tell(s, OZ_DOWN);
}

static void session_down(struct oz_session *s, const char *why)
{
    end_session(s, "session");
    if (s->closing) /* what just ended was all that the close waited for */
        return;
    set_state(s, ODEZK_SESSION_LOST, why);
    /* All nodes of an ensemble that was away come back at once: spread them. */
    reconsider_later(s, jitter(s->timeout_ms * OZ_MS / 8), connect_now);
}

static void fail_now(void *arg)
{
    struct oz_session *s = arg;

    if (s->conn)
        session_down(s, s->failure);
}

/* Not at once: the caller is in the middle of something. */
void oz_session_fail(struct oz_session *s, const char *why)
{
    if (!s->conn)
        return;
    s->failure = why;
    oz_timer_set(s->timers, &s->fail_timer, oz_now(), fail_now, s);
}

static void port_changed(struct oz_session *s, enum oz_port_state state)
{
    switch (state) {
    case OZ_PORT_CONNECTED:
        port_connected(s);
        break;
    case OZ_PORT_DISCONNECTED:
        port_disconnected(s);
        break;
    case OZ_PORT_EXPIRED:
        session_down(s, "the servers ended the session");
        break;
    case OZ_PORT_AUTH_FAILED:
        s->options.refused(s->options.arg, ODEZK_EAUTH, "ZooKeeper refused the credentials");
        break;
    }
}

static void conn_news(struct oz_msg *msg)
{
    struct conn *conn = oz_container(msg, struct conn, msg);
    struct oz_session *s = conn->session;
    enum oz_port_state states[STATES];
    bool watch_lost;
    int count, i;

    pthread_mutex_lock(&conn->lock);
    count = conn->state_count;
    memcpy(states, conn->states, sizeof states);
    watch_lost = conn->watch_lost;
    conn->state_count = 0;
    conn->watch_lost = conn->posted = false;
    pthread_mutex_unlock(&conn->lock);
    for (i = 0; i < count && conn == s->conn; i++)
        port_changed(s, states[i]);
    if (watch_lost && conn == s->conn)
        fire_watches(s, NULL);
}

/* ---- closing ---- */

static void tell_closed(struct oz_msg *msg)
{
    struct oz_session *s = oz_container(msg, struct oz_session, closed_msg);

    s->closed(s->closed_arg);
}

static void maybe_closed(struct oz_session *s)
{
    if (!s->closing || s->conns > 0 || s->closed_posted)
        return;
    s->closed_posted = true;
    s->closed_msg.run = tell_closed;
    oz_dispatch_post(s->dispatch, &s->closed_msg);
}

void oz_session_close(struct oz_session *s, void (*closed)(void *arg), void *arg)
{
    if (s->closing)
        return;
    s->closing = true;
    s->closed = closed;
    s->closed_arg = arg;
    end_session(s, "closing");
    maybe_closed(s);
}
