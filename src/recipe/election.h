/* Election: the candidate whose znode below election/ is the oldest is master, as long as its lease holds. Each watches
 * only the one before it. The znode `leader` says who is master, and everybody watches it. */
#ifndef OZ_ELECTION_H
#define OZ_ELECTION_H

#include "session/session.h"

struct oz_election;

/* What `leader` says; id "" when nobody is master. */
struct oz_leader {
    char id[65];
    int64_t incarnation;
    int64_t epoch;
};

/* Reads the contents of `leader`. */
void oz_leader_parse(struct oz_leader *leader, const char *text);

struct oz_election_options {
    struct oz_session *session;
    const char *root; /* copied */
    bool make;        /* create `leader` when it is missing; those that only watch create nothing */
    /* This node's mastership began or ended; reason is NULL when it began. */
    void (*mastership)(void *arg, bool held, int64_t epoch, const char *reason);
    /* `leader` was read and says something new. */
    void (*leader)(void *arg, const struct oz_leader *leader);
    void *arg;
};

struct oz_election *oz_election_new(const struct oz_election_options *options);
/* Begins to follow who is master. */
void oz_election_watch(struct oz_election *e);
/* Makes this node a candidate under the name of its member znode. */
void oz_election_enter(struct oz_election *e, const char *id, int64_t incarnation);
/* It is no candidate any more; a mastership ends for this reason. */
void oz_election_withdraw(struct oz_election *e, const char *reason);
/* Gives up a mastership, and queues again behind all others. */
void oz_election_resign(struct oz_election *e);
/* The epoch of this node's mastership, 0 when it is not master at this moment. Any thread. */
int64_t oz_election_epoch(const struct oz_election *e);
/* Ends the mastership at once for everybody who asks, without telling the servers yet; ODEZK_EVENT_MASTERSHIP and all
 * the rest follow from oz_election_resign(). False when it was not held. Any thread. */
bool oz_election_drop(struct oz_election *e);
/* The znode that the mastership of this epoch stands for; NULL when it is over. */
const char *oz_election_path(const struct oz_election *e, int64_t epoch);
void oz_election_free(struct oz_election *e);

#endif
