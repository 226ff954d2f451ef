/* The session, the only place that knows whether we are alive. It keeps one ZooKeeper session alive, replaces it by a
 * new generation when the servers ended it, carries requests over lost connections, and holds the lease.
 *
 * All functions belong to the dispatcher's thread, unless they say otherwise. */
#ifndef OZ_SESSION_H
#define OZ_SESSION_H

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "session/dispatch.h"
#include "session/port.h"

#include <odezk/cluster.h>

struct oz_session;

#define OZ_RETRY_AFTER (100 * OZ_MS) /* before what has failed is tried again */

/* ---- its life ---- */

/* What recipes are told, in the order in which they were added. */
enum oz_session_event {
    OZ_UP,         /* connected with a new session */
    OZ_SUSPENDED,  /* disconnected; the session may live on */
    OZ_RESUMED,    /* connected again, same session */
    OZ_LEASE_HELD, /* grants may be given from now on */
    OZ_LEASE_LOST, /* every grant is over; the session may live on */
    OZ_DOWN        /* the session is over (always after OZ_LEASE_LOST, if the lease was held) */
};

struct oz_listener {
    void (*event)(void *self, enum oz_session_event event);
    void *self;
};

struct oz_session_options {
    const odezk_config *config;
    struct oz_dispatch *dispatch;
    const struct oz_port_class *port;
    /* Told of each change of state, after the listeners, with why it came (NULL or a sentence). */
    void (*state)(void *arg, odezk_session_state state, const char *why);
    /* The session cannot be had, whatever is tried again: ODEZK_EAUTH, ODEZK_ECHROOT. */
    void (*refused)(void *arg, int error, const char *why);
    void *arg;
};

/* NULL when out of memory. */
struct oz_session *oz_session_new(const struct oz_session_options *options);
void oz_session_listen(struct oz_session *s, const struct oz_listener *listener);
void oz_session_start(struct oz_session *s);
/* Ends the session; `closed` is called on the dispatcher once every thread of the client is gone. */
void oz_session_close(struct oz_session *s, void (*closed)(void *arg), void *arg);
/* Gives the session up, as if the servers had ended it; a new one follows. */
void oz_session_fail(struct oz_session *s, const char *why);
/* After `closed` was called, or before any start. NULL does nothing. */
void oz_session_free(struct oz_session *s);

/* ---- its timers ---- */

struct oz_timers *oz_session_timers(struct oz_session *s);
/* Arms, or re-arms, one of them, to fire after so many nanoseconds. */
void oz_session_later(struct oz_session *s, struct oz_timer *timer, int64_t delay, void (*fire)(void *), void *arg);

/* ---- what is known of it ---- */

int64_t oz_session_id(const struct oz_session *s); /* 0 when there is none */
bool oz_session_connected(const struct oz_session *s);
bool oz_session_granting(const struct oz_session *s);    /* connected or not: the lease is held */
const char *oz_session_loss(const struct oz_session *s); /* why the lease went: "lease", "session", "closing" */
odezk_session_state oz_session_state(const struct oz_session *s);
uint64_t oz_session_generation(const struct oz_session *s);
int oz_session_timeout(const struct oz_session *s); /* milliseconds, as negotiated; 0 before */
/* What another process needs to resume the session once this one is dead; and where: numeric addresses and chroot. */
const struct oz_identity *oz_session_identity(const struct oz_session *s);
const char *oz_session_hosts(const struct oz_session *s); /* "" when there is no session */
/* Why there has been no connection so far: a sentence, or "" when nothing is known. Any thread. */
void oz_session_trouble(struct oz_session *s, char *text, size_t size);
/* When the lease lapses, in nanoseconds of oz_now(). Any thread. Read it before what it guards: the guard is cleared
 * before the lease is ever prolonged past a lapse. */
int64_t oz_session_lease_end(const struct oz_session *s);

/* Which znode the lease writes go to: called before each write, sets path and data (both valid until the next call) or
 * returns false, and a harmless write elsewhere takes its place. */
void oz_session_set_lease_write(struct oz_session *s, bool (*write)(void *arg, const char **path, const char **data),
                                void *arg);

/* ---- requests ---- */

struct oz_op;
typedef void (*oz_op_cb)(void *owner, const struct oz_reply *reply);

/* Sends a request now, or when connected again. The callback comes exactly once, never before this returns: with
 * OZ_UNKNOWN when the connection broke and the request is not to be repeated (`retry`), with OZ_GONE when the session
 * ended. NULL when out of memory: then it does not come. */
struct oz_op *oz_submit(struct oz_session *s, const struct oz_request *request, oz_op_cb cb, void *owner);
/* Once this is answered (not with OZ_GONE) a read shows what became of all that the session ever sent, on whatever
 * connection: it is a write, and all writes pass the leader in order. (A sync is none: a leader answers it before what
 * it has not committed yet.) Repeated until it is certain. NULL when out of memory. */
struct oz_op *oz_barrier(struct oz_session *s, bool bulk, oz_op_cb cb, void *owner);
/* The callback will not come, and the request is not repeated. NULL does nothing. */
void oz_op_detach(struct oz_op *op);
/* A callback for a request whose answer nobody needs, but which has to be done: without one it is not repeated. */
void oz_ignore_reply(void *owner, const struct oz_reply *reply);

/* ---- watches ---- */

struct oz_watch {
    struct oz_map_node node;
    struct oz_list link;
    char *path; /* owned while armed */
    void (*fire)(void *owner);
    void *owner;
};

/* Arms a watch; submit the GET or CHILDREN with `watch` right after it. It fires at most once, and perhaps without
 * need. It is disarmed when the session ends. False when out of memory. */
bool oz_watch_arm(struct oz_session *s, struct oz_watch *w, const char *path, void (*fire)(void *), void *owner);
void oz_watch_disarm(struct oz_session *s, struct oz_watch *w);

#endif
