/* Takes a lock without being a node, works a while, and stops when the lock is lost. usage: lock
 * [SERVERS [KEY]] */
#include <odezk/odezk.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static void on_lost(odezk_lock *lock, void *arg)
{
    (void)lock;
    atomic_store((atomic_bool *)arg, true);
}

static void work(odezk_lock *lock, const char *key)
{
    const struct timespec part = {0, 100000000};
    atomic_bool lost = false;

    /* The token goes with whatever is written: the receiver refuses one smaller than it has seen.
     */
    printf("%s is mine, fencing token %lld\n", key, (long long)odezk_lock_token(lock));
    odezk_lock_on_lost(lock, on_lost, &lost);
    for (int i = 0; i < 20 && !atomic_load(&lost); i++)
        nanosleep(&part, NULL);
    puts(odezk_lock_release(lock) == ODEZK_OK ? "done" : "lost on the way");
}

static int run(const odezk_config *config, const char *key)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_cluster *cluster = NULL;
    odezk_lock *lock = NULL;
    int err;

    options.role = ODEZK_ROLE_CLIENT;
    err = odezk_cluster_new(config, &options, &cluster);
    if (err == ODEZK_OK)
        err = odezk_lock_acquire(cluster, ODEZK_SPACE_DEPLOYMENT, key, 30000, &lock);
    if (err == ODEZK_OK)
        work(lock, key);
    odezk_lock_free(lock);
    odezk_cluster_free(cluster);
    return err;
}

int main(int argc, char **argv)
{
    odezk_config *config = NULL;
    int err = odezk_config_new(&config);

    if (err == ODEZK_OK && argc > 1)
        err = odezk_config_set(config, "servers", argv[1], NULL);
    if (err == ODEZK_OK)
        err = run(config, argc > 2 ? argv[2] : "example");
    if (err != ODEZK_OK)
        fprintf(stderr, "lock: %s\n", odezk_last_error());
    odezk_config_free(config);
    return err == ODEZK_OK ? 0 : 1;
}
