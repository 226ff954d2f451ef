/* Whole clusters in one thread, on virtual time: handles of the public API on the scripted
 * ensemble, whose dispatchers run when the test says so. What must hold at every moment is checked
 * at every step. */
#ifndef WORLD_H
#define WORLD_H

#include "cluster/cluster.h"
#include "fake_zk.h"

#include <odezk/odezk.h>
#include <stdbool.h>
#include <stdint.h>

#define WORLD_NODES 12
#define WORLD_ATTEMPTS 64
#define WORLD_TIMEOUT 4000 /* milliseconds: of all sessions */
#define WORLD_ROOT "/ode/test"
#define WORLD_SPACE "space"

/* What a node's events said, in short, since the last world_said(): "connected +a#0 ready#0
 * master:a held". */
#define WORLD_SAID 2000

struct world_member {
    char id[65];
    int64_t incarnation;
};

/* A handle, and what its events told. */
struct world_node {
    odezk_cluster *cluster; /* NULL: a free place */
    char id[65];
    int slot;
    odezk_role role;
    bool started, crashed;
    odezk_session_state state;
    uint64_t generation;
    struct world_member members[WORLD_NODES];
    int member_count;
    int readies;
    int64_t incarnation;
    bool mastership;
    int64_t epoch;
    char master[65];
    int64_t master_epoch, newest_epoch;
    int refused;
    char refusal[256];
    char said[WORLD_SAID];
};

/* An attempt to lock, and the grant that came of it. */
struct world_attempt {
    bool used, done;
    struct world_node *node;
    char key[16];
    int wait_ms;
    int error;
    odezk_lock_request *request;
    odezk_lock *lock;
    bool released;
    int lost; /* how often that was told */
};

/* ---- the world ---- */

/* Opens the log and makes all that follows single-threaded and repeatable. Once per program. */
void world_open(void);
void world_close(void);

void world_begin(uint64_t seed);
/* Everything must be closed. */
void world_end(void);

/* What is tried at the moment, for messages. */
void world_context(const char *format, ...) __attribute__((format(printf, 1, 2)));
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool world_failed(void);   /* in this world */
long world_failures(void); /* in all worlds */

/* What happened in all worlds: a test that makes nothing happen tests nothing. */
struct world_counts {
    long sessions, joins, masterships, grants, losses;
};
const struct world_counts *world_counts(void);

unsigned world_random(unsigned below);

/* Threads of their own for the dispatchers from here on, and real time. */
void world_set_threads(bool threads);
/* The next calls of pthread_create() fail, with threads. */
void world_fail_threads(int count);

/* ---- time ---- */

/* One round: all that is to be done now. If there was nothing, time passes, at most to `until`. */
void world_turn(int64_t until);
void world_pass(int64_t ms);
/* Whether the condition came true in time. */
bool world_wait(bool (*condition)(void *arg), void *arg, int64_t ms);
/* Moves the clock without letting anybody do anything. */
void world_jump(int64_t ms);
void world_jump_to(int64_t at); /* of oz_now() */
int64_t world_now_ms(void);
/* Whether turns choose at random what is next, and how long it takes. */
void world_set_chaos(bool chaos);

/* ---- nodes ---- */

/* Makes a handle on a slot; NULL when that failed. It is started later. */
struct world_node *world_node(const char *id, odezk_role role, int slot);
struct world_node *world_node_with(const char *id, odezk_role role, int slot, const char *servers);
/* The same, started and settled. */
struct world_node *world_join(const char *id, odezk_role role, int slot);
/* Whether exactly these words were said since the last time. */
bool world_said(struct world_node *node, const char *words);
void world_start(struct world_node *node);
void world_begin_close(struct world_node *node);
bool world_is_closed(struct world_node *node);
/* Closes and frees it. */
void world_free(struct world_node *node);
/* Its machine is gone: nothing of it is heard any more, and nobody can look for its process. */
void world_crash(struct world_node *node);
bool world_is_ready(void *node);
/* All nodes that were started and did not crash are members, agree on who is, and on one master
 * among them. */
bool world_is_settled(void *unused);
/* Says why it is not. */
void world_explain(void);
struct world_node *world_master(void); /* by odezk_is_master(); NULL: none */
void world_each(void (*visit)(struct world_node *node));

/* ---- locks ---- */

struct world_attempt *world_lock(struct world_node *node, const char *key, int wait_ms);
bool world_is_done(void *attempt);
bool world_holds(const struct world_attempt *attempt);
int world_release(struct world_attempt *attempt);
/* Frees the grant, and the place. The attempt must be done. */
void world_drop(struct world_attempt *attempt);
void world_each_attempt(void (*visit)(struct world_attempt *attempt));

/* ---- sweeps ---- */

/* Runs a scenario again and again, each time with a fault at another request, until it makes no
 * more. */
void world_sweep_faults(const char *name, void (*scenario)(void));
/* The same with an allocation that fails. */
void world_sweep_memory(const char *name, void (*scenario)(void));
/* Ends what a scenario left, and checks that nothing is left anywhere. */
void world_clean(void);

#endif
