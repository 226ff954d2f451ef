/* Measures locks of odezk, and the floor below them. Reads commands from stdin, one a line:
 *     odezk ROW COUNT     floor ROW COUNT     sticky COUNT
 * and answers each with one line of JSON: microseconds per lock and unlock, and what else is known. */
#include <odezk/odezk.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define NODES 16
#define SAMPLES 200000

/* ---- allocations, counted below the C library's own functions ---- */

static atomic_long allocations;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return __libc_realloc(p, size);
}

/* ---- time ---- */

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static float samples[SAMPLES];
static atomic_int sample_count;

static void sample(double us)
{
    int i = atomic_fetch_add(&sample_count, 1);

    if (i < SAMPLES)
        samples[i] = (float)us;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void answer(double us, long allocated)
{
    int n = sample_count < SAMPLES ? sample_count : SAMPLES;

    printf("{\"us\":%.4f,\"allocations\":%.3f", us, (double)allocated);
    if (n > 0) {
        qsort(samples, (size_t)n, sizeof *samples, compare);
        printf(",\"p50\":%.3f,\"p99\":%.3f", (double)samples[n / 2], (double)samples[n * 99 / 100]);
    }
    puts("}");
    fflush(stdout);
    sample_count = 0;
}

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, odezk_last_error());
    exit(1);
}

/* ---- odezk ---- */

static const char *servers;
static odezk_cluster *nodes[NODES];
static atomic_long fresh; /* makes new keys */

static odezk_cluster *node(int i)
{
    odezk_config *config;
    char id[16];

    if (nodes[i])
        return nodes[i];
    snprintf(id, sizeof id, "bench-%d", i);
    if (odezk_config_new(&config) || odezk_config_set(config, "servers", servers, NULL) ||
        odezk_config_set(config, "node-id", id, NULL) || odezk_config_set(config, "cluster", "bench", NULL) ||
        odezk_config_set(config, "log-level", "error", NULL) ||
        odezk_config_set(config, "lock-sticky-max", "120000", NULL) || odezk_cluster_new(config, NULL, &nodes[i]) ||
        odezk_cluster_join(nodes[i], 20000))
        die("join");
    odezk_config_free(config);
    return nodes[i];
}

static void leave_all(void)
{
    for (int i = 0; i < NODES; i++) {
        odezk_cluster_free(nodes[i]);
        nodes[i] = NULL;
    }
}

static atomic_bool sampling; /* reading the clock twice would cost as much as a sticky lock does */

static void cycle(odezk_cluster *cluster, const char *key)
{
    odezk_lock *lock;
    double start = sampling ? now_us() : 0;

    if (odezk_lock_acquire(cluster, "instance", key, 60000, &lock) != ODEZK_OK)
        die("lock");
    odezk_lock_free(lock);
    if (sampling)
        sample(now_us() - start);
}

struct job {
    pthread_t thread;
    odezk_cluster *cluster;
    const char *key; /* NULL: a new one each time */
    long count;
};

static void *work(void *arg)
{
    struct job *job = arg;
    char key[32];

    for (long i = 0; i < job->count; i++) {
        if (!job->key)
            snprintf(key, sizeof key, "new-%ld", atomic_fetch_add(&fresh, 1));
        cycle(job->cluster, job->key ? job->key : key);
    }
    return NULL;
}

static double run_jobs(int jobs, int per_node, const char *key, long count)
{
    struct job job[64];
    double start;

    for (int i = 0; i < jobs; i++)
        job[i] = (struct job){.cluster = node(per_node ? 0 : i), .key = key, .count = count / jobs};
    start = now_us();
    for (int i = 0; i < jobs; i++)
        pthread_create(&job[i].thread, NULL, work, &job[i]);
    for (int i = 0; i < jobs; i++)
        pthread_join(job[i].thread, NULL);
    return (now_us() - start) / (double)(count / jobs * jobs);
}

static double alternate(long count)
{
    double start = now_us();

    for (long i = 0; i < count; i++)
        cycle(node((int)(i % 2)), "turns");
    return (now_us() - start) / (double)count;
}

/* A node that has just joined does not keep its first locks. */
static void warm_up(odezk_cluster *cluster, const char *key)
{
    double start, end = now_us() + 10e6;

    do {
        start = now_us();
        for (int i = 0; i < 1000; i++)
            cycle(cluster, key);
    } while (now_us() - start > 10e3 && now_us() < end);
}

static void run_odezk(const char *row, long count)
{
    long before;
    double us;

    node(0);
    before = allocations;
    sampling = strcmp(row, "same-key") != 0;
    if (strcmp(row, "same-key") == 0) {
        warm_up(node(0), "same");
        sampling = true;
        run_jobs(1, 1, "same", count / 10);
        sampling = false;
        before = allocations;
        us = run_jobs(1, 1, "same", count);
    } else if (strcmp(row, "new-key") == 0)
        us = run_jobs(1, 1, NULL, count);
    else if (strncmp(row, "threads-", 8) == 0)
        us = run_jobs(atoi(row + 8), 1, NULL, count);
    else if (strncmp(row, "contended-", 10) == 0)
        us = run_jobs(atoi(row + 10), 0, "fight", count);
    else
        us = alternate(count);
    sampling = false;
    answer(us, (allocations - before) / count);
    leave_all(); /* no row inherits locks or watches of another */
}

/* ---- many sticky locks ---- */

static long heap_in_use(void)
{
    char line[256];
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fgets(line, sizeof line, f))
        sscanf(line, "%ld %ld", &pages, &resident);
    if (f)
        fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    (void)cluster;
    if (event->state == ODEZK_SESSION_CONNECTED)
        atomic_store((atomic_int *)arg, 1);
}

/* Takes locks that stay, from 64 threads, and says what one costs in memory. With a line from the driver, which broke
 * the connection meanwhile, it tells how long the reconnection took. */
static void run_sticky(long count)
{
    static atomic_int connected;
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    odezk_cluster *cluster = node(0);
    odezk_subscription *subscription;
    long before, after;
    char line[64];
    double start;

    run_jobs(64, 1, NULL, 64 * 20); /* what the first locks allocate once is not theirs */
    before = heap_in_use();
    run_jobs(64, 1, NULL, count);
    after = heap_in_use();
    sample_count = 0;
    printf("{\"bytes\":%.1f}\n", (double)(after - before) / (double)count);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) /* the server is down now */
        exit(1);
    for (start = now_us(); now_us() - start < 30e6; usleep(1000))
        if (odezk_cluster_session(cluster, &info) == ODEZK_OK && info.state == ODEZK_SESSION_SUSPENDED)
            break;
    odezk_cluster_subscribe(cluster, ODEZK_EVENT_SESSION, on_event, &connected, &subscription);
    atomic_store(&connected, 0);
    puts("{\"suspended\":true}");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) /* it serves again */
        exit(1);
    start = now_us();
    while (!atomic_load(&connected) && now_us() - start < 30e6)
        usleep(1000);
    printf("{\"reconnect_ms\":%.1f,\"generation\":%" PRIu64 "}\n", (now_us() - start) / 1e3,
           (odezk_cluster_session(cluster, &info), info.generation));
    fflush(stdout);
    odezk_cluster_unsubscribe(cluster, subscription);
    leave_all();
}

/* ---- the floor ---- */

static zhandle_t *raw;

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
    (void)zh, (void)type, (void)state, (void)path, (void)ctx;
}

static zhandle_t *raw_handle(void)
{
    double start = now_us();

    if (raw)
        return raw;
    zoo_set_log_stream(fopen("/dev/null", "w"));
    raw = zookeeper_init(servers, watcher, 10000, NULL, NULL, 0);
    zoo_set_servers_resolution_delay(raw, -1);
    while (zoo_state(raw) != ZOO_CONNECTED_STATE && now_us() - start < 20e6)
        usleep(1000);
    zoo_create(raw, "/floor", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    return raw;
}

static void ignore(int rc, const void *data)
{
    (void)rc, (void)data;
}

/* One sequential create, waited for; its delete is not. */
static double floor_create(long count)
{
    char path[128];
    double start = now_us();

    for (long i = 0; i < count; i++) {
        if (zoo_create(raw_handle(), "/floor/x-", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, path,
                       sizeof path) == ZOK)
            zoo_adelete(raw, path, -1, ignore, NULL);
    }
    return (now_us() - start) / (double)count;
}

static double floor_both(long count)
{
    char path[128];
    double start = now_us();

    for (long i = 0; i < count; i++)
        if (zoo_create(raw_handle(), "/floor/y-", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, path,
                       sizeof path) == ZOK)
            zoo_delete(raw, path, -1);
    return (now_us() - start) / (double)count;
}

static pthread_mutex_t window_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t window_cond = PTHREAD_COND_INITIALIZER;
static long window_free;

static void deleted(int rc, const void *data)
{
    (void)rc, (void)data;
    pthread_mutex_lock(&window_lock);
    window_free++;
    pthread_cond_signal(&window_cond);
    pthread_mutex_unlock(&window_lock);
}

/* The delete follows the create's completion, as an unlock follows a lock. */
static void created(int rc, const char *path, const void *data)
{
    if (rc != ZOK || zoo_adelete(raw, path, -1, deleted, data) != ZOK)
        deleted(rc, data);
}

static double floor_pipelined(int window, long count)
{
    char path[64];
    double start;

    raw_handle();
    window_free = window;
    start = now_us();
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/floor/p-%ld", atomic_fetch_add(&fresh, 1));
        pthread_mutex_lock(&window_lock);
        while (window_free == 0)
            pthread_cond_wait(&window_cond, &window_lock);
        window_free--;
        pthread_mutex_unlock(&window_lock);
        zoo_acreate(raw, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, created, NULL);
    }
    pthread_mutex_lock(&window_lock);
    while (window_free < window)
        pthread_cond_wait(&window_cond, &window_lock);
    pthread_mutex_unlock(&window_lock);
    return (now_us() - start) / (double)count;
}

static uint32_t text_hash(const char *text)
{
    uint32_t h = 2166136261u;

    while (*text)
        h = (h ^ (unsigned char)*text++) * 16777619u;
    return h;
}

/* What the local path cannot do without: a mutex, a look-up by the key's text among 100,000, a clock. */
static double floor_local(long count)
{
    enum { KEYS = 100000, SLOTS = 1 << 17 };
    static struct local {
        struct local *next;
        char name[24];
    } keys[KEYS], *slots[SLOTS];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    const char *volatile name = keys[KEYS / 2].name;
    struct local *key;
    struct timespec t;
    long found = 0;
    double start;

    if (!keys[0].name[0])
        for (int i = 0; i < KEYS; i++) {
            snprintf(keys[i].name, sizeof keys[i].name, "instance/%d", i);
            key = slots[text_hash(keys[i].name) % SLOTS];
            keys[i].next = key;
            slots[text_hash(keys[i].name) % SLOTS] = &keys[i];
        }
    start = now_us();
    for (long i = 0; i < count; i++) {
        pthread_mutex_lock(&mutex);
        for (key = slots[text_hash(name) % SLOTS]; key && strcmp(key->name, name) != 0; key = key->next)
            ;
        found += key != NULL;
        clock_gettime(CLOCK_BOOTTIME, &t);
        pthread_mutex_unlock(&mutex);
    }
    return found == count ? (now_us() - start) / (double)count : 0;
}

static void run_floor(const char *row, long count)
{
    double us;

    if (strcmp(row, "same-key") == 0)
        us = floor_local(count);
    else if (strcmp(row, "new-key") == 0 || strcmp(row, "threads-1") == 0)
        us = floor_create(count);
    else if (strncmp(row, "threads-", 8) == 0)
        us = floor_pipelined(atoi(row + 8), count);
    else
        us = floor_both(count);
    answer(us, 0);
}

int main(int argc, char **argv)
{
    char line[128], what[16], row[32];
    long count;

    if (argc != 2) {
        fputs("usage: worker SERVERS\n", stderr);
        return 2;
    }
    servers = argv[1];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "sticky %ld", &count) == 1)
            run_sticky(count);
        else if (sscanf(line, "%15s %31s %ld", what, row, &count) == 3 && count > 0)
            (*what == 'o' ? run_odezk : run_floor)(row, count);
    }
    if (raw)
        zookeeper_close(raw);
    return 0;
}
