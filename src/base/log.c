/* A line takes one way: the thread that logs formats it and copies it into a byte ring; the log thread takes it out and
 * hands it to the program's callback or to log4c. Without a log thread lines go to stderr. */
#include "base/log.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/line.h"
#include "base/log4c.h"
#include "base/repeat.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RING_SIZE ((size_t)64 * 1024)
#define FLUSH_TIME OZ_SECOND

/* Opening and closing; taken before `lock`. */
static pthread_mutex_t lifecycle = PTHREAD_MUTEX_INITIALIZER;
static unsigned references;
static bool has_thread; /* started and not joined */
static pthread_t thread;

/* All of `shared`; held for copies only, never while a line is delivered. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;      /* there is something for the log thread */
static pthread_cond_t delivered = PTHREAD_COND_INITIALIZER; /* a line, or the thread ends */
static struct {
    size_t start, used;
    uint64_t dropped;
    bool stop, ended;
    odezk_log_cb cb;
    void *arg;
    bool delivering;
    uint64_t deliveries;
    struct oz_repeats repeats;
    char trouble_with[96], trouble[64]; /* the last server that the C client could not talk to, and why */
    char ring[RING_SIZE];
} shared;

static atomic_bool is_open;
static atomic_bool forked;                /* in a child that did not open the log itself: lines go nowhere */
static _Atomic odezk_log_level level_set; /* 0: never set */
static _Thread_local bool in_log_thread;
static pthread_once_t fork_handler_once = PTHREAD_ONCE_INIT;

/* A program that asked for nothing sees warnings and errors only. */
static void print_if_bad(const struct oz_line *line)
{
    odezk_log_level level = atomic_load(&level_set);

    if (line->header.level <= (level ? level : ODEZK_LOG_WARN))
        oz_line_print(line);
}

/* ---- the ring; `lock` is held ---- */

static void ring_write(size_t at, const void *data, size_t n)
{
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;

    memcpy(shared.ring + at, data, first);
    memcpy(shared.ring, (const char *)data + first, n - first);
}

static void ring_read(size_t at, void *data, size_t n)
{
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;

    memcpy(data, shared.ring + at, first);
    memcpy((char *)data + first, shared.ring, n - first);
}

static void put(struct oz_line *line)
{
    size_t end = (shared.start + shared.used) % RING_SIZE;
    size_t size = sizeof line->header + line->header.length;

    if (size > RING_SIZE - shared.used) {
        shared.dropped++;
        return;
    }
    line->header.dropped = shared.dropped;
    shared.dropped = 0;
    ring_write(end, line, size);
    shared.used += size;
    pthread_cond_signal(&wake);
}

static void describe_drop(struct oz_line *line, uint64_t dropped)
{
    line->header.category = "odezk.log";
    line->header.level = ODEZK_LOG_WARN;
    line->header.time_ms = oz_wall_ms();
    line->header.length =
        (uint32_t)snprintf(line->text, sizeof line->text, "%llu log lines dropped", (unsigned long long)dropped);
}

static bool take_dropped(struct oz_line *line, uint64_t *dropped)
{
    if (*dropped == 0)
        return false;
    describe_drop(line, *dropped);
    *dropped = 0;
    return true;
}

static bool take(struct oz_line *line)
{
    if (shared.used == 0)
        return take_dropped(line, &shared.dropped);
    ring_read(shared.start, &line->header, sizeof line->header);
    if (line->header.dropped > 0) {
        struct oz_line_header rest = line->header;

        take_dropped(line, &rest.dropped);
        ring_write(shared.start, &rest, sizeof rest);
        return true;
    }
    ring_read((shared.start + sizeof line->header) % RING_SIZE, line->text, line->header.length);
    line->text[line->header.length] = '\0';
    shared.start = (shared.start + sizeof line->header + line->header.length) % RING_SIZE;
    shared.used -= sizeof line->header + line->header.length;
    return true;
}

/* ---- the log thread ---- */

static void deliver(const struct oz_line *line)
{
    odezk_log_cb cb = shared.cb;
    void *arg = shared.arg;

    shared.delivering = true;
    shared.deliveries++;
    pthread_mutex_unlock(&lock);
    if (cb)
        cb(line->header.level, line->header.category, line->text, arg);
    else if (!oz_log4c_write(line))
        print_if_bad(line);
    pthread_mutex_lock(&lock);
    shared.delivering = false;
    pthread_cond_broadcast(&delivered);
}

static void wait_for_lines(void)
{
    int64_t at = oz_repeats_next(&shared.repeats), now = oz_now();
    struct timespec deadline;

    if (at == OZ_NEVER) {
        pthread_cond_wait(&wake, &lock);
        return;
    }
    deadline = oz_deadline_in(at > now ? at - now : 0);
    pthread_cond_clockwait(&wake, &lock, CLOCK_MONOTONIC, &deadline);
}

static void *run(void *unused)
{
    struct oz_line line;

    (void)unused;
    in_log_thread = true;
    pthread_mutex_lock(&lock);
    for (;;) {
        if (take(&line) || oz_repeats_take(&shared.repeats, shared.stop, &line))
            deliver(&line);
        else if (shared.stop)
            break;
        else
            wait_for_lines();
    }
    shared.ended = true;
    pthread_cond_broadcast(&delivered);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- opening and closing; `lifecycle` is held ---- */

static int create_thread(void)
{
    int err;

    pthread_mutex_lock(&lock); /* a thread that saw the log open earlier may be in submit() */
    shared.stop = shared.ended = false;
    shared.repeats = (struct oz_repeats){0};
    pthread_mutex_unlock(&lock);
    err = oz_thread_start(&thread, run, NULL);
    if (err)
        return oz_fail(ODEZK_ESYSTEM, "no thread for the log: %s", strerror(err));
    has_thread = true;
    atomic_store(&is_open, true);
    return ODEZK_OK;
}

/* True: the former log thread, which a callback held up past its close, goes on. */
static bool revive_thread(void)
{
    bool ended;

    pthread_mutex_lock(&lock);
    ended = shared.ended;
    if (!ended)
        shared.stop = false;
    pthread_mutex_unlock(&lock);
    if (ended) {
        pthread_join(thread, NULL);
        has_thread = false;
        return false;
    }
    atomic_store(&is_open, true);
    return true;
}

static int start(const char *file)
{
    int err;

    atomic_store(&forked, false);
    if (has_thread && revive_thread())
        return ODEZK_OK;
    err = oz_log4c_configure(file);
    return err ? err : create_thread();
}

static void stop_thread(void)
{
    struct timespec deadline = oz_deadline_in(FLUSH_TIME);
    bool ended;

    atomic_store(&is_open, false);
    pthread_mutex_lock(&lock);
    shared.stop = true;
    pthread_cond_signal(&wake);
    while (!in_log_thread && !shared.ended &&
           pthread_cond_clockwait(&delivered, &lock, CLOCK_MONOTONIC, &deadline) == 0)
        ;
    ended = shared.ended;
    pthread_mutex_unlock(&lock);
    if (ended) {
        pthread_join(thread, NULL);
        has_thread = false;
    }
}

/* The child has no log thread, and another thread may have held any lock: everything starts anew. */
static void in_child(void)
{
    lifecycle = lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    wake = delivered = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    references = 0;
    has_thread = false;
    oz_log4c_abandon();
    shared.start = shared.used = 0;
    shared.dropped = 0;
    shared.stop = true;
    shared.delivering = false;
    in_log_thread = false;
    atomic_store(&is_open, false);
    atomic_store(&forked, true);
}

static void register_fork_handler(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

int oz_log_open(const char *file)
{
    int err = ODEZK_OK;
    bool ignored = false;

    pthread_once(&fork_handler_once, register_fork_handler);
    pthread_mutex_lock(&lifecycle);
    if (references == 0)
        err = start(file);
    if (!err) {
        references++;
        ignored = file && !oz_log4c_has_file(file);
    }
    pthread_mutex_unlock(&lifecycle);
    if (ignored)
        oz_warn("log", "log4c file %s is not read: the log is open already", file);
    return err;
}

void oz_log_close(void)
{
    pthread_mutex_lock(&lifecycle);
    if (references > 0 && --references == 0)
        stop_thread();
    pthread_mutex_unlock(&lifecycle);
}

/* ---- logging ---- */

bool oz_log_enabled(odezk_log_level level)
{
    odezk_log_level set = atomic_load_explicit(&level_set, memory_order_relaxed);

    return level <= (set ? set : ODEZK_LOG_INFO) && !atomic_load_explicit(&forked, memory_order_relaxed);
}

/* False when there is no log thread to take the line. */
static bool submit(struct oz_line *line, bool only_once)
{
    bool open;

    if (!atomic_load(&is_open))
        return false;
    pthread_mutex_lock(&lock);
    open = !shared.stop;
    if (open && only_once && oz_repeats_count(&shared.repeats, line))
        pthread_cond_signal(&wake); /* the log thread has to report it in time */
    else if (open)
        put(line);
    pthread_mutex_unlock(&lock);
    return open;
}

static void emit(odezk_log_level level, const char *category, const char *text, bool only_once)
{
    struct oz_line line;

    line.header = (struct oz_line_header){.category = category, .level = level, .time_ms = oz_wall_ms()};
    oz_line_set(&line, text);
    if (!submit(&line, only_once) && level <= ODEZK_LOG_WARN)
        oz_line_print(&line);
}

void oz_log(odezk_log_level level, const char *category, const char *format, ...)
{
    char text[OZ_LINE_MAX + 128]; /* longer than what oz_line_set() lets pass, so that it sees that there is more */
    va_list args;

    if (!oz_log_enabled(level))
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    emit(level, category, text, false);
}

/* TIME:PID(THREAD):ZOO_LEVEL@FUNCTION@LINE: TEXT. The client's information is about its own workings: our debug. */
static odezk_log_level zookeeper_level(const char *level)
{
    if (strncmp(level, "ERROR@", 6) == 0)
        return ODEZK_LOG_ERROR;
    if (strncmp(level, "WARN@", 5) == 0)
        return ODEZK_LOG_WARN;
    return ODEZK_LOG_DEBUG;
}

/* "Socket HOST:PORT zk retcode=N, errno=N(WHY): WHAT". The client says EHOSTDOWN when the server closes the connection.
 */
static void keep_trouble(const char *line)
{
    static const char socket[] = "Socket ", number[] = " zk retcode=", closed[] = "Host is down)";
    const char *server = strstr(line, socket), *end = server ? strstr(server, number) : NULL;
    const char *why = end ? strchr(end, '(') : NULL;

    if (!why)
        return;
    server += sizeof socket - 1;
    why = strncmp(++why, closed, sizeof closed - 1) == 0 ? "it closed the connection" : why;
    pthread_mutex_lock(&lock);
    snprintf(shared.trouble_with, sizeof shared.trouble_with, "%.*s", (int)(end - server), server);
    snprintf(shared.trouble, sizeof shared.trouble, "%.*s", (int)strcspn(why, ")"), why);
    pthread_mutex_unlock(&lock);
}

/* The client puts IPv6 addresses into brackets, the list does not. */
static bool is_server(const char *listed, size_t length, const char *server)
{
    for (; *server; server++) {
        if (*server == '[' || *server == ']')
            continue;
        if (length == 0 || *listed != *server)
            return false;
        listed++;
        length--;
    }
    return length == 0;
}

/* Whether a list of servers, with a chroot perhaps, has this one. */
static bool lists(const char *servers, const char *server)
{
    size_t n = strcspn(servers, ",/");

    while (!is_server(servers, n, server)) {
        if (servers[n] != ',')
            return false;
        servers += n + 1;
        n = strcspn(servers, ",/");
    }
    return *server != '\0';
}

void oz_log_trouble(const char *servers, char *text, size_t size)
{
    *text = '\0';
    pthread_mutex_lock(&lock);
    if (lists(servers, shared.trouble_with))
        snprintf(text, size, "%s: %s", shared.trouble_with, shared.trouble);
    pthread_mutex_unlock(&lock);
}

void oz_log_zookeeper(const char *text)
{
    static const char mark[] = ":ZOO_";
    const char *level = strstr(text, mark), *function = level ? strchr(level, '@') : NULL;
    odezk_log_level ours = function ? zookeeper_level(level + sizeof mark - 1) : ODEZK_LOG_DEBUG;

    if (ours <= ODEZK_LOG_WARN)
        keep_trouble(function);
    if (oz_log_enabled(ours))
        emit(ours, "odezk.zookeeper", function ? function + 1 : text, true);
}

void odezk_log_set_callback(odezk_log_cb cb, void *arg)
{
    uint64_t delivery;

    pthread_once(&fork_handler_once, register_fork_handler);
    pthread_mutex_lock(&lock);
    shared.cb = cb;
    shared.arg = arg;
    delivery = shared.deliveries;
    while (!in_log_thread && shared.delivering && shared.deliveries == delivery)
        pthread_cond_wait(&delivered, &lock);
    pthread_mutex_unlock(&lock);
}

int odezk_log_set_level(odezk_log_level level)
{
    if (level < ODEZK_LOG_ERROR || level > ODEZK_LOG_DEBUG)
        return oz_fail(ODEZK_EINVAL, "log level %d: 1 (error) to 4 (debug) is allowed", (int)level);
    atomic_store(&level_set, level);
    return ODEZK_OK;
}
