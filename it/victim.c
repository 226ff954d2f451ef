/*
 * A member that is about to die, in one of several ways. Says "ready" when it has joined.
 *
 * usage: victim SERVERS BASE TIMEOUT ID MODE [SETTING VALUE]...
 *
 * MODE plain: nothing more; fork: has a child that lives on, and says "child PID"; clone: the same,
 * but by a system call that no library hears of; exec: becomes another program, and says "idle"; adopt: orphans become
 * its children.
 *
 * SIGUSR1: says whether there was a sign of a child; SIGUSR2: closes the handle and lives on;
 * SIGHUP: ends without closing it; SIGTERM: closes it and ends.
 */
#include <errno.h>
#include <odezk/odezk.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOIN_MS = 60000 };

static const char *const names[] = {"servers", "base", "session-timeout", "node-id"};

static int say(const char *what)
{
    puts(what);
    return fflush(stdout);
}

static odezk_config *configure(char **argv)
{
    odezk_config *config = NULL;
    int error = odezk_config_new(&config);

    for (int i = 0; i < 4 && error == ODEZK_OK; i++)
        error = odezk_config_set(config, names[i], argv[i + 1], NULL);
    for (char **pair = argv + 6; pair[0] && pair[1] && error == ODEZK_OK; pair += 2)
        error = odezk_config_set(config, pair[0], pair[1], NULL);
    if (error == ODEZK_OK)
        error = odezk_config_set(config, "cluster", "c", NULL);
    if (error != ODEZK_OK)
        fprintf(stderr, "victim: %s\n", odezk_last_error());
    return config;
}

static odezk_cluster *join(char **argv)
{
    odezk_config *config = configure(argv);
    odezk_cluster *cluster = NULL;

    if (odezk_cluster_new(config, NULL, &cluster) != ODEZK_OK || odezk_cluster_join(cluster, JOIN_MS) != ODEZK_OK) {
        fprintf(stderr, "victim: %s\n", odezk_last_error());
        exit(1);
    }
    odezk_config_free(config);
    return cluster;
}

static void live_on(pid_t child)
{
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        close(STDOUT_FILENO);
        for (;;)
            pause();
    }
    printf("child %d\n", (int)child);
}

static void act(const char *mode, const char *self)
{
    if (strcmp(mode, "fork") == 0)
        live_on(fork());
    else if (strcmp(mode, "clone") == 0)
        live_on((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    else if (strcmp(mode, "exec") == 0)
        execl("/proc/self/exe", self, "idle", (char *)NULL);
}

static void tell_children(void)
{
    sigset_t pending;
    bool none;

    sigpending(&pending);
    none = !sigismember(&pending, SIGCHLD) && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
    say(none ? "no child" : "a child");
}

static void obey(odezk_cluster *cluster, const sigset_t *orders)
{
    int order = 0;

    while (order != SIGTERM && sigwait(orders, &order) == 0) {
        if (order == SIGUSR1)
            tell_children();
        else if (order == SIGHUP)
            _exit(0);
        else if (order == SIGUSR2 && odezk_cluster_close(cluster) == ODEZK_OK)
            say("closed");
    }
}

static void idle(void)
{
    say("idle");
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    sigset_t orders, blocked;

    if (argc == 2 && strcmp(argv[1], "idle") == 0)
        idle();
    if (argc < 6)
        return 2;
    sigemptyset(&orders);
    sigaddset(&orders, SIGUSR1);
    sigaddset(&orders, SIGUSR2);
    sigaddset(&orders, SIGHUP);
    sigaddset(&orders, SIGTERM);
    blocked = orders;
    sigaddset(&blocked, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    if (strcmp(argv[5], "adopt") == 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    odezk_cluster *cluster = join(argv);
    act(argv[5], argv[0]);
    say("ready");
    obey(cluster, &orders);
    odezk_cluster_free(cluster);
    return 0;
}
