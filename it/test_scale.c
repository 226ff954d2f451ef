/* A hundred members in one process: each sees every change, once and in order. */
#include "harness.h"

#include <malloc.h>
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

/* ---- a crowd that one session plays ---- */

enum { CROWD = 300 };

static bool make_crowd(struct it_zk *zk)
{
    char path[256];

    for (int i = 0; i < CROWD; i++) {
        if (it_zk_create(zk, it_path("members/crowd%03d#", i), "", true, true, path, sizeof path) != IT_OK ||
            it_zk_create(zk, it_path("inbox/%s", strrchr(path, '/') + 1), "", false, false, NULL, 0) != IT_OK)
            return false;
    }
    return true;
}

static bool is_master(void *arg)
{
    return odezk_is_master(arg, NULL);
}

static bool no_remains(void *arg)
{
    (void)arg;
    return it_zk_count(it_path("inbox"), "crowd*") == 0;
}

static odezk_cluster *join_through(struct it_proxy *proxy, odezk_role role, const char *id)
{
    char servers[64];

    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    odezk_config *config = it_config(id, "servers", servers, NULL);
    odezk_cluster *cluster = it_new(role, config);
    odezk_config_free(config);
    return odezk_cluster_join(cluster, it_ms(10000)) == ODEZK_OK ? cluster : NULL;
}

/* The master clears away what they leave, and stays master: its requests grow with their number, not with its square.
 */
static void many_leave_at_once(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);

    NEED(proxy != NULL);
    it_set_timeout(IT_STEADY);
    odezk_cluster *master = join_through(proxy, ODEZK_ROLE_MEMBER, "master");
    NEED(master != NULL && it_until(5000, is_master, master));
    struct it_log *log = it_events(master);
    struct it_zk *crowd = it_zk_open(it_servers(), 20000);
    NEED(make_crowd(crowd));
    NEED(it_expect(log, PATIENCE_MS, "member joined crowd299 *"));
    long before = it_proxy_requests(proxy);
    it_zk_close(crowd);
    CHECK(it_until(PATIENCE_MS, no_remains, NULL));
    long requests = it_proxy_requests(proxy) - before;
    it_note("%ld requests for %d members that left", requests, CROWD);
    CHECK(requests < 6 * CROWD);
    CHECK(it_count(log, "member left crowd*") == CROWD);
    CHECK(odezk_is_master(master, NULL));
    CHECK(it_count(log, "mastership ended *") == 0 && it_count(log, "session [sl]*") == 0);
}

/* Calls that time out while there is no connection leave nothing that is sent when there is one again. */
static void many_calls_while_suspended(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    odezk_status *status = NULL;

    NEED(proxy != NULL);
    odezk_cluster *client = join_through(proxy, ODEZK_ROLE_CLIENT, NULL);
    NEED(client != NULL);
    NEED(odezk_cluster_status(client, it_ms(5000), &status) == ODEZK_OK);
    odezk_status_free(status);
    struct it_log *log = it_events(client);
    it_proxy_cut(proxy, true);
    NEED(it_expect(log, 5000, "session suspended 1"));
    long before = it_proxy_requests(proxy);
    size_t used = mallinfo2().uordblks;
    for (int i = 0; i < 5000; i++)
        CHECK(odezk_cluster_status(client, 0, &status) == ODEZK_EUNREACHABLE);
    CHECK(odezk_cluster_status(client, 100, &status) == ODEZK_EUNREACHABLE); /* the others are over by then */
    size_t now = mallinfo2().uordblks;
    it_note("%zd bytes more", now > used ? now - used : 0);
    CHECK(now < used + 256 * 1024);
    it_proxy_cut(proxy, false);
    NEED(it_expect(log, 15000, "session connected *"));
    NEED(odezk_cluster_status(client, it_ms(5000), &status) == ODEZK_OK);
    odezk_status_free(status);
    CHECK(it_proxy_requests(proxy) - before < 200);
}

static const struct it_test tests[] = {{"a hundred members", a_hundred, 0},
                                       {"succession of many", succession_of_many, 0},
                                       {"many leave at once", many_leave_at_once, 0},
                                       {"many calls while suspended", many_calls_while_suspended, IT_FAULTS},
                                       {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "scale", tests);
}
