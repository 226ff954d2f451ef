#include "recipe/election.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trouble.h"
#include "znode/fields.h"
#include "znode/paths.h"
#include "znode/seat.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oz_election {
    struct oz_election_options options;
    struct oz_session *session;
    char *dir, *leader_path;
    char id[65];
    int64_t incarnation;
    bool candidate;

    struct oz_seat *seat;
    unsigned seats;             /* how many were asked for: no two have the same name */
    struct oz_op *op;           /* the list, or the publication, under way */
    struct oz_watch seat_watch; /* of the candidate before us; of our own seat while master */
    struct oz_op *seat_op;
    struct oz_timer retry;
    struct oz_trouble trouble; /* with the seat, until it is taken and published */
    bool master;               /* told so */
    int64_t epoch;             /* of the mastership that was told */
    _Atomic int64_t held;      /* the same for all threads; cleared before the lease is prolonged past a lapse */

    bool watching;
    struct oz_leader leader;
    struct oz_op *leader_op;
    bool leader_again;
    struct oz_watch leader_watch;
    struct oz_timer leader_retry;
    struct oz_trouble leader_trouble; /* until it says what it should */
};

static void step(void *arg);
static void read_leader(void *arg);
static void publish(struct oz_election *e);

static void later(struct oz_election *e)
{
    oz_session_later(e->session, &e->retry, OZ_RETRY_AFTER, step, e);
}

/* The servers refuse a step of a candidate. */
static void seat_trouble(struct oz_election *e, const char *what, const char *path, enum oz_rc rc)
{
    int64_t pause = oz_trouble_pause(&e->trouble, "odezk.election", what, path, oz_rc_name(rc));

    oz_session_later(e->session, &e->retry, pause, step, e);
}

/* ---- who is master ---- */

void oz_leader_parse(struct oz_leader *leader, const char *text)
{
    *leader = (struct oz_leader){0};
    oz_field_copy(text, "node", leader->id, sizeof leader->id);
    if (!leader->id[0])
        return;
    leader->incarnation = oz_field_int(text, "incarnation");
    leader->epoch = oz_field_int(text, "epoch");
}

static char *leader_text(const struct oz_election *e)
{
    struct oz_buf b = {0};

    oz_field_add(&b, "node", e->id);
    oz_field_number(&b, "incarnation", e->incarnation);
    oz_field_number(&b, "epoch", oz_seat_czxid(e->seat));
    return oz_buf_take(&b);
}

static void leader_changed(void *owner)
{
    struct oz_election *e = owner;

    e->leader_again = true;
    read_leader(e);
}

static void leader_later(struct oz_election *e)
{
    oz_session_later(e->session, &e->leader_retry, OZ_RETRY_AFTER, leader_changed, e);
}

/* The servers refuse what keeps `leader` right, or known. */
static void leader_trouble(struct oz_election *e, const char *what, enum oz_rc rc)
{
    int64_t pause = oz_trouble_pause(&e->leader_trouble, "odezk.election", what, e->leader_path, oz_rc_name(rc));

    oz_session_later(e->session, &e->leader_retry, pause, leader_changed, e);
}

static void leader_made(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;

    e->leader_op = NULL;
    e->leader_again = reply->rc == OZ_OK || reply->rc == OZ_EXISTS;
    if (e->leader_again)
        read_leader(e);
    else if (reply->rc == OZ_NONODE) /* the root is missing: it is created with the members' directory */
        leader_later(e);
    else if (reply->rc != OZ_GONE)
        leader_trouble(e, "create", reply->rc);
}

static void make_leader(struct oz_election *e)
{
    struct oz_request request = {.verb = OZ_CREATE, .path = e->leader_path, .retry = true};

    e->leader_op = oz_submit(e->session, &request, leader_made, e);
    if (!e->leader_op)
        leader_later(e);
}

static void leader_read(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;
    struct oz_leader leader;

    e->leader_op = NULL;
    if (reply->rc == OZ_NONODE) {
        oz_watch_disarm(e->session, &e->leader_watch);
        if (e->options.make)
            make_leader(e);
        else
            oz_session_later(e->session, &e->leader_retry, 500 * OZ_MS, leader_changed, e);
    } else if (reply->rc == OZ_OK) {
        oz_leader_parse(&leader, reply->data);
        e->leader = leader;
        e->options.leader(e->options.arg, &leader);
        if (!e->master || leader.epoch == e->epoch)
            oz_trouble_end(&e->leader_trouble);
        else if (!e->op) /* somebody else removed or overwrote it */
            publish(e);
        read_leader(e);
    } else if (reply->rc != OZ_GONE) {
        oz_watch_disarm(e->session, &e->leader_watch); /* nobody would fire it */
        leader_trouble(e, "read", reply->rc);
    }
}

static void read_leader(void *arg)
{
    struct oz_election *e = arg;
    struct oz_request request = {.verb = OZ_GET, .path = e->leader_path, .watch = true, .retry = true};

    if (!e->watching || !e->leader_again || e->leader_op || oz_session_id(e->session) == 0)
        return;
    e->leader_again = false;
    if (oz_watch_arm(e->session, &e->leader_watch, e->leader_path, leader_changed, e))
        e->leader_op = oz_submit(e->session, &request, leader_read, e);
    if (!e->leader_op)
        leader_later(e);
}

void oz_election_watch(struct oz_election *e)
{
    e->watching = e->leader_again = true;
    read_leader(e);
}

/* ---- the mastership ---- */

int64_t oz_election_epoch(const struct oz_election *e)
{
    /* In this order: `held` is cleared before the lease is prolonged after a lapse. */
    int64_t end = oz_session_lease_end(e->session);
    int64_t held = atomic_load_explicit(&e->held, memory_order_acquire);

    return held && oz_now() < end ? held : 0;
}

const char *oz_election_path(const struct oz_election *e, int64_t epoch)
{
    return e->master && e->epoch == epoch ? oz_seat_path(e->seat) : NULL;
}

bool oz_election_drop(struct oz_election *e)
{
    return oz_election_epoch(e) && atomic_exchange(&e->held, 0) != 0;
}

static void end_mastership(struct oz_election *e, const char *reason)
{
    atomic_store(&e->held, 0);
    if (!e->master)
        return;
    e->master = false;
    oz_info("election", "%s is master no longer (%s), epoch %" PRId64, e->id, reason, e->epoch);
    e->options.mastership(e->options.arg, false, e->epoch, reason);
}

static void begin_mastership(struct oz_election *e)
{
    e->master = true;
    e->epoch = oz_seat_czxid(e->seat);
    atomic_store_explicit(&e->held, e->epoch, memory_order_release);
    oz_info("election", "%s is master, epoch %" PRId64, e->id, e->epoch);
    e->options.mastership(e->options.arg, true, e->epoch, NULL);
}

/* ---- the seat ---- */

static void stop_waiting(struct oz_election *e)
{
    oz_watch_disarm(e->session, &e->seat_watch);
    oz_timer_clear(oz_session_timers(e->session), &e->retry);
    oz_op_detach(e->op);
    oz_op_detach(e->seat_op);
    e->op = e->seat_op = NULL;
}

struct abdication {
    struct oz_session *session;
    char path[];
};

static void abdicated(void *owner, const struct oz_reply *reply)
{
    struct abdication *a = owner;

    /* Refused as a whole: the seat is gone already, or `leader` is missing. */
    if (reply->rc != OZ_OK && reply->rc != OZ_GONE)
        oz_erase(a->session, a->path);
    free(a);
}

/* Deletes the seat and empties `leader` in one step: of two, the second could erase what the successor wrote. Repeated,
 * it fails as a whole, as the seat is gone. */
static void abdicate(struct oz_election *e)
{
    const char *path = oz_seat_path(e->seat);
    struct abdication *a = oz_alloc(sizeof *a + strlen(path) + 1);
    struct oz_request items[] = {{.verb = OZ_DELETE, .path = path}, {.verb = OZ_SET, .path = e->leader_path}};
    struct oz_request request = {.verb = OZ_MULTI, .items = items, .count = 2, .retry = true};

    if (a) {
        a->session = e->session;
        memcpy(a->path, path, strlen(path));
    }
    if (!a || !oz_submit(e->session, &request, abdicated, a)) {
        free(a);
        oz_erase(e->session, path);
    }
    e->seat = oz_seat_forget(e->seat);
}

/* Gives the seat up, whether it was the master's or one in the queue. */
static void leave_seat(struct oz_election *e, bool was_master)
{
    stop_waiting(e);
    if (was_master && oz_seat_taken(e->seat))
        abdicate(e);
    else
        e->seat = oz_seat_leave(e->seat);
}

static void seat_removed(struct oz_election *e)
{
    oz_warn("election", "the election znode %s was removed", oz_seat_path(e->seat));
    stop_waiting(e);
    end_mastership(e, "removed");
    e->seat = oz_seat_forget(e->seat);
    step(e);
}

static void own_seat_changed(void *owner);

static void own_seat_read(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;
    int64_t pause;

    e->seat_op = NULL;
    if (reply->rc == OZ_NONODE) {
        seat_removed(e);
    } else if (reply->rc == OZ_OK) {
        oz_trouble_end(&e->trouble);
    } else if (reply->rc != OZ_GONE) {
        oz_watch_disarm(e->session, &e->seat_watch);
        pause = oz_trouble_pause(&e->trouble, "odezk.election", "read", oz_seat_path(e->seat), oz_rc_name(reply->rc));
        oz_session_later(e->session, &e->retry, pause, own_seat_changed, e);
    }
}

static void own_seat_changed(void *owner)
{
    struct oz_election *e = owner;
    struct oz_request request = {.verb = OZ_GET, .path = oz_seat_path(e->seat), .watch = true, .retry = true};

    oz_op_detach(e->seat_op); /* it read too early, and has no watch any more */
    e->seat_op = NULL;
    if (oz_watch_arm(e->session, &e->seat_watch, request.path, own_seat_changed, e))
        e->seat_op = oz_submit(e->session, &request, own_seat_read, e);
    if (!e->seat_op)
        oz_session_later(e->session, &e->retry, OZ_RETRY_AFTER, own_seat_changed, e);
}

/* A master does not step any more: it publishes again when it reads that `leader` does not name it. */
static void publish_later(struct oz_election *e)
{
    if (e->master)
        leader_later(e);
    else
        later(e);
}

static void publish_trouble(struct oz_election *e, enum oz_rc rc)
{
    if (e->master)
        leader_trouble(e, "write", rc);
    else
        seat_trouble(e, "write", e->leader_path, rc);
}

static void published(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_OK) {
        if (e->master || !oz_session_granting(e->session))
            return; /* all is looked at again when the lease is back */
        oz_trouble_end(&e->trouble);
        begin_mastership(e);
        own_seat_changed(e);
    } else if (reply->rc == OZ_NONODE && reply->failed == 0) {
        seat_removed(e);
    } else if (reply->rc == OZ_NONODE) {
        if (!e->leader_op)
            make_leader(e);
        publish_later(e);
    } else if (reply->rc != OZ_GONE) {
        publish_trouble(e, reply->rc);
    }
}

/* Writes `leader` before the mastership begins, so that nobody is master without being named there. */
static void publish(struct oz_election *e)
{
    char *text = leader_text(e);
    struct oz_request items[] = {
        {.verb = OZ_CHECK, .path = oz_seat_path(e->seat)},
        {.verb = OZ_SET, .path = e->leader_path, .data = text, .len = text ? strlen(text) : 0}};
    struct oz_request request = {.verb = OZ_MULTI, .items = items, .count = 2, .retry = true};

    if (text)
        e->op = oz_submit(e->session, &request, published, e);
    if (!e->op)
        publish_later(e);
    free(text);
}

static void predecessor_gone(void *owner)
{
    struct oz_election *e = owner;

    oz_op_detach(e->seat_op);
    e->seat_op = NULL;
    step(e);
}

static void predecessor_read(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;

    e->seat_op = NULL;
    if (reply->rc == OZ_OK) {
        oz_trouble_end(&e->trouble);
    } else if (reply->rc != OZ_GONE) {
        oz_watch_disarm(e->session, &e->seat_watch); /* nobody would fire it */
        if (reply->rc == OZ_NONODE)
            step(e);
        else
            seat_trouble(e, "read the candidates in", e->dir, reply->rc);
    }
}

static void watch_predecessor(struct oz_election *e, const char *name)
{
    char *path = oz_format("%s/%s", e->dir, name);
    struct oz_request request = {.verb = OZ_GET, .path = path, .watch = true, .retry = true};

    if (path && oz_watch_arm(e->session, &e->seat_watch, path, predecessor_gone, e))
        e->seat_op = oz_submit(e->session, &request, predecessor_read, e);
    if (!e->seat_op) {
        oz_watch_disarm(e->session, &e->seat_watch); /* nobody would fire it */
        later(e);
    }
    free(path);
}

static void candidates_read(void *owner, const struct oz_reply *reply)
{
    struct oz_election *e = owner;
    struct oz_neighbours n;

    e->op = NULL;
    if (reply->rc == OZ_GONE)
        return;
    if (reply->rc != OZ_OK) {
        seat_trouble(e, "list", e->dir, reply->rc);
        return;
    }
    n = oz_seat_neighbours(e->seat, reply->names, reply->count, NULL);
    if (!n.here)
        seat_removed(e);
    else if (n.before)
        watch_predecessor(e, n.before);
    else
        publish(e);
}

static void seat_taken(void *owner, struct oz_seat *seat, enum oz_rc rc)
{
    struct oz_election *e = owner;

    if (rc == OZ_OK) {
        oz_trouble_end(&e->trouble);
        step(e);
        return;
    }
    e->seat = oz_seat_forget(seat);
    if (rc != OZ_GONE)
        seat_trouble(e, "make a znode below", e->dir, rc);
}

static bool take_seat(struct oz_election *e)
{
    char prefix[48];

    snprintf(prefix, sizeof prefix, "%016" PRIx64 ".%u", (uint64_t)oz_session_id(e->session), ++e->seats);
    e->seat = oz_seat_take(e->session, e->dir, prefix, e->id, seat_taken, e);
    return e->seat != NULL;
}

/* Does the next thing that is missing for a mastership. */
static void step(void *arg)
{
    struct oz_election *e = arg;
    struct oz_request list = {.verb = OZ_CHILDREN, .path = e->dir, .retry = true};
    bool good = true;

    if (!e->candidate || e->master || oz_session_id(e->session) == 0)
        return;
    if (!e->seat)
        good = take_seat(e);
    else if (oz_seat_taken(e->seat) && !e->op && !e->seat_watch.path) {
        e->op = oz_submit(e->session, &list, candidates_read, e);
        good = e->op != NULL;
    }
    if (!good)
        later(e);
}

/* ---- events and commands ---- */

static void session_event(void *self, enum oz_session_event event)
{
    struct oz_election *e = self;
    bool was_master = e->master;

    switch (event) {
    case OZ_UP:
        e->leader_again = true;
        read_leader(e);
        break;
    case OZ_LEASE_HELD:
        step(e);
        break;
    case OZ_LEASE_LOST:
        end_mastership(e, oz_session_loss(e->session));
        if (was_master && oz_session_id(e->session)) {
            leave_seat(e, true); /* waits for a connection, if there is none */
            step(e);
        }
        break;
    case OZ_DOWN:
        stop_waiting(e);
        end_mastership(e, "session");
        e->seat = oz_seat_forget(e->seat);
        oz_op_detach(e->leader_op);
        e->leader_op = NULL;
        oz_timer_clear(oz_session_timers(e->session), &e->leader_retry);
        break;
    default:
        break;
    }
}

void oz_election_enter(struct oz_election *e, const char *id, int64_t incarnation)
{
    snprintf(e->id, sizeof e->id, "%s", id);
    e->incarnation = incarnation;
    e->candidate = true;
    step(e);
}

void oz_election_withdraw(struct oz_election *e, const char *reason)
{
    bool was_master = e->master;

    e->candidate = false;
    end_mastership(e, reason);
    leave_seat(e, was_master);
}

void oz_election_resign(struct oz_election *e)
{
    if (!e->master)
        return;
    end_mastership(e, "resigned");
    leave_seat(e, true);
    step(e);
}

struct oz_election *oz_election_new(const struct oz_election_options *options)
{
    struct oz_election *e = oz_alloc(sizeof *e);
    struct oz_listener listener = {session_event, e};

    if (!e)
        return NULL;
    e->options = *options;
    e->session = options->session;
    e->dir = oz_path_election(options->root);
    e->leader_path = oz_path_leader(options->root);
    if (!e->dir || !e->leader_path) {
        oz_election_free(e);
        return NULL;
    }
    oz_session_listen(e->session, &listener);
    return e;
}

void oz_election_free(struct oz_election *e)
{
    if (!e)
        return;
    oz_seat_forget(e->seat);
    free(e->dir);
    free(e->leader_path);
    free(e);
}
