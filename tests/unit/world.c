#include "world_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#define START (1000 * OZ_SECOND)

struct world_state world;

/* ---- what the library is given in place of its own ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
struct oz_dispatch *__real_oz_dispatch_new(const char *name);
struct oz_dispatch *__wrap_oz_dispatch_new(const char *name);
void __real_oz_dispatch_post(struct oz_dispatch *d, struct oz_msg *msg);
void __wrap_oz_dispatch_post(struct oz_dispatch *d, struct oz_msg *msg);
void __real_oz_dispatch_free(struct oz_dispatch *d);
void __wrap_oz_dispatch_free(struct oz_dispatch *d);
int __real_getentropy(void *to, size_t n);
int __wrap_getentropy(void *to, size_t n);
int __real_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __real_poll(struct pollfd *fds, nfds_t count, int wait_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int wait_ms);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *from);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *from);

/* Who can have no thread does the work at once: clients are closed on the spot. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    if (!world.threads)
        return EAGAIN;
    if (world.failing_threads > 0) {
        world.failing_threads--;
        return EAGAIN;
    }
    return __real_pthread_create(thread, attr, run, arg);
}

static struct dispatcher *find_dispatcher(const struct oz_dispatch *d)
{
    int i;

    for (i = 0; i < WORLD_DISPATCHERS; i++)
        if (world.dispatchers[i].d == d)
            return &world.dispatchers[i];
    return NULL;
}

struct oz_dispatch *__wrap_oz_dispatch_new(const char *name)
{
    struct oz_dispatch *d = __real_oz_dispatch_new(world.threads ? name : NULL);
    struct dispatcher *place;

    if (d && !world.threads) {
        place = find_dispatcher(NULL);
        if (!place)
            abort();
        *place = (struct dispatcher){d, true};
    }
    return d;
}

void __wrap_oz_dispatch_post(struct oz_dispatch *d, struct oz_msg *msg)
{
    struct dispatcher *place = world.threads ? NULL : find_dispatcher(d);

    __real_oz_dispatch_post(d, msg);
    if (place)
        place->dirty = true;
}

void __wrap_oz_dispatch_free(struct oz_dispatch *d)
{
    struct dispatcher *place = d && !world.threads ? find_dispatcher(d) : NULL;

    if (place)
        place->d = NULL;
    __real_oz_dispatch_free(d);
}

int __wrap_getentropy(void *to, size_t n)
{
    unsigned char *bytes = to;

    if (world.threads)
        return __real_getentropy(to, n);
    while (n-- > 0)
        *bytes++ = (unsigned char)world_random(256);
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    return world.threads ? __real_nanosleep(time, rest) : 0;
}

/* Nobody waits: the world knows when a dispatcher has something to do. This spares most of the
 * system calls. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int wait_ms)
{
    return world.threads ? __real_poll(fds, count, wait_ms) : 0;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *from)
{
    return world.threads ? __real_timerfd_settime(fd, flags, to, from) : 0;
}

/* ---- failures ---- */

void world_context(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(world.context, sizeof world.context, format, args);
    va_end(args);
}

void world_fail(const char *format, ...)
{
    va_list args;

    if (world.failures++ < WORLD_SHOWN) {
        printf("\n    %s: at %" PRId64 " ms: ", world.context, world_now_ms());
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        fflush(stdout);
    }
    world.failed = true;
}

bool world_failed(void)
{
    return world.failed;
}

const struct world_counts *world_counts(void)
{
    return &world.counts;
}

long world_failures(void)
{
    return world.failures;
}

unsigned world_random(unsigned below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return (unsigned)((world.random >> 20) % below);
}

/* ---- life ---- */

static void log_line(odezk_log_level level, const char *category, const char *line, void *arg)
{
    (void)level;
    if (arg)
        fprintf(stderr, "%6d %s: %s\n", (int)world_now_ms(), category, line);
}

void world_open(void)
{
    const char *debug = getenv("ODEZK_TEST_LOG");

    world.threads = true;
    odezk_log_set_level(debug ? ODEZK_LOG_DEBUG : ODEZK_LOG_ERROR);
    odezk_log_set_callback(log_line, debug ? stderr : NULL);
    if (oz_log_open(NULL) != ODEZK_OK)
        abort();
    world.threads = false;
}

void world_close(void)
{
    oz_log_close();
}

void world_set_threads(bool threads)
{
    world.threads = threads;
    oz_clock_set_source(threads ? NULL : &world.now);
}

void world_fail_threads(int count)
{
    world.failing_threads = count;
}

void world_begin(uint64_t seed)
{
    world.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world.failed = false;
    world.newest_epoch = 0;
    memset(world.newest_token, 0, sizeof world.newest_token);
    atomic_store(&world.now, START);
    oz_clock_set_source(&world.now);
    fake_begin();
    fake_set_half_tick(WORLD_TIMEOUT * OZ_MS / 10);
}

void world_end(void)
{
    int i;

    for (i = 0; i < WORLD_NODES; i++)
        if (world.nodes[i].cluster)
            abort();
    if (fake_ports() != 0)
        world_fail("%d clients were never closed", fake_ports());
    fake_end();
    oz_clock_set_source(NULL);
}

int64_t world_now_ms(void)
{
    return (atomic_load(&world.now) - START) / OZ_MS;
}

/* ---- looking ---- */

void world_each(void (*visit)(struct world_node *node))
{
    int i;

    for (i = 0; i < WORLD_NODES; i++)
        if (world.nodes[i].cluster)
            visit(&world.nodes[i]);
}

void world_each_attempt(void (*visit)(struct world_attempt *attempt))
{
    int i;

    for (i = 0; i < WORLD_ATTEMPTS; i++)
        if (world.attempts[i].used)
            visit(&world.attempts[i]);
}

struct world_node *world_master(void)
{
    struct world_node *master = NULL;
    int i;

    for (i = 0; i < WORLD_NODES; i++)
        if (world.nodes[i].cluster && odezk_is_master(world.nodes[i].cluster, NULL))
            master = &world.nodes[i];
    return master;
}

/* ---- time ---- */

static bool run(struct oz_dispatch *d)
{
    struct dispatcher *place = find_dispatcher(d);

    if (!place->dirty && oz_timers_next(oz_dispatch_timers(d)) > oz_now())
        return false;
    place->dirty = false;
    oz_dispatch_step(d, 0);
    world_check();
    return true;
}

static bool run_nodes(void)
{
    bool did = false;
    int i;

    for (i = 0; i < WORLD_NODES; i++) {
        struct world_node *node = &world.nodes[i];

        if (!node->cluster || fake_stopped(node->slot))
            continue;
        did |= run(node->cluster->dispatch);
        did |= run(node->cluster->caller);
    }
    return did;
}

static int64_t next_timer(int64_t at)
{
    int i;

    for (i = 0; i < WORLD_NODES; i++) {
        const struct world_node *node = &world.nodes[i];
        int64_t next;

        if (!node->cluster || fake_stopped(node->slot))
            continue;
        next = oz_timers_next(oz_dispatch_timers(node->cluster->dispatch));
        if (next < at)
            at = next;
    }
    return at;
}

static void pass(int64_t at, int64_t until)
{
    world_jump_to(at < until ? at : until);
}

/* Anything may be next, and anything may take its time. */
static void chaotic_turn(int64_t until)
{
    struct world_node *node = &world.nodes[world_random(WORLD_NODES)];
    unsigned choice = world_random(10);
    bool did = false;

    if (choice == 0) {
        pass(oz_now() + world_random(20) * OZ_MS, until);
        return;
    }
    if (choice < 5)
        did = fake_step();
    else if (node->cluster && !fake_stopped(node->slot))
        did = run(choice < 9 ? node->cluster->dispatch : node->cluster->caller);
    if (!did && !fake_step() && !run_nodes())
        pass(next_timer(fake_next()), until);
}

void world_turn(int64_t until)
{
    bool did = false;

    if (world.chaos) {
        chaotic_turn(until);
        return;
    }
    while (fake_step())
        did = true;
    did |= run_nodes();
    if (!did)
        pass(next_timer(fake_next()), until);
}

void world_set_chaos(bool chaos)
{
    world.chaos = chaos;
    fake_set_random(chaos ? world_random : NULL);
}

void world_pass(int64_t ms)
{
    int64_t until = oz_now() + ms * OZ_MS;

    while (oz_now() < until)
        world_turn(until);
}

bool world_wait(bool (*condition)(void *arg), void *arg, int64_t ms)
{
    int64_t until = oz_now() + ms * OZ_MS;

    while (!condition(arg)) {
        if (oz_now() >= until || world.failed)
            return false;
        world_turn(until);
    }
    return true;
}

void world_jump_to(int64_t at)
{
    if (at > atomic_load(&world.now))
        atomic_store(&world.now, at);
    world_check();
}

void world_jump(int64_t ms)
{
    world_jump_to(oz_now() + ms * OZ_MS);
}

/* ---- nodes ---- */

static int set(odezk_config *config, const char *name, const char *value)
{
    return odezk_config_set(config, name, value, "test");
}

static odezk_config *make_config(const char *id, const char *servers)
{
    odezk_config *config = NULL;
    char timeout[16];

    snprintf(timeout, sizeof timeout, "%d", WORLD_TIMEOUT);
    if (odezk_config_new(&config) != ODEZK_OK)
        return NULL;
    if (set(config, "servers", servers) || set(config, "cluster", "test") || set(config, "node-id", id) ||
        set(config, "session-timeout", timeout) || set(config, "operation-timeout", "30000") ||
        set(config, "lock-handovers", "2") || set(config, "crash-leave", "false")) {
        odezk_config_free(config);
        return NULL;
    }
    return config;
}

struct world_node *world_node_with(const char *id, odezk_role role, int slot, const char *servers)
{
    odezk_config *config = make_config(id, servers);
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_cluster *cluster = NULL;
    struct world_node *node = world.nodes;
    int rc;

    options.role = role;
    rc = config ? odezk_cluster_new(config, &options, &cluster) : ODEZK_ENOMEM;
    odezk_config_free(config);
    if (rc != ODEZK_OK)
        return NULL;
    while (node->cluster)
        if (++node == world.nodes + WORLD_NODES)
            abort();
    *node = (struct world_node){.cluster = cluster, .slot = slot, .role = role};
    snprintf(node->id, sizeof node->id, "%s", id);
    while (odezk_cluster_subscribe(cluster, ODEZK_EVENT_ALL, world_on_event, node, NULL) == ODEZK_ENOMEM)
        ;
    return node;
}

struct world_node *world_node(const char *id, odezk_role role, int slot)
{
    char servers[32];

    snprintf(servers, sizeof servers, "127.0.0.1:%d", slot);
    return world_node_with(id, role, slot, servers);
}

void world_start(struct world_node *node)
{
    node->started = true;
    odezk_cluster_start(node->cluster);
}

struct world_node *world_join(const char *id, odezk_role role, int slot)
{
    struct world_node *node;

    while (!(node = world_node(id, role, slot)))
        ;
    world_start(node);
    if (!world_wait(world_is_settled, NULL, 20 * WORLD_TIMEOUT))
        world_explain();
    return node;
}

void world_begin_close(struct world_node *node)
{
    odezk_cluster_begin_close(node->cluster);
}

bool world_is_closed(struct world_node *node)
{
    bool closed;

    pthread_mutex_lock(&node->cluster->lock);
    closed = node->cluster->closed;
    pthread_mutex_unlock(&node->cluster->lock);
    return closed;
}

static bool closed(void *node)
{
    return world_is_closed(node);
}

static void check_left(struct world_node *node)
{
    if (oz_timers_next(oz_dispatch_timers(node->cluster->dispatch)) != OZ_NEVER)
        world_fail("%s: a timer is left", node->id);
    if (node->started && node->state != ODEZK_SESSION_CLOSED)
        world_fail("%s: closed, but its session is %s", node->id, odezk_session_state_name(node->state));
    if (node->mastership)
        world_fail("%s: closed, but the end of its mastership was not told", node->id);
    if (node->cluster->session && node->cluster->active_tasks)
        world_fail("%s: a task is left", node->id);
}

static void forget_attempts(const struct world_node *node)
{
    int i;

    for (i = 0; i < WORLD_ATTEMPTS; i++) {
        struct world_attempt *a = &world.attempts[i];

        if (!a->used || a->node != node)
            continue;
        if (!a->done)
            world_fail("%s: the attempt to lock %s has not ended", node->id, a->key);
        if (a->lock && world_holds(a))
            world_fail("%s: closed, but its lock %s is valid", node->id, a->key);
        if (a->lock && !a->released && a->lost != 1)
            world_fail("%s: the loss of %s was told %d times", node->id, a->key, a->lost);
        odezk_lock_free(a->lock);
        a->used = false;
    }
}

void world_free(struct world_node *node)
{
    bool ended;

    fake_heal(node->slot);
    if (node->crashed)
        fake_cut(node->slot, OZ_NEVER, false);
    world_begin_close(node);
    ended = world.failed;
    world.failed = false; /* it has to be closed all the same */
    if (!world_wait(closed, node, 7000))
        world_fail("%s: not closed within 7 s", node->id);
    world.failed |= ended;
    if (!world_is_closed(node))
        abort();
    check_left(node);
    forget_attempts(node);
    odezk_cluster_free(node->cluster);
    node->cluster = NULL;
    fake_heal(node->slot);
}

void world_crash(struct world_node *node)
{
    char name[OZ_MEMBER_NAME_SIZE], path[200];

    fake_cut(node->slot, OZ_NEVER, false);
    fake_stop(node->slot, OZ_NEVER);
    node->crashed = true;
    if (node->readies) {
        oz_node_name(&node->cluster->self, name);
        snprintf(path, sizeof path, WORLD_ROOT "/members/%s", name);
        fake_forge(path, "host=elsewhere\npid=4711\nboot=other\nticks=1\n");
    }
}

bool world_is_ready(void *node)
{
    const struct world_node *n = node;

    return n->cluster->ready;
}

/* ---- locks ---- */

static void on_lost(odezk_lock *lock, void *arg)
{
    struct world_attempt *a = arg;

    if (a->lock != lock || odezk_lock_is_valid(lock))
        world_fail("%s: the loss of %s was told, but it is valid", a->node->id, a->key);
    if (a->released)
        world_fail("%s: the loss of %s was told after its release", a->node->id, a->key);
    world.counts.losses++;
    if (++a->lost > 1)
        world_fail("%s: the loss of %s was told twice", a->node->id, a->key);
}

static void on_lock(int error, odezk_lock *lock, void *arg)
{
    struct world_attempt *a = arg;
    int64_t token = odezk_lock_token(lock), *newest = &world.newest_token[(unsigned char)a->key[strlen(a->key) - 1]];

    if (a->done)
        world_fail("%s: the attempt to lock %s ended twice", a->node->id, a->key);
    if ((error == ODEZK_OK) != (lock != NULL))
        world_fail("%s: %s ended with %s and %s grant", a->node->id, a->key, odezk_errname(error), lock ? "a" : "no");
    a->done = true;
    a->error = error;
    a->lock = lock;
    if (!lock)
        return;
    odezk_lock_on_lost(lock, on_lost, a);
    if (!odezk_lock_is_valid(lock) || fake_is_doomed(a->node->slot))
        return;
    world.counts.grants++;
    if (token < *newest || token <= 0) /* the same when it was handed over in its process */
        world_fail("%s: %s has the token %" PRId64 " after %" PRId64, a->node->id, a->key, token, *newest);
    *newest = token;
}

struct world_attempt *world_lock(struct world_node *node, const char *key, int wait_ms)
{
    struct world_attempt *a = world.attempts;
    int rc;

    while (a->used)
        if (++a == world.attempts + WORLD_ATTEMPTS)
            return NULL;
    *a = (struct world_attempt){.used = true, .node = node, .wait_ms = wait_ms};
    snprintf(a->key, sizeof a->key, "%s", key);
    rc = odezk_lock_acquire_async(node->cluster, WORLD_SPACE, key, wait_ms, on_lock, a, &a->request);
    if (rc != ODEZK_OK) {
        a->used = false;
        if (rc != ODEZK_ENOMEM && rc != ODEZK_ECLOSED && rc != node->refused)
            world_fail("%s: cannot begin to lock %s: %s", node->id, key, odezk_errname(rc));
        return NULL;
    }
    return a;
}

bool world_is_done(void *attempt)
{
    return ((struct world_attempt *)attempt)->done;
}

bool world_holds(const struct world_attempt *attempt)
{
    return attempt->used && attempt->lock && odezk_lock_is_valid(attempt->lock);
}

int world_release(struct world_attempt *attempt)
{
    bool valid = world_holds(attempt);
    int rc = odezk_lock_release(attempt->lock);

    attempt->released = true;
    if (valid && rc != ODEZK_OK)
        world_fail("%s: a valid %s was released with %s", attempt->node->id, attempt->key, odezk_errname(rc));
    if (world_holds(attempt))
        world_fail("%s: %s is valid after its release", attempt->node->id, attempt->key);
    return rc;
}

void world_drop(struct world_attempt *attempt)
{
    if (!attempt->done)
        abort();
    if (attempt->lock && !attempt->released)
        world_release(attempt);
    odezk_lock_free(attempt->lock);
    attempt->used = false;
}

/* ---- the end of a scenario ---- */

/* What a node that died left behind its successors remove: a last one sees to it. */
static void tidy(void)
{
    struct world_node *last;

    world_pass(2 * WORLD_TIMEOUT);
    while (!(last = world_node("tidy", ODEZK_ROLE_MEMBER, FAKE_SLOTS - 1)))
        ;
    world_start(last);
    if (!world_wait(world_is_settled, NULL, 10 * WORLD_TIMEOUT))
        world_explain();
    world_pass(1000);
    world_free(last);
}

void world_clean(void)
{
    int i;

    oz_mem_fail_at(0);
    fake_set_fault(0, 0, FAKE_NONE);
    world_set_chaos(false);
    fake_set_lost_close(false);
    for (i = 0; i < WORLD_NODES; i++)
        if (world.nodes[i].cluster)
            world_free(&world.nodes[i]);
    if (!world.failed)
        tidy();
    if (fake_ephemerals("") || fake_below(WORLD_ROOT "/inbox")) {
        world_fail("%d ephemeral znodes and %d in the inboxes are left", fake_ephemerals(""),
                   fake_below(WORLD_ROOT "/inbox"));
        fake_print();
    }
}
