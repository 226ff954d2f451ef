/* The port as the library sees it, and the flow of time and messages. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the port ---- */

static int slot_of(const char *hosts)
{
    const char *colon = strrchr(hosts, ':');
    int slot = colon ? atoi(colon + 1) : 0;

    return slot > 0 && slot < FAKE_SLOTS ? slot : 1;
}

static void *port_open(const struct oz_port_options *options, const struct oz_port_events *events, void *ctx)
{
    const char *slash = strchr(options->hosts, '/');
    struct port *p;

    pthread_mutex_lock(&zk_lock);
    if (zk.open_failure) {
        errno = zk.open_failure;
        pthread_mutex_unlock(&zk_lock);
        return NULL;
    }
    p = zk_need(calloc(1, sizeof *p));
    p->slot = slot_of(options->hosts);
    p->events = events;
    p->ctx = ctx;
    p->hosts = zk_copy_string(options->hosts);
    p->chroot = zk_copy_string(slash ? slash : "");
    p->timeout_ms = options->timeout_ms;
    p->auth = *options->auth != '\0';
    p->next = zk.ports;
    zk.ports = p;
    zk.slots[p->slot].opened++;
    pthread_mutex_unlock(&zk_lock);
    return p;
}

static char *full_path(const struct port *p, const char *path)
{
    size_t n = strlen(p->chroot);
    char *full = zk_need(malloc(n + strlen(path) + 1));

    sprintf(full, "%s%s", p->chroot, n && strcmp(path, "/") == 0 ? "" : path);
    return full;
}

static void copy_order(const struct port *p, struct order *o, const struct oz_request *r)
{
    o->verb = r->verb;
    o->path = full_path(p, r->verb == OZ_MULTI ? "/" : r->path);
    o->data = zk_copy(r->data, r->len);
    o->len = r->len;
    o->flags = r->flags;
    o->watch = r->watch;
    o->versioned = r->versioned;
    o->version = r->version;
}

int zk_in_flight(const struct port *p)
{
    const struct message *m;
    const struct order *o;
    int n = 0;

    for (o = p->orders; o; o = o->next)
        n++;
    for (m = p->messages; m; m = m->next)
        n += !m->event;
    return n;
}

static enum fake_fault next_fault(const struct port *p)
{
    if (!zk.fault_at || (zk.fault_slot && zk.fault_slot != p->slot) || --zk.fault_at > 0)
        return FAKE_NONE;
    zk.fault_happened = true;
    return zk.fault;
}

static bool port_submit(void *port, const struct oz_request *request, void *token)
{
    struct port *p = port;
    struct order *o;
    enum fake_fault fault;
    size_t i;

    pthread_mutex_lock(&zk_lock);
    zk.requests++;
    fault = next_fault(p);
    if (p->dead || fault == FAKE_UNSENT) {
        pthread_mutex_unlock(&zk_lock);
        return false;
    }
    o = zk_need(calloc(1, sizeof *o));
    copy_order(p, o, request);
    o->token = token;
    o->fault = fault;
    if (request->verb == OZ_MULTI) {
        o->items = zk_need(calloc(request->count, sizeof *o->items));
        o->count = request->count;
        for (i = 0; i < o->count; i++)
            copy_order(p, &o->items[i], &request->items[i]);
    }
    zk_append_order(&p->orders, o);
    p->last_sent = oz_now();
    p->wake = p->move;
    if (zk_in_flight(p) > zk.most_in_flight)
        zk.most_in_flight = zk_in_flight(p);
    pthread_mutex_unlock(&zk_lock);
    return true;
}

static void port_identity(void *port, struct oz_identity *out)
{
    struct port *p = port;

    pthread_mutex_lock(&zk_lock);
    out->id = p->session->id;
    memcpy(out->password, "fake password ok", sizeof out->password);
    out->timeout_ms = (int)(p->session->timeout / OZ_MS);
    pthread_mutex_unlock(&zk_lock);
}

static bool port_peer(void *port, char *address, size_t size)
{
    struct port *p = port;
    bool connected;

    pthread_mutex_lock(&zk_lock);
    connected = p->connected;
    if (connected)
        snprintf(address, size, "%s", p->peer);
    pthread_mutex_unlock(&zk_lock);
    return connected;
}

static bool port_set_hosts(void *port, const char *hosts)
{
    struct port *p = port;

    pthread_mutex_lock(&zk_lock);
    free(p->hosts);
    p->hosts = zk_copy_string(hosts);
    p->move = p->wake = p->connected && !zk_is_listed(p, p->peer);
    pthread_mutex_unlock(&zk_lock);
    return true;
}

static void free_orders(struct order *o)
{
    struct order *next;

    for (; o; o = next) {
        next = o->next;
        zk_free_order(o);
    }
}

void zk_free_port(struct port *p)
{
    struct port **at = &zk.ports;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    free_orders(p->orders);
    free_orders(p->late);
    while (p->messages) {
        struct message *m = p->messages;

        p->messages = m->next;
        zk_free_message(m);
    }
    zk_free_watches(p);
    free(p->hosts);
    free(p->chroot);
    free(p);
}

static void port_close(void *port)
{
    struct port *p = port;
    struct timespec delay = {0, 0};

    pthread_mutex_lock(&zk_lock);
    delay.tv_sec = zk.close_delay_ms / 1000;
    delay.tv_nsec = zk.close_delay_ms % 1000 * 1000000L;
    pthread_mutex_unlock(&zk_lock);
    if (delay.tv_sec || delay.tv_nsec)
        nanosleep(&delay, NULL);
    pthread_mutex_lock(&zk_lock);
    while (p->connected && p->orders && !zk.lost_close && zk_id_of(p)) {
        p->orders->fault = FAKE_NONE;
        zk_process(p);
    }
    if (p->connected && !zk.lost_close && zk_id_of(p))
        zk_end_session(p->session);
    zk_free_port(p);
    pthread_mutex_unlock(&zk_lock);
}

const struct oz_port_class fake_port = {.open = port_open,
                                        .submit = port_submit,
                                        .identity = port_identity,
                                        .peer = port_peer,
                                        .set_hosts = port_set_hosts,
                                        .close = port_close};

/* What the linker puts in the place of the real one. */
extern const struct oz_port_class __wrap_oz_zookeeper __attribute__((alias("fake_port")));

/* ---- time ---- */

bool zk_is_stopped(int slot)
{
    return oz_now() < zk.slots[slot].stop_until;
}

static void report(void)
{
    struct session *s;

    for (s = zk.sessions; s; s = s->next)
        if (s->active && !s->dead) {
            s->active = false;
            s->touched = zk.next_report;
        }
    zk.next_report += zk.half_tick;
}

static int64_t next_ping(const struct port *p)
{
    if (!p->connected || !zk_id_of(p) || zk_is_stopped(p->slot))
        return OZ_NEVER;
    return p->last_sent + p->session->timeout / 3;
}

static bool pass_for_slot(int number, int64_t now)
{
    struct slot *slot = &zk.slots[number];
    bool did = false;

    if (slot->stop_until && now >= slot->stop_until) {
        zk_go_on(number);
        did = true;
    }
    if (slot->lags && now >= slot->lag_until) {
        zk_end_lag(number);
        did = true;
    }
    if (now >= slot->hold_until)
        slot->hold_until = 0;
    if (now >= slot->cut_until)
        slot->cut_until = 0;
    return did;
}

static bool is_trying(const struct port *p)
{
    return !p->connected && !p->dead && p->orders && !zk_is_stopped(p->slot);
}

static bool pass_for_port(struct port *p, int64_t now)
{
    if (next_ping(p) <= now) {
        p->last_sent = now;
        p->wake = p->move;
        zk_touch(p->session);
    }
    if (!is_trying(p) || now < p->attempt_at)
        return false;
    zk_fail_attempt(p);
    return true;
}

static bool is_mortal(const struct session *s)
{
    return !s->dead && !s->foreign;
}

static bool pass_for_session(struct session *s, int64_t now)
{
    if (!is_mortal(s) || now < s->touched + s->timeout)
        return false;
    zk_end_session(s);
    return true;
}

/* What a follower heard and did not report before it lost its client is lost as well. */
static bool pass_time(void)
{
    int64_t now = oz_now();
    struct session *s;
    struct port *p;
    bool did = false;
    int i;

    while (zk.next_report <= now)
        report();
    for (i = 1; i < FAKE_SLOTS; i++)
        did |= pass_for_slot(i, now);
    for (p = zk.ports; p; p = p->next)
        did |= pass_for_port(p, now);
    for (s = zk.sessions; s; s = s->next)
        did |= pass_for_session(s, now);
    return did;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a && a < b ? a : b;
}

static int64_t next_of_slot(const struct slot *slot, int64_t at)
{
    at = sooner(slot->cut_until, at);
    at = sooner(slot->stop_until, at);
    at = sooner(slot->hold_until, at);
    return sooner(slot->lags ? slot->lag_until : 0, at);
}

int64_t fake_next(void)
{
    int64_t at = OZ_NEVER;
    struct session *s;
    struct port *p;
    int i;

    pthread_mutex_lock(&zk_lock);
    for (i = 1; i < FAKE_SLOTS; i++)
        at = next_of_slot(&zk.slots[i], at);
    for (s = zk.sessions; s; s = s->next)
        if (is_mortal(s)) {
            at = sooner(s->touched + s->timeout, at);
            at = sooner(zk.next_report, at);
        }
    for (p = zk.ports; p; p = p->next) {
        at = sooner(next_ping(p), at);
        if (is_trying(p))
            at = sooner(p->attempt_at, at);
    }
    pthread_mutex_unlock(&zk_lock);
    return at;
}

/* ---- steps ---- */

enum work { NOTHING, CONNECT, NOTICE, PROCESS, DELIVER };

/* What could be done next for a client: `what` of it, if there is more than one thing. */
static enum work work_of(const struct port *p, unsigned what)
{
    const struct slot *slot = &zk.slots[p->slot];
    bool due, deliverable;

    if (p->dead || zk_is_stopped(p->slot))
        return NOTHING;
    if (!p->connected)
        return slot->cut_until ? NOTHING : CONNECT;
    if (!zk_id_of(p) || p->wake)
        return NOTICE;
    due = p->orders != NULL;
    deliverable = p->messages != NULL && !slot->hold_until;
    if (due && deliverable)
        return what ? PROCESS : DELIVER;
    return due ? PROCESS : deliverable ? DELIVER : NOTHING;
}

static void work(struct port *p, enum work what)
{
    if (what == CONNECT)
        zk_connect(p);
    else if (what == NOTICE) /* the server ended the session, or the list of servers changed */
        zk_disconnect(p);
    else if (what == PROCESS)
        zk_process(p);
    else
        zk_deliver(p);
}

static struct port *nth_port(int n)
{
    struct port *p = zk.ports;

    while (n-- > 0)
        p = p->next;
    return p;
}

bool fake_step(void)
{
    struct port *p;
    int count = 0, start, i;
    bool did;

    pthread_mutex_lock(&zk_lock);
    did = pass_time();
    for (p = zk.ports; p; p = p->next)
        count++;
    start = count == 0 ? 0 : zk.below ? (int)zk.below((unsigned)count) : ++zk.turn % count;
    for (i = 0; !did && i < count; i++) {
        enum work what;

        p = nth_port((start + i) % count);
        what = work_of(p, zk.below ? zk.below(2) : 1);
        if (what) {
            work(p, what);
            did = true;
        }
    }
    pthread_mutex_unlock(&zk_lock);
    return did;
}
