/* Does something every second, but only on the master. usage: election [SERVERS [ID]] */
#include <odezk/odezk.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* The epoch goes with whatever a master writes elsewhere, so that a master of before can be refused
 * there. */
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

static int run(const odezk_config *config, const sigset_t *until)
{
    const struct timespec second = {1, 0};
    odezk_cluster *cluster = NULL;
    int err = odezk_cluster_new(config, NULL, &cluster);

    if (err == ODEZK_OK)
        err = odezk_cluster_join(cluster, 10000);
    while (err == ODEZK_OK && sigtimedwait(until, NULL, &second) < 0)
        work(cluster);
    odezk_cluster_free(cluster); /* gives the mastership up: the next one need not wait */
    return err;
}

int main(int argc, char **argv)
{
    odezk_config *config = NULL;
    sigset_t until;
    int err;

    sigemptyset(&until);
    sigaddset(&until, SIGINT);
    sigaddset(&until, SIGTERM);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before there are threads */
    err = odezk_config_new(&config);
    if (err == ODEZK_OK && argc > 1)
        err = odezk_config_set(config, "servers", argv[1], NULL);
    if (err == ODEZK_OK && argc > 2)
        err = odezk_config_set(config, "node-id", argv[2], NULL);
    if (err == ODEZK_OK)
        err = run(config, &until);
    if (err != ODEZK_OK)
        fprintf(stderr, "election: %s\n", odezk_last_error());
    odezk_config_free(config);
    return err == ODEZK_OK ? 0 : 1;
}
