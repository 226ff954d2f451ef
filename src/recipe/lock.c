/* The lock itself, and who has it in this process. All of this is guarded by the grants' mutex: the dispatcher's
 * entry points take it, and grants are given and released under it by the calling threads. */
#include "recipe/lock_entry.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "znode/names.h"
#include "znode/paths.h"
#include "znode/tree.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER (100 * OZ_MS)
/* Who had to give a lock up, or had to wait for it, does not keep it for a while: nodes that take turns do not ask each
 * other each time. */
#define SHARED_FOR (2 * OZ_SECOND)
#define REMEMBERED_MAX 1000
/* How soon a thread that goes on with the same lock comes back, at the latest, and while it is still ours. Whether the
 * dispatcher or the thread is faster must not decide how long a node's turn is: equal nodes are to get equal shares. */
#define AT_ONCE OZ_MS

/* ---- names ---- */

const char *oz_lock_mistake(const char *space, const char *key)
{
    if (!oz_is_name(space, ""))
        return "a space is 1 to 64 characters of A-Z a-z 0-9 . _ -";
    if (!*key)
        return "a key is not empty";
    if (strlen(key) > ODEZK_LOCK_KEY_MAX)
        return "a key is at most 512 bytes long";
    if (!oz_is_utf8(key))
        return "a key is UTF-8 text";
    return NULL;
}

static const char *key_of(const struct entry *e)
{
    return e->name + e->space + 1;
}

static const char *space_of(const struct entry *e, char space[OZ_SPACE_SIZE])
{
    memcpy(space, e->name, e->space);
    space[e->space] = '\0';
    return space;
}

char *oz_entry_encoded(const struct entry *e)
{
    struct oz_buf b = {0};

    oz_encode_key(&b, key_of(e));
    return oz_buf_take(&b);
}

char *oz_entry_path(const struct entry *e)
{
    char space[OZ_SPACE_SIZE];

    return oz_path_lock(e->locks->root, space_of(e, space), key_of(e));
}

char *oz_entry_dir(const struct entry *e)
{
    char space[OZ_SPACE_SIZE];

    return oz_path_lock_dir(e->locks->root, space_of(e, space), key_of(e));
}

char *oz_entry_queue_dir(const struct entry *e)
{
    char space[OZ_SPACE_SIZE];

    return oz_path_queue_dir(e->locks->root, space_of(e, space), key_of(e));
}

char *oz_entry_request_path(const struct entry *e, const char *inbox)
{
    char space[OZ_SPACE_SIZE];

    return oz_path_lock_request(e->locks->root, inbox, space_of(e, space), key_of(e), 0);
}

/* ---- entries ---- */

static struct entry *find_entry(const struct oz_locks *locks, const char *space, const char *key)
{
    struct oz_map_node *node = oz_map_find_parts(&locks->entries, space, key);

    return node ? oz_container(node, struct entry, node) : NULL;
}

static struct entry *new_entry(struct oz_locks *locks, const char *space, const char *key)
{
    size_t len = strlen(space) + 1 + strlen(key);
    struct entry *e = oz_alloc(sizeof *e + len + 1);

    if (!e)
        return NULL;
    snprintf(e->name, len + 1, "%s/%s", space, key);
    e->space = (unsigned char)strlen(space);
    e->locks = locks;
    oz_list_init(&e->link);
    if (oz_map_put(&locks->entries, &e->node, e->name) != 0) {
        free(e);
        return NULL;
    }
    return e;
}

static bool need_effort(struct entry *e)
{
    if (!e->effort) {
        e->effort = oz_alloc(sizeof *e->effort);
        if (e->effort)
            oz_list_init(&e->effort->waiting);
    }
    return e->effort != NULL;
}

static void drop_effort(struct entry *e)
{
    struct effort *f = e->effort;

    if (!f)
        return;
    oz_entry_stop(e);
    free(f->request);
    free(f);
    e->effort = NULL;
}

/* Takes it out of the list of sticky, remembered or working entries that it is in. */
static void unlist(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    if (oz_list_empty(&e->link))
        return;
    oz_list_remove(&e->link);
    if (e->working) {
        e->working = false;
    } else if (e->state == HELD) {
        locks->sticky_count--;
    } else {
        locks->remembered_count--;
    }
}

static void drop_entry(struct entry *e)
{
    unlist(e);
    drop_effort(e);
    oz_map_remove(&e->locks->entries, &e->node);
    free(e);
}

bool oz_entry_unwanted(const struct entry *e)
{
    return !e->effort || oz_list_empty(&e->effort->waiting);
}

/* ---- requests, timers and watches of an entry ---- */

static void op_replied(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    e->effort->op = NULL;
    if (reply->rc != OZ_GONE) /* otherwise the session's end sees to everything */
        e->effort->replied(e, reply);
    oz_locks_unlock(locks);
}

static void timer_due(void *owner)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    e->effort->due(e);
    oz_locks_unlock(locks);
}

static void watch_fired(void *owner)
{
    struct entry *e = owner;
    struct oz_locks *locks = e->locks;

    oz_locks_lock(locks);
    e->effort->fired(e);
    oz_locks_unlock(locks);
}

void oz_entry_later(struct entry *e, int64_t delay, void (*due)(struct entry *e))
{
    e->effort->due = due;
    oz_timer_set(e->locks->timers, &e->effort->timer, oz_now() + delay, timer_due, e);
}

void oz_entry_submit(struct entry *e, struct oz_request *request, char *path,
                     void (*replied)(struct entry *e, const struct oz_reply *reply), void (*again)(struct entry *e))
{
    struct effort *f = e->effort;

    oz_op_detach(f->op);
    f->op = NULL;
    request->path = path;
    f->replied = replied;
    if (path)
        f->op = oz_submit(e->locks->session, request, op_replied, e);
    if (!f->op)
        oz_entry_later(e, RETRY_AFTER, again);
    free(path);
}

void oz_entry_submit_watch(struct entry *e, char *path, void (*replied)(struct entry *e, const struct oz_reply *reply),
                           void (*fired)(struct entry *e), void (*again)(struct entry *e))
{
    struct oz_request request = {.verb = OZ_GET, .watch = true, .retry = true};

    e->effort->fired = fired;
    if (path && !oz_watch_arm(e->locks->session, &e->effort->watch, path, watch_fired, e)) {
        free(path);
        path = NULL;
    }
    oz_entry_submit(e, &request, path, replied, again);
}

static void decided(struct entry *e, const struct oz_reply *reply)
{
    struct oz_request read = {.verb = OZ_STAT, .retry = true};

    (void)reply;
    oz_entry_submit(e, &read, oz_entry_path(e), e->effort->read, e->effort->read_again);
}

void oz_entry_read_again(struct entry *e, void (*replied)(struct entry *e, const struct oz_reply *reply),
                         void (*again)(struct entry *e))
{
    struct effort *f = e->effort;

    oz_op_detach(f->op);
    f->replied = decided;
    f->read = replied;
    f->read_again = again;
    f->op = oz_barrier(e->locks->session, op_replied, e);
    if (!f->op)
        oz_entry_later(e, RETRY_AFTER, again);
}

void oz_entry_stop(struct entry *e)
{
    struct effort *f = e->effort;

    if (!f)
        return;
    oz_watch_disarm(e->locks->session, &f->watch);
    oz_timer_clear(e->locks->timers, &f->timer);
    oz_op_detach(f->op);
    oz_op_detach(f->ask_op);
    f->op = f->ask_op = NULL;
}

/* ---- attempts ---- */

static void finish(odezk_lock_request *request, int error, odezk_lock *grant, const char *why)
{
    struct oz_locks *locks = request->locks;

    oz_timer_clear(locks->timers, &request->timer);
    oz_list_remove(&request->link);
    oz_request_finish(request, error, grant, why);
}

bool oz_entry_may_ask(const struct entry *e)
{
    const struct oz_list *node;

    oz_list_each(node, &e->effort->waiting)
        if (oz_container(node, odezk_lock_request, link)->wait_ms > OZ_ANSWER_WITHIN_MS)
            return false;
    return !oz_entry_unwanted(e) && !e->effort->second_look;
}

static void fail_all(struct entry *e, int error, const char *why)
{
    struct oz_list *node;

    while (e->effort && (node = oz_list_pop(&e->effort->waiting)) != NULL)
        finish(oz_container(node, odezk_lock_request, link), error, NULL, why);
}

static void network_deadline(void *arg)
{
    odezk_lock_request *request = arg;
    struct oz_locks *locks = request->locks;
    struct entry *e = request->entry;
    const char *trouble = locks->trouble ? locks->trouble(locks->arg) : NULL;
    char why[192];

    oz_locks_lock(locks);
    snprintf(why, sizeof why, "no server answered within %d ms%s%s", locks->operation_ms, trouble ? ": " : "",
             trouble ? trouble : "");
    finish(request, ODEZK_EUNREACHABLE, NULL, why);
    oz_entry_step(e);
    oz_locks_unlock(locks);
}

static void wait_deadline(void *arg)
{
    odezk_lock_request *request = arg;
    struct oz_locks *locks = request->locks;
    struct entry *e = request->entry;
    char why[64];

    oz_locks_lock(locks);
    snprintf(why, sizeof why, "another process still held the lock after %d ms", request->wait_ms);
    finish(request, ODEZK_ETIMEDOUT, NULL, why);
    oz_entry_step(e);
    oz_locks_unlock(locks);
}

/* Another wants the lock or has it. */
static void shared(struct entry *e, int64_t now)
{
    e->shared_until = now + SHARED_FOR;
}

void oz_entry_others_hold(struct entry *e)
{
    struct oz_list *node, *tmp;

    e->effort->contended = !e->grant;
    if (!e->grant)
        shared(e, oz_now());
    oz_list_each_safe(node, tmp, &e->effort->waiting) {
        odezk_lock_request *request = oz_container(node, odezk_lock_request, link);

        if (request->waiting)
            continue;
        request->waiting = true;
        if (request->wait_ms == 0)
            finish(request, ODEZK_EBUSY, NULL, "another holds the lock");
        else
            oz_timer_set(e->locks->timers, &request->timer, oz_now() + request->wait_ms * OZ_MS, wait_deadline,
                         request);
    }
}

/* ---- grants ---- */

static void do_work(struct oz_msg *msg);

/* Has the dispatcher look at an entry. With the mutex held, on any thread. */
static void post_work(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    if (e->working)
        return;
    unlist(e);
    e->working = true;
    oz_list_append(&locks->work, &e->link);
    if (locks->work_posted)
        return;
    locks->work_posted = true;
    locks->work_msg.run = do_work;
    oz_dispatch_post(locks->grants->dispatch, &locks->work_msg);
}

static bool others_may_wait(const struct entry *e, int64_t now);

static bool may_stick(const struct entry *e, int64_t now)
{
    const struct oz_locks *locks = e->locks;
    const char *p = locks->sticky_spaces;

    if (others_may_wait(e, now) || e->evict || locks->sticky_max == 0)
        return false;
    if (strcmp(p, "all") == 0 || strcmp(p, "none") == 0)
        return *p == 'a';
    for (; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == e->space && memcmp(p, e->name, e->space) == 0)
            return true;
    return false;
}

static void keep(struct entry *e, int64_t now)
{
    struct oz_locks *locks = e->locks;

    e->idle_since = now;
    oz_list_append(&locks->sticky, &e->link);
    locks->sticky_count++;
    if (locks->sticky_count > locks->sticky_max) { /* the least used one goes */
        struct entry *oldest = oz_container(locks->sticky.next, struct entry, link);

        oldest->evict = true;
        post_work(oldest);
    }
}

/* A grant was released, by whatever thread. */
static void released(void *arg, odezk_lock *grant, int64_t now)
{
    struct entry *e = arg;

    if (!now)
        now = others_may_wait(e, e->locks->clock) ? oz_now() : e->locks->clock;
    oz_grant_forget(grant);
    e->grant = NULL;
    e->released = now;
    if (oz_entry_unwanted(e) && may_stick(e, now))
        keep(e, now);
    else
        post_work(e);
}

/* They said so, or did a moment ago; or they could not have told us, for lack of an inbox. */
static bool others_may_wait(const struct entry *e, int64_t now)
{
    return e->wanted || e->shared_until > now || !e->locks->inbox[0] || e->inbox_turn != e->locks->inbox_turn;
}

static odezk_lock *new_grant(struct entry *e, int64_t now)
{
    odezk_lock *grant = oz_grant_new(e->locks->grants, e->czxid, e->serial + 1, released, e);

    if (!grant)
        return NULL;
    unlist(e);
    e->serial++;
    e->grant = grant;
    e->evict = false;
    if (others_may_wait(e, now) && e->grants_while_wanted < USHRT_MAX)
        e->grants_while_wanted++;
    e->eager |= now - e->released < AT_ONCE;
    return grant;
}

/* Others wait, and this process had its turn. */
static bool turn_is_over(const struct entry *e, int64_t now)
{
    return others_may_wait(e, now) && e->grants_while_wanted > e->locks->handovers;
}

odezk_lock *oz_locks_grant_now(struct oz_locks *locks, const char *space, const char *key)
{
    odezk_lock *grant = NULL;
    struct entry *e;
    int64_t now;

    oz_locks_lock(locks);
    now = oz_now();
    e = find_entry(locks, space, key);
    /* A lease that holds belongs to the session that the entry was made in: its end frees the entry first. */
    if (e && space[e->space] == '\0' && e->state == HELD && !e->grant && oz_entry_unwanted(e) &&
        !turn_is_over(e, now) && !locks->closed && now < oz_session_lease_end(locks->session))
        grant = new_grant(e, now);
    oz_locks_unlock(locks);
    return grant;
}

static void grant_next(struct entry *e)
{
    odezk_lock_request *request = oz_container(e->effort->waiting.next, odezk_lock_request, link);
    odezk_lock *grant = new_grant(e, oz_now());

    if (!grant) {
        finish(request, ODEZK_ENOMEM, NULL, NULL);
        oz_entry_step(e);
        return;
    }
    finish(request, ODEZK_OK, grant, NULL);
    oz_entry_others_hold(e);
    if (oz_entry_unwanted(e))
        drop_effort(e);
}

static void lose_grant(struct entry *e)
{
    odezk_lock *grant = e->grant;

    e->grant = NULL;
    if (grant)
        oz_grant_lose(grant);
}

/* ---- the lock's znode ---- */

void oz_entry_hold(struct entry *e, int64_t czxid)
{
    struct effort *f = e->effort;

    unlist(e);
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
    unlist(e);
    e->state = FREE;
    e->wanted = false;
    if (e->effort)
        e->effort->behind_delete = false;
    oz_entry_step(e);
}

void oz_entry_give_up(struct entry *e, enum oz_rc rc)
{
    char why[128];

    snprintf(why, sizeof why, "ZooKeeper refuses the lock's znode: %s", oz_rc_name(rc));
    fail_all(e, rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER, why);
    oz_entry_leave_queue(e);
    oz_entry_set_free(e);
}

static void delete_lock(struct entry *e);
static void check_delete(struct entry *e);

/* Only while it is ours; nobody else removes it, so it is ours as long as its owner is our session. */
static void delete_checked(struct entry *e, const struct oz_reply *reply)
{
    bool ours = reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session);

    if (ours && oz_session_connected(e->locks->session))
        delete_lock(e);
    else if (ours) /* who knows what it is when we are connected again */
        check_delete(e);
    else if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        oz_entry_set_free(e);
    else
        oz_entry_later(e, RETRY_AFTER, check_delete);
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
        check_delete(e); /* never repeated blindly: it might hit the next holder's */
    else
        oz_entry_later(e, RETRY_AFTER, check_delete);
}

static void delete_lock(struct entry *e)
{
    struct oz_request request = {.verb = OZ_DELETE};

    unlist(e);
    e->state = DELETING;
    oz_entry_submit(e, &request, oz_entry_path(e), deleted, check_delete);
}

/* ---- the fast way: nobody else wants it ---- */

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

/* The entry stays as long as this is under way: it is CREATING, which only a reply or the session's end changes. */
static void make_dirs(struct entry *e)
{
    char *dir = oz_entry_dir(e);

    if (!dir || !oz_make_dirs(e->locks->session, dir, dirs_made, e))
        oz_entry_later(e, RETRY_AFTER, make_dirs);
    free(dir);
}

/* Another holds it. Who waits for long goes to the queue. Who does not asks the holder, which may have it only in
 * store, and looks once more: the wait is one for another that uses the lock, not for its answer. */
static void found_taken(struct entry *e)
{
    shared(e, oz_now());
    if (oz_entry_may_ask(e)) {
        oz_entry_ask(e);
    } else {
        oz_entry_others_hold(e);
        oz_entry_set_free(e);
    }
}

static void create_checked(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session))
        oz_entry_hold_found(e, reply->stat.czxid);
    else if (reply->rc == OZ_OK)
        found_taken(e);
    else if (reply->rc == OZ_NONODE)
        oz_entry_set_free(e);
    else
        oz_entry_give_up(e, reply->rc);
}

static void check_create(struct entry *e)
{
    oz_entry_read_again(e, create_checked, check_create);
}

/* Nodes that take turns meet at a lock that is just being given back: a look costs less than the queue. */
static void look_once(struct entry *e)
{
    struct oz_request read = {.verb = OZ_STAT, .retry = true};

    e->effort->looked = true;
    oz_entry_submit(e, &read, oz_entry_path(e), create_checked, look_once);
}

/* What exists may still be our own, when the delete before it was lost with a connection. */
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
            found_taken(e);
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

/* ---- what to do next ---- */

/* For a lock that an operator may have ended without our knowledge, so that another has it now: it is looked at before
 * it is deleted. */
static void delete_when_ours(struct entry *e)
{
    oz_entry_stop(e);
    unlist(e);
    e->state = DELETING;
    check_delete(e);
}

/* An operator's word arrives in the inbox that the znode names; and if it does not, the lock is not removed before our
 * lease is over. */
static bool must_be_ours(const struct entry *e)
{
    const struct oz_locks *locks = e->locks;

    return locks->inbox[0] && locks->inbox_read && e->inbox_turn == locks->inbox_turn &&
           oz_session_connected(locks->session) && oz_now() < oz_session_lease_end(locks->session);
}

static void give_back(struct entry *e)
{
    if (need_effort(e) && must_be_ours(e)) {
        oz_entry_stop(e);
        delete_lock(e);
    } else if (need_effort(e)) {
        delete_when_ours(e);
    } else { /* out of memory: later */
        e->evict = true;
        post_work(e);
    }
}

/* Others wait, but it is our turn, and the thread that released the lock is expected back. */
static bool expect_back(struct entry *e, int64_t now)
{
    if (!e->eager || !e->effort || !others_may_wait(e, now) || turn_is_over(e, now))
        return false;
    e->eager = now - e->released < AT_ONCE;
    if (e->eager)
        oz_entry_later(e, e->released + AT_ONCE - now, oz_entry_step);
    return e->eager;
}

static void step_held(struct entry *e)
{
    int64_t now = oz_now();

    if (e->grant)
        return;
    unlist(e);
    if (!oz_entry_unwanted(e) && !turn_is_over(e, now)) {
        if (oz_session_granting(e->locks->session))
            grant_next(e);
        return; /* otherwise when the lease is back */
    }
    if (oz_entry_unwanted(e) && expect_back(e, now))
        return;
    e->queue_first = e->wanted || turn_is_over(e, now);
    if (e->wanted || !e->locks->inbox[0]) /* who cannot be asked counts how often in a row it takes the lock */
        shared(e, now);
    if (oz_entry_unwanted(e) && may_stick(e, now) && e->locks->sticky_count < e->locks->sticky_max) {
        drop_effort(e);
        keep(e, now);
    } else {
        give_back(e);
    }
}

/* What is known of others is worth keeping for a while. */
static void remember(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    drop_effort(e);
    unlist(e);
    if (e->shared_until <= oz_now() || locks->closed || locks->remembered_count >= REMEMBERED_MAX) {
        drop_entry(e);
        return;
    }
    oz_list_append(&locks->remembered, &e->link);
    locks->remembered_count++;
}

static void step_free(struct entry *e)
{
    struct oz_session *session = e->locks->session;

    if (oz_entry_unwanted(e)) {
        remember(e);
        return;
    }
    if (!oz_session_granting(session) || oz_session_id(session) == 0)
        return;
    if (e->shared_until <= oz_now()) { /* whoever waited had the time to come first */
        e->queue_first = false;
        e->grants_while_wanted = 0;
    }
    if (e->effort->contended || e->queue_first)
        oz_entry_queue(e);
    else
        oz_entry_create(e);
}

void oz_entry_step(struct entry *e)
{
    switch (e->state) {
    case FREE:
        step_free(e);
        break;
    case HELD:
        step_held(e);
        break;
    case ASKING:
    case QUEUED:
        if (oz_entry_unwanted(e)) {
            oz_entry_leave_queue(e);
            oz_entry_set_free(e);
        }
        break;
    default:
        break; /* its reply brings it on */
    }
}

/* ---- sticky locks ---- */

static void do_work(struct oz_msg *msg)
{
    struct oz_locks *locks = oz_container(msg, struct oz_locks, work_msg);
    struct oz_list *node;

    oz_locks_lock(locks);
    locks->work_posted = false;
    while ((node = locks->work.next) != &locks->work) {
        struct entry *e = oz_container(node, struct entry, link);

        unlist(e);
        if (e->state == HELD && !need_effort(e)) {
            post_work(e); /* out of memory: again when something else comes */
            break;
        }
        oz_entry_step(e);
    }
    oz_locks_unlock(locks);
}

/* Gives back what was not used for long. */
static void idle_tick(void *arg)
{
    struct oz_locks *locks = arg;
    int64_t now = oz_now(), period = locks->sticky_idle / 4;
    struct oz_list *node;

    if (period < OZ_SECOND)
        period = OZ_SECOND;
    oz_locks_lock(locks);
    locks->clock = now;
    while ((node = locks->sticky.next) != &locks->sticky) {
        struct entry *e = oz_container(node, struct entry, link);

        if (now - e->idle_since < locks->sticky_idle + period) /* the clock may have been behind that much */
            break;
        give_back(e);
    }
    while ((node = locks->remembered.next) != &locks->remembered) {
        struct entry *e = oz_container(node, struct entry, link);

        if (e->shared_until > now)
            break;
        drop_entry(e);
    }
    oz_locks_unlock(locks);
    oz_timer_set(locks->timers, &locks->idle_timer, now + period, idle_tick, locks);
}

static void unknown_read(struct entry *e, const struct oz_reply *reply)
{
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session))
        delete_when_ours(e);
    else
        oz_entry_set_free(e);
}

/* Others see a lock that we know nothing of: given back since, or made by a create that was taken for lost. If ours, it
 * has to go; should we not see it yet, they ask again. */
static void remove_unknown(struct entry *e)
{
    struct oz_request read = {.verb = OZ_STAT, .retry = true};

    if (need_effort(e)) {
        unlist(e);
        e->state = DELETING;
        oz_entry_submit(e, &read, oz_entry_path(e), unknown_read, remove_unknown);
    } else { /* they ask again */
        drop_entry(e);
    }
}

/* Another waits for this lock. An idle holder gives it up at once, a busy one after its turn. */
static void want(struct oz_locks *locks, const char *space, const char *key)
{
    struct entry *e = find_entry(locks, space, key);

    if (!e)
        e = new_entry(locks, space, key);
    if (!e)
        return; /* out of memory; they ask again */
    switch (e->state) {
    case FREE:
        if (oz_entry_unwanted(e))
            remove_unknown(e);
        break;
    case QUEUED:
        oz_entry_doubt(e);
        break;
    case HELD:
    case CREATING:
    case TAKING:
        if (!others_may_wait(e, oz_now()))
            e->grants_while_wanted = 0;
        e->wanted = true;
        if (e->state == HELD && !e->working)
            oz_entry_step(e);
        break;
    default:
        break;
    }
}

/* An operator ends a grant, named by its token. */
static void end_grant(struct oz_locks *locks, const char *space, const char *key, int64_t token)
{
    struct entry *e = find_entry(locks, space, key);

    if (!e || e->state != HELD || e->czxid != token)
        return;
    oz_warn("lock", "an operator ended the lock %s, token %lld", e->name, (long long)token);
    lose_grant(e);
    e->wanted = true;
    e->inbox_turn = locks->inbox_turn - 1; /* the operator may have removed it already, and another may have it */
    give_back(e);
}

/* The names that stand before `colon`, and between it and `end`. */
static bool read_names(const char *entry, const char *colon, const char *end, char space[OZ_SPACE_SIZE],
                       struct oz_buf *key)
{
    if (colon - entry >= OZ_SPACE_SIZE || end < colon)
        return false;
    memcpy(space, entry, (size_t)(colon - entry));
    space[colon - entry] = '\0';
    return oz_decode_key(key, colon + 1, (size_t)(end - colon - 1)) && !oz_buf_failed(key) &&
           !oz_lock_mistake(space, oz_buf_str(key));
}

bool oz_locks_asked(struct oz_locks *locks, const char *entry)
{
    const char *colon = strchr(entry, ':'), *token = strrchr(entry, '#');
    char space[OZ_SPACE_SIZE];
    struct oz_buf key = {0};
    bool known = colon && read_names(entry, colon, token ? token : entry + strlen(entry), space, &key);

    if (known) {
        oz_locks_lock(locks);
        if (token)
            end_grant(locks, space, oz_buf_str(&key), strtoll(token + 1, NULL, 10));
        else
            want(locks, space, oz_buf_str(&key));
        oz_locks_unlock(locks);
    }
    oz_buf_free(&key);
    return known;
}

#define REPORT_MAX (512 * 1024) /* far below what a znode may hold */

char *oz_locks_report(struct oz_locks *locks)
{
    struct oz_buf b = {0};
    struct oz_map_node *node;
    size_t i;

    oz_buf_putc(&b, '\n');
    oz_locks_lock(locks);
    oz_map_each(&locks->entries, i, node) {
        const struct entry *e = oz_container(node, struct entry, node);

        if (e->grant && b.len < REPORT_MAX) {
            oz_buf_puts(&b, e->name);
            oz_buf_putc(&b, '\n');
        }
    }
    oz_locks_unlock(locks);
    return oz_buf_take(&b);
}

/* Goes through all entries; `visit` may free the one it is given. */
static void each_entry(struct oz_locks *locks, void (*visit)(struct entry *e))
{
    struct oz_map_node *node, *next;
    size_t i;

    for (i = 0; i < locks->entries.size; i++)
        for (node = locks->entries.slots[i]; node; node = next) {
            next = node->next;
            visit(oz_container(node, struct entry, node));
        }
}

static void set_inbox(struct oz_locks *locks, const char *member)
{
    struct oz_list *node;

    snprintf(locks->inbox, sizeof locks->inbox, "%s", member);
    locks->inbox_turn++;
    /* Nobody can ask for those any more. */
    while (!locks->closed && oz_session_id(locks->session) && (node = locks->sticky.next) != &locks->sticky)
        give_back(oz_container(node, struct entry, link));
}

/* Who could not be asked took every lock for a shared one. */
static void stop_guessing(struct entry *e)
{
    if (e->state == FREE && oz_entry_unwanted(e))
        drop_entry(e);
    else if (!e->wanted)
        e->shared_until = 0;
}

void oz_locks_inbox_read(struct oz_locks *locks, const char *member)
{
    oz_locks_lock(locks);
    if (!locks->inbox[0])
        each_entry(locks, stop_guessing);
    if (strcmp(locks->inbox, member) != 0)
        set_inbox(locks, member);
    locks->inbox_read = true;
    oz_locks_unlock(locks);
}

void oz_locks_no_inbox(struct oz_locks *locks)
{
    oz_locks_lock(locks);
    set_inbox(locks, "");
    oz_locks_unlock(locks);
}

/* ---- commands ---- */

void oz_locks_acquire(struct oz_locks *locks, odezk_lock_request *request)
{
    struct entry *e = NULL;

    request->locks = locks;
    if (request->done) /* cancelled before it arrived */
        return;
    oz_locks_lock(locks);
    if (!locks->closed) {
        e = find_entry(locks, request->space, request->key);
        if (!e)
            e = new_entry(locks, request->space, request->key);
    }
    if (!e || !need_effort(e)) {
        finish(request, locks->closed ? ODEZK_ECLOSED : ODEZK_ENOMEM, NULL, NULL);
        if (e && e->state == FREE)
            drop_entry(e);
    } else {
        request->entry = e;
        e->eager |= e->state != FREE && oz_now() - e->released < AT_ONCE;
        if (e->state == FREE)
            unlist(e);
        oz_list_append(&e->effort->waiting, &request->link);
        oz_timer_set(locks->timers, &request->timer, oz_now() + locks->operation_ms * OZ_MS, network_deadline, request);
        if (e->grant || e->effort->contended)
            oz_entry_others_hold(e);
        if (e->state == DELETING && !e->wanted && !e->queue_first && oz_session_granting(locks->session) &&
            !oz_entry_unwanted(e)) {
            oz_entry_stop(e);
            e->effort->behind_delete = true;
            oz_entry_create(e); /* right behind the delete: all requests of a session are served in order */
        } else {
            oz_entry_step(e);
        }
    }
    oz_locks_unlock(locks);
}

void oz_locks_cancel(odezk_lock_request *request)
{
    struct oz_locks *locks = request->locks;
    struct entry *e = request->entry;

    oz_locks_lock(locks);
    if (!request->done) {
        finish(request, ODEZK_ECANCELED, NULL, NULL);
        if (e)
            oz_entry_step(e);
    }
    oz_locks_unlock(locks);
}

char *oz_locks_path(struct oz_locks *locks, const odezk_lock *grant)
{
    const struct entry *e;
    char *path = NULL;

    oz_locks_lock(locks);
    e = grant->entry;
    if (e && e->grant == grant && grant->state == OZ_GRANT_VALID)
        path = oz_entry_path(e);
    oz_locks_unlock(locks);
    return path;
}

/* ---- the session's events ---- */

static void lapse(struct entry *e)
{
    bool held = e->grant != NULL;

    lose_grant(e);
    if (!held || !oz_session_id(e->locks->session))
        return;
    e->inbox_turn = e->locks->inbox_turn - 1; /* an operator may have removed it meanwhile */
    give_back(e);
}

/* The session is over, and all of its znodes with it. Attempts go on with the next one. */
static void reset(struct entry *e)
{
    lose_grant(e);
    unlist(e);
    e->state = FREE;
    e->wanted = e->queue_first = false;
    if (e->effort) {
        oz_entry_stop(e);
        e->effort->seat = oz_seat_forget(e->effort->seat);
        e->effort->contended = e->effort->second_look = e->effort->behind_delete = false;
        free(e->effort->request);
        e->effort->request = NULL;
    }
    oz_entry_step(e);
}

/* The lease is back. Idle locks are left alone: their order tells how long they were not used. */
static void go_on(struct entry *e)
{
    if (!oz_entry_unwanted(e))
        oz_entry_step(e);
}

static void session_event(void *self, enum oz_session_event event)
{
    struct oz_locks *locks = self;

    oz_locks_lock(locks);
    if (event == OZ_SUSPENDED || event == OZ_RESUMED || event == OZ_DOWN)
        locks->inbox_read = false;
    if (event == OZ_LEASE_LOST)
        each_entry(locks, lapse);
    else if (event == OZ_LEASE_HELD)
        each_entry(locks, go_on);
    else if (event == OZ_DOWN)
        each_entry(locks, reset);
    oz_locks_unlock(locks);
    if (event == OZ_UP && !locks->idle_timer.armed)
        idle_tick(locks);
}

/* ---- its life ---- */

void oz_locks_close(struct oz_locks *locks, int error, const char *why)
{
    struct oz_map_node *node;
    size_t i;

    oz_locks_lock(locks);
    locks->closed = true;
    oz_map_each(&locks->entries, i, node) {
        struct entry *e = oz_container(node, struct entry, node);

        fail_all(e, error, why);
        lose_grant(e);
    }
    oz_locks_unlock(locks);
    oz_timer_clear(locks->timers, &locks->idle_timer);
}

struct oz_locks *oz_locks_new(const struct oz_locks_options *options)
{
    struct oz_locks *locks = oz_alloc(sizeof *locks);
    struct oz_listener listener = {session_event, locks};

    if (!locks)
        return NULL;
    locks->session = options->session;
    locks->timers = oz_session_timers(options->session);
    locks->grants = options->grants;
    locks->operation_ms = options->operation_ms;
    locks->handovers = options->handovers < USHRT_MAX ? options->handovers : USHRT_MAX - 1;
    locks->sticky_max = options->sticky_max;
    locks->sticky_idle = options->sticky_idle_ms * OZ_MS;
    locks->clock = oz_now();
    locks->trouble = options->trouble;
    locks->arg = options->arg;
    oz_list_init(&locks->sticky);
    oz_list_init(&locks->remembered);
    oz_list_init(&locks->work);
    locks->root = oz_strdup(options->root);
    locks->owner = oz_strdup(options->owner);
    locks->sticky_spaces = oz_strdup(options->sticky_spaces);
    if (!locks->root || !locks->owner || !locks->sticky_spaces) {
        oz_locks_free(locks);
        return NULL;
    }
    oz_session_listen(options->session, &listener);
    return locks;
}

void oz_locks_free(struct oz_locks *locks)
{
    struct oz_map_node *node;
    size_t i;

    if (!locks)
        return;
    for (i = 0; i < locks->entries.size; i++)
        while ((node = locks->entries.slots[i]) != NULL) {
            struct entry *e = oz_container(node, struct entry, node);

            if (e->effort)
                oz_seat_forget(e->effort->seat);
            drop_entry(e);
        }
    oz_map_free(&locks->entries);
    free(locks->root);
    free(locks->owner);
    free(locks->sticky_spaces);
    free(locks);
}
