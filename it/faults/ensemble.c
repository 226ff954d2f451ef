/* The servers, by way of `odezk sandbox --control`. Orders take their time, a server's start
 * seconds: they wait in a queue, so that the faults of the nodes go on meanwhile. */
#include "faults.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ORDERS = 64, ANSWER_MS = 90000, PROBE_MS = 300 };

struct order {
    const char *verb;
    int server;
};

static struct child sandbox = {.in = -1, .out = -1};
static struct order orders[ORDERS];
static int order_count;
static bool sent; /* the first order is under way */
static int64_t sent_at;
static char connect_string[256], addresses[SERVERS + 1][64], dir[PATH_MAX];
static bool paused[SERVERS + 1], stopped[SERVERS + 1];

int64_t servers_calm_since;

const char *ensemble_server(int server)
{
    return addresses[server];
}

const char *ensemble_servers(void)
{
    return connect_string;
}

const char *ensemble_dir(void)
{
    return dir;
}

pid_t ensemble_pid(void)
{
    return sandbox.pid;
}

void servers_disturb(void)
{
    servers_calm_since = INT64_MAX;
}

void servers_calm(int argument)
{
    (void)argument;
    servers_calm_since = record_now();
}

/* ---- starting and ending ---- */

static void read_line(char *line, size_t size)
{
    size_t length = 0;

    while (length < size - 1) {
        struct pollfd fd = {.fd = sandbox.out, .events = POLLIN};

        if (poll(&fd, 1, ANSWER_MS) <= 0 || read(sandbox.out, line + length, 1) != 1)
            give_up("the sandbox does not answer");
        if (line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
}

static void read_announcement(void)
{
    char line[4096];
    const char *text;
    json_t *object, *server;
    size_t i;

    read_line(line, sizeof line);
    object = json_loads(line, 0, NULL);
    text = json_string_value(json_object_get(object, "connect"));
    snprintf(connect_string, sizeof connect_string, "%s", text ? text : "");
    text = json_string_value(json_object_get(object, "dir"));
    snprintf(dir, sizeof dir, "%s", text ? text : "");
    json_array_foreach(json_object_get(object, "servers"), i, server)
    {
        text = json_string_value(json_object_get(server, "address"));
        if (i < SERVERS && text)
            snprintf(addresses[i + 1], sizeof addresses[0], "%s:%d", text,
                     (int)json_integer_value(json_object_get(server, "port")));
    }
    json_decref(object);
    if (!addresses[SERVERS][0])
        give_up("the sandbox says %s", line);
}

void ensemble_start(void)
{
    char path[PATH_MAX + 64], tick[16];
    const char *argv[] = {path, "sandbox", "--servers", "3", "--tick", tick, "--control", "--json", NULL};

    snprintf(path, sizeof path, "%s", program("odezk"));
    snprintf(tick, sizeof tick, "%d", options.tick_ms);
    sandbox.farewell = SIGTERM; /* it has files to remove */
    child_start(&sandbox, argv, true, -1, NULL);
    read_announcement();
}

void ensemble_stop(void)
{
    if (sandbox.pid <= 0)
        return;
    kill(sandbox.pid, SIGTERM);
    if (!child_wait(&sandbox, 20000))
        child_kill(&sandbox);
}

/* ---- orders ---- */

static void note(const struct order *order)
{
    paused[order->server] = strcmp(order->verb, "pause") == 0;
    if (strcmp(order->verb, "stop") == 0)
        stopped[order->server] = true;
    else if (strcmp(order->verb, "start") == 0)
        stopped[order->server] = false;
}

static void send_order(void)
{
    char line[32];

    snprintf(line, sizeof line, "%s %d", orders[0].verb, orders[0].server);
    child_tell(&sandbox, line);
    sent = true;
    sent_at = record_now();
}

static void take_answer(void)
{
    char line[256];

    read_line(line, sizeof line);
    if (strcmp(line, "ok") != 0)
        give_up("the sandbox, asked to %s %d: %s", orders[0].verb, orders[0].server, line);
    note(&orders[0]);
    memmove(orders, orders + 1, (size_t)--order_count * sizeof orders[0]);
    sent = false;
}

void ensemble_turn(void)
{
    struct pollfd fd = {.fd = sandbox.out, .events = POLLIN};

    while (order_count > 0) {
        if (!sent)
            send_order();
        if (poll(&fd, 1, 0) == 0) {
            if (record_now() - sent_at > ANSWER_MS * NS_PER_MS)
                give_up("the sandbox does not %s %d", orders[0].verb, orders[0].server);
            return;
        }
        take_answer();
    }
}

void ensemble_order(const char *verb, int server)
{
    if (order_count == ORDERS)
        give_up("too many orders for the sandbox");
    orders[order_count++] = (struct order){verb, server};
    ensemble_turn();
}

void ensemble_order_all(const char *verb)
{
    for (int server = 1; server <= SERVERS; server++)
        ensemble_order(verb, server);
}

bool ensemble_busy(void)
{
    return order_count > 0;
}

static bool idle(void *arg)
{
    (void)arg;
    return order_count == 0;
}

void ensemble_wait(void)
{
    pump_until(4 * ANSWER_MS, idle, NULL);
}

/* ---- asking ---- */

static int connect_to(int server)
{
    const struct timeval timeout = {.tv_usec = PROBE_MS * 1000};
    struct sockaddr_in name = {.sin_family = AF_INET};
    char address[64];
    int port, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || sscanf(addresses[server], "%63[0-9.]:%d", address, &port) != 2)
        give_up("cannot ask server %d", server);
    name.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, address, &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    close(fd);
    return -1;
}

/* "leader", "follower", or "" while it does not serve. */
static void ask_mode(int server, char mode[16])
{
    char answer[1024];
    size_t length = 0;
    ssize_t got;
    int fd = connect_to(server);

    mode[0] = '\0';
    if (fd < 0)
        return;
    if (send(fd, "srvr", 4, MSG_NOSIGNAL) == 4)
        while (length < sizeof answer - 1 && (got = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0)
            length += (size_t)got;
    close(fd);
    answer[length] = '\0';
    const char *found = strstr(answer, "Mode: ");
    if (found)
        sscanf(found, "Mode: %15[a-z]", mode);
}

bool ensemble_serves(void)
{
    char mode[16];

    for (int server = 1; server <= SERVERS; server++) {
        if (paused[server] || stopped[server])
            return false;
        ask_mode(server, mode);
        if (!mode[0])
            return false;
    }
    return true;
}

int ensemble_leader(void)
{
    char mode[16];

    for (int server = 1; server <= SERVERS; server++) {
        if (paused[server] || stopped[server])
            continue;
        ask_mode(server, mode);
        if (strcmp(mode, "leader") == 0)
            return server;
    }
    return 0;
}
