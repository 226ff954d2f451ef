/* Writes that only who still holds may do: to znodes, and to a database. */
#include "harness.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPACE "s"

enum { TIME = 5000 };

static const char *path_of(const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", it_base(), name);
    return path;
}

static bool reads(const char *name, const char *expected)
{
    char data[64] = "";

    return it_zk_get(it_zk(), path_of(name), data, sizeof data) == IT_OK && strcmp(data, expected) == 0;
}

static bool is_absent(const char *name)
{
    struct it_stat stat;

    return it_zk_stat(it_zk(), path_of(name), &stat) == IT_NONODE;
}

static odezk_write set(const char *name, const char *data)
{
    return (odezk_write){ODEZK_WRITE_SET, path_of(name), data, strlen(data), ODEZK_ANY_VERSION};
}

static odezk_write create(const char *name, const char *data)
{
    return (odezk_write){ODEZK_WRITE_CREATE, path_of(name), data, strlen(data), 0};
}

static bool is_master(void *arg)
{
    return odezk_is_master(arg, NULL);
}

static bool is_no_master(void *arg)
{
    return !odezk_is_master(arg, NULL);
}

static int write_once(odezk_cluster *cluster, odezk_lock *lock, odezk_write write)
{
    return odezk_lock_write(cluster, lock, &write, 1, it_ms(TIME));
}

/* ---- under a lock ---- */

static void all_or_nothing(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;

    NEED(a);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    odezk_write first[] = {create("x", "1"), create("y", "1")};
    CHECK(odezk_lock_write(a, lock, first, 2, it_ms(TIME)) == ODEZK_OK);
    CHECK(reads("x", "1") && reads("y", "1"));
    odezk_write exists[] = {set("x", "2"), create("y", "2")};
    CHECK(odezk_lock_write(a, lock, exists, 2, it_ms(TIME)) == ODEZK_ECONFLICT);
    odezk_write version[] = {set("x", "2"), set("y", "2")};
    version[1].version = 7;
    CHECK(odezk_lock_write(a, lock, version, 2, it_ms(TIME)) == ODEZK_ECONFLICT);
    CHECK(reads("x", "1") && reads("y", "1"));
    version[1].version = 0;
    CHECK(odezk_lock_write(a, lock, version, 2, it_ms(TIME)) == ODEZK_OK);
    CHECK(reads("x", "2") && reads("y", "2"));
    odezk_write gone = {ODEZK_WRITE_DELETE, path_of("y"), NULL, 0, ODEZK_ANY_VERSION};
    CHECK(odezk_lock_write(a, lock, &gone, 1, it_ms(TIME)) == ODEZK_OK);
    CHECK(is_absent("y"));
    CHECK(odezk_lock_write(a, lock, &gone, 1, it_ms(TIME)) == ODEZK_ECONFLICT);
    odezk_lock_free(lock);
    it_zk_remove(path_of("x"));
}

static void arguments(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_write writes[ODEZK_WRITES_MAX + 1], bad;
    odezk_lock *lock = NULL;
    char *large = calloc(1, 600 * 1024);

    NEED(a && b && large);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    for (int i = 0; i <= ODEZK_WRITES_MAX; i++)
        writes[i] = create("x", "1");
    CHECK(odezk_lock_write(a, lock, writes, 0, TIME) == ODEZK_EINVAL);
    CHECK(odezk_lock_write(a, lock, writes, ODEZK_WRITES_MAX + 1, TIME) == ODEZK_EINVAL);
    CHECK(odezk_lock_write(a, lock, NULL, 1, TIME) == ODEZK_EINVAL);
    CHECK(odezk_lock_write(a, lock, writes, 1, -1) == ODEZK_EINVAL);
    CHECK(odezk_lock_write(a, NULL, writes, 1, TIME) == ODEZK_EINVAL);
    CHECK(odezk_lock_write(b, lock, writes, 1, TIME) == ODEZK_EINVAL);
    static const char *const paths[] = {NULL, "", "x", "/", "/x/", "//x", "/x//y"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        bad = writes[0];
        bad.path = paths[i];
        CHECK(odezk_lock_write(a, lock, &bad, 1, TIME) == ODEZK_EINVAL);
    }
    bad = writes[0];
    bad.data = NULL;
    CHECK(odezk_lock_write(a, lock, &bad, 1, TIME) == ODEZK_EINVAL);
    bad = writes[0];
    bad.data = large;
    bad.len = 600 * 1024;
    CHECK(odezk_lock_write(a, lock, &bad, 1, TIME) == ODEZK_EINVAL);
    CHECK(odezk_master_write(a, 0, writes, 1, TIME) == ODEZK_ELOST);
    CHECK(is_absent("x"));
    odezk_lock_free(lock);
    free(large);
}

static void after_the_release(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_MEMBER, "b");
    odezk_lock *lock = NULL, *next = NULL;

    NEED(a && b);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    CHECK(write_once(a, lock, create("x", "a")) == ODEZK_OK);
    CHECK(odezk_lock_release(lock) == ODEZK_OK);
    CHECK(write_once(a, lock, set("x", "late")) == ODEZK_ELOST);
    NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(TIME), &next) == ODEZK_OK);
    CHECK(write_once(a, lock, set("x", "late")) == ODEZK_ELOST);
    CHECK(write_once(b, next, set("x", "b")) == ODEZK_OK);
    CHECK(reads("x", "b"));
    odezk_lock_free(lock);
    odezk_lock_free(next);
    it_zk_remove(path_of("x"));
}

/* The holder may believe in its lock for a moment, and the servers know better. */
static void the_servers_decide(odezk_role role)
{
    odezk_cluster *a = it_join(role, role == ODEZK_ROLE_CLIENT ? NULL : "a");
    odezk_lock *lock = NULL;

    NEED(a);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    CHECK(write_once(a, lock, create("x", "a")) == ODEZK_OK);
    it_zk_remove(it_path("locks"));
    CHECK(write_once(a, lock, set("x", "late")) == ODEZK_ELOST);
    CHECK(reads("x", "a"));
    odezk_lock_free(lock);
    it_zk_remove(path_of("x"));
}

static void the_servers_decide_for_a_client(void)
{
    the_servers_decide(ODEZK_ROLE_CLIENT);
}

static void the_servers_decide_for_a_member(void)
{
    the_servers_decide(ODEZK_ROLE_MEMBER);
}

static bool find_lock(char *path, size_t size)
{
    struct it_names buckets;
    bool found = it_zk_children(it_zk(), it_path("locks/" SPACE), &buckets) == IT_OK;

    if (found)
        snprintf(path, size, "%s/%s/k", it_path("locks/" SPACE), buckets.count ? buckets.names[0] : "none");
    it_names_free(&buckets);
    return found;
}

static bool is_over(void *arg)
{
    return !odezk_lock_is_valid(arg);
}

/* A lock that was ended under a client, and that another has at once. */
static void not_under_the_lock_of_another(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    char path[2048];
    int late = 0, errors = 0;

    NEED(a);
    for (int i = 0; i < 50; i++) {
        odezk_lock *lock = NULL;
        NEED(odezk_lock_acquire(a, SPACE, "k", it_ms(TIME), &lock) == ODEZK_OK);
        if (i == 0)
            CHECK(write_once(a, lock, create("x", "a")) == ODEZK_OK);
        NEED(find_lock(path, sizeof path));
        NEED(it_zk_delete(it_zk(), path) == IT_OK);
        NEED(it_zk_create(it_zk(), path, "", true, false, NULL, 0) == IT_OK);
        int rc = write_once(a, lock, set("x", "late"));
        late += rc == ODEZK_OK;
        errors += rc != ODEZK_OK && rc != ODEZK_ELOST;
        CHECK(it_until(TIME, is_over, lock));
        odezk_lock_free(lock);
        NEED(it_zk_delete(it_zk(), path) == IT_OK); /* nobody else has touched it */
    }
    CHECK(late == 0 && errors == 0);
    CHECK(reads("x", "a"));
    it_zk_remove(path_of("x"));
}

static void after_the_session(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    odezk_lock *lock = NULL;

    NEED(a);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(odezk_cluster_session(a, &info) == ODEZK_OK);
    NEED(it_zk_expire(info.session_id));
    int rc = write_once(a, lock, create("x", "late"));
    CHECK(rc == ODEZK_ELOST || rc == ODEZK_EUNKNOWN);
    CHECK(is_absent("x"));
    odezk_lock_free(lock);
}

/* ---- as master ---- */

static void as_master(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b;
    int64_t first = 0, second = 0;

    NEED(a && it_until(TIME, is_master, a));
    b = it_join(ODEZK_ROLE_MEMBER, "b");
    NEED(b && odezk_is_master(a, &first));
    odezk_write write = create("x", "a");
    CHECK(odezk_master_write(a, first, &write, 1, it_ms(TIME)) == ODEZK_OK);
    write = set("x", "late");
    CHECK(odezk_master_write(a, first - 1, &write, 1, it_ms(TIME)) == ODEZK_ELOST);
    CHECK(odezk_master_write(b, first, &write, 1, it_ms(TIME)) == ODEZK_ELOST);
    NEED(odezk_resign(a) == ODEZK_OK);
    NEED(it_until(TIME, is_no_master, a) && it_until(TIME, is_master, b));
    CHECK(odezk_master_write(a, first, &write, 1, it_ms(TIME)) == ODEZK_ELOST);
    NEED(odezk_is_master(b, &second) && second > first);
    CHECK(odezk_master_write(a, second, &write, 1, it_ms(TIME)) == ODEZK_ELOST);
    CHECK(reads("x", "a"));
    write = set("x", "b");
    CHECK(odezk_master_write(b, second, &write, 1, it_ms(TIME)) == ODEZK_OK);
    CHECK(reads("x", "b"));
    it_zk_remove(path_of("x"));
}

/* ---- to a database ---- */

static struct it_process *start_counter(const char *db, const char *id)
{
    char servers[256], base[128], node[64], timeout[64], database[128];

    snprintf(database, sizeof database, "%s", db);
    snprintf(servers, sizeof servers, "servers=%s", it_servers());
    snprintf(base, sizeof base, "base=%s", it_base());
    snprintf(node, sizeof node, "node-id=%s", id);
    snprintf(timeout, sizeof timeout, "session-timeout=%d", it_timeout());
    return it_start("examples/fencing", database, servers, base, "cluster=c", node, timeout, NULL);
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static bool waits_to_write(void *log)
{
    it_pump();
    return it_count(log, "I am master*") == it_count(log, "written*") + 1;
}

/* Another has the database for a while; the master waits for it, and is stopped there. When it goes
 * on another is master, and wrote. */
static void a_paused_master(void)
{
    char dir[] = "/tmp/odezk-write.XXXXXX", path[64];
    sqlite3 *db = NULL;

    it_set_timeout(IT_STEADY);
    NEED(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/db", dir);
    struct it_process *a = start_counter(path, "a");
    NEED(a && it_expect(a->log, it_ms(10000), "written as epoch *"));
    struct it_process *b = start_counter(path, "b");
    NEED(b && sqlite3_open(path, &db) == SQLITE_OK && sqlite3_busy_timeout(db, 10000) == SQLITE_OK);
    NEED(it_expect(a->log, it_ms(10000), "written as epoch *"));

    CHECK(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK);
    it_pass(it_ms(500)); /* it asks every 100 ms, and now waits with its answer */
    NEED(it_until(TIME, waits_to_write, a->log));
    int64_t epoch = ask(db, "SELECT epoch FROM counter"), value = ask(db, "SELECT value FROM counter");
    it_signal(a, SIGSTOP);
    CHECK(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(it_expect(b->log, it_timeout() + it_ms(10000), "written as epoch *") != NULL);
    CHECK(ask(db, "SELECT epoch FROM counter") > epoch && ask(db, "SELECT value FROM counter") > value);
    it_signal(a, SIGCONT);
    const char *line = it_expect(a->log, it_ms(10000), "refused as epoch *");
    CHECK(line && strtoll(line + strlen("refused as epoch "), NULL, 10) == epoch);
    CHECK(it_count(a->log, "refused *") == 1);

    it_signal(a, SIGTERM);
    it_signal(b, SIGTERM);
    CHECK(it_exit(a, it_ms(5000)) == 0 && it_exit(b, it_ms(5000)) == 0);
    /* What was told as written is what was written. */
    CHECK(ask(db, "SELECT value FROM counter") == it_count(a->log, "written as *") + it_count(b->log, "written as *"));
    sqlite3_close(db);
    unlink(path);
    CHECK(rmdir(dir) == 0);
}

static const struct it_test tests[] = {
    {"all or nothing", all_or_nothing, 0},
    {"arguments", arguments, 0},
    {"after the release", after_the_release, 0},
    {"the servers decide for a client", the_servers_decide_for_a_client, 0},
    {"the servers decide for a member", the_servers_decide_for_a_member, 0},
    {"not under the lock of another", not_under_the_lock_of_another, 0},
    {"after the session", after_the_session, IT_FAULTS},
    {"as master", as_master, 0},
    {"a paused master and a database", a_paused_master, IT_FAULTS},
    {NULL, NULL, 0},
};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "write", tests);
}
