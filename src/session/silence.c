#include "session/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long the first server may take for a connection. */
#define PATIENCE_MIN (500 * OZ_MS)
#define PATIENCE_MAX (2 * OZ_SECOND)

/* The list without the servers at one address: the C client cannot tell those apart. NULL when nothing is left, or out
 * of memory. */
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

/* A server that still answers quickly some time after we moved to it is a good one: should it fall silent, it may be
 * left at once. */
void oz_silence_answered(struct oz_session *s, int64_t sent, int64_t acked)
{
    int64_t timeout = s->identity.timeout_ms * OZ_MS;

    if (sent > s->moved_at + timeout / 2 && acked - sent < timeout / 8)
        s->may_move = 0;
}

/* Leaves the client only the other servers. False when there are none, or this is none of ours. */
static bool leave(struct oz_session *s, const char *address)
{
    char *hosts = hosts_without(s->conn->all, address);

    if (!hosts || strcmp(hosts, s->conn->all) == 0 || !s->port->set_hosts(s->conn->port, hosts)) {
        free(hosts);
        return false;
    }
    free(s->conn->hosts);
    s->conn->hosts = hosts;
    s->conn->fewer = true;
    snprintf(s->conn->left, sizeof s->conn->left, "%s", address);
    s->conn->left_at = oz_now();
    return true;
}

/* Takes the session to another server, long before the client itself would, and before the lease ends. Each move that
 * does not help makes the next one wait longer: when the whole ensemble is slow, moving is no use. */
static void leave_server(struct oz_session *s)
{
    int64_t now = oz_now(), timeout = s->identity.timeout_ms * OZ_MS;
    char address[64];

    if (now < s->may_move || !s->port->peer(s->conn->port, address, sizeof address) || !leave(s, address))
        return;
    oz_warn("session", "no answer from %s: moving to another server", address);
    s->move_pause = s->may_move ? 2 * s->move_pause : timeout;
    if (s->move_pause > 10 * timeout)
        s->move_pause = 10 * timeout;
    s->moved_at = now;
    s->may_move = now + s->move_pause;
    oz_session_cut(s); /* the client itself does not tell */
}

static void look(void *arg)
{
    struct oz_session *s = arg;
    int64_t patience = s->identity.timeout_ms * OZ_MS / 4, silent;

    if (!s->up || !s->connected || oz_conn_oldest(s->conn) == OZ_NEVER)
        return;
    silent = oz_now() - oz_conn_oldest(s->conn);
    if (silent < patience) {
        oz_session_later(s, &s->silence_timer, patience - silent, look, s);
    } else if (silent < 2 * patience || s->silence_late) {
        s->silence_late = false;
        leave_server(s);
        oz_session_later(s, &s->silence_timer, patience / 2, look, s);
    } else { /* we were stopped ourselves: the answer may be on its way through the client's threads */
        s->silence_late = true;
        oz_session_later(s, &s->silence_timer, patience / 8, look, s);
    }
}

void oz_silence_watch(struct oz_session *s)
{
    if (!s->silence_timer.armed)
        look(s);
}

/* ---- connecting ---- */

static void look_while_connecting(void *arg)
{
    struct oz_session *s = arg;
    char address[64];

    if (s->connected || !s->conn)
        return;
    if (s->port->peer(s->conn->port, address, sizeof address)) { /* it has just connected: the news is on its way */
        oz_session_later(s, &s->connect_timer, s->patience, look_while_connecting, s);
        return;
    }
    if (s->port->trying && s->port->trying(s->conn->port, address, sizeof address) && leave(s, address))
        oz_info("session", "%s does not take the connection: trying another server", address);
    s->patience *= 2;
    oz_session_later(s, &s->connect_timer, s->patience, look_while_connecting, s);
}

/* The client itself gives a server two thirds of the session timeout. Each time that no other was better we wait
 * longer: when all of them are slow, one has to be given the time. */
void oz_silence_connecting(struct oz_session *s)
{
    s->patience = s->timeout_ms * OZ_MS / 8;
    if (s->patience < PATIENCE_MIN)
        s->patience = PATIENCE_MIN;
    if (s->patience > PATIENCE_MAX)
        s->patience = PATIENCE_MAX;
    oz_session_later(s, &s->connect_timer, s->patience, look_while_connecting, s);
}

/* A client that gets the full list back before it has looked at the shorter one stays where it is, without a word. */
bool oz_conn_moved(const struct oz_conn *conn)
{
    char address[64];

    return !conn->fewer || !conn->session->port->peer(conn->port, address, sizeof address) ||
           strcmp(address, conn->left) != 0;
}
