/* What one process has of one key. Only lock.c and lock_wait.c look inside. */
#ifndef OZ_LOCK_ENTRY_H
#define OZ_LOCK_ENTRY_H

#include "recipe/lock.h"
#include "znode/seat.h"

#define OZ_ANSWER_WITHIN_MS 250 /* a holder that lives answers a request within a few round trips */

#define OZ_SPACE_SIZE 65 /* of a space's name, with its end */

struct oz_locks {
    struct oz_session *session;
    struct oz_timers *timers;
    struct oz_grants *grants;
    char *root, *owner, *sticky_spaces;
    int operation_ms, handovers, sticky_max;
    int64_t sticky_idle;
    int64_t clock; /* behind by a quarter of that, or a second */
    const char *(*trouble)(void *arg);
    void *arg;
    struct oz_map entries; /* by "space/key" */
    struct oz_list sticky; /* held and idle, the longest unused first */
    int sticky_count;
    struct oz_list remembered; /* not held, but known to be wanted by others too */
    int remembered_count;
    struct oz_timer idle_timer;
    struct oz_msg work_msg; /* brings released entries to the dispatcher */
    struct oz_list work;
    bool work_posted;
    char inbox[80];      /* "" when there is none */
    unsigned inbox_turn; /* changes with it */
    bool inbox_read;     /* since the session connected last */
    unsigned seats;      /* how many were asked for: no two have the same name */
    bool closed;
};

static inline void oz_locks_lock(struct oz_locks *locks)
{
    pthread_mutex_lock(&locks->grants->lock);
}

static inline void oz_locks_unlock(struct oz_locks *locks)
{
    pthread_mutex_unlock(&locks->grants->lock);
}

enum entry_state {
    FREE,     /* nothing */
    CREATING, /* the znode was asked for, or is being looked for after a lost reply */
    ASKING,   /* another holds it, and is asked for it; nobody here waits longer than that */
    QUEUED,   /* a seat in the queue, taken or asked for */
    TAKING,   /* first in the queue: the lock for the seat */
    HELD,     /* the znode is ours */
    DELETING  /* not certain yet that it is gone */
};

/* What an entry needs only while something is going on. */
struct effort {
    struct oz_list waiting; /* attempts, first come first served */
    struct oz_seat *seat;
    struct oz_op *op;
    void (*replied)(struct entry *e, const struct oz_reply *reply);
    void (*read)(struct entry *e, const struct oz_reply *reply); /* behind a barrier */
    void (*read_again)(struct entry *e);
    struct oz_op *ask_op;  /* the request to the holder, while we wait for the lock itself */
    struct oz_watch watch; /* of the lock, of the seat before ours, or of our request in an inbox */
    void (*fired)(struct entry *e);
    struct oz_timer timer;
    void (*due)(struct entry *e);
    char *request;      /* our entry in the holder's inbox */
    int64_t asked;      /* which holder was asked: the czxid of its lock */
    bool contended;     /* another holds it or was before us: the queue is the way to it */
    bool looked;        /* after a create that came too early */
    bool second_look;   /* the holder was asked, and answered */
    bool behind_delete; /* the create follows a delete of ours, of which it is not known whether it arrived */
};

/* Small, as there are as many as there are sticky locks. */
struct entry {
    struct oz_map_node node;
    struct oz_list link; /* in `sticky`, `remembered` or `work` */
    struct oz_locks *locks;
    struct effort *effort;              /* NULL while nothing is going on */
    odezk_lock *grant;                  /* who has it in this process */
    int64_t czxid;                      /* of the lock's znode: the fencing token */
    int64_t serial;                     /* grants under it */
    int64_t idle_since;                 /* while it is held and idle */
    int64_t shared_until;               /* until then others are expected to want it too */
    int64_t released;                   /* when it last was */
    unsigned inbox_turn;                /* of the inbox that the znode names */
    unsigned short grants_while_wanted; /* in a row, since others may be waiting */
    unsigned char state;
    bool wanted;         /* others are known to wait for it */
    bool queue_first;    /* we had our turn: others go before us */
    bool working;        /* in `work` */
    bool evict;          /* not to be kept, to make room */
    bool eager;          /* who released it took it again at once */
    unsigned char space; /* length of the space in the name */
    char name[];         /* "space/key" */
};

/* ---- lock.c ---- */

/* Does the next thing that is missing. May free the entry. */
void oz_entry_step(struct entry *e);
void oz_entry_hold(struct entry *e, int64_t czxid);
/* The same for a znode that was found to be ours: it may be an older one, and name another inbox or none. */
void oz_entry_hold_found(struct entry *e, int64_t czxid);
void oz_entry_set_free(struct entry *e);
/* The server refuses for good: every attempt is told. */
void oz_entry_give_up(struct entry *e, enum oz_rc rc);
void oz_entry_create(struct entry *e);
/* It is known that another holds the lock: from here on the attempts' own times count, not the network's. Those that do
 * not want to wait are refused. */
void oz_entry_others_hold(struct entry *e);
bool oz_entry_unwanted(const struct entry *e);
/* Whether nobody here waits, so that the holder is only asked; once, and then the lock is looked at again. */
bool oz_entry_may_ask(const struct entry *e);

#define OZ_OWNER_SIZE 768
void oz_entry_owner(const struct entry *e, char owner[OZ_OWNER_SIZE]); /* what our znodes say */
/* To be freed; NULL when out of memory. */
char *oz_entry_path(const struct entry *e); /* of the lock */
char *oz_entry_dir(const struct entry *e);  /* of the directory that it is in */
char *oz_entry_queue_dir(const struct entry *e);
char *oz_entry_request_path(const struct entry *e, const char *inbox); /* where its owner is asked for the lock */
char *oz_entry_encoded(const struct entry *e);                         /* the key as a path component */

/* The one request, timer or watch that an entry waits for. `submit` takes the path over and frees it, NULL being out of
 * memory; when it fails, `again` is called a little later. */
void oz_entry_submit(struct entry *e, struct oz_request *request, char *path,
                     void (*replied)(struct entry *e, const struct oz_reply *reply), void (*again)(struct entry *e));
/* The same, after a watch of that path was armed. */
void oz_entry_submit_watch(struct entry *e, char *path, void (*replied)(struct entry *e, const struct oz_reply *reply),
                           void (*fired)(struct entry *e), void (*again)(struct entry *e));
/* Behind a barrier: it shows what became of all that was sent on a broken connection. */
void oz_entry_read_again(struct entry *e, void (*replied)(struct entry *e, const struct oz_reply *reply),
                         void (*again)(struct entry *e));
void oz_entry_later(struct entry *e, int64_t delay, void (*due)(struct entry *e));
void oz_entry_stop(struct entry *e); /* no reply, timer or watch comes any more */

/* ---- lock_wait.c ---- */

void oz_entry_ask(struct entry *e);         /* for attempts that do not wait */
void oz_entry_queue(struct entry *e);       /* for those that do */
void oz_entry_leave_queue(struct entry *e); /* gives seat and request up */
/* Somebody takes us for the holder while we wait behind others: looks whether we are. */
void oz_entry_doubt(struct entry *e);

#endif
