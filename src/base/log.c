/*
 * A line takes one way: the thread that logs formats it and copies it into a byte ring, the log
 * thread takes it out and hands it to the program's callback or to log4c. log4c is not safe from
 * every thread and may re-read its configuration inside a call, so nobody but the log thread (and
 * whoever starts it, before) touches it. What is logged while there is no log thread goes to
 * stderr.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"

#include <errno.h>
#include <log4c.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RING_SIZE ((size_t)64 * 1024)
#define TEXT_MAX 900 /* log4c's "dated" layout cuts at 1,023 bytes, with its own prefix before the text */
#define FLUSH_TIME OZ_SECOND
#define REPEAT_TIME OZ_SECOND /* at first; longer and longer for a line that keeps coming */
#define REPEAT_TIME_MAX (64 * OZ_SECOND)
#define REPEAT_SLOTS 8
#define PATH_SIZE 4096
#define CATEGORIES 64 /* of log4c, as many as are looked at */

/* What stands in the ring before each text. */
struct header {
    const char *category;
    int64_t time_ms;
    uint64_t dropped; /* lines lost between the line before and this one */
    odezk_log_level level;
    uint32_t length;
};

struct line {
    struct header header;
    char text[TEXT_MAX + 1];
};
_Static_assert(offsetof(struct line, text) == sizeof(struct header), "a line is copied in one piece");

/* A line of the C client that was logged a moment ago, and how often it came again since. */
struct repeat {
    int64_t since; /* 0: a free slot */
    int64_t time;  /* for which repetitions are only counted */
    uint64_t count;
    odezk_log_level level;
    uint32_t hash;
    char text[256];
};

/* Opening and closing; taken before `lock`. */
static pthread_mutex_t lifecycle = PTHREAD_MUTEX_INITIALIZER;
static unsigned references;
static bool has_thread; /* started and not joined */
static pthread_t thread;
static bool log4c_started;
static bool log4c_configured; /* it has an appender */
static bool log4c_of_program; /* the program used log4c before: its settings stay */
static bool log4c_torn;       /* a fork may have caught it in the middle of a line: never used again */
static char log4c_file[PATH_SIZE];

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
    struct repeat repeats[REPEAT_SLOTS];
    char ring[RING_SIZE];
} shared;

static atomic_bool is_open;
static atomic_bool forked;                /* in a child that did not open the log itself: lines go nowhere */
static _Atomic odezk_log_level level_set; /* 0: never set */
static _Thread_local bool in_log_thread;
static pthread_once_t fork_handler_once = PTHREAD_ONCE_INIT;

/* ---- text ---- */

/* The bytes of the control character at p, 0 if it is none. U+0080 to U+009F steer terminals too.
 */
static size_t control_size(const unsigned char *p)
{
    if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
        return 2;
    return *p < 0x20 || *p == 0x7f;
}

static size_t escape(char *out, unsigned char c)
{
    if (c == '\n' || c == '\r' || c == '\t')
        return (size_t)sprintf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    return (size_t)sprintf(out, "\\x%02x", c);
}

/* Ends an overlong text with dots, not inside a character. */
static uint32_t cut(char *out, size_t n)
{
    while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
        n--;
    if (n > 0 && (unsigned char)out[n - 1] >= 0xc0)
        n--;
    memcpy(out + n, "...", 4);
    return (uint32_t)n + 3;
}

/* Makes one bounded line of any text: trailing newlines go, other control characters are escaped.
 */
static uint32_t clean(char *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    size_t n = 0;

    while (end > p && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    while (p < end) {
        size_t control = control_size(p);

        if (n + (control ? 4 * control : 1) > TEXT_MAX - 3)
            return cut(out, n);
        if (!control)
            out[n++] = (char)*p++;
        for (; control > 0; control--)
            n += escape(out + n, *p++);
    }
    out[n] = '\0';
    return (uint32_t)n;
}

static const char *level_name(odezk_log_level level)
{
    static const char *const names[] = {"NONE", "ERROR", "WARN", "INFO", "DEBUG"};

    return names[level];
}

/* By write(2): a stdio lock that was held during a fork would hang the child. */
static void print(const struct line *line)
{
    char out[TEXT_MAX + 256], stamp[32];
    time_t seconds = (time_t)(line->header.time_ms / 1000);
    struct tm tm;
    size_t n, done = 0;

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    n = (size_t)snprintf(out, sizeof out, "%s.%03dZ %s %.64s: %s\n", stamp, (int)(line->header.time_ms % 1000),
                         level_name(line->header.level), line->header.category, line->text);
    while (done < n) {
        ssize_t written = write(STDERR_FILENO, out + done, n - done);

        if (written < 0 && errno != EINTR)
            return;
        done += written > 0 ? (size_t)written : 0;
    }
}

/* Without a callback and without a configuration only what is bad goes to stderr, unless a level
 * was asked for. */
static void print_if_bad(const struct line *line)
{
    odezk_log_level level = atomic_load(&level_set);

    if (line->header.level <= (level ? level : ODEZK_LOG_WARN))
        print(line);
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

static void put(struct line *line)
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

static void describe_drop(struct line *line, uint64_t dropped)
{
    line->header.category = "odezk.log";
    line->header.level = ODEZK_LOG_WARN;
    line->header.time_ms = oz_wall_ms();
    line->header.length =
        (uint32_t)snprintf(line->text, sizeof line->text, "%llu log lines dropped", (unsigned long long)dropped);
}

static bool take_dropped(struct line *line, uint64_t *dropped)
{
    if (*dropped == 0)
        return false;
    describe_drop(line, *dropped);
    *dropped = 0;
    return true;
}

static bool take(struct line *line)
{
    if (shared.used == 0)
        return take_dropped(line, &shared.dropped);
    ring_read(shared.start, &line->header, sizeof line->header);
    if (line->header.dropped > 0) {
        struct header rest = line->header;

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

/* ---- repeated lines of the C client; `lock` is held ---- */

static struct repeat *repeat_slot(uint32_t hash)
{
    struct repeat *oldest = NULL;
    size_t i;

    for (i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *r = &shared.repeats[i];

        if (r->since && r->hash == hash)
            return r;
        if (r->count == 0 && (!oldest || r->since < oldest->since))
            oldest = r;
    }
    if (oldest)
        oldest->since = 0;
    return oldest;
}

/* Whether the line came a moment ago already; then it is only counted. */
static bool is_repeat(const struct line *line)
{
    uint32_t hash = oz_hash(line->text);
    struct repeat *r = repeat_slot(hash);
    int64_t now = oz_now();

    if (!r)
        return false;
    if (r->since && (r->count > 0 || now - r->since < r->time)) {
        r->count++;
        pthread_cond_signal(&wake); /* it has to look again in time */
        return true;
    }
    r->since = now;
    r->time = REPEAT_TIME;
    r->level = line->header.level;
    r->hash = hash;
    snprintf(r->text, sizeof r->text, "%.*s", (int)sizeof r->text - 1, line->text);
    return false;
}

static bool take_repeat(struct line *line)
{
    int64_t now = oz_now();
    size_t i;

    for (i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *r = &shared.repeats[i];

        if (r->count == 0 || (!shared.stop && now - r->since < r->time))
            continue;
        line->header = (struct header){.category = "odezk.zookeeper", .level = r->level};
        line->header.time_ms = oz_wall_ms();
        snprintf(line->text, sizeof line->text, "%s (%llu more of the same)", r->text, (unsigned long long)r->count);
        r->count = 0;
        r->since = now;
        r->time = r->time < REPEAT_TIME_MAX ? 2 * r->time : REPEAT_TIME_MAX;
        return true;
    }
    return false;
}

/* When take_repeat() will have something; OZ_NEVER if there is nothing to come. */
static int64_t next_repeat(void)
{
    int64_t at = OZ_NEVER;
    size_t i;

    for (i = 0; i < REPEAT_SLOTS; i++)
        if (shared.repeats[i].count > 0 && shared.repeats[i].since + shared.repeats[i].time < at)
            at = shared.repeats[i].since + shared.repeats[i].time;
    return at;
}

/* ---- the log thread ---- */

static int log4c_priority(odezk_log_level level)
{
    static const int priorities[] = {LOG4C_PRIORITY_NOTSET, LOG4C_PRIORITY_ERROR, LOG4C_PRIORITY_WARN,
                                     LOG4C_PRIORITY_INFO, LOG4C_PRIORITY_DEBUG};

    return priorities[level];
}

static void deliver(const struct line *line)
{
    odezk_log_cb cb = shared.cb;
    void *arg = shared.arg;

    shared.delivering = true;
    shared.deliveries++;
    pthread_mutex_unlock(&lock);
    if (cb)
        cb(line->header.level, line->header.category, line->text, arg);
    else if (log4c_configured)
        log4c_category_log(log4c_category_get(line->header.category), log4c_priority(line->header.level), "%s",
                           line->text);
    else
        print_if_bad(line);
    pthread_mutex_lock(&lock);
    shared.delivering = false;
    pthread_cond_broadcast(&delivered);
}

static struct timespec deadline_in(int64_t duration)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    duration += t.tv_nsec;
    t.tv_sec += duration / OZ_SECOND;
    t.tv_nsec = duration % OZ_SECOND;
    return t;
}

static void wait_for_lines(void)
{
    int64_t at = next_repeat(), now = oz_now();
    struct timespec deadline;

    if (at == OZ_NEVER) {
        pthread_cond_wait(&wake, &lock);
        return;
    }
    deadline = deadline_in(at > now ? at - now : 0);
    pthread_cond_clockwait(&wake, &lock, CLOCK_MONOTONIC, &deadline);
}

static void *run(void *unused)
{
    struct line line;

    (void)unused;
    in_log_thread = true;
    pthread_mutex_lock(&lock);
    for (;;) {
        if (take(&line) || take_repeat(&line))
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

static int categories(log4c_category_t *list[CATEGORIES])
{
    int n = log4c_category_list(list, CATEGORIES);

    return n < 0 ? 0 : n < CATEGORIES ? n : CATEGORIES;
}

static bool has_appender(void)
{
    log4c_category_t *list[CATEGORIES];
    int i, n = categories(list);

    for (i = 0; i < n; i++)
        if (log4c_category_get_appender(list[i]))
            return true;
    return false;
}

/* A configuration file that is given replaces what log4c found by its own search. */
static void forget_found_configuration(void)
{
    log4c_category_t *list[CATEGORIES];
    int i, n = categories(list);

    for (i = 0; i < n; i++) {
        log4c_category_set_appender(list[i], NULL);
        log4c_category_set_additivity(list[i], 1);
        log4c_category_set_priority(list[i], LOG4C_PRIORITY_NOTSET);
    }
}

static int load_log4c(const char *file)
{
    if (strlen(file) >= sizeof log4c_file)
        return oz_fail(ODEZK_ECONFIG, "the name of the log4c file is longer than %d bytes", PATH_SIZE - 1);
    if (access(file, R_OK) != 0)
        return oz_fail(ODEZK_ECONFIG, "log4c file %s: %s", file, strerror(errno));
    if (!log4c_of_program)
        forget_found_configuration();
    if (log4c_load(file) != 0)
        return oz_fail(ODEZK_ECONFIG, "log4c file %s: not a valid log4c configuration", file);
    snprintf(log4c_file, sizeof log4c_file, "%s", file);
    return ODEZK_OK;
}

/* Once begun, log4c stays until the process ends: 1.2.4 does not survive an init after a fini, and
 * its fini loses what its appenders hold. */
static int configure_log4c(const char *file)
{
    log4c_category_t *list[CATEGORIES];
    int err = ODEZK_OK;

    if (log4c_torn)
        return ODEZK_OK;
    if (!log4c_started) {
        log4c_of_program = categories(list) > 0;
        log4c_init();
        log4c_started = true;
    }
    if (file && strcmp(file, log4c_file) != 0)
        err = load_log4c(file);
    log4c_configured = has_appender();
    return err;
}

static int create_thread(void)
{
    sigset_t all, old;
    int err;

    pthread_mutex_lock(&lock); /* a thread may come late that saw the log open before */
    shared.stop = shared.ended = false;
    memset(shared.repeats, 0, sizeof shared.repeats);
    pthread_mutex_unlock(&lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return oz_fail(ODEZK_ESYSTEM, "no thread for the log: %s", strerror(err));
    has_thread = true;
    atomic_store(&is_open, true);
    return ODEZK_OK;
}

/* A former log thread that was held up inside a callback past its close goes on; one that has ended
 * since is joined. */
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
    err = configure_log4c(file);
    return err ? err : create_thread();
}

static void stop_thread(void)
{
    struct timespec deadline = deadline_in(FLUSH_TIME);
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

/* The child has no log thread, and any lock may have been held: all begins anew. */
static void in_child(void)
{
    lifecycle = lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    wake = delivered = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    references = 0;
    has_thread = false;
    log4c_torn = true;
    log4c_configured = false;
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
        ignored = file && strcmp(file, log4c_file) != 0;
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
static bool submit(struct line *line, bool only_once)
{
    bool open;

    if (!atomic_load(&is_open))
        return false;
    pthread_mutex_lock(&lock);
    open = !shared.stop;
    if (open && !(only_once && is_repeat(line)))
        put(line);
    pthread_mutex_unlock(&lock);
    return open;
}

static void emit(odezk_log_level level, const char *category, const char *text, bool only_once)
{
    struct line line;

    line.header = (struct header){.category = category, .level = level, .time_ms = oz_wall_ms()};
    line.header.length = clean(line.text, text);
    if (!submit(&line, only_once) && level <= ODEZK_LOG_WARN)
        print(&line);
}

void oz_log(odezk_log_level level, const char *category, const char *format, ...)
{
    char text[TEXT_MAX + 128]; /* longer than what clean() lets pass, so that it sees that there is more */
    va_list args;

    if (!oz_log_enabled(level))
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    emit(level, category, text, false);
}

/* TIME:PID(THREAD):ZOO_LEVEL@FUNCTION@LINE: TEXT. The client's information is about its own
 * workings: our debug. */
static odezk_log_level zookeeper_level(const char *level)
{
    if (strncmp(level, "ERROR@", 6) == 0)
        return ODEZK_LOG_ERROR;
    if (strncmp(level, "WARN@", 5) == 0)
        return ODEZK_LOG_WARN;
    return ODEZK_LOG_DEBUG;
}

void oz_log_zookeeper(const char *text)
{
    static const char mark[] = ":ZOO_";
    const char *level = strstr(text, mark), *function = level ? strchr(level, '@') : NULL;
    odezk_log_level ours = function ? zookeeper_level(level + sizeof mark - 1) : ODEZK_LOG_DEBUG;

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
