/* odezk sandbox: private, throw-away ZooKeeper servers. Calls nothing of the library. */
#include "commands.h"
#include "ensemble.h"
#include "loop.h"
#include "process.h"
#include "tempdir.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 60000, ATTEMPTS = 5, DEFAULT_TICK_MS = 500, LINE_MAX_BYTES = 128 };

/* Memory is given to the data only when there is plenty: a container's share may be 64 MB. */
#define SHM_DIR "/dev/shm"
#define SHM_FREE_MIN ((uint64_t)512 << 20)

struct sandbox {
    struct cli *cli;
    const char *parent; /* where to make the directory; NULL: not given */
    bool control;
    bool until_eof;
    char **command; /* NULL: none */
    struct tempdir dir;
    struct ensemble ensemble;
    int signal_fd;
    bool ended;
    int exit_code;
};

static const char help[] = "usage: odezk sandbox [--servers 1|3] [--tick MS] [--dir DIR] [--json]\n"
                           "                     [--control | --until-eof | [--] COMMAND…]\n"
                           "\n"
                           "Starts private ZooKeeper servers on free loopback ports, prints their connect string, and\n"
                           "ends and removes them on SIGTERM or SIGINT, or when COMMAND ends.\n"
                           "\n"
                           "  --servers 1|3          how many servers (default 1)\n"
                           "  --tick MS              their tick time (default 500); the least session timeout is twice "
                           "it\n"
                           "  --dir DIR              keep their data in a new directory below DIR\n"
                           "  --control              read 'stop N', 'start N', 'pause N' and 'cont N' from standard "
                           "input\n"
                           "  --until-eof            end when standard input ends\n"
                           "  --json                 print one object instead of the connect string\n"
                           "  --help                 print this\n"
                           "\n"
                           "COMMAND runs with ODEZK_SERVERS (the connect string) and ZK_PIDS in its environment.\n";

static const struct option own[] = {{"tick", required_argument, NULL, 't'},
                                    {"dir", required_argument, NULL, 'd'},
                                    {"control", no_argument, NULL, 'c'},
                                    {"until-eof", no_argument, NULL, 'e'},
                                    {0}};

static int parse(struct sandbox *sandbox)
{
    struct cli *cli = sandbox->cli;

    sandbox->ensemble.count = 1;
    sandbox->ensemble.tick_ms = DEFAULT_TICK_MS;
    for (int opt; (opt = cli_next(cli, own)) != CLI_END;) {
        switch (opt) {
        case 't':
            if (!cli_number(cli, "--tick", optarg, 10, 10000, &sandbox->ensemble.tick_ms))
                return EXIT_USAGE;
            break;
        case 'd':
            sandbox->parent = optarg;
            break;
        case 'c':
            sandbox->control = true;
            break;
        case 'e':
            sandbox->until_eof = true;
            break;
        default:
            sandbox->ended = true;
            return cli->exit_code;
        }
    }
    if (optind < cli->argc)
        sandbox->command = cli->argv + optind;
    return EXIT_DONE;
}

static bool has_setting(const struct cli *cli)
{
    for (int i = 0; i < CLI_SETTING_COUNT; i++)
        if (i != CLI_SERVERS && cli->settings[i])
            return true;
    return false;
}

static int check(struct sandbox *sandbox)
{
    struct cli *cli = sandbox->cli;
    const char *servers = cli->settings[CLI_SERVERS];

    if (cli->config_dir || has_setting(cli))
        return cli_usage(cli, "of the common options only --servers and --json are allowed");
    if (servers) {
        if (strcmp(servers, "1") != 0 && strcmp(servers, "3") != 0)
            return cli_usage(cli, "--servers: found '%s', allowed is 1 or 3", servers);
        sandbox->ensemble.count = servers[0] - '0';
    }
    if (sandbox->control + sandbox->until_eof + (sandbox->command != NULL) > 1)
        return cli_usage(cli, "--control, --until-eof and a command exclude each other");
    return EXIT_DONE;
}

static const char *data_parent(const struct sandbox *sandbox)
{
    struct statvfs fs;
    const char *tmp = getenv("TMPDIR");

    if (sandbox->parent)
        return sandbox->parent;
    if (access(SHM_DIR, W_OK | X_OK) == 0 && statvfs(SHM_DIR, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize >= SHM_FREE_MIN)
        return SHM_DIR;
    return tmp && *tmp ? tmp : "/tmp";
}

static int make_dir(struct sandbox *sandbox)
{
    char parent[PATH_MAX];
    const char *wanted = data_parent(sandbox);

    /* The servers run in folders of their own: they need an absolute path. */
    if (!realpath(wanted, parent) || tempdir_make(&sandbox->dir, parent) != 0) {
        cli_error(sandbox->cli, "cannot make a directory in %s: %s", wanted, strerror(errno));
        return EXIT_FAILED;
    }
    sandbox->ensemble.dir = sandbox->dir.path;
    return EXIT_DONE;
}

/* A server that ends while it starts has most likely lost its port to another program. */
static enum ensemble_result start_once(struct sandbox *sandbox)
{
    struct ensemble *ensemble = &sandbox->ensemble;
    int signal = 0;

    if (ensemble_configure(ensemble) != 0)
        return ENSEMBLE_DIED;
    for (int i = 0; i < ensemble->count; i++)
        if (ensemble_start(ensemble, &ensemble->servers[i]) != 0)
            return ENSEMBLE_DIED;
    enum ensemble_result result =
        ensemble_wait(ensemble->servers, ensemble->count, START_TIMEOUT_MS, sandbox->signal_fd, &signal);
    if (result == ENSEMBLE_INTERRUPTED) {
        sandbox->ended = true;
        sandbox->exit_code = sandbox->command ? 128 + signal : EXIT_DONE;
    }
    return result;
}

static int start(struct sandbox *sandbox)
{
    enum ensemble_result result = ENSEMBLE_DIED;

    for (int i = 0; i < ATTEMPTS && result == ENSEMBLE_DIED; i++) {
        ensemble_stop_all(&sandbox->ensemble);
        result = start_once(sandbox);
    }
    if (result == ENSEMBLE_OK || result == ENSEMBLE_INTERRUPTED)
        return EXIT_DONE;
    for (int i = 0; i < sandbox->ensemble.count; i++)
        ensemble_print_log(&sandbox->ensemble, &sandbox->ensemble.servers[i]);
    cli_error(sandbox->cli, "the servers did not start");
    return EXIT_FAILED;
}

static void format_pids(const struct ensemble *ensemble, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; i < ensemble->count; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%d", i > 0 ? " " : "", (int)ensemble->servers[i].pid);
}

static void print_json(const struct sandbox *sandbox, const char *connect)
{
    const struct ensemble *ensemble = &sandbox->ensemble;
    json_t *servers = json_array();

    for (int i = 0; i < ensemble->count; i++) {
        const struct server *server = &ensemble->servers[i];
        json_array_append_new(servers,
                              json_pack("{s:i, s:s, s:i, s:i, s:s}", "id", server->id, "address", server->address,
                                        "port", server->client_port, "pid", (int)server->pid, "mode", server->mode));
    }
    json_t *object = json_pack("{s:s, s:o, s:s}", "connect", connect, "servers", servers, "dir", sandbox->dir.path);
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

/* The connect string goes to COMMAND's environment, or to who reads our output. */
static int announce(struct sandbox *sandbox)
{
    char connect[ENSEMBLE_CONNECT_SIZE], pids[64];

    ensemble_connect_string(&sandbox->ensemble, connect);
    format_pids(&sandbox->ensemble, pids, sizeof pids);
    if (sandbox->command)
        return setenv("ODEZK_SERVERS", connect, 1) == 0 && setenv("ZK_PIDS", pids, 1) == 0 ? EXIT_DONE : EXIT_FAILED;
    if (sandbox->cli->json)
        print_json(sandbox, connect);
    else
        printf("%s\npids %s\n", connect, pids);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* What is done with the servers by lines on standard input. */

static bool wait_for(struct sandbox *sandbox, struct server *server)
{
    int signal = 0;

    /* Without a quorum nothing serves: the server that completes it is waited for. */
    if (!ensemble_has_quorum(&sandbox->ensemble))
        return true;
    enum ensemble_result result = ensemble_wait(server, 1, START_TIMEOUT_MS, sandbox->signal_fd, &signal);
    sandbox->ended = sandbox->ended || result == ENSEMBLE_INTERRUPTED;
    return result == ENSEMBLE_OK;
}

static const char *control(struct sandbox *sandbox, const char *verb, struct server *server)
{
    bool running = server->pid > 0;

    if (strcmp(verb, "start") == 0) {
        if (running)
            return "error it runs";
        if (ensemble_start(&sandbox->ensemble, server) != 0 || !wait_for(sandbox, server))
            return "error it did not start";
        return "ok";
    }
    if (!running)
        return "error it is stopped";
    if (strcmp(verb, "stop") == 0)
        ensemble_stop(server);
    else if (strcmp(verb, "pause") == 0)
        ensemble_pause(server);
    else if (strcmp(verb, "cont") == 0)
        ensemble_resume(server);
    else
        return "error allowed is stop, start, pause or cont, and a server's number";
    return "ok";
}

static void control_line(struct sandbox *sandbox, const char *line)
{
    char verb[8], rest;
    int id = 0;
    const char *answer = "error allowed is stop, start, pause or cont, and a server's number";

    if (sscanf(line, "%7s %d %c", verb, &id, &rest) == 2 && id >= 1 && id <= sandbox->ensemble.count)
        answer = control(sandbox, verb, &sandbox->ensemble.servers[id - 1]);
    if (puts(answer) < 0 || fflush(stdout) != 0)
        sandbox->ended = true;
}

/* Takes in what there is on standard input; its end is the sandbox's end. */
static void read_input(struct sandbox *sandbox, char *line, size_t *len)
{
    char chunk[LINE_MAX_BYTES];
    ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);

    if (got <= 0) {
        sandbox->ended = got == 0 || (errno != EINTR && errno != EAGAIN);
        return;
    }
    for (ssize_t i = 0; i < got && sandbox->control; i++) {
        if (chunk[i] == '\n') {
            line[*len] = '\0';
            control_line(sandbox, line);
            *len = 0;
        } else if (*len < LINE_MAX_BYTES - 1) {
            line[(*len)++] = chunk[i];
        }
    }
}

static void serve(struct sandbox *sandbox)
{
    bool reads = sandbox->control || sandbox->until_eof;
    char line[LINE_MAX_BYTES];
    size_t len = 0;

    while (!sandbox->ended) {
        struct pollfd fds[] = {{.fd = sandbox->signal_fd, .events = POLLIN},
                               {.fd = reads ? STDIN_FILENO : -1, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0) {
            int signal = loop_read_signal(sandbox->signal_fd, NULL);
            ensemble_reap(&sandbox->ensemble);
            sandbox->ended = signal != 0 && signal != SIGCHLD;
        }
        if (fds[1].revents != 0 && !sandbox->ended)
            read_input(sandbox, line, &len);
    }
}

static void start_command(char **command, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(EXIT_FAILED);
    process_child_signals();
    execvp(command[0], command);
    fprintf(stderr, "odezk: sandbox: %s: %s\n", command[0], strerror(errno));
    _exit(process_exec_exit_code(errno));
}

/* Runs COMMAND in our process group; what the terminal sends it has got already. */
static int run_command(struct sandbox *sandbox)
{
    pid_t parent = getpid();
    int status = 0;
    pid_t pid = fork();

    if (pid < 0) {
        cli_error(sandbox->cli, "cannot start a process: %s", strerror(errno));
        return EXIT_FAILED;
    }
    if (pid == 0)
        start_command(sandbox->command, parent);
    while (waitpid(pid, &status, WNOHANG) != pid) {
        struct pollfd fd = {.fd = sandbox->signal_fd, .events = POLLIN};
        bool typed = false;
        if (poll(&fd, 1, -1) <= 0)
            continue;
        int signal = loop_read_signal(sandbox->signal_fd, &typed);
        ensemble_reap(&sandbox->ensemble);
        if (signal != 0 && signal != SIGCHLD && !typed)
            kill(pid, signal);
    }
    return process_exit_code(status);
}

static int run_servers(struct sandbox *sandbox)
{
    int exit_code = start(sandbox);

    if (exit_code != EXIT_DONE || sandbox->ended)
        return exit_code != EXIT_DONE ? exit_code : sandbox->exit_code;
    exit_code = announce(sandbox);
    if (exit_code != EXIT_DONE)
        return exit_code;
    if (sandbox->command)
        return run_command(sandbox);
    serve(sandbox);
    return EXIT_DONE;
}

static int run_in_dir(struct sandbox *sandbox)
{
    char message[256];

    if (!ensemble_find_java(&sandbox->ensemble, message, sizeof message)) {
        cli_error(sandbox->cli, "%s", message);
        return EXIT_FAILED;
    }
    sandbox->signal_fd = loop_signal_fd();
    if (sandbox->signal_fd < 0) {
        cli_error(sandbox->cli, "no descriptor for signals: %s", strerror(errno));
        return EXIT_FAILED;
    }
    int exit_code = make_dir(sandbox);
    if (exit_code == EXIT_DONE)
        exit_code = run_servers(sandbox);
    ensemble_stop_all(&sandbox->ensemble);
    tempdir_remove(&sandbox->dir);
    close(sandbox->signal_fd);
    return exit_code;
}

static int run(struct cli *cli)
{
    struct sandbox sandbox = {.cli = cli, .dir = {.lock = -1}};
    int exit_code = parse(&sandbox);

    if (exit_code != EXIT_DONE || sandbox.ended)
        return exit_code;
    exit_code = check(&sandbox);
    if (exit_code == EXIT_DONE)
        exit_code = run_in_dir(&sandbox);
    ensemble_free(&sandbox.ensemble);
    return exit_code;
}

const struct command sandbox_command = {
    .name = "sandbox",
    .summary = "private throw-away ZooKeeper servers",
    .help = help,
    .common = "",
    .runs_command = true,
    .run = run,
};
