/*
 * Running jobs. A job's work is done under the lock of its instance; what came of it is written in
 * one transaction that fails when the job was given to another node meanwhile, or when a later
 * holder of the lock was there first.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SLOTS = 64,           /* jobs in memory */
    BUSY_DELAY_MS = 20,   /* and as much again at random, so that those who collide part */
    FAILED_DELAY_MS = 500 /* after an attempt that failed because of servers or database */
};

enum slot_state { FREE, WAITING, RUNNING };

struct slot {
    enum slot_state state;
    struct job job;
};

struct workers {
    struct node *node;
    struct store *store; /* of the thread that feeds */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct slot slots[SLOTS];
    long count;
    pthread_t threads[];
};

static void do_work(const struct job *job)
{
    long ms = 0;
    struct timespec t;

    if (sscanf(job->payload, "work %ld", &ms) != 1 || ms <= 0)
        return;
    t.tv_sec = ms / 1000;
    t.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&t, NULL);
}

static void put_back(struct node *n, struct store *s, const struct job *job, int delay_ms)
{
    store_postpone(s, job, n->id, wall_ms() + delay_ms);
    atomic_fetch_add(&n->put_back, 1);
}

/* Writes what the job did. The lock is looked at last, inside the transaction. */
static void commit(struct node *n, struct store *s, const struct execution *e, const odezk_lock *lock)
{
    if (store_begin(s) != 0)
        return;
    if (store_execute(s, e) != 1 || (lock && !odezk_lock_is_valid(lock)))
        store_rollback(s);
    else if (store_commit(s) == 0)
        atomic_fetch_add(&n->ran, 1);
}

static void run_alone(struct node *n, struct store *s, const struct job *job, const odezk_lock *lock)
{
    struct execution e = {.job = job, .node = n->id, .incarnation = atomic_load(&n->incarnation)};

    if (lock) {
        e.token = odezk_lock_token(lock);
        if (store_steps(s, job->instance, &e.steps) != 1) {
            put_back(n, s, job, FAILED_DELAY_MS);
            return;
        }
        e.steps++;
    }
    do_work(job);
    commit(n, s, &e, lock);
}

static void run_job(struct node *n, struct store *s, const struct job *job)
{
    odezk_lock *lock = NULL;
    int err = ODEZK_OK;

    if (job->instance[0]) /* without waiting: a busy instance need not hold this thread up */
        err = odezk_lock_acquire(n->cluster, ODEZK_SPACE_INSTANCE, job->instance, 0, &lock);
    if (err == ODEZK_OK)
        run_alone(n, s, job, lock);
    else if (err == ODEZK_EBUSY || err == ODEZK_ETIMEDOUT)
        put_back(n, s, job, BUSY_DELAY_MS + rand() % BUSY_DELAY_MS);
    else if (err != ODEZK_ECLOSED)
        put_back(n, s, job, FAILED_DELAY_MS);
    odezk_lock_free(lock);
}

static struct slot *next_waiting(struct workers *w)
{
    size_t i;

    for (i = 0; i < SLOTS; i++)
        if (w->slots[i].state == WAITING)
            return &w->slots[i];
    return NULL;
}

static void *work(void *arg)
{
    struct workers *w = arg;
    struct store *s;
    struct slot *slot;

    if (store_open(w->node->db, false, &s) != 0)
        return NULL;
    pthread_mutex_lock(&w->lock);
    while (!atomic_load(&w->node->stop)) {
        slot = next_waiting(w);
        if (!slot) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        slot->state = RUNNING;
        pthread_mutex_unlock(&w->lock);
        run_job(w->node, s, &slot->job);
        pthread_mutex_lock(&w->lock);
        slot->state = FREE;
    }
    pthread_mutex_unlock(&w->lock);
    store_close(s);
    return NULL;
}

/* Puts a job into a free slot, unless it is in one already. */
static void add(struct workers *w, const struct job *job)
{
    struct slot *free_slot = NULL;
    size_t i;

    for (i = 0; i < SLOTS; i++) {
        struct slot *slot = &w->slots[i];

        if (slot->state == FREE)
            free_slot = free_slot ? free_slot : slot;
        else if (slot->job.id == job->id)
            return;
    }
    if (!free_slot)
        return;
    free_slot->job = *job;
    free_slot->state = WAITING;
    pthread_cond_signal(&w->work);
}

void workers_feed(struct workers *w)
{
    struct job due[SLOTS];
    int i, n = store_due(w->store, w->node->id, due, SLOTS);

    pthread_mutex_lock(&w->lock);
    for (i = 0; i < n; i++)
        add(w, &due[i]);
    pthread_mutex_unlock(&w->lock);
}

int workers_start(struct node *n, long count, struct workers **out)
{
    struct workers *w = calloc(1, sizeof *w + (size_t)count * sizeof w->threads[0]);

    if (!w)
        return -1;
    w->node = n;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    *out = w;
    if (store_open(n->db, false, &w->store) != 0)
        return -1;
    for (; w->count < count; w->count++) {
        int err = pthread_create(&w->threads[w->count], NULL, work, w);

        if (err) {
            fprintf(stderr, "engine: %s\n", strerror(err));
            return -1;
        }
    }
    return 0;
}

void workers_stop(struct workers *w)
{
    long i;

    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
    store_close(w->store);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
