/* The log: order, bounds, callbacks, log4c, the C client's lines, fork. */
#include "base/clock.h"
#include "base/log.h"
#include "base/trouble.h"

#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <odezk/error.h>
#include <odezk/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define LINES 10000
#define DEADLINE_S 60

static char dir[] = "/tmp/odezk-log.XXXXXX";

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pause_briefly(void)
{
    struct timespec t = {0, 200000};

    nanosleep(&t, NULL);
}

/* Waits until *counter is at least `least`. */
static bool wait_for(atomic_long *counter, long least)
{
    double end = now_s() + DEADLINE_S;

    while (atomic_load(counter) < least) {
        if (now_s() > end)
            return false;
        pause_briefly();
    }
    return true;
}

/* ---- a receiver ---- */

struct receiver {
    atomic_long lines, dropped, disorder;
    long next[THREADS];
    atomic_bool held, inside; /* held: the callback waits */
    odezk_log_level level;
    char category[64], last[1200], first[1200];
};

static void receive(odezk_log_level level, const char *category, const char *line, void *arg)
{
    struct receiver *r = arg;
    long from, number, dropped;

    atomic_store(&r->inside, true);
    while (atomic_load(&r->held))
        pause_briefly();
    atomic_store(&r->inside, false);
    if (sscanf(line, "thread %ld line %ld", &from, &number) == 2) {
        if (number < r->next[from])
            atomic_fetch_add(&r->disorder, 1);
        r->next[from] = number + 1;
    } else if (strstr(line, " log lines dropped") && sscanf(line, "%ld", &dropped) == 1) {
        atomic_fetch_add(&r->dropped, dropped);
        return;
    }
    r->level = level;
    snprintf(r->category, sizeof r->category, "%s", category);
    snprintf(r->last, sizeof r->last, "%s", line);
    if (atomic_load(&r->lines) == 0)
        snprintf(r->first, sizeof r->first, "%s", line);
    atomic_fetch_add(&r->lines, 1);
}

static void open_with(struct receiver *r)
{
    memset(r, 0, sizeof *r);
    CU_ASSERT_EQUAL_FATAL(oz_log_open(NULL), ODEZK_OK);
    odezk_log_set_callback(receive, r);
}

static void close_with(void)
{
    oz_log_close();
    odezk_log_set_callback(NULL, NULL);
}

/* ---- threads ---- */

struct producer {
    pthread_t thread;
    int number;
    struct receiver *receiver;
    atomic_long *sent;
    bool paced;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    long i;

    for (i = 0; i < LINES; i++) {
        oz_info("test", "thread %d line %ld", p->number, i);
        /* the backlog stays below the bound: at most 8 x 32 lines of less than 100 bytes */
        if (atomic_fetch_add(p->sent, 1) >= 0 && p->paced && i % 32 == 31)
            wait_for(&p->receiver->lines, atomic_load(p->sent) - THREADS * 32);
    }
    return NULL;
}

static void run_producers(struct receiver *r, bool paced)
{
    struct producer p[THREADS];
    atomic_long sent = 0;
    int i;

    for (i = 0; i < THREADS; i++) {
        p[i] = (struct producer){.number = i, .receiver = r, .sent = &sent, .paced = paced};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(p[i].thread, NULL);
}

static void none_is_lost_and_order_is_kept(void)
{
    static struct receiver r;

    open_with(&r);
    run_producers(&r, true);
    close_with();
    CU_ASSERT_EQUAL(r.lines, THREADS * LINES);
    CU_ASSERT_EQUAL(r.dropped, 0);
    CU_ASSERT_EQUAL(r.disorder, 0);
}

static void every_line_is_delivered_or_counted(void)
{
    static struct receiver r;

    open_with(&r);
    run_producers(&r, false);
    close_with();
    CU_ASSERT_EQUAL(r.lines + r.dropped, THREADS * LINES);
    CU_ASSERT_EQUAL(r.disorder, 0);
}

/* 5,000 lines while the callback is held up in the first. */
static void overflow(struct receiver *r)
{
    double end = now_s() + DEADLINE_S;
    long i;

    atomic_store(&r->held, true);
    oz_info("test", "thread 0 line 0");
    while (!atomic_load(&r->inside) && now_s() < end)
        pause_briefly();
    for (i = 1; i < 5000; i++)
        oz_info("test", "thread 0 line %ld", i);
    atomic_store(&r->held, false);
}

static void overflow_drops_the_newest(void)
{
    static struct receiver r;

    open_with(&r);
    overflow(&r);
    CU_ASSERT_TRUE(wait_for(&r.dropped, 1));
    CU_ASSERT_TRUE(r.lines > 500);
    CU_ASSERT_EQUAL(r.lines + r.dropped, 5000);
    CU_ASSERT_EQUAL(r.next[0], r.lines); /* the oldest, without a gap */
    oz_info("test", "there is room again");
    close_with();
    CU_ASSERT_STRING_EQUAL(r.last, "there is room again");
}

static void overflow_is_told_in_its_place(void)
{
    static struct receiver r;

    open_with(&r);
    overflow(&r);
    CU_ASSERT_TRUE(wait_for(&r.lines, 1000));
    oz_info("test", "thread 0 line 5000"); /* perhaps while older lines are still there */
    close_with();
    CU_ASSERT_EQUAL(r.lines + r.dropped, 5001);
    CU_ASSERT_EQUAL(r.disorder, 0);
}

/* ---- callbacks ---- */

static void *log_until_told(void *arg)
{
    atomic_bool *stop = arg;

    while (!atomic_load(stop))
        oz_info("test", "line");
    return NULL;
}

static void a_switch_waits_for_the_former_callback(void)
{
    static struct receiver r[2];
    atomic_bool stop = false;
    pthread_t thread;
    int i;

    open_with(&r[0]);
    memset(&r[1], 0, sizeof r[1]);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, log_until_told, &stop), 0);
    for (i = 0; i < 2000; i++) {
        struct receiver *former = &r[i % 2];
        long seen;

        odezk_log_set_callback(receive, &r[(i + 1) % 2]);
        seen = atomic_load(&former->lines);
        CU_ASSERT_FALSE(atomic_load(&former->inside));
        CU_ASSERT_EQUAL(atomic_load(&former->lines), seen);
        if (i % 100 == 0)
            CU_ASSERT_TRUE(wait_for(&r[(i + 1) % 2].lines, atomic_load(&r[(i + 1) % 2].lines) + 1));
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    close_with();
}

static void switch_inside(odezk_log_level level, const char *category, const char *line, void *arg)
{
    odezk_log_set_callback(receive, arg);
    oz_info("test", "from inside");
    receive(level, category, line, arg);
}

static void a_callback_may_switch_and_log(void)
{
    static struct receiver r;

    open_with(&r);
    odezk_log_set_callback(switch_inside, &r);
    oz_info("test", "one");
    CU_ASSERT_TRUE(wait_for(&r.lines, 2));
    close_with();
    CU_ASSERT_STRING_EQUAL(r.first, "one");
    CU_ASSERT_STRING_EQUAL(r.last, "from inside");
}

static void close_inside(odezk_log_level level, const char *category, const char *line, void *arg)
{
    receive(level, category, line, arg);
    if (strcmp(line, "close") == 0)
        oz_log_close();
}

static void a_callback_may_close(void)
{
    static struct receiver r;

    open_with(&r);
    odezk_log_set_callback(close_inside, &r);
    oz_info("test", "close");
    CU_ASSERT_TRUE(wait_for(&r.lines, 1));
    odezk_log_set_callback(NULL, NULL);
    open_with(&r);
    oz_info("test", "again");
    close_with();
    CU_ASSERT_EQUAL(r.lines, 1);
}

/* ---- open and close ---- */

static void no_line_is_lost_at_close(void)
{
    static struct receiver r;
    int i, k;

    for (i = 0; i < 300; i++) {
        open_with(&r);
        for (k = 0; k < 20; k++)
            oz_info("test", "thread 0 line %d", k);
        close_with();
        CU_ASSERT_EQUAL(r.lines, 20);
    }
}

static void the_last_close_ends_it(void)
{
    static struct receiver r;

    open_with(&r);
    CU_ASSERT_EQUAL(oz_log_open(NULL), ODEZK_OK);
    oz_log_close();
    oz_info("test", "still open");
    oz_log_close();
    oz_log_close(); /* one too many does nothing */
    oz_info("test", "closed");
    odezk_log_set_callback(NULL, NULL);
    CU_ASSERT_EQUAL(r.lines, 1);
    CU_ASSERT_STRING_EQUAL(r.last, "still open");
}

static void close_is_bounded_and_the_thread_goes_on(void)
{
    static struct receiver r;
    double begin;

    open_with(&r);
    atomic_store(&r.held, true);
    oz_info("test", "thread 0 line 0");
    oz_info("test", "thread 0 line 1");
    begin = now_s();
    oz_log_close();
    CU_ASSERT_TRUE(now_s() - begin < 10);
    CU_ASSERT_EQUAL(r.lines, 0);
    CU_ASSERT_EQUAL(oz_log_open(NULL), ODEZK_OK);
    oz_info("test", "thread 0 line 2");
    atomic_store(&r.held, false);
    close_with();
    CU_ASSERT_EQUAL(r.lines, 3);
    CU_ASSERT_EQUAL(r.disorder, 0);
}

/* ---- the text ---- */

static const char *logged(struct receiver *r, const char *text)
{
    long before = atomic_load(&r->lines);

    oz_info("test", "%s", text);
    CU_ASSERT_TRUE(wait_for(&r->lines, before + 1));
    return r->last;
}

static void lines_are_single_and_bounded(void)
{
    static struct receiver r;
    char text[3000], *p;
    size_t i;

    open_with(&r);
    CU_ASSERT_STRING_EQUAL(logged(&r, "plain"), "plain");
    CU_ASSERT_EQUAL(r.level, ODEZK_LOG_INFO);
    CU_ASSERT_STRING_EQUAL(r.category, "odezk.test");
    CU_ASSERT_STRING_EQUAL(logged(&r, ""), "");
    CU_ASSERT_STRING_EQUAL(logged(&r, "end\r\n\n"), "end");
    CU_ASSERT_STRING_EQUAL(logged(&r, "a\nb\rc\td\x1b[1m\x7f"), "a\\nb\\rc\\td\\x1b[1m\\x7f");
    CU_ASSERT_STRING_EQUAL(logged(&r, "\xc2\x9b!"), "\\xc2\\x9b!");
    CU_ASSERT_STRING_EQUAL(logged(&r, "gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CU_ASSERT_EQUAL(strlen(logged(&r, text)), 900);
    CU_ASSERT_STRING_EQUAL(r.last + 890, "xxxxxxx...");
    for (p = text, i = 0; i < 999; i++)
        p = stpcpy(p, "\xe2\x82\xac");
    CU_ASSERT_STRING_EQUAL(logged(&r, text) + strlen(r.last) - 6, "\xe2\x82\xac...");
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 2] = 'x';
    CU_ASSERT_TRUE(strlen(logged(&r, text)) <= 900);
    close_with();
}

static void levels_are_filtered(void)
{
    static struct receiver r;

    open_with(&r);
    CU_ASSERT_EQUAL(odezk_log_set_level(0), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_log_set_level(5), ODEZK_EINVAL);
    CU_ASSERT_TRUE(oz_log_enabled(ODEZK_LOG_INFO));
    CU_ASSERT_FALSE(oz_log_enabled(ODEZK_LOG_DEBUG));
    oz_debug("test", "no");
    CU_ASSERT_EQUAL(odezk_log_set_level(ODEZK_LOG_DEBUG), ODEZK_OK);
    oz_debug("test", "yes");
    CU_ASSERT_EQUAL(odezk_log_set_level(ODEZK_LOG_ERROR), ODEZK_OK);
    oz_warn("test", "no");
    oz_error("test", "yes");
    close_with();
    odezk_log_set_level(ODEZK_LOG_INFO);
    CU_ASSERT_EQUAL(r.lines, 2);
    CU_ASSERT_STRING_EQUAL(r.first, "yes");
    CU_ASSERT_EQUAL(r.level, ODEZK_LOG_ERROR);
}

/* ---- the C client's lines ---- */

#define ZK_PREFIX "2026-11-23 18:50:19,123:1234(0x7f0001):"

static void client_lines_are_read(void)
{
    static const struct {
        const char *in, *out;
        odezk_log_level level;
    } table[] = {
        {ZK_PREFIX "ZOO_INFO@log_env@1250: Client environment:user.name=x",
         "log_env@1250: Client environment:user.name=x", ODEZK_LOG_DEBUG},
        {ZK_PREFIX "ZOO_ERROR@check@99: refused\n", "check@99: refused", ODEZK_LOG_ERROR},
        {ZK_PREFIX "ZOO_WARN@interest@7: Exceeded deadline by 11ms", "interest@7: Exceeded deadline by 11ms",
         ODEZK_LOG_WARN},
        {ZK_PREFIX "ZOO_DEBUG@a@1: b", "a@1: b", ODEZK_LOG_DEBUG},
        {ZK_PREFIX "ZOO_STRANGE@a@1: c", "a@1: c", ODEZK_LOG_DEBUG},
        {"no prefix at all", "no prefix at all", ODEZK_LOG_DEBUG},
        {ZK_PREFIX "ZOO_", ZK_PREFIX "ZOO_", ODEZK_LOG_DEBUG},
        {"", "", ODEZK_LOG_DEBUG},
    };
    static struct receiver r;
    size_t i;

    open_with(&r);
    odezk_log_set_level(ODEZK_LOG_DEBUG);
    for (i = 0; i < sizeof table / sizeof table[0]; i++) {
        oz_log_zookeeper(table[i].in);
        CU_ASSERT_TRUE(wait_for(&r.lines, (long)i + 1));
        CU_ASSERT_STRING_EQUAL(r.last, table[i].out);
        CU_ASSERT_EQUAL(r.level, table[i].level);
        CU_ASSERT_STRING_EQUAL(r.category, "odezk.zookeeper");
    }
    odezk_log_set_level(ODEZK_LOG_INFO);
    oz_log_zookeeper(table[0].in);
    close_with();
    CU_ASSERT_EQUAL(r.lines, (long)(sizeof table / sizeof table[0]));
}

/* Of a client's own servers only, as the program may have others. */
static void trouble_is_kept(void)
{
    char text[128] = "x";

    oz_log_trouble("127.0.0.1:1,::1:2/chroot", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "");
    oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@check_events@1: Socket 127.0.0.1:1 zk retcode=-4, errno=111(Connection "
                               "refused): server refused to accept the client");
    oz_log_zookeeper(ZK_PREFIX "ZOO_WARN@f@1: Delaying connection after exhaustively trying all servers [::1:2]");
    oz_log_trouble("127.0.0.1:1,::1:2/chroot", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "127.0.0.1:1: Connection refused");
    oz_log_trouble("127.0.0.1:11,127.0.0.2:1", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "");
    oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@check_events@1: Socket [::1]:2 zk retcode=-4, errno=112(Host is down): "
                               "failed while receiving a server response");
    oz_log_trouble("127.0.0.1:1,::1:2/chroot", text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "[::1]:2: it closed the connection");
}

static void repeated_client_lines_are_counted(void)
{
    static struct receiver r;
    _Atomic int64_t clock = 5000 * OZ_SECOND;
    int i;

    oz_clock_set_source(&clock);
    open_with(&r);
    for (i = 0; i < 10; i++) {
        oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@f@1: server one refused");
        oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@f@1: server two refused");
    }
    CU_ASSERT_TRUE(wait_for(&r.lines, 2));
    clock += 1100 * OZ_MS;
    CU_ASSERT_TRUE(wait_for(&r.lines, 4));
    CU_ASSERT_STRING_EQUAL(r.last, "f@1: server two refused (9 more of the same)");
    CU_ASSERT_EQUAL(r.level, ODEZK_LOG_ERROR);
    clock += 1100 * OZ_MS; /* now within two seconds */
    oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@f@1: server two refused");
    clock += 1000 * OZ_MS;
    CU_ASSERT_TRUE(wait_for(&r.lines, 5));
    CU_ASSERT_STRING_EQUAL(r.last, "f@1: server two refused (1 more of the same)");
    oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@f@1: server one refused");
    CU_ASSERT_TRUE(wait_for(&r.lines, 6));
    CU_ASSERT_STRING_EQUAL(r.last, "f@1: server one refused");
    oz_log_zookeeper(ZK_PREFIX "ZOO_ERROR@f@1: server one refused");
    close_with(); /* tells what is still uncounted */
    oz_clock_set_source(NULL);
    CU_ASSERT_EQUAL(r.lines, 7);
    CU_ASSERT_STRING_EQUAL(r.last, "f@1: server one refused (1 more of the same)");
}

/* More lines at once than there are slots: nothing is lost, whatever was counted. */
static void many_different_client_lines(void)
{
    static struct receiver r;
    long i, seen = 0;

    open_with(&r);
    for (i = 0; i < 200; i++) {
        char line[100];

        snprintf(line, sizeof line, ZK_PREFIX "ZOO_WARN@f@1: number %ld", i % 50);
        oz_log_zookeeper(line);
    }
    CU_ASSERT_TRUE(wait_for(&r.lines, 50));
    close_with();
    seen = atomic_load(&r.lines);
    CU_ASSERT_TRUE(seen >= 50 && seen <= 200);
    CU_ASSERT_EQUAL(r.dropped, 0);
}

/* ---- fork ---- */

static int child_of_logging_process(void)
{
    int i;

    for (i = 0; i < 1000; i++)
        oz_error("test", "goes nowhere %d", i);
    oz_log_close(); /* the parent's: does nothing */
#if defined(__SANITIZE_THREAD__)
    return 0; /* TSan allows no new thread in such a child */
#endif
    if (oz_log_open(NULL) != ODEZK_OK)
        return 2;
    oz_info("test", "its own");
    oz_log_close();
    return 0;
}

static bool ends_well(pid_t pid)
{
    double end = now_s() + DEADLINE_S;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_s() > end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return false;
        }
        pause_briefly();
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void a_child_never_hangs(void)
{
    static struct receiver r;
    atomic_bool stop = false;
    pthread_t threads[2];
    int i;

    open_with(&r);
    for (i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, log_until_told, &stop), 0);
    for (i = 0; i < 20; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(child_of_logging_process());
        CU_ASSERT_TRUE(pid > 0 && ends_well(pid));
    }
    atomic_store(&stop, true);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    close_with();
}

/* ---- scenarios in a process of their own, because log4c is configured once in a process ---- */

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static char *read_file(const char *name)
{
    static char text[100000];
    FILE *f = fopen(name, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

static int scenario_stderr(void)
{
    oz_error("a", "before\nit is open");
    oz_info("a", "not shown 1");
    if (oz_log_open(NULL) != ODEZK_OK)
        return 2;
    oz_warn("b", "while open");
    oz_info("b", "not shown 2");
    oz_log_close();
    odezk_log_set_level(ODEZK_LOG_INFO);
    oz_log_open(NULL);
    oz_info("c", "level set");
    oz_log_close();
    oz_warn("d", "after");
    return 0;
}

static int scenario_given(void)
{
    int i;

    if (oz_log_open("missing.xml") != ODEZK_ECONFIG || !strstr(odezk_last_error(), "missing.xml") ||
        oz_log_open("broken.xml") != ODEZK_ECONFIG || oz_log_open("strange.xml") != ODEZK_ECONFIG)
        return 3;
    for (i = 0; i < 3; i++) {
        if (oz_log_open("given.xml") != ODEZK_OK)
            return 2;
        oz_log_open("other.xml");
        oz_log_close();
        oz_error("session", "round %d", i);
        oz_info("lock", "round %d", i);
        oz_warn("session", "%0950d", i);
        oz_log_close();
    }
    return 0;
}

static int scenario_found(void)
{
    if (oz_log_open(NULL) != ODEZK_OK)
        return 2;
    oz_error("session", "found by itself");
    oz_log_close();
    return 0;
}

static int run_scenario(const char *name)
{
    if (strcmp(name, "stderr") == 0)
        return scenario_stderr();
    if (strcmp(name, "given") == 0)
        return scenario_given();
    return scenario_found();
}

static void child_environment(const char *name)
{
    if (chdir(dir) != 0)
        _exit(9);
    setenv("HOME", dir, 1);
    setenv("LOG4C_RCPATH", strcmp(name, "found") == 0 ? "found" : ".", 1);
    unsetenv("LOG4C_PRIORITY");
    unsetenv("LOG4C_APPENDER");
    dup2(open("stderr.txt", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600), STDERR_FILENO);
}

/* What the scenario wrote to stderr; NULL when it failed. */
static const char *scenario(const char *name)
{
    char path[4096], file[sizeof dir + 16];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    pid_t pid;

    CU_ASSERT_TRUE_FATAL(n > 0);
    path[n] = '\0';
    pid = fork();
    if (pid == 0) {
        child_environment(name);
        execl(path, path, name, (char *)NULL);
        _exit(9);
    }
    snprintf(file, sizeof file, "%s/stderr.txt", dir);
    return ends_well(pid) ? read_file(file) : NULL;
}

static void without_configuration_the_bad_goes_to_stderr(void)
{
    const char *text = scenario("stderr"), *p = text;
    static const char *const ends[] = {
        "Z ERROR odezk.a: before\\nit is open\n",
        "Z WARN odezk.b: while open\n",
        "Z INFO odezk.c: level set\n",
        "Z WARN odezk.d: after\n",
    };
    size_t i;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (i = 0; i < 4; i++) {
        int year = 0, ms = -1;

        CU_ASSERT_EQUAL(sscanf(p, "%d-%*d-%*dT%*d:%*d:%*d.%dZ", &year, &ms), 2);
        CU_ASSERT_TRUE(year >= 2024 && ms >= 0);
        CU_ASSERT_EQUAL_FATAL(strncmp(p + strlen("2026-11-23T18:50:19.123"), ends[i], strlen(ends[i])), 0);
        p = strchr(p, '\n') + 1;
    }
    CU_ASSERT_STRING_EQUAL(p, "");
}

static const char given_xml[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<log4c version=\"1.2.4\">\n"
                                "  <category name=\"root\" priority=\"notice\"/>\n"
                                "  <category name=\"odezk\" priority=\"info\" appender=\"rolling\"/>\n"
                                "  <category name=\"odezk.lock\" priority=\"error\"/>\n"
                                "  <appender name=\"rolling\" type=\"rollingfile\" logdir=\".\" prefix=\"out\" "
                                "layout=\"dated\" "
                                "rollingpolicy=\"sizes\"/>\n"
                                "  <rollingpolicy name=\"sizes\" type=\"sizewin\" maxsize=\"100000\" maxnum=\"3\"/>\n"
                                "  <layout name=\"dated\" type=\"dated\"/>\n"
                                "</log4c>\n";

static const char found_xml[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<log4c version=\"1.2.4\">\n"
                                "  <category name=\"odezk\" priority=\"info\" appender=\"found.txt\"/>\n"
                                "  <appender name=\"found.txt\" type=\"stream\" layout=\"basic\"/>\n"
                                "</log4c>\n";

static void make_log4c_files(void)
{
    char name[sizeof dir + 32];

    snprintf(name, sizeof name, "%s/given.xml", dir);
    write_file(name, given_xml);
    snprintf(name, sizeof name, "%s/broken.xml", dir);
    write_file(name, "<log4c><category");
    snprintf(name, sizeof name, "%s/strange.xml", dir);
    write_file(name, "<html/>");
    snprintf(name, sizeof name, "%s/found", dir);
    mkdir(name, 0700);
    snprintf(name, sizeof name, "%s/found/log4crc", dir);
    write_file(name, found_xml);
}

static void a_given_file_configures_log4c(void)
{
    const char *text = scenario("given");
    char name[sizeof dir + 32], *p;
    int lines = 0, rounds = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, "");
    snprintf(name, sizeof name, "%s/out.0", dir);
    for (p = read_file(name); *p && strchr(p, '\n'); p = strchr(p, '\n') + 1, lines++)
        rounds += strstr(p, "ERROR    odezk.session- round ") == p + strlen("20261123 18:50:19.123 ");
    CU_ASSERT_EQUAL(rounds, 3);
    CU_ASSERT_EQUAL(lines, 3 * 3); /* the error, the long line, and the complaint about other.xml */
    CU_ASSERT_PTR_NULL(strstr(read_file(name), "odezk.lock"));
}

static void log4c_finds_its_own_file(void)
{
    char name[sizeof dir + 32];
    const char *text = scenario("found");

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, "");
    snprintf(name, sizeof name, "%s/found.txt", dir);
    CU_ASSERT_PTR_NOT_NULL(strstr(read_file(name), "odezk.session - found by itself\n"));
}

/* ---- */

static int make_dir(void)
{
    if (!mkdtemp(dir))
        return -1;
    make_log4c_files();
    setenv("LOG4C_RCPATH", dir, 1);
    setenv("HOME", dir, 1);
    unsetenv("LOG4C_PRIORITY");
    unsetenv("LOG4C_APPENDER");
    return 0;
}

static int remove_dir(void)
{
    static const char *const names[] = {
        "given.xml", "broken.xml", "strange.xml", "found/log4crc", "found", "found.txt", "out.0", "stderr.txt", ""};
    char name[sizeof dir + 32];
    size_t i;
    int err = 0;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, names[i]);
        err |= remove(name);
    }
    return err;
}

/* Waited for longer and longer, and warned of once. */
static void trouble_is_told_once(void)
{
    static const int64_t pauses[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    static const char *const write = "write";
    static struct receiver r;
    struct oz_trouble t = {0};
    size_t i;

    open_with(&r);
    for (i = 0; i < sizeof pauses / sizeof *pauses; i++)
        CU_ASSERT_EQUAL(oz_trouble_pause(&t, "odezk.test", write, "/a", "denied"), pauses[i] * OZ_MS);
    close_with();
    CU_ASSERT_EQUAL(r.lines, 1);
    CU_ASSERT_STRING_EQUAL(r.category, "odezk.test");
    CU_ASSERT_STRING_EQUAL(r.last, "cannot write /a: denied; trying again");
    oz_trouble_end(&t);
    open_with(&r);
    CU_ASSERT_EQUAL(oz_trouble_pause(&t, "odezk.test", write, "/b", "denied"), 100 * OZ_MS);
    CU_ASSERT_EQUAL(oz_trouble_pause(&t, "odezk.test", "read", "/b", "denied"), 200 * OZ_MS); /* another one */
    close_with();
    CU_ASSERT_EQUAL(r.lines, 2);
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"none is lost, order is kept", none_is_lost_and_order_is_kept},
        {"every line is delivered or counted", every_line_is_delivered_or_counted},
        {"overflow drops the newest", overflow_drops_the_newest},
        {"overflow is told in its place", overflow_is_told_in_its_place},
        {"a switch waits for the former callback", a_switch_waits_for_the_former_callback},
        {"a callback may switch and log", a_callback_may_switch_and_log},
        {"a callback may close", a_callback_may_close},
        {"no line is lost at close", no_line_is_lost_at_close},
        {"the last close ends it", the_last_close_ends_it},
        {"close is bounded, the thread goes on", close_is_bounded_and_the_thread_goes_on},
        {"lines are single and bounded", lines_are_single_and_bounded},
        {"levels are filtered", levels_are_filtered},
        {"client lines are read", client_lines_are_read},
        {"trouble is kept", trouble_is_kept},
        {"repeated client lines are counted", repeated_client_lines_are_counted},
        {"many different client lines", many_different_client_lines},
        {"a child never hangs", a_child_never_hangs},
        {"without configuration the bad goes to stderr", without_configuration_the_bad_goes_to_stderr},
        {"a given file configures log4c", a_given_file_configures_log4c},
        {"log4c finds its own file", log4c_finds_its_own_file},
        {"trouble is told once", trouble_is_told_once},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"log", make_dir, remove_dir, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    unsigned failures;

    if (argc > 1)
        return run_scenario(argv[1]);
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
