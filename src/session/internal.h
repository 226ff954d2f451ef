/* What the files of the session share: session.c (its life), conn.c (one client of the servers), request.c, watch.c,
 * renewal.c (of the lease) and silence.c (servers that do not answer). */
#ifndef OZ_SESSION_INTERNAL_H
#define OZ_SESSION_INTERNAL_H

#include "session/lease.h"
#include "session/resolve.h"
#include "session/session.h"

#include <pthread.h>

#define OZ_LISTENERS 8
#define OZ_CONN_STATES 16
#define OZ_NOWHERE_SIZE (512 + 32) /* the longest base, and a name below it */

/* One client of the servers. It outlives its session until all its threads are gone. */
struct oz_conn {
    struct oz_session *session;
    void *port;
    struct oz_list ops; /* in flight, oldest first */
    int in_flight;
    int64_t opened;
    char *all;       /* servers, as they were looked up */
    char *hosts;     /* those that the client has: perhaps without a silent one */
    bool fewer;      /* that is so */
    char left[64];   /* the address that it was told to move away from, */
    int64_t left_at; /* and when */
    pthread_t closer;
    bool has_closer;
    struct oz_msg closed_msg;

    pthread_mutex_t lock; /* guards what follows: the client's threads write it */
    enum oz_port_state states[OZ_CONN_STATES];
    int state_count;
    bool watch_lost; /* there was no memory for a watch event: all watches fire */
    bool posted;
    struct oz_msg msg;
};

struct oz_session {
    struct oz_dispatch *dispatch;
    struct oz_timers *timers;
    const struct oz_port_class *port;
    struct oz_session_options options;
    struct oz_listener listeners[OZ_LISTENERS];
    int listener_count;
    char *servers, *auth, *root;
    int timeout_ms;
    int64_t margin_ms, lag_ms, period_ms; /* -1: from the negotiated timeout */

    odezk_session_state state;
    uint64_t generation;
    struct oz_identity identity;
    bool connected; /* to a server, as far as we were told */
    bool up;        /* the listeners know of the session */
    unsigned cuts;  /* how often the connection was lost */
    const char *failure;
    struct oz_timer fail_timer;

    /* conn.c */
    struct oz_conn *conn; /* the present one */
    int conns;            /* with those that are still being closed */
    struct oz_resolver *resolver;
    struct oz_timer resolve_timer;
    pthread_mutex_t trouble_lock; /* guards what follows, for oz_session_trouble() */
    char trouble[256];            /* why no names could be looked up, */
    char *tried;                  /* or the addresses that were found; may be NULL */

    /* request.c, watch.c */
    struct oz_list parked; /* requests that wait for a connection, or for others to be answered; in order */
    struct oz_list bulk;   /* the same, of those that may come in thousands: after the others */
    struct oz_timer flush_timer;
    struct oz_map watches;

    /* renewal.c */
    struct oz_lease lease;
    bool granting;
    const char *loss;  /* why it went */
    int64_t brief_end; /* a lease that ends here is too short to grant anything by */
    int64_t period;
    int lease_pending;
    int64_t waits_since; /* for any answer */
    bool slow_told;      /* once a session is enough */
    struct oz_timer lapse_timer, lease_timer;
    bool (*lease_write)(void *arg, const char **path, const char **data);
    void *lease_write_arg;

    /* silence.c */
    struct oz_timer silence_timer, connect_timer;
    int64_t patience; /* with a server that takes the connection and does not answer */
    bool silence_late;
    int64_t moved_at, may_move, move_pause; /* when the next silent server may be left, and how long after that */

    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    struct oz_msg closed_msg;
    bool closed_posted;
};

/* ---- session.c ---- */

void oz_session_tell(struct oz_session *s, enum oz_session_event event);
void oz_session_set_state(struct oz_session *s, odezk_session_state state, const char *why);
/* What the client says of its connection. */
void oz_session_port_changed(struct oz_session *s, enum oz_port_state state);
/* The connection is lost; the session may live on. */
void oz_session_cut(struct oz_session *s);
/* The session is over; a new one follows. */
void oz_session_down(struct oz_session *s, const char *why);
/* Gives the session up, and returns true, if its client has not answered since `since` and that is too long. */
bool oz_session_stuck(struct oz_session *s, int64_t since);
/* One of its clients is gone. */
void oz_session_conn_closed(struct oz_session *s);

/* ---- conn.c ---- */

/* Looks the servers up and makes a client of them. */
void oz_session_connect(struct oz_session *s);
/* The same in a moment: all nodes of an ensemble that was away come back at once, and are spread. */
void oz_session_connect_later(struct oz_session *s);
/* Looks the servers up again from time to time until one answers: they may move while we are cut off. */
void oz_session_watch_addresses(struct oz_session *s);
/* Has conn_news() run on the dispatcher's thread. Any thread, with conn->lock held. */
void oz_conn_post_news(struct oz_conn *conn);
/* Ends it and frees it, on a thread of its own: that may block for seconds. */
void oz_conn_close(struct oz_conn *conn);

/* ---- request.c ---- */

/* The path of a znode that never exists. To delete it is a write like any other, and leaves nothing behind. */
const char *oz_session_nowhere(const struct oz_session *s, char path[OZ_NOWHERE_SIZE]);
/* Sends what waits for a connection. */
void oz_session_flush(struct oz_session *s);
/* Answers all requests with OZ_GONE. Those in flight are freed when their client is gone. */
void oz_session_fail_ops(struct oz_session *s, struct oz_conn *conn);
void oz_conn_free_ops(struct oz_conn *conn);
/* When the oldest request in flight was sent; OZ_NEVER when there is none. */
int64_t oz_conn_oldest(const struct oz_conn *conn);
/* The port's `reply`. */
void oz_conn_reply(void *ctx, void *token, const struct oz_reply *reply);

/* ---- watch.c ---- */

/* Fires the watches of a path; NULL: all. */
void oz_session_fire_watches(struct oz_session *s, const char *path);
void oz_session_disarm_watches(struct oz_session *s);
/* The port's `watch`. */
void oz_conn_watch(void *ctx, const char *path);

/* ---- renewal.c ---- */

/* The lease of a new session. */
void oz_renewal_start(struct oz_session *s);
/* The lease of the same session on a new connection. */
void oz_renewal_resume(struct oz_session *s);
/* Follows either of them, once the listeners know of the connection: allows grants if the lease is held. */
void oz_renewal_run(struct oz_session *s);
/* Makes a lease write now, and goes on from there. */
void oz_renewal_write(struct oz_session *s);
/* A request that passed the leader was acknowledged. */
void oz_renewal_acked(struct oz_session *s, int64_t sent, int64_t acked, bool write);
/* Nothing is granted any more. */
void oz_renewal_lose(struct oz_session *s, const char *why);

/* ---- silence.c ---- */

/* Looks whether the server answers, for as long as there are requests in flight. */
void oz_silence_watch(struct oz_session *s);
/* Looks whether a server takes the connection. */
void oz_silence_connecting(struct oz_session *s);
/* It has answered a request. */
void oz_silence_answered(struct oz_session *s, int64_t sent, int64_t acked);
/* False: the client was told to leave a silent server, and is still there. */
bool oz_conn_moved(const struct oz_conn *conn);

#endif
