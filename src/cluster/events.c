/* Events: made on the dispatcher, delivered on the callback thread. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct odezk_subscription {
    struct oz_list link; /* in the cluster's list, once it was replayed to */
    struct oz_msg msg;   /* brings it to the dispatcher */
    odezk_cluster *cluster;
    unsigned types;
    odezk_event_cb cb;
    void *arg;
    int refs;     /* the user's, and those of events and messages under way; under the cluster's lock */
    bool ended;   /* under the cluster's lock */
    bool running; /* under the cluster's lock */
};

struct delivery {
    struct oz_msg msg;
    odezk_subscription *subscription;
    odezk_event event;
    char text[];
};

const char *odezk_session_state_name(odezk_session_state state)
{
    static const char *const names[] = {"connecting", "connected", "suspended", "lost", "closed"};

    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

const char *odezk_member_change_name(odezk_member_change change)
{
    static const char *const names[] = {"joined", "left", "restarted"};

    return (unsigned)change < sizeof names / sizeof *names ? names[change] : "unknown";
}

/* With the cluster's lock held. */
static void unref(odezk_subscription *sub)
{
    if (--sub->refs == 0)
        free(sub);
}

static void deliver(struct oz_msg *msg)
{
    struct delivery *d = (struct delivery *)msg;
    odezk_subscription *sub = d->subscription;
    odezk_cluster *cluster = sub->cluster;

    pthread_mutex_lock(&cluster->lock);
    if (!sub->ended) {
        sub->running = true;
        pthread_mutex_unlock(&cluster->lock);
        sub->cb(cluster, &d->event, sub->arg);
        pthread_mutex_lock(&cluster->lock);
        sub->running = false;
        pthread_cond_broadcast(&cluster->changed);
    }
    unref(sub);
    pthread_mutex_unlock(&cluster->lock);
    free(d);
}

/* No event may be dropped, so the dispatcher waits until there is memory. Leases lapse safely meanwhile. */
static struct delivery *new_delivery(size_t text)
{
    struct delivery *d;
    struct timespec pause = {0, 10 * OZ_MS};

    while ((d = oz_alloc(sizeof *d + text)) == NULL)
        nanosleep(&pause, NULL);
    return d;
}

/* With the cluster's lock held. */
static void send(odezk_subscription *sub, const odezk_event *event)
{
    size_t id = event->id ? strlen(event->id) + 1 : 0, reason = event->reason ? strlen(event->reason) + 1 : 0;
    struct delivery *d;

    if (!(sub->types & event->type))
        return;
    d = new_delivery(id + reason);
    d->msg.run = deliver;
    d->subscription = sub;
    d->event = *event;
    if (id)
        d->event.id = memcpy(d->text, event->id, id);
    if (reason)
        d->event.reason = memcpy(d->text + id, event->reason, reason);
    sub->refs++;
    oz_dispatch_post(sub->cluster->caller, &d->msg);
}

void oz_emit(odezk_cluster *cluster, const odezk_event *event)
{
    odezk_event timed = *event;
    struct oz_list *node;

    timed.time_ms = oz_wall_ms();
    pthread_mutex_lock(&cluster->lock);
    oz_list_each(node, &cluster->subscriptions)
        send(oz_container(node, odezk_subscription, link), &timed);
    pthread_mutex_unlock(&cluster->lock);
}

void oz_emit_session(odezk_cluster *cluster, odezk_session_state state, const char *why)
{
    odezk_event event = {.type = ODEZK_EVENT_SESSION, .state = state, .generation = cluster->generation, .reason = why};

    oz_emit(cluster, &event);
}

/* With the cluster's lock held: the present state as events. */
static void replay(odezk_subscription *sub)
{
    odezk_cluster *c = sub->cluster;
    int64_t now = oz_wall_ms();
    size_t i;

    send(sub,
         &(odezk_event){.type = ODEZK_EVENT_SESSION, .time_ms = now, .state = c->state, .generation = c->generation});
    for (i = 0; i < c->view.count; i++)
        send(sub, &(odezk_event){.type = ODEZK_EVENT_MEMBER,
                                 .time_ms = now,
                                 .id = c->view.nodes[i].id,
                                 .incarnation = oz_incarnation(c->view.nodes[i].seq),
                                 .change = ODEZK_MEMBER_JOINED});
    if (c->ready && c->role != ODEZK_ROLE_CLIENT)
        send(sub, &(odezk_event){.type = ODEZK_EVENT_READY,
                                 .time_ms = now,
                                 .id = c->self.id,
                                 .incarnation = oz_incarnation(c->self.seq)});
    if (c->master.id[0])
        send(sub, &(odezk_event){.type = ODEZK_EVENT_MASTER,
                                 .time_ms = now,
                                 .id = c->master.id,
                                 .incarnation = c->master.incarnation,
                                 .epoch = c->master.epoch});
    if (c->mastership)
        send(sub, &(odezk_event){.type = ODEZK_EVENT_MASTERSHIP, .time_ms = now, .held = true, .epoch = c->epoch});
    if (c->refused)
        send(sub,
             &(odezk_event){.type = ODEZK_EVENT_REFUSED, .time_ms = now, .reason = c->refusal, .error = c->refused});
}

static void subscribed(struct oz_msg *msg)
{
    odezk_subscription *sub = oz_container(msg, odezk_subscription, msg);
    odezk_cluster *cluster = sub->cluster;

    pthread_mutex_lock(&cluster->lock);
    if (!sub->ended) {
        replay(sub);
        oz_list_append(&cluster->subscriptions, &sub->link);
    }
    unref(sub);
    pthread_mutex_unlock(&cluster->lock);
}

static int check_subscription(unsigned types, odezk_event_cb cb)
{
    if (!cb)
        return oz_fail(ODEZK_EINVAL, "the callback is NULL");
    if (!types)
        return oz_fail(ODEZK_EINVAL, "no event type was given");
    if (types & ~(unsigned)ODEZK_EVENT_ALL)
        return oz_fail(ODEZK_EINVAL, "the event types 0x%x are unknown", types & ~(unsigned)ODEZK_EVENT_ALL);
    return ODEZK_OK;
}

int odezk_cluster_subscribe(odezk_cluster *cluster, unsigned types, odezk_event_cb cb, void *arg,
                            odezk_subscription **out)
{
    odezk_subscription *sub;
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        rc = check_subscription(types, cb);
    if (rc != ODEZK_OK)
        return rc;
    sub = oz_alloc(sizeof *sub);
    if (!sub)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    oz_list_init(&sub->link);
    sub->cluster = cluster;
    sub->types = types;
    sub->cb = cb;
    sub->arg = arg;
    sub->refs = 2;
    sub->msg.run = subscribed;
    pthread_mutex_lock(&cluster->lock);
    if (cluster->closed) {
        pthread_mutex_unlock(&cluster->lock);
        free(sub);
        return oz_fail(ODEZK_ECLOSED, "the handle is closed");
    }
    if (out)
        *out = sub; /* before the first callback */
    oz_dispatch_post(cluster->dispatch, &sub->msg);
    pthread_mutex_unlock(&cluster->lock);
    return ODEZK_OK;
}

void odezk_cluster_unsubscribe(odezk_cluster *cluster, odezk_subscription *subscription)
{
    if (!subscription || oz_cluster_check(cluster) != ODEZK_OK)
        return;
    pthread_mutex_lock(&cluster->lock);
    subscription->ended = true;
    oz_list_remove(&subscription->link);
    while (subscription->running && !oz_dispatch_inside(cluster->caller))
        pthread_cond_wait(&cluster->changed, &cluster->lock);
    unref(subscription);
    pthread_mutex_unlock(&cluster->lock);
}

/* Frees the subscriptions that were never ended. */
void oz_subscriptions_free(odezk_cluster *cluster)
{
    struct oz_list *node;

    while ((node = oz_list_pop(&cluster->subscriptions)) != NULL)
        free(oz_container(node, odezk_subscription, link));
}
