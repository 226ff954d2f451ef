/*
 * A node of the fault suite: it joins, works under locks, asks all the time whether it is master,
 * and writes down what it was told. Orders come on standard input, a word a line: join, leave,
 * resign, quit.
 */
#include "node.h"
#include "skew.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_FD = 3, JOIN_MS = 1000, CLOSE_MS = 6000, VISIT_MS = 1000 };

#define CLUSTER "c"
#define STICKY_IDLE "1000" /* so that at rest there are no locks soon */

struct node node = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* ---- odds and ends ---- */

void node_nap(int64_t ns)
{
    const struct timespec pause = {ns / (1000 * NS_PER_MS), ns % (1000 * NS_PER_MS)};

    nanosleep(&pause, NULL);
}

unsigned node_dice(uint64_t *state, unsigned below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)((*state >> 11) % below);
}

void node_count_error(int code)
{
    int index = -code;

    node.record->errors[index > 0 && index < ERRORS ? index : 0]++;
    fprintf(stderr, "unexpected: %s: %s\n", odezk_errname(code), odezk_last_error());
}

odezk_cluster *node_enter(void)
{
    if (!node.open)
        return NULL;
    pthread_rwlock_rdlock(&node.lock);
    if (node.open)
        return node.cluster;
    pthread_rwlock_unlock(&node.lock);
    return NULL;
}

void node_leave(void)
{
    pthread_rwlock_unlock(&node.lock);
}

/* ---- what the library tells ---- */

static int number_of(const char *id)
{
    return id ? atoi(id + 1) : 0;
}

static void on_event(odezk_cluster *cluster, const odezk_event *e, void *arg)
{
    struct event event = {.time = record_now(),
                          .node = number_of(e->id),
                          .handle = *(int *)arg,
                          .incarnation = e->incarnation,
                          .epoch = e->epoch};

    (void)cluster;
    switch (e->type) {
    case ODEZK_EVENT_SESSION:
        event.type = EVENT_SESSION;
        event.detail = (int32_t)e->state;
        break;
    case ODEZK_EVENT_READY:
        event.type = EVENT_READY;
        break;
    case ODEZK_EVENT_MEMBER:
        event.type = EVENT_MEMBER;
        event.detail = (int32_t)e->change;
        break;
    case ODEZK_EVENT_MASTER:
        event.type = EVENT_MASTER;
        break;
    case ODEZK_EVENT_REFUSED:
        event.type = EVENT_REFUSED;
        node.refused = true;
        break;
    default:
        return;
    }
    event_put(node.record, &event);
}

/* ---- the mastership, asked for every millisecond ---- */

static void note_answer(struct claims *claims, int64_t epoch, int64_t before, int64_t after)
{
    struct claim claim = {.key = MASTERSHIP,
                          .token = epoch,
                          .asked = before,
                          .first_before = before,
                          .first_after = after,
                          .last_before = before,
                          .last_after = after};

    if (claims->open.token != epoch)
        claim_end(claims);
    if (epoch && claims->open.token == epoch)
        claim_again(claims, before, after);
    else if (epoch)
        claim_begin(claims, &claim);
}

static void *ask(void *arg)
{
    struct record *record = node.record;
    odezk_cluster *cluster;

    (void)arg;
    while (!node.quit) {
        int64_t epoch = 0, before, after;
        bool master = false;

        beat(record);
        cluster = node_enter();
        before = record_now();
        call_begin(record, CALLER_ASKER, CALL_IS_MASTER, 0);
        if (cluster)
            master = odezk_is_master(cluster, &epoch);
        call_end(record, CALLER_ASKER);
        after = record_now();
        if (cluster)
            node_leave();
        note_answer(&record->claims[0], master ? epoch : 0, before, after);
        record->answers++;
        node_nap(NS_PER_MS);
    }
    claim_end(&record->claims[0]);
    return NULL;
}

/* ---- the other calls ---- */

static void visit_status(odezk_cluster *cluster)
{
    odezk_status *status = NULL;
    int rc;

    call_begin(node.record, CALLER_VISITOR, CALL_STATUS, VISIT_MS);
    rc = odezk_cluster_status(cluster, VISIT_MS, &status);
    call_end(node.record, CALLER_VISITOR);
    if (rc != ODEZK_OK && rc != ODEZK_EUNREACHABLE && rc != ODEZK_ECLOSED)
        node_count_error(rc);
    odezk_status_free(status);
}

static void visit_master(odezk_cluster *cluster)
{
    odezk_master master;
    int rc;

    if (odezk_get_master(cluster, &master) != ODEZK_OK || !master.id[0])
        return;
    call_begin(node.record, CALLER_VISITOR, CALL_RESIGN_NODE, VISIT_MS);
    rc = odezk_resign_node(cluster, master.id, VISIT_MS);
    call_end(node.record, CALLER_VISITOR);
    if (rc != ODEZK_OK && rc != ODEZK_ENOTFOUND && rc != ODEZK_ENOTHELD && rc != ODEZK_ETIMEDOUT &&
        rc != ODEZK_EUNREACHABLE && rc != ODEZK_ECLOSED)
        node_count_error(rc);
}

static void *visit(void *arg)
{
    uint64_t state = (uint64_t)record_now() | 1;

    (void)arg;
    while (!node.quit) {
        odezk_cluster *cluster;

        node.record->working++;
        cluster = node.record->quiet ? NULL : node_enter();
        if (cluster) {
            if (!node.record->steady && node_dice(&state, 20) == 0)
                visit_master(cluster);
            else
                visit_status(cluster);
            node_leave();
        }
        node.record->working--;
        for (int i = 0; i < 50 && !node.quit; i++)
            node_nap(10 * NS_PER_MS);
    }
    return NULL;
}

/* ---- the handle's life ---- */

static bool open_handle(void)
{
    static int handle; /* of the only handle that there is */
    odezk_cluster *cluster = NULL;

    if (odezk_cluster_new(node.config, NULL, &cluster) != ODEZK_OK) {
        fprintf(stderr, "no handle: %s\n", odezk_last_error());
        return false;
    }
    handle = ++node.handles;
    if (odezk_cluster_subscribe(cluster, ODEZK_EVENT_ALL, on_event, &handle, NULL) != ODEZK_OK) {
        odezk_cluster_free(cluster);
        return false;
    }
    pthread_rwlock_wrlock(&node.lock);
    node.cluster = cluster;
    node.open = true;
    pthread_rwlock_unlock(&node.lock);
    node.record->phase = PHASE_JOINING;
    return true;
}

static void close_handle(void)
{
    if (!node.cluster)
        return;
    node.open = false;
    call_begin(node.record, CALLER_MAIN, CALL_CLOSE, CLOSE_MS);
    odezk_cluster_close(node.cluster); /* ends the calls of the other threads */
    call_end(node.record, CALLER_MAIN);
    pthread_rwlock_wrlock(&node.lock);
    call_begin(node.record, CALLER_MAIN, CALL_FREE, 0);
    odezk_cluster_free(node.cluster);
    call_end(node.record, CALLER_MAIN);
    node.cluster = NULL;
    node.refused = false;
    pthread_rwlock_unlock(&node.lock);
    node.record->phase = PHASE_OUT;
}

/* Refused, which no fault explains. */
static void start_again(void)
{
    close_handle();
    node_nap(100 * NS_PER_MS);
}

static void join(void)
{
    int rc;

    if (!node.cluster && !open_handle()) {
        node_nap(100 * NS_PER_MS);
        return;
    }
    call_begin(node.record, CALLER_MAIN, CALL_JOIN, JOIN_MS);
    rc = odezk_cluster_join(node.cluster, JOIN_MS);
    call_end(node.record, CALLER_MAIN);
    if (rc == ODEZK_OK) {
        node.record->phase = PHASE_IN;
    } else if (rc != ODEZK_EUNREACHABLE && rc != ODEZK_ETIMEDOUT) {
        node_count_error(rc);
        start_again();
    }
}

static void resign(void)
{
    int rc;

    if (!node.cluster)
        return;
    call_begin(node.record, CALLER_MAIN, CALL_RESIGN, 0);
    rc = odezk_resign(node.cluster);
    call_end(node.record, CALLER_MAIN);
    if (rc != ODEZK_OK && rc != ODEZK_ENOTHELD && rc != ODEZK_ECLOSED)
        node_count_error(rc);
}

/* The next order, or 0 when there is none yet. The end of the input is an order to end. */
static char read_order(int wait_ms)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char word[16], c;
    size_t length = 0;

    if (poll(&in, 1, wait_ms) <= 0)
        return 0;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got == 0 || (got < 0 && errno != EINTR))
            return 'q';
        if (got > 0 && c == '\n')
            break;
        if (got > 0 && length < sizeof word)
            word[length++] = c;
    }
    return length > 0 ? word[0] : 0;
}

static void serve(void)
{
    bool wanted = true;

    while (!node.quit) {
        bool joined = node.record->phase == PHASE_IN;

        switch (read_order(wanted && !joined ? 0 : 1000)) {
        case 'j':
            wanted = true;
            break;
        case 'l':
            wanted = false;
            close_handle();
            break;
        case 'r':
            resign();
            break;
        case 'q':
            close_handle();
            node.quit = true;
            break;
        default:
            break;
        }
        if (node.refused && node.record->phase == PHASE_IN) {
            node_count_error(ODEZK_EDUPLICATE);
            start_again();
        }
        if (wanted && !node.quit && node.record->phase != PHASE_IN)
            join();
    }
}

/* ---- the program ---- */

static bool set(const char *name, const char *value)
{
    if (odezk_config_set(node.config, name, value, "node") == ODEZK_OK)
        return true;
    fprintf(stderr, "%s: %s\n", name, odezk_last_error());
    return false;
}

static bool configure(const char *servers, const char *timeout, const char *helper)
{
    char operation[16];

    snprintf(operation, sizeof operation, "%d", OPERATION_MS);
    return odezk_config_new(&node.config) == ODEZK_OK && set("servers", servers) && set("base", ROOT) &&
           set("cluster", CLUSTER) && set("node-id", node.id) && set("session-timeout", timeout) &&
           set("operation-timeout", operation) && set("lock-sticky-idle", STICKY_IDLE) && set("crash-leave", helper);
}

static void print_line(odezk_log_level level, const char *category, const char *line, void *arg)
{
    int64_t now = record_now() / NS_PER_MS;

    (void)level;
    (void)arg;
    fprintf(stderr, "%lld.%03lld %s: %s\n", (long long)(now / 1000), (long long)(now % 1000), category, line);
}

static bool start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    return pthread_create(thread, NULL, body, arg) == 0;
}

static int run(void)
{
    struct worker workers[WORKERS] = {0};
    struct worker scribe = {.caller = CALLER_SCRIBE, .dice = (uint64_t)record_now() | 1};
    pthread_t asker, visitor;

    node.record->beat = record_now();
    if (!start(&asker, ask, NULL) || !start(&visitor, visit, NULL) ||
        !start(&scribe.thread, node_write_as_master, &scribe))
        return 1;
    for (int i = 0; i < WORKERS; i++) {
        workers[i].caller = CALLER_WORKER + i;
        workers[i].claims = &node.record->claims[1 + i];
        workers[i].dice = (uint64_t)record_now() * (unsigned)(2 * i + 3) | 1;
        if (!start(&workers[i].thread, node_work, &workers[i]))
            return 1;
    }
    serve();
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_join(scribe.thread, NULL);
    pthread_join(visitor, NULL);
    pthread_join(asker, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s ID SERVERS SESSION-TIMEOUT true|false\n", argv[0]);
        return 2;
    }
    node.id = argv[1];
    node.timeout_ms = atoi(argv[3]);
    node.record = record_map(RECORD_FD);
    if (!node.record) {
        perror("record");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    skew_use(&node.record->skew);
    odezk_log_set_callback(print_line, NULL);
    if (!configure(argv[2], argv[3], argv[4]))
        return 1;
    int exit_code = run();
    odezk_config_free(node.config);
    return exit_code;
}
