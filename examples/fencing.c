/* The master counts in a database, and one that was master before cannot.
 * usage: fencing DATABASE [SETTING=VALUE]...
 *
 * Between the question "am I master?" and the write a process may be stopped for as long as the
 * machine likes, and another is master meanwhile. So the epoch goes with the write, and the table
 * takes no epoch below one that it has seen. */
#include <odezk/odezk.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char schema[] = "CREATE TABLE IF NOT EXISTS counter(one INTEGER PRIMARY KEY CHECK(one = 1), value INTEGER,"
                             " epoch INTEGER);"
                             "INSERT OR IGNORE INTO counter VALUES(1, 0, 0);";
static const char count_up[] = "UPDATE counter SET value = value + 1, epoch = ?1 WHERE epoch <= ?1";

/* 1: written; 0: a later master was here before; -1: the database failed. */
static int write_as(sqlite3 *db, int64_t epoch)
{
    sqlite3_stmt *statement;
    int rc;

    if (sqlite3_prepare_v2(db, count_up, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_int64(statement, 1, epoch);
    rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? sqlite3_changes(db) : -1;
}

static void work(odezk_cluster *cluster, sqlite3 *db)
{
    int64_t epoch;

    if (!odezk_is_master(cluster, &epoch))
        return;
    printf("I am master, and write as epoch %lld\n", (long long)epoch);
    fflush(stdout);
    switch (write_as(db, epoch)) {
    case 1:
        printf("written as epoch %lld\n", (long long)epoch);
        break;
    case 0:
        printf("refused as epoch %lld: a later master wrote\n", (long long)epoch);
        break;
    default:
        printf("%s\n", sqlite3_errmsg(db));
    }
    fflush(stdout);
}

static int run(const odezk_config *config, sqlite3 *db, const sigset_t *until)
{
    const struct timespec pause = {0, 100000000};
    odezk_cluster *cluster = NULL;
    int err = odezk_cluster_new(config, NULL, &cluster);

    if (err == ODEZK_OK)
        err = odezk_cluster_join(cluster, 10000);
    while (err == ODEZK_OK && sigtimedwait(until, NULL, &pause) < 0)
        work(cluster, db);
    odezk_cluster_free(cluster);
    return err;
}

/* "servers=127.0.0.1:2181" */
static int set(odezk_config *config, char *argument)
{
    char *value = strchr(argument, '=');

    if (value)
        *value++ = '\0';
    return odezk_config_set(config, argument, value ? value : "", NULL);
}

int main(int argc, char **argv)
{
    odezk_config *config = NULL;
    sqlite3 *db = NULL;
    sigset_t until;
    int err;

    if (argc < 2) {
        fprintf(stderr, "usage: fencing DATABASE [SETTING=VALUE]...\n");
        return 2;
    }
    sigemptyset(&until);
    sigaddset(&until, SIGINT);
    sigaddset(&until, SIGTERM);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before there are threads */
    if (sqlite3_open(argv[1], &db) != SQLITE_OK || sqlite3_busy_timeout(db, 60000) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "fencing: %s: %s\n", argv[1], sqlite3_errmsg(db));
        sqlite3_close(db);
        return 1;
    }
    err = odezk_config_new(&config);
    for (int i = 2; i < argc && err == ODEZK_OK; i++)
        err = set(config, argv[i]);
    if (err == ODEZK_OK)
        err = run(config, db, &until);
    if (err != ODEZK_OK)
        fprintf(stderr, "fencing: %s\n", odezk_last_error());
    odezk_config_free(config);
    sqlite3_close(db);
    return err == ODEZK_OK ? 0 : 1;
}
