/* A plain ZooKeeper client, to look at znodes and to interfere with them. The only file here that
 * knows the C client. */
#include "internal.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { REQUEST_MS = 60000 };

struct it_zk {
    zhandle_t *handle;
    char servers[256];
    int timeout_ms;
};

static struct it_zk *own;

static void ignore(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle;
    (void)type;
    (void)state;
    (void)path;
    (void)context;
}

static void drop_line(const char *line)
{
    (void)line;
}

static zhandle_t *connect_to(const struct it_zk *zk)
{
    const char *credentials = strchr(IT_AUTH, ':') + 1;
    zhandle_t *handle = zookeeper_init2(zk->servers, ignore, zk->timeout_ms, NULL, NULL, 0, drop_line);

    if (handle)
        zoo_add_auth(handle, "digest", credentials, (int)strlen(credentials), NULL, NULL);
    return handle;
}

static void destroy(void *zk)
{
    it_zk_close(zk);
}

struct it_zk *it_zk_open(const char *servers, int timeout_ms)
{
    struct it_zk *zk = it_alloc(sizeof *zk);

    zoo_set_debug_level(0);
    snprintf(zk->servers, sizeof zk->servers, "%s", servers);
    zk->timeout_ms = timeout_ms;
    zk->handle = connect_to(zk);
    if (!zk->handle) {
        perror("zookeeper_init");
        exit(1);
    }
    it_keep(zk, destroy);
    return zk;
}

void it_zk_close(struct it_zk *zk)
{
    if (!zk)
        return;
    it_forget(zk);
    zookeeper_close(zk->handle);
    free(zk);
}

struct it_zk *it_zk(void)
{
    if (!own) {
        own = it_zk_open(it_servers(), 30000);
        it_forget(own); /* it is closed after everything else */
    }
    return own;
}

void it_zk_end(void)
{
    it_zk_close(own);
    own = NULL;
}

/* Whether a request is to be repeated: the connection is not there (yet), or the session is new. */
static bool again(struct it_zk *zk, int rc, int64_t deadline)
{
    const struct timespec pause = {0, 2000000};

    if (rc != ZCONNECTIONLOSS && rc != ZOPERATIONTIMEOUT && rc != ZINVALIDSTATE && rc != ZSESSIONEXPIRED &&
        rc != ZCLOSING)
        return false;
    if (it_now_ms() > deadline)
        return false;
    if (is_unrecoverable(zk->handle) == ZINVALIDSTATE) {
        zookeeper_close(zk->handle);
        zk->handle = connect_to(zk);
    }
    nanosleep(&pause, NULL);
    return true;
}

static void copy_stat(struct it_stat *to, const struct Stat *from)
{
    to->czxid = from->czxid;
    to->owner = from->ephemeralOwner;
}

int it_zk_stat(struct it_zk *zk, const char *path, struct it_stat *stat)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    struct Stat found = {0};
    int rc;

    do
        rc = zoo_exists(zk->handle, path, 0, &found);
    while (again(zk, rc, deadline));
    if (rc == ZOK && stat)
        copy_stat(stat, &found);
    return rc;
}

int it_zk_create(struct it_zk *zk, const char *path, const char *data, bool ephemeral, bool sequence, char *name,
                 size_t size)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    int mode = (ephemeral ? ZOO_EPHEMERAL : 0) | (sequence ? ZOO_SEQUENCE : 0);
    int rc;

    do
        rc = zoo_create(zk->handle, path, data, (int)strlen(data), &ZOO_OPEN_ACL_UNSAFE, mode, name, (int)size);
    while (again(zk, rc, deadline));
    return rc;
}

int it_zk_set(struct it_zk *zk, const char *path, const char *data)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    int rc;

    do
        rc = zoo_set(zk->handle, path, data, (int)strlen(data), -1);
    while (again(zk, rc, deadline));
    return rc;
}

int it_zk_get(struct it_zk *zk, const char *path, char *data, size_t size)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    int length, rc;

    do {
        length = (int)size - 1;
        rc = zoo_get(zk->handle, path, 0, data, &length, NULL);
    } while (again(zk, rc, deadline));
    data[rc == ZOK && length > 0 ? length : 0] = '\0';
    return rc;
}

int it_zk_delete(struct it_zk *zk, const char *path)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    int rc;

    do
        rc = zoo_delete(zk->handle, path, -1);
    while (again(zk, rc, deadline));
    return rc;
}

int it_zk_children(struct it_zk *zk, const char *path, struct it_names *names)
{
    const int64_t deadline = it_now_ms() + REQUEST_MS;
    struct String_vector found = {0, NULL};
    int rc;

    do
        rc = zoo_get_children(zk->handle, path, 0, &found);
    while (again(zk, rc, deadline));
    *names = (struct it_names){found.count, found.data};
    return rc;
}

void it_names_free(struct it_names *names)
{
    struct String_vector list = {names->count, names->names};

    deallocate_String_vector(&list);
    *names = (struct it_names){0};
}

/* Goes through the matching children; their number, and the path of the last. */
static int match(const char *dir, const char *pattern, char *path, size_t size)
{
    struct it_names names;
    int count = 0;

    if (it_zk_children(it_zk(), dir, &names) != ZOK)
        return 0;
    for (int i = 0; i < names.count; i++)
        if (fnmatch(pattern, names.names[i], 0) == 0) {
            snprintf(path, size, "%s/%s", dir, names.names[i]);
            count++;
        }
    it_names_free(&names);
    return count;
}

const char *it_zk_find(const char *dir, const char *pattern)
{
    static char path[2048];

    return match(dir, pattern, path, sizeof path) == 1 ? path : NULL;
}

int it_zk_count(const char *dir, const char *pattern)
{
    char path[2048];

    return match(dir, pattern, path, sizeof path);
}

void it_zk_remove(const char *path)
{
    struct it_names names;
    char child[2048];

    if (it_zk_children(it_zk(), path, &names) == ZOK) {
        for (int i = 0; i < names.count; i++) {
            snprintf(child, sizeof child, "%s/%s", path, names.names[i]);
            it_zk_remove(child);
        }
        it_names_free(&names);
    }
    it_zk_delete(it_zk(), path);
}

/* ---- ending a session ---- */

/* The servers make a session's password from its id with Java's generator of random numbers. */
static void make_password(int64_t session, char password[16])
{
    const uint64_t mask = (UINT64_C(1) << 48) - 1;
    uint64_t seed = (((uint64_t)session ^ 0xB3415C00u) ^ UINT64_C(0x5DEECE66D)) & mask;

    for (int i = 0; i < 16; i += 4) {
        seed = (seed * UINT64_C(0x5DEECE66D) + 11) & mask;
        int32_t word = (int32_t)(uint32_t)(seed >> 16);
        for (int k = 0; k < 4; k++, word >>= 8)
            password[i + k] = (char)(word & 0xff);
    }
}

/* Whether a server still knows the session: then it takes a client that says it is it. */
struct ending {
    struct it_zk *zk;
    clientid_t id;
    bool unknown;
};

static void on_state(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    struct ending *ending = context;

    (void)handle;
    (void)path;
    if (type == ZOO_SESSION_EVENT && state == ZOO_EXPIRED_SESSION_STATE)
        __atomic_store_n(&ending->unknown, true, __ATOMIC_RELEASE);
}

static bool unknown_or_connected(void *arg)
{
    struct ending *ending = arg;

    return __atomic_load_n(&ending->unknown, __ATOMIC_ACQUIRE) || zoo_state(ending->zk->handle) == ZOO_CONNECTED_STATE;
}

bool it_zk_expire(int64_t session)
{
    struct it_zk zk = {.timeout_ms = 4000};
    struct ending ending = {.zk = &zk, .id = {.client_id = session}};

    make_password(session, ending.id.passwd);
    /* Its owner takes it back as soon as it is taken away: until the servers know it no more. */
    for (int tries = 0; tries < 50 && !ending.unknown; tries++) {
        zk.handle = zookeeper_init2(it_servers(), on_state, zk.timeout_ms, &ending.id, &ending, 0, drop_line);
        if (!zk.handle)
            return false;
        it_until(10000, unknown_or_connected, &ending);
        zookeeper_close(zk.handle);
    }
    return ending.unknown;
}
