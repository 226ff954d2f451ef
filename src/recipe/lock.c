#include "recipe/lock.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "znode/names.h"
#include "znode/seat.h"
#include "znode/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oz_locks {
    struct oz_session *session;
    struct oz_timers *timers;
    struct oz_grants *grants;
    char *root, *owner;
    int operation_ms, handovers;
    const char *(*trouble)(void *arg);
    void *arg;
    struct oz_map entries; /* by "space/key" */
    unsigned seats;        /* how many were asked for: no two have the same name */
    bool closed;
};

/* What this process has of one key in ZooKeeper. */
enum entry_state {
    FREE,     /* nothing */
    CREATING, /* the znode was asked for, or is being looked for after a lost reply */
    QUEUED,   /* a seat in the queue, taken or asked for */
    TAKING,   /* first in the queue: the lock for the seat */
    HELD,     /* the znode is ours */
    DELETING  /* not certain yet that it is gone */
};

struct entry {
    struct oz_map_node node;
    struct oz_locks *locks;
    enum entry_state state;
    char *path;      /* of the lock */
    char *queue_dir; /* of its bucket's queue */
    char *encoded;   /* the key as a path component */
    char *name;      /* "space/key", the map's key */
    struct oz_list waiting; /* attempts, first come first served */
    odezk_lock *grant;      /* who has it in this process */
    int64_t czxid;          /* of the lock's znode: the fencing token */
    int handovers;
    bool contended;   /* another process was seen to hold it, or to wait for it: the queue is the way to it */
    bool queue_first; /* we had our turn: others go before us, if there are any */
    struct oz_seat *seat;
    bool seated;
    struct oz_op *op;
    struct oz_watch watch; /* of the lock, or of the seat before ours */
    struct oz_timer retry;
};

static void step(void *arg);
static void look_at_lock(void *arg);
static void read_queue(void *arg);

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

static void free_entry(struct entry *e)
{
    if (!e)
        return;
    free(e->path);
    free(e->queue_dir);
    free(e->encoded);
    free(e->name);
    free(e);
}

static struct entry *new_entry(struct oz_locks *locks, const char *space, const char *key)
{
    struct entry *e = oz_alloc(sizeof *e);
    struct oz_buf encoded = {0};
    char bucket[3];

    if (!e)
        return NULL;
    e->locks = locks;
    oz_list_init(&e->waiting);
    oz_encode_key(&encoded, key);
    oz_bucket(key, bucket);
    e->encoded = oz_buf_take(&encoded);
    e->name = oz_format("%s/%s", space, key);
    if (e->encoded) {
        e->path = oz_format("%s/locks/%s/%s/%s", locks->root, space, bucket, e->encoded);
        e->queue_dir = oz_format("%s/queue/%s/%s", locks->root, space, bucket);
    }
    if (!e->encoded || !e->name || !e->path || !e->queue_dir ||
        oz_map_put(&locks->entries, &e->node, e->name) != 0) {
        free_entry(e);
        return NULL;
    }
    return e;
}

static struct entry *find_entry(struct oz_locks *locks, const char *space, const char *key)
{
    char *name = oz_format("%s/%s", space, key);
    struct oz_map_node *node = name ? oz_map_find(&locks->entries, name) : NULL;

    free(name);
    return node ? oz_container(node, struct entry, node) : NULL;
}

static void later(struct entry *e, void (*what)(void *))
{
    oz_timer_set(e->locks->timers, &e->retry, oz_now() + 100 * OZ_MS, what, e);
}

/* ---- attempts ---- */

static void finish(odezk_lock_request *request, int error, odezk_lock *lock, const char *why)
{
    struct oz_locks *locks = request->locks;

    oz_timer_clear(locks->timers, &request->timer);
    oz_list_remove(&request->link);
    oz_request_finish(request, error, lock, why);
}

static void fail_all(struct entry *e, int error, const char *why)
{
    struct oz_list *node;

    while ((node = oz_list_pop(&e->waiting)) != NULL)
        finish(oz_container(node, odezk_lock_request, link), error, NULL, why);
}

static void network_deadline(void *arg)
{
    odezk_lock_request *request = arg;
    struct oz_locks *locks = request->locks;
    struct entry *e = request->entry;
    const char *trouble = locks->trouble ? locks->trouble(locks->arg) : NULL;
    char why[192];

    snprintf(why, sizeof why, "no server answered within %d ms%s%s", locks->operation_ms, trouble ? ": " : "",
             trouble ? trouble : "");
    finish(request, ODEZK_EUNREACHABLE, NULL, why);
    step(e);
}

static void wait_deadline(void *arg)
{
    odezk_lock_request *request = arg;
    struct entry *e = request->entry;

    finish(request, ODEZK_ETIMEDOUT, NULL, "another held the lock all the time");
    step(e);
}

/* It is known that another holds the lock: from here on the attempts' own times count, not the network's. */
static void others_hold(struct entry *e)
{
    struct oz_list *node, *tmp;

    e->contended = !e->grant;
    oz_list_each_safe(node, tmp, &e->waiting)
    {
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

static void released(void *arg, odezk_lock *lock)
{
    struct entry *e = arg;

    if (e->grant != lock)
        return;
    oz_grant_forget(lock);
    e->grant = NULL;
    step(e);
}

/* Gives the znode that we hold to the attempt that waits longest. */
static void grant_next(struct entry *e)
{
    odezk_lock_request *request = oz_container(e->waiting.next, odezk_lock_request, link);
    odezk_lock *lock = oz_grant_new(e->locks->grants, e->czxid, released, e);

    if (!lock) {
        finish(request, ODEZK_ENOMEM, NULL, NULL);
        step(e);
        return;
    }
    e->grant = lock;
    e->handovers++;
    finish(request, ODEZK_OK, lock, NULL);
    others_hold(e);
}

static void lose_grant(struct entry *e)
{
    odezk_lock *lock = e->grant;

    e->grant = NULL;
    if (lock)
        oz_grant_lose(lock);
}

/* ---- the lock's znode ---- */

static void hold(struct entry *e, int64_t czxid)
{
    e->state = HELD;
    e->czxid = czxid;
    e->handovers = 0;
    e->contended = e->queue_first = false;
    step(e);
}

static void set_free(struct entry *e)
{
    oz_watch_disarm(e->locks->session, &e->watch);
    e->state = FREE;
    step(e);
}

/* The server refuses for good: every attempt is told. */
static void give_up(struct entry *e, enum oz_rc rc)
{
    char why[128];

    snprintf(why, sizeof why, "ZooKeeper refuses the lock's znode: %s", oz_rc_name(rc));
    fail_all(e, rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER, why);
    oz_seat_leave(e->seat);
    e->seat = NULL;
    set_free(e);
}

static void ignore(void *owner, const struct oz_reply *reply)
{
    (void)owner;
    (void)reply;
}

/* Behind a sync, a read shows what became of all that was sent on a broken connection. */
static struct oz_op *read_again(struct entry *e, enum oz_verb verb, oz_op_cb cb)
{
    struct oz_request sync = {.verb = OZ_SYNC, .path = e->path, .retry = true};
    struct oz_request read = {.verb = verb, .path = e->path, .retry = true};

    return oz_submit(e->locks->session, &sync, ignore, NULL) ? oz_submit(e->locks->session, &read, cb, e) : NULL;
}

static void delete_lock(void *arg);

static void delete_checked(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_OK && reply->stat.czxid == e->czxid)
        delete_lock(e);
    else if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        set_free(e);
    else if (reply->rc != OZ_GONE)
        later(e, delete_lock);
}

static void check_delete(void *arg)
{
    struct entry *e = arg;

    e->op = read_again(e, OZ_STAT, delete_checked);
    if (!e->op)
        later(e, check_delete);
}

static void deleted(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        set_free(e);
    else if (reply->rc != OZ_GONE)
        check_delete(e); /* never repeated blindly: it might hit the next holder's */
}

static void delete_lock(void *arg)
{
    struct entry *e = arg;
    struct oz_request request = {.verb = OZ_DELETE, .path = e->path};

    e->state = DELETING;
    e->op = oz_submit(e->locks->session, &request, deleted, e);
    if (!e->op)
        later(e, delete_lock);
}

/* ---- the fast way: nobody else wants it ---- */

static void create_lock(void *arg);

static void dirs_made(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    /* The entry is kept while it is CREATING; a lost session has set it free meanwhile. */
    if (reply->rc == OZ_GONE || e->state != CREATING)
        return;
    if (reply->rc == OZ_OK)
        create_lock(e);
    else
        give_up(e, reply->rc);
}

static void make_dirs(void *arg)
{
    struct entry *e = arg;
    char *dir = oz_strndup(e->path, (size_t)(oz_basename(e->path) - e->path - 1));

    if (!dir || !oz_make_dirs(e->locks->session, dir, dirs_made, e))
        later(e, make_dirs);
    free(dir);
}

static void join_queue(struct entry *e)
{
    others_hold(e);
    set_free(e);
}

static void create_checked(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session))
        hold(e, reply->stat.czxid);
    else if (reply->rc == OZ_OK)
        join_queue(e);
    else if (reply->rc == OZ_NONODE)
        set_free(e);
    else if (reply->rc != OZ_GONE)
        give_up(e, reply->rc);
}

static void check_create(void *arg)
{
    struct entry *e = arg;

    e->op = read_again(e, OZ_STAT, create_checked);
    if (!e->op)
        later(e, check_create);
}

static void created(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    switch (reply->rc) {
    case OZ_OK:
        hold(e, reply->stat.czxid);
        break;
    case OZ_EXISTS:
        join_queue(e);
        break;
    case OZ_NONODE:
        make_dirs(e);
        break;
    case OZ_UNKNOWN:
        check_create(e);
        break;
    case OZ_GONE:
        break;
    default:
        give_up(e, reply->rc);
    }
}

static void create_lock(void *arg)
{
    struct entry *e = arg;
    const char *owner = e->locks->owner;
    struct oz_request request = {
        .verb = OZ_CREATE, .path = e->path, .data = owner, .len = strlen(owner), .flags = OZ_EPHEMERAL};

    e->state = CREATING;
    e->op = oz_submit(e->locks->session, &request, created, e);
    if (!e->op)
        later(e, create_lock);
}

/* ---- the fair way: the queue ---- */

static void leave_queue(struct entry *e)
{
    oz_watch_disarm(e->locks->session, &e->watch);
    oz_timer_clear(e->locks->timers, &e->retry);
    oz_op_detach(e->op);
    e->op = NULL;
    oz_seat_leave(e->seat);
    e->seat = NULL;
    e->seated = false;
}

static void lock_gone(void *owner)
{
    struct entry *e = owner;

    if (!e->op)
        look_at_lock(e);
}

static void seat_lost(struct entry *e)
{
    oz_seat_forget(e->seat);
    e->seat = NULL;
    e->seated = false;
    set_free(e);
}

static void taken_checked(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_GONE)
        return;
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session)) {
        oz_seat_forget(e->seat);
        e->seat = NULL;
        e->seated = false;
        hold(e, reply->stat.czxid);
    } else {
        e->state = QUEUED; /* removed by a foreign hand in between */
        read_queue(e);
    }
}

static void check_taken(void *arg)
{
    struct entry *e = arg;
    struct oz_request request = {.verb = OZ_STAT, .path = e->path, .retry = true};

    e->op = oz_submit(e->locks->session, &request, taken_checked, e);
    if (!e->op)
        later(e, check_taken);
}

static void taken(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_GONE)
        return;
    if (reply->rc == OZ_OK) {
        check_taken(e); /* a multi does not tell the czxid */
    } else if (reply->rc == OZ_EXISTS) {
        e->state = QUEUED; /* somebody was faster; or it is ours, and the first reply was lost */
        look_at_lock(e);
    } else if (reply->rc == OZ_NONODE && reply->failed == 1) {
        seat_lost(e);
    } else {
        e->state = QUEUED;
        later(e, look_at_lock);
    }
}

static void take_lock(struct entry *e)
{
    const char *owner = e->locks->owner;
    struct oz_request items[] = {
        {.verb = OZ_CREATE, .path = e->path, .data = owner, .len = strlen(owner), .flags = OZ_EPHEMERAL},
        {.verb = OZ_DELETE, .path = oz_seat_path(e->seat)}};
    struct oz_request request = {.verb = OZ_MULTI, .items = items, .count = 2, .retry = true};

    e->state = TAKING;
    e->op = oz_submit(e->locks->session, &request, taken, e);
    if (!e->op) {
        e->state = QUEUED;
        later(e, look_at_lock);
    }
}

static void lock_read(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_NONODE) {
        oz_watch_disarm(e->locks->session, &e->watch);
        take_lock(e);
    } else if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(e->locks->session)) {
        oz_watch_disarm(e->locks->session, &e->watch);
        oz_seat_leave(e->seat);
        e->seat = NULL;
        e->seated = false;
        hold(e, reply->stat.czxid);
    } else if (reply->rc == OZ_OK) {
        others_hold(e);
        if (oz_list_empty(&e->waiting))
            step(e);
        else if (!e->watch.path) /* it changed while the reply was under way */
            look_at_lock(e);
    } else if (reply->rc != OZ_GONE) {
        later(e, look_at_lock);
    }
}

/* First in the queue: waits for the lock itself. */
static void look_at_lock(void *arg)
{
    struct entry *e = arg;
    struct oz_request request = {.verb = OZ_GET, .path = e->path, .watch = true, .retry = true};

    if (oz_watch_arm(e->locks->session, &e->watch, e->path, lock_gone, e))
        e->op = oz_submit(e->locks->session, &request, lock_read, e);
    if (!e->op)
        later(e, look_at_lock);
}

static void predecessor_gone(void *owner)
{
    struct entry *e = owner;

    oz_op_detach(e->op);
    e->op = NULL;
    read_queue(e);
}

static void predecessor_read(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;

    e->op = NULL;
    if (reply->rc == OZ_NONODE)
        read_queue(e);
    else if (reply->rc != OZ_OK && reply->rc != OZ_GONE)
        later(e, read_queue);
}

static void watch_predecessor(struct entry *e, const char *name)
{
    char *path = oz_format("%s/%s", e->queue_dir, name);
    struct oz_request request = {.verb = OZ_GET, .path = path, .watch = true, .retry = true};

    if (path && oz_watch_arm(e->locks->session, &e->watch, path, predecessor_gone, e))
        e->op = oz_submit(e->locks->session, &request, predecessor_read, e);
    if (!e->op)
        later(e, read_queue);
    free(path);
}

static void wait_behind(struct entry *e, const char *name)
{
    others_hold(e);
    if (oz_list_empty(&e->waiting))
        step(e);
    else
        watch_predecessor(e, name);
}

/* The seat directly before ours in this key's queue; NULL when ours is the first. */
static const char *find_predecessor(const struct entry *e, const struct oz_reply *list, bool *here)
{
    size_t key = strlen(e->encoded), prefix, i;
    const char *before = NULL;
    int32_t seq, best = 0;

    *here = false;
    for (i = 0; i < list->count; i++) {
        const char *name = list->names[i];

        if (strncmp(name, e->encoded, key) != 0 || name[key] != '#' || !oz_name_split(name, &prefix, &seq))
            continue;
        if (strcmp(name, oz_seat_name(e->seat)) == 0)
            *here = true;
        else if (oz_seq_compare(seq, oz_seat_seq(e->seat)) < 0 && (!before || oz_seq_compare(seq, best) > 0)) {
            before = name;
            best = seq;
        }
    }
    return before;
}

static void queue_read(void *owner, const struct oz_reply *reply)
{
    struct entry *e = owner;
    const char *before;
    bool here;

    e->op = NULL;
    if (reply->rc == OZ_GONE)
        return;
    if (reply->rc != OZ_OK) {
        later(e, read_queue);
        return;
    }
    before = find_predecessor(e, reply, &here);
    if (!here)
        seat_lost(e);
    else if (before)
        wait_behind(e, before);
    else
        look_at_lock(e);
}

static void read_queue(void *arg)
{
    struct entry *e = arg;
    struct oz_request request = {.verb = OZ_CHILDREN, .path = e->queue_dir, .retry = true};

    e->op = oz_submit(e->locks->session, &request, queue_read, e);
    if (!e->op)
        later(e, read_queue);
}

static void seat_taken(void *owner, struct oz_seat *seat, enum oz_rc rc)
{
    struct entry *e = owner;

    if (rc == OZ_OK) {
        e->seated = true;
        read_queue(e);
        return;
    }
    oz_seat_forget(seat);
    e->seat = NULL;
    if (rc != OZ_GONE)
        give_up(e, rc);
}

static void take_seat(void *arg)
{
    struct entry *e = arg;
    struct oz_locks *locks = e->locks;
    char *prefix = oz_format("%s#%016" PRIx64 ".%u", e->encoded, (uint64_t)oz_session_id(locks->session),
                             ++locks->seats);

    e->state = QUEUED;
    if (prefix)
        e->seat = oz_seat_take(locks->session, e->queue_dir, prefix, locks->owner, seat_taken, e);
    if (!e->seat)
        later(e, take_seat);
    free(prefix);
}

/* ---- what to do next ---- */

static void drop_entry(struct entry *e)
{
    oz_timer_clear(e->locks->timers, &e->retry);
    oz_map_remove(&e->locks->entries, &e->node);
    free_entry(e);
}

static void step_held(struct entry *e)
{
    bool wanted = !oz_list_empty(&e->waiting);
    bool turn_over = e->handovers > e->locks->handovers;

    if (e->grant)
        return;
    if (wanted && !turn_over) {
        if (oz_session_granting(e->locks->session))
            grant_next(e);
        return; /* otherwise when the lease is back */
    }
    e->queue_first = wanted;
    delete_lock(e);
}

static void step_free(struct entry *e)
{
    struct oz_session *session = e->locks->session;

    if (oz_list_empty(&e->waiting)) {
        drop_entry(e);
        return;
    }
    if (!oz_session_granting(session) || oz_session_id(session) == 0)
        return;
    if (e->contended || e->queue_first) {
        take_seat(e);
    } else {
        create_lock(e);
    }
}

/* Does the next thing that is missing. May free the entry. */
static void step(void *arg)
{
    struct entry *e = arg;

    switch (e->state) {
    case FREE:
        step_free(e);
        break;
    case HELD:
        step_held(e);
        break;
    case QUEUED:
        if (oz_list_empty(&e->waiting)) {
            leave_queue(e);
            set_free(e);
        }
        break;
    default:
        break; /* its reply brings it on */
    }
}

/* ---- commands ---- */

void oz_locks_acquire(struct oz_locks *locks, odezk_lock_request *request)
{
    struct entry *e;

    request->locks = locks;
    if (locks->closed) {
        finish(request, ODEZK_ECLOSED, NULL, NULL);
        return;
    }
    e = find_entry(locks, request->space, request->key);
    if (!e)
        e = new_entry(locks, request->space, request->key);
    if (!e) {
        finish(request, ODEZK_ENOMEM, NULL, NULL);
        return;
    }
    request->entry = e;
    oz_list_append(&e->waiting, &request->link);
    oz_timer_set(locks->timers, &request->timer, oz_now() + locks->operation_ms * OZ_MS, network_deadline, request);
    if (e->grant || e->contended)
        others_hold(e);
    step(e);
}

void oz_locks_cancel(odezk_lock_request *request)
{
    struct entry *e = request->entry;

    if (request->done)
        return;
    finish(request, ODEZK_ECANCELED, NULL, NULL);
    if (e)
        step(e);
}

const char *oz_locks_path(const odezk_lock *lock)
{
    const struct entry *e = lock->entry;

    return e && e->grant == lock ? e->path : NULL;
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

static void lapse(struct entry *e)
{
    bool held = e->grant != NULL;

    lose_grant(e);
    if (held && oz_session_id(e->locks->session))
        delete_lock(e); /* waits for a connection, if there is none */
}

static void go_on(struct entry *e)
{
    step(e);
}

/* The session is over, and all of its znodes with it. Attempts go on with the next one. */
static void reset(struct entry *e)
{
    lose_grant(e);
    oz_watch_disarm(e->locks->session, &e->watch);
    oz_timer_clear(e->locks->timers, &e->retry);
    oz_op_detach(e->op);
    e->op = NULL;
    oz_seat_forget(e->seat);
    e->seat = NULL;
    e->seated = e->contended = e->queue_first = false;
    e->state = FREE;
    step(e);
}

static void session_event(void *self, enum oz_session_event event)
{
    struct oz_locks *locks = self;

    if (event == OZ_LEASE_LOST)
        each_entry(locks, lapse);
    else if (event == OZ_LEASE_HELD)
        each_entry(locks, go_on);
    else if (event == OZ_DOWN)
        each_entry(locks, reset);
}

static void close_entry(struct entry *e)
{
    fail_all(e, ODEZK_ECLOSED, NULL);
    lose_grant(e);
}

void oz_locks_close(struct oz_locks *locks)
{
    locks->closed = true;
    each_entry(locks, close_entry);
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
    locks->handovers = options->handovers;
    locks->trouble = options->trouble;
    locks->arg = options->arg;
    locks->root = oz_strdup(options->root);
    locks->owner = oz_strdup(options->owner);
    if (!locks->root || !locks->owner) {
        free(locks->root);
        free(locks->owner);
        free(locks);
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

            oz_map_remove(&locks->entries, node);
            oz_seat_forget(e->seat);
            free_entry(e);
        }
    oz_map_free(&locks->entries);
    free(locks->root);
    free(locks->owner);
    free(locks);
}
