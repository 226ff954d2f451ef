/* Getting a lock that another node holds: asking the holder, and waiting in the queue. */
#include "recipe/lock_entry.h"

#include "base/clock.h"
#include "base/mem.h"
#include "znode/fields.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_WITHIN_MS 250 /* a holder that lives answers a request within a few round trips */
#define ASK_AGAIN OZ_SECOND
#define LEFT_MAX 200 /* requests left to holders that do not answer, between two idle ticks */

static bool is_ours(const struct entry *e, const struct oz_reply *reply)
{
    return reply->stat.owner == oz_session_id(e->locks->session);
}

/* ---- asking the holder ---- */

/* Whether nobody here waits for long. Then the holder is asked, but only once. */
static bool may_ask(const struct entry *e)
{
    const struct oz_list *node;

    oz_list_each(node, &e->effort->waiting)
        if (oz_container(node, odezk_lock_request, link)->wait_ms > ANSWER_WITHIN_MS)
            return false;
    return !oz_entry_unwanted(e) && !e->effort->second_look;
}

/* Where the holder of a lock is asked for it; NULL when it takes no requests, or out of memory. */
static char *request_path(const struct entry *e, const char *data)
{
    char inbox[80];

    oz_field_copy(data, "inbox", inbox, sizeof inbox);
    return inbox[0] ? oz_entry_request_path(e, inbox) : NULL;
}

static void forget_request(struct entry *e)
{
    struct effort *f = e->effort;

    free(f->request);
    f->request = NULL;
    f->asked = 0;
}

/* It stays in the inbox until the holder has read it. A holder that is slower than our patience would otherwise never
 * find it there, and keep a lock that it does not use from whoever tries again and again. Thousands are not left: they
 * go with our session, in a transaction that must not be too large. */
static void leave_request(struct entry *e)
{
    if (e->effort->request && e->locks->requests_left++ >= LEFT_MAX)
        oz_erase_bulk(e->locks->session, e->effort->request);
    forget_request(e);
}

static void refuse_the_impatient(struct entry *e)
{
    e->effort->second_look = true; /* it is not asked again: attempts that wait a little go to the queue */
    leave_request(e);
    oz_entry_others_hold(e);
    oz_entry_set_free(e);
}

/* The holder took our request out of its inbox: it may have given the lock up. */
static void answered(struct entry *e)
{
    oz_entry_stop(e);
    forget_request(e);
    e->effort->second_look = true;
    oz_entry_create(e);
}

static void watch_request(struct entry *e);

static void request_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_NONODE || !e->effort->watch.path)
        answered(e);
    else if (reply->rc == OZ_OK)
        oz_entry_later(e, ANSWER_WITHIN_MS * OZ_MS, refuse_the_impatient);
    else
        refuse_the_impatient(e);
}

static void watch_request(struct entry *e)
{
    oz_entry_submit_watch(e, oz_strdup(e->effort->request), request_read, answered, watch_request);
}

static void requested(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)
        watch_request(e);
    else if (reply->rc == OZ_NONODE) /* the inbox is gone: the holder is leaving */
        answered(e);
    else
        refuse_the_impatient(e);
}

static void send_request(struct entry *e)
{
    struct oz_request request = {.verb = OZ_CREATE, .flags = OZ_EPHEMERAL, .retry = true};

    oz_entry_submit(e, &request, oz_strdup(e->effort->request), requested, send_request);
}

static void holder_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_NONODE) {
        oz_entry_create(e);
    } else if (reply->rc == OZ_OK && is_ours(e, reply)) {
        oz_entry_hold_found(e, reply->stat.czxid);
    } else if (reply->rc == OZ_OK) {
        e->effort->request = request_path(e, reply->data);
        if (e->effort->request)
            send_request(e);
        else
            refuse_the_impatient(e);
    } else {
        oz_entry_give_up(e, reply->rc);
    }
}

static void ask(struct entry *e)
{
    struct oz_request request = {.verb = OZ_GET, .retry = true};

    e->state = ASKING;
    oz_entry_submit(e, &request, oz_entry_path(e), holder_read, ask);
}

void oz_entry_found_taken(struct entry *e)
{
    oz_entry_met_others(e, oz_now());
    if (may_ask(e)) {
        ask(e);
    } else {
        oz_entry_others_hold(e);
        oz_entry_set_free(e);
    }
}

/* ---- the queue ---- */

static void look_at_lock(struct entry *e);
static void read_queue(struct entry *e);

void oz_entry_leave_queue(struct entry *e)
{
    struct effort *f = e->effort;

    oz_entry_stop(e);
    forget_request(e);
    f->seat = oz_seat_leave(f->seat);
}

/* Our seat is not in the list. The list may be older than the seat, so the seat is given up: others may wait behind it.
 */
static void start_again(struct entry *e)
{
    oz_entry_leave_queue(e);
    oz_entry_set_free(e);
}

static void taken_checked(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && is_ours(e, reply)) {
        e->effort->seat = oz_seat_forget(e->effort->seat);
        e->grants_while_wanted = 0;
        oz_entry_hold(e, reply->stat.czxid);
    } else { /* somebody removed it in between */
        e->state = QUEUED;
        read_queue(e);
    }
}

/* The reply to a multi has no czxid. */
static void check_taken(struct entry *e)
{
    struct oz_request request = {.verb = OZ_STAT, .retry = true};

    oz_entry_submit(e, &request, oz_entry_path(e), taken_checked, check_taken);
}

static void taken(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK) {
        check_taken(e);
    } else if (reply->rc == OZ_NONODE && reply->failed == 1) {
        start_again(e);
    } else if (reply->rc == OZ_NONODE) { /* the lock's directory was removed: a create makes it */
        oz_entry_leave_queue(e);
        e->effort->contended = e->queue_first = false;
        oz_entry_set_free(e);
    } else {
        /* Somebody was faster; or the first reply was lost, and the lock is ours: until that is known nobody leaves. */
        if (reply->rc == OZ_EXISTS)
            look_at_lock(e);
        else
            oz_entry_later(e, OZ_RETRY_AFTER, look_at_lock);
    }
}

static void take_lock(struct entry *e)
{
    char owner[OZ_OWNER_SIZE], *path = oz_entry_path(e);
    struct oz_request items[] = {{.verb = OZ_CREATE, .path = path, .data = owner, .flags = OZ_EPHEMERAL},
                                 {.verb = OZ_DELETE, .path = oz_seat_path(e->effort->seat)}};
    struct oz_request request = {.verb = OZ_MULTI, .items = items, .count = 2, .retry = true};

    oz_entry_owner(e, owner);
    items[0].len = strlen(owner);
    e->inbox_turn = e->locks->inbox_turn;
    e->state = TAKING;
    if (path) {
        oz_entry_submit(e, &request, oz_strdup(path), taken, take_lock);
    } else {
        e->state = QUEUED;
        oz_entry_later(e, OZ_RETRY_AFTER, look_at_lock);
    }
    free(path);
}

static void ask_again(struct entry *e)
{
    e->effort->asked = 0;
    if (!e->effort->op)
        look_at_lock(e);
}

static void asked(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    (void)reply; /* the watch of the lock tells what comes of it */
    oz_locks_lock(e->locks);
    e->effort->ask_op = NULL;
    oz_locks_unlock(e->locks);
}

/* Asks each holder once, and again after a while, as a request may get lost together with an inbox. */
static void ask_holder(struct entry *e, const struct oz_reply *lock)
{
    struct oz_request request = {.verb = OZ_CREATE, .flags = OZ_EPHEMERAL, .retry = true};
    struct effort *f = e->effort;

    if (f->asked != lock->stat.czxid) {
        free(f->request);
        f->request = request_path(e, lock->data);
        request.path = f->request;
        f->asked = lock->stat.czxid;
        oz_op_detach(f->ask_op);
        f->ask_op = f->request ? oz_submit(e->locks->session, &request, asked, e) : NULL;
    }
    if (!f->timer.armed)
        oz_entry_later(e, ASK_AGAIN, ask_again);
}

static void found_ours(struct entry *e, const struct oz_reply *reply)
{
    oz_entry_leave_queue(e);
    e->grants_while_wanted = 0;
    oz_entry_hold_found(e, reply->stat.czxid);
}

static void lock_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && is_ours(e, reply)) {
        found_ours(e, reply);
        return;
    }
    e->state = QUEUED;
    if (oz_entry_unwanted(e)) {
        oz_entry_step(e);
    } else if (reply->rc == OZ_NONODE) {
        oz_entry_stop(e);
        take_lock(e);
    } else if (reply->rc == OZ_OK && may_ask(e)) {
        oz_entry_leave_queue(e);
        ask(e);
    } else if (reply->rc == OZ_OK) {
        oz_entry_others_hold(e);
        if (oz_entry_unwanted(e))
            oz_entry_step(e);
        else if (!e->effort->watch.path) /* the lock changed while the reply was under way */
            look_at_lock(e);
        else
            ask_holder(e, reply);
    } else {
        oz_entry_later(e, OZ_RETRY_AFTER, look_at_lock);
    }
}

static void doubt_answered(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    e->effort->ask_op = NULL;
    if (reply->rc == OZ_OK && is_ours(e, reply) && e->state == QUEUED) {
        found_ours(e, reply);
    }
    oz_locks_unlock(locks);
}

/* It is the first in the queue that asks: it looks at the lock, and takes our session for the holder's. */
void oz_entry_doubt(struct entry *e)
{
    struct oz_request request = {.verb = OZ_STAT, .retry = true};
    struct effort *f = e->effort;
    char *path = f->ask_op ? NULL : oz_entry_path(e);

    request.path = path;
    if (path)
        f->ask_op = oz_submit(e->locks->session, &request, doubt_answered, e);
    free(path);
}

static void lock_changed(struct entry *e)
{
    if (!e->effort->op)
        look_at_lock(e);
}

/* First in the queue: waits for the lock itself. */
static void look_at_lock(struct entry *e)
{
    oz_entry_submit_watch(e, oz_entry_path(e), lock_read, lock_changed, look_at_lock);
}

static void predecessor_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_NONODE)
        read_queue(e);
    else if (reply->rc != OZ_OK)
        oz_entry_later(e, OZ_RETRY_AFTER, read_queue);
}

static void wait_behind(struct entry *e, const char *name)
{
    char *dir, *path = NULL;

    oz_entry_others_hold(e);
    if (oz_entry_unwanted(e)) {
        oz_entry_step(e);
        return;
    }
    dir = oz_entry_queue_dir(e);
    if (dir)
        path = oz_format("%s/%s", dir, name);
    free(dir);
    oz_entry_submit_watch(e, path, predecessor_read, read_queue, read_queue);
}

static void queue_read(struct entry *e, const struct oz_reply *reply)
{
    struct oz_neighbours n;
    char *encoded;

    if (!oz_seat_taken(e->effort->seat))
        return; /* the seat was not there at once: it will be looked for again */
    encoded = reply->rc == OZ_OK ? oz_entry_encoded(e) : NULL;
    if (!encoded) {
        oz_entry_later(e, OZ_RETRY_AFTER, read_queue);
        return;
    }
    n = oz_seat_neighbours(e->effort->seat, reply->names, reply->count, encoded);
    if (!n.here)
        start_again(e);
    else if (n.before)
        wait_behind(e, n.before);
    else {
        e->wanted = n.behind;
        look_at_lock(e);
    }
    free(encoded);
}

static void read_queue(struct entry *e)
{
    struct oz_request request = {.verb = OZ_CHILDREN, .retry = true};

    oz_entry_submit(e, &request, oz_entry_queue_dir(e), queue_read, read_queue);
}

static void seat_taken(void *owner, struct oz_seat *seat, enum oz_rc rc)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    if (rc == OZ_OK) {
        if (!e->effort->op) /* otherwise a list that was sent behind the seat's create is under way */
            read_queue(e);
    } else if (rc != OZ_GONE) {
        e->effort->seat = oz_seat_forget(seat);
        oz_entry_give_up(e, rc);
    }
    oz_locks_unlock(locks);
}

void oz_entry_queue(struct entry *e)
{
    struct oz_locks *locks = e->locks;
    struct effort *f = e->effort;
    char owner[OZ_OWNER_SIZE], *prefix = NULL, *encoded = oz_entry_encoded(e), *dir = oz_entry_queue_dir(e);

    e->state = QUEUED;
    oz_entry_owner(e, owner);
    if (encoded)
        prefix = oz_format("%s#%016" PRIx64 ".%u", encoded, (uint64_t)oz_session_id(locks->session), ++locks->seats);
    if (prefix && dir)
        f->seat = oz_seat_take(locks->session, dir, prefix, owner, seat_taken, e);
    if (f->seat)
        read_queue(e); /* in the same flight */
    else
        oz_entry_later(e, OZ_RETRY_AFTER, oz_entry_queue);
    free(prefix);
    free(encoded);
    free(dir);
}
