/* The parts of a handle: making them, and passing on what one of them reports to the others. All but the making runs on
 * the dispatcher. */
#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "recipe/process.h"
#include "znode/fields.h"
#include "znode/paths.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the parts tell ---- */

void oz_parts_state(odezk_cluster *c, odezk_session_state state, const char *why)
{
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

static void on_state(void *arg, odezk_session_state state, const char *why)
{
    oz_parts_state(arg, state, why);
}

static void on_refused(void *arg, int error, const char *why)
{
    odezk_cluster *c = arg;

    if (c->closing)
        return;
    oz_warn("cluster", "refused: %s", why);
    pthread_mutex_lock(&c->lock);
    c->refused = error;
    snprintf(c->refusal, sizeof c->refusal, "%s", why);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oz_emit(c, &(odezk_event){.type = ODEZK_EVENT_REFUSED, .reason = c->refusal, .error = error});
    oz_tasks_go(c, error);
    oz_cluster_end(c);
}

static void on_session(void *self, enum oz_session_event event)
{
    odezk_cluster *c = self;

    if (event == OZ_UP || event == OZ_RESUMED) /* after a resume the servers may have changed */
        oz_reaper_session(c->reaper, oz_session_identity(c->session), oz_session_hosts(c->session));
    if (event == OZ_RESUMED)
        oz_inbox_look(c->inbox);
    if (event == OZ_UP || event == OZ_RESUMED)
        oz_tasks_go(c, 0);
}

static void on_ready(void *arg, const struct oz_node *self)
{
    odezk_cluster *c = arg;
    int64_t incarnation = oz_incarnation(self->seq);
    char name[OZ_MEMBER_NAME_SIZE], *path;

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
    path = oz_path_member(c->root, name);
    oz_reaper_member(c->reaper, path); /* out of memory, the helper has none to look after */
    free(path);
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
    c->remains = c->remains || change != ODEZK_MEMBER_JOINED;
}

/* The master is the node that `leader` names, while that incarnation of it is a member. */
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
        oz_session_later(c->session, &c->view_timer, OZ_RETRY_AFTER, publish_view, c);
}

static void on_viewed(void *arg)
{
    odezk_cluster *c = arg;

    publish_view(c);
    find_master(c);
    if (c->remains && oz_election_epoch(c->election)) /* once for all that left together */
        oz_inbox_sweep(c->inbox);
    c->remains = false;
}

static void on_waiting(void *arg, const char *former)
{
    odezk_cluster *c = arg;

    oz_warn("member", "waiting for the previous process with id %s to end (%s)", c->id, former);
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
        oz_inbox_sweep(c->inbox);
}

/* From now on others can ask this node for a lock, so it may keep those that nobody wants. */
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

/* Listeners are called in the order in which they are added: locks are lost first, then the mastership, then the
 * membership. */
bool oz_parts_make(odezk_cluster *c, const odezk_config *config)
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
