/* The life of a cluster handle: how its parts are wired, started and stopped. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/nodeid.h"
#include "recipe/process.h"
#include "znode/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAVE_WITHIN (500 * OZ_MS) /* a server that answers does so much sooner */

const char *odezk_version(void)
{
    return ODEZK_VERSION;
}

/* ---- may this call go on? ---- */

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

/* ---- what the parts tell; on the dispatcher ---- */

static void do_close(odezk_cluster *cluster);

static void on_state(void *arg, odezk_session_state state, const char *why)
{
    odezk_cluster *c = arg;

    pthread_mutex_lock(&c->lock);
    c->state = state;
    c->generation = oz_session_generation(c->session);
    c->session_id = oz_session_id(c->session);
    c->timeout_ms = oz_session_timeout(c->session);
    if (c->role == ODEZK_ROLE_CLIENT) /* it has nothing to join */
        c->ready = state == ODEZK_SESSION_CONNECTED || state == ODEZK_SESSION_SUSPENDED;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oz_emit_session(c, state, why);
}

static void on_refused(void *arg, int error, const char *why)
{
    odezk_cluster *c = arg;

    if (c->closing)
        return;
    oz_info("cluster", "refused: %s", why);
    pthread_mutex_lock(&c->lock);
    c->refused = error;
    snprintf(c->refusal, sizeof c->refusal, "%s", why);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oz_emit(c, &(odezk_event){.type = ODEZK_EVENT_REFUSED, .reason = c->refusal, .error = error});
    oz_tasks_go(c, error);
    do_close(c);
}

static void on_session(void *self, enum oz_session_event event)
{
    odezk_cluster *c = self;

    if (event == OZ_UP || event == OZ_RESUMED) /* resumed, the servers may be others */
        oz_reaper_session(c->reaper, oz_session_identity(c->session), oz_session_hosts(c->session));
    if (event == OZ_RESUMED)
        oz_inbox_look(c->inbox);
    if (event == OZ_UP)
        oz_tasks_go(c, 0);
}

static void on_ready(void *arg, const struct oz_node *self)
{
    odezk_cluster *c = arg;
    int64_t incarnation = oz_incarnation(self->seq);
    char name[OZ_MEMBER_NAME_SIZE], path[1200];

    pthread_mutex_lock(&c->lock);
    c->ready = true;
    c->self = *self;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oz_info("member", "%s has joined, incarnation %" PRId64, self->id, incarnation);
    oz_emit(c, &(odezk_event){.type = ODEZK_EVENT_READY, .id = self->id, .incarnation = incarnation});
    if (c->role == ODEZK_ROLE_MEMBER)
        oz_election_enter(c->election, self->id, incarnation);
    oz_node_name(self, name);
    oz_inbox_open(c->inbox, name);
    snprintf(path, sizeof path, "%s/members/%s", c->root, name);
    oz_reaper_member(c->reaper, path);
}

static void on_unready(void *arg)
{
    odezk_cluster *c = arg;

    pthread_mutex_lock(&c->lock);
    c->ready = false;
    pthread_mutex_unlock(&c->lock);
    oz_locks_no_inbox(c->locks);
    oz_election_withdraw(c->election, "removed");
    oz_inbox_remove(c->inbox);
    oz_reaper_member(c->reaper, NULL);
}

static void on_member(void *arg, odezk_member_change change, const struct oz_node *node)
{
    odezk_cluster *c = arg;

    oz_info("member", "%s %s, incarnation %" PRId64, node->id, odezk_member_change_name(change),
            oz_incarnation(node->seq));
    oz_emit(
        c, &(odezk_event){
               .type = ODEZK_EVENT_MEMBER, .id = node->id, .incarnation = oz_incarnation(node->seq), .change = change});
    if (change != ODEZK_MEMBER_JOINED && oz_election_epoch(c->election))
        oz_inbox_sweep(c->session, c->root);
}

/* The master is who `leader` names, as long as that life of the node is among the members. */
static void find_master(odezk_cluster *c)
{
    const struct oz_node *node = oz_view_find(oz_membership_view(c->membership), c->leader.id);
    struct oz_leader now = {0};
    bool changed;

    if (node && oz_incarnation(node->seq) == c->leader.incarnation)
        now = c->leader;
    pthread_mutex_lock(&c->lock);
    changed =
        strcmp(now.id, c->master.id) != 0 || now.incarnation != c->master.incarnation || now.epoch != c->master.epoch;
    c->master = now;
    pthread_mutex_unlock(&c->lock);
    if (changed)
        oz_emit(c, &(odezk_event){.type = ODEZK_EVENT_MASTER,
                                  .id = now.id[0] ? now.id : NULL,
                                  .incarnation = now.incarnation,
                                  .epoch = now.epoch});
}

static void publish_view(void *arg)
{
    odezk_cluster *c = arg;
    const struct oz_view *view = oz_membership_view(c->membership);
    struct oz_node *nodes = oz_alloc((view->count + 1) * sizeof *nodes);

    if (nodes && view->count)
        memcpy(nodes, view->nodes, view->count * sizeof *nodes);
    pthread_mutex_lock(&c->lock);
    if (nodes) {
        free(c->view.nodes);
        c->view.nodes = nodes;
        c->view.count = view->count;
    }
    pthread_mutex_unlock(&c->lock);
    if (!nodes && !c->closing)
        oz_timer_set(oz_session_timers(c->session), &c->view_timer, oz_now() + 100 * OZ_MS, publish_view, c);
}

static void on_viewed(void *arg)
{
    odezk_cluster *c = arg;

    publish_view(c);
    find_master(c);
}

static void on_waiting(void *arg, const char *former)
{
    odezk_cluster *c = arg;

    pthread_mutex_lock(&c->lock);
    snprintf(c->waits_for, sizeof c->waits_for, "%s", former);
    pthread_mutex_unlock(&c->lock);
}

static void on_leader(void *arg, const struct oz_leader *leader)
{
    odezk_cluster *c = arg;

    pthread_mutex_lock(&c->lock);
    c->leader = *leader;
    pthread_mutex_unlock(&c->lock);
    find_master(c);
}

static void on_mastership(void *arg, bool held, int64_t epoch, const char *reason)
{
    odezk_cluster *c = arg;

    pthread_mutex_lock(&c->lock);
    c->mastership = held;
    c->epoch = held ? epoch : 0;
    pthread_mutex_unlock(&c->lock);
    oz_emit(c, &(odezk_event){.type = ODEZK_EVENT_MASTERSHIP, .held = held, .epoch = epoch, .reason = reason});
    if (held)
        oz_inbox_sweep(c->session, c->root);
}

/* From here on this node can keep locks that nobody wants, as it can be asked for them. */
static void on_inbox_read(void *owner)
{
    odezk_cluster *c = owner;
    char name[OZ_MEMBER_NAME_SIZE];

    oz_node_name(&c->self, name);
    oz_locks_inbox_read(c->locks, name);
}

static char *on_request(void *owner, const char *name)
{
    odezk_cluster *c = owner;

    if (oz_locks_asked(c->locks, name))
        return NULL;
    if (strncmp(name, OZ_INBOX_REPORT ".", sizeof OZ_INBOX_REPORT) == 0)
        return oz_locks_report(c->locks);
    if (strcmp(name, OZ_INBOX_RESIGN) == 0) {
        oz_info("election", "another asked this node to resign");
        oz_election_resign(c->election);
    }
    return NULL;
}

/* ---- what this node says about itself ---- */

static void describe(odezk_cluster *c, struct oz_buf *b)
{
    const struct oz_pair *pair;

    oz_process_describe(b, c->handle);
    oz_field_add(b, "version", ODEZK_VERSION);
    oz_field_number(b, "started", c->started_ms);
    oz_field_number(b, "observer", c->role == ODEZK_ROLE_OBSERVER);
    for (pair = c->metadata; pair; pair = pair->next) {
        oz_buf_puts(b, "meta.");
        oz_field_add(b, pair->key, pair->value);
    }
}

static const char *member_data(void *arg)
{
    odezk_cluster *c = arg;
    struct oz_buf b = {0};
    char *data;

    pthread_mutex_lock(&c->lock);
    if (!c->data || c->metadata_changed) {
        describe(c, &b);
        data = oz_buf_take(&b);
        if (data) {
            free(c->data);
            c->data = data;
            c->metadata_changed = false;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return c->data;
}

/* ---- making ---- */

static const char *lock_trouble(void *arg)
{
    odezk_cluster *c = arg;

    return oz_session_state(c->session) == ODEZK_SESSION_CONNECTED ? NULL : "not connected";
}

static bool make_locks(odezk_cluster *c, const odezk_config *config)
{
    struct oz_locks_options options = {.session = c->session,
                                       .root = c->root,
                                       .operation_ms = c->operation_ms,
                                       .handovers = (int)odezk_config_number(config, "lock-handovers"),
                                       .sticky_max = (int)odezk_config_number(config, "lock-sticky-max"),
                                       .sticky_idle_ms = (int)odezk_config_number(config, "lock-sticky-idle"),
                                       .sticky_spaces = odezk_config_get(config, "lock-sticky-spaces"),
                                       .trouble = lock_trouble,
                                       .arg = c};
    struct oz_buf owner = {0};

    oz_field_add(&owner, "node", c->id);
    oz_process_describe(&owner, c->handle);
    c->grants = oz_grants_new(c->session, c->dispatch, c->caller);
    options.grants = c->grants;
    options.owner = oz_buf_str(&owner);
    if (c->grants && !oz_buf_failed(&owner))
        c->locks = oz_locks_new(&options);
    oz_buf_free(&owner);
    return c->locks != NULL;
}

/* In this order they hear of the session: locks are lost before the mastership, and that before the membership. */
static bool make_parts(odezk_cluster *c, const odezk_config *config)
{
    struct oz_session_options session = {.config = config,
                                         .dispatch = c->dispatch,
                                         .port = &oz_zookeeper,
                                         .state = on_state,
                                         .refused = on_refused,
                                         .arg = c};
    struct oz_election_options election = {.root = c->root,
                                           .make = c->role != ODEZK_ROLE_CLIENT,
                                           .mastership = on_mastership,
                                           .leader = on_leader,
                                           .arg = c};
    struct oz_membership_options membership = {.root = c->root,
                                               .id = c->role == ODEZK_ROLE_CLIENT ? NULL : c->id,
                                               .handle = c->handle,
                                               .data = member_data,
                                               .ready = on_ready,
                                               .unready = on_unready,
                                               .changed = on_member,
                                               .viewed = on_viewed,
                                               .waiting = on_waiting,
                                               .refused = on_refused,
                                               .arg = c};
    struct oz_listener listener = {on_session, c};

    c->session = oz_session_new(&session);
    c->reaper = oz_reaper_new(config);
    if (!c->session || !c->reaper || !make_locks(c, config))
        return false;
    election.session = membership.session = c->session;
    c->election = oz_election_new(&election);
    c->membership = oz_membership_new(&membership);
    c->inbox = oz_inbox_new(c->session, c->root, on_inbox_read, on_request, c);
    oz_session_listen(c->session, &listener);
    return c->election && c->membership && c->inbox;
}

static int64_t process_start_ms(void)
{
    static _Atomic int64_t start; /* good enough for people: when the first handle was made */
    int64_t now = oz_wall_ms(), none = 0;

    return atomic_compare_exchange_strong(&start, &none, now) ? now : none;
}

static void set_log_level(const odezk_config *config)
{
    const char *level = odezk_config_get(config, "log-level");
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *source = odezk_config_source(config, "log-level");
    int i;

    if (source && strcmp(source, "default") != 0)
        for (i = 0; i < 4; i++)
            if (strcmp(level, names[i]) == 0)
                odezk_log_set_level((odezk_log_level)(i + 1));
}

static int settle(odezk_cluster *c, const odezk_config *config, odezk_role role)
{
    static _Atomic uint64_t handles;
    const char *base = odezk_config_get(config, "base"), *log4c = odezk_config_get(config, "log4c-file");
    pthread_condattr_t attr;
    int rc;

    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    oz_list_init(&c->subscriptions);
    oz_list_init(&c->tasks);
    c->role = role;
    c->forks = oz_fork_count();
    c->handle = atomic_fetch_add(&handles, 1) + 1;
    c->started_ms = process_start_ms();
    c->connect_ms = (int)odezk_config_number(config, "connect-timeout");
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
    c->caller = oz_dispatch_new("odezk-callback");
    if (!c->dispatch || !c->caller)
        return oz_fail(ODEZK_ESYSTEM, "no thread or descriptor to be had");
    if (!make_parts(c, config))
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

int odezk_cluster_new(const odezk_config *config, const odezk_cluster_options *options, odezk_cluster **out)
{
    static const odezk_cluster_options defaults = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_config *own = NULL;
    odezk_cluster *c;
    int rc;

    if (!options)
        options = &defaults;
    if (!out)
        return oz_fail(ODEZK_EINVAL, "no place for the handle was given");
    if (options->version != ODEZK_CLUSTER_OPTIONS_VERSION || (unsigned)options->role > ODEZK_ROLE_CLIENT)
        return oz_fail(ODEZK_EINVAL, "unknown options: version %u, role %d", options->version, (int)options->role);
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

static void deadline_in(struct timespec *t, int ms)
{
    clock_gettime(CLOCK_MONOTONIC, t);
    t->tv_sec += ms / 1000;
    t->tv_nsec += ms % 1000 * 1000000L;
    if (t->tv_nsec >= 1000000000L) {
        t->tv_sec++;
        t->tv_nsec -= 1000000000L;
    }
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
        return oz_fail(ODEZK_EUNREACHABLE, "no ZooKeeper server answered within %d ms", timeout_ms);
    if (c->waits_for[0])
        return oz_fail(ODEZK_ETIMEDOUT, "after %d ms the previous process with id %s (%s) still has a session",
                       timeout_ms, c->id, c->waits_for);
    return oz_fail(ODEZK_ETIMEDOUT, "not joined after %d ms", timeout_ms);
}

int odezk_cluster_join(odezk_cluster *cluster, int timeout_ms)
{
    struct timespec until;
    int rc = oz_cluster_check_blocking(cluster), waited = 0;

    if (rc == ODEZK_OK && timeout_ms < 0)
        rc = oz_fail(ODEZK_EINVAL, "a time of %d ms was given; 0 or more is allowed", timeout_ms);
    if (rc == ODEZK_OK)
        rc = oz_cluster_start(cluster);
    if (rc != ODEZK_OK)
        return rc;
    deadline_in(&until, timeout_ms);
    pthread_mutex_lock(&cluster->lock);
    while (!cluster->ready && !cluster->refused && !cluster->close_begun && waited == 0)
        waited = pthread_cond_timedwait(&cluster->changed, &cluster->lock, &until);
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

    if (c->active_tasks > 0) { /* one waits for its own timer, and ends there */
        oz_timer_set(oz_session_timers(c->session), &c->leave_timer, oz_now() + OZ_MS, session_closed, c);
        return;
    }
    oz_reaper_dismiss(c->reaper);
    on_state(c, ODEZK_SESSION_CLOSED, c->refused ? c->refusal : NULL);
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
static void do_close(odezk_cluster *c)
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
    oz_timer_set(oz_session_timers(c->session), &c->leave_timer, oz_now() + LEAVE_WITHIN, close_session, c);
    oz_membership_leave(c->membership, close_session, c);
}

static void close_arrived(struct oz_msg *msg)
{
    do_close(oz_container(msg, odezk_cluster, close_msg));
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

    if (rc != ODEZK_OK)
        return rc;
    if (!info || info->version != ODEZK_SESSION_INFO_VERSION)
        return oz_fail(ODEZK_EINVAL, "unknown version of the session information");
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
