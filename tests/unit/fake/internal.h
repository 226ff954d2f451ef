/* What the files of the scripted ensemble know of each other. From below: the tree of znodes, the servers, the line
 * between client and server, the port that the library sees, the tests' hands. */
#ifndef FAKE_INTERNAL_H
#define FAKE_INTERNAL_H

#include "../fake_zk.h"

#include "base/clock.h"

#include <pthread.h>

#define ZK_SHORT (300 * OZ_MS) /* how long a fault lasts that says nothing else */

/* ---- trees ---- */

struct node {
    char *path;
    uint32_t hash, parent; /* of the path, and of the path without its last part */
    char *data;
    size_t len;
    struct oz_znode_stat stat;
    int64_t pzxid;
    int32_t counter;
};

struct tree {
    struct node **nodes; /* in the order of creation */
    size_t count, size;
    int64_t zxid;
};

/* One change, as it is decided by the leader and applied by every server. */
struct change {
    enum oz_verb verb;
    char *path;
    char *data;
    size_t len;
    int64_t zxid, time_ms, owner;
};

/* ---- clients ---- */

struct watch {
    struct watch *next;
    bool child;
    bool server, client; /* registered there */
    char path[];
};

struct session {
    struct session *next;
    int64_t id, timeout;
    int64_t touched; /* what the leader knows */
    bool active;     /* what the follower has yet to report */
    bool foreign, dead;
    bool forced; /* ended before its time */
};

struct order { /* a request under way */
    struct order *next;
    enum oz_verb verb;
    char *path, *data;
    size_t len;
    int flags;
    bool watch, versioned;
    int32_t version;
    struct order *items;
    size_t count;
    void *token;
    enum fake_fault fault;
};

struct message { /* under way to the client */
    struct message *next;
    bool event;
    char *path; /* of the event, or the watch that the reply confirms */
    bool child;
    struct oz_reply reply;
    char *name, *data, **names;
    void *token;
    int64_t zxid;
};

struct port {
    struct port *next;
    int slot;
    const struct oz_port_events *events;
    void *ctx;
    char *hosts, *chroot;
    char peer[64];
    int timeout_ms;
    bool auth;
    bool connected, dead;
    bool move, wake; /* the server is in the list no more; a request was submitted since */
    struct session *session;
    struct order *orders, *late; /* late: sent on a connection that broke, still on their way to the leader */
    struct message *messages;
    struct watch *watches;
    int64_t seen, last_sent, attempt_at;
};

/* The line of a machine, and the server at its other end. */
struct slot {
    int64_t cut_until, stop_until, hold_until, lag_until;
    struct tree tree; /* of its server, while that one lags */
    size_t applied;   /* changes, while it lags */
    bool lags, lag_next;
    int opened;
};

struct ensemble {
    struct tree leader;
    struct change *changes;
    size_t change_count, change_size;
    int64_t next_session, next_report, half_tick;
    struct session *sessions;
    struct port *ports;
    struct slot slots[FAKE_SLOTS];
    long requests, fault_at;
    int fault_slot, most_in_flight, negotiated_ms, open_failure, close_delay_ms;
    enum fake_fault fault;
    bool fault_happened, duplicate, auth_failure, lost_close, disconnect_first, prompt;
    char *denied;
    enum oz_rc denied_rc;
    bool readable; /* what is denied may be read */
    unsigned (*below)(unsigned n);
    int turn;
    bool trace;
};

extern struct ensemble zk;
extern pthread_mutex_t zk_lock; /* of all of it: whoever calls what follows has it */

/* ---- tree.c ---- */

/* These end the program when there is no memory. */
void *zk_need(void *p);
char *zk_copy(const void *data, size_t len);
char *zk_copy_string(const char *s);
/* From now; OZ_NEVER stays what it is. */
int64_t zk_later(int64_t time);

struct node *zk_new_node(const char *path, const void *data, size_t len);
void zk_add_node(struct tree *t, struct node *node);
struct node *zk_find(const struct tree *t, const char *path);
struct node *zk_find_parent(const struct tree *t, const char *path);
bool zk_is_child(const struct node *dir, const struct node *node);
size_t zk_count_children(const struct tree *t, const struct node *dir);
void zk_clone_tree(struct tree *to, const struct tree *from);
void zk_free_tree(struct tree *t);
void zk_apply(struct tree *t, const struct change *c);

/* ---- server.c ---- */

void zk_free_order(struct order *o);
void zk_free_message(struct message *m);
void zk_free_watches(struct port *p);
void zk_append_order(struct order **end, struct order *o);
void zk_append_message(struct port *p, struct message *m);
void zk_send_event(struct port *p, const char *path);
/* Makes it if there is none. */
struct watch *zk_find_watch(struct port *p, const char *path, bool child);
/* As the client's server sees it, which may lag. */
const struct tree *zk_tree_of(const struct port *p);
void zk_begin_lag(int number, int64_t until);
void zk_catch_up(int number, size_t until);
void zk_end_lag(int number);
void zk_commit(enum oz_verb verb, const char *path, const void *data, size_t len, int64_t owner, int64_t zxid);
void zk_end_session(struct session *s);
void zk_force_end(struct session *s); /* before its time */
/* What the server answers, for zk_append_message(). */
struct message *zk_serve(struct port *p, const struct order *o);

/* ---- link.c ---- */

/* How the line breaks: what was sent on it is done now, late, or never. */
enum sent { LOST, DONE, LATE };

/* 0: it has no session, or the session ended. */
int64_t zk_id_of(const struct port *p);
void zk_touch(struct session *s);
bool zk_is_listed(const struct port *p, const char *address);
void zk_connect(struct port *p);
void zk_disconnect(struct port *p);
void zk_fail_attempt(struct port *p); /* to connect */
void zk_cut(int number, int64_t time, enum sent sent);
void zk_stop(int number, int64_t time);
void zk_go_on(int number);
void zk_spurious(struct port *p);
void zk_process(struct port *p);
void zk_deliver(struct port *p);

/* ---- port.c ---- */

void zk_free_port(struct port *p);
int zk_in_flight(const struct port *p);
bool zk_is_stopped(int slot);

#endif
