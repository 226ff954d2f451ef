/* A hundred members in one process: each sees every change, once and in order. */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 100, PATIENCE_MS = 60000, SOON_MS = 10000 }; /* soon: long before a session timeout */

/* What one member sees of all. Written by its callback thread. */
struct view {
    int index;
    odezk_cluster *cluster;
    atomic_bool ready;
    atomic_int present; /* how many are there */
    atomic_int joined, left, restarted;
    atomic_int mistakes;         /* changes that do not follow from those before */
    int64_t incarnations[NODES]; /* -1: absent */
    int64_t newest[NODES];       /* that was ever seen */
    bool subscribed;
};

static struct view views[NODES];

static void on_change(struct view *view, const odezk_event *event)
{
    int n = atoi(event->id + 1);
    int64_t *now = &view->incarnations[n];

    if (event->change == ODEZK_MEMBER_LEFT) {
        view->mistakes += *now != event->incarnation;
        *now = -1;
        view->left++;
        view->present--;
        return;
    }
    view->mistakes += event->incarnation <= view->newest[n];
    view->newest[n] = event->incarnation;
    if (event->change == ODEZK_MEMBER_JOINED) {
        view->mistakes += *now != -1;
        view->joined++;
        view->present++;
    } else {
        view->mistakes += *now == -1;
        view->restarted++;
    }
    *now = event->incarnation;
}

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct view *view = arg;

    (void)cluster;
    if (event->type == ODEZK_EVENT_READY)
        view->ready = true;
    else
        on_change(view, event);
}

static bool open_node(int i)
{
    struct view *view = &views[i];
    char id[16];

    *view = (struct view){.index = i};
    for (int k = 0; k < NODES; k++)
        view->incarnations[k] = view->newest[k] = -1;
    snprintf(id, sizeof id, "n%d", i);
    view->cluster = it_open(ODEZK_ROLE_MEMBER, id);
    return view->cluster &&
           odezk_cluster_subscribe(view->cluster, ODEZK_EVENT_MEMBER | ODEZK_EVENT_READY, on_event, view, NULL) ==
               ODEZK_OK &&
           odezk_cluster_start(view->cluster) == ODEZK_OK;
}

/* All of these `step` apart. */
struct wanted {
    int first, step, present;
};

static bool all_see(void *arg)
{
    const struct wanted *wanted = arg;

    for (int i = wanted->first; i < NODES; i += wanted->step)
        if (!views[i].ready || views[i].present != wanted->present)
            return false;
    return true;
}

static void check_views(int first, int step, int joined, int left)
{
    for (int i = first; i < NODES; i += step) {
        CHECK(views[i].mistakes == 0);
        CHECK(views[i].joined + views[i].restarted == joined);
        CHECK(views[i].left + views[i].restarted == left);
    }
}

static int count_masters(void)
{
    int count = 0;

    for (int i = 0; i < NODES; i++)
        count += views[i].cluster && odezk_is_master(views[i].cluster, NULL);
    return count;
}

static bool one_is_master(void *arg)
{
    (void)arg;
    return count_masters() == 1;
}

static void close_all(int first, int step)
{
    for (int i = first; i < NODES; i += step)
        CHECK(odezk_cluster_begin_close(views[i].cluster) == ODEZK_OK);
    for (int i = first; i < NODES; i += step) {
        it_free(views[i].cluster);
        views[i].cluster = NULL;
    }
}

static void a_hundred(void)
{
    it_set_timeout(20000);
    for (int i = 0; i < NODES; i++)
        NEED(open_node(i));
    NEED(it_until(PATIENCE_MS, all_see, &(struct wanted){0, 1, NODES}));
    check_views(0, 1, NODES, 0);
    CHECK(it_until(SOON_MS, one_is_master, NULL));

    close_all(1, 2);
    NEED(it_until(PATIENCE_MS, all_see, &(struct wanted){0, 2, NODES / 2}));
    check_views(0, 2, NODES, NODES / 2);
    CHECK(it_until(SOON_MS, one_is_master, NULL));

    for (int i = 1; i < NODES; i += 2)
        NEED(open_node(i));
    NEED(it_until(PATIENCE_MS, all_see, &(struct wanted){0, 1, NODES}));
    check_views(0, 2, NODES + NODES / 2, NODES / 2);
    check_views(1, 2, NODES, 0);
    CHECK(it_until(SOON_MS, one_is_master, NULL));
    close_all(0, 1);
}

/* The master goes each time; the next one is there soon, however many wait. */
static void succession_of_many(void)
{
    it_set_timeout(20000);
    for (int i = 0; i < NODES; i++)
        NEED(open_node(i));
    NEED(it_until(PATIENCE_MS, all_see, &(struct wanted){0, 1, NODES}));
    for (int round = 0; round < 20; round++) {
        NEED(it_until(SOON_MS, one_is_master, NULL));
        for (int i = 0; i < NODES; i++)
            if (views[i].cluster && odezk_is_master(views[i].cluster, NULL)) {
                it_free(views[i].cluster);
                views[i].cluster = NULL;
                break;
            }
    }
    NEED(it_until(SOON_MS, one_is_master, NULL));
    for (int i = 0; i < NODES; i++)
        CHECK(views[i].mistakes == 0);
}

static const struct it_test tests[] = {
    {"a hundred members", a_hundred, 0}, {"succession of many", succession_of_many, 0}, {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "scale", tests);
}
