/*
 * The group has three kinds of processes: the command, what it starts, and a guard that does
 * nothing but wait for the end of a pipe which this process holds. When this process is killed, the
 * guard kills its own group. As a member it keeps the group's number from being used anew.
 *
 * Between fork and exec only async-signal-safe functions are called: other threads may have held
 * any lock.
 */
#include "child.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL "/bin/sh"

/* How to run a program, all made before the fork. */
struct program {
    char *path;
    char *const *argv;
    char *const *envp;
    char **script; /* arguments of a shell, for a file that the kernel does not know how to run */
};

static void program_free(struct program *program)
{
    free(program->path);
    free(program->script);
}

static int program_make(struct program *program, char *const argv[], char *const envp[])
{
    size_t count = 0;

    *program = (struct program){.argv = argv, .envp = envp};
    while (argv[count])
        count++;
    program->path = process_find(argv[0]);
    if (!program->path)
        return errno;
    program->script = calloc(count + 2, sizeof *program->script);
    if (!program->script) {
        program_free(program);
        return ENOMEM;
    }
    program->script[0] = argv[0];
    program->script[1] = program->path;
    memcpy(program->script + 2, argv + 1, count * sizeof *argv);
    return 0;
}

/* Leaves only descriptors 0 to 2 and `fd`, as number 3. False: nothing can be done. */
static bool keep_only(int fd)
{
    if (fd != 3 && dup2(fd, 3) != 3)
        return false;
    closefrom(4);
    return fcntl(3, F_SETFD, FD_CLOEXEC) == 0;
}

static bool has_foreground(void)
{
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/*
 * The command's process: waits for the word to go, then becomes the command. It says nothing when
 * that worked, which closes the socket, and why not otherwise.
 */
static void become(const struct program *program, int go_fd, pid_t parent)
{
    char go;
    int error;

    /* The group's leader gets SIGKILL even if the guard is killed before us. */
    if (!keep_only(go_fd) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || setpgid(0, 0) != 0 ||
        read(3, &go, 1) != 1)
        _exit(126);
    process_child_signals();
    execve(program->path, program->argv, program->envp);
    if (errno == ENOEXEC)
        execve(SHELL, program->script, program->envp);
    error = errno;
    while (write(3, &error, sizeof error) < 0 && errno == EINTR)
        continue;
    _exit(126);
}

/* The guard's process. All signals are blocked, those that stop it too. */
static void guard(int pipe_fd, pid_t group)
{
    char none;

    if (setpgid(0, group) != 0 || dup2(pipe_fd, 0) != 0)
        _exit(1);
    closefrom(1);
    while (read(0, &none, 1) < 0 && errno == EINTR)
        continue;
    kill(0, SIGKILL);
    _exit(1);
}

static pid_t fork_blocked(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid != 0)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Both the parent and the child set the group, so that neither has to wait for the other. */
static int start_leader(struct child *child, const struct program *program, const int go[2])
{
    pid_t parent = getpid();

    child->pid = fork_blocked();
    if (child->pid < 0) {
        child->pid = 0;
        return errno;
    }
    if (child->pid == 0)
        become(program, go[1], parent);
    setpgid(child->pid, child->pid);
    return 0;
}

static int start_guard(struct child *child)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return errno;
    child->guard = fork_blocked();
    if (child->guard == 0) {
        close(fds[1]);
        guard(fds[0], child->pid);
    }
    int error = child->guard < 0 ? errno : 0;
    close(fds[0]);
    if (error != 0) {
        child->guard = 0;
        close(fds[1]);
        return error;
    }
    setpgid(child->guard, child->pid);
    child->guard_fd = fds[1];
    return 0;
}

static void give_terminal(struct child *child)
{
    child->has_terminal = has_foreground() && tcsetpgrp(STDIN_FILENO, child->pid) == 0;
}

static void take_terminal(struct child *child)
{
    sigset_t output, before;

    if (!child->has_terminal)
        return;
    child->has_terminal = false;
    /* We are in the background: unblocked, the signal would stop us. */
    sigemptyset(&output);
    sigaddset(&output, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &output, &before);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* The word to go, and the answer: an errno when the command could not be run. */
static int let_go(int fd)
{
    int error = 0;
    ssize_t got;

    if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
        return errno;
    do {
        got = recv(fd, &error, sizeof error, 0);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof error ? error : 0;
}

static int start_both(struct child *child, const struct program *program)
{
    int go[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) != 0)
        return errno;
    int error = start_leader(child, program, go);
    close(go[1]);
    if (error == 0)
        error = start_guard(child);
    if (error == 0) {
        give_terminal(child);
        error = let_go(go[0]);
    }
    close(go[0]);
    if (error != 0) {
        reap(child->pid);
        child_finish(child);
    }
    return error;
}

int child_start(struct child *child, char *const argv[], char *const envp[])
{
    struct program program;

    *child = (struct child){.guard_fd = -1};
    int error = program_make(&program, argv, envp);
    if (error != 0)
        return error;
    error = start_both(child, &program);
    program_free(&program);
    return error;
}

void child_signal(const struct child *child, int number)
{
    kill(-child->pid, number);
}

static bool stopped_by_terminal(int status)
{
    return WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP;
}

enum child_state child_poll(struct child *child, int *status)
{
    if (waitpid(child->pid, status, WNOHANG | WUNTRACED) != child->pid)
        return CHILD_RUNS;
    if (!WIFSTOPPED(*status))
        return CHILD_ENDED;
    return stopped_by_terminal(*status) ? CHILD_STOPPED : CHILD_RUNS;
}

void child_suspend(struct child *child)
{
    take_terminal(child);
    /* All of our job, as the terminal does it; without a shell to continue us it has no effect. */
    kill(0, SIGTSTP);
}

void child_continue(struct child *child)
{
    give_terminal(child);
    child_signal(child, SIGCONT);
}

void child_finish(struct child *child)
{
    take_terminal(child);
    if (child->guard > 0) {
        kill(child->guard, SIGKILL);
        reap(child->guard);
        close(child->guard_fd);
    }
    *child = (struct child){.guard_fd = -1};
}
