/* Child processes whose output is read line by line. */
#include "internal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 64 };

static struct it_process *processes;

const char *it_program(const char *name)
{
    static char path[PATH_MAX + 64];
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    /* The programs of the tests lie in it/, one folder below the build directory. */
    self[length > 0 ? length : 0] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = '\0';
    }
    snprintf(path, sizeof path, "%s/%s", self, name);
    return path;
}

const char *it_odezk(void)
{
    return it_program("odezk");
}

/* ---- starting ---- */

/* Descriptors behind the standard ones are the parent's; `extra` becomes number 3. */
static void become(const char *path, char *const argv[], int out, int extra, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    if (dup2(out, STDOUT_FILENO) < 0)
        _exit(127);
    if (extra >= 0 && (extra == 3 ? fcntl(3, F_SETFD, 0) : dup2(extra, 3)) < 0)
        _exit(127);
    closefrom(extra >= 0 ? 4 : 3);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(path, argv);
    _exit(127);
}

static int inherited = -1;

void it_inherit(int fd)
{
    inherited = fd;
}

struct it_process *it_startv(const char *program, const char *const argv[])
{
    struct it_process *process = it_alloc(sizeof *process);
    const char *path = it_program(program);
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        perror("pipe");
        exit(1);
    }
    process->log = it_log_new();
    process->out = ends[0];
    process->pid = fork();
    if (process->pid == 0)
        become(path, (char *const *)argv, ends[1], inherited, parent);
    close(ends[1]);
    process->next = processes;
    processes = process;
    return process;
}

static struct it_process *start(const char *program, const char *const *first, int count, va_list rest)
{
    const char *argv[ARGUMENTS_MAX + 1];
    int n = 0;

    for (; n < count; n++)
        argv[n] = first[n];
    while (n < ARGUMENTS_MAX && (argv[n] = va_arg(rest, const char *)) != NULL)
        n++;
    argv[n] = NULL;
    return it_startv(program, argv);
}

struct it_process *it_start(const char *program, ...)
{
    va_list rest;

    va_start(rest, program);
    struct it_process *process = start(program, &program, 1, rest);
    va_end(rest);
    return process;
}

struct it_process *it_node(const char *id, ...)
{
    char timeout[16];
    const char *const first[] = {"odezk",     "node", "--json", "--servers", it_servers(),        "--base", it_base(),
                                 "--cluster", "c",    "--id",   id,          "--session-timeout", timeout};
    va_list rest;

    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    va_start(rest, id);
    struct it_process *process = start("odezk", first, sizeof first / sizeof *first, rest);
    va_end(rest);
    return process;
}

/* ---- reading ---- */

static void take_line(struct it_process *process)
{
    process->part[process->part_length] = '\0';
    process->part_length = 0;
    it_log_add_output(process->log, process->part);
}

static void read_output(struct it_process *process)
{
    char chunk[4096];
    ssize_t got;

    while (process->out >= 0 && (got = read(process->out, chunk, sizeof chunk)) >= 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (chunk[i] == '\n')
                take_line(process);
            else if (process->part_length < sizeof process->part - 1)
                process->part[process->part_length++] = chunk[i];
        }
        if (got == 0) {
            close(process->out);
            process->out = -1;
        }
    }
}

void it_pump(void)
{
    for (struct it_process *process = processes; process; process = process->next)
        read_output(process);
}

/* ---- ending ---- */

void it_signal(struct it_process *process, int signal)
{
    if (process->pid > 0)
        kill(process->pid, signal);
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool ended(void *arg)
{
    struct it_process *process = arg;

    it_pump();
    if (process->pid > 0 && waitpid(process->pid, &process->status, WNOHANG) == process->pid)
        process->pid = 0;
    return process->pid == 0;
}

int it_exit(struct it_process *process, int ms)
{
    if (!it_until(ms, ended, process))
        return -1;
    read_output(process);
    return exit_code(process->status);
}

/* A node leaves when it is told to; what does not end by itself is killed. */
static void end(struct it_process *process)
{
    it_signal(process, SIGTERM);
    it_signal(process, SIGCONT);
    if (it_exit(process, 3000) >= 0)
        return;
    it_signal(process, SIGKILL);
    it_exit(process, 3000);
}

void it_end_processes(void)
{
    struct it_process *process;

    while ((process = processes) != NULL) {
        end(process);
        processes = process->next;
        if (process->out >= 0)
            close(process->out);
        it_log_free(process->log);
        free(process);
    }
    inherited = -1;
}
