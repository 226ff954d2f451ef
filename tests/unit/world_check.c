/* What must always hold, and what holds when all is settled. */
#include "world_internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what must always hold ---- */

static void check_masters(void)
{
    const struct world_node *master = NULL;
    int64_t epoch = 0;
    int i;

    for (i = 0; i < WORLD_NODES; i++) {
        const struct world_node *node = &world.nodes[i];

        if (!node->cluster || !odezk_is_master(node->cluster, &epoch) || fake_is_doomed(node->slot))
            continue;
        if (master)
            world_fail("two masters: %s and %s", master->id, node->id);
        master = node;
        if (epoch < world.newest_epoch)
            world_fail("%s is master in epoch %" PRId64 ", after %" PRId64, node->id, epoch, world.newest_epoch);
        world.newest_epoch = epoch;
    }
}

static void check_holders(const struct world_attempt *a, const struct world_attempt *b)
{
    if (strcmp(a->key, b->key) == 0 && !fake_is_doomed(a->node->slot) && !fake_is_doomed(b->node->slot))
        world_fail("two holders of %s: %s and %s", a->key, a->node->id, b->node->id);
}

static void check_locks(void)
{
    const struct world_attempt *holders[WORLD_ATTEMPTS];
    int count = 0, i, k;

    for (i = 0; i < WORLD_ATTEMPTS; i++)
        if (world_holds(&world.attempts[i]))
            holders[count++] = &world.attempts[i];
    for (i = 0; i < count; i++)
        for (k = 0; k < i; k++)
            check_holders(holders[i], holders[k]);
}

/* Should the follower die at this moment, without another word to its leader, the session must
 * outlive the lease. */
static void check_lease(const struct world_node *node)
{
    int64_t lease = oz_session_lease_end(node->cluster->session), end = fake_session_end(node->slot);

    if (lease && end != OZ_NEVER && lease + WORLD_TIMEOUT * OZ_MS / 40 > end)
        world_fail("%s: its lease ends %" PRId64 " us too late", node->id,
                   (lease + WORLD_TIMEOUT * OZ_MS / 40 - end) / 1000);
}

void world_check(void)
{
    int i;

    for (i = 0; i < WORLD_NODES; i++)
        if (world.nodes[i].cluster)
            check_lease(&world.nodes[i]);
    check_masters();
    check_locks();
}

/* ---- what holds when all is settled ---- */

static bool is_live(const struct world_node *node)
{
    return node->cluster && node->started && !node->crashed && !node->refused && node->state != ODEZK_SESSION_CLOSED;
}

static const char *trouble_of(struct world_node *node, int live, const struct world_node *master)
{
    odezk_master seen;
    odezk_node_list *list = NULL;
    size_t count;

    if (node->state != ODEZK_SESSION_CONNECTED)
        return "not connected";
    if (!node->cluster->ready)
        return "not ready";
    if (node->member_count != live)
        return "sees other members";
    if (odezk_members(node->cluster, &list) != ODEZK_OK)
        return "out of memory";
    count = list->count;
    odezk_node_list_free(list);
    if (count != (size_t)live)
        return "lists other members";
    if (odezk_get_master(node->cluster, &seen) != ODEZK_OK || strcmp(seen.id, master ? master->id : "") != 0 ||
        strcmp(node->master, seen.id) != 0)
        return "sees another master";
    if (odezk_is_master(node->cluster, NULL) != node->mastership)
        return "is in doubt about its mastership";
    return NULL;
}

static const char *trouble(const char **who)
{
    struct world_node *master = world_master();
    bool candidates = false;
    int live = 0, i;

    *who = "cluster";
    for (i = 0; i < WORLD_NODES; i++)
        if (is_live(&world.nodes[i])) {
            live += world.nodes[i].role != ODEZK_ROLE_CLIENT;
            candidates |= world.nodes[i].role == ODEZK_ROLE_MEMBER;
        }
    if (candidates && !master)
        return "has no master";
    for (i = 0; i < WORLD_NODES; i++) {
        const char *what;

        if (!is_live(&world.nodes[i]))
            continue;
        *who = world.nodes[i].id;
        what = trouble_of(&world.nodes[i], live, master);
        if (what)
            return what;
    }
    return NULL;
}

bool world_is_settled(void *unused)
{
    const char *who;

    (void)unused;
    return trouble(&who) == NULL;
}

static void describe(struct world_node *node)
{
    int i;

    printf("\n    %s: slot %d, %s, generation %d,%s%s%s sees", node->id, node->slot,
           odezk_session_state_name(node->state), (int)node->generation, node->crashed ? " crashed," : "",
           node->cluster->ready ? " ready," : "", odezk_is_master(node->cluster, NULL) ? " master," : "");
    for (i = 0; i < node->member_count; i++)
        printf(" %s#%d", node->members[i].id, (int)node->members[i].incarnation);
    printf(", master %s", node->master);
}

void world_explain(void)
{
    const char *who, *what = trouble(&who);

    if (!what)
        return;
    world_fail("%s %s", who, what);
    world_each(describe);
    fake_print();
}
