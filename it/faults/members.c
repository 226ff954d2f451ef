/* Who saw whom come and go: each death once, by every survivor, and nobody who lives. */
#include "faults.h"

#include <odezk/odezk.h>
#include <stdlib.h>
#include <string.h>

/* One life of one id in the cluster. */
struct incarnation {
    int node;
    int64_t number;
    int64_t killed;                  /* when its process was killed; 0 */
    bool helpless;                   /* and its helper before it */
    int64_t gone_for[NODES_MAX + 1]; /* the handle of each node that saw it go; 0 */
};

static struct incarnation *incarnations;
static int count, size;
static struct times calm, disturbed;

long living_changes;

static struct incarnation *find(int node, int64_t number)
{
    struct incarnation *i;

    for (int k = count - 1; k >= 0; k--)
        if (incarnations[k].node == node && incarnations[k].number == number)
            return &incarnations[k];
    if (count == size) {
        size = size ? 2 * size : 256;
        incarnations = realloc(incarnations, (size_t)size * sizeof *incarnations);
        if (!incarnations)
            abort();
    }
    i = &incarnations[count++];
    *i = (struct incarnation){.node = node, .number = number};
    return i;
}

/* Tells the handles of a node apart, over its processes. */
static int64_t handle_of(const struct node *n)
{
    return (int64_t)n->life << 20 | n->seen.handle;
}

void members_forget(int node, int handle)
{
    struct seen *seen = &nodes[node].seen;

    *seen = (struct seen){.handle = handle, .incarnation = NOBODY};
    for (int i = 0; i <= NODES_MAX; i++)
        seen->view[i] = NOBODY;
}

/* ---- events ---- */

static void saw_going(struct node *n, int node, int64_t number, int64_t time)
{
    struct incarnation *i = find(node, number);

    if (i->gone_for[n->number] == handle_of(n))
        violation(CHECK_TWICE, "n%d saw the end of n%d, incarnation %lld, twice", n->number, node, (long long)number);
    i->gone_for[n->number] = handle_of(n);
    if (!i->killed)
        return;
    if (!i->helpless && n->calm_since < i->killed && servers_calm_since < i->killed)
        times_add(&calm, time - i->killed);
    else
        times_add(&disturbed, time - i->killed);
}

static void saw_coming(struct node *n, int node, int64_t number)
{
    struct incarnation *i = find(node, number);

    if (i->gone_for[n->number] == handle_of(n))
        violation(CHECK_LIVING, "n%d saw n%d, incarnation %lld, leave and come back", n->number, node,
                  (long long)number);
}

static void saw_member(struct node *n, const struct event *e)
{
    int64_t before = n->seen.view[e->node];
    bool was_there = e->detail != ODEZK_MEMBER_JOINED;

    if (nodes[e->node].record && !nodes[e->node].leaves)
        living_changes++;
    if (was_there != (before != NOBODY) || (e->detail == ODEZK_MEMBER_LEFT && before != e->incarnation))
        violation(CHECK_TWICE, "n%d saw n%d, incarnation %lld: %s, though it knew of incarnation %lld", n->number,
                  e->node, (long long)e->incarnation, odezk_member_change_name((odezk_member_change)e->detail),
                  (long long)before);
    if (before != NOBODY)
        saw_going(n, e->node, before, e->time);
    n->seen.view[e->node] = e->detail == ODEZK_MEMBER_LEFT ? NOBODY : e->incarnation;
    if (e->detail != ODEZK_MEMBER_LEFT)
        saw_coming(n, e->node, e->incarnation);
}

void members_event(int node, const struct event *e)
{
    struct node *n = &nodes[node];

    if (e->handle != n->seen.handle)
        members_forget(node, e->handle);
    switch (e->type) {
    case EVENT_SESSION:
        n->seen.session = e->detail;
        if (e->detail == ODEZK_SESSION_LOST || e->detail == ODEZK_SESSION_CLOSED)
            n->seen.incarnation = NOBODY;
        break;
    case EVENT_READY:
        n->seen.incarnation = e->incarnation;
        break;
    case EVENT_MEMBER:
        if (e->node >= 1 && e->node <= options.nodes)
            saw_member(n, e);
        break;
    case EVENT_MASTER:
        n->seen.master = e->node;
        n->seen.epoch = e->epoch;
        break;
    case EVENT_REFUSED:
        say("n%d was refused", node);
        n->seen.incarnation = NOBODY;
        break;
    default:
        break;
    }
}

void members_killed(int node, int64_t time)
{
    struct incarnation *i;

    if (nodes[node].seen.incarnation == NOBODY)
        return;
    i = find(node, nodes[node].seen.incarnation);
    i->killed = time;
    i->helpless = nodes[node].helpless;
}

void members_left(int node)
{
    nodes[node].seen.incarnation = NOBODY;
}

/* ---- at rest ---- */

static bool agrees(const struct node *n)
{
    int64_t epoch = 0;

    if (n->seen.session != ODEZK_SESSION_CONNECTED || n->seen.incarnation == NOBODY)
        return false;
    for (int i = 1; i <= options.nodes; i++)
        if (n->seen.view[i] != nodes[i].seen.incarnation)
            return false;
    return n->seen.master == claiming_master(&epoch) && n->seen.epoch == epoch && epoch != 0;
}

bool members_agree(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record && !agrees(&nodes[i]))
            return false;
    return true;
}

void members_tell_disagreement(void)
{
    int64_t epoch = 0;
    int master = claiming_master(&epoch);

    say("master: n%d, epoch %lld", master, (long long)epoch);
    for (int i = 1; i <= options.nodes; i++) {
        const struct node *n = &nodes[i];

        if (!n->record)
            continue;
        say("n%d: session %s, incarnation %lld, phase %d, sees master n%d, epoch %lld, and n1 "
            "%lld, n2 %lld, n3 %lld, "
            "n4 %lld, n5 %lld",
            i, odezk_session_state_name((odezk_session_state)n->seen.session), (long long)n->seen.incarnation,
            n->record->phase, n->seen.master, (long long)n->seen.epoch, (long long)n->seen.view[1],
            (long long)n->seen.view[2], (long long)n->seen.view[3], (long long)n->seen.view[4],
            (long long)n->seen.view[5]);
    }
}

/* Who is seen though it is no more? */
static void check_view(const struct node *n)
{
    for (int i = 1; i <= options.nodes; i++)
        if (n->seen.view[i] != NOBODY && n->seen.view[i] != nodes[i].seen.incarnation)
            violation(CHECK_UNNOTICED, "n%d still sees n%d, incarnation %lld", n->number, i,
                      (long long)n->seen.view[i]);
}

/* Who lives though somebody saw it go? */
static void check_living(const struct node *n)
{
    struct incarnation *i;

    if (n->seen.incarnation == NOBODY)
        return;
    i = find(n->number, n->seen.incarnation);
    for (int k = 1; k <= options.nodes; k++) {
        if (i->gone_for[k])
            violation(CHECK_LIVING, "n%d saw n%d, incarnation %lld, go, and it lives", k, n->number,
                      (long long)i->number);
        i->gone_for[k] = 0;
    }
}

void members_check(void)
{
    for (int i = 1; i <= options.nodes; i++)
        if (nodes[i].record) {
            check_view(&nodes[i]);
            check_living(&nodes[i]);
        }
}

void members_report(void)
{
    times_print(&calm, "kill -> noticed by another node, nothing else amiss");
    times_print(&disturbed, "kill -> noticed by another node, with other faults");
}
