/* Joins the cluster and tells who comes and goes, until SIGINT. usage: member [SERVERS [ID]] */
#include <odezk/odezk.h>
#include <signal.h>
#include <stdio.h>

static void on_event(odezk_cluster *cluster, const odezk_event *e, void *arg)
{
    (void)cluster;
    (void)arg;
    if (e->type == ODEZK_EVENT_MEMBER)
        printf("%s %s (incarnation %lld)\n", e->id, odezk_member_change_name(e->change), (long long)e->incarnation);
    else if (e->type == ODEZK_EVENT_SESSION)
        printf("session %s\n", odezk_session_state_name(e->state));
    fflush(stdout);
}

static int run(const odezk_config *config, const sigset_t *until)
{
    odezk_cluster *cluster = NULL;
    int received, err = odezk_cluster_new(config, NULL, &cluster);

    if (err == ODEZK_OK)
        err = odezk_cluster_subscribe(cluster, ODEZK_EVENT_MEMBER | ODEZK_EVENT_SESSION, on_event, NULL, NULL);
    if (err == ODEZK_OK)
        err = odezk_cluster_join(cluster, 10000);
    if (err == ODEZK_OK)
        sigwait(until, &received);
    odezk_cluster_free(cluster);
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
        fprintf(stderr, "member: %s\n", odezk_last_error());
    odezk_config_free(config);
    return err == ODEZK_OK ? 0 : 1;
}
