/* A random walk: nodes that start, stop, crash, lock and resign on a network that fails in every
 * way it can. What must always hold is checked at every step; in the end all heals, everybody
 * agrees, and nothing is left.
 *
 * test_walk [RUNS [FIRST-SEED]]; a failure names the seed that repeats it: test_walk 1 SEED */
#include "world.h"

#include "base/clock.h"
#include "base/mem.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS 5
#define ACTIONS 100
#define RUNS 1000

static long runs = RUNS, first_seed = 1;
static unsigned ids; /* in this run */

/* ---- picking ---- */

static struct world_node *picked;
static unsigned seen;

static void pick_node(struct world_node *node)
{
    if (world_random(++seen) == 0)
        picked = node;
}

static struct world_node *any_node(void)
{
    picked = NULL;
    seen = 0;
    world_each(pick_node);
    return picked;
}

static struct world_attempt *picked_attempt;

static void pick_attempt(struct world_attempt *a)
{
    if (world_random(++seen) == 0)
        picked_attempt = a;
}

static struct world_attempt *any_attempt(void)
{
    picked_attempt = NULL;
    seen = 0;
    world_each_attempt(pick_attempt);
    return picked_attempt;
}

static int used_slots;

static void note_slot(struct world_node *node)
{
    used_slots |= 1 << node->slot;
}

static int free_slot(void)
{
    int slot = 1;

    used_slots = 0;
    world_each(note_slot);
    while (used_slots & 1 << slot)
        slot++;
    return slot;
}

static const char *wanted;
static bool taken;
static int handles;

static void note_id(struct world_node *node)
{
    handles++;
    taken |= !node->crashed && strcmp(node->id, wanted) == 0;
}

/* ---- actions ---- */

static void start_node(void)
{
    static const char *const names[IDS] = {"a", "b", "c", "d", "e"};
    static const odezk_role roles[] = {ODEZK_ROLE_MEMBER, ODEZK_ROLE_MEMBER,   ODEZK_ROLE_MEMBER,
                                       ODEZK_ROLE_MEMBER, ODEZK_ROLE_OBSERVER, ODEZK_ROLE_CLIENT};
    odezk_role role = roles[world_random(6)];
    struct world_node *node;
    char servers[64];
    int slot;

    wanted = names[world_random(ids)];
    taken = false;
    handles = 0;
    world_each(note_id);
    if (taken || handles >= WORLD_NODES - 2)
        return;
    slot = free_slot();
    snprintf(servers, sizeof servers, "127.0.0.1:%d,127.0.0.2:%d", slot, slot);
    node = world_random(2) ? world_node(wanted, role, slot) : world_node_with(wanted, role, slot, servers);
    if (node)
        world_start(node);
}

static void free_closed(struct world_node *node)
{
    if (!node->crashed && world_is_closed(node))
        world_free(node);
}

static int64_t some_time(void)
{
    return world_random(WORLD_TIMEOUT * 3 / 2) * OZ_MS;
}

static void disturb(struct world_node *node)
{
    if (node->crashed)
        return;
    switch (world_random(8)) {
    case 0:
    case 1:
        fake_cut(node->slot, some_time(), world_random(2));
        break;
    case 2:
        fake_stop(node->slot, some_time());
        break;
    case 3:
        fake_hold(node->slot, some_time() / 4);
        break;
    case 4:
        fake_lag(node->slot, some_time() / 4);
        break;
    case 5:
        fake_spurious(node->slot);
        break;
    case 6:
        fake_expire(node->slot);
        break;
    case 7:
        fake_heal(node->slot);
        break;
    }
}

static void use_lock(struct world_node *node)
{
    static const char *const keys[] = {"x", "y"};
    static const int waits[] = {0, 60, 300, 3000, 20000};
    struct world_attempt *a = any_attempt();

    if (world_random(2) && !node->crashed)
        world_lock(node, keys[world_random(2)], waits[world_random(5)]);
    else if (a && a->done)
        world_drop(a);
    else if (a && world_random(4) == 0)
        odezk_lock_cancel(a->request);
}

static void end_node(struct world_node *node)
{
    if (node->crashed)
        return;
    if (world_random(2))
        world_crash(node);
    else
        world_begin_close(node);
}

static void set_trap(void)
{
    if (world_random(4) == 0)
        oz_mem_fail_at(1 + world_random(200));
    else
        fake_set_fault(0, 1 + world_random(20), (enum fake_fault)(1 + world_random(FAKE_FAULTS - 1)));
}

static void remove_member(void)
{
    char *name = fake_child(WORLD_ROOT "/members", (int)world_random(3)), path[200];

    if (!name)
        return;
    snprintf(path, sizeof path, WORLD_ROOT "/members/%s", name);
    fake_delete(path);
    free(name);
}

static void act(void)
{
    unsigned choice = world_random(100);
    struct world_node *node = any_node();

    if (!node || choice < 12)
        start_node();
    else if (choice < 20)
        end_node(node);
    else if (choice < 40)
        disturb(node);
    else if (choice < 75)
        use_lock(node);
    else if (choice < 80)
        odezk_resign(node->cluster);
    else if (choice < 90)
        set_trap();
    else if (choice < 92)
        world_jump(world_random(WORLD_TIMEOUT * 5 / 4));
    else if (choice < 94)
        remove_member();
    else if (choice < 96)
        fake_set_lost_close(world_random(2));
    else
        fake_set_disconnect_first(world_random(2));
}

/* ---- a run ---- */

static void heal(struct world_node *node)
{
    if (!node->crashed)
        fake_heal(node->slot);
}

static bool attempts_left;

static void look_at_attempt(struct world_attempt *a)
{
    if (a->node->crashed)
        return;
    if (a->done)
        world_drop(a);
    else
        attempts_left = true;
}

static bool no_attempts(void *unused)
{
    (void)unused;
    attempts_left = false;
    world_each_attempt(look_at_attempt);
    return !attempts_left;
}

static void check_not_refused(struct world_node *node)
{
    if (node->refused)
        world_fail("%s: refused: %s", node->id, node->refusal);
}

static bool nobody_queues(void *unused)
{
    (void)unused;
    return fake_ephemerals(WORLD_ROOT "/queue/") == 0;
}

static void run(long seed)
{
    int i;

    world_context("seed %ld", seed);
    world_begin((uint64_t)seed);
    world_set_chaos(true);
    ids = 3 + world_random(IDS - 2);
    for (i = 0; i < ACTIONS && !world_failed(); i++) {
        act();
        world_pass(world_random(5) ? world_random(60) : world_random(1500));
        world_each(free_closed);
    }
    oz_mem_fail_at(0);
    fake_set_fault(0, 0, FAKE_NONE);
    fake_set_lost_close(false);
    world_set_chaos(false);
    world_each(heal);
    if (!world_failed() && !world_wait(no_attempts, NULL, 60000))
        world_fail("an attempt to lock does not end");
    world_each(free_closed);
    if (!world_failed() && !world_wait(world_is_settled, NULL, 10 * WORLD_TIMEOUT))
        world_explain();
    if (!world_failed() && !world_wait(nobody_queues, NULL, 2 * WORLD_TIMEOUT)) {
        world_fail("nobody waits, and a queue is not empty");
        fake_print();
    }
    world_each(check_not_refused);
    world_clean();
    world_end();
}

static void test_walk(void)
{
    const struct world_counts *n = world_counts();
    long seed;

    for (seed = first_seed; seed < first_seed + runs && world_failures() < 10; seed++)
        run(seed);
    printf("%ld sessions, %ld joins, %ld masterships, %ld grants, %ld of them lost: ", n->sessions, n->joins,
           n->masterships, n->grants, n->losses);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;
    unsigned failed;

    if (argc > 1)
        runs = atol(argv[1]);
    if (argc > 2)
        first_seed = atol(argv[2]);
    world_open();
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("walk", NULL, NULL);
    CU_add_test(suite, "a random walk", test_walk);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_failure_records();
    CU_cleanup_registry();
    world_close();
    return failed ? 1 : 0;
}
