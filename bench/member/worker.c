/* Measures members of a cluster, and the floors below them. Reads commands from stdin, one a line:
 *     join ROUNDS SECONDS          a node joins a cluster that has a master, and one that is new
 *     through SERVERS CLUSTER      one node joins by way of these servers, and leaves again
 *     plain SERVERS                the floor of that
 *     leave OTHERS ROUNDS SECONDS  one of OTHERS + 1 nodes leaves
 *     deleted OTHERS               the floor of that, once
 *     lock ROUNDS SECONDS          a lock of a new key is taken and released
 *     idle SERVERS                 from here on a session of the plain client does nothing but ping
 *     watch CLUSTER OTHERS         from here on OTHERS nodes of this process are in that cluster
 *     stage ID                     waits until that node is its master, and all of them know
 *     end PID SIGNAL DELAY         sends a signal to that node's process after DELAY ms
 * and answers each with one line of JSON. Times are in microseconds; a loop ends after ROUNDS or
 * SECONDS. */
#include <odezk/odezk.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define CROWD 8
#define SAMPLES 20000
#define PATIENCE_S 60 /* for what is to happen: the driver is told that it did not */
#define JOIN_MS 30000
#define TIMEOUT_MS 10000
#define SETTLE_US 50000 /* what a join leaves behind is not what a leave costs */

static const char *servers;

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* ---- samples ---- */

struct samples {
    const char *name;
    float us[SAMPLES];
    int count;
};

static void sample(struct samples *s, double us)
{
    if (s->count < SAMPLES)
        s->us[s->count++] = (float)us;
}

static void print_samples(const struct samples *s)
{
    printf("\"%s\":[", s->name);
    for (int i = 0; i < s->count; i++)
        printf("%s%.1f", i ? "," : "", (double)s->us[i]);
    putchar(']');
}

/* One object with all of them. Samples are used again by the next command. */
static void answer(struct samples *const *all, int count)
{
    for (int i = 0; i < count; i++) {
        putchar(i ? ',' : '{');
        print_samples(all[i]);
        all[i]->count = 0;
    }
    puts("}");
    fflush(stdout);
}

static bool goes_on(int round, int rounds, double start, double seconds)
{
    return round == 0 || (round < rounds && now_us() - start < seconds * 1e6);
}

/* ---- what happened to whom; written by callbacks of odezk and of the plain client ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;

struct happening {
    double joined, left; /* the node called `target`, as seen here */
    double ready, claimed;
    double fired, connected;
};

static struct happening happenings[CROWD];
static char target[80];

static void happen(double *when)
{
    double now = now_us();

    pthread_mutex_lock(&lock);
    if (*when == 0)
        *when = now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Waits until the first `count` have it, and returns when the last one did. `field` is one of
 * happenings[0]. */
static double await(const double *field, int count, const char *what)
{
    size_t offset = (size_t)((const char *)field - (const char *)happenings);
    struct timespec until;
    double last = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++) {
        const double *when = (const double *)((const char *)&happenings[i] + offset);

        while (*when == 0)
            if (pthread_cond_timedwait(&changed, &lock, &until) != 0)
                die(what, "has not come");
        if (*when > last)
            last = *when;
    }
    pthread_mutex_unlock(&lock);
    return last;
}

static void forget(const char *id)
{
    pthread_mutex_lock(&lock);
    memset(happenings, 0, sizeof happenings);
    snprintf(target, sizeof target, "%s", id);
    pthread_mutex_unlock(&lock);
}

static bool is_target(const char *id)
{
    bool same;

    pthread_mutex_lock(&lock);
    same = strcmp(id, target) == 0;
    pthread_mutex_unlock(&lock);
    return same;
}

/* ---- odezk ---- */

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct happening *h = arg;

    (void)cluster;
    if (event->type == ODEZK_EVENT_READY)
        happen(&h->ready);
    else if (event->type == ODEZK_EVENT_MASTERSHIP && event->held)
        happen(&h->claimed);
    else if (event->type == ODEZK_EVENT_MEMBER && is_target(event->id))
        happen(event->change == ODEZK_MEMBER_LEFT ? &h->left : &h->joined);
}

static odezk_config *configure(const char *where, const char *cluster, const char *id)
{
    odezk_config *config;

    if (odezk_config_new(&config) || odezk_config_set(config, "servers", where, NULL) ||
        odezk_config_set(config, "cluster", cluster, NULL) || odezk_config_set(config, "node-id", id, NULL) ||
        odezk_config_set(config, "log-level", "error", NULL))
        die("configure", odezk_last_error());
    return config;
}

static void set(odezk_config *config, const char *name, const char *value)
{
    if (odezk_config_set(config, name, value, NULL) != ODEZK_OK)
        die(name, odezk_last_error());
}

/* Makes a handle, frees the configuration, and listens to it unless `h` is NULL. */
static odezk_cluster *make(odezk_config *config, odezk_role role, struct happening *h)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_cluster *cluster;

    options.role = role;
    if (odezk_cluster_new(config, &options, &cluster) != ODEZK_OK ||
        (h && odezk_cluster_subscribe(cluster, ODEZK_EVENT_READY | ODEZK_EVENT_MEMBER | ODEZK_EVENT_MASTERSHIP,
                                      on_event, h, NULL) != ODEZK_OK))
        die("make a handle", odezk_last_error());
    odezk_config_free(config);
    return cluster;
}

static void join(odezk_cluster *cluster)
{
    if (odezk_cluster_join(cluster, JOIN_MS) != ODEZK_OK)
        die("join", odezk_last_error());
}

/* ---- the plain client ---- */

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
    struct happening *h = ctx;

    (void)zh;
    (void)path;
    if (type == ZOO_SESSION_EVENT && state == ZOO_CONNECTED_STATE)
        happen(&h->connected);
    else if (type == ZOO_DELETED_EVENT)
        happen(&h->fired);
}

static zhandle_t *raw_connect(const char *where, int i)
{
    zhandle_t *zh;

    happenings[i] = (struct happening){0};
    zh = zookeeper_init(where, watcher, TIMEOUT_MS, NULL, &happenings[i], 0);
    if (!zh)
        die("zookeeper_init", "no handle");
    zoo_set_servers_resolution_delay(zh, -1);
    await(&happenings[0].connected, i + 1, "a connection of the plain client");
    return zh;
}

static void check(int rc, const char *what)
{
    if (rc != ZOK)
        die(what, zerror(rc));
}

static void make_floor(zhandle_t *zh)
{
    int rc = zoo_create(zh, "/floor", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);

    check(rc == ZNODEEXISTS ? ZOK : rc, "create /floor");
}

static void create_ephemeral(zhandle_t *zh, const char *prefix, char *path, int size)
{
    check(zoo_create(zh, prefix, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, path, size), "create");
}

static void ignore(int rc, const void *data)
{
    (void)rc;
    (void)data;
}

/* ---- joining ---- */

static odezk_cluster *resident; /* makes "join" a cluster that has a master */

static double join_once(const char *where, const char *cluster, const char *id)
{
    odezk_config *config = configure(where, cluster, id);
    odezk_cluster *node;
    double start, ready;

    forget("");
    start = now_us();
    node = make(config, ODEZK_ROLE_MEMBER, &happenings[0]);
    if (odezk_cluster_start(node) != ODEZK_OK)
        die("start", odezk_last_error());
    ready = await(&happenings[0].ready, 1, "ready");
    odezk_cluster_free(node);
    return ready - start;
}

static double floor_join(const char *where, double *ready)
{
    char path[64];
    double start = now_us();
    zhandle_t *zh = raw_connect(where, 0);

    create_ephemeral(zh, "/floor/join-", path, sizeof path);
    *ready = now_us();
    zookeeper_close(zh);
    return *ready - start;
}

static void sample_requests(zhandle_t *zh, struct samples *reads, struct samples *writes)
{
    for (int i = 0; i < 5; i++) {
        double start = now_us(), middle;

        check(zoo_exists(zh, "/floor", 0, NULL), "exists");
        middle = now_us();
        check(zoo_set(zh, "/floor", "", 0, -1), "set");
        sample(reads, middle - start);
        sample(writes, now_us() - middle);
    }
}

static void need_resident(void)
{
    if (!resident) {
        resident = make(configure(servers, "join", "resident"), ODEZK_ROLE_MEMBER, NULL);
        join(resident);
    }
}

static void run_join(int rounds, double seconds)
{
    static struct samples known = {.name = "join"}, first = {.name = "first"}, floor = {.name = "floor"},
                          reads = {.name = "read"}, writes = {.name = "write"};
    struct samples *all[] = {&known, &first, &floor, &reads, &writes};
    char id[32];
    zhandle_t *zh;
    double start, ready;

    forget("");
    zh = raw_connect(servers, 0);
    make_floor(zh);
    need_resident();
    join_once(servers, "join", "warm");
    start = now_us();
    for (int i = 0; goes_on(i, rounds, start, seconds); i++) {
        snprintf(id, sizeof id, "join-%d", i);
        sample(&known, join_once(servers, "join", id));
        sample(&first, join_once(servers, id, "first"));
        sample(&floor, floor_join(servers, &ready));
        sample_requests(zh, &reads, &writes);
    }
    zookeeper_close(zh);
    answer(all, 5);
}

/* `ready` is a time of CLOCK_MONOTONIC: what a proxy saw later does not belong to the join. */
static void answer_through(double us, double ready)
{
    printf("{\"us\":%.1f,\"ready\":%.1f}\n", us, ready);
    fflush(stdout);
}

static void run_through(const char *where, const char *cluster)
{
    double us;

    if (strcmp(cluster, "join") == 0)
        need_resident();
    us = join_once(where, cluster, "through");
    answer_through(us, happenings[0].ready);
}

static void run_plain(const char *where)
{
    double us, ready;

    forget("");
    us = floor_join(where, &ready);
    answer_through(us, ready);
}

/* ---- leaving ---- */

static double leave_once(int others, const char *id, double *closing)
{
    odezk_cluster *node = make(configure(servers, "leave", id), ODEZK_ROLE_MEMBER, NULL);
    double start, last;

    forget(id);
    join(node);
    await(&happenings[0].joined, others, "a node that joins");
    usleep(SETTLE_US);
    start = now_us();
    odezk_cluster_close(node);
    *closing = now_us() - start;
    last = await(&happenings[0].left, others, "a node that leaves");
    odezk_cluster_free(node);
    return last - start;
}

static zhandle_t *raw[CROWD]; /* the first one deletes, the others watch */

static void close_raw(void)
{
    for (int i = 0; i < CROWD; i++)
        if (raw[i])
            zookeeper_close(raw[i]);
    memset(raw, 0, sizeof raw);
}

static void need_raw(int count)
{
    if (raw[count - 1])
        return;
    close_raw();
    forget("");
    for (int i = 0; i < count; i++)
        raw[i] = raw_connect(servers, i);
    make_floor(raw[0]);
}

static void watch_znode(zhandle_t *zh, const char *path, struct happening *h)
{
    double begin = now_us();
    int rc, length;

    do { /* this one's server may be behind */
        length = 0;
        rc = zoo_wget(zh, path, watcher, h, NULL, &length, NULL);
    } while (rc == ZNONODE && now_us() - begin < PATIENCE_S * 1e6);
    check(rc, "watch");
}

static double floor_leave(int others)
{
    char path[64];
    double start;

    need_raw(others + 1);
    forget("");
    create_ephemeral(raw[0], "/floor/leave-", path, sizeof path);
    for (int i = 0; i < others; i++)
        watch_znode(raw[i + 1], path, &happenings[i]);
    start = now_us();
    check(zoo_adelete(raw[0], path, -1, ignore, NULL), "delete");
    return await(&happenings[0].fired, others, "a watch") - start;
}

static void run_deleted(int others)
{
    printf("{\"us\":%.1f}\n", floor_leave(others));
    fflush(stdout);
}

static void run_leave(int others, int rounds, double seconds)
{
    static struct samples leave = {.name = "leave"}, closing = {.name = "close"}, floor = {.name = "floor"};
    struct samples *all[] = {&leave, &closing, &floor};
    odezk_cluster *crowd[CROWD];
    char id[32];
    double start, us;

    need_raw(others + 1);
    for (int i = 0; i < others; i++) {
        snprintf(id, sizeof id, "other-%d", i);
        crowd[i] = make(configure(servers, "leave", id), ODEZK_ROLE_MEMBER, &happenings[i]);
        join(crowd[i]);
    }
    start = now_us();
    for (int i = 0; goes_on(i, rounds, start, seconds); i++) {
        snprintf(id, sizeof id, "leaves-%d", i);
        sample(&leave, leave_once(others, id, &us));
        sample(&closing, us);
        sample(&floor, floor_leave(others));
    }
    for (int i = 0; i < others; i++)
        odezk_cluster_free(crowd[i]);
    answer(all, 3);
}

/* ---- locks ---- */

enum { BLOCK = 100 };

static odezk_cluster *make_locker(const char *sticky_spaces)
{
    odezk_config *config = configure(servers, "lock", sticky_spaces);
    odezk_cluster *cluster;

    set(config, "lock-sticky-spaces", sticky_spaces);
    cluster = make(config, ODEZK_ROLE_MEMBER, NULL);
    join(cluster);
    return cluster;
}

static void lock_block(odezk_cluster *cluster, const char *prefix, int round, struct samples *s)
{
    char key[64];

    for (int i = 0; i < BLOCK; i++) {
        odezk_lock *held;
        double start;

        snprintf(key, sizeof key, "%s-%d-%d", prefix, round, i);
        start = now_us();
        if (odezk_lock_acquire(cluster, "instance", key, 0, &held) != ODEZK_OK)
            die("lock", odezk_last_error());
        odezk_lock_free(held);
        sample(s, now_us() - start);
    }
}

static void floor_block(zhandle_t *zh, bool wait, struct samples *s)
{
    char path[64];

    for (int i = 0; i < BLOCK; i++) {
        double start = now_us();

        create_ephemeral(zh, "/floor/lock-", path, sizeof path);
        check(wait ? zoo_delete(zh, path, -1) : zoo_adelete(zh, path, -1, ignore, NULL), "delete");
        sample(s, now_us() - start);
    }
}

static void run_lock(int rounds, double seconds)
{
    static struct samples kept = {.name = "kept"}, given = {.name = "given"}, floor = {.name = "floor"},
                          behind = {.name = "behind"};
    struct samples *all[] = {&kept, &given, &floor, &behind};
    odezk_cluster *keeper = make_locker("all"), *giver = make_locker("none");
    zhandle_t *zh;
    double start = 0;

    forget("");
    zh = raw_connect(servers, 0);
    make_floor(zh);
    for (int i = -1; i < 0 || goes_on(i, rounds, start, seconds); i++) {
        if (i <= 0) { /* until now everybody got warm */
            start = now_us();
            kept.count = given.count = floor.count = behind.count = 0;
        }
        lock_block(keeper, "kept", i, &kept);
        lock_block(giver, "given", i, &given);
        floor_block(zh, true, &floor);
        floor_block(zh, false, &behind);
    }
    odezk_cluster_free(keeper);
    odezk_cluster_free(giver);
    zookeeper_close(zh);
    answer(all, 4);
}

/* ---- nodes of other processes that end ---- */

static odezk_cluster *watching[CROWD];
static int watching_count;

static void leave_watched(void)
{
    for (int i = 0; i < watching_count; i++)
        odezk_cluster_free(watching[i]);
    watching_count = 0;
}

/* One that is the next master, the others only look on. */
static void run_watch(const char *cluster, int others)
{
    char id[32];

    leave_watched();
    forget("");
    for (int i = 0; i < others; i++) {
        odezk_config *config;

        snprintf(id, sizeof id, "watch-%d", i);
        config = configure(servers, cluster, id);
        set(config, "crash-leave", "false"); /* their helpers would only be in the way */
        watching[i] = make(config, i ? ODEZK_ROLE_OBSERVER : ODEZK_ROLE_MEMBER, &happenings[i]);
        join(watching[i]);
    }
    watching_count = others;
    puts("{}");
    fflush(stdout);
}

static bool knows_master(odezk_cluster *cluster, const char *id)
{
    odezk_master master;

    return odezk_get_master(cluster, &master) == ODEZK_OK && strcmp(master.id, id) == 0;
}

static bool has_member(odezk_cluster *cluster, const char *id)
{
    odezk_node_list *list;
    bool found = false;

    if (odezk_members(cluster, &list) != ODEZK_OK)
        return false;
    for (size_t i = 0; i < list->count; i++)
        found |= strcmp(list->nodes[i].id, id) == 0;
    odezk_node_list_free(list);
    return found;
}

/* The node that came last is to be master: the one that may be it instead makes way. */
static void run_stage(const char *id)
{
    double begin = now_us();

    for (int i = 0; i < watching_count;) {
        if (odezk_is_master(watching[0], NULL) && has_member(watching[0], id))
            odezk_resign(watching[0]);
        if (knows_master(watching[i], id))
            i++;
        else if (now_us() - begin > PATIENCE_S * 1e6)
            die(id, "is not master");
        else
            usleep(1000);
    }
    puts("{}");
    fflush(stdout);
}

static void run_end(pid_t pid, int number, int delay_ms, const char *id)
{
    double start, all, first, claimed;

    usleep((useconds_t)delay_ms * 1000);
    forget(id);
    start = now_us();
    if (kill(pid, number) != 0)
        die("kill", "no such process");
    all = await(&happenings[0].left, watching_count, "the end of a node");
    claimed = await(&happenings[0].claimed, 1, "the next master");
    first = all;
    for (int i = 0; i < watching_count; i++)
        if (happenings[i].left < first)
            first = happenings[i].left;
    printf("{\"first\":%.1f,\"all\":%.1f,\"claimed\":%.1f}\n", first - start, all - start, claimed - start);
    fflush(stdout);
}

/* ---- the program ---- */

static zhandle_t *idle;

static void run_idle(const char *where)
{
    forget("");
    if (!idle)
        idle = raw_connect(where, 0);
    puts("{}");
    fflush(stdout);
}

static void run(const char *line)
{
    static char id[80];
    char one[1024], two[80];
    int a, b, c;
    double seconds;

    if (sscanf(line, "join %d %lf", &a, &seconds) == 2)
        run_join(a, seconds);
    else if (sscanf(line, "through %1023s %79s", one, two) == 2)
        run_through(one, two);
    else if (sscanf(line, "plain %1023s", one) == 1)
        run_plain(one);
    else if (sscanf(line, "leave %d %d %lf", &a, &b, &seconds) == 3 && a > 0 && a < CROWD)
        run_leave(a, b, seconds);
    else if (sscanf(line, "deleted %d", &a) == 1 && a > 0 && a < CROWD)
        run_deleted(a);
    else if (sscanf(line, "lock %d %lf", &a, &seconds) == 2)
        run_lock(a, seconds);
    else if (sscanf(line, "idle %1023s", one) == 1)
        run_idle(one);
    else if (sscanf(line, "watch %79s %d", two, &a) == 2 && a > 0 && a <= CROWD)
        run_watch(two, a);
    else if (sscanf(line, "stage %79s", id) == 1)
        run_stage(id);
    else if (sscanf(line, "end %d %d %d", &a, &b, &c) == 3)
        run_end((pid_t)a, b, c, id);
    else
        die(line, "is no command");
}

int main(int argc, char **argv)
{
    char line[2048];
    pthread_condattr_t attr;

    if (argc != 2) {
        fputs("usage: worker SERVERS\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a command may wait long for what nobody does any more */
    servers = argv[1];
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
    zoo_set_log_stream(fopen("/dev/null", "w"));
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        run(line);
    }
    leave_watched();
    odezk_cluster_free(resident);
    close_raw();
    if (idle)
        zookeeper_close(idle);
    return 0;
}
