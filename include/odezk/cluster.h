/* The cluster handle: its life, its session, its events. doc/threads.md says which callback runs where. */
#ifndef ODEZK_CLUSTER_H
#define ODEZK_CLUSTER_H

#include <odezk/config.h>
#include <odezk/error.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One ZooKeeper session and all that is done with it. */
typedef struct odezk_cluster odezk_cluster;

/** What a handle is in the cluster. */
typedef enum odezk_role {
    ODEZK_ROLE_MEMBER = 0,   /**< a live node that may become master */
    ODEZK_ROLE_OBSERVER = 1, /**< a live node that never becomes master */
    ODEZK_ROLE_CLIENT = 2    /**< not a member: reads, watches, takes locks */
} odezk_role;

#define ODEZK_CLUSTER_OPTIONS_VERSION 1

/** Start with ODEZK_CLUSTER_OPTIONS_INIT, so that fields added later have their defaults. */
typedef struct odezk_cluster_options {
    unsigned version; /**< ODEZK_CLUSTER_OPTIONS_VERSION */
    odezk_role role;
} odezk_cluster_options;

#define ODEZK_CLUSTER_OPTIONS_INIT                                                                                     \
    {                                                                                                                  \
        ODEZK_CLUSTER_OPTIONS_VERSION, ODEZK_ROLE_MEMBER                                                               \
    }

typedef enum odezk_session_state {
    ODEZK_SESSION_CONNECTING = 0, /**< no session yet */
    ODEZK_SESSION_CONNECTED = 1,
    ODEZK_SESSION_SUSPENDED = 2, /**< disconnected; the session, and within the lease every grant, lives on */
    ODEZK_SESSION_LOST = 3,      /**< the servers ended the session; a new generation follows automatically */
    ODEZK_SESSION_CLOSED = 4     /**< closed by us, or refused: final */
} odezk_session_state;

/** A constant name such as "connected"; "unknown" for any other number. Any thread; never blocks. Since 0.1. */
const char *odezk_session_state_name(odezk_session_state state);

typedef enum odezk_event_type {
    ODEZK_EVENT_SESSION = 1 << 0,    /**< the session changed its state */
    ODEZK_EVENT_READY = 1 << 1,      /**< joined: this node is a member (again) */
    ODEZK_EVENT_MEMBER = 1 << 2,     /**< a node joined, left or restarted */
    ODEZK_EVENT_MASTER = 1 << 3,     /**< who is master, as this handle sees it, changed */
    ODEZK_EVENT_MASTERSHIP = 1 << 4, /**< this node's own mastership began or ended */
    ODEZK_EVENT_REFUSED = 1 << 5,    /**< this node may not join; the handle is being closed */
    ODEZK_EVENT_ALL = (1 << 6) - 1
} odezk_event_type;

typedef enum odezk_member_change {
    ODEZK_MEMBER_JOINED = 0,
    ODEZK_MEMBER_LEFT = 1,
    ODEZK_MEMBER_RESTARTED = 2 /**< same id, newer incarnation: what the previous one held is lost */
} odezk_member_change;

/** A constant name such as "joined"; "unknown" for any other number. Any thread; never blocks. Since 0.1. */
const char *odezk_member_change_name(odezk_member_change change);

/** An event. Strings are valid during the callback only. Fields that do not belong to the type are zero. */
typedef struct odezk_event {
    odezk_event_type type;
    int64_t time_ms; /**< wall clock, milliseconds since 1970: for people, never compare it */
    /* SESSION */
    odezk_session_state state;
    uint64_t generation; /**< counts the sessions of this handle, from 1; 0 before the first */
    /* READY, MEMBER, MASTER */
    const char *id;      /**< the node's id; NULL in MASTER: there is none */
    int64_t incarnation; /**< of two processes with one id the later has the larger (modulo 2^32) */
    odezk_member_change change;
    /* MASTER, MASTERSHIP */
    int64_t epoch; /**< the fencing token of the mastership: grows with each one */
    bool held;     /**< MASTERSHIP: began (true) or ended */
    /* MASTERSHIP that ended: "lease", "session", "resigned", "closing", "removed"; REFUSED: the whole
     * sentence; a state SESSION LOST or CLOSED: why. NULL otherwise. */
    const char *reason;
    int error; /**< REFUSED: the error code */
} odezk_event;

/**
 * A receiver of events. Runs on the handle's callback thread, one callback at a time, in the order in
 * which things happened; none is dropped. It may call every function that does not block (those that
 * block return ODEZK_EINCALLBACK), but not odezk_cluster_free() on this handle. A slow callback delays later
 * callbacks, but neither lease nor mastership nor locks.
 */
typedef void (*odezk_event_cb)(odezk_cluster *cluster, const odezk_event *event, void *arg);

typedef struct odezk_subscription odezk_subscription;

/**
 * Makes a handle. Does nothing on the network; the node id is settled from here on.
 *
 * @param config  the settings, copied; NULL means the defaults
 * @param options NULL means ODEZK_CLUSTER_OPTIONS_INIT
 * @param out     set to the handle, to be closed and freed with odezk_cluster_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EINVAL (out is NULL, an unknown options version or role); ODEZK_ECONFIG (settings that do not
 *         fit each other, or a log4c file that cannot be used); ODEZK_ENOMEM; ODEZK_ESYSTEM (no thread could be
 *         started, or no descriptor opened)
 *
 * Any thread, also inside a callback; does not block on the network. Since 0.1.
 */
int odezk_cluster_new(const odezk_config *config, const odezk_cluster_options *options, odezk_cluster **out);

/**
 * Begins to connect and to join, and keeps trying automatically: while servers are not up yet, after lost
 * connections and after expired sessions.
 *
 * @return ODEZK_OK (also when it was started before); ODEZK_EDUPLICATE, ODEZK_ECHROOT, ODEZK_EAUTH, ODEZK_ESERVER (it
 *         was refused meanwhile, as odezk_cluster_join() says); ODEZK_EINVAL; ODEZK_ECLOSED; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_cluster_start(odezk_cluster *cluster);

/**
 * Starts the handle if that was not done, and waits until the node is a member (a client: until it is
 * connected). A node that restarts waits here until the session of its previous incarnation has ended. One whose id a
 * living node has is refused as soon as that node has proven to be alive, which takes a third of the session timeout at
 * most when the servers answer.
 *
 * @param timeout_ms how long to wait at most, in milliseconds; 0 only looks. The handle keeps trying after a time-out.
 * @return ODEZK_OK; ODEZK_EUNREACHABLE (no server answered in time); ODEZK_ETIMEDOUT (connected, but not yet a member);
 *         ODEZK_EDUPLICATE (a living node has this id: odezk_last_error() names its host and pid; the handle is
 *         being closed); ODEZK_ECHROOT, ODEZK_EAUTH, ODEZK_ESERVER (a server refuses the session or the member znode;
 * the handle is being closed); ODEZK_ECLOSED; ODEZK_EINCALLBACK; ODEZK_EINVAL; ODEZK_EFORKED
 *
 * Any thread but a callback's. Since 0.1.
 */
int odezk_cluster_join(odezk_cluster *cluster, int timeout_ms);

/**
 * Leaves the cluster and ends the session. Grants end first (locks, then mastership), then membership;
 * blocking calls of other threads return ODEZK_ECLOSED, and all pending callbacks have run when it returns.
 * When no server can be reached, the others see this node leave at the end of the session timeout.
 *
 * @return ODEZK_OK (also when closed before); ODEZK_EINCALLBACK (use odezk_cluster_begin_close()); ODEZK_EINVAL;
 *         ODEZK_EFORKED
 *
 * Any thread but a callback's; returns within milliseconds when a server answers, within 6 seconds when none
 * does, plus the time that the program's own callbacks take. Since 0.1.
 */
int odezk_cluster_close(odezk_cluster *cluster);

/**
 * Begins what odezk_cluster_close() does and returns at once. A SESSION event with the state CLOSED reports the end.
 *
 * @return ODEZK_OK (also when closed before); ODEZK_EINVAL; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_cluster_begin_close(odezk_cluster *cluster);

/**
 * Closes the handle if that was not done, and frees it. NULL does nothing. No other thread may be inside a call on
 * this handle; lock handles of it stay valid until they are freed. Not inside a callback of this handle (it does
 * nothing there, and logs an error). Since 0.1.
 */
void odezk_cluster_free(odezk_cluster *cluster);

/** The node's id ("" for a client); owned by the handle. Works from odezk_cluster_new() on. Any thread. Since 0.1. */
const char *odezk_cluster_node_id(const odezk_cluster *cluster);

/**
 * Sets what this node publishes about itself besides host, pid, version and start time. The next write of the member
 * znode carries it; what is set before joining is there from the start.
 *
 * @param key   1 to 64 characters of A-Z a-z 0-9 . _ -
 * @param value UTF-8 text, copied; NULL removes the key
 * @return ODEZK_OK; ODEZK_EINVAL (bad key or text, or more than 1,024 bytes in all); ODEZK_ESTATE (a client);
 *         ODEZK_ECLOSED; ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks on the network. Since 0.1.
 */
int odezk_cluster_set_metadata(odezk_cluster *cluster, const char *key, const char *value);

/**
 * Registers a receiver of events. It first gets the present state as events (session, members as joined, ready, master,
 * own mastership, refused), then every change.
 *
 * @param types ODEZK_EVENT_* ored together
 * @param out   set to the registration; may be NULL (it then lasts as long as the handle)
 * @return ODEZK_OK; ODEZK_EINVAL; ODEZK_ENOMEM; ODEZK_ECLOSED; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_cluster_subscribe(odezk_cluster *cluster, unsigned types, odezk_event_cb cb, void *arg,
                            odezk_subscription **out);

/**
 * Ends a registration and frees it. On return its callback is not running and will not run again (except when
 * called from inside it). NULL does nothing. Must come before odezk_cluster_free().
 *
 * Any thread, also inside a callback; waits for a running callback of this registration. Since 0.1.
 */
void odezk_cluster_unsubscribe(odezk_cluster *cluster, odezk_subscription *subscription);

#define ODEZK_SESSION_INFO_VERSION 1

/** What is known of the session, without asking the network. Set `version` before the call. */
typedef struct odezk_session_info {
    unsigned version; /**< ODEZK_SESSION_INFO_VERSION */
    odezk_session_state state;
    uint64_t generation;
    int64_t session_id;    /**< 0 when there is none */
    int timeout_ms;        /**< as negotiated with the server; 0 when there is none */
    int64_t lease_left_ms; /**< how long grants hold without hearing from a server; 0 when lapsed */
} odezk_session_info;

/**
 * @param info filled in; untouched on failure
 * @return ODEZK_OK; ODEZK_EINVAL (NULL, or an unknown version); ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_cluster_session(odezk_cluster *cluster, odezk_session_info *info);

#ifdef __cplusplus
}
#endif

#endif
