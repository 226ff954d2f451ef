#include "session/resolve.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/servers.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared by the dispatcher and, if there is one, the thread that looks names up; the last of the two frees it. */
struct oz_resolver {
    struct oz_msg msg;
    struct oz_dispatch *dispatch;
    void (*done)(void *arg, const char *hosts, const char *why);
    void *arg;
    struct oz_servers servers;
    struct oz_buf hosts;
    char why[256];
    pthread_mutex_t lock; /* guards cancelled */
    bool cancelled;
};

static void destroy(struct oz_resolver *r)
{
    oz_servers_free(&r->servers);
    oz_buf_free(&r->hosts);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void add_addresses(struct oz_resolver *r, const struct addrinfo *list, uint16_t port)
{
    char text[INET6_ADDRSTRLEN + 32];

    for (; list; list = list->ai_next) {
        if (getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        oz_buf_printf(&r->hosts, "%s%s:%u", r->hosts.len ? "," : "", text, port);
    }
}

/* False only with AI_NUMERICHOST: some names are no addresses and have to be looked up. */
static bool look_up(struct oz_resolver *r, int flags)
{
    size_t i;

    for (i = 0; i < r->servers.count; i++) {
        struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM}, *list = NULL;
        const char *host = r->servers.items[i].host;
        int rc = getaddrinfo(host, NULL, &hints, &list);

        if (rc == 0) {
            add_addresses(r, list, r->servers.items[i].port);
            freeaddrinfo(list);
        } else if (flags & AI_NUMERICHOST) {
            return false;
        } else { /* the others may be enough */
            snprintf(r->why, sizeof r->why, "cannot look up %.100s: %s", host, gai_strerror(rc));
        }
    }
    return true;
}

static void finish_hosts(struct oz_resolver *r)
{
    if (r->hosts.len && r->servers.chroot)
        oz_buf_puts(&r->hosts, r->servers.chroot);
    if (oz_buf_failed(&r->hosts) || (!r->hosts.len && !*r->why))
        snprintf(r->why, sizeof r->why, "out of memory");
}

static void answer(struct oz_msg *msg)
{
    struct oz_resolver *r = oz_container(msg, struct oz_resolver, msg);
    bool good = r->hosts.len && !oz_buf_failed(&r->hosts);
    bool cancelled;

    pthread_mutex_lock(&r->lock);
    cancelled = r->cancelled;
    pthread_mutex_unlock(&r->lock);
    if (!cancelled)
        r->done(r->arg, good ? oz_buf_str(&r->hosts) : NULL, r->why);
    destroy(r);
}

static void *look_up_thread(void *arg)
{
    struct oz_resolver *r = arg;
    bool cancelled;

    look_up(r, 0);
    finish_hosts(r);
    pthread_mutex_lock(&r->lock);
    cancelled = r->cancelled;
    if (!cancelled) /* inside the lock: a cancelled resolver's dispatcher may be gone */
        oz_dispatch_post(r->dispatch, &r->msg);
    pthread_mutex_unlock(&r->lock);
    if (cancelled)
        destroy(r);
    return NULL;
}

struct oz_resolver *oz_resolve(struct oz_dispatch *d, const char *servers,
                               void (*done)(void *arg, const char *hosts, const char *why), void *arg)
{
    struct oz_resolver *r = oz_alloc(sizeof *r);

    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->msg.run = answer;
    r->dispatch = d;
    r->done = done;
    r->arg = arg;
    if (oz_servers_parse(servers, &r->servers, r->why, sizeof r->why) == 0 && !look_up(r, AI_NUMERICHOST)) {
        oz_buf_free(&r->hosts);
        if (oz_thread_start(NULL, look_up_thread, r) == 0)
            return r;
        snprintf(r->why, sizeof r->why, "no thread to look up names with");
    }
    finish_hosts(r);
    oz_dispatch_post(d, &r->msg);
    return r;
}

void oz_resolve_cancel(struct oz_resolver *r)
{
    if (!r)
        return;
    /* The dispatcher is freed only after its queue was run: an answer that is queued already is freed there. */
    pthread_mutex_lock(&r->lock);
    r->cancelled = true;
    pthread_mutex_unlock(&r->lock);
}
