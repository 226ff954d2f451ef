/* What the files of the world know of each other. */
#ifndef WORLD_INTERNAL_H
#define WORLD_INTERNAL_H

#include "world.h"

#include "session/dispatch.h"

#include <stdatomic.h>

#define WORLD_DISPATCHERS 64
#define WORLD_SHOWN 20 /* failures that are printed */

struct dispatcher {
    struct oz_dispatch *d;
    bool dirty; /* a message was posted since it ran */
};

struct world_state {
    bool threads;
    int failing_threads;
    _Atomic int64_t now;
    uint64_t random;
    char context[200];
    bool failed;
    long failures;
    struct world_counts counts;
    int64_t newest_epoch;
    bool chaos;
    int64_t newest_token[256]; /* by the last character of the key */
    struct world_node nodes[WORLD_NODES];
    struct world_attempt attempts[WORLD_ATTEMPTS];
    struct dispatcher dispatchers[WORLD_DISPATCHERS];
};

extern struct world_state world;

/* What must hold at every moment (world_check.c). */
void world_check(void);
/* What the handle of a node (the argument) tells (world_events.c). */
void world_on_event(odezk_cluster *cluster, const odezk_event *event, void *node);

#endif
