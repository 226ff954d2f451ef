#include "session/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct watch_msg {
    struct oz_msg msg;
    struct oz_conn *conn;
    char path[];
};

bool oz_watch_arm(struct oz_session *s, struct oz_watch *w, const char *path, void (*fire)(void *), void *owner)
{
    oz_watch_disarm(s, w);
    w->path = oz_strdup(path);
    if (!w->path)
        return false;
    if (oz_map_put(&s->watches, &w->node, w->path) != 0) {
        free(w->path);
        w->path = NULL;
        return false;
    }
    w->fire = fire;
    w->owner = owner;
    return true;
}

void oz_watch_disarm(struct oz_session *s, struct oz_watch *w)
{
    if (!w->path)
        return;
    oz_map_remove(&s->watches, &w->node);
    free(w->path);
    w->path = NULL;
    if (w->link.next) /* it is just about to be fired */
        oz_list_remove(&w->link);
}

void oz_session_fire_watches(struct oz_session *s, const char *path)
{
    struct oz_list due, *node;
    struct oz_map_node *found;
    size_t i;

    /* Collected before any is fired: one that is armed again by then waits for the next event. */
    oz_list_init(&due);
    if (path) {
        while ((found = oz_map_find(&s->watches, path)) != NULL) {
            oz_map_remove(&s->watches, found);
            oz_list_append(&due, &oz_container(found, struct oz_watch, node)->link);
        }
    } else {
        oz_map_each(&s->watches, i, found)
            oz_list_append(&due, &oz_container(found, struct oz_watch, node)->link);
    }
    while ((node = oz_list_pop(&due)) != NULL) {
        struct oz_watch *w = oz_container(node, struct oz_watch, link);

        oz_watch_disarm(s, w);
        w->fire(w->owner);
    }
}

void oz_session_disarm_watches(struct oz_session *s)
{
    struct oz_map_node *node;
    size_t i;

    for (i = 0; i < s->watches.size; i++)
        while ((node = s->watches.slots[i]) != NULL)
            oz_watch_disarm(s, oz_container(node, struct oz_watch, node));
}

static void watch_fired(struct oz_msg *msg)
{
    struct watch_msg *w = oz_container(msg, struct watch_msg, msg);

    if (w->conn == w->conn->session->conn)
        oz_session_fire_watches(w->conn->session, w->path);
    free(w);
}

void oz_conn_watch(void *ctx, const char *path)
{
    struct oz_conn *conn = ctx;
    size_t len = strlen(path);
    struct watch_msg *w = oz_alloc(sizeof *w + len + 1);

    if (w) {
        w->msg.run = watch_fired;
        w->conn = conn;
        memcpy(w->path, path, len);
        oz_dispatch_post(conn->session->dispatch, &w->msg);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    conn->watch_lost = true;
    oz_conn_post_news(conn);
    pthread_mutex_unlock(&conn->lock);
}
