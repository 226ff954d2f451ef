/* What the parts of the engine share. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "store.h"

#include <odezk/odezk.h>
#include <pthread.h>
#include <stdatomic.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    const char *db, *id, *config, *servers, *cluster, *session_timeout;
    const char *nodes; /* a,b,c */
    long workers, jobs, instances, spread_ms, work_ms, wait_ms;
};

int node_command(const struct options *o);
int submit_command(const struct options *o);
int verify_command(const struct options *o);
int status_command(const struct options *o);

/* A running node, as its threads see it. */
struct node {
    const char *id, *db;
    odezk_cluster *cluster;
    atomic_bool stop;
    atomic_bool member; /* at present, in this incarnation */
    _Atomic int64_t incarnation;
    atomic_bool refused;
    atomic_long ran, put_back;
    pthread_mutex_t lock;
    pthread_cond_t look; /* there may be something to take over, or it is time to stop */
    bool changed;
};

/* One line of what happens, with time and node id. */
void say(const struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The workers: threads that run this node's due jobs. */
struct workers;
int workers_start(struct node *n, long count, struct workers **out);
void workers_feed(struct workers *w); /* loads due jobs */
void workers_stop(struct workers *w); /* after the jobs under way; n->stop is set */

/* The master's duty: a thread that gives the jobs of nodes that are not live to the others. */
void *take_over_thread(void *node);
void take_over_look(struct node *n);

#endif
