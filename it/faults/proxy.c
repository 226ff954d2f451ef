/*
 * A TCP proxy between nodes and servers that can misbehave: each link, from one node to one server,
 * has an address of its own.
 *
 *   proxy NODES ADDRESS:PORT...
 *
 * It prints `link NODE SERVER ADDRESS:PORT` for each, then `ready`. Then it takes lines on standard
 * input, and answers each with `ok` or `ok NUMBER`; NODE and SERVER count from 1, 0 means all:
 *
 *   pass NODE SERVER 0          forward, at once
 *   hole NODE SERVER WAYS       forward nothing to the server (1), to the node (2), either way (3);
 *                             what was sent arrives later, as with lost packets
 *   refuse NODE SERVER 0      break what is connected, and refuse to connect
 *   reset NODE SERVER 0       break what is connected
 *   delay NODE SERVER MS      forward everything so much later
 *   slow NODE SERVER BYTES    forward so many bytes a second
 *   lose NODE SERVER REQUEST  forward the next request of a kind (1 create, 2 delete, 3 multi,
 *                             4 any), lose the answer, and break the connection
 *   drop NODE SERVER REQUEST  lose the next request of a kind, and break the connection
 *   where NODE 0 0            to which server the node is connected; 0: to none
 *   lost 0 0 0                how many answers and requests were lost on purpose so far
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 16384, WAITING_MAX = 1 << 20 };

struct proxy proxy;

int64_t proxy_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        abort();
    return memory;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- connections ---- */

static void close_end(struct end *end, bool reset)
{
    const struct linger at_once = {1, 0};
    struct chunk *chunk;

    if (end->fd >= 0) {
        if (reset)
            setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(end->fd); /* the epoll forgets it */
    }
    end->fd = -1;
    while ((chunk = end->first) != NULL) {
        end->first = chunk->next;
        free(chunk);
    }
    end->last = &end->first;
    end->waiting = 0;
}

static void drop(struct connection *c, bool reset)
{
    struct connection **at = &c->link->connections;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    close_end(&c->ends[TO_SERVER], reset);
    close_end(&c->ends[TO_NODE], reset);
    free(c);
}

void proxy_drop_all(struct link *link, bool reset)
{
    while (link->connections)
        drop(link->connections, reset);
}

static void watch(struct end *end, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data = {.ptr = end}};
    int verb = end->interest == UINT32_MAX ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (end->fd < 0 || end->interest == interest)
        return;
    end->interest = interest;
    if (epoll_ctl(proxy.epoll, verb, end->fd, &event) != 0)
        fail("epoll_ctl");
}

static void open_end(struct connection *c, enum way way, int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->ends[way] = (struct end){.connection = c, .fd = fd, .last = &c->ends[way].first, .interest = UINT32_MAX};
}

static int connect_to(const struct sockaddr_in *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket");
    if (connect(fd, (const struct sockaddr *)server, sizeof *server) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void take_connection(struct link *link)
{
    int fd = accept4(link->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c;
    int server;

    if (fd < 0)
        return;
    c = allocate(sizeof *c);
    c->link = link;
    c->reset_at = NEVER;
    open_end(c, TO_NODE, fd);
    c->ends[TO_SERVER].fd = -1;
    c->next = link->connections;
    link->connections = c;
    server = link->refuse ? -1 : connect_to(&link->server);
    if (server < 0)
        drop(c, true);
    else
        open_end(c, TO_SERVER, server);
}

/* ---- forwarding ---- */

static bool is_holed(const struct link *link, enum way way)
{
    return link->hole & (way == TO_SERVER ? HOLE_TO_SERVER : HOLE_TO_NODE);
}

static void append(struct end *end, const struct link *link, const unsigned char *data, size_t size)
{
    size_t most = link->rate ? 32 : size, part;
    int64_t now = proxy_now(), due;

    for (; size > 0; data += part, size -= part) {
        struct chunk *chunk;

        part = size < most ? size : most;
        due = now + link->delay;
        if (link->rate)
            due = (due > end->last_due ? due : end->last_due) + (int64_t)part * NS_PER_S / link->rate;
        chunk = allocate(sizeof *chunk + part);
        chunk->due = end->last_due = due;
        chunk->size = part;
        memcpy(chunk->data, data, part);
        *end->last = chunk;
        end->last = &chunk->next;
        end->waiting += part;
    }
}

/* Reads what one end sent, for the other. */
static void take_data(struct end *from)
{
    static unsigned char data[CHUNK];
    struct connection *c = from->connection;
    enum way way = from == &c->ends[TO_NODE] ? TO_SERVER : TO_NODE;
    ssize_t got = recv(from->fd, data, sizeof data, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        from->eof = true;
        return;
    }
    if (way == TO_SERVER) {
        proxy_look_at_requests(c, data, (size_t)got);
        if (c->dropped) /* with what came along */
            return;
    } else if (c->losing) {
        if (c->reset_at > proxy_now() + LOST_FOR)
            c->reset_at = proxy_now() + LOST_FOR;
        return;
    } else {
        c->answered = true;
    }
    append(&c->ends[way], c->link, data, (size_t)got);
}

/* Writes what is due. */
static void give_data(struct end *end, int64_t now)
{
    struct chunk *chunk;

    while (end->fd >= 0 && (chunk = end->first) != NULL && chunk->due <= now) {
        ssize_t put = send(end->fd, chunk->data + chunk->written, chunk->size - chunk->written, MSG_NOSIGNAL);
        if (put < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
                end->eof = true;
            return;
        }
        chunk->written += (size_t)put;
        end->waiting -= (size_t)put;
        if (chunk->written < chunk->size)
            return;
        end->first = chunk->next;
        if (!end->first)
            end->last = &end->first;
        free(chunk);
    }
}

/* Where a way is holed the other end does not even learn that this one is gone. */
static bool is_over(const struct connection *c)
{
    const struct end *node = &c->ends[TO_NODE], *server = &c->ends[TO_SERVER];

    return (node->eof && !is_holed(c->link, TO_SERVER) && (!server->first || server->eof)) ||
           (server->eof && !is_holed(c->link, TO_NODE) && (!node->first || node->eof));
}

static uint32_t interest_of(const struct connection *c, enum way way, int64_t now)
{
    const struct end *end = &c->ends[way], *other = &c->ends[!way];
    uint32_t interest = 0;

    if (!end->eof && !is_holed(c->link, !way) && other->waiting < WAITING_MAX)
        interest |= EPOLLIN;
    if (end->first && end->first->due <= now && !is_holed(c->link, way))
        interest |= EPOLLOUT;
    return interest;
}

/* Does what is due for a connection; when the next is, at the latest. The connection may be gone
 * after it. */
static int64_t turn(struct connection *c, int64_t now)
{
    int64_t next = c->reset_at;

    for (int way = 0; way < 2; way++)
        if (!is_holed(c->link, way))
            give_data(&c->ends[way], now);
    if (is_over(c) || c->reset_at <= now) {
        drop(c, c->reset_at <= now);
        return NEVER;
    }
    for (int way = 0; way < 2; way++) {
        struct end *end = &c->ends[way];

        if (end->eof && end->fd >= 0) { /* its waiting data is kept: nobody is left to write it to */
            close_end(end, false);
            continue;
        }
        watch(end, interest_of(c, way, now));
        if (end->first && end->first->due > now && end->first->due < next)
            next = end->first->due;
    }
    return next;
}

static int64_t turn_all(void)
{
    int64_t now = proxy_now(), next = NEVER;

    for (int node = 0; node < proxy.nodes; node++)
        for (int server = 0; server < proxy.servers; server++) {
            struct link *link = &proxy.links[node][server];
            struct connection *c = link->connections, *following;

            watch(&link->listener, link->hole ? 0 : EPOLLIN);
            for (; c; c = following) {
                int64_t at;

                following = c->next;
                at = turn(c, now);
                next = at < next ? at : next;
            }
        }
    return next;
}

/* ---- the program ---- */

static int wait_ms(int64_t next)
{
    int64_t left = next == NEVER ? -1 : next - proxy_now();

    if (next == NEVER)
        return -1;
    return left <= 0 ? 0 : (int)(left / NS_PER_MS + 1 > 1000 ? 1000 : left / NS_PER_MS + 1);
}

static void serve(void)
{
    struct epoll_event events[64];
    bool more = true;

    while (more) {
        int count = epoll_wait(proxy.epoll, events, 64, wait_ms(turn_all()));
        bool orders = false;

        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;

            if (!end)
                orders = true;
            else if (end->connection && events[i].events & (EPOLLERR | EPOLLHUP) && !(events[i].events & EPOLLIN))
                end->eof = true;
            else if (end->connection && events[i].events & EPOLLIN)
                take_data(end);
        }
        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;

            if (end && !end->connection)
                take_connection((struct link *)end);
        }
        if (orders) /* no event names a connection any more: they may be dropped */
            more = proxy_take_orders();
    }
}

static void listen_on(struct link *link, int node, int server)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t size = sizeof name;
    char address[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address, sizeof address, "127.1.%d.%d", node, server);
    inet_pton(AF_INET, address, &name.sin_addr);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, size) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &size) != 0)
        fail(address);
    link->listener = (struct end){.fd = fd, .interest = UINT32_MAX};
    printf("link %d %d %s:%d\n", node, server, address, ntohs(name.sin_port));
}

static bool parse_server(const char *text, struct sockaddr_in *name)
{
    char address[64];
    int port;

    if (sscanf(text, "%63[0-9.]:%d", address, &port) != 2)
        return false;
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, address, &name->sin_addr) == 1;
}

int main(int argc, char **argv)
{
    struct epoll_event input = {.events = EPOLLIN, .data = {.ptr = NULL}};

    proxy.nodes = argc > 1 ? atoi(argv[1]) : 0;
    proxy.servers = argc - 2;
    if (proxy.nodes < 1 || proxy.nodes > NODES_MAX || proxy.servers < 1 || proxy.servers > SERVERS_MAX) {
        fprintf(stderr, "usage: %s NODES ADDRESS:PORT...\n", argv[0]);
        return 2;
    }
    proxy.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (proxy.epoll < 0 || epoll_ctl(proxy.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        fail("epoll");
    for (int node = 1; node <= proxy.nodes; node++)
        for (int server = 1; server <= proxy.servers; server++) {
            struct link *link = &proxy.links[node - 1][server - 1];

            if (!parse_server(argv[1 + server], &link->server))
                fail(argv[1 + server]);
            listen_on(link, node, server);
        }
    puts("ready");
    fflush(stdout);
    serve();
    return 0;
}
