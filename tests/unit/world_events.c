/* What the events of nodes tell, and whether that can be. */
#include "world_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void say(struct world_node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct world_node *node, const char *format, ...)
{
    size_t n = strlen(node->said);
    va_list args;

    if (n > 0 && n + 1 < sizeof node->said)
        node->said[n++] = ' ';
    va_start(args, format);
    vsnprintf(node->said + n, sizeof node->said - n, format, args);
    va_end(args);
}

bool world_said(struct world_node *node, const char *words)
{
    bool same = strcmp(node->said, words) == 0;

    if (!same)
        printf("\n    %s said \"%s\", expected \"%s\" ", node->id, node->said, words);
    node->said[0] = '\0';
    return same;
}

static struct world_member *find_member(struct world_node *node, const char *id)
{
    int i;

    for (i = 0; i < node->member_count; i++)
        if (strcmp(node->members[i].id, id) == 0)
            return &node->members[i];
    return NULL;
}

static void on_member(struct world_node *node, const odezk_event *e)
{
    struct world_member *member = find_member(node, e->id);
    static const char signs[] = {'+', '-', '*'};

    say(node, "%c%s#%d", signs[e->change], e->id, (int)e->incarnation);
    switch (e->change) {
    case ODEZK_MEMBER_JOINED:
        if (member || node->member_count == WORLD_NODES) {
            world_fail("%s: %s joined twice", node->id, e->id);
            return;
        }
        member = &node->members[node->member_count++];
        snprintf(member->id, sizeof member->id, "%s", e->id);
        member->incarnation = e->incarnation;
        break;
    case ODEZK_MEMBER_LEFT:
        if (!member || member->incarnation != e->incarnation)
            world_fail("%s: %s left, which was not there", node->id, e->id);
        else
            *member = node->members[--node->member_count];
        break;
    case ODEZK_MEMBER_RESTARTED:
        if (!member || member->incarnation == e->incarnation)
            world_fail("%s: %s restarted as what it was", node->id, e->id);
        else
            member->incarnation = e->incarnation;
        break;
    }
}

static void on_mastership(struct world_node *node, const odezk_event *e)
{
    if (e->held == node->mastership)
        world_fail("%s: its mastership %s twice", node->id, e->held ? "began" : "ended");
    if (e->held ? e->epoch <= node->epoch : e->epoch != node->epoch)
        world_fail("%s: mastership %d of epoch %" PRId64 " after %" PRId64, node->id, e->held, e->epoch, node->epoch);
    if (!e->held && !e->reason)
        world_fail("%s: a mastership ended without a reason", node->id);
    say(node, "%s", e->held ? "held" : e->reason ? e->reason : "");
    node->mastership = e->held;
    world.counts.masterships += e->held;
    node->epoch = e->epoch;
}

static void on_master(struct world_node *node, const odezk_event *e)
{
    say(node, "master:%s", e->id ? e->id : "");
    snprintf(node->master, sizeof node->master, "%s", e->id ? e->id : "");
    node->master_epoch = e->epoch;
    if (e->id && e->epoch < node->newest_epoch)
        world_fail("%s: sees the master of epoch %" PRId64 " after %" PRId64, node->id, e->epoch, node->newest_epoch);
    if (e->id)
        node->newest_epoch = e->epoch;
}

static void on_session(struct world_node *node, const odezk_event *e)
{
    static const bool follows[5][5] = {/* from, to */
                                       {true, true, false, true, true},
                                       {false, false, true, true, true},
                                       {false, true, false, true, true},
                                       {true, true, false, false, true},
                                       {false, false, false, false, false}};

    if (!follows[node->state][e->state])
        world_fail("%s: the session is %s after %s", node->id, odezk_session_state_name(e->state),
                   odezk_session_state_name(node->state));
    if (e->generation < node->generation)
        world_fail("%s: the generation went back", node->id);
    say(node, "%s", odezk_session_state_name(e->state));
    world.counts.sessions += e->generation > node->generation;
    node->state = e->state;
    node->generation = e->generation;
}

void world_on_event(odezk_cluster *cluster, const odezk_event *e, void *arg)
{
    struct world_node *node = arg;

    (void)cluster;
    switch (e->type) {
    case ODEZK_EVENT_SESSION:
        on_session(node, e);
        break;
    case ODEZK_EVENT_READY:
        say(node, "ready#%d", (int)e->incarnation);
        node->readies++;
        world.counts.joins++;
        node->incarnation = e->incarnation;
        break;
    case ODEZK_EVENT_MEMBER:
        on_member(node, e);
        break;
    case ODEZK_EVENT_MASTER:
        on_master(node, e);
        break;
    case ODEZK_EVENT_MASTERSHIP:
        on_mastership(node, e);
        break;
    case ODEZK_EVENT_REFUSED:
        say(node, "refused");
        node->refused = e->error;
        snprintf(node->refusal, sizeof node->refusal, "%s", e->reason);
        break;
    default:
        world_fail("%s: an unknown event %d", node->id, (int)e->type);
    }
}
