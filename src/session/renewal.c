#include "session/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"

#include <string.h>

#define PENDING 4 /* lease writes that wait for an answer, at most */

void oz_renewal_lose(struct oz_session *s, const char *why)
{
    oz_timer_clear(s->timers, &s->lapse_timer);
    if (!s->granting)
        return;
    s->granting = false;
    s->loss = why;
    if (!s->closing)
        oz_warn("session", "the %s: mastership and locks of this node are over",
                strcmp(why, "lease") == 0 ? "lease has lapsed" : "session has ended");
    oz_session_tell(s, OZ_LEASE_LOST);
}

/* Always before the lease is extended: a lapse is told even if the answer that comes too late is here by now. */
static void check_lapse(void *arg)
{
    struct oz_session *s = arg;

    if (s->granting && oz_now() >= oz_lease_end(&s->lease))
        oz_renewal_lose(s, "lease");
}

static void after_lease_change(struct oz_session *s)
{
    int64_t end = oz_lease_end(&s->lease);

    if (!s->granting && s->up && s->connected && oz_now() < end && end > s->brief_end) {
        s->granting = true;
        oz_session_tell(s, OZ_LEASE_HELD);
    }
    if (s->granting)
        oz_timer_set(s->timers, &s->lapse_timer, end, check_lapse, s);
}

void oz_renewal_acked(struct oz_session *s, int64_t sent, int64_t acked, bool write)
{
    check_lapse(s);
    if (acked - sent > s->lease.lag / 2 && !s->slow_told) {
        s->slow_told = true;
        oz_warn("session", "a request took %lld ms, more than half of lease-lag (%lld ms): the servers are slow",
                (long long)((acked - sent) / OZ_MS), (long long)(s->lease.lag / OZ_MS));
    }
    oz_lease_acked(&s->lease, sent, acked, write);
    after_lease_change(s);
}

/* ---- writes ---- */

static void lease_answered(void *owner, const struct oz_reply *reply)
{
    struct oz_session *s = owner;

    (void)reply;
    s->lease_pending--;
}

static void send_write(struct oz_session *s)
{
    const char *path = NULL, *data = "";
    char nothing[OZ_NOWHERE_SIZE];
    struct oz_request request = {.verb = OZ_SET};

    if (s->lease_write && s->lease_write(s->lease_write_arg, &path, &data)) {
        request.data = data;
        request.len = strlen(data);
    } else {
        path = oz_session_nowhere(s, nothing);
        request.verb = OZ_DELETE;
    }
    request.path = path;
    if (oz_submit(s, &request, lease_answered, s))
        s->lease_pending++;
}

static void lease_synced(void *owner, const struct oz_reply *reply)
{
    struct oz_session *s = owner;

    lease_answered(s, reply);
    if (s->up && s->connected && reply->rc != OZ_UNKNOWN)
        send_write(s);
}

/* A sync goes ahead when there is something to prove: it costs the servers less than a write. */
static void send_lease_write(struct oz_session *s)
{
    struct oz_request sync = {.verb = OZ_SYNC, .path = s->root};
    int64_t proof = oz_lease_next(&s->lease);

    if (proof == 0 || proof > oz_now())
        send_write(s);
    else if (oz_submit(s, &sync, lease_synced, s))
        s->lease_pending++;
}

static void write_now(void *arg)
{
    oz_renewal_write(arg);
}

/* Once a period; while nothing is granted, or not for long any more, as soon as what was sent earlier can be proven. */
static void schedule_lease_write(struct oz_session *s)
{
    int64_t now = oz_now(), at = now + s->period, proof = oz_lease_next(&s->lease);
    bool hurry = !s->granting || oz_lease_end(&s->lease) - now < s->lease.lag + s->period;

    if (hurry && proof > now && proof < at) /* if not later, what was just sent is the proof */
        at = proof;
    oz_timer_set(s->timers, &s->lease_timer, at, write_now, s);
}

void oz_renewal_write(struct oz_session *s)
{
    if (!s->up || !s->connected)
        return;
    if (s->lease_pending == 0)
        s->waits_since = oz_now();
    if (oz_session_stuck(s, s->waits_since))
        return;
    if (s->lease_pending < PENDING)
        send_lease_write(s);
    oz_silence_watch(s);
    schedule_lease_write(s);
}

void oz_session_set_lease_write(struct oz_session *s, bool (*write)(void *arg, const char **path, const char **data),
                                void *arg)
{
    s->lease_write = write;
    s->lease_write_arg = arg;
}

/* ---- connections ---- */

/* The settings may be too long for the timeout that the servers granted. Unless told otherwise they grant at least two
 * ticks, so a quarter of that is at least half a tick. */
static void check_lease(struct oz_session *s, int64_t timeout, int64_t *lag, int64_t *margin)
{
    if (*lag + *margin + 2 * s->period >= timeout) { /* as the configuration is checked */
        *lag = timeout / OZ_LEASE_LAG_PART;
        *margin = timeout / OZ_LEASE_MARGIN_PART;
        s->period = timeout / OZ_LEASE_WRITE_PART;
        oz_warn("session",
                "the servers granted a session timeout of %d ms, for which the lease settings are too long: using "
                "lease-margin %lld, lease-lag %lld, lease-write-period %lld",
                s->identity.timeout_ms, (long long)(*margin / OZ_MS), (long long)(*lag / OZ_MS),
                (long long)(s->period / OZ_MS));
    } else if (*lag < timeout / OZ_LEASE_LAG_PART) {
        oz_warn("session", "lease-lag is %lld ms: safe only if the servers' tickTime is below %lld ms",
                (long long)(*lag / OZ_MS), (long long)(2 * *lag / OZ_MS));
    }
}

/* What the settings make of the granted timeout. */
static void fit_lease(struct oz_session *s, int64_t timeout, int64_t *lag, int64_t *margin)
{
    *lag = s->lag_ms >= 0 ? s->lag_ms * OZ_MS : timeout / OZ_LEASE_LAG_PART;
    *margin = s->margin_ms >= 0 ? s->margin_ms * OZ_MS : timeout / OZ_LEASE_MARGIN_PART;
    s->period = s->period_ms >= 0 ? s->period_ms * OZ_MS : timeout / OZ_LEASE_WRITE_PART;
    if (*margin < timeout / OZ_LEASE_MARGIN_PART)
        *margin = timeout / OZ_LEASE_MARGIN_PART;
    check_lease(s, timeout, lag, margin);
}

void oz_renewal_start(struct oz_session *s)
{
    int64_t timeout = s->identity.timeout_ms * OZ_MS, lag, margin;

    fit_lease(s, timeout, &lag, &margin);
    s->lease_pending = 0;
    s->slow_told = false;
    s->brief_end = 0;
    oz_lease_start(&s->lease, timeout, lag, margin, s->conn->opened);
}

/* Each connection is granted a timeout anew, and servers may be set up differently. */
static void shorten_lease(struct oz_session *s)
{
    int64_t timeout = s->identity.timeout_ms * OZ_MS, lag, margin;

    if (timeout >= s->lease.timeout)
        return;
    oz_warn("session",
            "this server grants a session timeout of %d ms only, less than the one before: the lease is shorter",
            s->identity.timeout_ms);
    fit_lease(s, timeout, &lag, &margin);
    oz_lease_shorten(&s->lease, timeout, lag, margin);
}

void oz_renewal_resume(struct oz_session *s)
{
    int64_t end;

    shorten_lease(s);
    check_lapse(s);
    s->waits_since = oz_now();
    oz_lease_reconnected(&s->lease);
    end = oz_lease_end(&s->lease);
    /* A grant would be lost again before the next proof can come: wait for that. */
    s->brief_end = end - oz_now() < s->lease.lag + s->period ? end : 0;
}

void oz_renewal_run(struct oz_session *s)
{
    after_lease_change(s);
    oz_renewal_write(s);
}
