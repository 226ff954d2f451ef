/* The job table: one SQLite file that the nodes of a machine share. A store is one connection, for
 * one thread. */
#ifndef ENGINE_STORE_H
#define ENGINE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_SIZE 65

struct job {
    int64_t id;
    char instance[NAME_SIZE]; /* "" when the job belongs to none */
    char payload[NAME_SIZE];
};

struct execution {
    const struct job *job;
    const char *node;
    int64_t incarnation;
    int64_t steps; /* of the instance, after this job */
    int64_t token; /* of the instance's lock; 0 without one */
};

struct store;

/* Every function but those that return nothing: -1 when the database failed (then it has said why
 * on stderr). */
int store_open(const char *path, bool create, struct store **out);
void store_close(struct store *s);

int store_begin(struct store *s); /* for writing, at once: a transaction never fails half-way for
                                     want of the lock */
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Nodes that have ever run on this table: the only ones that may be given jobs. */
int store_add_node(struct store *s, const char *node);
int store_is_node(struct store *s, const char *node); /* 1 or 0 */

int store_submit(struct store *s, const char *node, const char *instance, const char *payload, int64_t due_ms);

/* How many of the node's due jobs were written to `jobs`, the longest due first. */
int store_due(struct store *s, const char *node, struct job *jobs, int size);
int store_postpone(struct store *s, const struct job *job, const char *node, int64_t due_ms);
int store_steps(struct store *s, const char *instance, int64_t *steps);

/* In a transaction: 1 when the job is still this node's and all of it is written; 0 when it is not,
 * or when a later holder of the instance's lock was here (roll back). */
int store_execute(struct store *s, const struct execution *e);

/* In a transaction: 1, and no master of an earlier epoch gets through any more; 0 when a later one
 * was here. */
int store_fence(struct store *s, int64_t epoch);
/* Calls `each` for every node id that has jobs. */
int store_owners(struct store *s, void (*each)(const char *node, void *arg), void *arg);
int store_jobs_of(struct store *s, const char *node, struct job *jobs, int size);
int store_give(struct store *s, int64_t job, const char *from, const char *to);

int store_waiting(struct store *s, int64_t *jobs);
struct store_count {
    int64_t submitted, waiting, run_once, run_never, run_often, unknown, wrong_steps, last_done_ms;
};
int store_count(struct store *s, struct store_count *count);
/* Jobs run any other number of times than once; `each` gets at most `limit` of them. */
int store_wrong_jobs(struct store *s, bool often, int limit, void (*each)(int64_t job, int64_t runs));
int store_per_node(struct store *s, void (*each)(const char *node, int64_t waiting, int64_t run));

int64_t wall_ms(void);

#endif
