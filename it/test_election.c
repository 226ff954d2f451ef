/* One master: succession, resignation, faults, and never two. */
#include "harness.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NODES = 3 };

/* ---- looking ---- */

static bool is_master(void *cluster)
{
    return odezk_is_master(cluster, NULL);
}

static int64_t epoch_of(odezk_cluster *cluster)
{
    int64_t epoch = 0;

    return odezk_is_master(cluster, &epoch) ? epoch : 0;
}

struct knowing {
    odezk_cluster *cluster;
    const char *id;
    int64_t epoch;
};

static bool knows(void *arg)
{
    struct knowing *knowing = arg;
    odezk_master master;

    return odezk_get_master(knowing->cluster, &master) == ODEZK_OK && strcmp(master.id, knowing->id) == 0 &&
           (!knowing->epoch || master.epoch == knowing->epoch);
}

static bool all_know(odezk_cluster **clusters, int count, const char *id, int64_t epoch)
{
    for (int i = 0; i < count; i++)
        if (clusters[i] && !it_until(5000, knows, &(struct knowing){clusters[i], id, epoch}))
            return false;
    return true;
}

/* n0 is master first, then n1, n2, ... */
static bool open_nodes(odezk_cluster **nodes, int count)
{
    char id[16];

    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "n%d", i);
        nodes[i] = it_join(ODEZK_ROLE_MEMBER, id);
        if (!nodes[i] || (i == 0 && !it_until(5000, is_master, nodes[0])))
            return false;
        /* The queue's order is that of joining. */
        struct it_log *log = it_events(nodes[i]);
        if (!it_expect(log, 5000, "master n0 *"))
            return false;
    }
    return true;
}

/* How many candidates have a seat. */
static bool seats(void *arg)
{
    return it_zk_count(it_path("election"), "*") == *(int *)arg;
}

/* ---- threads that claim all the time ---- */

struct watchers {
    struct it_claims *claims;
    odezk_cluster *cluster;
    int number;
    atomic_bool stop;
    pthread_t thread;
};

static void *watch(void *arg)
{
    struct watchers *w = arg;
    const struct timespec pause = {0, 100000};

    while (!w->stop) {
        int64_t before = it_boottime_ns(), epoch;
        if (odezk_is_master(w->cluster, &epoch))
            it_claim(w->claims, w->number, epoch, before, it_boottime_ns());
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void start_watcher(struct watchers *w, struct it_claims *claims, odezk_cluster *cluster, int number)
{
    w->claims = claims;
    w->cluster = cluster;
    w->number = number;
    w->stop = false;
    if (pthread_create(&w->thread, NULL, watch, w) != 0)
        abort();
}

static void stop_watchers(struct watchers *w, int count)
{
    for (int i = 0; i < count; i++) {
        w[i].stop = true;
        pthread_join(w[i].thread, NULL);
    }
}

/* ---- tests in one process ---- */

static void succession(void)
{
    odezk_cluster *nodes[NODES] = {0};
    int64_t last = 0;
    char id[16];

    NEED(open_nodes(nodes, NODES));
    for (int i = 0; i < NODES; i++) {
        NEED(it_until(5000, is_master, nodes[i]));
        int64_t epoch = epoch_of(nodes[i]);
        CHECK(epoch > last);
        last = epoch;
        snprintf(id, sizeof id, "n%d", i);
        CHECK(all_know(nodes, NODES, id, epoch));
        for (int k = 0; k < NODES; k++)
            CHECK(k == i || !nodes[k] || !odezk_is_master(nodes[k], NULL));
        it_free(nodes[i]);
        nodes[i] = NULL;
    }
    CHECK(!odezk_is_master(NULL, NULL));
}

static void resign_to_the_next(void)
{
    odezk_cluster *nodes[NODES] = {0};
    struct it_log *log;
    int three = NODES;

    NEED(open_nodes(nodes, NODES));
    NEED(it_until(5000, seats, &three));
    log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    int64_t epoch = epoch_of(nodes[0]);
    CHECK(odezk_resign(nodes[1]) == ODEZK_ENOTHELD);
    NEED(odezk_resign(nodes[0]) == ODEZK_OK);
    CHECK(!odezk_is_master(nodes[0], NULL));
    CHECK(odezk_resign(nodes[0]) == ODEZK_ENOTHELD);
    NEED(it_expect(log, 5000, "mastership ended * resigned"));
    NEED(it_until(5000, is_master, nodes[1]));
    CHECK(epoch_of(nodes[1]) > epoch);
    NEED(odezk_resign(nodes[1]) == ODEZK_OK);
    NEED(it_until(5000, is_master, nodes[2]));
    NEED(odezk_resign(nodes[2]) == ODEZK_OK);
    NEED(it_until(5000, is_master, nodes[0]));
    CHECK(all_know(nodes, NODES, "n0", epoch_of(nodes[0])));
    CHECK(it_count(log, "session *") == 1);
}

static void resign_alone(void)
{
    odezk_cluster *node = it_join(ODEZK_ROLE_MEMBER, "a");
    struct it_log *log = it_events(node);
    int64_t last = 0;

    for (int i = 0; i < 5; i++) {
        NEED(it_expect(log, 5000, "mastership began *"));
        NEED(it_until(5000, is_master, node));
        CHECK(epoch_of(node) > last);
        last = epoch_of(node);
        CHECK(odezk_resign(node) == ODEZK_OK);
    }
    NEED(it_until(5000, is_master, node));
}

static void resign_another(void)
{
    odezk_cluster *nodes[NODES] = {0};
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_cluster *observer = it_join(ODEZK_ROLE_OBSERVER, "watching");

    NEED(open_nodes(nodes, NODES));
    CHECK(odezk_resign_node(client, "nobody", it_ms(5000)) == ODEZK_ENOTFOUND);
    CHECK(odezk_resign_node(client, "n1", it_ms(5000)) == ODEZK_ENOTHELD);
    CHECK(odezk_resign_node(client, "watching", it_ms(5000)) == ODEZK_ENOTHELD);
    CHECK(odezk_resign_node(client, "", it_ms(5000)) == ODEZK_EINVAL);
    NEED(odezk_resign_node(client, "n0", it_ms(5000)) == ODEZK_OK);
    CHECK(!odezk_is_master(nodes[0], NULL));
    NEED(it_until(5000, is_master, nodes[1]));
    NEED(odezk_resign_node(observer, "n1", it_ms(5000)) == ODEZK_OK);
    NEED(it_until(5000, is_master, nodes[2]));
    NEED(odezk_resign_node(nodes[2], "n2", it_ms(5000)) == ODEZK_OK); /* itself */
    NEED(it_until(5000, is_master, nodes[0]));
}

/* The only candidate is asked to resign: it is over when the mastership that was meant has ended.
 */
static void resign_the_only_one(void)
{
    odezk_cluster *node = it_join(ODEZK_ROLE_MEMBER, "a");
    odezk_cluster *client = it_join(ODEZK_ROLE_CLIENT, NULL);

    NEED(it_until(5000, is_master, node));
    int64_t epoch = epoch_of(node);
    NEED(odezk_resign_node(client, "a", it_ms(5000)) == ODEZK_OK);
    NEED(it_until(5000, is_master, node));
    CHECK(epoch_of(node) > epoch);
}

static void resign_by_command(void)
{
    odezk_cluster *nodes[NODES] = {0};

    NEED(open_nodes(nodes, NODES));
    struct it_process *resign = it_start("odezk", "resign", "--servers", it_servers(), "--base", it_base(), "--cluster",
                                         "c", "--json", "n0", NULL);
    CHECK(it_exit(resign, 10000) == 0);
    CHECK(it_count(resign->log, "{\"resigned\":\"n0\"}") == 1);
    CHECK(!odezk_is_master(nodes[0], NULL));
    NEED(it_until(5000, is_master, nodes[1]));
}

static void observers_are_never_master(void)
{
    odezk_cluster *observer = it_join(ODEZK_ROLE_OBSERVER, "watching");
    struct it_log *log = it_events(observer);
    odezk_cluster *nodes[2] = {0};
    int two = 2, none = 0;

    NEED(it_expect(log, 5000, "ready *"));
    CHECK(it_zk_count(it_path("election"), "*") == 0);
    NEED(open_nodes(nodes, 2));
    NEED(it_until(5000, seats, &two));
    NEED(it_expect(log, 5000, "master n0 *"));
    it_free(nodes[0]);
    NEED(it_expect(log, 5000, "master n1 *"));
    it_free(nodes[1]);
    NEED(it_expect(log, 5000, "master none"));
    NEED(it_until(5000, seats, &none));
    CHECK(!odezk_is_master(observer, NULL));
    CHECK(odezk_resign(observer) == ODEZK_ENOTHELD);
    CHECK(it_count(log, "mastership *") == 0);
}

/* Many changes, with a thread beside each handle that asks all the time. */
static void one_at_a_time(void)
{
    enum { COUNT = 5, ROUNDS = 40 };
    odezk_cluster *nodes[COUNT] = {0};
    struct watchers watchers[COUNT];
    struct it_claims *claims = it_claims_new();
    bool good = true;

    NEED(open_nodes(nodes, COUNT));
    for (int i = 0; i < COUNT; i++)
        start_watcher(&watchers[i], claims, nodes[i], i);
    for (int round = 0; round < ROUNDS && good; round++) {
        int64_t last = it_claims_newest(claims, -1);
        for (int i = 0; i < COUNT; i++)
            odezk_resign(nodes[i]);
        good = it_claims_wait(claims, 5000, last);
    }
    stop_watchers(watchers, COUNT);
    CHECK(good);
    CHECK(it_claims_count(claims) >= ROUNDS);
    CHECK(it_claims_exclusive(claims));
}

/* ---- tests with processes ---- */

static void killed_master(void)
{
    struct it_pack pack;

    it_set_timeout(IT_STEADY);
    NEED(it_pack_start(&pack, "master"));
    int64_t last = 0;
    for (int i = 0; i < NODES; i++) {
        NEED(it_claims_wait(pack.claims, it_timeout() + 5000, last));
        last = it_claims_newest(pack.claims, -1);
        int master = it_claims_last_claimant(pack.claims);
        it_signal(pack.processes[master], SIGKILL);
        CHECK(it_exit(pack.processes[master], 5000) == 128 + SIGKILL);
    }
    CHECK(it_claims_count(pack.claims) == NODES);
    CHECK(it_claims_exclusive(pack.claims));
}

static void stopped_master(void)
{
    struct it_pack pack;

    it_set_timeout(IT_SHORT);
    NEED(it_pack_start(&pack, "master"));
    int64_t last = 0;
    NEED(it_claims_wait(pack.claims, it_timeout() + 5000, last));
    for (int i = 0; i < 4; i++) {
        last = it_claims_newest(pack.claims, -1); /* first: whoever follows meanwhile has a newer one */
        int master = it_claims_last_claimant(pack.claims);
        it_signal(pack.processes[master], SIGSTOP);
        NEED(it_claims_wait(pack.claims, it_timeout() + 5000, last));
        it_signal(pack.processes[master], SIGCONT);
        it_pass(100 + 200 * i);
    }
    CHECK(it_pack_stop(&pack));
    CHECK(it_claims_exclusive(pack.claims));
}

/* Stopped for about as long as the lease lasts: the edge is what matters. */
static void stopped_for_about_the_lease(void)
{
    struct it_pack pack;

    it_set_timeout(IT_SHORT);
    NEED(it_pack_start(&pack, "master"));
    NEED(it_claims_wait(pack.claims, it_timeout() + 5000, 0));
    for (int i = 0; i < 6; i++) {
        int master = it_claims_last_claimant(pack.claims);
        it_signal(pack.processes[master], SIGSTOP);
        it_pass(it_timeout() * (12 + 2 * i) / 20);
        it_signal(pack.processes[master], SIGCONT);
        it_pass(it_timeout() / 2);
    }
    CHECK(it_pack_stop(&pack));
    CHECK(it_claims_exclusive(pack.claims));
}

/* ---- faults of servers and network ---- */

static void short_disconnection(void)
{
    odezk_cluster *nodes[2] = {0};

    it_set_timeout(30000); /* servers take their time to start */
    NEED(open_nodes(nodes, 2));
    struct it_log *log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    int64_t epoch = epoch_of(nodes[0]);
    NEED(it_all_servers("stop"));
    NEED(it_expect(log, 5000, "session suspended 1"));
    CHECK(epoch_of(nodes[0]) == epoch);
    NEED(it_all_servers("start"));
    NEED(it_expect(log, 26000, "session connected 1"));
    CHECK(epoch_of(nodes[0]) == epoch);
    CHECK(it_count(log, "mastership *") == 1);
    CHECK(it_count(log, "member left *") == 0);
}

/* Three servers elect a leader after a pause, which takes seconds; then the lease needs half a session timeout to be
 * proven anew, and has to last until then. */
static void paused_servers(void)
{
    const bool alone = it_server_count() == 1;
    odezk_cluster *nodes[2] = {0};

    it_set_timeout(alone ? 20000 : 40000);
    NEED(open_nodes(nodes, 2));
    struct it_log *log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    int64_t epoch = epoch_of(nodes[0]);
    for (int i = 0; i < (alone ? 3 : 2); i++) {
        NEED(it_all_servers("pause"));
        it_pass(it_timeout() / (alone ? 4 : 10));
        CHECK(epoch_of(nodes[0]) == epoch);
        NEED(it_all_servers("cont"));
        CHECK(it_until(it_timeout(), it_has_lease, nodes[0]));
    }
    CHECK(epoch_of(nodes[0]) == epoch);
    CHECK(it_count(log, "mastership *") == 1);
}

/* The whole ensemble away for longer than the lease: masterships end, but nobody leaves. */
static void long_absence_of_the_ensemble(void)
{
    odezk_cluster *nodes[NODES] = {0};
    struct watchers watchers[NODES];
    struct it_claims *claims = it_claims_new();

    it_set_timeout(10000); /* time for the client to find a server that is there again */
    NEED(open_nodes(nodes, NODES));
    struct it_log *log = it_events(nodes[0]), *other = it_events(nodes[1]);
    NEED(it_expect(log, 5000, "mastership began *"));
    int64_t epoch = epoch_of(nodes[0]);
    for (int i = 0; i < NODES; i++)
        start_watcher(&watchers[i], claims, nodes[i], i);
    bool good = it_all_servers("stop");
    good = good && it_expect(log, it_timeout() + 2000, "mastership ended * lease");
    CHECK(!odezk_is_master(nodes[0], NULL));
    it_pass(500);
    good = good && it_all_servers("start");
    good = good && it_claims_wait(claims, 20000, epoch);
    it_pass(500);
    stop_watchers(watchers, NODES);
    NEED(good);
    CHECK(it_claims_exclusive(claims));
    CHECK(it_count(other, "member left *") == 0 && it_count(other, "member restarted *") == 0);
    CHECK(it_count(log, "session lost *") == 0);
}

/* Cut off from the servers, while the others are not. */
static void partitioned_master(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    struct it_claims *claims = it_claims_new();
    struct watchers watchers[2];
    char servers[64];

    NEED(proxy != NULL);
    it_set_timeout(IT_STEADY);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    odezk_config *config = it_config("cut", "servers", servers, NULL);
    odezk_cluster *cut = it_new(ODEZK_ROLE_MEMBER, config);
    odezk_config_free(config);
    NEED(odezk_cluster_join(cut, it_ms(10000)) == ODEZK_OK);
    NEED(it_until(5000, is_master, cut));
    struct it_log *log = it_events(cut);
    odezk_cluster *other = it_join(ODEZK_ROLE_MEMBER, "other");
    struct it_log *at_other = it_events(other);
    int two = 2;
    NEED(it_until(5000, seats, &two));
    start_watcher(&watchers[0], claims, cut, 0);
    start_watcher(&watchers[1], claims, other, 1);
    it_proxy_hold(proxy, true);
    int64_t since = it_running_ms();
    bool good = it_until(it_timeout() + 5000, is_master, other);
    int64_t took = it_running_ms() - since;
    CHECK(!odezk_is_master(cut, NULL));
    it_proxy_hold(proxy, false);
    good = good && it_expect(log, 5000, "mastership ended * lease") &&
           it_expect(log, 2 * it_timeout(), "session lost 1") && it_expect(log, 10000, "session connected 2") &&
           it_expect(log, 10000, "ready *");
    good = good && it_expect(at_other, 5000, "member [jr]* cut *");
    stop_watchers(watchers, 2);
    NEED(good);
    CHECK(took < it_timeout() + it_ms(2000));
    CHECK(it_claims_exclusive(claims));
}

/* ---- interference ---- */

static void removed_seat(void)
{
    odezk_cluster *nodes[2] = {0};
    int two = 2;

    NEED(open_nodes(nodes, 2));
    NEED(it_until(5000, seats, &two));
    struct it_log *log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    char pattern[40];
    NEED(odezk_cluster_session(nodes[0], &info) == ODEZK_OK);
    snprintf(pattern, sizeof pattern, "%016" PRIx64 "*", (uint64_t)info.session_id);
    const char *path = it_zk_find(it_path("election"), pattern);
    NEED(path != NULL);
    NEED(it_zk_delete(it_zk(), path) == IT_OK);
    NEED(it_expect(log, 5000, "mastership ended * removed"));
    NEED(it_until(5000, is_master, nodes[1]));
    CHECK(!odezk_is_master(nodes[0], NULL));
    NEED(it_until(5000, seats, &two));
    it_free(nodes[1]);
    NEED(it_until(5000, is_master, nodes[0]));
}

static void removed_leader_znode(void)
{
    odezk_cluster *nodes[2] = {0};

    NEED(open_nodes(nodes, 2));
    NEED(it_zk_delete(it_zk(), it_path("leader")) == IT_OK);
    it_free(nodes[0]);
    NEED(it_until(5000, is_master, nodes[1]));
    CHECK(it_until(5000, knows, &(struct knowing){nodes[1], "n1", 0}));
}

static void expired_master(void)
{
    odezk_cluster *nodes[NODES] = {0};
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};

    NEED(open_nodes(nodes, NODES));
    struct it_log *log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    NEED(odezk_cluster_session(nodes[0], &info) == ODEZK_OK);
    NEED(it_zk_expire(info.session_id));
    NEED(it_expect(log, it_timeout() + 5000, "mastership ended *"));
    NEED(it_until(5000, is_master, nodes[1]));
    NEED(it_expect(log, it_timeout() + 5000, "ready *"));
    CHECK(it_until(5000, knows, &(struct knowing){nodes[0], "n1", 0}));
    it_free(nodes[1]);
    NEED(it_until(5000, is_master, nodes[2]));
    it_free(nodes[2]);
    NEED(it_until(5000, is_master, nodes[0]));
}

/* A majority is enough; the loss of the server that the master is connected to costs nothing. */
static void lost_server(void)
{
    odezk_cluster *nodes[NODES] = {0};

    it_set_timeout(15000); /* the lease outlives the election of a leader, and its new proof */
    NEED(open_nodes(nodes, NODES));
    struct it_log *log = it_events(nodes[0]);
    NEED(it_expect(log, 5000, "mastership began *"));
    for (int i = 1; i <= it_server_count(); i++) {
        NEED(it_server("stop", i));
        NEED(it_until(10000, is_master, nodes[0]));
        NEED(it_server("start", i) && it_serves(i));
    }
    it_pass(it_timeout());
    CHECK(it_count(log, "session lost *") == 0);
    CHECK(it_count(log, "member left *") == 0);
    CHECK(it_until(it_timeout(), is_master, nodes[0]) || it_until(it_timeout(), is_master, nodes[1]) ||
          it_until(it_timeout(), is_master, nodes[2]));
}

static const struct it_test tests[] = {{"succession", succession, 0},
                                       {"resign to the next", resign_to_the_next, 0},
                                       {"resign alone", resign_alone, 0},
                                       {"resign another", resign_another, 0},
                                       {"resign the only one", resign_the_only_one, 0},
                                       {"resign by command", resign_by_command, 0},
                                       {"observers are never master", observers_are_never_master, 0},
                                       {"one at a time", one_at_a_time, 0},
                                       {"killed master", killed_master, IT_FAULTS},
                                       {"stopped master", stopped_master, IT_FAULTS},
                                       {"stopped for about the lease", stopped_for_about_the_lease, IT_FAULTS},
                                       {"short disconnection", short_disconnection, IT_FAULTS},
                                       {"paused servers", paused_servers, IT_FAULTS},
                                       {"long absence of the ensemble", long_absence_of_the_ensemble, IT_FAULTS},
                                       {"partitioned master", partitioned_master, IT_FAULTS},
                                       {"election znode removed", removed_seat, 0},
                                       {"leader znode removed", removed_leader_znode, 0},
                                       {"expired master", expired_master, IT_FAULTS},
                                       {"lost server", lost_server, IT_FAULTS | IT_QUORUM},
                                       {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "election", tests);
}
