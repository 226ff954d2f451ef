/* The sandbox: `odezk sandbox` as a child, controlled through its standard input. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVERS_MAX = 3, ANSWER_MS = 90000 };

static struct {
    pid_t pid;
    int in, out; /* its standard input and output */
    char connect[256];
    int count;
    struct {
        char address[64];
        int port;
        bool stopped, paused;
    } servers[SERVERS_MAX];
} sandbox = {.in = -1, .out = -1};

static void become(int in, int out, const char *const argv[], pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent || dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(127);
    closefrom(3);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static bool start_child(int servers, int tick_ms)
{
    char count[8], tick[16];
    const char *argv[] = {it_odezk(), "sandbox", "--servers", count, "--tick", tick, "--control", "--json", NULL};
    int in[2], out[2];
    pid_t parent = getpid();

    snprintf(count, sizeof count, "%d", servers);
    snprintf(tick, sizeof tick, "%d", tick_ms);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return false;
    sandbox.pid = fork();
    if (sandbox.pid == 0)
        become(in[0], out[1], argv, parent);
    close(in[0]);
    close(out[1]);
    sandbox.in = in[1];
    sandbox.out = out[0];
    return sandbox.pid > 0;
}

/* One line, byte by byte: there is never more than one under way. */
static bool read_line(char *line, size_t size)
{
    const int64_t deadline = it_now_ms() + ANSWER_MS;
    struct pollfd fd = {.fd = sandbox.out, .events = POLLIN};
    size_t length = 0;

    while (length < size - 1) {
        int64_t left = deadline - it_now_ms();
        if (left <= 0 || poll(&fd, 1, (int)left) <= 0 || read(sandbox.out, line + length, 1) != 1)
            return false;
        if (line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
    return true;
}

static void take_server(int i, const json_t *object)
{
    const char *address = json_string_value(json_object_get(object, "address"));

    snprintf(sandbox.servers[i].address, sizeof sandbox.servers[i].address, "%s", address ? address : "");
    sandbox.servers[i].port = (int)json_integer_value(json_object_get(object, "port"));
}

static bool read_announcement(int servers)
{
    char line[2048];
    json_t *object = read_line(line, sizeof line) ? json_loads(line, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(object, "connect"));
    const json_t *list = json_object_get(object, "servers");

    if (text)
        snprintf(sandbox.connect, sizeof sandbox.connect, "%s", text);
    sandbox.count = (int)json_array_size(list);
    for (int i = 0; i < sandbox.count && i < SERVERS_MAX; i++)
        take_server(i, json_array_get(list, (size_t)i));
    json_decref(object);
    return text && sandbox.count == servers;
}

bool it_sandbox_start(int servers, int tick_ms)
{
    if (start_child(servers, tick_ms) && read_announcement(servers))
        return true;
    fprintf(stderr, "the sandbox did not start\n");
    it_sandbox_stop();
    return false;
}

void it_sandbox_stop(void)
{
    if (sandbox.in >= 0)
        close(sandbox.in);
    if (sandbox.out >= 0)
        close(sandbox.out);
    sandbox.in = sandbox.out = -1;
    if (sandbox.pid > 0)
        while (waitpid(sandbox.pid, NULL, 0) < 0 && errno == EINTR)
            ;
    sandbox.pid = 0;
}

pid_t it_sandbox_pid(void)
{
    return sandbox.pid;
}

const char *it_servers(void)
{
    return sandbox.connect;
}

int it_server_count(void)
{
    return sandbox.count;
}

int it_server_port(int number)
{
    return sandbox.servers[number - 1].port;
}

const char *it_server_address(int number)
{
    return sandbox.servers[number - 1].address;
}

static bool command(const char *verb, int number)
{
    char line[256];

    if (dprintf(sandbox.in, "%s %d\n", verb, number) <= 0 || !read_line(line, sizeof line))
        return false;
    if (strcmp(line, "ok") == 0)
        return true;
    it_note("%s %d: %s", verb, number, line);
    return false;
}

bool it_server(const char *verb, int number)
{
    bool good = command(verb, number);

    if (good && (strcmp(verb, "stop") == 0 || strcmp(verb, "start") == 0)) {
        sandbox.servers[number - 1].stopped = strcmp(verb, "stop") == 0;
        sandbox.servers[number - 1].paused = false;
    } else if (good) {
        sandbox.servers[number - 1].paused = strcmp(verb, "pause") == 0;
    }
    return good;
}

static bool order_all(const char *verb)
{
    bool good = true;

    for (int i = 1; i <= sandbox.count; i++)
        good = it_server(verb, i) && good;
    return good;
}

/* Servers that all stood still elect a leader anew. Now and then they do not commit anything after that, until they are
 * restarted: a fault of ZooKeeper 3.8 that no client can do anything about. */
static bool serve_again(void)
{
    if (it_serves(1))
        return true;
    it_note("the servers stood still, and do not serve any more: restarted");
    return order_all("stop") && order_all("start");
}

bool it_all_servers(const char *verb)
{
    return order_all(verb) && (strcmp(verb, "cont") != 0 || serve_again());
}

void it_mend_servers(void)
{
    for (int i = 1; i <= sandbox.count; i++) {
        if (sandbox.servers[i - 1].paused)
            it_server("cont", i);
        if (sandbox.servers[i - 1].stopped)
            it_server("start", i);
    }
}

/* ---- looking at a server ---- */

/* A server that stands still is not waited for. */
static int connect_to(int number)
{
    const struct timeval most = {.tv_sec = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)it_server_port(number))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, it_server_address(number), &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

void it_ask_server(int number, const char *word, char *answer, size_t size)
{
    int fd = connect_to(number);
    size_t length = 0;
    ssize_t got = 1;

    if (fd >= 0 && send(fd, word, strlen(word), 0) > 0)
        while (got > 0 && length < size - 1) {
            got = recv(fd, answer + length, size - 1 - length, 0);
            length += got > 0 ? (size_t)got : 0;
        }
    if (fd >= 0)
        close(fd);
    answer[length] = '\0';
}

/* One that stood still says for a while what it was before. A session can only be made by one that the others follow,
 * or that follows. */
bool it_serves(int number)
{
    char server[80];
    struct it_stat stat;

    snprintf(server, sizeof server, "%s:%d", it_server_address(number), it_server_port(number));
    struct it_zk *zk = it_zk_open(server, IT_LONG);
    bool good = it_zk_stat(zk, "/", &stat) == IT_OK;
    it_zk_close(zk);
    return good;
}

bool it_leads(int number)
{
    char answer[4096];

    it_ask_server(number, "srvr", answer, sizeof answer);
    return strstr(answer, "Mode: leader") != NULL;
}
