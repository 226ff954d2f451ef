/* One situation again and again, and what comes of it. */
#include "faults.h"

#include <string.h>

enum { AFTER_MS = 1000 };

static struct {
    int rounds, two_masters, two_holders, masterships_kept;
    long changes; /* of members that live */
    struct times outage, without_master;
} result;

/* ---- what they share ---- */

static int need_master(int64_t *epoch)
{
    int master;

    if (!converge())
        end_early("before the next round");
    master = claiming_master(epoch);
    return master ? master : need_master(epoch);
}

/* Looks at the round's claims, and waits until all is well again. False: the mastership is
 * another's. */
static bool end_round(int64_t epoch)
{
    long masters = violations[CHECK_MASTERS], holders = violations[CHECK_HOLDERS];
    int64_t ended, next, now_epoch = 0;

    need_master(&now_epoch);
    pump(AFTER_MS);
    claims_check();
    nodes_count();
    result.rounds++;
    result.two_masters += violations[CHECK_MASTERS] > masters;
    result.two_holders += violations[CHECK_HOLDERS] > holders;
    if (now_epoch == epoch)
        result.masterships_kept++;
    else if (claims_handover(epoch, &ended, &next))
        times_add(&result.without_master, next > ended ? next - ended : 0);
    return now_epoch == epoch;
}

static bool all_serve(void *arg)
{
    (void)arg;
    return !ensemble_busy() && ensemble_serves();
}

static void await_servers(void)
{
    if (!pump_until(60000, all_serve, NULL))
        give_up("the servers do not come back");
    servers_calm(0);
}

/* ---- the situations ---- */

static bool another_claims(void *arg)
{
    int64_t epoch = 0, ended, next;

    return claiming_master(&epoch) != 0 && claims_handover(*(int64_t *)arg, &ended, &next);
}

/* The master and one of the others in turn. */
static void kill_one(int round)
{
    int64_t epoch;
    int master = need_master(&epoch), victim = master;

    if (round % 2 == 1)
        victim = master % options.nodes + 1;
    node_kill(victim);
    node_disturb(victim);
    if (victim == master)
        pump_until(3 * options.timeout_ms, another_claims, &epoch);
    pump(AFTER_MS);
    node_start(victim);
    node_calm(victim);
    end_round(epoch);
}

static void stop_master(int round)
{
    int64_t epoch;
    int master = need_master(&epoch);

    (void)round;
    handover_begin("stop", record_now(), epoch);
    node_stop(master);
    pump(2 * options.timeout_ms);
    node_continue(master);
    end_round(epoch);
}

static void cut_master_off(int round)
{
    int64_t epoch;
    int master = need_master(&epoch);

    (void)round;
    handover_begin("partition", record_now(), epoch);
    link_order("hole", master, 0, 3);
    pump(2 * options.timeout_ms);
    link_order("pass", master, 0, 0);
    end_round(epoch);
}

struct place {
    int node, leader;
};

static bool is_at_follower(void *arg)
{
    const struct place *place = arg;
    int server = link_order("where", place->node, 0, 0);

    return server != 0 && server != place->leader;
}

/* Has the master connected to a server that is not the leader; that server. */
static int have_follower(int *master, int64_t *epoch)
{
    struct place place = {need_master(epoch), ensemble_leader()};

    link_order("refuse", place.node, place.leader, 0);
    if (!pump_until(5000, is_at_follower, &place))
        give_up("the master does not connect to a follower");
    link_order("pass", place.node, 0, 0);
    *master = need_master(epoch);
    /* A lease from this connection, and not always at the same point of its period. */
    pump(options.timeout_ms + dice(0, options.timeout_ms / 3));
    return *master == place.node ? link_order("where", place.node, 0, 0) : have_follower(master, epoch);
}

/*
 * A foreign hand removes the master's election znode while the master is stopped. It may take
 * itself for the master until it hears of that; but what it writes is refused by the servers.
 */
static void depose_master(int round)
{
    int64_t epoch;
    int master = need_master(&epoch);

    (void)round;
    node_stop(master);
    claims_excuse(epoch);
    if (!remove_seat(epoch))
        give_up("the master has no election znode");
    pump_until(options.timeout_ms / 4, another_claims, &epoch);
    pump(options.timeout_ms / 5); /* in which the new one writes, and the old one's lease holds */
    node_continue(master);
    end_round(epoch);
}

/* The server that the master is connected to, and which is not the leader, says nothing. */
static void silence_server(int round)
{
    int64_t epoch;
    int master, server = have_follower(&master, &epoch);

    (void)round;
    servers_disturb();
    ensemble_order("pause", server);
    pump(options.timeout_ms * 3 / 2);
    ensemble_order("cont", server);
    await_servers();
    if (!end_round(epoch))
        violation(CHECK_LOST, "n%d lost its mastership with the server that was silent", master);
}

/* Each leader hears of the sessions at other points of the interval in which it ends them. */
static void change_leader(void)
{
    int leader = ensemble_leader();

    if (leader == 0)
        return;
    servers_disturb();
    ensemble_order("stop", leader);
    ensemble_order("start", leader);
    await_servers();
}

/* The master keeps its connection to a server that is cut off from the others. */
static void make_island(int round)
{
    int64_t epoch;
    int master, server;

    (void)round;
    change_leader();
    server = have_follower(&master, &epoch);
    if (!network_cut(server))
        give_up("this needs a network of its own");
    for (int other = 1; other <= SERVERS; other++)
        if (other != server)
            link_order("hole", master, other, 3);
    handover_begin("island", record_now(), epoch);
    pump(2 * options.timeout_ms);
    network_cut(0);
    link_order("pass", master, 0, 0);
    await_servers();
    end_round(epoch);
}

static void stop_and_start_all(int ms)
{
    int64_t epoch, time;

    need_master(&epoch);
    long changes = living_changes;
    servers_disturb();
    time = record_now();
    ensemble_order_all("stop");
    if (ms > 0)
        pump(ms);
    ensemble_order_all("start");
    await_servers();
    times_add(&result.outage, record_now() - time);
    end_round(epoch);
    result.changes += living_changes - changes;
}

static void restart_all(int round)
{
    (void)round;
    stop_and_start_all(0);
}

static void be_away(int round)
{
    (void)round;
    stop_and_start_all(2 * options.timeout_ms);
}

static void freeze_all(int round)
{
    int64_t epoch, time;

    (void)round;
    need_master(&epoch);
    long changes = living_changes;
    servers_disturb();
    time = record_now();
    ensemble_order_all("pause");
    pump(2 * options.timeout_ms);
    ensemble_order_all("cont");
    await_servers();
    times_add(&result.outage, record_now() - time);
    end_round(epoch);
    result.changes += living_changes - changes;
}

/* ---- all of them ---- */

static const struct scenario {
    const char *name;
    void (*play)(int round);
    const char *what;
} scenarios[] = {
    {"kill", kill_one, "a node killed (SIGKILL), every second time the master"},
    {"stop", stop_master, "the master stopped for 2 timeouts, then continued"},
    {"deposed", depose_master, "the election znode of the master, which is stopped, removed"},
    {"partition", cut_master_off, "the master cut off for 2 timeouts"},
    {"silent", silence_server, "the master's server, not the leader, stopped for 1.5 timeouts"},
    {"island", make_island, "the master and its server cut off for 2 timeouts"},
    {"restart-all", restart_all, "all servers killed and restarted"},
    {"ensemble-away", be_away, "all servers killed, and restarted after 2 timeouts"},
    {"ensemble-frozen", freeze_all, "all servers stopped for 2 timeouts, then continued"},
};

static const struct scenario *find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

bool scenario_known(const char *name)
{
    return find(name) != NULL;
}

static void print_result(const struct scenario *scenario)
{
    printf("\nscenario %s: %s\n", scenario->name, scenario->what);
    printf("  two masters                  %d of %d\n", result.two_masters, result.rounds);
    printf("  two valid holders of a lock  %d of %d\n", result.two_holders, result.rounds);
    printf("  mastership kept              %d of %d\n", result.masterships_kept, result.rounds);
    printf("  living nodes reported as left, joined or restarted: %ld in %d\n", result.changes, result.rounds);
    times_print(&result.outage, "outage, until all servers serve again");
    times_print(&result.without_master, "time without a master");
}

void scenario_run(const char *name, int rounds)
{
    const struct scenario *scenario = find(name);

    for (int round = 0; round < rounds; round++) {
        scenario->play(round);
        say("round %d of %d", round + 1, rounds);
    }
    settle(true);
    print_result(scenario);
}
