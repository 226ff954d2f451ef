/* Does something every second, but only on the master. usage: election [CONFIGURATION-DIRECTORY] */
#include <odezk/odezk.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* The epoch goes with whatever a master writes elsewhere, so that an earlier master can be refused there. */
static void work(odezk_cluster *cluster)
{
    odezk_master master;
    int64_t epoch;

    if (odezk_is_master(cluster, &epoch))
        printf("I am master, epoch %lld\n", (long long)epoch);
    else if (odezk_get_master(cluster, &master) == ODEZK_OK)
        printf("the master is %s\n", master.id[0] ? master.id : "nobody");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const struct timespec second = {1, 0};
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;
    sigset_t until;
    int failed;

    sigemptyset(&until);
    sigaddset(&until, SIGINT);
    sigaddset(&until, SIGTERM);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before there are threads */
    failed = odezk_config_load(argc > 1 ? argv[1] : NULL, &config, NULL) || odezk_cluster_new(config, NULL, &cluster) ||
             odezk_cluster_join(cluster, 10000);
    if (failed)
        fprintf(stderr, "election: %s\n", odezk_last_error());
    while (!failed && sigtimedwait(&until, NULL, &second) < 0)
        work(cluster);
    odezk_cluster_free(cluster); /* gives the mastership up: the next master need not wait */
    odezk_config_free(config);
    return failed ? 1 : 0;
}
