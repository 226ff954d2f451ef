/* A session alone on the scripted ensemble, for tests of what lies below the recipes. */
#ifndef RIG_H
#define RIG_H

#include "fake_zk.h"
#include "session/session.h"
#include "world.h"

struct rig {
    struct oz_dispatch *d;
    struct oz_session *s;
    int slot;
    char said[4000]; /* what listeners and states said, a word each: "connecting connected UP HELD"
                      */
    int refused;     /* an error code */
    bool closed;
};

/* In a world that has begun. Settings are pairs of name and value, NULL at the end; the session is
 * not started. */
void rig_make(struct rig *r, int slot, const char *servers, ...);
/* The same for one server, started and connected. */
void rig_open(struct rig *r, int slot);
/* Does all that is to be done now. */
void rig_run(struct rig *r);
void rig_pass(struct rig *r, int64_t ms);
bool rig_wait(struct rig *r, bool (*condition)(void *arg), void *arg, int64_t ms);
void rig_close(struct rig *r);

/* Whether exactly these words were said since the last time. */
bool rig_said(struct rig *r, const char *words);

/* Replies, in the order in which they came. */
struct rig_reply {
    enum oz_rc rc;
    int count; /* how often it came */
    struct oz_znode_stat stat;
    char path[600], data[300];
    size_t names;
    size_t failed;
    int order;
};

void rig_replied(void *rig_reply, const struct oz_reply *reply);

#endif
