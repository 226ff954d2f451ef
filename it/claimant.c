/*
 * A node that asks itself all the time whether it is master, or takes and gives back a lock all the
 * time, and notes each yes as a claim. Descriptor 3 is the claims; ends on SIGTERM.
 *
 * usage: claimant NUMBER SERVERS BASE TIMEOUT master|lock
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void pause_us(long us)
{
    const struct timespec pause = {0, us * 1000};

    nanosleep(&pause, NULL);
}

static int set(odezk_config *config, const char *name, const char *value)
{
    return odezk_config_set(config, name, value, NULL);
}

/* Deaths are noticed by the session timeout, unless a helper is named. */
static int set_helper(odezk_config *config)
{
    const char *helper = getenv("IT_HELPER");

    if (!helper || !*helper)
        return set(config, "crash-leave", "false");
    return set(config, "crash-leave-helper", helper);
}

static odezk_cluster *open_cluster(char **argv, const char *id)
{
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;

    if (odezk_config_new(&config) != ODEZK_OK || set(config, "servers", argv[2]) || set(config, "base", argv[3]) ||
        set(config, "cluster", "c") || set(config, "node-id", id) || set(config, "session-timeout", argv[4]) ||
        set_helper(config) || odezk_cluster_new(config, NULL, &cluster) != ODEZK_OK)
        fprintf(stderr, "claimant %s: %s\n", id, odezk_last_error());
    odezk_config_free(config);
    return cluster;
}

static void claim_master(odezk_cluster *cluster, struct it_claims *claims, int number)
{
    int64_t before = it_boottime_ns(), epoch;

    if (odezk_is_master(cluster, &epoch))
        it_claim(claims, number, epoch, before, it_boottime_ns());
    pause_us(200);
}

/* Holds the lock for a while and looks at it all the time. */
static void claim_lock(odezk_cluster *cluster, struct it_claims *claims, int number)
{
    odezk_lock *lock = NULL;

    if (odezk_lock_acquire(cluster, "claims", "one", 1000, &lock) != ODEZK_OK)
        return;
    for (int i = 0; i < 20; i++) {
        int64_t before = it_boottime_ns();
        if (odezk_lock_is_valid(lock))
            it_claim(claims, number, odezk_lock_token(lock), before, it_boottime_ns());
        pause_us(200);
    }
    odezk_lock_free(lock);
}

int main(int argc, char **argv)
{
    char id[16];
    bool master = argc == 6 && strcmp(argv[5], "master") == 0;

    if (argc != 6)
        return 2;
    signal(SIGTERM, on_signal);
    snprintf(id, sizeof id, "n%s", argv[1]);
    odezk_log_set_level(ODEZK_LOG_ERROR);
    struct it_claims *claims = it_claims_map(3);
    odezk_cluster *cluster = open_cluster(argv, id);
    if (!cluster || odezk_cluster_start(cluster) != ODEZK_OK)
        return 1;
    puts("started");
    fflush(stdout);
    while (!stop) {
        if (master)
            claim_master(cluster, claims, atoi(argv[1]));
        else
            claim_lock(cluster, claims, atoi(argv[1]));
    }
    odezk_cluster_free(cluster);
    it_claims_free(claims);
    return 0;
}
