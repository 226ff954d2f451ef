#include "znode/inbox.h"

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

    struct oz_op *sweep;  /* the list that a sweep waits for */
    bool sweep_again;     /* another sweep was asked for meanwhile */
    struct oz_map places; /* the inboxes that there were when it began */
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

/* Out of memory, nothing is done: whoever asked will ask again. An entry is removed behind the delete of the lock that
 * it asked for, which is bulk: whoever asked takes its end for the answer, and looks at the lock. */
static void finish_entry(struct oz_inbox *inbox, const char *name, char *answer)
{
    char *path = oz_format("%s/%s", inbox->dir, name);
    struct oz_request set = {.verb = OZ_SET, .path = path, .data = answer, .retry = true};

    if (path && answer) {
        set.len = strlen(answer);
        oz_submit(inbox->session, &set, oz_ignore_reply, NULL);
    } else if (path) {
        oz_erase_bulk(inbox->session, path);
    }
    free(path);
    free(answer);
}

static void create(struct oz_inbox *inbox, bool parent);

static void list_later(struct oz_inbox *inbox)
{
    oz_session_later(inbox->session, &inbox->retry, OZ_RETRY_AFTER, list, inbox);
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
        oz_session_later(inbox->session, &inbox->retry, OZ_RETRY_AFTER, open_dir, inbox);
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

/* ---- what dead nodes left ---- */

/* An inbox that is there, while a sweep finds out whose. */
struct place {
    struct oz_map_node node;
    char name[];
};

/* There may be hundreds of inboxes, so nothing of this may be ahead of the lease writes. */
static struct oz_op *submit_bulk(struct oz_inbox *inbox, enum oz_verb verb, const char *path, oz_op_cb cb, void *owner)
{
    struct oz_request request = {.verb = verb, .path = path, .bulk = true, .retry = true};

    return path ? oz_submit(inbox->session, &request, cb, owner) : NULL;
}

static void add_place(struct oz_inbox *inbox, const char *name)
{
    struct place *place = oz_alloc(sizeof *place + strlen(name) + 1);

    if (!place)
        return;
    strcpy(place->name, name);
    if (oz_map_put(&inbox->places, &place->node, place->name) != 0)
        free(place);
}

static void remove_place(struct oz_inbox *inbox, struct oz_map_node *node)
{
    oz_map_remove(&inbox->places, node);
    free(oz_container(node, struct place, node));
}

static void clear_places(struct oz_inbox *inbox)
{
    struct oz_map_node *node;
    size_t i;

    for (i = 0; i < inbox->places.size; i++)
        while ((node = inbox->places.slots[i]) != NULL)
            remove_place(inbox, node);
    oz_map_free(&inbox->places);
}

struct dead {
    struct oz_inbox *inbox;
    char dir[];
};

/* The entries are ephemeral znodes of others, which may still wait: when theirs is gone they look again. */
static void emptied(void *owner, const struct oz_reply *reply)
{
    struct dead *dead = owner;
    size_t i;

    for (i = 0; reply->rc == OZ_OK && i < reply->count; i++) {
        char *path = oz_format("%s/%s", dead->dir, reply->names[i]);

        submit_bulk(dead->inbox, OZ_DELETE, path, oz_ignore_reply, NULL);
        free(path);
    }
    if (reply->rc == OZ_OK)
        submit_bulk(dead->inbox, OZ_DELETE, dead->dir, oz_ignore_reply, NULL);
    free(dead);
}

static void remove_dead(struct oz_inbox *inbox, const char *name)
{
    char *dir = oz_path_inbox(inbox->root, name);
    struct dead *dead = dir ? oz_alloc(sizeof *dead + strlen(dir) + 1) : NULL;

    if (dead) {
        dead->inbox = inbox;
        strcpy(dead->dir, dir);
        if (!submit_bulk(inbox, OZ_CHILDREN, dead->dir, emptied, dead))
            free(dead);
    }
    free(dir);
}

static void end_sweep(struct oz_inbox *inbox)
{
    clear_places(inbox);
    inbox->sweep = NULL;
    if (inbox->sweep_again)
        oz_inbox_sweep(inbox);
}

/* A member creates its inbox after its own znode: an inbox whose member znode is gone afterwards is a dead one's. */
static void compared(void *owner, const struct oz_reply *reply)
{
    struct oz_inbox *inbox = owner;
    struct oz_map_node *node;
    size_t i;

    for (i = 0; reply->rc == OZ_OK && i < reply->count; i++) {
        node = oz_map_find(&inbox->places, reply->names[i]);
        if (node)
            remove_place(inbox, node);
    }
    if (reply->rc == OZ_OK || reply->rc == OZ_NONODE)
        oz_map_each(&inbox->places, i, node)
            remove_dead(inbox, node->key);
    end_sweep(inbox);
}

static void swept(void *owner, const struct oz_reply *reply)
{
    struct oz_inbox *inbox = owner;
    char *path = oz_path_members(inbox->root);
    size_t i;

    inbox->sweep = NULL;
    for (i = 0; reply->rc == OZ_OK && i < reply->count; i++)
        add_place(inbox, reply->names[i]);
    if (inbox->places.count)
        inbox->sweep = submit_bulk(inbox, OZ_CHILDREN, path, compared, inbox);
    if (!inbox->sweep)
        end_sweep(inbox);
    free(path);
}

/* What finds no memory is left to the next sweep. */
void oz_inbox_sweep(struct oz_inbox *inbox)
{
    char *path;

    if (inbox->sweep) {
        inbox->sweep_again = true;
        return;
    }
    inbox->sweep_again = false;
    path = oz_path_inboxes(inbox->root);
    inbox->sweep = submit_bulk(inbox, OZ_CHILDREN, path, swept, inbox);
    free(path);
}

void oz_inbox_free(struct oz_inbox *inbox)
{
    if (!inbox)
        return;
    oz_op_detach(inbox->sweep);
    clear_places(inbox);
    free(inbox->dir);
    free(inbox->root);
    free(inbox);
}
