/* engine node: a member of the cluster that runs jobs until SIGTERM or SIGINT. */
#include "engine.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TICK_MS = 20 };

void say(const struct node *n, const char *format, ...)
{
    int64_t now = wall_ms();
    time_t seconds = (time_t)(now / 1000);
    char stamp[32], line[512];
    struct tm tm;
    va_list args;

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printf("%s.%03dZ %s: %s\n", stamp, (int)(now % 1000), n->id, line);
    fflush(stdout);
}

static void on_ready(struct node *n, const odezk_event *e)
{
    atomic_store(&n->incarnation, e->incarnation);
    atomic_store(&n->member, true);
    say(n, "joined as incarnation %lld", (long long)e->incarnation);
    take_over_look(n);
}

static void on_session(struct node *n, const odezk_event *e)
{
    if (e->state == ODEZK_SESSION_LOST || e->state == ODEZK_SESSION_CLOSED)
        atomic_store(&n->member, false);
    if (e->state == ODEZK_SESSION_SUSPENDED || e->state == ODEZK_SESSION_LOST)
        say(n, "session %s", odezk_session_state_name(e->state));
}

static void on_event(odezk_cluster *cluster, const odezk_event *e, void *arg)
{
    struct node *n = arg;

    (void)cluster;
    switch (e->type) {
    case ODEZK_EVENT_READY:
        on_ready(n, e);
        break;
    case ODEZK_EVENT_SESSION:
        on_session(n, e);
        break;
    case ODEZK_EVENT_MEMBER:
        say(n, "%s %s", e->id, odezk_member_change_name(e->change));
        take_over_look(n);
        break;
    case ODEZK_EVENT_MASTER:
        say(n, "master is %s", e->id ? e->id : "nobody");
        break;
    case ODEZK_EVENT_MASTERSHIP:
        if (e->held)
            say(n, "is master, epoch %lld", (long long)e->epoch);
        else
            say(n, "is master no longer: %s", e->reason);
        take_over_look(n);
        break;
    case ODEZK_EVENT_REFUSED:
        fprintf(stderr, "engine: %s\n", e->reason);
        atomic_store(&n->refused, true);
        break;
    default:
        break;
    }
}

static int set(odezk_config *config, const char *name, const char *option, const char *value)
{
    if (!value || odezk_config_set(config, name, value, option) == ODEZK_OK)
        return EXIT_DONE;
    fprintf(stderr, "engine: %s: %s\n", option, odezk_last_error());
    return EXIT_USAGE;
}

static int configure(const struct options *o, odezk_config *config)
{
    if (set(config, "node-id", "--id", o->id) || set(config, "servers", "--servers", o->servers) ||
        set(config, "cluster", "--cluster", o->cluster) ||
        set(config, "session-timeout", "--session-timeout", o->session_timeout))
        return EXIT_USAGE;
    return EXIT_DONE;
}

static int load_config(const struct options *o, odezk_config **config)
{
    odezk_problems *problems = NULL;
    int err = odezk_config_load(o->config, config, &problems);
    size_t i;

    if (err == ODEZK_OK)
        return EXIT_DONE;
    for (i = 0; i < odezk_problems_count(problems); i++)
        fprintf(stderr, "engine: %s\n", odezk_problems_at(problems, i)->text);
    if (!problems)
        fprintf(stderr, "engine: %s\n", odezk_last_error());
    odezk_problems_free(problems);
    return err == ODEZK_ECONFIG ? EXIT_USAGE : EXIT_FAILED;
}

static int make_cluster(const struct options *o, odezk_cluster **cluster)
{
    odezk_config *config;
    int exit_code = load_config(o, &config);

    if (exit_code)
        return exit_code;
    exit_code = configure(o, config);
    if (!exit_code && odezk_cluster_new(config, NULL, cluster) != ODEZK_OK) {
        fprintf(stderr, "engine: %s\n", odezk_last_error());
        exit_code = EXIT_FAILED;
    }
    odezk_config_free(config);
    return exit_code;
}

/* Feeds the workers until a signal to end comes, or the node may not be a member. */
static int run_jobs(struct node *n, struct workers *workers, const sigset_t *signals)
{
    struct timespec tick = {0, TICK_MS * 1000000L};

    while (!atomic_load(&n->refused)) {
        if (sigtimedwait(signals, NULL, &tick) > 0)
            return EXIT_DONE;
        if (atomic_load(&n->member))
            workers_feed(workers);
    }
    return EXIT_FAILED;
}

static int run_threads(struct node *n, long worker_count, const sigset_t *signals)
{
    struct workers *workers = NULL;
    pthread_t duty;
    int exit_code = EXIT_FAILED, err = pthread_create(&duty, NULL, take_over_thread, n);

    if (err) {
        fprintf(stderr, "engine: %s\n", strerror(err));
        return EXIT_FAILED;
    }
    if (workers_start(n, worker_count, &workers) == 0 && odezk_cluster_start(n->cluster) == ODEZK_OK)
        exit_code = run_jobs(n, workers, signals);
    atomic_store(&n->stop, true);
    take_over_look(n);
    workers_stop(workers);
    pthread_join(duty, NULL);
    return exit_code;
}

static int run_node(struct node *n, long worker_count, const sigset_t *signals)
{
    int exit_code;

    n->id = odezk_cluster_node_id(n->cluster);
    if (odezk_cluster_subscribe(n->cluster, ODEZK_EVENT_ALL, on_event, n, NULL) != ODEZK_OK) {
        fprintf(stderr, "engine: %s\n", odezk_last_error());
        return EXIT_FAILED;
    }
    exit_code = run_threads(n, worker_count, signals);
    odezk_cluster_close(n->cluster);
    say(n, "left; ran %ld jobs, put back %ld times", atomic_load(&n->ran), atomic_load(&n->put_back));
    return exit_code;
}

/* The table has to know the node before the node can be given jobs. */
static int register_node(const char *db, const char *id)
{
    struct store *s;
    int err;

    if (store_open(db, true, &s) != 0)
        return EXIT_FAILED;
    err = store_add_node(s, id);
    store_close(s);
    return err < 0 ? EXIT_FAILED : EXIT_DONE;
}

int node_command(const struct options *o)
{
    struct node n = {.db = o->db, .lock = PTHREAD_MUTEX_INITIALIZER};
    sigset_t signals;
    int exit_code;

    /* blocked before there is any thread, so that the signals wait for sigtimedwait() */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    pthread_cond_init(&n.look, NULL);
    exit_code = make_cluster(o, &n.cluster);
    if (!exit_code)
        exit_code = register_node(o->db, odezk_cluster_node_id(n.cluster));
    if (!exit_code)
        exit_code = run_node(&n, o->workers, &signals);
    odezk_cluster_free(n.cluster);
    pthread_cond_destroy(&n.look);
    return exit_code;
}
