/* Many ZooKeeper sessions in one process and one thread: what a server has of a large cluster,
 * without a client library for each of its members. Each session has an ephemeral znode, as a
 * member has.
 *
 * usage: sessions SERVERS COUNT TIMEOUT_MS SET_BYTES
 *
 * It opens COUNT sessions, spread over the servers, and says "{}". Then it reads commands from
 * stdin, one a line: ping PERIOD SECONDS     each session pings once in PERIOD ms lease PERIOD
 * SECONDS    each session sends a sync once in PERIOD ms, and, when that is answered, a set of its
 * znode and answers each with one line of JSON: what was sent, and how long the answers took, in
 * microseconds. A request to set has SET_BYTES on the wire. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OP_CREATE = 1, OP_SET = 5, OP_SYNC = 9, OP_PING = 11, PING_XID = -2 };
enum { NODE_EXISTS = -110 };
enum { BATCH = 25 }; /* as many at a time as a server's backlog takes */
enum { FRAME_MAX = 1024 };
enum { SAMPLES = 20000, SERVERS_MAX = 8, PATIENCE_S = 30 };
#define DIRECTORY "/sessions"

struct session {
    int fd;
    bool open;       /* the server answered the handshake */
    bool waits;      /* for the answer to a request */
    int32_t xid, op; /* of that request */
    double sent;
    unsigned char in[FRAME_MAX];
    size_t have;
};

static struct session *sessions;
static int count, timeout_ms, set_bytes, epoll_fd;
static struct sockaddr_in addresses[SERVERS_MAX];
static int address_count;

static long syncs, sets, pings, late;
static float latencies[SAMPLES];
static int latency_count;

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "sessions: %s: %s\n", what, why);
    exit(1);
}

/* ---- frames ---- */

struct frame {
    unsigned char bytes[FRAME_MAX];
    size_t size;
};

static void put(struct frame *f, const void *bytes, size_t size)
{
    if (f->size + size > sizeof f->bytes)
        die("request", "too long");
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void put_int(struct frame *f, int32_t value)
{
    uint32_t net = htonl((uint32_t)value);

    put(f, &net, sizeof net);
}

static void put_zeros(struct frame *f, size_t size)
{
    static const unsigned char zeros[FRAME_MAX];

    put(f, zeros, size < sizeof zeros ? size : sizeof zeros);
}

static void put_text(struct frame *f, const char *text)
{
    put_int(f, (int32_t)strlen(text));
    put(f, text, strlen(text));
}

static int32_t get_int(const unsigned char *at)
{
    uint32_t net;

    memcpy(&net, at, sizeof net);
    return (int32_t)ntohl(net);
}

/* The length of a frame is known last. */
static void send_frame(const struct session *s, struct frame *f)
{
    uint32_t net = htonl((uint32_t)(f->size - 4));

    memcpy(f->bytes, &net, sizeof net);
    if (send(s->fd, f->bytes, f->size, MSG_NOSIGNAL) != (ssize_t)f->size)
        die("send", strerror(errno));
}

static struct frame begin(int32_t xid, int32_t op)
{
    struct frame f = {.size = 4};

    put_int(&f, xid);
    put_int(&f, op);
    return f;
}

static void path_of(const struct session *s, char path[32])
{
    snprintf(path, 32, DIRECTORY "/%06d", (int)(s - sessions));
}

/* ---- requests ---- */

static void send_request(struct session *s, struct frame *f, int32_t op)
{
    s->waits = true;
    s->op = op;
    s->sent = now_s();
    send_frame(s, f);
}

static void send_handshake(struct session *s)
{
    struct frame f = {.size = 4};

    put_int(&f, 0);   /* version of the protocol */
    put_zeros(&f, 8); /* the newest zxid seen */
    put_int(&f, timeout_ms);
    put_zeros(&f, 8); /* session id: a new one */
    put_int(&f, 16);
    put_zeros(&f, 16 + 1); /* its password; not read-only */
    send_request(s, &f, 0);
}

static void send_create(struct session *s, const char *path, int32_t flags)
{
    struct frame f = begin(++s->xid, OP_CREATE);

    put_text(&f, path);
    put_int(&f, 0);  /* no data */
    put_int(&f, 1);  /* one ACL: */
    put_int(&f, 31); /* everything is allowed */
    put_text(&f, "world");
    put_text(&f, "anyone");
    put_int(&f, flags);
    send_request(s, &f, OP_CREATE);
}

static void send_set(struct session *s)
{
    struct frame f = begin(++s->xid, OP_SET);
    char path[32];
    int data;

    path_of(s, path);
    put_text(&f, path);
    data = set_bytes - (int)f.size - 8;
    put_int(&f, data > 0 ? data : 0);
    put_zeros(&f, data > 0 ? (size_t)data : 0);
    put_int(&f, -1); /* any version */
    send_request(s, &f, OP_SET);
    sets++;
}

static void send_sync(struct session *s)
{
    struct frame f = begin(++s->xid, OP_SYNC);

    put_text(&f, DIRECTORY);
    send_request(s, &f, OP_SYNC);
    syncs++;
}

static void send_ping(struct session *s)
{
    struct frame f = begin(PING_XID, OP_PING);

    send_request(s, &f, OP_PING);
    pings++;
}

/* ---- answers ---- */

static void take_answer(struct session *s, const unsigned char *body, size_t size)
{
    int32_t error;

    if (!s->waits || size < 16)
        die("answer", "not understood");
    s->waits = false;
    if (!s->open) {
        if (get_int(body + 4) != timeout_ms)
            die("handshake", "the server granted another timeout");
        s->open = true;
        return;
    }
    error = get_int(body + 12);
    if (error != 0 && !(s->op == OP_CREATE && error == NODE_EXISTS))
        die("answer", "an error");
    if (latency_count < SAMPLES && s->op == OP_SET)
        latencies[latency_count++] = (float)((now_s() - s->sent) * 1e6);
    if (s->op == OP_SYNC)
        send_set(s);
}

static void read_session(struct session *s)
{
    ssize_t got = recv(s->fd, s->in + s->have, sizeof s->in - s->have, MSG_DONTWAIT);
    size_t at = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        die("connection", "the server closed it");
    s->have += (size_t)got;
    while (s->have - at >= 4) {
        size_t size = (size_t)get_int(s->in + at);

        if (size > sizeof s->in - 4)
            die("answer", "too long");
        if (s->have - at < 4 + size)
            break;
        take_answer(s, s->in + at + 4, size);
        at += 4 + size;
    }
    s->have -= at;
    memmove(s->in, s->in + at, s->have);
}

static void serve(int wait_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(epoll_fd, events, 64, wait_ms);

    for (int i = 0; i < n; i++)
        read_session(events[i].data.ptr);
}

static bool anybody_waits(int from, int to)
{
    for (int i = from; i < to; i++)
        if (sessions[i].waits)
            return true;
    return false;
}

static void settle(int from, int to)
{
    double until = now_s() + PATIENCE_S;

    while (anybody_waits(from, to)) {
        if (now_s() > until)
            die("answer", "has not come");
        serve(10);
    }
}

/* ---- opening ---- */

static void open_socket(int i)
{
    struct session *s = &sessions[i];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    const struct sockaddr_in *to = &addresses[i % address_count];
    int one = 1;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)to, sizeof *to) != 0)
        die("connect", strerror(errno));
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event) != 0)
        die("epoll", strerror(errno));
}

static void open_batch(int from, int to)
{
    char path[32];

    for (int i = from; i < to; i++) {
        open_socket(i);
        send_handshake(&sessions[i]);
    }
    settle(from, to);
    if (from == 0) {
        send_create(&sessions[0], DIRECTORY, 0);
        settle(0, 1);
    }
    for (int i = from; i < to; i++) {
        path_of(&sessions[i], path);
        send_create(&sessions[i], path, 1); /* ephemeral */
    }
    settle(from, to);
}

static void open_all(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sessions = calloc((size_t)count, sizeof *sessions);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!sessions || epoll_fd < 0)
        die("start", strerror(errno));
    for (int from = 0; from < count; from += BATCH)
        open_batch(from, from + BATCH < count ? from + BATCH : count);
}

static void parse_servers(char *text)
{
    for (char *p = strtok(text, ","); p; p = strtok(NULL, ",")) {
        struct sockaddr_in *to = &addresses[address_count];
        char *colon = strrchr(p, ':');

        if (!colon || address_count == SERVERS_MAX)
            die(p, "is no HOST:PORT");
        *colon = '\0';
        to->sin_family = AF_INET;
        to->sin_port = htons((uint16_t)atoi(colon + 1));
        if (inet_pton(AF_INET, p, &to->sin_addr) != 1)
            die(p, "is no address");
        address_count++;
    }
    if (address_count == 0)
        die("SERVERS", "none");
}

/* ---- running ---- */

/* The sessions take turns, evenly over the period: members do not start in step either. */
static void run(void (*request)(struct session *), double period, double seconds)
{
    double start = now_s(), now = start;
    long turn = 0;

    syncs = sets = pings = late = 0;
    latency_count = 0;
    while (now - start < seconds) {
        for (; start + (double)turn * period / count <= now; turn++) {
            struct session *s = &sessions[turn % count];

            if (s->waits)
                late++;
            else
                request(s);
        }
        serve(1);
        now = now_s();
    }
    settle(0, count);
    printf("{\"seconds\":%.3f,\"pings\":%ld,\"syncs\":%ld,\"sets\":%ld,\"late\":%ld,\"us\":[", now - start, pings,
           syncs, sets, late);
    for (int i = 0; i < latency_count; i++)
        printf("%s%.1f", i ? "," : "", (double)latencies[i]);
    puts("]}");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[128];
    int period;
    double seconds;

    if (argc != 5) {
        fputs("usage: sessions SERVERS COUNT TIMEOUT_MS SET_BYTES\n", stderr);
        return 2;
    }
    parse_servers(argv[1]);
    count = atoi(argv[2]);
    timeout_ms = atoi(argv[3]);
    set_bytes = atoi(argv[4]);
    if (count < 1 || timeout_ms < 1)
        die("usage", "a number is missing");
    open_all();
    puts("{}");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "ping %d %lf", &period, &seconds) == 2 && period > 0)
            run(send_ping, period / 1e3, seconds);
        else if (sscanf(line, "lease %d %lf", &period, &seconds) == 2 && period > 0)
            run(send_sync, period / 1e3, seconds);
        else
            die(line, "is no command");
    }
    return 0;
}
