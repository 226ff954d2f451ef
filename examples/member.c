/* Joins the cluster and prints who joins and leaves, until SIGINT. usage: member [CONFIGURATION-DIRECTORY] */
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

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : NULL; /* NULL: the defaults, a server on localhost:2181 */
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;
    sigset_t until;
    int received;

    sigemptyset(&until);
    sigaddset(&until, SIGINT);
    sigprocmask(SIG_BLOCK, &until, NULL); /* before there are threads */
    if (odezk_config_load(dir, &config, NULL) != ODEZK_OK || odezk_cluster_new(config, NULL, &cluster) != ODEZK_OK ||
        odezk_cluster_subscribe(cluster, ODEZK_EVENT_MEMBER | ODEZK_EVENT_SESSION, on_event, NULL, NULL) != ODEZK_OK ||
        odezk_cluster_join(cluster, 10000) != ODEZK_OK) {
        fprintf(stderr, "member: %s\n", odezk_last_error());
        odezk_cluster_free(cluster);
        odezk_config_free(config);
        return 1;
    }
    sigwait(&until, &received);
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return 0;
}
