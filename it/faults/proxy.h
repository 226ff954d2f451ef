/* What the files of the proxy know of each other. */
#ifndef FAULTS_PROXY_H
#define FAULTS_PROXY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVERS_MAX = 3, NODES_MAX = 9, HEADER = 12 };

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

struct proxy {
    int epoll;
    int nodes, servers;
    struct link links[NODES_MAX][SERVERS_MAX];
    unsigned long lost;
};

extern struct proxy proxy;

int64_t proxy_now(void); /* nanoseconds of CLOCK_BOOTTIME */
/* Ends all connections of a link. */
void proxy_drop_all(struct link *link, bool reset);

/* What a node sent passes: requests that were to be lost are (proxy_requests.c). */
void proxy_look_at_requests(struct connection *c, const unsigned char *data, size_t size);

/* Obeys what is to be read on standard input; false at its end (proxy_orders.c). */
bool proxy_take_orders(void);

#endif
