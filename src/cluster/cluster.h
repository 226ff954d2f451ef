/* The inside of a cluster handle, and what the files of this folder share. */
#ifndef OZ_CLUSTER_H
#define OZ_CLUSTER_H

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "reaper/reaper.h"
#include "recipe/election.h"
#include "recipe/grant.h"
#include "recipe/lock.h"
#include "recipe/membership.h"
#include "session/session.h"
#include "znode/inbox.h"

#include <odezk/odezk.h>
#include <pthread.h>
#include <stdatomic.h>

struct oz_pair {
    struct oz_pair *next;
    char *key, *value;
};

struct odezk_cluster {
    odezk_role role;
    char id[65];
    char *name, *root;
    uint64_t handle; /* number of this handle in its process */
    unsigned forks;
    int64_t started_ms;
    int operation_ms;

    struct oz_dispatch *dispatch; /* state machines */
    struct oz_dispatch *caller;   /* user's callbacks */
    struct oz_session *session;
    struct oz_reaper *reaper;
    struct oz_grants *grants;
    struct oz_locks *locks;
    struct oz_election *election;
    struct oz_membership *membership;
    struct oz_inbox *inbox; /* never opened for a client */
    bool log_open;

    struct oz_msg start_msg, close_msg, resign_msg, callbacks_done_msg;
    atomic_bool resign_posted;
    struct oz_timer leave_timer, view_timer;
    struct oz_list tasks; /* that wait for a connection; the dispatcher's */
    int active_tasks;     /* with those; the dispatcher's */
    bool closing;         /* the dispatcher's */
    bool remains;         /* a member left, its inbox may be there still; the dispatcher's */
    char *data;           /* of the member znode; the dispatcher's */

    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    bool started, close_begun, closed;
    bool ready;
    struct oz_node self; /* while ready */
    int refused;         /* an error code, and why */
    char refusal[256];
    odezk_session_state state;
    uint64_t generation;
    int64_t session_id;
    int timeout_ms;
    char waits_for[192]; /* the previous incarnation of our id */
    struct oz_view view;
    struct oz_leader leader; /* as read from the servers */
    struct oz_leader master; /* as announced: "" unless it is a live node */
    bool mastership;
    int64_t epoch;
    struct oz_pair *metadata;
    size_t metadata_size;
    bool metadata_changed;
    struct oz_list subscriptions;
    struct oz_map keyed; /* grants that were taken by key */
};

/* Whether a call may go on: not NULL, not a child's. Otherwise the error, with its sentence set. */
int oz_cluster_check(const odezk_cluster *cluster);
/* The same for a call that blocks. */
int oz_cluster_check_blocking(const odezk_cluster *cluster);
/* Whether one argument is right: ODEZK_OK or ODEZK_EINVAL, with its sentence set. */
int oz_check_out(const void *out);
/* ODEZK_EUNREACHABLE, with a sentence that says why, as far as that is known. */
int oz_cluster_unreachable(odezk_cluster *cluster, int timeout_ms);
int oz_check_timeout(int timeout_ms);
int oz_check_lock(const char *space, const char *key);
/* Starts it if that was not done. ODEZK_OK or ODEZK_ECLOSED. */
int oz_cluster_start(odezk_cluster *cluster);
/* On the dispatcher: begins to close it. */
void oz_cluster_end(odezk_cluster *cluster);

/* ---- parts.c ---- */

/* Makes the parts and connects them. False when out of memory; the caller frees what was made. */
bool oz_parts_make(odezk_cluster *cluster, const odezk_config *config);
/* On the dispatcher: records and announces a new state of the session. */
void oz_parts_state(odezk_cluster *cluster, odezk_session_state state, const char *why);

/* ---- events.c; on the dispatcher ---- */

void oz_emit(odezk_cluster *cluster, const odezk_event *event);
void oz_emit_session(odezk_cluster *cluster, odezk_session_state state, const char *why);
void oz_subscriptions_free(odezk_cluster *cluster);

/* ---- keyed.c ---- */

void oz_keyed_free(odezk_cluster *cluster);

/* ---- task.c: a blocking call that asks the servers ---- */

#define OZ_WINDOW 64               /* the most requests that a task has under way */
#define OZ_POLL_AFTER (20 * OZ_MS) /* how often a task looks whether another node has answered */

struct oz_task {
    struct oz_msg msg, left_msg; /* to the dispatcher: it begins; its caller has left */
    struct oz_list link;         /* in the cluster's list, while it waits for a connection */
    odezk_cluster *cluster;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int refs; /* the calling thread's, the dispatcher's, and that of left_msg */
    bool done;
    bool abandoned; /* the calling thread has left */
    int error;
    char why[256];
    bool offline; /* it runs without a connection, too, and makes no request then */
    /* On the dispatcher, with a connection: makes requests and sets timers. When none is under way any more it calls
     * oz_task_finish(), or oz_task_again() if a request was answered by OZ_GONE. */
    void (*run)(struct oz_task *task);
    void (*destroy)(struct oz_task *task); /* frees what embeds it */
};

/* Runs a task to its end, or to the deadline. On ODEZK_OK its results may be read until oz_task_unref(). */
int oz_task_run(odezk_cluster *cluster, struct oz_task *task, int timeout_ms);
void oz_task_unref(struct oz_task *task);
void oz_task_init(struct oz_task *task, void (*run)(struct oz_task *task), void (*destroy)(struct oz_task *task));
void oz_task_finish(struct oz_task *task, int error, const char *why);
/* The session ended: runs the task again, with the next session. */
void oz_task_again(struct oz_task *task);
/* Whether the calling thread has given up waiting: nobody needs the result. */
bool oz_task_abandoned(struct oz_task *task);
/* Starts the tasks that wait for a connection; with an error, ends them. */
void oz_tasks_go(odezk_cluster *cluster, int error);

#endif
