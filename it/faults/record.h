/*
 * What a node writes down for the runner, in memory that both have mapped: it is still there when
 * the node was killed. All times are nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef FAULTS_RECORD_H
#define FAULTS_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { KEYS = 4, WORKERS = 2, CLAIM_RING = 1024, EVENT_RING = 4096, ERRORS = 64 };

#define NS_PER_MS INT64_C(1000000)

/* The key that stands for the mastership. */
#define MASTERSHIP KEYS

/*
 * A grant that was believed in. The library said yes at some instant between `first_before` and
 * `first_after`, and again at some instant between `last_before` and `last_after`.
 */
struct claim {
    int64_t key, token;
    int64_t asked; /* when the lock was asked for; of a mastership `first_before` */
    int64_t first_before, first_after;
    int64_t last_before, last_after;
};

/* The claims of one thread, which has at most one at a time. */
struct claims {
    _Atomic uint64_t head, tail;
    struct {
        _Atomic int64_t token; /* 0: there is none */
        _Atomic int64_t key, asked, first_before, first_after, last_before, last_after;
    } open;
    struct claim ring[CLAIM_RING]; /* those that are over */
};

enum event_type { EVENT_SESSION, EVENT_READY, EVENT_MEMBER, EVENT_MASTER, EVENT_REFUSED };

struct event {
    int64_t time;
    int32_t type;
    int32_t node;   /* whose, from 1; 0: nobody's */
    int32_t handle; /* counts the handles of the process, from 1 */
    int32_t detail; /* the session's state, or the member's change */
    int64_t incarnation, epoch;
};

enum call {
    CALL_JOIN,
    CALL_CLOSE,
    CALL_FREE,
    CALL_IS_MASTER,
    CALL_RESIGN,
    CALL_RESIGN_NODE,
    CALL_STATUS,
    CALL_ACQUIRE,
    CALL_ACQUIRE_ASYNC,
    CALL_RELEASE,
    CALL_WRITE,
    CALL_MASTER_WRITE,
    CALLS
};

enum { CALLER_MAIN, CALLER_ASKER, CALLER_VISITOR, CALLER_SCRIBE, CALLER_WORKER, CALLERS = CALLER_WORKER + WORKERS };

/* The call that a thread is in. */
struct caller {
    _Atomic int64_t since; /* by the running clock, from 1; 0: in none */
    _Atomic int64_t limit;
    _Atomic int call;
};

struct call_count {
    _Atomic uint64_t count;
    _Atomic uint64_t late; /* ended more than a second behind the deadline */
    _Atomic int64_t slowest;
};

enum phase { PHASE_OUT, PHASE_JOINING, PHASE_IN };

struct record {
    /* The runner's orders. */
    _Atomic int64_t skew; /* of CLOCK_REALTIME */
    atomic_bool quiet;    /* take no more locks */
    atomic_bool steady;   /* ask nobody to resign */
    /* The node's answers. */
    atomic_int phase;
    atomic_int working;      /* threads that have or want a lock, or ask the servers */
    _Atomic int64_t beat;    /* when the asking thread last ran */
    _Atomic int64_t running; /* a clock that stands still while the process does */
    _Atomic uint64_t answers, grants, writes, refused_writes;
    _Atomic uint64_t errors[ERRORS]; /* that no fault explains, by their code */
    struct caller callers[CALLERS];
    struct call_count calls[CALLS];
    struct claims claims[1 + WORKERS]; /* the asking thread's, then the workers' */
    _Atomic uint64_t event_head, event_tail;
    struct event events[EVENT_RING];
};

/* A new one, with a descriptor for the node; NULL: errno. */
struct record *record_make(int *fd);
/* The same memory in the node. */
struct record *record_map(int fd);
void record_free(struct record *record);

int64_t record_now(void);

/* ---- the node's side ---- */

void claim_begin(struct claims *claims, const struct claim *claim);
void claim_again(struct claims *claims, int64_t before, int64_t after);
void claim_end(struct claims *claims);

void event_put(struct record *record, const struct event *event);

/* The asking thread: it runs. */
void beat(struct record *record);

/* `limit_ms`: when the call has to be over, at the latest. */
void call_begin(struct record *record, int caller, enum call call, int limit_ms);
void call_end(struct record *record, int caller);

/* ---- the runner's side ---- */

/* The next claim that is over. */
bool claim_take(struct claims *claims, struct claim *claim);
/* The claim that is not over, as far as it got. */
bool claim_peek(struct claims *claims, struct claim *claim);
bool event_take(struct record *record, struct event *event);

/* How far a call that is still under way is behind its deadline, not counting what the process was
 * stopped. */
int64_t call_behind(const struct record *record, int caller);

const char *call_name(enum call call);

#endif
