#include "reaper/launch.h"

#include "base/mem.h"
#include "reaper/record.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK 16384

/* Two processes are made, each of which runs in the memory of the one before it until it is done with it, as with
 * posix_spawn(). The first has no exit signal: unless wait() is called with __WCLONE or __WALL, the program never hears
 * of it. The second is orphaned at once. A sanitizer takes all that for threads of ours: so nothing here is
 * instrumented, and system calls are made without the wrappers that it might have replaced. */
#define PLAIN __attribute__((no_sanitize("address", "thread", "undefined")))

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
/* The C library's other name for clone(), which ThreadSanitizer has not replaced. */
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

struct launch {
    char *const *argv, *const *envp;
    int socket, pidfd;
    int error;
    _Alignas(16) char stacks[2][STACK];
};

/* Both descriptors may have any number now, even 0 or 1. */
PLAIN static bool place(int socket, int pidfd)
{
    long a = syscall(SYS_fcntl, socket, F_DUPFD, 2), b = syscall(SYS_fcntl, pidfd, F_DUPFD, 2);

    return a >= 0 && b >= 0 && syscall(SYS_dup3, a, OZ_REAPER_SOCKET, 0) >= 0 &&
           syscall(SYS_dup3, b, OZ_REAPER_PIDFD, 0) >= 0;
}

PLAIN static int become_helper(void *arg)
{
    struct launch *l = arg;

    if (place(l->socket, l->pidfd))
        syscall(SYS_execve, l->argv[0], l->argv, l->envp);
    l->error = errno;
    syscall(SYS_exit_group, 1);
    return 1;
}

PLAIN static int make_orphan(void *arg)
{
    struct launch *l = arg;

    if (clone(become_helper, l->stacks[1] + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, l) < 0)
        l->error = errno;
    syscall(SYS_exit_group, 0);
    return 0;
}

static int run(struct launch *l)
{
    pid_t pid = clone(make_orphan, l->stacks[0] + STACK, CLONE_VM | CLONE_VFORK, l);

    if (pid < 0)
        return errno;
    while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
        continue;
    return l->error;
}

/* All that the helper needs of the environment is where its libraries are. */
static char *library_path(void)
{
    const char *path = getenv("LD_LIBRARY_PATH");

    return path ? oz_format("LD_LIBRARY_PATH=%s", path) : NULL;
}

int oz_launch(const char *path, int socket, int pidfd)
{
    struct launch *l = oz_alloc(sizeof *l);
    char *libraries = library_path(), *name = oz_strdup(path);
    char *argv[] = {name, NULL}, *envp[] = {libraries, NULL};
    int error = ENOMEM;

    if (l && name) {
        l->argv = argv;
        l->envp = envp;
        l->socket = socket;
        l->pidfd = pidfd;
        error = run(l);
    }
    free(l);
    free(libraries);
    free(name);
    return error;
}
