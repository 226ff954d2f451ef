/*
 * The fault suite: five nodes, three servers, and everything that can go wrong between them. It
 * counts what happened and what was wrong, and ends with 0 only when nothing was.
 */
#include "faults.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { ROUND_MS = 40000, ROUNDS_TO_LEAVE = 4 };

struct options options = {.minutes = 3, .nodes = 5, .timeout_ms = 2000, .rounds = 10};

static const char help[] = "usage: faults [--seed N] [--minutes M] [--timeout MS] [--tick MS] [--nodes N] [--only "
                           "ACTION,…]\n"
                           "              [--scenario NAME [--rounds N]] [--no-helper] [--no-namespace]\n"
                           "              [--logs DIR]\n"
                           "\n"
                           "  --seed N         repeat the choices of an earlier run\n"
                           "  --minutes M      how long (default 3)\n"
                           "  --timeout MS     the session timeout (default 2000)\n"
                           "  --tick MS        the servers' tick (default: a fifth of the session timeout)\n"
                           "  --nodes N        3 to 5 nodes (default 5)\n"
                           "  --only ACTIONS   only these actions\n"
                           "  --scenario NAME  one situation again and again instead: kill, stop, deposed, partition,\n"
                           "                   silent, island, restart-all, ensemble-away, ensemble-frozen\n"
                           "  --rounds N       how often (default 10)\n"
                           "  --no-helper      nodes without their helper process\n"
                           "  --logs DIR       keep what the nodes logged in this directory\n"
                           "  --no-namespace   do not make a network of its own\n"
                           "\n"
                           "Actions:\n";

static int usage(void)
{
    fputs(help, stdout);
    actions_print();
    return 2;
}

static bool parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'},     {"minutes", required_argument, NULL, 'm'},
        {"timeout", required_argument, NULL, 't'},  {"nodes", required_argument, NULL, 'n'},
        {"tick", required_argument, NULL, 'k'},     {"only", required_argument, NULL, 'o'},
        {"scenario", required_argument, NULL, 'c'}, {"rounds", required_argument, NULL, 'r'},
        {"logs", required_argument, NULL, 'l'},     {"no-namespace", no_argument, NULL, 'x'},
        {"no-helper", no_argument, NULL, 'h'},      {0}};

    for (int opt; (opt = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (opt == 's')
            options.seed = strtoull(optarg, NULL, 10);
        else if (opt == 'm')
            options.minutes = atoi(optarg);
        else if (opt == 't')
            options.timeout_ms = atoi(optarg);
        else if (opt == 'n')
            options.nodes = atoi(optarg);
        else if (opt == 'k')
            options.tick_ms = atoi(optarg);
        else if (opt == 'o')
            options.only = optarg;
        else if (opt == 'c')
            options.scenario = optarg;
        else if (opt == 'r')
            options.rounds = atoi(optarg);
        else if (opt == 'l')
            options.logs = optarg;
        else if (opt == 'h')
            options.no_helper = true;
        else if (opt == 'x')
            options.no_namespace = true;
        else
            return false;
    }
    if (options.tick_ms <= 0)
        options.tick_ms = options.timeout_ms / 5;
    return optind == argc && options.minutes > 0 && options.timeout_ms >= 1000 && options.nodes >= 3 &&
           options.nodes <= NODES_MAX && options.rounds > 0 && (!options.only || actions_choose(options.only)) &&
           (!options.scenario || scenario_known(options.scenario));
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void stop_all(void)
{
    for (int i = 1; i <= NODES_MAX; i++)
        child_kill(&nodes[i].child);
    links_stop();
    ensemble_stop();
}

static int report(void);

void end_early(const char *when)
{
    violation(CHECK_REST, "the nodes do not agree %s", when);
    members_tell_disagreement();
    claims_check();
    nodes_count();
    exit(report());
}

static void begin(void)
{
    seconds(record_now()); /* from here it counts */
    network_enter();
    atexit(stop_all);
    ensemble_start();
    links_start();
    settle_begin();
    servers_calm(0);
    for (int i = 1; i <= options.nodes; i++)
        node_start(i);
    if (!converge())
        end_early("at the beginning");
    for (int i = 1; i <= options.nodes; i++)
        node_calm(i);
}

/* Rounds of faults, with a rest after each. */
static void run(void)
{
    int64_t end = record_now() + options.minutes * 60000 * NS_PER_MS, round_end;
    bool last = false;

    for (int round = 1; !last; round++) {
        round_end = record_now() + ROUND_MS * NS_PER_MS;
        while (record_now() < round_end) {
            act();
            pump(dice(50, 1500));
        }
        last = record_now() >= end;
        settle(last || round % ROUNDS_TO_LEAVE == 0);
        say("%ld actions so far", actions_count());
    }
}

static void end(void)
{
    settle_end();
    for (int i = 1; i <= options.nodes; i++) {
        node_tell(i, "quit");
        if (!child_wait(&nodes[i].child, 10000))
            violation(CHECK_HANGS, "n%d does not end", i);
    }
}

static int report(void)
{
    long sum = 0;

    printf("\nseed %llu, session timeout %d ms, tick %d ms, %d nodes, %.1f minutes\n", (unsigned long long)options.seed,
           options.timeout_ms, options.tick_ms, options.nodes, seconds(record_now()) / 60);
    actions_report();
    claims_report();
    nodes_report();
    growth_report();
    printf("times:\n");
    members_report();
    handovers_report();
    printf("violations:\n");
    for (int i = 0; i < CHECKS; i++) {
        printf("  %5ld  %s\n", violations[i], check_name((enum check)i));
        sum += violations[i];
    }
    printf("%s: %ld actions, %ld violations\n", sum == 0 ? "PASS" : "FAIL", actions_count(), sum);
    return sum == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (getrandom(&options.seed, sizeof options.seed, 0) != (ssize_t)sizeof options.seed)
        options.seed = (uint64_t)record_now();
    options.seed %= 1000000000;
    if (!parse(argc, argv))
        return usage();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu\n", (unsigned long long)options.seed);
    dice_seed(options.seed);
    begin();
    if (options.scenario)
        scenario_run(options.scenario, options.rounds);
    else
        run();
    end();
    return report();
}
