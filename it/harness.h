/*
 * What the integration tests share. Each program is one family of scenarios on one sandbox of real
 * servers; each test has a base path of its own, and may leave nothing: no znode, process, thread
 * or descriptor. Only the main thread may use these functions, unless they say otherwise.
 */
#ifndef IT_HARNESS_H
#define IT_HARNESS_H

#include <CUnit/CUnit.h>
#include <odezk/odezk.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Fails the test and ends it; what it made is taken down by the harness. */
#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        bool it_good = (condition);                                                                                    \
        CU_assertImplementation(it_good, __LINE__, #condition, __FILE__, "", CU_FALSE);                                \
        if (!it_good)                                                                                                  \
            return;                                                                                                    \
    } while (0)

/* Fails the test and goes on. */
#define CHECK(condition) CU_ASSERT(condition)

/* ---- the program (harness.c) ---- */

enum {
    IT_FAULTS = 1, /* kills, stops or pauses something: not run with --faultless */
    IT_QUORUM = 2  /* needs three servers */
};

struct it_test {
    const char *name;
    void (*body)(void);
    unsigned flags;
};

/* Runs the tests, the last of which has no name. Returns the exit code. */
int it_main(int argc, char **argv, const char *family, const struct it_test *tests);

/* Whether --long was given: tests that only gain by time take a minute. */
bool it_is_long(void);
/* Says something about the test that runs. */
void it_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The base path of the test that runs, and the root of its cluster in it. */
const char *it_base(void);
const char *it_root(void);
/* A path below the root: valid until the fourth call after it. */
const char *it_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- time (clock.c) ---- */

/* Milliseconds as they should be in this build: instrumented ones are slower. */
int it_ms(int ms);
int64_t it_now_ms(void);
/*
 * Milliseconds of a clock that stands still while the machine keeps this process from running. For upper bounds: what
 * took longer by it_now_ms() alone need not be anybody's fault.
 */
int64_t it_running_ms(void);
/* Waits until the condition holds; false when it did not within the time, by the clock that may stand still. */
bool it_until(int ms, bool (*condition)(void *arg), void *arg);
/* Where time itself is what is waited for. */
void it_pass(int ms);

/* The session timeouts: one that notices deaths soon, one that also outlives two seconds in which the machine stands
 * still, and one that no hiccup ends. */
enum { IT_SHORT = 2000, IT_STEADY = 5000, IT_LONG = 8000 };
void it_set_timeout(int ms); /* of what is made from now on; IT_LONG at the start of each test */
int it_timeout(void);

/* ---- cluster handles (harness.c) ---- */

/* The settings of this test; then pairs of setting and value, and NULL. The id may be NULL. */
odezk_config *it_config(const char *id, ...) __attribute__((sentinel));
/* A handle that is freed at the end of the test if that was not done. NULL: the test has failed. */
odezk_cluster *it_new(odezk_role role, const odezk_config *config);
odezk_cluster *it_open(odezk_role role, const char *id);
/* The same, joined. */
odezk_cluster *it_join(odezk_role role, const char *id);
void it_free(odezk_cluster *cluster);
/* A condition for it_until(): the lease of the handle lasts for half a session timeout more. */
bool it_has_lease(void *cluster);

/* ---- lines of events (events.c) ---- */

/*
 * What a handle or a process told, as lines: "session connected 1", "ready 3", "member joined a 3",
 * "master a 17" or "master none", "mastership began 17", "mastership ended 17 lease", "refused
 * ...". Patterns are those of fnmatch(3).
 */
struct it_log;

struct it_log *it_log_new(void);
void it_log_free(struct it_log *log);
/* Any thread. */
void it_log_add(struct it_log *log, const char *line);
/* Subscribes to all events of a handle. The log lasts to the end of the test. */
struct it_log *it_events(odezk_cluster *cluster);
/* Waits for a line behind the last one that was waited for. NULL: it did not come. The line is
 * valid until the end of the test. */
const char *it_expect(struct it_log *log, int ms, const char *pattern);
/* Waits for lines of all these patterns, up to NULL, in whatever order, anywhere in the log. */
bool it_expect_all(struct it_log *log, int ms, ...) __attribute__((sentinel));
/* How many lines there are of this pattern, from the first. */
int it_count(struct it_log *log, const char *pattern);
/* The last line of this pattern, or NULL. */
const char *it_last(struct it_log *log, const char *pattern);
/* The number at the end of a line, -1 for NULL. */
int64_t it_number(const char *line);
/* Writes all lines out, for people. */
void it_log_print(struct it_log *log, const char *title);

/* ---- processes (process.c) ---- */

struct it_process {
    struct it_process *next;
    pid_t pid; /* 0: it ended */
    int status;
    int out;
    char part[4096]; /* of a line */
    size_t part_length;
    struct it_log *log; /* its lines, events in their short form */
};

/* Starts `program`, looked for in the build directory, with arguments up to NULL; standard output
 * goes to its log. */
struct it_process *it_start(const char *program, ...) __attribute__((sentinel));
struct it_process *it_startv(const char *program, const char *const argv[]);
/* `odezk node --json` in this test's cluster, with more arguments up to NULL. */
struct it_process *it_node(const char *id, ...) __attribute__((sentinel));
/* Processes started from now on get this descriptor as number 3; -1: none. */
void it_inherit(int fd);
void it_signal(struct it_process *process, int signal);
/* Waits for its end: the exit code, 128 + signal, or -1 when it still runs. */
int it_exit(struct it_process *process, int ms);
/* Takes in what it wrote. */
void it_pump(void);
/* The tool's path. */
const char *it_odezk(void);
/* The path of a program of the build directory: valid until the next call. */
const char *it_program(const char *name);

/* ---- the servers (sandbox.c) ---- */

bool it_sandbox_start(int servers, int tick_ms);
void it_sandbox_stop(void);
pid_t it_sandbox_pid(void);
const char *it_servers(void); /* the connect string */
int it_server_count(void);
/* The port of a server (from 1) and its address. */
int it_server_port(int number);
const char *it_server_address(int number);
/* "stop", "start", "pause", "cont" of one server, from 1. */
bool it_server(const char *verb, int number);
bool it_all_servers(const char *verb);
/* All run again, and serve. */
void it_mend_servers(void);
/* What a server answers to a four-letter word; "" when it does not. */
void it_ask_server(int number, const char *word, char *answer, size_t size);
/* Waits until it is part of an ensemble that serves; false when that takes a minute. */
bool it_serves(int number);
bool it_leads(int number);

/* ---- a client of its own (zk.c) ---- */

/* Errors are those of the C client; requests are repeated until the connection is there. */
struct it_stat {
    int64_t czxid, owner;
};
enum { IT_OK = 0, IT_NONODE = -101, IT_EXISTS = -110 };

/* Its credentials, as the setting `auth` has them. */
#define IT_AUTH "digest:it:secret"

struct it_zk;
struct it_zk *it_zk_open(const char *servers, int timeout_ms);
void it_zk_close(struct it_zk *zk); /* ends its session */
/* The one that the harness itself uses; made when it is needed. */
struct it_zk *it_zk(void);
int it_zk_stat(struct it_zk *zk, const char *path, struct it_stat *stat);
int it_zk_create(struct it_zk *zk, const char *path, const char *data, bool ephemeral, bool sequence, char *name,
                 size_t size);
int it_zk_set(struct it_zk *zk, const char *path, const char *data);
int it_zk_get(struct it_zk *zk, const char *path, char *data, size_t size);
int it_zk_delete(struct it_zk *zk, const char *path);
/* The children's names; freed with it_names_free(). */
struct it_names {
    int count;
    char **names;
};
int it_zk_children(struct it_zk *zk, const char *path, struct it_names *names);
void it_names_free(struct it_names *names);
/* The only child of a directory whose name matches, as a path. */
const char *it_zk_find(const char *dir, const char *pattern);
/* How many children match. */
int it_zk_count(const char *dir, const char *pattern);
/* Removes a path and all below. */
void it_zk_remove(const char *path);
/*
 * Makes the servers end somebody's session. Its owner may have come back in that very moment; then
 * it hears nothing any more, and finds out when its client has lost patience.
 */
bool it_zk_expire(int64_t session);

/* ---- a proxy before a server (proxy.c) ---- */

struct it_proxy;
/* Listens on a free port of `address` (or on `port`), and forwards to server number `server`. */
struct it_proxy *it_proxy_new(const char *address, int port, int server);
int it_proxy_port(const struct it_proxy *proxy);
/* Any thread. While it holds, nothing passes, and connections stay open. */
void it_proxy_hold(struct it_proxy *proxy, bool hold);
/* Breaks all connections; with `refuse` no new one is accepted. */
void it_proxy_cut(struct it_proxy *proxy, bool refuse);
/* How many requests passed, and how often one came after an answer: the round trips. */
long it_proxy_requests(const struct it_proxy *proxy);
long it_proxy_round_trips(const struct it_proxy *proxy);
void it_proxy_free(struct it_proxy *proxy);

/* ---- claims: who believed when to have something (claims.c) ---- */

/*
 * Shared between processes. A claim is one grant of one claimant: from when it was certainly
 * believed in to when it certainly still was, on CLOCK_BOOTTIME.
 */
struct it_claims;
struct it_claims *it_claims_new(void);
int it_claims_fd(const struct it_claims *claims); /* for the descriptor of a child */
struct it_claims *it_claims_map(int fd);
void it_claims_free(struct it_claims *claims);
/* Any thread or process: `claimant` was asked between the two times and said yes, with this token.
 */
void it_claim(struct it_claims *claims, int claimant, int64_t token, int64_t before_ns, int64_t after_ns);
int64_t it_boottime_ns(void);
/* Waits for a grant with a larger token. */
bool it_claims_wait(const struct it_claims *claims, int ms, int64_t token);
/* From when a grant was certainly believed in; 0: it is not known. */
int64_t it_claims_first_ns(const struct it_claims *claims, int64_t token);
/* Who had the newest. */
int it_claims_last_claimant(const struct it_claims *claims);
/* How many grants were seen. */
int it_claims_count(const struct it_claims *claims);
/* The token of the newest, 0 for none; of one claimant, or of all (-1). */
int64_t it_claims_newest(const struct it_claims *claims, int claimant);
/* Whether no two overlap, and tokens grow with time. Otherwise says what does not. */
bool it_claims_exclusive(const struct it_claims *claims);

/* Processes that claim: "master", or "lock" for one lock that all of them take in turn. */
enum { IT_PACK = 3 };
struct it_pack {
    struct it_claims *claims;
    struct it_process *processes[IT_PACK];
};
bool it_pack_start(struct it_pack *pack, const char *what);
/* Ends those that still run. Whether each ended as it should. */
bool it_pack_stop(struct it_pack *pack);

#endif
