/* The faults. Each begins at once, and plans its own end. */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

enum { BUSY_MAX = 3, LOSE_CREATE = 1, LOSE_ANY = 4, BOTH_WAYS = 3, DAY_S = 86400 };

struct action {
    const char *name;
    int weight;
    bool (*begin)(void);
    const char *what;
    bool chosen;
    long count;
};

static int timeouts(double from, double to)
{
    return dice((int)(from * options.timeout_ms), (int)(to * options.timeout_ms));
}

/* ---- who ---- */

static bool is_free(int node)
{
    return nodes[node].record && !nodes[node].busy && !nodes[node].stopped && !nodes[node].leaves;
}

/* A node that nothing happens to just now, every third time the master; 0: none. */
static int pick(void)
{
    int free_nodes[NODES_MAX], count = 0, busy = 0;
    int64_t epoch;
    int master = claiming_master(&epoch);

    for (int i = 1; i <= options.nodes; i++) {
        busy += nodes[i].busy;
        if (is_free(i))
            free_nodes[count++] = i;
    }
    if (count == 0 || busy >= BUSY_MAX)
        return 0;
    if (master && is_free(master) && dice(1, 3) == 1)
        return master;
    return free_nodes[dice(0, count - 1)];
}

/* The last node is spared, so that what grows slowly in a process can be seen. */
static int pick_mortal(void)
{
    int node = pick();

    return node == options.nodes ? 0 : node;
}

static void follow_if_master(const char *kind, int node)
{
    int64_t epoch;

    if (claiming_master(&epoch) == node)
        handover_begin(kind, record_now(), epoch);
}

static void restart(int node)
{
    node_start(node);
    node_calm(node);
}

/* ---- the node's process ---- */

static bool begin_kill(void)
{
    int node = pick_mortal();

    if (!node)
        return false;
    node_kill(node);
    node_disturb(node);
    later(timeouts(0, 1.5), restart, node);
    return true;
}

static void go_on(int node)
{
    node_continue(node);
    node_calm(node);
}

static bool stop_for(int ms)
{
    int node = pick();

    if (!node)
        return false;
    if (ms > options.timeout_ms)
        follow_if_master("stop", node);
    node_disturb(node);
    node_stop(node);
    later(ms, go_on, node);
    return true;
}

static bool begin_pause(void)
{
    return stop_for(timeouts(0.01, 0.7));
}

static bool begin_stop(void)
{
    return stop_for(timeouts(1.1, 2.5));
}

/* From here on its death is noticed by the session timeout only. */
static bool begin_helper(void)
{
    int node = pick_mortal();

    if (!node || !helper_kill(node))
        return false;
    nodes[node].helpless = true;
    return true;
}

static bool begin_clock(void)
{
    int node = pick();

    if (!node)
        return false;
    nodes[node].record->skew = dice(-DAY_S, DAY_S) * 1000 * NS_PER_MS;
    return true;
}

/* ---- its connections ---- */

static void heal(int node)
{
    link_order("pass", node, 0, 0);
    node_calm(node);
}

static bool disturb_links(const char *verb, int argument, int ms)
{
    int node = pick();

    if (!node)
        return false;
    if (strcmp(verb, "hole") == 0 && ms > options.timeout_ms)
        follow_if_master("partition", node);
    node_disturb(node);
    link_order(verb, node, 0, argument);
    later(ms, heal, node);
    return true;
}

static bool begin_partition(void)
{
    return disturb_links("hole", BOTH_WAYS, timeouts(0.1, 2.5));
}

static bool begin_one_way(void)
{
    return disturb_links("hole", dice(1, 2), timeouts(0.1, 2));
}

static bool begin_delay(void)
{
    return disturb_links("delay", dice(5, 150), timeouts(0.5, 2));
}

static bool begin_slow(void)
{
    return disturb_links("slow", dice(500, 5000), timeouts(0.5, 1.5));
}

static bool begin_refuse(void)
{
    return disturb_links("refuse", 0, timeouts(0.1, 1.5));
}

static bool begin_lose(void)
{
    return disturb_links("lose", dice(LOSE_CREATE, LOSE_ANY), 1000);
}

static bool begin_drop(void)
{
    return disturb_links("drop", dice(LOSE_CREATE, LOSE_ANY), 1000);
}

static bool begin_reset(void)
{
    int node = pick();

    if (!node)
        return false;
    link_order("reset", node, 0, 0);
    return true;
}

/* To this node alone its server looks dead. */
static bool begin_silent_link(void)
{
    int node = pick(), server = node ? link_order("where", node, 0, 0) : 0;

    if (!server)
        return false;
    node_disturb(node);
    link_order("hole", node, server, BOTH_WAYS);
    later(timeouts(0.3, 2), heal, node);
    return true;
}

/* It dies when nobody can be told. */
static void kill_cut_off(int node)
{
    node_kill(node);
    link_order("pass", node, 0, 0);
    later(timeouts(0, 1.5), restart, node);
}

static bool begin_cut_kill(void)
{
    int node = pick_mortal();

    if (!node)
        return false;
    node_disturb(node);
    link_order("hole", node, 0, BOTH_WAYS);
    later(timeouts(0.05, 0.5), kill_cut_off, node);
    return true;
}

/* ---- its place in the cluster ---- */

static void join_when_out(int node)
{
    if (!node_is_out(node)) {
        later(20, join_when_out, node);
        return;
    }
    node_tell(node, "join");
    node_calm(node);
}

static bool begin_leave(void)
{
    int node = pick();

    if (!node)
        return false;
    follow_if_master("leave", node);
    node_disturb(node);
    node_tell(node, "leave");
    later(timeouts(0, 0.5), join_when_out, node);
    return true;
}

/* The answer to its first create is lost. */
static void join_with_loss(int node)
{
    if (!node_is_out(node)) {
        later(20, join_with_loss, node);
        return;
    }
    link_order("lose", node, 0, LOSE_CREATE);
    node_tell(node, "join");
    later(options.timeout_ms, heal, node);
}

static bool begin_lose_join(void)
{
    int node = pick();

    if (!node)
        return false;
    node_disturb(node);
    node_tell(node, "leave");
    later(20, join_with_loss, node);
    return true;
}

static bool begin_resign(void)
{
    int64_t epoch;
    int node = claiming_master(&epoch);

    if (!node || !is_free(node))
        return false;
    node_tell(node, "resign");
    return true;
}

/* ---- the servers: one fault at a time ---- */

static bool servers_rest(void)
{
    return !ensemble_busy() && servers_calm_since < record_now() - 1000 * NS_PER_MS;
}

static void calm_when_served(int tries)
{
    if (!ensemble_busy() && ensemble_serves())
        servers_calm(0);
    else if (tries > 0)
        later(500, calm_when_served, tries - 1);
}

/* The rest, once the last order is given. */
static void end_of_orders(void)
{
    later(200, calm_when_served, 100);
}

static void resume(int server)
{
    ensemble_order("cont", server);
    end_of_orders();
}

static bool pause_one(int server, int ms)
{
    servers_disturb();
    ensemble_order("pause", server);
    later(ms, resume, server);
    return true;
}

static bool begin_silent(void)
{
    return servers_rest() && pause_one(dice(1, SERVERS), timeouts(0.2, 3));
}

static void start_one(int server)
{
    ensemble_order("start", server);
    end_of_orders();
}

static bool begin_restart(void)
{
    int server = dice(1, SERVERS);

    if (!servers_rest())
        return false;
    servers_disturb();
    ensemble_order("stop", server);
    later(timeouts(0, 1), start_one, server);
    return true;
}

static void start_all(int argument)
{
    (void)argument;
    ensemble_order_all("start");
    end_of_orders();
}

static bool stop_all(int ms)
{
    if (!servers_rest())
        return false;
    servers_disturb();
    ensemble_order_all("stop");
    later(ms, start_all, 0);
    return true;
}

static bool begin_restart_all(void)
{
    return stop_all(0);
}

static bool begin_away(void)
{
    return stop_all(2 * options.timeout_ms);
}

static void resume_all(int argument)
{
    (void)argument;
    ensemble_order_all("cont");
    end_of_orders();
}

static bool begin_frozen(void)
{
    if (!servers_rest())
        return false;
    servers_disturb();
    ensemble_order_all("pause");
    later(timeouts(1.2, 2.5), resume_all, 0);
    return true;
}

static void heal_servers(int argument)
{
    (void)argument;
    network_cut(0);
    end_of_orders();
}

/* Both are cut off from all others, but not from each other. */
static void heal_island(int node)
{
    heal(node);
    heal_servers(0);
}

static bool begin_island(void)
{
    int node = servers_rest() ? pick() : 0, server = node ? link_order("where", node, 0, 0) : 0;
    int ms = timeouts(0.5, 2.5);

    if (!server || !network_can_cut())
        return false;
    servers_disturb();
    node_disturb(node);
    if (!network_cut(server))
        say("server %d could not be cut off", server);
    for (int other = 1; other <= SERVERS; other++)
        if (other != server)
            link_order("hole", node, other, BOTH_WAYS);
    later(ms, heal_island, node);
    return true;
}

static bool begin_cut(void)
{
    int server = dice(1, SERVERS), ms = timeouts(0.5, 3);

    if (!servers_rest())
        return false;
    if (!network_can_cut())
        return pause_one(server, ms);
    servers_disturb();
    if (!network_cut(server))
        say("server %d could not be cut off", server);
    later(ms, heal_servers, 0);
    return true;
}

/* ---- all of them ---- */

static struct action actions[] = {
    {"kill", 12, begin_kill, "a node killed (SIGKILL) and restarted", true, 0},
    {"cut-kill", 4, begin_cut_kill, "a node killed while it is cut off", true, 0},
    {"helper", 4, begin_helper, "the helper process of a node killed", true, 0},
    {"pause", 10, begin_pause, "a node stopped, shorter than the timeout", true, 0},
    {"stop", 12, begin_stop, "a node stopped, longer than the timeout", true, 0},
    {"partition", 12, begin_partition, "a node cut off from all servers", true, 0},
    {"one-way", 6, begin_one_way, "a node cut off one way", true, 0},
    {"silent-link", 6, begin_silent_link, "a node cut off from the server it is connected to", true, 0},
    {"refuse", 4, begin_refuse, "a node whose connections are refused", true, 0},
    {"reset", 8, begin_reset, "a node's connections reset", true, 0},
    {"delay", 5, begin_delay, "a node's traffic delayed", true, 0},
    {"slow", 4, begin_slow, "a node's traffic slow", true, 0},
    {"lose", 14, begin_lose, "an answer lost after the server acted", true, 0},
    {"drop", 8, begin_drop, "a request lost before the server saw it", true, 0},
    {"lose-join", 6, begin_lose_join, "an answer lost while a node joins", true, 0},
    {"leave", 5, begin_leave, "a node leaves and joins again", true, 0},
    {"resign", 4, begin_resign, "the master resigns", true, 0},
    {"clock", 4, begin_clock, "the wall clock of a node jumps", true, 0},
    {"silent", 8, begin_silent, "one server stopped (SIGSTOP)", true, 0},
    {"cut", 6, begin_cut, "one server cut off from the others", true, 0},
    {"island", 6, begin_island, "a node and its server cut off from all others", true, 0},
    {"restart", 5, begin_restart, "one server killed and restarted", true, 0},
    {"restart-all", 2, begin_restart_all, "all servers killed and restarted", true, 0},
    {"frozen", 3, begin_frozen, "all servers stopped, longer than the timeout", true, 0},
    {"away", 2, begin_away, "all servers away, longer than the timeout", true, 0},
};

enum { ACTIONS = sizeof actions / sizeof actions[0] };

static bool choose(const char *name, size_t length)
{
    for (int i = 0; i < ACTIONS; i++)
        if (strlen(actions[i].name) == length && memcmp(actions[i].name, name, length) == 0) {
            actions[i].chosen = true;
            return true;
        }
    return false;
}

bool actions_choose(const char *only)
{
    for (int i = 0; i < ACTIONS; i++)
        actions[i].chosen = false;
    while (*only) {
        size_t length = strcspn(only, ",");

        if (!choose(only, length))
            return false;
        only += length + (only[length] == ',');
    }
    return true;
}

void actions_print(void)
{
    for (int i = 0; i < ACTIONS; i++)
        printf("  %-12s %s\n", actions[i].name, actions[i].what);
}

bool act(void)
{
    int sum = 0, drawn;

    for (int i = 0; i < ACTIONS; i++)
        sum += actions[i].chosen ? actions[i].weight : 0;
    drawn = dice(1, sum);
    for (int i = 0; i < ACTIONS; i++) {
        drawn -= actions[i].chosen ? actions[i].weight : 0;
        if (drawn > 0)
            continue;
        if (!actions[i].begin())
            return false;
        actions[i].count++;
        return true;
    }
    return false;
}

long actions_count(void)
{
    long count = 0;

    for (int i = 0; i < ACTIONS; i++)
        count += actions[i].count;
    return count;
}

void actions_report(void)
{
    printf("actions: %ld\n", actions_count());
    for (int i = 0; i < ACTIONS; i++)
        if (actions[i].count > 0)
            printf("  %5ld  %s\n", actions[i].count, actions[i].what);
}
