/*
 * What membership costs, each figure with its floor beside it. Starts its own servers.
 *
 * usage: bench [--servers 1|3] [--rounds N] [--seconds N] [--json] [idle|join|leave|master|lock]...
 */
#include "harness.h"

#include <dirent.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 1000, PEERS = 4, FIGURES_MAX = 64, SANDBOX_TICK_MS = 2000 };

static struct {
    int servers, rounds, seconds;
    bool json;
} options = {.servers = 1, .rounds = 21, .seconds = 30};

/* ---- figures ---- */

static struct figure {
    char what[96];
    double value;
    const char *unit;
    double floor; /* 0: none */
} figures[FIGURES_MAX];
static int figure_count;

static void add(double value, const char *unit, double floor, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add(double value, const char *unit, double floor, const char *format, ...)
{
    struct figure *figure = &figures[figure_count < FIGURES_MAX ? figure_count++ : 0];
    va_list args;

    va_start(args, format);
    vsnprintf(figure->what, sizeof figure->what, format, args);
    va_end(args);
    figure->value = value;
    figure->unit = unit;
    figure->floor = floor;
}

static void print_figures(void)
{
    if (options.json)
        printf("{\"servers\":%d,\"figures\":[", options.servers);
    else
        printf("%-56s %10s %-12s %10s %7s\n", "what", "value", "unit", "floor", "ratio");
    for (int i = 0; i < figure_count; i++) {
        const struct figure *f = &figures[i];
        if (options.json)
            printf("%s{\"what\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"floor\":%.4g}",
                   i ? "," : "", f->what, f->value, f->unit, f->floor);
        else if (f->floor > 0)
            printf("%-56s %10.4g %-12s %10.4g %7.2f\n", f->what, f->value, f->unit, f->floor,
                   f->value / f->floor);
        else
            printf("%-56s %10.4g %s\n", f->what, f->value, f->unit);
    }
    if (options.json)
        puts("]}");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double now_ms(void)
{
    return (double)it_boottime_ns() / 1e6;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, odezk_last_error());
    it_leave();
    it_sandbox_stop();
    exit(1);
}

/* ---- an idle member ---- */

/* The nanoseconds that all threads of a process have run. */
static double cpu_ns(pid_t pid)
{
    char path[300];
    double sum = 0;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += (double)ns;
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return sum;
}

/* A line of /proc/PID/NAME in kB. */
static double kilobytes(pid_t pid, const char *name, const char *key)
{
    char path[64], line[256];
    double value = 0;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtod(line + strlen(key), NULL);
    if (file)
        fclose(file);
    return value;
}

static void bench_idle(void)
{
    it_set_timeout(10000);
    struct it_process *node = it_node("idle", NULL);

    if (!it_expect(node->log, 20000, "ready *"))
        fail("the node does not join");
    it_pass(2000);
    double begin = now_ms(), cpu = cpu_ns(node->pid);
    it_pass(options.seconds * 1000);
    double took = now_ms() - begin;
    cpu = cpu_ns(node->pid) - cpu;
    add(kilobytes(node->pid, "status", "VmRSS:") / 1024, "MB", 0, "idle member: resident");
    add(kilobytes(node->pid, "smaps_rollup", "Pss:") / 1024, "MB", 0,
        "idle member: resident, shared pages divided");
    add(cpu / took / 1e6 * 100, "% of a CPU", 0, "idle member: processor over %d s",
        options.seconds);
}

/* ---- joining ---- */

struct arrival {
    double at; /* 0: not yet */
};

static void on_ready(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct arrival *arrival = arg;
    double at = now_ms();

    (void)cluster;
    (void)event;
    __atomic_store(&arrival->at, &at, __ATOMIC_RELEASE);
}

static bool has_arrived(void *arg)
{
    struct arrival *arrival = arg;
    double at;

    __atomic_load(&arrival->at, &at, __ATOMIC_ACQUIRE);
    return at > 0;
}

/* One node joins through a proxy that counts. */
static double join_once(double *requests, double *round_trips)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    struct arrival arrival = {0};
    char servers[64];

    if (!proxy)
        fail("no proxy");
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    odezk_config *config = it_config("joining", "servers", servers, "crash-leave", "false", NULL);
    odezk_cluster *node = it_new(ODEZK_ROLE_OBSERVER, config);
    odezk_config_free(config);
    odezk_cluster_subscribe(node, ODEZK_EVENT_READY, on_ready, &arrival, NULL);
    double begin = now_ms();
    if (odezk_cluster_start(node) != ODEZK_OK || !it_until(20000, has_arrived, &arrival))
        fail("a node does not join");
    *requests = (double)it_proxy_requests(proxy);
    *round_trips = (double)it_proxy_round_trips(proxy);
    it_free(node);
    it_proxy_free(proxy);
    return arrival.at - begin;
}

static double connect_once(void)
{
    double begin = now_ms();
    struct it_zk *zk = it_zk_open(it_servers(), 10000);

    it_zk_stat(zk, "/", NULL);
    double took = now_ms() - begin;
    it_zk_close(zk);
    return took;
}

static void bench_join(void)
{
    double ms[ROUNDS_MAX], requests[ROUNDS_MAX], trips[ROUNDS_MAX], floor[ROUNDS_MAX];

    it_join(ODEZK_ROLE_MEMBER, "first");
    for (int i = 0; i < options.rounds; i++) {
        ms[i] = join_once(&requests[i], &trips[i]);
        floor[i] = connect_once();
    }
    add(median(ms, options.rounds), "ms", median(floor, options.rounds),
        "join to ready (floor: connect and one read)");
    add(median(trips, options.rounds), "round trips", 0, "join to ready, with the handshake");
    add(median(requests, options.rounds), "requests", 0, "join to ready, with the handshake");
}

/* ---- leaving ---- */

struct leaving {
    struct arrival seen[PEERS];
};

static void on_member(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    if (event->change == ODEZK_MEMBER_LEFT)
        on_ready(cluster, event, arg);
}

static bool all_seen(void *arg)
{
    struct leaving *leaving = arg;

    for (int i = 0; i < PEERS; i++)
        if (!has_arrived(&leaving->seen[i]))
            return false;
    return true;
}

static void bench_leave(void)
{
    static struct leaving leaving; /* its receivers last as long as their handles */
    double ms[ROUNDS_MAX];
    char id[16];

    for (int i = 0; i < PEERS; i++) {
        snprintf(id, sizeof id, "n%d", i);
        odezk_cluster *peer = it_join(ODEZK_ROLE_MEMBER, id);
        if (!peer)
            fail("a node does not join");
        odezk_cluster_subscribe(peer, ODEZK_EVENT_MEMBER, on_member, &leaving.seen[i], NULL);
    }
    for (int round = 0; round < options.rounds; round++) {
        odezk_cluster *node = it_join(ODEZK_ROLE_MEMBER, "leaving");
        struct it_log *log = it_events(node);
        it_expect(log, 5000, "ready *");
        it_pass(50); /* the others have seen it join */
        leaving = (struct leaving){0};
        double begin = now_ms(), last = 0;
        odezk_cluster_begin_close(node);
        if (!it_until(20000, all_seen, &leaving))
            fail("nobody sees a node leave");
        for (int i = 0; i < PEERS; i++)
            last = leaving.seen[i].at > last ? leaving.seen[i].at : last;
        ms[round] = last - begin;
        it_free(node);
    }
    add(median(ms, options.rounds), "ms", 0, "clean leave until all %d others know", PEERS);
}

/* ---- the master dies ---- */

/* From the kill to the first claim of another, in milliseconds. */
static double kill_master(int timeout_ms)
{
    struct it_pack pack;

    it_set_timeout(timeout_ms);
    if (!it_pack_start(&pack, "master") || !it_claims_wait(pack.claims, 20000, 0))
        fail("the nodes do not elect");
    it_pass(500);
    int64_t epoch = it_claims_newest(pack.claims, -1);
    double begin = now_ms();
    it_signal(pack.processes[it_claims_last_claimant(pack.claims)], SIGKILL);
    if (!it_claims_wait(pack.claims, 2 * timeout_ms + 20000, epoch))
        fail("nobody becomes master");
    double took =
        (double)it_claims_first_ns(pack.claims, it_claims_newest(pack.claims, -1)) / 1e6 - begin;
    it_leave();
    it_enter("bench");
    return took;
}

static void bench_master_at(int timeout_ms, bool helper, int rounds)
{
    double ms[ROUNDS_MAX];

    setenv("IT_HELPER", helper ? it_program("odezk-reaper") : "", 1);
    for (int i = 0; i < rounds; i++)
        ms[i] = kill_master(timeout_ms);
    add(median(ms, rounds), "ms", helper ? 0 : timeout_ms,
        helper ? "master killed to the next, with the helper"
               : "master killed to the next (floor: the session timeout)");
}

static void bench_master(void)
{
    bench_master_at(10000, true, 5);
    bench_master_at(4000, false, 5);
    bench_master_at(10000, false, 5);
}

/* ---- locks ---- */

enum { CYCLES = 200 };

static double lock_cycle(odezk_cluster *cluster, const char *key)
{
    odezk_lock *lock = NULL;
    double begin = now_ms();

    if (odezk_lock_acquire(cluster, "bench", key, 0, &lock) != ODEZK_OK)
        fail("no lock");
    odezk_lock_release(lock);
    double took = now_ms() - begin;
    odezk_lock_free(lock);
    return took * 1000;
}

static double floor_cycle(struct it_zk *zk)
{
    char path[256];
    double begin = now_ms();

    if (it_zk_create(zk, it_path("floor/key#"), "", true, true, path, sizeof path) != IT_OK ||
        it_zk_delete(zk, path) != IT_OK)
        fail("no znode");
    return (now_ms() - begin) * 1000;
}

static odezk_cluster *open_locker(const char *sticky_spaces)
{
    odezk_config *config = it_config("locker", "lock-sticky-spaces", sticky_spaces, NULL);
    odezk_cluster *cluster = it_new(ODEZK_ROLE_MEMBER, config);

    odezk_config_free(config);
    if (odezk_cluster_join(cluster, 20000) != ODEZK_OK)
        fail("the node does not join");
    return cluster;
}

static void bench_lock_with(const char *sticky_spaces, const char *what)
{
    odezk_cluster *cluster = open_locker(sticky_spaces);
    static double ours[ROUNDS_MAX], floor[ROUNDS_MAX];
    double us[CYCLES];
    char key[32];

    it_zk_create(it_zk(), it_path("floor"), "", false, false, NULL, 0);
    for (int round = 0; round < options.rounds; round++) {
        for (int i = 0; i < CYCLES; i++) {
            snprintf(key, sizeof key, "k%d.%d", round, i);
            us[i] = lock_cycle(cluster, key);
        }
        ours[round] = median(us, CYCLES);
        for (int i = 0; i < CYCLES; i++)
            us[i] = floor_cycle(it_zk());
        floor[round] = median(us, CYCLES);
    }
    add(median(ours, options.rounds), "us", median(floor, options.rounds), "%s", what);
    it_free(cluster);
}

static void bench_lock(void)
{
    bench_lock_with("all", "lock and unlock a new key (floor: create, delete)");
    bench_lock_with("none", "the same, kept for nobody (lock-sticky-spaces none)");
}

/* ---- the program ---- */

static const struct {
    const char *name;
    void (*run)(void);
} benches[] = {{"idle", bench_idle},
               {"join", bench_join},
               {"leave", bench_leave},
               {"master", bench_master},
               {"lock", bench_lock}};

enum { BENCHES = sizeof benches / sizeof *benches };

static bool parse(int argc, char **argv)
{
    static const struct option known[] = {{"servers", required_argument, NULL, 's'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {0}};

    for (int opt; (opt = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (opt == 's')
            options.servers = atoi(optarg);
        else if (opt == 'r')
            options.rounds = atoi(optarg);
        else if (opt == 't')
            options.seconds = atoi(optarg);
        else if (opt == 'j')
            options.json = true;
        else
            return false;
    }
    return (options.servers == 1 || options.servers == 3) && options.rounds >= 1 &&
           options.rounds <= ROUNDS_MAX && options.seconds >= 1;
}

static bool is_wanted(char *const *wanted, const char *name)
{
    if (!*wanted)
        return true;
    while (*wanted && strcmp(*wanted, name) != 0)
        wanted++;
    return *wanted != NULL;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: bench [--servers 1|3] [--rounds N] [--seconds N] [--json] "
                        "[idle|join|leave|master|lock]...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    odezk_log_set_level(ODEZK_LOG_ERROR);
    if (!it_sandbox_start(options.servers, SANDBOX_TICK_MS))
        return 1;
    for (int i = 0; i < BENCHES; i++)
        if (is_wanted(argv + optind, benches[i].name)) {
            it_enter("bench");
            benches[i].run();
            it_leave();
        }
    it_sandbox_stop();
    print_figures();
    return 0;
}
