/* Membership: the ephemeral znodes below members/ are the live nodes. */
#ifndef OZ_MEMBERSHIP_H
#define OZ_MEMBERSHIP_H

#include "session/session.h"

struct oz_membership;

/* A live node: its id, and the sequence number of its znode, which tells its lives apart. */
struct oz_node {
    char id[65];
    int32_t seq;
};

/* Sorted by id. */
struct oz_view {
    struct oz_node *nodes;
    size_t count;
};

int64_t oz_incarnation(int32_t seq); /* the public form of a sequence number */
#define OZ_MEMBER_NAME_SIZE 80
void oz_node_name(const struct oz_node *node, char name[OZ_MEMBER_NAME_SIZE]);
const struct oz_node *oz_view_find(const struct oz_view *view, const char *id);

/* A list of member znodes as a view: of several with one id the oldest is the live one, and the others wait
 * until it is gone. -1 when out of memory. */
int oz_view_parse(struct oz_view *view, const char *const *names, size_t count);
void oz_view_free(struct oz_view *view);

struct oz_membership_options {
    struct oz_session *session;
    const char *root;               /* copied */
    const char *id;                 /* NULL: no node, only a view of the others */
    uint64_t handle;                /* tells the handles of this process apart */
    const char *(*data)(void *arg); /* what the member znode says; valid until the next call; NULL: out of memory */
    /* This node is a member (again). */
    void (*ready)(void *arg, const struct oz_node *self);
    /* This node is a member no longer. */
    void (*unready)(void *arg);
    /* One difference between two views. Before the first of them `view` is already the new one. */
    void (*changed)(void *arg, odezk_member_change change, const struct oz_node *node);
    void (*viewed)(void *arg); /* after all differences of a list */
    /* The znode of a previous process with this id has to go first: "host h, pid p". */
    void (*waiting)(void *arg, const char *former);
    void (*refused)(void *arg, int error, const char *why);
    void *arg;
};

struct oz_membership *oz_membership_new(const struct oz_membership_options *options);
/* Begins; before, the session's events are ignored. */
void oz_membership_start(struct oz_membership *m);
const struct oz_view *oz_membership_view(const struct oz_membership *m);
/* Deletes the member znode; `left` is called once when the servers know, or the session is over. */
void oz_membership_leave(struct oz_membership *m, void (*left)(void *arg), void *arg);
void oz_membership_free(struct oz_membership *m);

#endif
