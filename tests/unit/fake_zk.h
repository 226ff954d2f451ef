/* An ensemble of ZooKeeper servers in memory, behind the ZooKeeper port (session/port.h). It does
 * what the servers and the C client promise, and nothing by itself: requests, replies and watch
 * events move when the test steps; time is oz_now(), so it stands still unless the test moves it.
 *
 * There is one ensemble at a time. A client says by the port number of its first server which of
 * the slots it is: a slot is one machine, with one line to one server. All functions may be called
 * by any thread. */
#ifndef FAKE_ZK_H
#define FAKE_ZK_H

#include "session/port.h"

#define FAKE_SLOTS 32 /* 1 to 31 */

extern const struct oz_port_class fake_port;

void fake_begin(void);
void fake_end(void); /* false alarms aside, no port may be open any more */

/* ---- the flow of time and messages ---- */

/* Does the next thing: one request at a server or one message to a client. False when nothing is to
 * be done now. */
bool fake_step(void);
/* When the ensemble has something to do by itself; OZ_NEVER if only on request. */
int64_t fake_next(void);
/* Makes fake_step() choose at random among what could be next; NULL: in turn. */
void fake_set_random(unsigned (*below)(unsigned n));
/* How much of a tick passes between two reports of a follower to its leader. Default: 1 s. */
void fake_set_half_tick(int64_t ns);
/* Whether followers tell the leader of their clients' activity late, as real ones do (the default),
 * or at once. */
void fake_set_silent_followers(bool silent);

/* ---- faults ---- */

enum fake_fault {
    FAKE_NONE,
    FAKE_LOSS_BEFORE,    /* the connection breaks before the server sees the request */
    FAKE_LOSS_AFTER,     /* the connection breaks when the request is done, the reply is lost */
    FAKE_LOSS_LATE,      /* as the former, but it is done late, and the client's next server lags */
    FAKE_UNSENT,         /* submit refuses it */
    FAKE_UNKNOWN_UNDONE, /* the reply says "unknown", the connection stays */
    FAKE_UNKNOWN_DONE,
    FAKE_EXPIRE_BEFORE, /* the session ends */
    FAKE_EXPIRE_AFTER,
    FAKE_CUT_LAPSE,  /* no connection for longer than the lease, but not than the session */
    FAKE_CUT_LONG,   /* no connection for longer than the session */
    FAKE_STOP_LAPSE, /* the process stands still for longer than its lease */
    FAKE_STOP_LONG,  /* the same for its session */
    FAKE_HOLD,       /* whatever comes from the server takes 300 ms */
    FAKE_LAG,        /* the server lags 300 ms behind the others */
    FAKE_SPURIOUS,   /* all watches of the client fire without need */
    FAKE_DUPLICATE,  /* watch events come twice from now on */
    FAKE_FAULTS
};

const char *fake_fault_name(enum fake_fault fault);

/* The n-th request from now (1 is the next), of one slot or (0) of any, meets this fault. */
void fake_set_fault(int slot, long n, enum fake_fault fault);
/* Whether the fault that was set has happened. */
bool fake_fault_happened(void);
long fake_requests(void); /* submitted since fake_begin() */

/* The same by hand. Times are from now, in nanoseconds; OZ_NEVER until fake_heal(). */
void fake_cut(int slot, int64_t time, bool done); /* `done`: what was sent arrives still */
void fake_stop(int slot, int64_t time);
void fake_hold(int slot, int64_t time);
void fake_lag(int slot, int64_t time);
void fake_heal(int slot); /* ends all four */
void fake_expire(int slot);
void fake_spurious(int slot);
bool fake_stopped(int slot);

/* For all: */
void fake_set_auth_failure(bool fails);
void fake_set_open_failure(int error);                   /* errno; 0: none */
void fake_set_lost_close(bool lost);                     /* close does not reach the server */
void fake_set_disconnect_first(bool first);              /* told before the requests in flight are answered */
void fake_set_denied(const char *prefix, enum oz_rc rc); /* of paths; NULL: none */
void fake_set_read_only(const char *prefix);             /* what is written there is denied; ends like the former */
void fake_set_timeout(int ms);                           /* what is negotiated; 0: what the client asks for */
void fake_set_close_delay(int ms);                       /* of real time */

/* ---- what is there ---- */

bool fake_exists(const char *path);
/* A copy of the data, to be freed; NULL when there is no such node. */
char *fake_data(const char *path);
bool fake_stat(const char *path, struct oz_znode_stat *stat);
int fake_count(const char *dir); /* children */
int fake_below(const char *dir); /* all nodes below */
/* The name of the child number i of a directory, in the order of creation; to be freed. */
char *fake_child(const char *dir, int i);
int fake_ephemerals(const char *prefix); /* whose paths begin so */
int fake_watches(int slot);              /* that the server holds for the client */
int fake_ports(void);                    /* open ones */
int64_t fake_session(int slot);          /* of the open port; 0: none */
/* When the leader ends the session, or has ended it, if it hears no more from now on; OZ_NEVER:
 * there is none. */
int64_t fake_session_end(int slot);
/* Whether its session was ended before its time, which the client was not told yet: no lease
 * foresees that. */
bool fake_is_doomed(int slot);
char *fake_hosts(int slot);   /* as opened, or set last; to be freed */
int fake_opened(int slot);    /* how many clients were opened */
int fake_in_flight(int slot); /* requests and replies under way */
int fake_most_in_flight(void);
void fake_print(void);

/* ---- a foreign hand ---- */

int64_t fake_foreign_session(void); /* one that lives until it is ended by fake_end_session() */
void fake_end_session(int64_t id);
bool fake_create(const char *path, const char *data, int64_t owner); /* makes what is above, too */
bool fake_delete(const char *path);
bool fake_set(const char *path, const char *data);
/* Changes contents behind everybody's back: no watch, no new version. */
void fake_forge(const char *path, const char *data);
/* What the next sequential child gets. */
void fake_set_counter(const char *dir, int32_t next);

#endif
