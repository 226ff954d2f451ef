/* An entry: its names, its memory, and what it waits for. */
#include "recipe/lock_entry.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "znode/names.h"
#include "znode/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

struct entry *oz_entry_new(struct oz_locks *locks, const char *space, const char *key)
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

bool oz_entry_need_effort(struct entry *e)
{
    if (!e->effort) {
        e->effort = oz_alloc(sizeof *e->effort);
        if (e->effort)
            oz_list_init(&e->effort->waiting);
    }
    return e->effort != NULL;
}

void oz_entry_drop_effort(struct entry *e)
{
    struct effort *f = e->effort;

    if (!f)
        return;
    oz_entry_stop(e);
    free(f->request);
    free(f);
    e->effort = NULL;
}

void oz_entry_drop(struct entry *e)
{
    oz_entry_unlist(e);
    oz_entry_drop_effort(e);
    oz_map_remove(&e->locks->entries, &e->node);
    free(e);
}

void oz_locks_each(struct oz_locks *locks, void (*visit)(struct entry *e))
{
    struct oz_map_node *node, *next;
    size_t i;

    for (i = 0; i < locks->entries.size; i++)
        for (node = locks->entries.slots[i]; node; node = next) {
            next = node->next;
            visit(oz_container(node, struct entry, node));
        }
}

/* ---- requests, timers and watches ---- */

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
    request->bulk = true; /* the lease, the election and the membership do not wait behind thousands of locks */
    f->replied = replied;
    if (path)
        f->op = oz_submit(e->locks->session, request, op_replied, e);
    if (!f->op)
        oz_entry_later(e, OZ_RETRY_AFTER, again);
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
    f->op = oz_barrier(e->locks->session, true, op_replied, e);
    if (!f->op)
        oz_entry_later(e, OZ_RETRY_AFTER, again);
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
