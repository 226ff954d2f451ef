/*
 * The runner of the fault suite: what its files know of each other. One thread does everything. It
 * waits in pump() only, which takes in what the nodes recorded and ends faults that are due.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "record.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum { NODES_MAX = 5, SERVERS = 3 };

struct options {
    uint64_t seed;
    int minutes, nodes, timeout_ms, tick_ms;
    const char *only, *scenario, *logs;
    int rounds;
    bool no_namespace, no_helper;
};

extern struct options options;

/* ---- util.c ---- */

/* A line with the time since the start. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends everything: the suite itself does not work. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
double seconds(int64_t time); /* since the start */

void dice_seed(uint64_t seed);
int dice(int from, int to); /* both included */

struct times { /* a distribution */
    int64_t *ns;
    int count, size;
};
void times_add(struct times *times, int64_t ns);
void times_print(struct times *times, const char *name);
void times_free(struct times *times);

/* ---- faults.c ---- */

/* The nodes do not agree although nothing is amiss: there is no point in going on. */
_Noreturn void end_early(const char *when);

/* ---- loop.c ---- */

/* Waits, and meanwhile does what is due. */
void pump(int ms);
/* The same until the condition holds; false when it did not within the time. */
bool pump_until(int ms, bool (*condition)(void *arg), void *arg);
/* Does something later. */
void later(int ms, void (*what)(int argument), int argument);
/* Does now what would be done later. */
void finish_everything(void);
extern volatile sig_atomic_t interrupted;

/* ---- process.c ---- */

struct child {
    pid_t pid;    /* 0: none */
    int in, out;  /* its standard input and output, or -1 */
    int farewell; /* the signal that it gets when the runner dies; 0: SIGKILL */
};

/* Starts a program: `fd` becomes its descriptor 3 (-1: none), standard error goes to `log` (NULL:
 * nowhere). */
void child_start(struct child *child, const char *const argv[], bool output, int fd, const char *log);
void child_tell(struct child *child, const char *line);
/* Ends it by its pid, and waits for it. */
void child_kill(struct child *child);
/* Waits for its end. */
bool child_wait(struct child *child, int ms);
/* A program of the build directory: valid until the next call. */
const char *program(const char *name);

/* ---- ensemble.c: the servers ---- */

void ensemble_start(void);
void ensemble_stop(void);
const char *ensemble_server(int server); /* address:port, servers from 1 */
const char *ensemble_servers(void);      /* the connect string */
/* "pause", "cont", "stop", "start" of one server, in the order of the calls. */
void ensemble_order(const char *verb, int server);
void ensemble_order_all(const char *verb);
bool ensemble_busy(void); /* an order is under way */
void ensemble_wait(void); /* until none is */
void ensemble_turn(void); /* for pump() */
/* All run and serve. */
bool ensemble_serves(void);
int ensemble_leader(void); /* 0: nobody says so */
const char *ensemble_dir(void);
pid_t ensemble_pid(void); /* the sandbox's */
/* Since when no server is disturbed; INT64_MAX: one is. */
extern int64_t servers_calm_since;
void servers_disturb(void);
void servers_calm(int argument);

/* ---- network.c: between the servers ---- */

/* First of all: a network of our own, where that can be had. */
void network_enter(void);
bool network_can_cut(void);
/* Cuts a server off from the others, or heals that (0). */
bool network_cut(int server);

/* ---- what is known of a node ---- */

enum { NOBODY = -1 }; /* incarnations count from 0 */

/* As the node itself told, with its present handle. */
struct seen {
    int handle;
    int session;         /* an odezk_session_state */
    int64_t incarnation; /* NOBODY: it is no member */
    int64_t view[NODES_MAX + 1];
    int master;
    int64_t epoch;
};

/* What was counted of its process already. */
struct count {
    uint64_t late[CALLS], errors[ERRORS];
    int64_t hanging[CALLERS];
    bool silent;
};

/* What it had at its first rest, and at the last one. */
struct growth {
    int rests;
    int64_t since, until;
    long fds, threads, first_memory, memory;
    bool told;
};

/* ---- links.c: the proxy ---- */

void links_start(void);
void links_stop(void);
/* As the proxy takes it; 0: all. Returns the number in the answer. */
int link_order(const char *verb, int node, int server, int argument);
const char *link_servers(int node); /* its connect string */

/* ---- nodes.c: the nodes' processes ---- */

struct node {
    int number;
    struct child child;
    struct record *record; /* NULL: it has no process */
    int life;              /* counts its processes */
    bool stopped;          /* by SIGSTOP */
    bool busy;             /* a fault is on */
    bool leaves;           /* told to leave, and not yet to join again */
    bool helpless;         /* its helper was killed */
    int64_t calm_since;    /* since when no fault is on; INT64_MAX: one is */
    struct seen seen;
    struct count count;
    struct growth growth;
};

extern struct node nodes[NODES_MAX + 1]; /* from 1 */

void node_start(int node);
void node_kill(int node);
void node_stop(int node);
void node_continue(int node);
void node_tell(int node, const char *order);
bool node_is_out(int node); /* it has left, and freed its handle */
/* Marks it as disturbed, or at peace again. */
void node_disturb(int node);
void node_calm(int node);
void nodes_turn(void); /* for pump() */
/* The node that claims the mastership; 0: none just now. */
int claiming_master(int64_t *epoch);
/* What the calls of a node's process came to, since it was last asked. */
void nodes_count(void);
void nodes_report(void);

/* ---- helpers.c: the nodes' helper processes ---- */

int helpers_count(int node);
bool helper_kill(int node); /* false: it has none */

/* ---- growth.c ---- */

/* At rest: its descriptors, threads and memory. */
void growth_check(int node);
void growth_report(void);

/* ---- members.c: who saw whom come and go ---- */

void members_forget(int node, int handle); /* what it saw with another handle */
void members_event(int node, const struct event *event);
void members_killed(int node, int64_t time);
void members_left(int node);
/* At rest. */
void members_check(void);
/* All that have a process see each other, and nobody else. */
bool members_agree(void);
void members_tell_disagreement(void);
/* How often a node whose process lived was seen to join, leave or restart. */
extern long living_changes;
void members_report(void);

/* ---- claims.c ---- */

void claims_add(const struct claim *claim, int node, int life);
/* Looks for contradictions between all claims so far, with those that are not over. */
void claims_check(void);
/* This mastership may overlap with the next one. */
void claims_excuse(int64_t epoch);
/* At rest, after a check: only the newest can be contradicted any more. */
void claims_forget(void);
/* Of a mastership: when it was claimed last, and when the next one first; false when that did not
 * happen yet. */
bool claims_handover(int64_t epoch, int64_t *ended, int64_t *next);
void claims_report(void);

/* ---- checks ---- */

enum check {
    CHECK_MASTERS,
    CHECK_HOLDERS,
    CHECK_TOKENS,
    CHECK_UNNOTICED,
    CHECK_TWICE,
    CHECK_LIVING,
    CHECK_ZNODES,
    CHECK_WRITES,
    CHECK_HANGS,
    CHECK_ERRORS,
    CHECK_GROWTH,
    CHECK_REST,
    CHECK_LOST,
    CHECKS
};

extern long violations[CHECKS];
const char *check_name(enum check check);
void violation(enum check check, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- handover.c: how long a change of the master takes ---- */

/* Something happens to the master. */
void handover_begin(const char *kind, int64_t time, int64_t epoch);
void handovers_turn(void); /* for pump() */
void handovers_report(void);

/* ---- actions.c ---- */

bool actions_choose(const char *only); /* names with commas; false: one is not known */
void actions_print(void);
/* One fault, taken at random; false when none is possible just now. */
bool act(void);
long actions_count(void);
void actions_report(void);

/* ---- settle.c ---- */

/* Ends all faults, and checks everything at rest; with `leave` also with nobody in the cluster. */
void settle(bool leave);
/* Waits until all nodes are members and agree; false when they do not in time. */
bool converge(void);
/* As a foreign hand: the election znode of this mastership. */
bool remove_seat(int64_t epoch);
void settle_begin(void); /* once, when the servers serve */
void settle_end(void);

/* ---- scenario.c ---- */

/* false: there is no such scenario. */
bool scenario_known(const char *name);
void scenario_run(const char *name, int rounds);

#endif
