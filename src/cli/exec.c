/* odezk exec: runs a command while it holds a lock. */
#include "child.h"
#include "commands.h"
#include "common.h"
#include "loop.h"
#include "process.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <odezk/lock.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_WAIT_MS = 60000, DEFAULT_GRACE_MS = 5000 };

extern char **environ;

struct exec {
    const struct cli *cli;
    const char *key, *space;
    char *const *command;
    int wait_ms, grace_ms;
    int connect_timeout_ms;
    int signal_fd;
    int wake_fd;
    odezk_cluster *cluster;
    odezk_lock *lock;
    struct child child;

    pthread_mutex_t mutex; /* of what follows, written by callbacks */
    bool connected, refused, answered, lost;
    int error; /* of the attempt to lock */
    char why[1024];
};

static const char help[] =
    "usage: odezk exec --lock KEY [--space NAME] [--wait MS] [--grace MS] [common options]\n"
    "                  [--] COMMAND…\n"
    "\n"
    "Runs COMMAND while it holds a lock, and exits with COMMAND's exit code.\n"
    "\n"
    "  --lock KEY             the lock's key\n"
    "  --space NAME           the space of the key (default \"default\")\n"
    "  --wait MS              how long to wait for another holder (default 60000)\n"
    "  --grace MS             when the lock is lost: the time between SIGTERM and SIGKILL\n"
    "                         (default 5000)\n"
    "\n"
    "COMMAND has the lock's fencing token in ODEZK_FENCING_TOKEN and KEY in ODEZK_LOCK_KEY.\n"
    "Exit code 75: another process still held the lock after the wait; 1: COMMAND was ended because\n"
    "the lock was lost; 126, 127: COMMAND could not be run, was not found.\n";

static const struct option own[] = {{"lock", required_argument, NULL, 'l'},
                                    {"space", required_argument, NULL, 's'},
                                    {"wait", required_argument, NULL, 'w'},
                                    {"grace", required_argument, NULL, 'g'},
                                    {0}};

/* False: end with the exit code in cli. */
static bool parse(struct cli *cli, struct exec *exec)
{
    bool right = true;

    for (int opt; right && (opt = cli_next(cli, own)) != CLI_END;) {
        switch (opt) {
        case 'l':
            exec->key = optarg;
            break;
        case 's':
            exec->space = optarg;
            break;
        case 'w':
            right = cli_number(cli, "--wait", optarg, 0, INT_MAX, &exec->wait_ms);
            break;
        case 'g':
            right = cli_number(cli, "--grace", optarg, 0, INT_MAX, &exec->grace_ms);
            break;
        default:
            return false;
        }
    }
    exec->command = cli->argv + optind;
    if (!right)
        cli->exit_code = EXIT_USAGE;
    else if (!exec->key)
        cli->exit_code = cli_usage(cli, "--lock KEY is needed");
    else if (!*exec->command)
        cli->exit_code = cli_usage(cli, "a command is needed");
    else
        return true;
    return false;
}

/* Callbacks: note what happened and wake the main thread. */

static void wake(struct exec *exec)
{
    pthread_mutex_unlock(&exec->mutex);
    loop_wake(exec->wake_fd);
}

static void on_event(odezk_cluster *cluster, const odezk_event *event, void *arg)
{
    struct exec *exec = arg;

    (void)cluster;
    pthread_mutex_lock(&exec->mutex);
    if (event->type == ODEZK_EVENT_REFUSED)
        exec->refused = true;
    else if (event->state == ODEZK_SESSION_CONNECTED)
        exec->connected = true;
    wake(exec);
}

static void on_answer(int error, odezk_lock *lock, void *arg)
{
    struct exec *exec = arg;

    pthread_mutex_lock(&exec->mutex);
    exec->answered = true;
    exec->error = error;
    exec->lock = lock;
    if (error != ODEZK_OK)
        snprintf(exec->why, sizeof exec->why, "%s", odezk_last_error());
    wake(exec);
}

static void on_lost(odezk_lock *lock, void *arg)
{
    struct exec *exec = arg;

    (void)lock;
    pthread_mutex_lock(&exec->mutex);
    exec->lost = true;
    wake(exec);
}

static bool read_flag(struct exec *exec, const bool *flag)
{
    pthread_mutex_lock(&exec->mutex);
    bool value = *flag;
    pthread_mutex_unlock(&exec->mutex);
    return value;
}

/* Waits for a callback or a signal until `deadline` (-1: for ever); the signal's number, or 0. */
static int wait_for_news(struct exec *exec, int64_t deadline)
{
    struct pollfd fds[] = {{.fd = exec->signal_fd, .events = POLLIN}, {.fd = exec->wake_fd, .events = POLLIN}};
    int64_t left = deadline - loop_now_ms();

    if (poll(fds, 2, deadline < 0 ? -1 : left > 0 ? (int)left : 0) <= 0)
        return 0;
    if (fds[1].revents != 0)
        loop_clear_wake(exec->wake_fd);
    return fds[0].revents != 0 ? loop_read_signal(exec->signal_fd, NULL) : 0;
}

static bool ends(int number)
{
    return number != 0 && number != SIGCHLD;
}

/* Waits for the first connection; an exit code. */
static int connect_to_servers(struct exec *exec)
{
    int64_t deadline = loop_now_ms() + exec->connect_timeout_ms;
    int error = odezk_cluster_subscribe(exec->cluster, ODEZK_EVENT_SESSION | ODEZK_EVENT_REFUSED, on_event, exec, NULL);

    if (error == ODEZK_OK)
        error = odezk_cluster_start(exec->cluster);
    if (error != ODEZK_OK)
        return common_fail(exec->cli, error);
    while (!read_flag(exec, &exec->connected)) {
        if (read_flag(exec, &exec->refused))
            return common_fail(exec->cli, odezk_cluster_join(exec->cluster, 0));
        if (loop_now_ms() >= deadline)
            return common_unreachable(exec->cli, exec->cluster, exec->connect_timeout_ms);
        int number = wait_for_news(exec, deadline);
        if (ends(number))
            return 128 + number;
    }
    return EXIT_DONE;
}

static int lock_failed(const struct exec *exec)
{
    switch (exec->error) {
    case ODEZK_OK:
        return EXIT_DONE;
    case ODEZK_EBUSY:
    case ODEZK_ETIMEDOUT:
        cli_error(exec->cli, "another holds the lock '%s' in space '%s'", exec->key, exec->space);
        return EXIT_NO_LOCK;
    default:
        cli_error(exec->cli, "%s", exec->why);
        return common_exit_code(exec->error);
    }
}

/* The request is valid until its callback, which takes the mutex, has returned. */
static void cancel(struct exec *exec, odezk_lock_request *request)
{
    pthread_mutex_lock(&exec->mutex);
    if (!exec->answered)
        odezk_lock_cancel(request);
    pthread_mutex_unlock(&exec->mutex);
}

/* Waits for the lock; an exit code. A signal ends the attempt, not its callback. */
static int take_lock(struct exec *exec)
{
    odezk_lock_request *request = NULL;
    int interrupted = 0;
    int error =
        odezk_lock_acquire_async(exec->cluster, exec->space, exec->key, exec->wait_ms, on_answer, exec, &request);

    if (error != ODEZK_OK)
        return common_fail(exec->cli, error);
    while (!read_flag(exec, &exec->answered)) {
        int number = wait_for_news(exec, -1);
        if (ends(number) && interrupted == 0) {
            interrupted = number;
            cancel(exec, request);
        }
    }
    return interrupted != 0 ? 128 + interrupted : lock_failed(exec);
}

/* The environment with the two variables, in one block to be freed; NULL when out of memory. */
static char **make_environment(const struct exec *exec)
{
    static const char token_name[] = "ODEZK_FENCING_TOKEN=", key_name[] = "ODEZK_LOCK_KEY=";
    size_t count = 0, used = 0;
    size_t text_size = sizeof token_name + 20 + sizeof key_name + strlen(exec->key);

    while (environ[count])
        count++;
    char **block = malloc((count + 3) * sizeof *block + text_size);
    if (!block)
        return NULL;
    char *text = (char *)(block + count + 3);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, token_name, sizeof token_name - 1) != 0 &&
            strncmp(*entry, key_name, sizeof key_name - 1) != 0)
            block[used++] = *entry;
    block[used++] = text;
    text += sprintf(text, "%s%" PRId64, token_name, odezk_lock_token(exec->lock)) + 1;
    block[used++] = text;
    sprintf(text, "%s%s", key_name, exec->key);
    block[used] = NULL;
    return block;
}

static int start_command(struct exec *exec)
{
    char **environment = make_environment(exec);

    if (!environment)
        return common_out_of_memory(exec->cli);
    int error = child_start(&exec->child, exec->command, environment);
    free(environment);
    if (error == 0)
        return EXIT_DONE;
    cli_error(exec->cli, "%s: %s", exec->command[0], strerror(error));
    return process_exec_exit_code(error);
}

/* The shell stops us with the command, and continues us; by then the lock may be gone. */
static void suspend(struct exec *exec)
{
    child_suspend(&exec->child);
    if (odezk_lock_is_valid(exec->lock))
        child_continue(&exec->child);
}

struct watchdog {
    bool told, killed;
    int64_t deadline; /* -1: none */
};

/* Ends the command when the lock is lost. */
static void check_lock(struct exec *exec, struct watchdog *watchdog)
{
    if (!watchdog->told && read_flag(exec, &exec->lost)) {
        cli_error(exec->cli, "the lock '%s' was lost: ending the command", exec->key);
        watchdog->told = true;
        watchdog->deadline = loop_now_ms() + exec->grace_ms;
        child_signal(&exec->child, SIGTERM);
        child_signal(&exec->child, SIGCONT);
    }
    if (watchdog->told && !watchdog->killed && loop_now_ms() >= watchdog->deadline) {
        watchdog->killed = true;
        watchdog->deadline = -1;
        child_signal(&exec->child, SIGKILL);
    }
}

/* Waits for the command's end; its exit code. */
static int run_command(struct exec *exec)
{
    struct watchdog watchdog = {.deadline = -1};
    enum child_state state;
    int status = 0;

    while ((state = child_poll(&exec->child, &status)) != CHILD_ENDED) {
        if (state == CHILD_STOPPED)
            suspend(exec);
        check_lock(exec, &watchdog);
        int number = wait_for_news(exec, watchdog.deadline);
        if (ends(number))
            child_signal(&exec->child, number);
    }
    if (!watchdog.told)
        return process_exit_code(status);
    /* What the command left behind has no lock either. */
    child_signal(&exec->child, SIGKILL);
    return EXIT_FAILED;
}

static int run_locked(struct exec *exec)
{
    int error = odezk_lock_on_lost(exec->lock, on_lost, exec);

    if (error != ODEZK_OK)
        return common_fail(exec->cli, error);
    if (!odezk_lock_is_valid(exec->lock)) {
        cli_error(exec->cli, "the lock '%s' was lost", exec->key);
        return EXIT_FAILED;
    }
    int exit_code = start_command(exec);
    if (exit_code != EXIT_DONE)
        return exit_code;
    exit_code = run_command(exec);
    child_finish(&exec->child);
    return exit_code;
}

static int run_connected(struct exec *exec)
{
    int exit_code = connect_to_servers(exec);

    if (exit_code == EXIT_DONE)
        exit_code = take_lock(exec);
    if (exit_code == EXIT_DONE)
        exit_code = run_locked(exec);
    odezk_lock_free(exec->lock);
    return exit_code;
}

static int run_client(struct exec *exec)
{
    odezk_config *config = NULL;
    int exit_code = common_client(exec->cli, &config, &exec->cluster);

    if (exit_code == EXIT_DONE)
        exit_code = common_check_lock(exec->cli, exec->cluster, exec->space, exec->key);
    if (exit_code == EXIT_DONE) {
        exec->connect_timeout_ms = (int)odezk_config_number(config, "connect-timeout");
        exit_code = run_connected(exec);
    }
    odezk_cluster_free(exec->cluster);
    odezk_config_free(config);
    return exit_code;
}

static int run(struct cli *cli)
{
    struct exec exec = {.cli = cli,
                        .space = "default",
                        .wait_ms = DEFAULT_WAIT_MS,
                        .grace_ms = DEFAULT_GRACE_MS,
                        .mutex = PTHREAD_MUTEX_INITIALIZER};

    if (!parse(cli, &exec))
        return cli->exit_code;
    exec.signal_fd = loop_signal_fd();
    exec.wake_fd = loop_wake_fd();
    if (exec.signal_fd < 0 || exec.wake_fd < 0) {
        cli_error(cli, "no descriptor: %s", strerror(errno));
        return EXIT_FAILED;
    }
    int exit_code = run_client(&exec);
    close(exec.wake_fd);
    close(exec.signal_fd);
    return exit_code;
}

const struct command exec_command = {
    .name = "exec",
    .summary = "run a command while holding a lock",
    .help = help,
    .common = cli_common_help,
    .runs_command = true,
    .run = run,
};
