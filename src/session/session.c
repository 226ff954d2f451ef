#include "session/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STUCK_TIMEOUTS 3 /* without any answer from a client that claims to be connected */

/* ---- making and freeing ---- */

struct oz_session *oz_session_new(const struct oz_session_options *options)
{
    struct oz_session *s = oz_alloc(sizeof *s);
    const odezk_config *config = options->config;

    if (!s)
        return NULL;
    pthread_mutex_init(&s->trouble_lock, NULL);
    s->options = *options;
    s->options.config = NULL; /* not kept: what is needed is copied */
    s->dispatch = options->dispatch;
    s->timers = oz_dispatch_timers(options->dispatch);
    s->port = options->port;
    s->state = ODEZK_SESSION_CONNECTING;
    s->loss = "session";
    oz_list_init(&s->parked);
    oz_list_init(&s->bulk);
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
    pthread_mutex_destroy(&s->trouble_lock);
    free(s->tried);
    free(s->servers);
    free(s->auth);
    free(s->root);
    free(s);
}

void oz_session_listen(struct oz_session *s, const struct oz_listener *listener)
{
    if (s->listener_count < OZ_LISTENERS)
        s->listeners[s->listener_count++] = *listener;
}

void oz_session_tell(struct oz_session *s, enum oz_session_event event)
{
    int i;

    for (i = 0; i < s->listener_count; i++)
        s->listeners[i].event(s->listeners[i].self, event);
}

void oz_session_set_state(struct oz_session *s, odezk_session_state state, const char *why)
{
    if (s->state == state)
        return;
    s->state = state;
    oz_info("session", "%s, generation %llu%s%s", odezk_session_state_name(state), (unsigned long long)s->generation,
            why ? ": " : "", why ? why : "");
    s->options.state(s->options.arg, state, why);
}

/* ---- what is known ---- */

struct oz_timers *oz_session_timers(struct oz_session *s)
{
    return s->timers;
}

void oz_session_later(struct oz_session *s, struct oz_timer *timer, int64_t delay, void (*fire)(void *), void *arg)
{
    oz_timer_set(s->timers, timer, oz_now() + delay, fire, arg);
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

/* ---- the session's ups and downs ---- */

void oz_session_start(struct oz_session *s)
{
    oz_session_connect(s);
}

static void session_up(struct oz_session *s)
{
    s->up = true;
    s->generation++;
    oz_renewal_start(s);
    oz_session_set_state(s, ODEZK_SESSION_CONNECTED, NULL);
    oz_session_tell(s, OZ_UP);
    oz_renewal_run(s);
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
        oz_session_down(s, "out of memory");
}

static void port_connected(struct oz_session *s)
{
    bool first = s->identity.id == 0;

    oz_timer_clear(s->timers, &s->resolve_timer);
    oz_timer_clear(s->timers, &s->connect_timer);
    s->connected = true;
    s->port->identity(s->conn->port, &s->identity);
    if (first) {
        check_chroot(s);
        return;
    }
    if (s->up)
        oz_renewal_resume(s);
    oz_session_flush(s);
    if (!s->up)
        return;
    oz_session_set_state(s, ODEZK_SESSION_CONNECTED, NULL);
    oz_session_tell(s, OZ_RESUMED);
    oz_renewal_run(s);
}

void oz_session_cut(struct oz_session *s)
{
    if (!s->connected)
        return;
    s->connected = false;
    s->cuts++;
    oz_timer_clear(s->timers, &s->lease_timer);
    oz_timer_clear(s->timers, &s->silence_timer);
    oz_session_watch_addresses(s);
    oz_silence_connecting(s);
    if (!s->up)
        return;
    oz_session_set_state(s, ODEZK_SESSION_SUSPENDED, NULL);
    oz_session_tell(s, OZ_SUSPENDED);
}

/* Ends all that was built on the session; the client is closed meanwhile, on a thread of its own. */
static void end_session(struct oz_session *s, const char *loss)
{
    struct oz_conn *conn = s->conn;
    bool was_up = s->up;

    oz_lease_stop(&s->lease);
    oz_renewal_lose(s, loss);
    s->loss = loss;
    s->connected = false;
    s->up = false;
    s->identity = (struct oz_identity){0};
    s->conn = NULL;
    oz_timer_clear(s->timers, &s->lease_timer);
    oz_timer_clear(s->timers, &s->silence_timer);
    oz_timer_clear(s->timers, &s->resolve_timer);
    oz_timer_clear(s->timers, &s->connect_timer);
    oz_timer_clear(s->timers, &s->fail_timer);
    oz_resolve_cancel(s->resolver);
    s->resolver = NULL;
    if (!conn)
        return;
    oz_session_disarm_watches(s);
    oz_session_fail_ops(s, conn);
    oz_conn_close(conn);
    if (was_up)
        oz_session_tell(s, OZ_DOWN);
}

void oz_session_down(struct oz_session *s, const char *why)
{
    end_session(s, "session");
    if (s->closing) /* what just ended was all that the close waited for */
        return;
    oz_session_set_state(s, ODEZK_SESSION_LOST, why);
    oz_session_connect_later(s);
}

bool oz_session_stuck(struct oz_session *s, int64_t since)
{
    char why[80];

    if (oz_now() - since <= STUCK_TIMEOUTS * s->identity.timeout_ms * OZ_MS)
        return false;
    snprintf(why, sizeof why, "the ZooKeeper client has not answered for %d session timeouts", STUCK_TIMEOUTS);
    oz_session_down(s, why);
    return true;
}

static void fail_now(void *arg)
{
    struct oz_session *s = arg;

    if (s->conn)
        oz_session_down(s, s->failure);
}

/* Not at once: the caller is in the middle of something. */
void oz_session_fail(struct oz_session *s, const char *why)
{
    if (!s->conn)
        return;
    s->failure = why;
    oz_session_later(s, &s->fail_timer, 0, fail_now, s);
}

void oz_session_port_changed(struct oz_session *s, enum oz_port_state state)
{
    switch (state) {
    case OZ_PORT_CONNECTED:
        port_connected(s);
        break;
    case OZ_PORT_DISCONNECTED:
        oz_session_cut(s);
        break;
    case OZ_PORT_EXPIRED:
        oz_session_down(s, "the servers ended the session");
        break;
    case OZ_PORT_AUTH_FAILED:
        s->options.refused(s->options.arg, ODEZK_EAUTH, "ZooKeeper refused the credentials");
        break;
    }
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

void oz_session_conn_closed(struct oz_session *s)
{
    s->conns--;
    maybe_closed(s);
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
