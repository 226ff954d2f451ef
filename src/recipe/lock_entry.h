/* What this process knows of one lock. Only lock.c and the lock_*.c look inside, with the grants' mutex held. */
#ifndef OZ_LOCK_ENTRY_H
#define OZ_LOCK_ENTRY_H

#include "base/clock.h"
#include "recipe/lock.h"
#include "znode/seat.h"

#define OZ_SPACE_SIZE 65  /* of a space's name, with its end */
#define OZ_OWNER_SIZE 768 /* of what our znodes say of us */
/* A node that had to give a lock up, or to wait for it, does not keep it sticky for this long. */
#define OZ_SHARED_FOR (2 * OZ_SECOND)

struct oz_locks {
    struct oz_session *session;
    struct oz_timers *timers;
    struct oz_grants *grants;
    char *root, *owner, *sticky_spaces;
    int operation_ms, handovers, sticky_max;
    int64_t sticky_idle;
    int64_t clock; /* of the last idle tick: up to two seconds behind */
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
    char inbox[80];         /* the name of this node's; "" when there is none */
    unsigned inbox_turn;    /* changes with it */
    unsigned requests_left; /* in the inboxes of others, since the last idle tick */
    bool inbox_read;        /* since the session connected last */
    unsigned seats;         /* how many were asked for: no two have the same name */
    bool closed;
};

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
    struct oz_watch watch; /* of the lock, ours or not, of the seat before ours, or of our request in an inbox */
    void (*fired)(struct entry *e);
    struct oz_timer timer;
    void (*due)(struct entry *e);
    char *request;      /* our entry in the holder's inbox */
    int64_t asked;      /* which holder was asked: the czxid of its lock */
    bool contended;     /* another holds it, or waited before us: we have to queue */
    bool looked;        /* once more, after a create that came too early */
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
    bool eager;          /* whoever released it took it again at once */
    unsigned char space; /* length of the space in the name */
    char name[];         /* "space/key" */
};

/* ---- what is small, or on the way to a sticky lock ---- */

static inline void oz_locks_lock(struct oz_locks *locks)
{
    pthread_mutex_lock(&locks->grants->lock);
}

static inline void oz_locks_unlock(struct oz_locks *locks)
{
    pthread_mutex_unlock(&locks->grants->lock);
}

/* Nobody in this process waits for it. */
static inline bool oz_entry_unwanted(const struct entry *e)
{
    return !e->effort || oz_list_empty(&e->effort->waiting);
}

/* Nobody can ask us for this lock: its znode names no inbox, or not the present one. Nor can an operator who ends it
 * say so. */
static inline bool oz_entry_unreachable(const struct entry *e)
{
    return !e->locks->inbox[0] || e->inbox_turn != e->locks->inbox_turn;
}

/* Whether others may wait for the lock: they said so, or did a moment ago, or there was no inbox to say so in. */
static inline bool oz_entry_others_may_wait(const struct entry *e, int64_t now)
{
    return e->wanted || e->shared_until > now || oz_entry_unreachable(e);
}

/* Another node wants the lock, or has it. */
static inline void oz_entry_met_others(struct entry *e, int64_t now)
{
    e->shared_until = now + OZ_SHARED_FOR;
}

/* Takes it out of the list that it is in: sticky, remembered or work. */
static inline void oz_entry_unlist(struct entry *e)
{
    struct oz_locks *locks = e->locks;

    if (oz_list_empty(&e->link))
        return;
    oz_list_remove(&e->link);
    if (e->working) {
        e->working = false;
    } else if (e->state == HELD) {
        locks->sticky_count--;
    } else {
        locks->remembered_count--;
    }
}

static inline struct entry *oz_entry_find(const struct oz_locks *locks, const char *space, const char *key)
{
    struct oz_map_node *node = oz_map_find_parts(&locks->entries, space, key);

    return node ? oz_container(node, struct entry, node) : NULL;
}

/* ---- lock_entry.c ---- */

/* NULL when out of memory. There must be none of that name. */
struct entry *oz_entry_new(struct oz_locks *locks, const char *space, const char *key);
/* False when out of memory. */
bool oz_entry_need_effort(struct entry *e);
void oz_entry_drop_effort(struct entry *e);
void oz_entry_drop(struct entry *e);
/* Goes through all entries; `visit` may free the one it is given. */
void oz_locks_each(struct oz_locks *locks, void (*visit)(struct entry *e));

/* To be freed; NULL when out of memory. */
char *oz_entry_path(const struct entry *e); /* of the lock */
char *oz_entry_dir(const struct entry *e);  /* of the directory that it is in */
char *oz_entry_queue_dir(const struct entry *e);
char *oz_entry_request_path(const struct entry *e, const char *inbox); /* where the inbox's owner is asked for it */
char *oz_entry_encoded(const struct entry *e);                         /* the key as a path component */

/* The one request, timer or watch that an entry waits for. `submit` takes the path over and frees it, NULL being out of
 * memory; when it fails, `again` is called a little later. These requests are bulk: they keep their order, but others
 * overtake them. */
void oz_entry_submit(struct entry *e, struct oz_request *request, char *path,
                     void (*replied)(struct entry *e, const struct oz_reply *reply), void (*again)(struct entry *e));
/* The same, after a watch of that path was armed. */
void oz_entry_submit_watch(struct entry *e, char *path, void (*replied)(struct entry *e, const struct oz_reply *reply),
                           void (*fired)(struct entry *e), void (*again)(struct entry *e));
/* Reads the lock behind a barrier: this shows what became of all that was sent on a broken connection. */
void oz_entry_read_again(struct entry *e, void (*replied)(struct entry *e, const struct oz_reply *reply),
                         void (*again)(struct entry *e));
void oz_entry_later(struct entry *e, int64_t delay, void (*due)(struct entry *e));
void oz_entry_stop(struct entry *e); /* no reply, timer or watch comes any more */

/* ---- lock_znode.c ---- */

void oz_entry_create(struct entry *e);
void oz_entry_owner(const struct entry *e, char owner[OZ_OWNER_SIZE]);
void oz_entry_hold(struct entry *e, int64_t czxid);
/* The same for a znode that was found to be ours: it may be an older one, and name another inbox or none. */
void oz_entry_hold_found(struct entry *e, int64_t czxid);
void oz_entry_set_free(struct entry *e);
/* Watches the znode of a lock that is in use and that nobody can ask us for, if that is not done yet. */
void oz_entry_guard(struct entry *e);
/* Somebody ended the lock that we hold, and another may have it already: the grant is lost. */
void oz_entry_ended(struct entry *e);
/* The server refuses, and would again: all attempts fail. */
void oz_entry_give_up(struct entry *e, enum oz_rc rc);
/* Deletes the znode of a lock that we hold, and nobody uses. */
void oz_entry_give_back(struct entry *e);
/* Others ask for a lock that we do not know to hold: we gave it back meanwhile, or a create of ours arrived that was
 * taken for lost. If the znode is ours, it is deleted; if we do not see it yet, they will ask again. */
void oz_entry_remove_unknown(struct entry *e);

/* ---- lock_wait.c ---- */

/* Another node holds it. Attempts that wait long go to the queue; the others ask the holder, which may keep it only
 * sticky, and look once more. `wait_ms` is for a holder that uses the lock, not for its answer. */
void oz_entry_found_taken(struct entry *e);
void oz_entry_queue(struct entry *e);
void oz_entry_leave_queue(struct entry *e); /* gives the seat up, and does without an answer of the holder */
/* Somebody asks us for the lock while we wait in the queue: looks whether it is ours. */
void oz_entry_doubt(struct entry *e);

/* ---- lock_sticky.c ---- */

/* Frees an entry; or keeps it for a while, if others wanted the lock a moment ago. */
void oz_entry_remember(struct entry *e);
/* Gives back what was not used for long, now and from time to time. */
void oz_locks_tick(void *locks);

/* ---- lock.c ---- */

/* Does the next thing that is missing. May free the entry. */
void oz_entry_step(struct entry *e);
/* Has the dispatcher do that. Any thread. */
void oz_entry_post_work(struct entry *e);
/* It is known that another holds the lock. From now on `wait_ms` bounds the attempts, no longer the time for the
 * network; those that do not wait are refused. */
void oz_entry_others_hold(struct entry *e);
void oz_entry_fail_all(struct entry *e, int error, const char *why);
void oz_entry_lose_grant(struct entry *e);

#endif
