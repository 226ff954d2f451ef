/* A TCP proxy before a server, that counts the requests that pass and can hold them up. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNELS_MAX = 64, CHUNK = 65536 };

/* One connection, and what waits to be written to either side. */
struct channel {
    int client, server;
    bool answered;       /* since the last request */
    size_t header, body; /* of the request that passes: bytes read of its length, and left of it */
    uint32_t length;
};

struct it_proxy {
    pthread_t thread;
    int listener, wake;
    char address[64];
    int port, server;
    atomic_bool stop, hold, cut, refuse;
    atomic_long requests, round_trips;
    struct channel channels[CHANNELS_MAX];
    int count;
};

static socklen_t make_name(struct sockaddr_storage *name, const char *address, int port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)name;

    memset(name, 0, sizeof *name);
    if (strchr(address, ':')) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        inet_pton(AF_INET6, address, &v6->sin6_addr);
        return sizeof *v6;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, address, &v4->sin_addr);
    return sizeof *v4;
}

static int connect_to_server(const struct it_proxy *proxy)
{
    struct sockaddr_storage name;
    socklen_t size = make_name(&name, it_server_address(proxy->server), it_server_port(proxy->server));
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&name, size) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void take_client(struct it_proxy *proxy)
{
    int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    int server = fd >= 0 && !proxy->refuse && proxy->count < CHANNELS_MAX ? connect_to_server(proxy) : -1;

    if (server < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    proxy->channels[proxy->count++] = (struct channel){.client = fd, .server = server, .answered = true};
}

static void drop_channel(struct it_proxy *proxy, int i)
{
    close(proxy->channels[i].client);
    close(proxy->channels[i].server);
    proxy->channels[i] = proxy->channels[--proxy->count];
}

/* Each request is its length in four bytes, and then itself. */
static void count_requests(struct it_proxy *proxy, struct channel *c, const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size;) {
        if (c->body > 0) {
            size_t step = c->body < size - i ? c->body : size - i;
            c->body -= step;
            i += step;
            continue;
        }
        c->length = c->length << 8 | data[i++];
        if (++c->header == 4) {
            c->body = c->length;
            c->header = 0;
            c->length = 0;
            atomic_fetch_add(&proxy->requests, 1);
        }
    }
}

static bool write_all(int fd, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = send(fd, data, size, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

/* False when the connection is over. */
static bool forward(struct it_proxy *proxy, struct channel *c, bool from_client)
{
    static _Thread_local unsigned char chunk[CHUNK];
    ssize_t got = recv(from_client ? c->client : c->server, chunk, sizeof chunk, 0);

    if (got <= 0)
        return false;
    if (from_client)
        count_requests(proxy, c, chunk, (size_t)got);
    if (from_client && c->answered)
        atomic_fetch_add(&proxy->round_trips, 1);
    c->answered = !from_client;
    return write_all(from_client ? c->server : c->client, chunk, (size_t)got);
}

static void serve(struct it_proxy *proxy, const struct pollfd *fds, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        struct channel *c = &proxy->channels[i];
        if ((fds[2 + 2 * i].revents && !forward(proxy, c, true)) ||
            (fds[3 + 2 * i].revents && !forward(proxy, c, false)))
            drop_channel(proxy, i);
    }
}

static void *loop(void *arg)
{
    struct it_proxy *proxy = arg;
    struct pollfd fds[2 + 2 * CHANNELS_MAX];
    uint64_t count;

    while (!proxy->stop) {
        bool hold = proxy->hold;
        int channels = proxy->count;
        fds[0] = (struct pollfd){.fd = proxy->wake, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = hold ? -1 : proxy->listener, .events = POLLIN};
        for (int i = 0; i < channels; i++) {
            fds[2 + 2 * i] = (struct pollfd){.fd = hold ? -1 : proxy->channels[i].client, .events = POLLIN};
            fds[3 + 2 * i] = (struct pollfd){.fd = hold ? -1 : proxy->channels[i].server, .events = POLLIN};
        }
        if (poll(fds, (nfds_t)(2 + 2 * channels), -1) <= 0)
            continue;
        if (fds[0].revents && read(proxy->wake, &count, sizeof count) != sizeof count)
            continue;
        if (atomic_exchange(&proxy->cut, false))
            while (proxy->count > 0)
                drop_channel(proxy, 0);
        else
            serve(proxy, fds, channels);
        if (fds[1].revents)
            take_client(proxy);
    }
    while (proxy->count > 0)
        drop_channel(proxy, 0);
    return NULL;
}

static void wake(struct it_proxy *proxy)
{
    uint64_t one = 1;

    if (write(proxy->wake, &one, sizeof one) != sizeof one)
        perror("eventfd");
}

static bool listen_on(struct it_proxy *proxy, int port)
{
    struct sockaddr_storage name;
    socklen_t size = make_name(&name, proxy->address, port);
    int one = 1;

    proxy->listener = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->listener < 0)
        return false;
    setsockopt(proxy->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(proxy->listener, (struct sockaddr *)&name, size) != 0 || listen(proxy->listener, 16) != 0 ||
        getsockname(proxy->listener, (struct sockaddr *)&name, &size) != 0) {
        close(proxy->listener);
        return false;
    }
    proxy->port = ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                                   : ((struct sockaddr_in *)&name)->sin_port);
    return true;
}

static void destroy(void *proxy)
{
    it_proxy_free(proxy);
}

struct it_proxy *it_proxy_new(const char *address, int port, int server)
{
    struct it_proxy *proxy = it_alloc(sizeof *proxy);

    snprintf(proxy->address, sizeof proxy->address, "%s", address);
    proxy->server = server;
    if (!listen_on(proxy, port)) {
        free(proxy);
        return NULL;
    }
    proxy->wake = eventfd(0, EFD_CLOEXEC);
    if (proxy->wake < 0 || pthread_create(&proxy->thread, NULL, loop, proxy) != 0) {
        perror("proxy");
        exit(1);
    }
    it_keep(proxy, destroy);
    return proxy;
}

int it_proxy_port(const struct it_proxy *proxy)
{
    return proxy->port;
}

void it_proxy_hold(struct it_proxy *proxy, bool hold)
{
    proxy->hold = hold;
    wake(proxy);
}

void it_proxy_cut(struct it_proxy *proxy, bool refuse)
{
    proxy->refuse = refuse;
    proxy->cut = true;
    wake(proxy);
}

long it_proxy_requests(const struct it_proxy *proxy)
{
    return proxy->requests;
}

long it_proxy_round_trips(const struct it_proxy *proxy)
{
    return proxy->round_trips;
}

void it_proxy_free(struct it_proxy *proxy)
{
    if (!proxy)
        return;
    it_forget(proxy);
    proxy->stop = true;
    wake(proxy);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->wake);
    free(proxy);
}
