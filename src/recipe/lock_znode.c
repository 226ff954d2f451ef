/* The lock's znode: making it, deleting it, and finding out whose it is when a reply got lost. */
#include "recipe/lock_entry.h"

#include "base/clock.h"
#include "base/log.h"
#include "znode/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oz_entry_hold(struct entry *e, int64_t czxid)
{
    struct effort *f = e->effort;

    oz_entry_unlist(e);
    e->state = HELD;
    if (e->czxid != czxid)
        e->serial = e->released = 0;
    e->czxid = czxid;
    e->queue_first = false;
    f->contended = f->looked = f->second_look = f->behind_delete = false;
    f->asked = 0;
    free(f->request);
    f->request = NULL;
    oz_entry_step(e);
}

void oz_entry_hold_found(struct entry *e, int64_t czxid)
{
    e->inbox_turn = e->locks->inbox_turn - 1;
    oz_entry_hold(e, czxid);
}

void oz_entry_set_free(struct entry *e)
{
    oz_entry_stop(e);
    oz_entry_unlist(e);
    e->state = FREE;
    e->wanted = false;
    if (e->effort)
        e->effort->behind_delete = false;
    oz_entry_step(e);
}

/* ---- somebody else may remove it ---- */

void oz_entry_ended(struct entry *e)
{
    oz_warn("lock", "somebody ended the lock %s, token %lld", e->name, (long long)e->czxid);
    oz_entry_lose_grant(e);
    e->wanted = true;
    e->inbox_turn = e->locks->inbox_turn - 1; /* the znode may be gone, or another's: it is read before it is deleted */
    oz_entry_give_back(e);
}

static void watch_own(struct entry *e);

static void own_read(struct entry *e, const struct oz_reply *reply)
{
    bool gone = reply->rc == OZ_NONODE || (reply->rc == OZ_OK && reply->stat.czxid != e->czxid);

    if (gone)
        oz_entry_ended(e);
    else if (reply->rc != OZ_OK)
        oz_entry_later(e, OZ_RETRY_AFTER, watch_own);
    else if (!e->effort->watch.path) /* it fired before this came, or without need */
        watch_own(e);
}

/* The look that the watch leads to when the first one is still under way would be one too many. */
static void own_changed(struct entry *e)
{
    if (!e->effort->op)
        watch_own(e);
}

static void watch_own(struct entry *e)
{
    oz_entry_submit_watch(e, oz_entry_path(e), own_read, own_changed, watch_own);
}

/* Out of memory it is not watched, and only the token protects from that operator. */
void oz_entry_guard(struct entry *e)
{
    if (e->state == HELD && e->grant && oz_entry_unreachable(e) && oz_entry_need_effort(e) && !e->effort->watch.path &&
        !e->effort->op)
        watch_own(e);
}

void oz_entry_give_up(struct entry *e, enum oz_rc rc)
{
    char why[128];

    snprintf(why, sizeof why, "ZooKeeper refuses the lock's znode: %s", oz_rc_name(rc));
    oz_entry_fail_all(e, rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER, why);
    oz_entry_leave_queue(e);
    oz_entry_set_free(e);
}

/* ---- deleting it ---- */

static void delete_lock(struct entry *e);
static void check_delete(struct entry *e);

/* While its owner is our session it is ours, as nobody else removes it. */
static void delete_checked(struct entry *e, const struct oz_reply *reply)
{
    bool ours = reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session);

    if (ours && oz_session_connected(e->locks->session))
        delete_lock(e);
    else if (ours) /* that may have changed when we are connected again */
        check_delete(e);
    else if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        oz_entry_set_free(e);
    else
        oz_entry_later(e, OZ_RETRY_AFTER, check_delete);
}

static void check_delete(struct entry *e)
{
    oz_entry_read_again(e, delete_checked, check_delete);
}

static void deleted(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        oz_entry_set_free(e);
    else if (reply->rc == OZ_UNKNOWN)
        check_delete(e); /* not simply repeated: that could delete the next holder's */
    else
        oz_entry_later(e, OZ_RETRY_AFTER, check_delete);
}

static void delete_lock(struct entry *e)
{
    struct oz_request request = {.verb = OZ_DELETE};

    oz_entry_unlist(e);
    e->state = DELETING;
    oz_entry_submit(e, &request, oz_entry_path(e), deleted, check_delete);
}

/* Looks before it deletes: an operator may have ended the lock, which we do not know yet, and another may have it now.
 */
static void delete_when_ours(struct entry *e)
{
    oz_entry_stop(e);
    oz_entry_unlist(e);
    e->state = DELETING;
    check_delete(e);
}

/* Whether no operator can have removed the znode: he asks through the inbox that it names, and without an answer he
 * waits until our lease is over. */
static bool must_be_ours(const struct entry *e)
{
    const struct oz_locks *locks = e->locks;

    return locks->inbox[0] && locks->inbox_read && e->inbox_turn == locks->inbox_turn &&
           oz_session_connected(locks->session) && oz_now() < oz_session_lease_end(locks->session);
}

void oz_entry_give_back(struct entry *e)
{
    if (oz_entry_need_effort(e) && must_be_ours(e)) {
        oz_entry_stop(e);
        delete_lock(e);
    } else if (oz_entry_need_effort(e)) {
        delete_when_ours(e);
    } else { /* out of memory: later */
        e->evict = true;
        oz_entry_post_work(e);
    }
}

static void unknown_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session))
        delete_when_ours(e);
    else
        oz_entry_set_free(e);
}

void oz_entry_remove_unknown(struct entry *e)
{
    struct oz_request read = {.verb = OZ_STAT, .retry = true};

    if (oz_entry_need_effort(e)) {
        oz_entry_unlist(e);
        e->state = DELETING;
        oz_entry_submit(e, &read, oz_entry_path(e), unknown_read, oz_entry_remove_unknown);
    } else { /* they ask again */
        oz_entry_drop(e);
    }
}

/* ---- making it ---- */

static void dirs_made(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    if (reply->rc == OZ_OK)
        oz_entry_create(e);
    else if (reply->rc != OZ_GONE)
        oz_entry_give_up(e, reply->rc);
    oz_locks_unlock(locks);
}

/* The entry lives until the reply: it is CREATING, which only a reply or the end of the session changes. */
static void make_dirs(struct entry *e)
{
    char *dir = oz_entry_dir(e);

    if (!dir || !oz_make_dirs(e->locks->session, dir, dirs_made, e))
        oz_entry_later(e, OZ_RETRY_AFTER, make_dirs);
    free(dir);
}

static void create_checked(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session))
        oz_entry_hold_found(e, reply->stat.czxid);
    else if (reply->rc == OZ_OK)
        oz_entry_found_taken(e);
    else if (reply->rc == OZ_NONODE)
        oz_entry_set_free(e);
    else
        oz_entry_give_up(e, reply->rc);
}

static void check_create(struct entry *e)
{
    oz_entry_read_again(e, create_checked, check_create);
}

/* The holder may just be giving it back, when nodes take turns: looking again costs less than the queue. */
static void look_once(struct entry *e)
{
    struct oz_request read = {.verb = OZ_STAT, .retry = true};

    e->effort->looked = true;
    oz_entry_submit(e, &read, oz_entry_path(e), create_checked, look_once);
}

/* OZ_EXISTS may be about our own znode, if the delete before this was lost with a connection. */
static void created(struct entry *e, const struct oz_reply *reply)
{
    switch (reply->rc) {
    case OZ_OK:
        oz_entry_hold(e, reply->stat.czxid);
        break;
    case OZ_EXISTS:
        if (e->effort->behind_delete)
            check_create(e);
        else if (e->shared_until > oz_now() && !e->effort->looked)
            look_once(e);
        else
            oz_entry_found_taken(e);
        break;
    case OZ_NONODE:
        make_dirs(e);
        break;
    case OZ_UNKNOWN:
        check_create(e);
        break;
    default:
        oz_entry_give_up(e, reply->rc);
    }
}

void oz_entry_owner(const struct entry *e, char owner[OZ_OWNER_SIZE])
{
    const struct oz_locks *locks = e->locks;

    snprintf(owner, OZ_OWNER_SIZE, "%s%s%s%s", locks->owner, locks->inbox[0] ? "inbox=" : "", locks->inbox,
             locks->inbox[0] ? "\n" : "");
}

void oz_entry_create(struct entry *e)
{
    char owner[OZ_OWNER_SIZE];
    struct oz_request request = {.verb = OZ_CREATE, .data = owner, .flags = OZ_EPHEMERAL};

    oz_entry_owner(e, owner);
    request.len = strlen(owner);
    e->state = CREATING;
    e->inbox_turn = e->locks->inbox_turn;
    oz_entry_submit(e, &request, oz_entry_path(e), created, oz_entry_create);
}
