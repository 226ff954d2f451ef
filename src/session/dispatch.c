#include "session/dispatch.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct oz_dispatch {
    pthread_mutex_t lock; /* guards head, tail */
    struct oz_msg *head, **tail;
    struct oz_timers timers;
    int64_t timer_at; /* what timer_fd is set to */
    int wake_fd, timer_fd;
    pthread_t thread;
    bool threaded;
    bool stop; /* the dispatcher's thread only */
    struct oz_msg stop_msg;
};

static void drain_fd(int fd)
{
    uint64_t n;

    while (read(fd, &n, sizeof n) > 0)
        ;
}

/* timerfd, because a condition variable cannot wait on CLOCK_BOOTTIME. */
static void arm(struct oz_dispatch *d)
{
    int64_t at = oz_timers_next(&d->timers);
    struct itimerspec spec = {{0, 0}, {0, 0}};

    if (at == d->timer_at)
        return;
    d->timer_at = at;
    if (at != OZ_NEVER) {
        if (at < 1)
            at = 1; /* zero would disarm it */
        spec.it_value.tv_sec = at / OZ_SECOND;
        spec.it_value.tv_nsec = at % OZ_SECOND;
    }
    timerfd_settime(d->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static struct oz_msg *take_all(struct oz_dispatch *d)
{
    struct oz_msg *list;

    pthread_mutex_lock(&d->lock);
    list = d->head;
    d->head = NULL;
    d->tail = &d->head;
    pthread_mutex_unlock(&d->lock);
    return list;
}

bool oz_dispatch_step(struct oz_dispatch *d, int wait_ms)
{
    struct pollfd fds[2] = {{d->wake_fd, POLLIN, 0}, {d->timer_fd, POLLIN, 0}};
    struct oz_msg *msg;
    struct oz_timer *timer;
    bool did = false;

    arm(d);
    if (oz_timers_next(&d->timers) <= oz_now())
        wait_ms = 0;
    if (poll(fds, 2, wait_ms) > 0) {
        if (fds[0].revents)
            drain_fd(d->wake_fd);
        if (fds[1].revents) {
            drain_fd(d->timer_fd);
            d->timer_at = OZ_NEVER; /* it has fired: whatever is next has to be set again */
        }
    }
    for (msg = take_all(d); msg;) {
        struct oz_msg *next = msg->next;

        msg->run(msg);
        msg = next;
        did = true;
    }
    while ((timer = oz_timers_due(&d->timers, oz_now())) != NULL) {
        timer->fire(timer->arg);
        did = true;
    }
    return did;
}

static void *loop(void *arg)
{
    struct oz_dispatch *d = arg;

    while (!d->stop)
        oz_dispatch_step(d, -1);
    return NULL;
}

static void stop(struct oz_msg *msg)
{
    struct oz_dispatch *d = oz_container(msg, struct oz_dispatch, stop_msg);

    d->stop = true;
}

static bool start_thread(struct oz_dispatch *d, const char *name)
{
    int error = oz_thread_start(&d->thread, loop, d);

    d->threaded = error == 0;
    if (d->threaded)
        pthread_setname_np(d->thread, name);
    else
        errno = error; /* as the other calls of oz_dispatch_new() do */
    return d->threaded;
}

struct oz_dispatch *oz_dispatch_new(const char *name)
{
    struct oz_dispatch *d = oz_alloc(sizeof *d);

    if (!d)
        return NULL;
    pthread_mutex_init(&d->lock, NULL);
    d->tail = &d->head;
    d->timer_at = OZ_NEVER;
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (d->wake_fd < 0 || d->timer_fd < 0 || (name && !start_thread(d, name))) {
        oz_dispatch_free(d);
        return NULL;
    }
    return d;
}

void oz_dispatch_post(struct oz_dispatch *d, struct oz_msg *msg)
{
    bool first;

    msg->next = NULL;
    pthread_mutex_lock(&d->lock);
    first = d->head == NULL;
    *d->tail = msg;
    d->tail = &msg->next;
    if (first) {
        uint64_t one = 1;

        /* Inside the lock: once it is released the dispatcher may be on its way to being freed. */
        while (write(d->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_unlock(&d->lock);
}

struct oz_timers *oz_dispatch_timers(struct oz_dispatch *d)
{
    return &d->timers;
}

bool oz_dispatch_inside(const struct oz_dispatch *d)
{
    return d->threaded && pthread_equal(d->thread, pthread_self());
}

void oz_dispatch_stop(struct oz_dispatch *d)
{
    struct oz_msg *msg, *next;

    if (!d)
        return;
    if (d->threaded) {
        d->stop_msg.run = stop;
        oz_dispatch_post(d, &d->stop_msg);
        pthread_join(d->thread, NULL);
        d->threaded = false;
    }
    while ((msg = take_all(d)) != NULL) /* posted behind the stop message, or never stepped */
        for (; msg; msg = next) {
            next = msg->next;
            msg->run(msg);
        }
}

void oz_dispatch_free(struct oz_dispatch *d)
{
    if (!d)
        return;
    oz_dispatch_stop(d);
    if (d->wake_fd >= 0)
        close(d->wake_fd);
    if (d->timer_fd >= 0)
        close(d->timer_fd);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
