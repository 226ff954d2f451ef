#include "store.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUSY_TIMEOUT_MS = 10000 };

struct store {
    sqlite3 *db;
};

/* An execution is a row of its own, so that a job that ran twice shows. */
static const char schema[] = "CREATE TABLE IF NOT EXISTS node(nodeid TEXT PRIMARY KEY);"
                             "CREATE TABLE IF NOT EXISTS submitted(jobid INTEGER PRIMARY KEY "
                             "AUTOINCREMENT, instance TEXT NOT NULL);"
                             "CREATE TABLE IF NOT EXISTS job(jobid INTEGER PRIMARY KEY, nodeid "
                             "TEXT NOT NULL, due_ms INTEGER NOT NULL,"
                             " instance TEXT NOT NULL, payload TEXT NOT NULL);"
                             "CREATE INDEX IF NOT EXISTS job_due ON job(nodeid, due_ms);"
                             "CREATE TABLE IF NOT EXISTS result(jobid INTEGER NOT NULL, nodeid "
                             "TEXT NOT NULL, incarnation INTEGER NOT NULL,"
                             " token INTEGER NOT NULL, finished_ms INTEGER NOT NULL);"
                             "CREATE INDEX IF NOT EXISTS result_job ON result(jobid);"
                             "CREATE TABLE IF NOT EXISTS instance(id TEXT PRIMARY KEY, steps "
                             "INTEGER NOT NULL, token INTEGER NOT NULL);"
                             "CREATE TABLE IF NOT EXISTS fence(one INTEGER PRIMARY KEY CHECK (one "
                             "= 1), epoch INTEGER NOT NULL);"
                             "INSERT OR IGNORE INTO fence VALUES(1, 0);";

int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int complain(struct store *s)
{
    fprintf(stderr, "engine: database: %s\n", sqlite3_errmsg(s->db));
    return -1;
}

static int execute(struct store *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : complain(s);
}

/* Prepares a statement and binds its parameters: i is an int64_t, s a string. NULL when that
 * failed. */
static sqlite3_stmt *query(struct store *s, const char *sql, const char *types, ...)
{
    sqlite3_stmt *q;
    va_list args;
    int i, err = SQLITE_OK;

    if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK) {
        complain(s);
        return NULL;
    }
    va_start(args, types);
    for (i = 0; types[i] && err == SQLITE_OK; i++)
        err = types[i] == 'i' ? sqlite3_bind_int64(q, i + 1, va_arg(args, int64_t))
                              : sqlite3_bind_text(q, i + 1, va_arg(args, char *), -1, SQLITE_TRANSIENT);
    va_end(args);
    if (err == SQLITE_OK)
        return q;
    complain(s);
    sqlite3_finalize(q);
    return NULL;
}

/* Ends a query whose last step answered `step`: `value`, or -1 when that was neither a row nor the
 * end. */
static int end_query(struct store *s, sqlite3_stmt *q, int step, int value)
{
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        value = complain(s);
    sqlite3_finalize(q);
    return value;
}

/* Runs a statement that changes rows; how many it changed. */
static int change(struct store *s, sqlite3_stmt *q)
{
    int step;

    if (!q)
        return -1;
    step = sqlite3_step(q);
    return end_query(s, q, step, sqlite3_changes(s->db));
}

static int number(struct store *s, sqlite3_stmt *q, int64_t *value)
{
    int step;

    if (!q)
        return -1;
    step = sqlite3_step(q);
    if (step == SQLITE_ROW)
        *value = sqlite3_column_int64(q, 0);
    return end_query(s, q, step, step == SQLITE_ROW);
}

static const char *text(sqlite3_stmt *q, int column)
{
    const unsigned char *value = sqlite3_column_text(q, column);

    return value ? (const char *)value : "";
}

static int set_up(struct store *s, bool create)
{
    if (sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS) != SQLITE_OK)
        return complain(s);
    if (create && execute(s, "PRAGMA journal_mode=WAL") != 0)
        return -1;
    /* A commit survives the death of every process; only the machine's own crash may take the last
     * ones back. */
    if (execute(s, "PRAGMA synchronous=NORMAL") != 0)
        return -1;
    if (!create)
        return 0;
    if (store_begin(s) != 0)
        return -1;
    if (execute(s, schema) == 0)
        return store_commit(s);
    store_rollback(s);
    return -1;
}

int store_open(const char *path, bool create, struct store **out)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    struct store *s = calloc(1, sizeof *s);

    if (!s)
        return -1;
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        fprintf(stderr, "engine: %s: %s\n", path, sqlite3_errmsg(s->db));
        store_close(s);
        return -1;
    }
    if (set_up(s, create) != 0) {
        store_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s)
        sqlite3_close(s->db);
    free(s);
}

int store_begin(struct store *s)
{
    return execute(s, "BEGIN IMMEDIATE");
}

int store_commit(struct store *s)
{
    if (execute(s, "COMMIT") == 0)
        return 0;
    store_rollback(s);
    return -1;
}

void store_rollback(struct store *s)
{
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int store_add_node(struct store *s, const char *node)
{
    return change(s, query(s, "INSERT OR IGNORE INTO node VALUES(?)", "s", node));
}

int store_is_node(struct store *s, const char *node)
{
    int64_t one;

    return number(s, query(s, "SELECT 1 FROM node WHERE nodeid=?", "s", node), &one);
}

int store_submit(struct store *s, const char *node, const char *instance, const char *payload, int64_t due_ms)
{
    int64_t id;

    if (change(s, query(s, "INSERT INTO submitted(instance) VALUES(?)", "s", instance)) < 0)
        return -1;
    id = sqlite3_last_insert_rowid(s->db);
    if (change(s, query(s, "INSERT OR IGNORE INTO instance VALUES(?, 0, 0)", "s", instance)) < 0)
        return -1;
    return change(s, query(s, "INSERT INTO job VALUES(?, ?, ?, ?, ?)", "isiss", id, node, due_ms, instance, payload));
}

/* Reads rows of job id, instance, payload. */
static int read_jobs(struct store *s, sqlite3_stmt *q, struct job *jobs, int size)
{
    int n = 0, step = SQLITE_DONE;

    if (!q)
        return -1;
    while (n < size && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct job *job = &jobs[n++];

        job->id = sqlite3_column_int64(q, 0);
        snprintf(job->instance, sizeof job->instance, "%s", text(q, 1));
        snprintf(job->payload, sizeof job->payload, "%s", text(q, 2));
    }
    return end_query(s, q, step, n);
}

int store_due(struct store *s, const char *node, struct job *jobs, int size)
{
    return read_jobs(s,
                     query(s,
                           "SELECT jobid, instance, payload FROM job WHERE nodeid=? AND due_ms<=?"
                           " ORDER BY due_ms, jobid LIMIT ?",
                           "sii", node, wall_ms(), (int64_t)size),
                     jobs, size);
}

int store_jobs_of(struct store *s, const char *node, struct job *jobs, int size)
{
    return read_jobs(
        s, query(s, "SELECT jobid, instance, payload FROM job WHERE nodeid=? LIMIT ?", "si", node, (int64_t)size), jobs,
        size);
}

int store_postpone(struct store *s, const struct job *job, const char *node, int64_t due_ms)
{
    return change(s, query(s, "UPDATE job SET due_ms=? WHERE jobid=? AND nodeid=?", "iis", due_ms, job->id, node));
}

int store_steps(struct store *s, const char *instance, int64_t *steps)
{
    return number(s, query(s, "SELECT steps FROM instance WHERE id=?", "s", instance), steps);
}

int store_execute(struct store *s, const struct execution *e)
{
    const struct job *job = e->job;
    int hit = change(s, query(s, "DELETE FROM job WHERE jobid=? AND nodeid=?", "is", job->id, e->node));

    if (hit != 1)
        return hit;
    if (job->instance[0]) {
        hit = change(s, query(s, "UPDATE instance SET steps=?, token=? WHERE id=? AND token<=?", "iisi", e->steps,
                              e->token, job->instance, e->token));
        if (hit != 1)
            return hit;
    }
    return change(s, query(s, "INSERT INTO result VALUES(?, ?, ?, ?, ?)", "isiii", job->id, e->node, e->incarnation,
                           e->token, wall_ms()));
}

int store_fence(struct store *s, int64_t epoch)
{
    return change(s, query(s, "UPDATE fence SET epoch=? WHERE epoch<=?", "ii", epoch, epoch));
}

int store_owners(struct store *s, void (*each)(const char *node, void *arg), void *arg)
{
    sqlite3_stmt *q = query(s, "SELECT DISTINCT nodeid FROM job", "");
    int step;

    if (!q)
        return -1;
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        each(text(q, 0), arg);
    return end_query(s, q, step, 0);
}

int store_give(struct store *s, int64_t job, const char *from, const char *to)
{
    return change(s, query(s, "UPDATE job SET nodeid=? WHERE jobid=? AND nodeid=?", "sis", to, job, from));
}

int store_waiting(struct store *s, int64_t *jobs)
{
    return number(s, query(s, "SELECT COUNT(*) FROM job", ""), jobs);
}

/* How often each job ran, also those that never did. */
#define RUNS                                                                                                           \
    "(SELECT submitted.jobid AS jobid, COUNT(result.jobid) AS runs FROM submitted"                                     \
    " LEFT JOIN result ON result.jobid=submitted.jobid GROUP BY submitted.jobid)"

int store_count(struct store *s, struct store_count *count)
{
    const struct {
        const char *sql;
        int64_t *value;
    } all[] = {
        {"SELECT COUNT(*) FROM submitted", &count->submitted},
        {"SELECT COUNT(*) FROM job", &count->waiting},
        {"SELECT COUNT(*) FROM " RUNS " WHERE runs=1", &count->run_once},
        {"SELECT COUNT(*) FROM " RUNS " WHERE runs=0", &count->run_never},
        {"SELECT COUNT(*) FROM " RUNS " WHERE runs>1", &count->run_often},
        {"SELECT COUNT(*) FROM result WHERE jobid NOT IN (SELECT jobid FROM submitted)", &count->unknown},
        /* Each job reads its instance's steps under the lock and writes them back later: two
           holders lose one. */
        {"SELECT COUNT(*) FROM instance WHERE id<>'' AND steps<>(SELECT COUNT(*) FROM result JOIN "
         "submitted"
         " ON submitted.jobid=result.jobid WHERE submitted.instance=instance.id)",
         &count->wrong_steps},
        {"SELECT IFNULL(MAX(finished_ms), 0) FROM result", &count->last_done_ms},
    };
    size_t i;
    int err = execute(s, "BEGIN"); /* one snapshot for all of them */

    for (i = 0; i < sizeof all / sizeof all[0] && err >= 0; i++)
        err = number(s, query(s, all[i].sql, ""), all[i].value);
    store_rollback(s);
    return err < 0 ? -1 : 0;
}

int store_wrong_jobs(struct store *s, bool often, int limit, void (*each)(int64_t job, int64_t runs))
{
    sqlite3_stmt *q = query(s,
                            "SELECT jobid, runs FROM " RUNS " WHERE (?=0 AND runs=0) OR (?=1 AND runs>1)"
                            " ORDER BY jobid LIMIT ?",
                            "iii", (int64_t)often, (int64_t)often, (int64_t)limit);
    int step;

    if (!q)
        return -1;
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        each(sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1));
    return end_query(s, q, step, 0);
}

int store_per_node(struct store *s, void (*each)(const char *node, int64_t waiting, int64_t run))
{
    sqlite3_stmt *q = query(s,
                            "SELECT id, (SELECT COUNT(*) FROM job WHERE nodeid=id), "
                            "(SELECT COUNT(*) FROM result WHERE nodeid=id) FROM "
                            "(SELECT nodeid AS id FROM node UNION SELECT nodeid FROM job "
                            "UNION SELECT nodeid FROM result) ORDER BY id",
                            "");
    int step;

    if (!q)
        return -1;
    while ((step = sqlite3_step(q)) == SQLITE_ROW)
        each(text(q, 0), sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2));
    return end_query(s, q, step, 0);
}
