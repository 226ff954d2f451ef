/* The line between a client and its server, and what may happen to it. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAPSE = 85, LONG = 150 }; /* percent of the session timeout: the lease is over; the session is over */

#define ATTEMPT (200 * OZ_MS) /* how long an attempt to connect takes while cut off */

/* ---- connections ---- */

int64_t zk_id_of(const struct port *p)
{
    return p->session && !p->session->dead ? p->session->id : 0;
}

void zk_touch(struct session *s)
{
    if (zk.prompt)
        s->touched = oz_now();
    else
        s->active = true;
}

static void answer(struct port *p, void *token, enum oz_rc rc)
{
    struct oz_reply reply = {.rc = rc};

    p->events->reply(p->ctx, token, &reply);
}

static void fail_all(struct port *p)
{
    while (p->messages) {
        struct message *m = p->messages;

        p->messages = m->next;
        if (!m->event)
            answer(p, m->token, OZ_UNKNOWN);
        zk_free_message(m);
    }
    while (p->orders) {
        struct order *o = p->orders;

        p->orders = o->next;
        answer(p, o->token, OZ_UNKNOWN);
        zk_free_order(o);
    }
}

/* Whatever was sent arrives before the leader hears of the next connection, or not at all. */
static void do_late(struct port *p)
{
    while (p->late) {
        struct order *o = p->late;

        p->late = o->next;
        if (zk_id_of(p))
            zk_free_message(zk_serve(p, o));
        zk_free_order(o);
    }
}

static void copy_order(struct order *to, const struct order *from)
{
    *to = *from;
    to->next = NULL;
    to->path = zk_copy_string(from->path);
    to->data = zk_copy(from->data, from->len);
}

static struct order *clone_order(const struct order *o)
{
    struct order *twin = zk_need(calloc(1, sizeof *twin));
    size_t i;

    copy_order(twin, o);
    if (o->count)
        twin->items = zk_need(calloc(o->count, sizeof *twin->items));
    for (i = 0; i < o->count; i++)
        copy_order(&twin->items[i], &o->items[i]);
    return twin;
}

static void keep_late(struct port *p)
{
    const struct order *o;

    for (o = p->orders; o; o = o->next)
        zk_append_order(&p->late, clone_order(o));
}

/* The client notices that its connection is gone. When it moves of its own accord it does not say
 * so. */
void zk_disconnect(struct port *p)
{
    bool told = !p->wake || !zk_id_of(p);
    struct watch *w;

    if (!p->connected)
        return;
    p->connected = p->wake = false;
    p->attempt_at = zk_later(ATTEMPT);
    for (w = p->watches; w; w = w->next)
        w->server = false;
    if (told && zk.disconnect_first)
        p->events->state(p->ctx, OZ_PORT_DISCONNECTED);
    fail_all(p);
    if (told && !zk.disconnect_first)
        p->events->state(p->ctx, OZ_PORT_DISCONNECTED);
}

/* An attempt to connect failed: requests do not outlive it. */
void zk_fail_attempt(struct port *p)
{
    p->attempt_at = zk_later(ATTEMPT);
    fail_all(p);
}

/* What changed while the client was away fires, the rest is watched on. */
static void set_watches(struct port *p)
{
    const struct tree *t = zk_tree_of(p);
    struct watch *w;

    for (w = p->watches; w; w = w->next) {
        const struct node *node = zk_find(t, w->path);

        w->server = false;
        if (!w->client)
            continue;
        if (!node || (w->child ? node->pzxid : node->stat.mzxid) > p->seen)
            zk_send_event(p, w->path);
        else
            w->server = true;
    }
}

static size_t change_after(int64_t zxid)
{
    size_t n = zk.change_count;

    while (n > 0 && zk.changes[n - 1].zxid > zxid)
        n--;
    return n;
}

static void make_session(struct port *p)
{
    struct session *s = zk_need(calloc(1, sizeof *s));

    s->id = zk.next_session++;
    s->touched = oz_now();
    s->next = zk.sessions;
    zk.sessions = s;
    p->session = s;
}

/* Addresses are told apart without their ports, as the C client does it. */
bool zk_is_listed(const struct port *p, const char *address)
{
    const char *at = p->hosts;
    size_t len = strlen(address);

    while (len && (at = strstr(at, address)) != NULL) {
        if ((at == p->hosts || at[-1] == ',') && at[len] == ':')
            return true;
        at += len;
    }
    return false;
}

static void first_host(const char *hosts, char *address, size_t size)
{
    size_t n = strcspn(hosts, ",/");
    const char *colon = memrchr(hosts, ':', n);

    snprintf(address, size, "%.*s", (int)(colon ? (size_t)(colon - hosts) : n), hosts);
}

void zk_connect(struct port *p)
{
    struct slot *slot = &zk.slots[p->slot];

    if (zk.auth_failure && p->auth) {
        p->dead = true;
        p->events->state(p->ctx, OZ_PORT_AUTH_FAILED);
        return;
    }
    if (slot->lag_next) {
        slot->lag_next = false;
        zk_begin_lag(p->slot, zk_later(ZK_SHORT));
    }
    do_late(p);
    if (p->session && p->session->dead) {
        p->dead = true;
        fail_all(p);
        p->events->state(p->ctx, OZ_PORT_EXPIRED);
        return;
    }
    if (!p->session)
        make_session(p);
    p->session->timeout = (zk.negotiated_ms ? zk.negotiated_ms : p->timeout_ms) * OZ_MS; /* each time anew */
    p->session->touched = oz_now(); /* the leader itself confirms the session to its new server */
    zk_catch_up(p->slot, change_after(p->seen));
    p->connected = true;
    p->move = false;
    if (!zk_is_listed(p, p->peer)) {
        first_host(p->hosts, p->peer, sizeof p->peer);
        slot->hold_until = 0; /* that was the former server */
    }
    p->last_sent = oz_now();
    set_watches(p);
    p->events->state(p->ctx, OZ_PORT_CONNECTED);
}

void zk_cut(int number, int64_t time, enum sent sent)
{
    struct slot *slot = &zk.slots[number];
    struct port *p;

    slot->cut_until = zk_later(time);
    for (p = zk.ports; p; p = p->next) {
        if (p->slot != number || !p->connected)
            continue;
        while (sent == DONE && p->orders && zk_id_of(p))
            zk_process(p);
        if (sent == LATE) {
            keep_late(p);
            slot->lag_next = true;
        }
        zk_disconnect(p);
    }
}

/* A process that stands still for long finds its connection dead when it goes on. */
void zk_stop(int number, int64_t time)
{
    zk.slots[number].stop_until = zk_later(time);
}

void zk_go_on(int number)
{
    struct port *p;

    zk.slots[number].stop_until = 0;
    for (p = zk.ports; p; p = p->next)
        if (p->slot == number && p->connected && (!zk_id_of(p) || oz_now() - p->last_sent > p->session->timeout / 3))
            zk_disconnect(p);
}

/* ---- faults ---- */

const char *fake_fault_name(enum fake_fault fault)
{
    static const char *const names[] = {
        "none",          "loss before",   "loss after",   "loss late",  "unsent",      "unknown, undone",
        "unknown, done", "expire before", "expire after", "cut: lapse", "cut: expiry", "stop: lapse",
        "stop: expiry",  "hold",          "lag",          "spurious",   "duplicate"};

    return (size_t)fault < sizeof names / sizeof *names ? names[fault] : "?";
}

void zk_spurious(struct port *p)
{
    struct watch *w;

    for (w = p->watches; w; w = w->next)
        if (w->client)
            zk_send_event(p, w->path);
}

static int64_t part_of_timeout(const struct port *p, int percent)
{
    return p->session->timeout / 100 * percent;
}

static void lose_before(struct port *p)
{
    zk_cut(p->slot, ZK_SHORT, LOST);
}

static void lose_after(struct port *p)
{
    zk_cut(p->slot, ZK_SHORT, DONE);
}

static void lose_late(struct port *p)
{
    zk_cut(p->slot, ZK_SHORT, LATE);
}

static void expire_before(struct port *p)
{
    zk_force_end(p->session);
    zk_cut(p->slot, ZK_SHORT, LOST);
}

static void expire_after(struct port *p)
{
    zk_process(p);
    expire_before(p);
}

static void cut_lapse(struct port *p)
{
    zk_cut(p->slot, part_of_timeout(p, LAPSE), DONE);
}

static void cut_long(struct port *p)
{
    zk_cut(p->slot, part_of_timeout(p, LONG), DONE);
}

static void stop_lapse(struct port *p)
{
    zk_stop(p->slot, part_of_timeout(p, LAPSE));
}

static void stop_long(struct port *p)
{
    zk_stop(p->slot, part_of_timeout(p, LONG));
}

static void hold(struct port *p)
{
    zk.slots[p->slot].hold_until = zk_later(ZK_SHORT);
}

static void lag(struct port *p)
{
    zk_begin_lag(p->slot, zk_later(ZK_SHORT));
}

static void duplicate(struct port *p)
{
    (void)p;
    zk.duplicate = true;
}

static const struct {
    void (*strike)(struct port *p);
    bool passes; /* the request goes on its way all the same */
} strikes[FAKE_FAULTS] = {[FAKE_LOSS_BEFORE] = {lose_before, false},
                          [FAKE_LOSS_AFTER] = {lose_after, false},
                          [FAKE_LOSS_LATE] = {lose_late, false},
                          [FAKE_EXPIRE_BEFORE] = {expire_before, false},
                          [FAKE_EXPIRE_AFTER] = {expire_after, false},
                          [FAKE_CUT_LAPSE] = {cut_lapse, false},
                          [FAKE_CUT_LONG] = {cut_long, false},
                          [FAKE_STOP_LAPSE] = {stop_lapse, false},
                          [FAKE_STOP_LONG] = {stop_long, false},
                          [FAKE_HOLD] = {hold, true},
                          [FAKE_LAG] = {lag, true},
                          [FAKE_SPURIOUS] = {zk_spurious, true},
                          [FAKE_DUPLICATE] = {duplicate, true}};

/* Faults of the line or the process; false when the request goes on its way. */
static bool strike(struct port *p, enum fake_fault fault)
{
    if (!strikes[fault].strike)
        return false;
    strikes[fault].strike(p);
    return !strikes[fault].passes;
}

/* "Unknown" in the place of what the server answers. */
static struct message *serve_unknown(struct port *p, const struct order *o, bool done)
{
    struct message *m = zk_need(calloc(1, sizeof *m)), *lost;

    m->token = o->token;
    m->reply.rc = OZ_UNKNOWN;
    if (done) {
        lost = zk_serve(p, o);
        m->zxid = lost->zxid;
        zk_free_message(lost);
    }
    return m;
}

/* The server takes the client's next request. */
void zk_process(struct port *p)
{
    struct order *o = p->orders;
    enum fake_fault fault = o->fault;

    o->fault = FAKE_NONE;
    if (strike(p, fault))
        return;
    p->orders = o->next;
    zk_touch(p->session);
    if (fault == FAKE_UNKNOWN_UNDONE || fault == FAKE_UNKNOWN_DONE)
        zk_append_message(p, serve_unknown(p, o, fault == FAKE_UNKNOWN_DONE));
    else
        zk_append_message(p, zk_serve(p, o));
    zk_free_order(o);
}

/* The client takes the server's next message. */
void zk_deliver(struct port *p)
{
    struct message *m = p->messages;
    struct watch *w;

    p->messages = m->next;
    if (m->zxid > p->seen)
        p->seen = m->zxid;
    if (m->event) {
        for (w = p->watches; w; w = w->next)
            if (strcmp(w->path, m->path) == 0)
                w->client = w->server;
        p->events->watch(p->ctx, m->path);
        if (zk.duplicate)
            p->events->watch(p->ctx, m->path);
    } else {
        if (m->path)
            zk_find_watch(p, m->path, m->child)->client = true;
        p->events->reply(p->ctx, m->token, &m->reply);
    }
    zk_free_message(m);
}
