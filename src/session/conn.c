#include "session/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- what the client tells, from its own threads ---- */

static void conn_news(struct oz_msg *msg)
{
    struct oz_conn *conn = oz_container(msg, struct oz_conn, msg);
    struct oz_session *s = conn->session;
    enum oz_port_state states[OZ_CONN_STATES];
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
        oz_session_port_changed(s, states[i]);
    if (watch_lost && conn == s->conn)
        oz_session_fire_watches(s, NULL);
}

void oz_conn_post_news(struct oz_conn *conn)
{
    if (!conn->posted) {
        conn->posted = true;
        conn->msg.run = conn_news;
        oz_dispatch_post(conn->session->dispatch, &conn->msg);
    }
}

static void port_state(void *ctx, enum oz_port_state state)
{
    struct oz_conn *conn = ctx;

    pthread_mutex_lock(&conn->lock);
    if (conn->state_count == OZ_CONN_STATES)
        conn->state_count--; /* the last word counts */
    conn->states[conn->state_count++] = state;
    oz_conn_post_news(conn);
    pthread_mutex_unlock(&conn->lock);
}

static const struct oz_port_events port_events = {port_state, oz_conn_watch, oz_conn_reply};

/* ---- making and freeing ---- */

static void free_conn(struct oz_conn *conn)
{
    oz_conn_free_ops(conn);
    pthread_mutex_destroy(&conn->lock);
    free(conn->hosts);
    free(conn->all);
    free(conn);
}

static struct oz_conn *new_conn(struct oz_session *s, const char *hosts)
{
    struct oz_conn *conn = oz_alloc(sizeof *conn);
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

static void conn_closed(struct oz_msg *msg)
{
    struct oz_conn *conn = oz_container(msg, struct oz_conn, closed_msg);
    struct oz_session *s = conn->session;

    if (conn->has_closer)
        pthread_join(conn->closer, NULL);
    free_conn(conn);
    oz_session_conn_closed(s);
}

static void *close_port(void *arg)
{
    struct oz_conn *conn = arg;

    conn->session->port->close(conn->port);
    conn->closed_msg.run = conn_closed;
    oz_dispatch_post(conn->session->dispatch, &conn->closed_msg);
    return NULL;
}

void oz_conn_close(struct oz_conn *conn)
{
    conn->has_closer = oz_thread_start(&conn->closer, close_port, conn) == 0;
    if (!conn->has_closer)
        close_port(conn);
}

/* ---- looking servers up ---- */

static void resolve_now(void *arg);

static int64_t jitter(int64_t most)
{
    uint32_t r = 0;

    if (getentropy(&r, sizeof r) != 0)
        r = (uint32_t)oz_now();
    return (int64_t)((double)r / UINT32_MAX * (double)most);
}

static void look_again(struct oz_session *s, int64_t delay, void (*what)(void *))
{
    oz_session_later(s, &s->resolve_timer, delay, what, s);
}

void oz_session_watch_addresses(struct oz_session *s)
{
    int64_t period = 5 * OZ_SECOND;

    if (s->timeout_ms * OZ_MS > period)
        period = s->timeout_ms * OZ_MS;
    if (s->conn && s->conn->fewer)
        period = s->timeout_ms * OZ_MS / 4;
    look_again(s, period, resolve_now);
}

static void change_hosts(struct oz_session *s, const char *hosts)
{
    struct oz_conn *conn = s->conn;
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

/* For a client that is there, but not connected. */
static void use_hosts(struct oz_session *s, const char *hosts)
{
    if (!oz_conn_moved(s->conn)) {
        if (oz_session_stuck(s, s->conn->left_at))
            return;
    } else if (hosts && strcmp(hosts, s->conn->hosts) != 0) {
        change_hosts(s, hosts);
    }
    oz_session_watch_addresses(s);
}

static void open_conn(struct oz_session *s, const char *hosts)
{
    s->conn = hosts ? new_conn(s, hosts) : NULL;
    if (!s->conn) {
        if (hosts)
            oz_warn("session", "cannot make a ZooKeeper client: %s", strerror(errno));
        look_again(s, OZ_SECOND + jitter(OZ_SECOND), resolve_now);
        return;
    }
    s->conns++;
    oz_session_watch_addresses(s);
    oz_silence_connecting(s);
}

static void note_trouble(struct oz_session *s, const char *hosts, const char *why)
{
    char *tried = hosts ? oz_strdup(hosts) : NULL;

    pthread_mutex_lock(&s->trouble_lock);
    snprintf(s->trouble, sizeof s->trouble, "%s", why);
    free(s->tried);
    s->tried = tried;
    pthread_mutex_unlock(&s->trouble_lock);
}

/* A server that could be asked says more than a name that could not be looked up. */
void oz_session_trouble(struct oz_session *s, char *text, size_t size)
{
    *text = '\0';
    pthread_mutex_lock(&s->trouble_lock);
    if (s->tried)
        oz_log_trouble(s->tried, text, size);
    if (!*text)
        snprintf(text, size, "%s", s->trouble);
    pthread_mutex_unlock(&s->trouble_lock);
}

static void resolved(void *arg, const char *hosts, const char *why)
{
    struct oz_session *s = arg;

    s->resolver = NULL;
    note_trouble(s, hosts, why);
    if (s->connected || s->closing)
        return;
    if (*why)
        oz_warn("session", "%s", why);
    if (s->conn)
        use_hosts(s, hosts);
    else
        open_conn(s, hosts);
}

static void resolve_now(void *arg)
{
    struct oz_session *s = arg;

    if (s->resolver || s->closing)
        return;
    s->resolver = oz_resolve(s->dispatch, s->servers, resolved, s);
    if (!s->resolver)
        look_again(s, OZ_RETRY_AFTER, resolve_now);
}

void oz_session_connect(struct oz_session *s)
{
    oz_session_set_state(s, ODEZK_SESSION_CONNECTING, NULL);
    resolve_now(s);
}

static void connect_now(void *arg)
{
    oz_session_connect(arg);
}

void oz_session_connect_later(struct oz_session *s)
{
    look_again(s, jitter(s->timeout_ms * OZ_MS / 8), connect_now);
}
