/* engine submit, verify, status. */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 50, SHOWN = 20 };

/* ---- submit ---- */

/* The number `index` of the names in a,b,c, starting again after the last. */
static void pick(const char *list, long index, char *out, size_t size)
{
    const char *p;
    long count = 1;

    for (p = list; *p; p++)
        count += *p == ',';
    for (index %= count; index > 0; index--)
        list = strchr(list, ',') + 1;
    snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
}

static int submit_all(struct store *s, const struct options *o)
{
    char node[NAME_SIZE], instance[NAME_SIZE], payload[NAME_SIZE];
    int64_t now = wall_ms();
    long i, names = 1;
    const char *p;

    for (p = o->nodes; *p; p++)
        names += *p == ',';
    snprintf(payload, sizeof payload, "work %ld", o->work_ms);
    for (i = 0; i < o->jobs; i++) {
        pick(o->nodes, i, node, sizeof node);
        /* as many jobs in a row as there are nodes are of one instance: they want its lock at the
         * same time */
        instance[0] = '\0';
        if (o->instances > 0)
            snprintf(instance, sizeof instance, "i%ld", i / names % o->instances + 1);
        if (store_submit(s, node, instance, payload, now + o->spread_ms * i / o->jobs) < 0)
            return -1;
    }
    return 0;
}

int submit_command(const struct options *o)
{
    struct store *s;
    int err;

    if (store_open(o->db, true, &s) != 0)
        return EXIT_FAILED;
    err = store_begin(s);
    if (err == 0) {
        err = submit_all(s, o);
        if (err == 0)
            err = store_commit(s);
        else
            store_rollback(s);
    }
    store_close(s);
    if (err == 0)
        printf("submitted %ld jobs\n", o->jobs);
    return err == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- verify ---- */

static void print_job(int64_t job, int64_t runs)
{
    printf(runs ? " %" PRId64 " (%" PRId64 " times)" : " %" PRId64, job, runs);
}

static void print_wrong(struct store *s, const char *what, bool often, int64_t count)
{
    if (count == 0)
        return;
    printf("%" PRId64 " jobs %s:", count, what);
    store_wrong_jobs(s, often, SHOWN, print_job);
    printf("%s\n", count > SHOWN ? " ..." : "");
}

static int judge(struct store *s)
{
    struct store_count c = {0};

    if (store_count(s, &c) != 0)
        return EXIT_FAILED;
    if (c.submitted > 0 && c.run_once == c.submitted && c.waiting + c.unknown + c.wrong_steps == 0) {
        printf("%" PRId64 " jobs, each run once\n", c.submitted);
        return EXIT_DONE;
    }
    if (c.submitted == 0)
        printf("no job was submitted\n");
    print_wrong(s, "not run", false, c.run_never);
    print_wrong(s, "run more than once", true, c.run_often);
    if (c.waiting > 0)
        printf("%" PRId64 " jobs still in the table\n", c.waiting);
    if (c.unknown > 0)
        printf("%" PRId64 " results of jobs that were never submitted\n", c.unknown);
    if (c.wrong_steps > 0)
        printf("%" PRId64 " instances lost a step: two jobs ran on one at the same time\n", c.wrong_steps);
    return EXIT_FAILED;
}

int verify_command(const struct options *o)
{
    const struct timespec poll = {0, POLL_MS * 1000000L};
    int64_t end = wall_ms() + o->wait_ms, waiting = 1;
    struct store *s;
    int exit_code;

    if (store_open(o->db, false, &s) != 0)
        return EXIT_FAILED;
    while (store_waiting(s, &waiting) == 1 && waiting > 0 && wall_ms() < end)
        nanosleep(&poll, NULL);
    exit_code = judge(s);
    store_close(s);
    return exit_code;
}

/* ---- status ---- */

static void print_node(const char *node, int64_t waiting, int64_t run)
{
    printf("%-16s %8" PRId64 " %8" PRId64 "\n", node, waiting, run);
}

static void print_last_done(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char stamp[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    printf("last job done at %s.%03dZ\n", stamp, (int)(ms % 1000));
}

int status_command(const struct options *o)
{
    struct store_count c = {0};
    struct store *s;
    int err;

    if (store_open(o->db, false, &s) != 0)
        return EXIT_FAILED;
    printf("%-16s %8s %8s\n", "node", "waiting", "run");
    err = store_per_node(s, print_node);
    if (err == 0)
        err = store_count(s, &c);
    if (err == 0 && c.last_done_ms > 0)
        print_last_done(c.last_done_ms);
    store_close(s);
    return err == 0 ? EXIT_DONE : EXIT_FAILED;
}
