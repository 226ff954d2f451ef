#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    struct sigaction pipe;
    sigset_t mask;
} at_start;

bool process_init(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct sigaction dfl = {.sa_handler = SIG_DFL};
    int fd;

    /* Read only: what is written to a closed standard output has to fail, not to vanish. */
    do {
        fd = open("/dev/null", O_RDONLY);
        if (fd < 0)
            return false;
    } while (fd <= STDERR_FILENO);
    close(fd);
    /* Ignored, as some parents leave it, no child's exit code could be had. */
    return sigaction(SIGCHLD, &dfl, NULL) == 0 && sigaction(SIGPIPE, &ignore, &at_start.pipe) == 0 &&
           sigprocmask(SIG_BLOCK, NULL, &at_start.mask) == 0;
}

void process_child_signals(void)
{
    sigaction(SIGPIPE, &at_start.pipe, NULL);
    sigprocmask(SIG_SETMASK, &at_start.mask, NULL);
}

/* Whether `path` can be run; errno says why not. */
static bool runnable(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EACCES;
        return false;
    }
    return access(path, X_OK) == 0;
}

char *process_find(const char *name)
{
    if (strchr(name, '/'))
        return runnable(name) ? strdup(name) : NULL;

    const char *dirs = getenv("PATH");
    int error = ENOENT;
    for (const char *dir = dirs ? dirs : "/usr/bin:/bin"; *name; dir++) {
        size_t len = strcspn(dir, ":");
        char *path = NULL;
        if (asprintf(&path, "%.*s%s%s", (int)len, dir, len > 0 ? "/" : "./", name) < 0) {
            errno = ENOMEM;
            return NULL;
        }
        if (runnable(path))
            return path;
        if (errno == EACCES)
            error = EACCES;
        free(path);
        dir += len;
        if (!*dir)
            break;
    }
    errno = error;
    return NULL;
}

int process_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int process_exec_exit_code(int error)
{
    return error == ENOENT ? 127 : 126;
}
