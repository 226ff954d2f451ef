/* The life of a cluster handle: how it is made, started, joined and closed. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/nodeid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAVE_WITHIN (500 * OZ_MS) /* a server that answers does so much sooner */

const char *odezk_version(void)
{
    return ODEZK_VERSION;
}

/* ---- checking arguments ---- */

int oz_cluster_check(const odezk_cluster *cluster)
{
    if (!cluster)
        return oz_fail(ODEZK_EINVAL, "no cluster handle was given");
    if (cluster->forks != oz_fork_count())
        return oz_fail(ODEZK_EFORKED, "the cluster handle belongs to the parent process");
    return ODEZK_OK;
}

int oz_cluster_check_blocking(const odezk_cluster *cluster)
{
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK && oz_dispatch_inside(cluster->caller))
        rc = oz_fail(ODEZK_EINCALLBACK, "a blocking call is refused inside a callback");
    return rc;
}

int oz_check_out(const void *out)
{
    return out ? ODEZK_OK : oz_fail(ODEZK_EINVAL, "the out parameter is NULL");
}

int oz_check_timeout(int timeout_ms)
{
    if (timeout_ms >= 0)
        return ODEZK_OK;
    return oz_fail(ODEZK_EINVAL, "timeout_ms is %d; 0 or more is allowed", timeout_ms);
}

int oz_check_lock(const char *space, const char *key)
{
    const char *mistake;

    if (!space)
        return oz_fail(ODEZK_EINVAL, "the space is NULL");
    if (!key)
        return oz_fail(ODEZK_EINVAL, "the key is NULL");
    mistake = oz_lock_mistake(space, key);
    return mistake ? oz_fail(ODEZK_EINVAL, "%s", mistake) : ODEZK_OK;
}

int oz_cluster_unreachable(odezk_cluster *c, int timeout_ms)
{
    char why[256];

    oz_session_trouble(c->session, why, sizeof why);
    return oz_fail(ODEZK_EUNREACHABLE, "no ZooKeeper server answered within %d ms%s%s", timeout_ms, *why ? ": " : "",
                   why);
}

/* ---- making ---- */

static int64_t process_start_ms(void)
{
    static _Atomic int64_t start; /* when the first handle was made; exact enough for people */
    int64_t now = oz_wall_ms(), none = 0;

    return atomic_compare_exchange_strong(&start, &none, now) ? now : none;
}

/* The default leaves the level as the program set it. */
static void set_log_level(const odezk_config *config)
{
    if (config->values[OZ_LOG_LEVEL].text)
        odezk_log_set_level((odezk_log_level)(ODEZK_LOG_ERROR + oz_config_choice(config, OZ_LOG_LEVEL)));
}

static int settle(odezk_cluster *c, const odezk_config *config, odezk_role role)
{
    static _Atomic uint64_t handles;
    const char *base = odezk_config_get(config, "base"), *log4c = odezk_config_get(config, "log4c-file");
    int rc;

    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    oz_list_init(&c->subscriptions);
    oz_list_init(&c->tasks);
    c->role = role;
    c->forks = oz_fork_count();
    c->handle = atomic_fetch_add(&handles, 1) + 1;
    c->started_ms = process_start_ms();
    c->operation_ms = (int)odezk_config_number(config, "operation-timeout");
    c->name = oz_strdup(odezk_config_get(config, "cluster"));
    c->root = c->name ? oz_format("%s/%s", strcmp(base, "/") ? base : "", c->name) : NULL;
    if (!c->name || !c->root)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    set_log_level(config);
    rc = oz_log_open(log4c && strcmp(log4c, "auto") ? log4c : NULL);
    if (rc != ODEZK_OK)
        return rc;
    c->log_open = true;
    return role == ODEZK_ROLE_CLIENT ? ODEZK_OK : oz_node_id(config, c->id);
}

static int make(odezk_cluster *c, const odezk_config *config, odezk_role role)
{
    int rc = settle(c, config, role);

    if (rc != ODEZK_OK)
        return rc;
    c->dispatch = oz_dispatch_new("odezk");
    c->caller = c->dispatch ? oz_dispatch_new("odezk-callback") : NULL;
    if (!c->caller)
        return oz_fail(ODEZK_ESYSTEM, "cannot start a thread or open a descriptor: %s", strerror(errno));
    if (!oz_parts_make(c, config))
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    return ODEZK_OK;
}

static void destroy(odezk_cluster *c)
{
    struct oz_pair *pair;

    if (c->grants)
        oz_grants_close(c->grants);
    oz_keyed_free(c);
    oz_dispatch_stop(c->dispatch);
    oz_dispatch_stop(c->caller);
    oz_inbox_free(c->inbox);
    oz_membership_free(c->membership);
    oz_election_free(c->election);
    oz_locks_free(c->locks);
    oz_grants_unref(c->grants);
    oz_session_free(c->session);
    oz_reaper_free(c->reaper);
    oz_dispatch_free(c->dispatch);
    oz_dispatch_free(c->caller);
    oz_subscriptions_free(c);
    if (c->log_open)
        oz_log_close();
    while ((pair = c->metadata) != NULL) {
        c->metadata = pair->next;
        free(pair->key);
        free(pair->value);
        free(pair);
    }
    oz_view_free(&c->view);
    free(c->data);
    free(c->name);
    free(c->root);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static int check_options(const odezk_cluster_options *options)
{
    if (options->version != ODEZK_CLUSTER_OPTIONS_VERSION)
        return oz_fail(ODEZK_EINVAL, "version %u of the options is unknown", options->version);
    if ((unsigned)options->role > ODEZK_ROLE_CLIENT)
        return oz_fail(ODEZK_EINVAL, "role %d is unknown", (int)options->role);
    return ODEZK_OK;
}

int odezk_cluster_new(const odezk_config *config, const odezk_cluster_options *options, odezk_cluster **out)
{
    static const odezk_cluster_options defaults = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_config *own = NULL;
    odezk_cluster *c;
    int rc = oz_check_out(out);

    if (!options)
        options = &defaults;
    if (rc == ODEZK_OK)
        rc = check_options(options);
    if (rc != ODEZK_OK)
        return rc;
    if (!config) {
        rc = odezk_config_new(&own);
        if (rc != ODEZK_OK)
            return rc;
        config = own;
    }
    rc = oz_config_check(config);
    c = rc == ODEZK_OK ? oz_alloc(sizeof *c) : NULL;
    if (rc == ODEZK_OK)
        rc = c ? make(c, config, options->role) : oz_fail(ODEZK_ENOMEM, "out of memory");
    odezk_config_free(own);
    if (rc == ODEZK_OK)
        *out = c;
    else if (c)
        destroy(c);
    return rc;
}

/* ---- starting and joining ---- */

static void start_arrived(struct oz_msg *msg)
{
    odezk_cluster *c = oz_container(msg, odezk_cluster, start_msg);

    if (c->closing)
        return;
    oz_election_watch(c->election);
    oz_membership_start(c->membership);
    oz_session_start(c->session);
}

int oz_cluster_start(odezk_cluster *c)
{
    int rc = ODEZK_OK;

    pthread_mutex_lock(&c->lock);
    if (c->refused) {
        rc = oz_fail(c->refused, "%s", c->refusal);
    } else if (c->close_begun) {
        rc = oz_fail(ODEZK_ECLOSED, "the handle is closed");
    } else if (!c->started) {
        c->started = true;
        c->start_msg.run = start_arrived;
        oz_dispatch_post(c->dispatch, &c->start_msg);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int odezk_cluster_start(odezk_cluster *cluster)
{
    int rc = oz_cluster_check(cluster);

    return rc == ODEZK_OK ? oz_cluster_start(cluster) : rc;
}

/* With the lock held. */
static int join_result(odezk_cluster *c, int timeout_ms)
{
    if (c->refused)
        return oz_fail(c->refused, "%s", c->refusal);
    if (c->close_begun)
        return oz_fail(ODEZK_ECLOSED, "the handle is closed");
    if (c->ready)
        return ODEZK_OK;
    if (c->state != ODEZK_SESSION_CONNECTED)
        return oz_cluster_unreachable(c, timeout_ms);
    if (c->waits_for[0])
        return oz_fail(ODEZK_ETIMEDOUT, "after %d ms the previous process with id %s (%s) still has a session",
                       timeout_ms, c->id, c->waits_for);
    return oz_fail(ODEZK_ETIMEDOUT, "not joined after %d ms", timeout_ms);
}

int odezk_cluster_join(odezk_cluster *cluster, int timeout_ms)
{
    struct timespec until;
    int rc = oz_cluster_check_blocking(cluster), waited = 0;

    if (rc == ODEZK_OK)
        rc = oz_check_timeout(timeout_ms);
    if (rc == ODEZK_OK)
        rc = oz_cluster_start(cluster);
    if (rc != ODEZK_OK)
        return rc;
    until = oz_deadline_in(timeout_ms * OZ_MS);
    pthread_mutex_lock(&cluster->lock);
    while (!cluster->ready && !cluster->refused && !cluster->close_begun && waited == 0)
        waited = pthread_cond_clockwait(&cluster->changed, &cluster->lock, CLOCK_MONOTONIC, &until);
    rc = join_result(cluster, timeout_ms);
    pthread_mutex_unlock(&cluster->lock);
    return rc;
}

/* ---- closing ---- */

static void callbacks_done(struct oz_msg *msg)
{
    odezk_cluster *c = oz_container(msg, odezk_cluster, callbacks_done_msg);

    pthread_mutex_lock(&c->lock);
    c->closed = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void session_closed(void *arg)
{
    odezk_cluster *c = arg;

    if (c->active_tasks > 0) { /* its own timer ends it */
        oz_session_later(c->session, &c->leave_timer, OZ_MS, session_closed, c);
        return;
    }
    oz_reaper_dismiss(c->reaper);
    oz_parts_state(c, ODEZK_SESSION_CLOSED, c->refused ? c->refusal : NULL);
    c->callbacks_done_msg.run = callbacks_done;
    oz_dispatch_post(c->caller, &c->callbacks_done_msg);
}

static void close_session(void *arg)
{
    odezk_cluster *c = arg;

    oz_timer_clear(oz_session_timers(c->session), &c->leave_timer);
    oz_session_close(c->session, session_closed, c);
}

/* Grants end first, then the membership, then the session. Closing the session would remove all the znodes as well; but
 * only an answered delete lets the others, and whoever reads the status after us, see that we have left. */
void oz_cluster_end(odezk_cluster *c)
{
    if (c->closing)
        return;
    c->closing = true;
    pthread_mutex_lock(&c->lock);
    c->close_begun = true;
    c->ready = false;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oz_tasks_go(c, ODEZK_ECLOSED);
    oz_locks_close(c->locks, c->refused ? c->refused : ODEZK_ECLOSED, c->refused ? c->refusal : NULL);
    oz_election_withdraw(c->election, "closing");
    oz_inbox_remove(c->inbox);
    oz_timer_clear(oz_session_timers(c->session), &c->view_timer);
    oz_session_later(c->session, &c->leave_timer, LEAVE_WITHIN, close_session, c);
    oz_membership_leave(c->membership, close_session, c);
}

static void close_arrived(struct oz_msg *msg)
{
    oz_cluster_end(oz_container(msg, odezk_cluster, close_msg));
}

static void begin_close(odezk_cluster *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->close_msg.run) {
        c->close_begun = true;
        c->close_msg.run = close_arrived;
        oz_dispatch_post(c->dispatch, &c->close_msg);
    }
    pthread_mutex_unlock(&c->lock);
}

int odezk_cluster_begin_close(odezk_cluster *cluster)
{
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        begin_close(cluster);
    return rc;
}

int odezk_cluster_close(odezk_cluster *cluster)
{
    int rc = oz_cluster_check_blocking(cluster);

    if (rc != ODEZK_OK)
        return rc;
    begin_close(cluster);
    pthread_mutex_lock(&cluster->lock);
    while (!cluster->closed)
        pthread_cond_wait(&cluster->changed, &cluster->lock);
    pthread_mutex_unlock(&cluster->lock);
    return ODEZK_OK;
}

void odezk_cluster_free(odezk_cluster *cluster)
{
    if (!cluster)
        return;
    if (cluster->forks != oz_fork_count())
        return; /* the parent's: its threads are not here, and its mutexes may be held for ever */
    if (odezk_cluster_close(cluster) != ODEZK_OK) {
        oz_error("cluster", "a handle cannot be freed inside one of its callbacks");
        return;
    }
    destroy(cluster);
}

/* ---- what is known without asking ---- */

const char *odezk_cluster_node_id(const odezk_cluster *cluster)
{
    return cluster ? cluster->id : "";
}

int odezk_cluster_session(odezk_cluster *cluster, odezk_session_info *info)
{
    int64_t left;
    int rc = oz_cluster_check(cluster);

    if (rc == ODEZK_OK)
        rc = oz_check_out(info);
    if (rc != ODEZK_OK)
        return rc;
    if (info->version != ODEZK_SESSION_INFO_VERSION)
        return oz_fail(ODEZK_EINVAL, "version %u of the session information is unknown", info->version);
    pthread_mutex_lock(&cluster->lock);
    info->state = cluster->state;
    info->generation = cluster->generation;
    info->session_id = cluster->session_id;
    info->timeout_ms = cluster->timeout_ms;
    left = cluster->session_id ? oz_session_lease_end(cluster->session) - oz_now() : 0;
    info->lease_left_ms = left > 0 ? left / OZ_MS : 0;
    pthread_mutex_unlock(&cluster->lock);
    return ODEZK_OK;
}
