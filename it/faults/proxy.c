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
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SERVERS_MAX = 3, NODES_MAX = 9, CHUNK = 16384, WAITING_MAX = 1 << 20, HEADER = 12 };

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S (1000 * NS_PER_MS)
#define NEVER INT64_MAX
/* How long a lost answer's connection lives: the server has to have acted. */
#define LOST_FOR (20 * NS_PER_MS)
#define LOST_AT_MOST (1000 * NS_PER_MS)

enum way { TO_SERVER, TO_NODE };
enum { HOLE_TO_SERVER = 1, HOLE_TO_NODE = 2 };
enum loss { LOSE_NOTHING, LOSE_CREATE, LOSE_DELETE, LOSE_MULTI, LOSE_ANY };

struct chunk {
    struct chunk *next;
    int64_t due;
    size_t size, written;
    unsigned char data[];
};

/* One end of a connection, and what is to be written to it. */
struct end {
    struct connection *connection;
    int fd; /* -1: closed */
    bool eof;
    struct chunk *first, **last;
    size_t waiting;
    int64_t last_due;
    uint32_t interest; /* UINT32_MAX: not known to the epoll yet */
};

struct connection {
    struct connection *next;
    struct link *link;
    struct end ends[2]; /* by the way that leads to it: the server's, the node's */
    /* The request that is passing: its length and head, and how much of it is left. */
    unsigned char head[HEADER];
    size_t head_size;
    uint64_t left;
    bool greeted, answered;
    bool losing, dropped;
    int64_t reset_at;
};

struct link {
    struct end listener; /* never written to */
    struct sockaddr_in server;
    int hole;
    bool refuse;
    enum loss lose, drop;
    int64_t delay, rate;
    struct connection *connections;
};

static struct {
    int epoll;
    int nodes, servers;
    struct link links[NODES_MAX][SERVERS_MAX];
    unsigned long lost;
} proxy;

static int64_t now_ns(void)
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

static void drop_all(struct link *link, bool reset)
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

/* ---- which request passes ---- */

static uint32_t number_at(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum loss kind_of(uint32_t type)
{
    switch (type) {
    case 1:  /* create */
    case 15: /* create2 */
        return LOSE_CREATE;
    case 2:
        return LOSE_DELETE;
    case 14:
        return LOSE_MULTI;
    case 5: /* set */
        return LOSE_ANY;
    default:
        return LOSE_NOTHING;
    }
}

/* Once. */
static bool take_order(enum loss *order, enum loss kind)
{
    if (*order == LOSE_NOTHING || kind == LOSE_NOTHING || (*order != kind && *order != LOSE_ANY))
        return false;
    *order = LOSE_NOTHING;
    proxy.lost++;
    return true;
}

static void request_passes(struct connection *c, uint32_t type)
{
    enum loss kind = kind_of(type);

    if (take_order(&c->link->drop, kind)) {
        c->dropped = true;
        c->reset_at = now_ns();
    } else if (take_order(&c->link->lose, kind)) {
        c->losing = true;
        c->reset_at = now_ns() + LOST_AT_MOST;
    }
}

/* Each request is its length, an xid and a type in four bytes each, and the rest. The first one on
 * a connection has only its length in common with the others. */
static void look_at_requests(struct connection *c, const unsigned char *data, size_t size)
{
    size_t i = 0, wanted;

    while (i < size) {
        if (c->left > 0) {
            size_t step = c->left < size - i ? (size_t)c->left : size - i;
            c->left -= step;
            i += step;
            continue;
        }
        wanted = c->greeted ? HEADER : 4;
        c->head[c->head_size++] = data[i++];
        if (c->head_size < wanted)
            continue;
        c->head_size = 0;
        c->left = number_at(c->head);
        c->left -= c->left < wanted - 4 ? c->left : wanted - 4;
        if (c->greeted)
            request_passes(c, number_at(c->head + 8));
        c->greeted = true;
    }
}

/* ---- forwarding ---- */

static bool is_holed(const struct link *link, enum way way)
{
    return link->hole & (way == TO_SERVER ? HOLE_TO_SERVER : HOLE_TO_NODE);
}

static void append(struct end *end, const struct link *link, const unsigned char *data, size_t size)
{
    size_t most = link->rate ? 32 : size, part;
    int64_t now = now_ns(), due;

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
        look_at_requests(c, data, (size_t)got);
        if (c->dropped) /* with what came along */
            return;
    } else if (c->losing) {
        if (c->reset_at > now_ns() + LOST_FOR)
            c->reset_at = now_ns() + LOST_FOR;
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
    int64_t now = now_ns(), next = NEVER;

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

/* ---- orders ---- */

static int where(int node)
{
    for (int server = 0; server < proxy.servers; server++)
        for (struct connection *c = proxy.links[node - 1][server].connections; c; c = c->next)
            if (c->answered && !c->ends[TO_NODE].eof && !c->losing)
                return server + 1;
    return 0;
}

static void be_normal(struct link *link)
{
    for (struct connection *c = link->connections; c; c = c->next)
        for (int way = 0; way < 2; way++)
            for (struct chunk *chunk = c->ends[way].first; chunk; chunk = chunk->next)
                chunk->due = 0;
    link->hole = 0;
    link->refuse = false;
    link->lose = link->drop = LOSE_NOTHING;
    link->delay = link->rate = 0;
}

static bool apply(struct link *link, const char *verb, int argument)
{
    if (strcmp(verb, "pass") == 0) {
        be_normal(link);
    } else if (strcmp(verb, "hole") == 0) {
        link->hole = argument;
    } else if (strcmp(verb, "reset") == 0) {
        drop_all(link, true);
    } else if (strcmp(verb, "refuse") == 0) {
        link->refuse = true;
        drop_all(link, true);
    } else if (strcmp(verb, "delay") == 0) {
        link->delay = argument * NS_PER_MS;
    } else if (strcmp(verb, "slow") == 0) {
        link->rate = argument;
    } else if (strcmp(verb, "lose") == 0) {
        link->lose = (enum loss)argument;
    } else if (strcmp(verb, "drop") == 0) {
        link->drop = (enum loss)argument;
    } else {
        return false;
    }
    return true;
}

static bool apply_to(int node, int server, const char *verb, int argument)
{
    bool good = true;

    for (int n = 1; n <= proxy.nodes; n++)
        for (int s = 1; s <= proxy.servers; s++)
            if ((node == 0 || node == n) && (server == 0 || server == s))
                good = apply(&proxy.links[n - 1][s - 1], verb, argument) && good;
    return good;
}

static void obey(const char *line)
{
    char verb[16];
    int node, server, argument;

    if (sscanf(line, "%15s %d %d %d", verb, &node, &server, &argument) != 4 || node < 0 || node > proxy.nodes ||
        server < 0 || server > proxy.servers)
        puts("error");
    else if (strcmp(verb, "where") == 0 && node > 0)
        printf("ok %d\n", where(node));
    else if (strcmp(verb, "lost") == 0)
        printf("ok %lu\n", proxy.lost);
    else
        puts(apply_to(node, server, verb, argument) ? "ok" : "error");
    fflush(stdout);
}

/* False at the end of the input. */
static bool take_orders(void)
{
    static char line[128];
    static size_t length;
    char text[128];
    ssize_t got = read(STDIN_FILENO, text, sizeof text);

    if (got <= 0)
        return got < 0 && errno == EINTR;
    for (ssize_t i = 0; i < got; i++) {
        if (text[i] == '\n') {
            line[length] = '\0';
            obey(line);
            length = 0;
        } else if (length < sizeof line - 1) {
            line[length++] = text[i];
        }
    }
    return true;
}

/* ---- the program ---- */

static int wait_ms(int64_t next)
{
    int64_t left = next == NEVER ? -1 : next - now_ns();

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
            more = take_orders();
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
