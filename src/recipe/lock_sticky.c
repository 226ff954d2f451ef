/* Locks that stay with this node after their release: how long, and how other nodes ask for them. */
#include "recipe/lock_entry.h"

#include "base/buf.h"
#include "base/clock.h"
#include "znode/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED_MAX 1000     /* entries that are kept only for what is known of others */
#define REPORT_MAX (512 * 1024) /* bytes: far below what a znode may hold */

void oz_entry_remember(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    oz_entry_drop_effort(e);
    oz_entry_unlist(e);
    if (e->shared_until <= oz_now() || locks->closed || locks->remembered_count >= REMEMBERED_MAX) {
        oz_entry_drop(e);
        return;
    }
    oz_list_append(&locks->remembered, &e->link);
    locks->remembered_count++;
}

void oz_locks_tick(void *arg)
{
    struct oz_locks *locks = arg;
    int64_t now = oz_now(), period = locks->sticky_idle / 4;
    struct oz_list *node;

    if (period < OZ_SECOND)
        period = OZ_SECOND;
    if (period > OZ_SHARED_FOR) /* what is remembered no longer takes the place of what has to be */
        period = OZ_SHARED_FOR;
    oz_locks_lock(locks);
    locks->clock = now;
    locks->requests_left = 0;
    while ((node = locks->sticky.next) != &locks->sticky) {
        struct entry *e = oz_container(node, struct entry, link);

        if (now - e->idle_since < locks->sticky_idle + period) /* the clock may have been behind that much */
            break;
        oz_entry_give_back(e);
    }
    while ((node = locks->remembered.next) != &locks->remembered) {
        struct entry *e = oz_container(node, struct entry, link);

        if (e->shared_until > now)
            break;
        oz_entry_drop(e);
    }
    oz_locks_unlock(locks);
    oz_timer_set(locks->timers, &locks->idle_timer, now + period, oz_locks_tick, locks);
}

/* ---- requests from the inbox ---- */

/* Another node waits for this lock. A sticky one is given up at once, one in use after our turn. */
static void want(struct oz_locks *locks, const char *space, const char *key)
{
    struct entry *e = oz_entry_find(locks, space, key);

    if (!e)
        e = oz_entry_new(locks, space, key);
    if (!e)
        return; /* out of memory; they ask again */
    switch (e->state) {
    case FREE:
        if (oz_entry_unwanted(e))
            oz_entry_remove_unknown(e);
        break;
    case QUEUED:
        oz_entry_doubt(e);
        break;
    case HELD:
    case CREATING:
    case TAKING:
        if (!oz_entry_others_may_wait(e, oz_now()))
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
    struct entry *e = oz_entry_find(locks, space, key);

    if (!e || e->state != HELD || e->czxid != token)
        return;
    oz_entry_ended(e);
}

/* The space before the colon, and the key between it and `end`. */
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

static void report_entry(const struct entry *e, struct oz_buf *b)
{
    oz_buf_add(b, e->name, e->space + 1u);
    oz_encode_key(b, e->name + e->space + 1);
    oz_buf_putc(b, '\n');
}

char *oz_locks_report(struct oz_locks *locks)
{
    struct oz_buf b = {0};
    struct oz_map_node *node;
    bool truncated = false;
    size_t i;

    oz_buf_putc(&b, '\n');
    oz_locks_lock(locks);
    oz_map_each(&locks->entries, i, node) {
        const struct entry *e = oz_container(node, struct entry, node);

        if (e->grant && b.len < REPORT_MAX)
            report_entry(e, &b);
        else
            truncated |= e->grant != NULL;
    }
    oz_locks_unlock(locks);
    if (truncated)
        oz_buf_puts(&b, OZ_REPORT_TRUNCATED "\n");
    return oz_buf_take(&b);
}

/* ---- whether this node can be asked ---- */

static void set_inbox(struct oz_locks *locks, const char *member)
{
    struct oz_list *node;

    snprintf(locks->inbox, sizeof locks->inbox, "%s", member);
    locks->inbox_turn++;
    /* Nobody can ask for the sticky ones any more. */
    while (!locks->closed && oz_session_id(locks->session) && (node = locks->sticky.next) != &locks->sticky)
        oz_entry_give_back(oz_container(node, struct entry, link));
    if (!locks->closed && oz_session_id(locks->session))
        oz_locks_each(locks, oz_entry_guard);
}

/* Without an inbox this node took every lock for one that others want. */
static void stop_guessing(struct entry *e)
{
    if (e->state == FREE && oz_entry_unwanted(e))
        oz_entry_drop(e);
    else if (!e->wanted)
        e->shared_until = 0;
}

void oz_locks_inbox_read(struct oz_locks *locks, const char *member)
{
    oz_locks_lock(locks);
    if (!locks->inbox[0])
        oz_locks_each(locks, stop_guessing);
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
