/*
 * The master's duty: jobs whose node is not live go to the live ones, spread over them by instance.
 * Each transaction is fenced by the mastership's epoch: once a later master wrote, an earlier one
 * that still believes in itself fails.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PERIOD_S = 1, BATCH = 500 };

struct taking_over {
    struct node *node;
    struct store *store;
    int64_t epoch;
    const odezk_node_list *live;
    struct survivor {
        const char *id;
        long given;
    } * survivors; /* the live ones that run jobs */
    size_t survivor_count;
};

static bool is_live(const odezk_node_list *live, const char *id)
{
    size_t i;

    for (i = 0; i < live->count; i++)
        if (strcmp(live->nodes[i].id, id) == 0)
            return true;
    return false;
}

/* FNV-1a over node and key, its bits mixed well, since the largest wins. */
static uint64_t weight(const char *node, const char *key)
{
    const char *parts[] = {node, "/", key};
    uint64_t h = 14695981039346656037u;
    size_t i;

    for (i = 0; i < 3; i++)
        for (const char *p = parts[i]; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211u;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

/* Rendezvous hashing: all jobs of an instance go to one survivor, the instances evenly over all. */
static struct survivor *heir(struct taking_over *t, const struct job *job)
{
    struct survivor *best = NULL;
    uint64_t best_weight = 0;
    char key[NAME_SIZE];
    size_t i;

    if (job->instance[0])
        snprintf(key, sizeof key, "%s", job->instance);
    else
        snprintf(key, sizeof key, "%lld", (long long)job->id);
    for (i = 0; i < t->survivor_count; i++) {
        uint64_t w = weight(t->survivors[i].id, key);

        if (!best || w > best_weight) {
            best = &t->survivors[i];
            best_weight = w;
        }
    }
    return best;
}

static bool still_master(const struct taking_over *t)
{
    int64_t epoch;

    return odezk_is_master(t->node->cluster, &epoch) && epoch == t->epoch;
}

/* Moves up to BATCH jobs inside a transaction; how many, -1 when it must be rolled back. */
static int move_some(struct taking_over *t, const char *dead)
{
    static struct job jobs[BATCH]; /* one thread takes over */
    int i, n, fenced = store_fence(t->store, t->epoch);

    if (fenced == 0)
        say(t->node, "epoch %lld is over: a later master was here", (long long)t->epoch);
    if (fenced != 1)
        return -1;
    n = store_jobs_of(t->store, dead, jobs, BATCH);
    for (i = 0; i < n; i++) {
        struct survivor *to = heir(t, &jobs[i]);

        if (store_give(t->store, jobs[i].id, dead, to->id) < 0)
            return -1;
        to->given++;
    }
    return n >= 0 && still_master(t) ? n : -1;
}

static void tell(const struct taking_over *t, const char *dead, long moved)
{
    char list[256];
    size_t i, n = 0;

    for (i = 0; i < t->survivor_count && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s %ld", i ? ", " : "", t->survivors[i].id,
                              t->survivors[i].given);
    say(t->node, "took over %ld jobs of %s: %s", moved, dead, list);
}

static void move_jobs(struct taking_over *t, const char *dead)
{
    long moved = 0;
    int n;
    size_t i;

    for (i = 0; i < t->survivor_count; i++)
        t->survivors[i].given = 0;
    do {
        if (store_begin(t->store) != 0)
            return;
        n = move_some(t, dead);
        if (n < 0) {
            store_rollback(t->store);
            return;
        }
        if (store_commit(t->store) != 0)
            return;
        moved += n;
    } while (n == BATCH);
    if (moved > 0)
        tell(t, dead, moved);
}

struct names {
    const odezk_node_list *live;
    char (*all)[NAME_SIZE];
    size_t count;
};

static void add_if_dead(const char *node, void *arg)
{
    struct names *dead = arg;
    char(*all)[NAME_SIZE];

    if (is_live(dead->live, node))
        return;
    all = realloc(dead->all, (dead->count + 1) * sizeof *all);
    if (!all)
        return; /* the next round will find it */
    dead->all = all;
    snprintf(dead->all[dead->count++], sizeof *all, "%s", node);
}

static void find_survivors(struct taking_over *t)
{
    size_t i;

    t->survivors = calloc(t->live->count + 1, sizeof *t->survivors);
    for (i = 0; t->survivors && i < t->live->count; i++)
        if (store_is_node(t->store, t->live->nodes[i].id) == 1)
            t->survivors[t->survivor_count++].id = t->live->nodes[i].id;
}

static void take_over(struct node *n, struct store *s)
{
    struct taking_over t = {.node = n, .store = s};
    struct names dead = {0};
    odezk_node_list *live;
    size_t i;

    if (!odezk_is_master(n->cluster, &t.epoch) || odezk_members(n->cluster, &live) != ODEZK_OK)
        return;
    t.live = dead.live = live;
    store_owners(s, add_if_dead, &dead);
    if (dead.count > 0)
        find_survivors(&t);
    for (i = 0; i < dead.count && t.survivor_count > 0; i++)
        move_jobs(&t, dead.all[i]);
    free(t.survivors);
    free(dead.all);
    odezk_node_list_free(live);
}

/* Waits for a change or a second; false when it is time to stop. */
static bool wait_for_change(struct node *n)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PERIOD_S;
    pthread_mutex_lock(&n->lock);
    while (!n->changed && pthread_cond_clockwait(&n->look, &n->lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    n->changed = false;
    pthread_mutex_unlock(&n->lock);
    return !atomic_load(&n->stop);
}

void take_over_look(struct node *n)
{
    pthread_mutex_lock(&n->lock);
    n->changed = true;
    pthread_cond_signal(&n->look);
    pthread_mutex_unlock(&n->lock);
}

void *take_over_thread(void *node)
{
    struct node *n = node;
    struct store *s;

    if (store_open(n->db, false, &s) != 0)
        return NULL;
    while (wait_for_change(n))
        take_over(n, s);
    store_close(s);
    return NULL;
}
