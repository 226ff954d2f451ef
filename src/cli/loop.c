#include "loop.h"

#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

int64_t loop_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add_unless_ignored(sigset_t *set, int number)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        sigaddset(set, number);
}

int loop_signal_fd(void)
{
    sigset_t set;

    sigemptyset(&set);
    /* Also when ignored, as a shell without job control starts its background commands. */
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    add_unless_ignored(&set, SIGHUP);
    add_unless_ignored(&set, SIGQUIT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int loop_read_signal(int fd, bool *typed)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return 0;
    if (typed)
        *typed = info.ssi_code == SI_KERNEL;
    return (int)info.ssi_signo;
}

int loop_wake_fd(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void loop_wake(int fd)
{
    /* Fails only when the counter is full: then there is a wake-up already. */
    eventfd_write(fd, 1);
}

void loop_clear_wake(int fd)
{
    eventfd_t count;
    eventfd_read(fd, &count);
}
