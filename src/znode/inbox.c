#include "znode/inbox.h"

#include "base/clock.h"
#include "base/mem.h"
#include "znode/paths.h"
#include "znode/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oz_inbox {
    struct oz_session *session;
    char *root;
    char member[96];
    char *dir; /* NULL while closed */
    void (*read)(void *owner);
    char *(*request)(void *owner, const char *name);
    void *owner;
    struct oz_watch watch;
    struct oz_op *op;
    struct oz_timer retry;
    bool again; /* something changed while a list was under way */
};

struct oz_inbox *oz_inbox_new(struct oz_session *s, const char *root, void (*read)(void *owner),
                              char *(*request)(void *owner, const char *name), void *owner)
{
    struct oz_inbox *inbox = oz_alloc(sizeof *inbox);

    if (!inbox)
        return NULL;
    inbox->session = s;
    inbox->read = read;
    inbox->request = request;
    inbox->owner = owner;
    inbox->root = oz_strdup(root);
    if (!inbox->root) {
        oz_inbox_free(inbox);
        return NULL;
    }
    return inbox;
}

static void list(void *arg);

static void changed(void *owner)
{
    struct oz_inbox *inbox = owner;

    if (inbox->op)
        inbox->again = true;
    else
        list(inbox);
}

static void ignore(void *owner, const struct oz_reply *reply)
{
    (void)owner;
    (void)reply;
}

/* Out of memory, nothing is done: whoever asked will ask again. An entry is removed behind the delete of the lock that
 * it asked for, which is bulk: whoever asked takes its end for the answer, and looks at the lock. */
static void finish_entry(struct oz_inbox *inbox, const char *name, char *answer)
{
    char *path = oz_format("%s/%s", inbox->dir, name);
    struct oz_request set = {.verb = OZ_SET, .path = path, .data = answer, .retry = true};

    if (path && answer) {
        set.len = strlen(answer);
        oz_submit(inbox->session, &set, ignore, NULL);
    } else if (path) {
        oz_erase_bulk(inbox->session, path);
    }
    free(path);
    free(answer);
}

static void create(struct oz_inbox *inbox, bool parent);

static void list_later(struct oz_inbox *inbox)
{
    oz_timer_set(oz_session_timers(inbox->session), &inbox->retry, oz_now() + 100 * OZ_MS, list, inbox);
}

static void created(void *owner, const struct oz_reply *reply)
{
    struct oz_inbox *inbox = owner;

    inbox->op = NULL;
    if (reply->rc == OZ_NONODE)
        create(inbox, true);
    else if (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)
        list(inbox);
}

static void parent_created(void *owner, const struct oz_reply *reply)
{
    struct oz_inbox *inbox = owner;

    inbox->op = NULL;
    if (reply->rc == OZ_OK || reply->rc == OZ_EXISTS)
        create(inbox, false);
    else if (reply->rc == OZ_NONODE) /* the root was removed: it is created when a node joins again */
        list_later(inbox);
}

/* The inbox itself, or the directory of all inboxes. */
static void create(struct oz_inbox *inbox, bool parent)
{
    char *path = parent ? oz_path_inboxes(inbox->root) : oz_strdup(inbox->dir);
    struct oz_request request = {.verb = OZ_CREATE, .path = path, .retry = true};

    if (path)
        inbox->op = oz_submit(inbox->session, &request, parent ? parent_created : created, inbox);
    if (!inbox->op)
        list_later(inbox);
    free(path);
}

static void listed(void *owner, const struct oz_reply *reply)
{
    struct oz_inbox *inbox = owner;
    size_t i;

    inbox->op = NULL;
    if (reply->rc == OZ_NONODE)
        create(inbox, false);
    else if (reply->rc == OZ_FAILED)
        list_later(inbox);
    if (reply->rc != OZ_OK)
        return;
    for (i = 0; i < reply->count && inbox->dir; i++) {
        char *answer = inbox->request(inbox->owner, reply->names[i]);

        if (inbox->dir)
            finish_entry(inbox, reply->names[i], answer);
        else
            free(answer);
    }
    if (!inbox->dir)
        return;
    if (inbox->again)
        list(inbox);
    else
        inbox->read(inbox->owner);
}

static void list(void *arg)
{
    struct oz_inbox *inbox = arg;
    struct oz_request request = {.verb = OZ_CHILDREN, .path = inbox->dir, .watch = true, .retry = true};

    if (!inbox->dir || inbox->op)
        return;
    inbox->again = false;
    if (oz_watch_arm(inbox->session, &inbox->watch, inbox->dir, changed, inbox))
        inbox->op = oz_submit(inbox->session, &request, listed, inbox);
    if (!inbox->op)
        list_later(inbox);
}

static void open_dir(void *arg)
{
    struct oz_inbox *inbox = arg;

    inbox->dir = oz_path_inbox(inbox->root, inbox->member);
    if (inbox->dir)
        create(inbox, false);
    else
        oz_timer_set(oz_session_timers(inbox->session), &inbox->retry, oz_now() + 100 * OZ_MS, open_dir, inbox);
}

/* Forgets it, without the network. */
static void reset(struct oz_inbox *inbox)
{
    oz_watch_disarm(inbox->session, &inbox->watch);
    oz_timer_clear(oz_session_timers(inbox->session), &inbox->retry);
    oz_op_detach(inbox->op);
    inbox->op = NULL;
    free(inbox->dir);
    inbox->dir = NULL;
}

void oz_inbox_open(struct oz_inbox *inbox, const char *member)
{
    reset(inbox);
    snprintf(inbox->member, sizeof inbox->member, "%s", member);
    open_dir(inbox);
}

void oz_inbox_look(struct oz_inbox *inbox)
{
    if (inbox->dir)
        changed(inbox);
}

void oz_inbox_remove(struct oz_inbox *inbox)
{
    if (inbox->dir && oz_session_connected(inbox->session))
        oz_erase(inbox->session, inbox->dir); /* if there is still a request in it, the master removes both */
    reset(inbox);
}

void oz_inbox_free(struct oz_inbox *inbox)
{
    if (!inbox)
        return;
    free(inbox->dir);
    free(inbox->root);
    free(inbox);
}

/* ---- what dead nodes left ---- */

struct dead {
    struct oz_session *session;
    char *dir;    /* the inbox */
    char *member; /* whose it was */
};

static void free_dead(struct dead *dead)
{
    free(dead->dir);
    free(dead->member);
    free(dead);
}

/* The entries are ephemeral znodes of others, which may still wait: when theirs is gone they look again. */
static void emptied(void *owner, const struct oz_reply *reply)
{
    struct dead *dead = owner;
    size_t i;

    for (i = 0; reply->rc == OZ_OK && i < reply->count; i++) {
        char *path = oz_format("%s/%s", dead->dir, reply->names[i]);

        if (path)
            oz_erase(dead->session, path);
        free(path);
    }
    if (reply->rc == OZ_OK)
        oz_erase(dead->session, dead->dir);
    free_dead(dead);
}

static void looked_for(void *owner, const struct oz_reply *reply)
{
    struct dead *dead = owner;
    struct oz_request request = {.verb = OZ_CHILDREN, .path = dead->dir, .retry = true};

    if (reply->rc != OZ_NONODE || !oz_submit(dead->session, &request, emptied, dead))
        free_dead(dead);
}

/* A member creates its inbox after its own znode: an inbox whose member znode is gone afterwards is a dead one's. Out
 * of memory, it is left to the next sweep. */
static void look_for(struct oz_session *s, const char *root, const char *name)
{
    struct dead *dead = oz_alloc(sizeof *dead);
    struct oz_request request = {.verb = OZ_STAT, .retry = true};

    if (!dead)
        return;
    dead->session = s;
    dead->dir = oz_path_inbox(root, name);
    dead->member = oz_path_member(root, name);
    request.path = dead->member;
    if (!dead->dir || !dead->member || !oz_submit(s, &request, looked_for, dead))
        free_dead(dead);
}

struct sweep {
    struct oz_session *session;
    char root[];
};

static void swept(void *owner, const struct oz_reply *reply)
{
    struct sweep *sweep = owner;
    size_t i;

    for (i = 0; reply->rc == OZ_OK && i < reply->count; i++)
        look_for(sweep->session, sweep->root, reply->names[i]);
    free(sweep);
}

void oz_inbox_sweep(struct oz_session *s, const char *root)
{
    struct sweep *sweep = oz_alloc(sizeof *sweep + strlen(root) + 1);
    char *path = oz_path_inboxes(root);
    struct oz_request request = {.verb = OZ_CHILDREN, .path = path, .retry = true};

    if (sweep && path) {
        sweep->session = s;
        memcpy(sweep->root, root, strlen(root));
        if (oz_submit(s, &request, swept, sweep))
            sweep = NULL;
    }
    free(sweep);
    free(path);
}
