/* Guarded writes through a cluster handle. */
#include "cluster/cluster.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define DATA_MAX (512 * 1024)

struct guarded {
    struct oz_task task;
    odezk_lock *lock; /* NULL: the mastership of this epoch */
    int64_t epoch;
    size_t count; /* with the check */
    struct oz_request items[OZ_MULTI_MAX];
    char *text; /* what the items point to */
};

static void destroy(struct oz_task *task)
{
    struct guarded *g = (struct guarded *)task;

    if (g->lock)
        oz_grant_unref(g->lock);
    free(g->text);
    free(g);
}

static void written(void *owner, const struct oz_reply *reply)
{
    struct guarded *g = owner;

    switch (reply->rc) {
    case OZ_OK:
        oz_task_finish(&g->task, ODEZK_OK, NULL);
        break;
    case OZ_UNKNOWN:
    case OZ_GONE:
        oz_task_finish(&g->task, ODEZK_EUNKNOWN, NULL);
        break;
    case OZ_DENIED:
        oz_task_finish(&g->task, ODEZK_EAUTH, NULL);
        break;
    case OZ_FAILED:
        oz_task_finish(&g->task, ODEZK_ESERVER, NULL);
        break;
    default:
        oz_task_finish(&g->task, reply->failed == 0 ? ODEZK_ELOST : ODEZK_ECONFLICT, NULL);
    }
}

/* This is the session of the grant, and its requests are served in order: if the znode still exists when the servers
 * execute this, it is the grant's own. */
static bool submit_write(struct guarded *g, const char *path)
{
    struct oz_request request = {.verb = OZ_MULTI, .items = g->items, .count = g->count};

    g->items[0] = (struct oz_request){.verb = OZ_CHECK, .path = path};
    return oz_submit(g->task.cluster->session, &request, written, g) != NULL;
}

static void run_once(struct guarded *g, bool is_seen);

static void looked(void *owner, const struct oz_reply *reply)
{
    struct guarded *g = owner;

    if (reply->rc == OZ_OK && reply->stat.czxid == g->lock->token)
        run_once(g, true);
    else if (reply->rc == OZ_OK || reply->rc == OZ_NONODE || reply->rc == OZ_GONE)
        oz_task_finish(&g->task, ODEZK_ELOST, NULL);
    else if (reply->rc == OZ_UNKNOWN)
        oz_task_finish(&g->task, ODEZK_EUNKNOWN, "the connection broke; nothing was written");
    else
        oz_task_finish(&g->task, reply->rc == OZ_DENIED ? ODEZK_EAUTH : ODEZK_ESERVER, NULL);
}

/* An operator may have removed the znode without asking us, and another may have made it again: no check in the
 * transaction tells the two apart, so it is read first, behind a write, as the server may lag behind the others. */
static bool submit_look(struct guarded *g, const char *path)
{
    struct oz_session *session = g->task.cluster->session;
    struct oz_request read = {.verb = OZ_STAT, .path = path};

    return oz_barrier(session, false, oz_ignore_reply, NULL) && oz_submit(session, &read, looked, g);
}

/* `is_seen`: it was read, and is the grant's own. */
static void run_once(struct guarded *g, bool is_seen)
{
    odezk_cluster *cluster = g->task.cluster;
    bool certain = true;
    char *lock_path = g->lock ? oz_locks_path(cluster->locks, g->lock, &certain) : NULL;
    const char *path = g->lock ? lock_path : oz_election_path(cluster->election, g->epoch);

    if (!path || !oz_session_granting(cluster->session))
        oz_task_finish(&g->task, ODEZK_ELOST, NULL);
    else if (!oz_session_connected(cluster->session))
        oz_task_finish(&g->task, ODEZK_EUNKNOWN, "not connected; nothing was written");
    else if (!(certain || is_seen ? submit_write(g, path) : submit_look(g, path)))
        oz_task_finish(&g->task, ODEZK_ENOMEM, NULL);
    free(lock_path);
}

static void run(struct oz_task *task)
{
    run_once((struct guarded *)task, false);
}

static bool good_path(const char *path)
{
    size_t len = path ? strlen(path) : 0;

    return len > 1 && path[0] == '/' && path[len - 1] != '/' && !strstr(path, "//");
}

static int check_writes(const odezk_write *writes, size_t count)
{
    size_t i, size = 0;

    if (!writes)
        return oz_fail(ODEZK_EINVAL, "the writes are NULL");
    if (count < 1 || count > ODEZK_WRITES_MAX)
        return oz_fail(ODEZK_EINVAL, "%zu writes were given; 1 to %d are allowed", count, ODEZK_WRITES_MAX);
    for (i = 0; i < count; i++) {
        if ((unsigned)writes[i].type > ODEZK_WRITE_DELETE)
            return oz_fail(ODEZK_EINVAL, "write %zu: type %d is unknown", i + 1, (int)writes[i].type);
        if (!good_path(writes[i].path))
            return oz_fail(ODEZK_EINVAL, "write %zu: the path is not an absolute one such as /a/b", i + 1);
        if (writes[i].len && !writes[i].data)
            return oz_fail(ODEZK_EINVAL, "write %zu: %zu bytes were announced, none was given", i + 1, writes[i].len);
        if (writes[i].len > DATA_MAX || (size += writes[i].len + strlen(writes[i].path) + 1) > DATA_MAX)
            return oz_fail(ODEZK_EINVAL, "the writes are larger than %d bytes", DATA_MAX);
    }
    return ODEZK_OK;
}

static void copy_write(struct oz_request *item, const odezk_write *write, char **text)
{
    static const enum oz_verb verbs[] = {OZ_CREATE, OZ_SET, OZ_DELETE};

    item->verb = verbs[write->type];
    item->path = strcpy(*text, write->path);
    *text += strlen(*text) + 1;
    item->data = write->len ? memcpy(*text, write->data, write->len) : NULL;
    item->len = write->len;
    *text += write->len;
    item->versioned = write->type != ODEZK_WRITE_CREATE && write->version != ODEZK_ANY_VERSION;
    item->version = write->version;
}

static struct guarded *new_guarded(const odezk_write *writes, size_t count)
{
    struct guarded *g = oz_alloc(sizeof *g);
    size_t size = 1, i;
    char *text;

    if (!g)
        return NULL;
    for (i = 0; i < count; i++)
        size += writes[i].len + strlen(writes[i].path) + 1;
    g->text = text = oz_alloc(size);
    if (!text) {
        free(g);
        return NULL;
    }
    for (i = 0; i < count; i++)
        copy_write(&g->items[i + 1], &writes[i], &text);
    g->count = count + 1;
    oz_task_init(&g->task, run, destroy);
    g->task.offline = true; /* then it is known at once that nothing was written */
    return g;
}

static int guarded_write(odezk_cluster *cluster, odezk_lock *lock, int64_t epoch, const odezk_write *writes,
                         size_t count, int timeout_ms)
{
    struct guarded *g;
    int rc = check_writes(writes, count);

    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc != ODEZK_OK)
        return rc;
    g = new_guarded(writes, count);
    if (!g)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    g->lock = lock ? oz_grant_ref(lock) : NULL; /* the caller may leave before the servers answer */
    g->epoch = epoch;
    rc = oz_task_run(cluster, &g->task, timeout_ms);
    if (rc == ODEZK_EUNREACHABLE)
        rc = oz_fail(ODEZK_EUNKNOWN, "no answer within %d ms: all or nothing was written, or will be", timeout_ms);
    oz_task_unref(&g->task);
    return rc;
}

int odezk_lock_write(odezk_cluster *cluster, odezk_lock *lock, const odezk_write *writes, size_t count, int timeout_ms)
{
    int rc = oz_cluster_check_blocking(cluster);

    if (rc != ODEZK_OK)
        return rc;
    if (!lock)
        return oz_fail(ODEZK_EINVAL, "the lock is NULL");
    if (lock->grants != cluster->grants)
        return oz_fail(ODEZK_EINVAL, "the lock was taken through another handle");
    if (!odezk_lock_is_valid(lock))
        return oz_fail(ODEZK_ELOST, "the lock is not held");
    return guarded_write(cluster, lock, 0, writes, count, timeout_ms);
}

int odezk_master_write(odezk_cluster *cluster, int64_t epoch, const odezk_write *writes, size_t count, int timeout_ms)
{
    int rc = oz_cluster_check_blocking(cluster);

    if (rc != ODEZK_OK)
        return rc;
    if (!epoch || oz_election_epoch(cluster->election) != epoch)
        return oz_fail(ODEZK_ELOST, "%s is not master in this epoch", cluster->id);
    return guarded_write(cluster, NULL, epoch, writes, count, timeout_ms);
}
