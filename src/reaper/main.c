/* odezk-reaper: waits for the death of the process that it was started by. When that is proven, it becomes the
 * program that ends the session; until then it never touches the network.
 *
 * It uses nothing but libc, so that waiting costs next to no memory. */
#include "reaper/record.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSER "odezk-reaper-close"

static struct oz_record record; /* the newest */

static bool right_start(void)
{
    int type = 0;
    socklen_t size = sizeof type;

    return getsockopt(OZ_REAPER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* What ends the parent, or is typed at its terminal, must not end us before we have done our work. */
static void hide(void)
{
    const struct rlimit none = {0, 0};
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    closefrom(OZ_REAPER_PIDFD + 1);
    setsid();
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    if (chdir("/") != 0)
        _exit(EXIT_FAILURE);
}

/* False: nobody is left at the other end. */
static bool read_record(void)
{
    ssize_t n = recv(OZ_REAPER_SOCKET, &record, sizeof record, MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    if (n != sizeof record || record.version != OZ_RECORD_VERSION || record.session == 0)
        _exit(EXIT_SUCCESS);
    return true;
}

/* The end of the socket alone proves nothing, the program may have been replaced by exec(); nor does the end of the
 * process, a child may hold the socket. After one of them the other is waited for, until the session must have ended by
 * itself. */
static bool parent_is_dead(void)
{
    struct pollfd ends[] = {{.fd = OZ_REAPER_SOCKET, .events = POLLIN}, {.fd = OZ_REAPER_PIDFD, .events = POLLIN}};

    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        bool all = ends[0].fd >= 0 && ends[1].fd >= 0;
        int n = poll(ends, 2, all ? -1 : 2 * record.timeout_ms);

        if (n == 0)
            return false;
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0 && ends[0].revents && !read_record())
            ends[0].fd = -1;
        if (n > 0 && (ends[1].revents & POLLNVAL))
            return false;
        if (n > 0 && (ends[1].revents & POLLIN))
            ends[1].fd = -1;
    }
    return record.session != 0;
}

/* In a file that is in memory only: others can read arguments and environment. */
static bool hand_over(void)
{
    int fd = memfd_create("record", 0);

    return fd >= 0 && write(fd, &record, sizeof record) == sizeof record && lseek(fd, 0, SEEK_SET) == 0 &&
           dup2(fd, 0) == 0 && dup2(OZ_REAPER_PIDFD, 2) == 2;
}

int main(int argc, char **argv)
{
    char path[4096];
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

    if (!slash || !right_start()) {
        fprintf(stderr, "odezk-reaper is started by libodezk only\n");
        return 2;
    }
    hide();
    if (parent_is_dead() && hand_over() &&
        snprintf(path, sizeof path, "%.*s/" CLOSER, (int)(slash - argv[0]), argv[0]) < (int)sizeof path)
        execl(path, path, (char *)NULL);
    _exit(EXIT_FAILURE);
}
