/* Child processes. All end with their parent, and each is ended by its own pid. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *program(const char *name)
{
    static char path[PATH_MAX + 64];
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    /* We are it/faults/faults of the build directory. */
    self[length > 0 ? length : 0] = '\0';
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
    }
    snprintf(path, sizeof path, "%s/%s", self, name);
    return path;
}

static void become(const char *const argv[], int in, int out, int fd, int log, int farewell, pid_t parent)
{
    int third = fd >= 0 ? fcntl(fd, F_DUPFD, 10) : -1;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a terminal's Ctrl-C is for the runner, which ends us in order */
    if (prctl(PR_SET_PDEATHSIG, farewell) != 0 || getppid() != parent || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(log, 2) < 0 || (third >= 0 && dup2(third, 3) < 0))
        _exit(127);
    closefrom(fd >= 0 ? 4 : 3);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

void child_start(struct child *child, const char *const argv[], bool output, int fd, const char *log)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    int in[2], out[2] = {-1, -1};
    int errors = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    pid_t parent = getpid();

    if (nowhere < 0 || pipe2(in, O_CLOEXEC) != 0 || (output && pipe2(out, O_CLOEXEC) != 0))
        give_up("no descriptors for %s: %s", argv[0], strerror(errno));
    child->pid = fork();
    if (child->pid == 0)
        become(argv, in[0], output ? out[1] : nowhere, fd, errors >= 0 ? errors : nowhere,
               child->farewell ? child->farewell : SIGKILL, parent);
    if (child->pid < 0)
        give_up("no process for %s: %s", argv[0], strerror(errno));
    child->in = in[1];
    child->out = out[0];
    close(in[0]);
    close(nowhere);
    if (output)
        close(out[1]);
    if (errors >= 0)
        close(errors);
}

void child_tell(struct child *child, const char *line)
{
    if (child->pid > 0 && dprintf(child->in, "%s\n", line) < 0)
        say("%s was not heard: %s", line, strerror(errno));
}

static void forget(struct child *child)
{
    if (child->in >= 0)
        close(child->in);
    if (child->out >= 0)
        close(child->out);
    *child = (struct child){.in = -1, .out = -1};
}

void child_kill(struct child *child)
{
    if (child->pid <= 0)
        return;
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget(child);
}

bool child_wait(struct child *child, int ms)
{
    const struct timespec pause = {0, NS_PER_MS};
    int64_t end = record_now() + ms * NS_PER_MS;

    while (child->pid > 0 && waitpid(child->pid, NULL, WNOHANG) != child->pid) {
        if (record_now() >= end)
            return false;
        nanosleep(&pause, NULL);
    }
    forget(child);
    return true;
}
