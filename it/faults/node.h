/* What the files of the node know of each other. */
#ifndef FAULTS_NODE_H
#define FAULTS_NODE_H

#include "record.h"

#include <odezk/odezk.h>
#include <pthread.h>

#define ROOT "/odezk-faults"

enum { OPERATION_MS = 3000 }; /* the setting */

struct node {
    struct record *record;
    odezk_config *config;
    const char *id;
    int timeout_ms, handles;
    /* Threads use the handle under a read lock; it is freed under the write lock. */
    pthread_rwlock_t lock;
    odezk_cluster *cluster;
    atomic_bool open, quit, refused;
};

extern struct node node;

/* The handle, until node_leave(); NULL: there is none. */
odezk_cluster *node_enter(void);
void node_leave(void);

void node_nap(int64_t ns);
/* A thread's own numbers: 0 to below - 1. */
unsigned node_dice(uint64_t *state, unsigned below);
/* An error that no fault explains. */
void node_count_error(int code);

/* ---- threads (node_locks.c) ---- */

struct worker {
    pthread_t thread;
    int caller;
    struct claims *claims;
    uint64_t dice;
    unsigned writes;
};

/* Works under locks, until the end; the argument is a worker. */
void *node_work(void *worker);
/* Writes whenever the node is master. */
void *node_write_as_master(void *worker);

#endif
