#include "harness.h"

#include "internal.h"

#include <CUnit/Basic.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 250, KEPT_MAX = 512, ROOT_MAX = 200 };

static struct {
    const char *family;
    const struct it_test *tests;
    int number; /* of the test */
    char base[ROOT_MAX], root[ROOT_MAX + 8];
    int timeout_ms;
    bool thorough;
    struct {
        void *thing;
        void (*destroy)(void *thing);
    } kept[KEPT_MAX];
    int kept_count;
    struct it_log *logs[KEPT_MAX];
    int log_count;
} it;

/* ---- memory and notes ---- */

void *it_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        abort();
    return memory;
}

void *it_realloc(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (!memory)
        abort();
    return memory;
}

char *it_format(const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    return text;
}

void it_note(const char *format, ...)
{
    va_list args;

    fputs("\n    # ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

/* ---- where a test lives ---- */

const char *it_base(void)
{
    return it.base;
}

const char *it_root(void)
{
    return it.root;
}

const char *it_path(const char *format, ...)
{
    static char paths[4][2048];
    static int next;
    char *path = paths[next++ % 4];
    int length = snprintf(path, sizeof paths[0], "%s/", it.root);
    va_list args;

    va_start(args, format);
    vsnprintf(path + length, sizeof paths[0] - (size_t)length, format, args);
    va_end(args);
    return path;
}

void it_set_timeout(int ms)
{
    it.timeout_ms = it_ms(ms);
}

bool it_is_long(void)
{
    return it.thorough;
}

int it_timeout(void)
{
    return it.timeout_ms;
}

/* ---- what a test makes ---- */

void it_keep(void *thing, void (*destroy)(void *thing))
{
    if (it.kept_count == KEPT_MAX)
        abort();
    it.kept[it.kept_count].thing = thing;
    it.kept[it.kept_count++].destroy = destroy;
}

void it_forget(const void *thing)
{
    for (int i = it.kept_count - 1; i >= 0; i--)
        if (it.kept[i].thing == thing) {
            it.kept_count--;
            memmove(&it.kept[i], &it.kept[i + 1], (size_t)(it.kept_count - i) * sizeof it.kept[0]);
            return;
        }
}

void it_destroy_kept(void)
{
    while (it.kept_count > 0) {
        it.kept_count--;
        it.kept[it.kept_count].destroy(it.kept[it.kept_count].thing);
    }
}

/* ---- handles ---- */

static void set(odezk_config *config, const char *name, const char *value)
{
    if (odezk_config_set(config, name, value, "test") != ODEZK_OK) {
        it_note("%s: %s", name, odezk_last_error());
        CU_FAIL("odezk_config_set");
    }
}

odezk_config *it_config(const char *id, ...)
{
    odezk_config *config = NULL;
    const char *name;
    char timeout[16];
    va_list rest;

    if (odezk_config_new(&config) != ODEZK_OK)
        abort();
    snprintf(timeout, sizeof timeout, "%d", it.timeout_ms);
    set(config, "servers", it_servers());
    set(config, "base", it.base);
    set(config, "cluster", "c");
    set(config, "session-timeout", timeout);
    if (id)
        set(config, "node-id", id);
    va_start(rest, id);
    while ((name = va_arg(rest, const char *)) != NULL)
        set(config, name, va_arg(rest, const char *));
    va_end(rest);
    return config;
}

static void free_cluster(void *cluster)
{
    odezk_cluster_free(cluster);
}

odezk_cluster *it_new(odezk_role role, const odezk_config *config)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_cluster *cluster = NULL;

    options.role = role;
    if (odezk_cluster_new(config, &options, &cluster) != ODEZK_OK) {
        it_note("cannot make a handle: %s", odezk_last_error());
        CU_FAIL("odezk_cluster_new");
        return NULL;
    }
    it_keep(cluster, free_cluster);
    return cluster;
}

odezk_cluster *it_open(odezk_role role, const char *id)
{
    odezk_config *config = it_config(id, NULL);
    odezk_cluster *cluster = it_new(role, config);

    odezk_config_free(config);
    return cluster;
}

odezk_cluster *it_join(odezk_role role, const char *id)
{
    odezk_cluster *cluster = it_open(role, id);

    if (!cluster || odezk_cluster_join(cluster, it_ms(20000)) == ODEZK_OK)
        return cluster;
    it_note("%s cannot join: %s", id ? id : "a client", odezk_last_error());
    CU_FAIL("odezk_cluster_join");
    return NULL;
}

void it_free(odezk_cluster *cluster)
{
    it_forget(cluster);
    odezk_cluster_free(cluster);
}

bool it_has_lease(void *cluster)
{
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};

    return odezk_cluster_session(cluster, &info) == ODEZK_OK && info.lease_left_ms > info.timeout_ms / 2;
}

void it_keep_log(struct it_log *log)
{
    if (it.log_count == KEPT_MAX)
        abort();
    it.logs[it.log_count++] = log;
}

/* ---- a test ---- */

static void free_logs(void)
{
    while (it.log_count > 0)
        it_log_free(it.logs[--it.log_count]);
}

static void begin(void)
{
    it.timeout_ms = it_ms(IT_LONG);
    snprintf(it.base, sizeof it.base, "/it-%s-%d-%d", it.family, (int)getpid(), ++it.number);
    snprintf(it.root, sizeof it.root, "%s/c", it.base);
    it_look_before();
}

static void end(void)
{
    it_mend_servers();
    it_end_processes();
    it_destroy_kept();
    it_check_znodes();
    it_zk_end();
    it_check_children();
    it_check_process();
    free_logs();
}

static void run_test(void)
{
    const char *name = CU_get_current_test()->pName;
    const struct it_test *test = it.tests;

    while (strcmp(test->name, name) != 0)
        test++;
    begin();
    test->body();
    end();
}

/* ---- the program ---- */

struct options {
    int servers;
    bool faultless, verbose;
    const char *only;
};

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"servers", required_argument, NULL, 's'}, {"faultless", no_argument, NULL, 'f'},
        {"long", no_argument, NULL, 'l'},          {"only", required_argument, NULL, 'o'},
        {"verbose", no_argument, NULL, 'v'},       {0}};

    for (int opt; (opt = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (opt == 's')
            options->servers = atoi(optarg);
        else if (opt == 'f')
            options->faultless = true;
        else if (opt == 'l')
            it.thorough = true;
        else if (opt == 'o')
            options->only = optarg;
        else if (opt == 'v')
            options->verbose = true;
        else
            return false;
    }
    return optind == argc && (options->servers == 1 || options->servers == 3);
}

/* Why a test does not run here; NULL: it does. */
static const char *reason_to_skip(const struct it_test *test, const struct options *options)
{
    if ((test->flags & IT_FAULTS) && options->faultless)
        return "only without --faultless";
    if ((test->flags & IT_QUORUM) && options->servers != 3)
        return "only with three servers";
    return NULL;
}

static void add_tests(CU_pSuite suite, const struct options *options)
{
    for (const struct it_test *test = it.tests; test->name; test++) {
        const char *reason = reason_to_skip(test, options);
        if (options->only && strcmp(options->only, test->name) != 0)
            continue;
        if (reason)
            printf("SKIP %s: %s\n", test->name, reason);
        else
            CU_add_test(suite, test->name, run_test);
    }
}

static void drop_line(odezk_log_level level, const char *category, const char *line, void *arg)
{
    (void)level;
    (void)category;
    (void)line;
    (void)arg;
}

static void print_line(odezk_log_level level, const char *category, const char *line, void *arg)
{
    int64_t now = it_now_ms();

    (void)level;
    (void)arg;
    fprintf(stderr, "%lld.%03lld %s: %s\n", (long long)(now / 1000), (long long)(now % 1000), category, line);
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* The clock has a thread, and a sanitizer starts one of its own with the first one. */
static void warm_up(void)
{
    pthread_t thread;

    it_running_ms();
    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

static int run(const char *family, const struct options *options)
{
    char title[64];
    int failures = 1;

    if (!it_sandbox_start(options->servers, TICK_MS))
        return 1;
    odezk_log_set_callback(options->verbose ? print_line : drop_line, NULL);
    if (options->verbose)
        odezk_log_set_level(ODEZK_LOG_DEBUG);
    snprintf(title, sizeof title, "%s, %d server%s", family, options->servers, options->servers == 1 ? "" : "s");
    if (CU_initialize_registry() == CUE_SUCCESS) {
        CU_pSuite suite = CU_add_suite(title, NULL, NULL);
        CU_basic_set_mode(CU_BRM_VERBOSE);
        add_tests(suite, options);
        CU_basic_run_tests();
        failures = (int)CU_get_number_of_failures();
        CU_cleanup_registry();
    }
    it_sandbox_stop();
    return failures == 0 ? 0 : 1;
}

int it_main(int argc, char **argv, const char *family, const struct it_test *tests)
{
    struct options options = {.servers = 1};

    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: %s [--servers 1|3] [--faultless] [--long] [--only TEST] [--verbose]\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    it.family = family;
    it.tests = tests;
    warm_up();
    return run(family, &options);
}
