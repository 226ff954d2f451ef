/* Locks by key, for callers that cannot keep a handle between lock and unlock. */
#include "cluster/cluster.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The grants of one key, oldest first. There is more than one only after a loss: a lost grant stays first until its
 * taker unlocks, so that this unlock does not end the grant of the next taker. */
struct oz_keyed {
    struct oz_map_node node;
    struct oz_list grants;
    char name[]; /* "space/key" */
};

static struct oz_keyed *find(odezk_cluster *c, const char *space, const char *key)
{
    struct oz_map_node *node = oz_map_find_parts(&c->keyed, space, key);

    return node ? oz_container(node, struct oz_keyed, node) : NULL;
}

static struct oz_keyed *make(odezk_cluster *c, const char *space, const char *key)
{
    struct oz_keyed *keyed = oz_alloc(sizeof *keyed + strlen(space) + 1 + strlen(key) + 1);

    if (!keyed)
        return NULL;
    strcpy(stpcpy(stpcpy(keyed->name, space), "/"), key);
    oz_list_init(&keyed->grants);
    if (oz_map_put(&c->keyed, &keyed->node, keyed->name) != 0) {
        free(keyed);
        return NULL;
    }
    return keyed;
}

static bool add(odezk_cluster *c, const char *space, const char *key, odezk_lock *lock)
{
    struct oz_keyed *keyed;

    pthread_mutex_lock(&c->lock);
    keyed = find(c, space, key);
    if (!keyed)
        keyed = make(c, space, key);
    if (keyed)
        oz_list_append(&keyed->grants, &lock->keyed);
    pthread_mutex_unlock(&c->lock);
    return keyed != NULL;
}

static odezk_lock *take_oldest(odezk_cluster *c, const char *space, const char *key)
{
    struct oz_keyed *keyed;
    odezk_lock *lock = NULL;

    pthread_mutex_lock(&c->lock);
    keyed = find(c, space, key);
    if (keyed) {
        lock = oz_container(oz_list_pop(&keyed->grants), odezk_lock, keyed);
        if (oz_list_empty(&keyed->grants)) {
            oz_map_remove(&c->keyed, &keyed->node);
            free(keyed);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return lock;
}

int odezk_lock_acquire_key(odezk_cluster *cluster, const char *space, const char *key, int wait_ms)
{
    odezk_lock *lock;
    int rc;

    if (!key)
        return oz_cluster_check(cluster);
    rc = odezk_lock_acquire(cluster, space, key, wait_ms, &lock);
    if (rc == ODEZK_OK && !add(cluster, space, key, lock)) {
        odezk_lock_free(lock);
        rc = oz_fail(ODEZK_ENOMEM, "out of memory");
    }
    return rc;
}

int odezk_lock_release_key(odezk_cluster *cluster, const char *space, const char *key)
{
    int rc = oz_cluster_check(cluster);
    odezk_lock *lock;

    if (rc == ODEZK_OK && key)
        rc = oz_check_lock(space, key);
    if (rc != ODEZK_OK || !key)
        return rc;
    lock = take_oldest(cluster, space, key);
    if (!lock)
        return oz_fail(ODEZK_ENOTHELD, "lock %s/%s: nobody took it by its key", space, key);
    rc = odezk_lock_release(lock);
    odezk_lock_free(lock);
    return rc;
}

void oz_keyed_free(odezk_cluster *c)
{
    struct oz_map_node *node;
    struct oz_list *link;
    size_t i;

    for (i = 0; i < c->keyed.size; i++)
        while ((node = c->keyed.slots[i]) != NULL) {
            struct oz_keyed *keyed = oz_container(node, struct oz_keyed, node);

            while ((link = oz_list_pop(&keyed->grants)) != NULL)
                odezk_lock_free(oz_container(link, odezk_lock, keyed));
            oz_map_remove(&c->keyed, node);
            free(keyed);
        }
    oz_map_free(&c->keyed);
}
