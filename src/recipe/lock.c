/* Who in this process gets a lock, and what has to be done next to get it. The grants' mutex guards all of it: the
 * dispatcher's entry points take it, and so do the threads that take and release locks. */
#include "recipe/lock_entry.h"

#include "base/clock.h"
#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A thread that takes the same lock again within this time keeps its turn. Without it, who wins would depend on whether
 * the dispatcher or the thread is faster, and equal nodes would not get equal shares. */
#define AT_ONCE OZ_MS

/* ---- attempts ---- */

static void finish(odezk_lock_request *request, int error, odezk_lock *grant, const char *why)
{
    struct oz_locks *locks = request->locks;

    oz_timer_clear(locks->timers, &request->timer);
    oz_list_remove(&request->link);
    oz_request_finish(request, error, grant, why);
}

void oz_entry_fail_all(struct entry *e, int error, const char *why)
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
    snprintf(why, sizeof why, "no ZooKeeper server answered within %d ms%s%s", locks->operation_ms, trouble ? ": " : "",
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

void oz_entry_others_hold(struct entry *e)
{
    struct oz_list *node, *tmp;

    e->effort->contended = !e->grant;
    if (!e->grant)
        oz_entry_met_others(e, oz_now());
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

void oz_entry_post_work(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    if (e->working)
        return;
    oz_entry_unlist(e);
    e->working = true;
    oz_list_append(&locks->work, &e->link);
    if (locks->work_posted)
        return;
    locks->work_posted = true;
    locks->work_msg.run = do_work;
    oz_dispatch_post(locks->grants->dispatch, &locks->work_msg);
}

static bool may_stick(const struct entry *e, int64_t now)
{
    const struct oz_locks *locks = e->locks;
    const char *p = locks->sticky_spaces;

    if (oz_entry_others_may_wait(e, now) || e->evict || locks->sticky_max == 0)
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
    if (locks->sticky_count > locks->sticky_max) { /* the longest unused one goes */
        struct entry *oldest = oz_container(locks->sticky.next, struct entry, link);

        oldest->evict = true;
        oz_entry_post_work(oldest);
    }
}

/* A grant was released, by whatever thread. */
static void released(void *arg, odezk_lock *grant, int64_t now)
{
    struct entry *e = arg;

    if (!now)
        now = oz_entry_others_may_wait(e, e->locks->clock) ? oz_now() : e->locks->clock;
    oz_grant_forget(grant);
    e->grant = NULL;
    e->released = now;
    if (oz_entry_unwanted(e) && may_stick(e, now))
        keep(e, now);
    else
        oz_entry_post_work(e);
}

static odezk_lock *new_grant(struct entry *e, int64_t now)
{
    odezk_lock *grant = oz_grant_new(e->locks->grants, e->czxid, e->serial + 1, released, e);

    if (!grant)
        return NULL;
    oz_entry_unlist(e);
    e->serial++;
    e->grant = grant;
    e->evict = false;
    if (oz_entry_others_may_wait(e, now) && e->grants_while_wanted < USHRT_MAX)
        e->grants_while_wanted++;
    e->eager |= now - e->released < AT_ONCE;
    return grant;
}

/* Others wait, and this process had its turn. */
static bool turn_is_over(const struct entry *e, int64_t now)
{
    return oz_entry_others_may_wait(e, now) && e->grants_while_wanted > e->locks->handovers;
}

odezk_lock *oz_locks_grant_now(struct oz_locks *locks, const char *space, const char *key)
{
    odezk_lock *grant = NULL;
    struct entry *e;
    int64_t now;

    oz_locks_lock(locks);
    now = oz_now();
    e = oz_entry_find(locks, space, key);
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
    if (oz_entry_unreachable(e))
        oz_entry_guard(e);
    else if (oz_entry_unwanted(e))
        oz_entry_drop_effort(e);
}

void oz_entry_lose_grant(struct entry *e)
{
    odezk_lock *grant = e->grant;

    e->grant = NULL;
    if (grant)
        oz_grant_lose(grant);
}

/* ---- what to do next ---- */

/* Others wait, but our turn is not over, and the thread that released the lock is expected to take it again. */
static bool expect_back(struct entry *e, int64_t now)
{
    if (!e->eager || !e->effort || !oz_entry_others_may_wait(e, now) || turn_is_over(e, now))
        return false;
    e->eager = now - e->released < AT_ONCE;
    if (e->eager)
        oz_entry_later(e, e->released + AT_ONCE - now, oz_entry_step);
    return e->eager;
}

/* A lock that nobody had, because the attempt ended before it came, is not kept: who failed leaves nothing behind. */
static void step_held(struct entry *e)
{
    int64_t now = oz_now();

    if (e->grant)
        return;
    oz_entry_unlist(e);
    if (!oz_entry_unwanted(e) && !turn_is_over(e, now)) {
        if (oz_session_granting(e->locks->session))
            grant_next(e);
        return; /* otherwise when the lease is back */
    }
    if (oz_entry_unwanted(e) && expect_back(e, now))
        return;
    e->queue_first = e->wanted || turn_is_over(e, now);
    if (e->wanted || !e->locks->inbox[0]) /* without an inbox nobody can say so: grants are counted */
        oz_entry_met_others(e, now);
    if (oz_entry_unwanted(e) && e->serial && may_stick(e, now) && e->locks->sticky_count < e->locks->sticky_max) {
        oz_entry_drop_effort(e);
        keep(e, now);
    } else {
        oz_entry_give_back(e);
    }
}

static void step_free(struct entry *e)
{
    struct oz_session *session = e->locks->session;

    if (oz_entry_unwanted(e)) {
        oz_entry_remember(e);
        return;
    }
    if (!oz_session_granting(session) || oz_session_id(session) == 0)
        return;
    if (e->shared_until <= oz_now()) { /* those that waited had enough time to get it */
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
        break; /* the reply is waited for */
    }
}

static void do_work(struct oz_msg *msg)
{
    struct oz_locks *locks = oz_container(msg, struct oz_locks, work_msg);
    struct oz_list *node;

    oz_locks_lock(locks);
    locks->work_posted = false;
    while ((node = locks->work.next) != &locks->work) {
        struct entry *e = oz_container(node, struct entry, link);

        oz_entry_unlist(e);
        if (e->state == HELD && !oz_entry_need_effort(e)) {
            oz_entry_post_work(e); /* out of memory: again when something else comes */
            break;
        }
        oz_entry_step(e);
    }
    oz_locks_unlock(locks);
}

/* ---- commands ---- */

static void add_attempt(struct entry *e, odezk_lock_request *request)
{
    struct oz_locks *locks = e->locks;

    request->entry = e;
    e->eager |= e->state != FREE && oz_now() - e->released < AT_ONCE;
    if (e->state == FREE)
        oz_entry_unlist(e);
    oz_list_append(&e->effort->waiting, &request->link);
    oz_timer_set(locks->timers, &request->timer, oz_now() + locks->operation_ms * OZ_MS, network_deadline, request);
    if (e->grant || e->effort->contended)
        oz_entry_others_hold(e);
}

/* Whether the lock is being given back and nobody else is known to want it: then it can be taken again at once. */
static bool may_create_behind_delete(const struct entry *e)
{
    return e->state == DELETING && !e->wanted && !e->queue_first && oz_session_granting(e->locks->session) &&
           !oz_entry_unwanted(e);
}

static void begin_attempt(struct entry *e, odezk_lock_request *request)
{
    add_attempt(e, request);
    if (!may_create_behind_delete(e)) {
        oz_entry_step(e);
        return;
    }
    oz_entry_stop(e);
    e->effort->behind_delete = true;
    oz_entry_create(e); /* right behind the delete: all requests of a session are served in order */
}

static void refuse_attempt(struct entry *e, odezk_lock_request *request, int error)
{
    finish(request, error, NULL, NULL);
    if (e && e->state == FREE)
        oz_entry_drop(e);
}

void oz_locks_acquire(struct oz_locks *locks, odezk_lock_request *request)
{
    struct entry *e = NULL;

    request->locks = locks;
    if (request->done) /* cancelled before it arrived */
        return;
    oz_locks_lock(locks);
    if (!locks->closed) {
        e = oz_entry_find(locks, request->space, request->key);
        if (!e)
            e = oz_entry_new(locks, request->space, request->key);
    }
    if (e && oz_entry_need_effort(e))
        begin_attempt(e, request);
    else
        refuse_attempt(e, request, locks->closed ? ODEZK_ECLOSED : ODEZK_ENOMEM);
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

char *oz_locks_path(struct oz_locks *locks, const odezk_lock *grant, bool *certain)
{
    const struct entry *e;
    char *path = NULL;

    oz_locks_lock(locks);
    e = grant->entry;
    if (e && e->grant == grant && grant->state == OZ_GRANT_VALID)
        path = oz_entry_path(e);
    *certain = path && !oz_entry_unreachable(e);
    oz_locks_unlock(locks);
    return path;
}

/* ---- the session's events ---- */

static void lapse(struct entry *e)
{
    bool held = e->grant != NULL;

    oz_entry_lose_grant(e);
    if (!held || !oz_session_id(e->locks->session))
        return;
    e->inbox_turn = e->locks->inbox_turn - 1; /* an operator may have removed it meanwhile */
    oz_entry_give_back(e);
}

/* The session is over, and all of its znodes with it. Attempts go on with the next one. */
static void reset(struct entry *e)
{
    oz_entry_lose_grant(e);
    oz_entry_unlist(e);
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

/* The lease is back. Sticky locks are left alone, as they stay in the order of their last use. */
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
        oz_locks_each(locks, lapse);
    else if (event == OZ_LEASE_HELD)
        oz_locks_each(locks, go_on);
    else if (event == OZ_DOWN)
        oz_locks_each(locks, reset);
    oz_locks_unlock(locks);
    if (event == OZ_UP && !locks->idle_timer.armed)
        oz_locks_tick(locks);
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

        oz_entry_fail_all(e, error, why);
        oz_entry_lose_grant(e);
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
            oz_entry_drop(e);
        }
    oz_map_free(&locks->entries);
    free(locks->root);
    free(locks->owner);
    free(locks->sticky_spaces);
    free(locks);
}
