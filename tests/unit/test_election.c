/* Election: one master, the next one in line, and everybody knows. */
#include "check.h"
#include "world.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELECTION WORLD_ROOT "/election"
#define LEADER WORLD_ROOT "/leader"
#define MOST 6

static struct world_node *nodes[MOST];

static void begin(int count)
{
    static const char *const ids[MOST] = {"a", "b", "c", "d", "e", "f"};
    int i;

    world_begin(1);
    for (i = 0; i < count; i++)
        nodes[i] = world_join(ids[i], ODEZK_ROLE_MEMBER, i + 1);
    for (i = 0; i < count; i++)
        nodes[i]->said[0] = '\0';
}

static void end(void)
{
    world_clean();
    CU_ASSERT_FALSE(world_failed());
    world_end();
}

static bool settle(void)
{
    return world_wait(world_is_settled, NULL, 10 * WORLD_TIMEOUT);
}

static bool is_master(const struct world_node *node)
{
    int64_t epoch = -1;
    bool master = odezk_is_master(node->cluster, &epoch);

    CU_ASSERT_EQUAL(epoch, master ? node->epoch : -1); /* untouched when the answer is no */
    return master;
}

/* ---- */

static void test_first_comes_first(void)
{
    char *leader, expected[100], *seat, path[100];
    struct oz_znode_stat stat;
    odezk_master master;
    int i;

    begin(3);
    CU_ASSERT_TRUE(is_master(nodes[0]));
    CU_ASSERT_FALSE(is_master(nodes[1]));
    seat = fake_child(ELECTION, 0);
    snprintf(path, sizeof path, ELECTION "/%s", seat);
    CU_ASSERT_TRUE(fake_stat(path, &stat));
    CU_ASSERT_EQUAL(nodes[0]->epoch, stat.czxid);
    snprintf(expected, sizeof expected, "node=a\nincarnation=0\nepoch=%" PRId64 "\n", stat.czxid);
    leader = fake_data(LEADER);
    CU_ASSERT_STRING_EQUAL(leader, expected);
    for (i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(odezk_get_master(nodes[i]->cluster, &master), ODEZK_OK);
        CU_ASSERT_STRING_EQUAL(master.id, "a");
        CU_ASSERT_EQUAL(master.incarnation, 0);
        CU_ASSERT_EQUAL(master.epoch, stat.czxid);
    }
    free(seat);
    free(leader);
    end();
}

static void test_succession(void)
{
    int64_t epoch = 0;
    int i;

    begin(4);
    for (i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(is_master(nodes[i]));
        CU_ASSERT_TRUE(nodes[i]->epoch > epoch);
        epoch = nodes[i]->epoch;
        world_free(nodes[i]);
        CU_ASSERT_TRUE(settle());
    }
    CU_ASSERT_TRUE(is_master(nodes[3]));
    end();
}

/* The one in the middle goes: the next watches further on, and nobody becomes master twice. */
static void test_middle_leaves(void)
{
    begin(3);
    world_free(nodes[1]);
    world_pass(1000);
    CU_ASSERT_TRUE(is_master(nodes[0]));
    world_free(nodes[0]);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[2]));
    end();
}

/* Whoever is not next in line asks for no more than who is there and who is master. */
static void test_no_herd(void)
{
    long before, after;
    int i;

    begin(MOST);
    for (i = 0; i < MOST; i++)
        CU_ASSERT_TRUE(fake_watches(i + 1) <= 4);
    world_pass(50);
    world_crash(nodes[0]);
    world_pass(100);
    before = fake_requests();
    while (!is_master(nodes[1]))
        world_turn(OZ_NEVER);
    world_pass(50);
    after = fake_requests();
    /* Each a list of members and a read of `leader`, and in a timeout its six lease writes with as
     * many syncs; the next one some more. */
    CU_ASSERT_TRUE(after - before <= (MOST - 1) * (2 + 12) + 12);
    for (i = 1; i < MOST; i++)
        CU_ASSERT_TRUE(fake_watches(i + 1) <= 4);
    end();
}

static void test_crash(void)
{
    int64_t from;

    begin(2);
    world_pass(3000);
    world_crash(nodes[0]);
    from = oz_now();
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[1]));
    CU_ASSERT_TRUE(oz_now() - from <= (WORLD_TIMEOUT + WORLD_TIMEOUT / 10) * OZ_MS);
    end();
}

static void test_short_disconnection(void)
{
    int64_t epoch;

    begin(2);
    epoch = nodes[0]->epoch;
    fake_cut(1, WORLD_TIMEOUT / 2 * OZ_MS, false);
    world_pass(WORLD_TIMEOUT);
    CU_ASSERT_TRUE(is_master(nodes[0]));
    CU_ASSERT_EQUAL(nodes[0]->epoch, epoch);
    CU_ASSERT_TRUE(world_said(nodes[0], "suspended connected"));
    CU_ASSERT_TRUE(world_said(nodes[1], ""));
    end();
}

static void test_lapse(void)
{
    begin(2);
    world_pass(3000);
    fake_cut(1, WORLD_TIMEOUT * 85 / 100 * OZ_MS, false);
    world_pass(3 * WORLD_TIMEOUT);
    CU_ASSERT_TRUE(is_master(nodes[1]));
    CU_ASSERT_TRUE(world_said(nodes[0], "suspended lease connected master: master:b"));
    end();
}

static void test_expiry(void)
{
    begin(1);
    fake_expire(1);
    world_pass(100);
    CU_ASSERT_NSTRING_EQUAL(nodes[0]->said, "suspended session lost", 22);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[0]));
    end();
}

/* ---- resigning ---- */

static void test_resign(void)
{
    begin(3);
    CU_ASSERT_EQUAL(odezk_resign(nodes[1]->cluster), ODEZK_ENOTHELD);
    CU_ASSERT_EQUAL(odezk_resign(nodes[0]->cluster), ODEZK_OK);
    CU_ASSERT_FALSE(odezk_is_master(nodes[0]->cluster, NULL)); /* on return */
    CU_ASSERT_EQUAL(odezk_resign(nodes[0]->cluster), ODEZK_ENOTHELD);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[1]));
    CU_ASSERT_NSTRING_EQUAL(nodes[0]->said, "resigned", 8);
    CU_ASSERT_EQUAL(odezk_resign(nodes[1]->cluster), ODEZK_OK);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[2])); /* the first one is behind all others */
    end();
}

static void test_resign_alone(void)
{
    int64_t epoch;
    int i;

    begin(1);
    for (i = 0; i < 5; i++) {
        epoch = nodes[0]->epoch;
        CU_ASSERT_EQUAL(odezk_resign(nodes[0]->cluster), ODEZK_OK);
        CU_ASSERT_TRUE(settle());
        CU_ASSERT_TRUE(is_master(nodes[0]));
        CU_ASSERT_TRUE(nodes[0]->epoch > epoch);
    }
    end();
}

static void test_asked_to_resign(void)
{
    int64_t other;

    begin(2);
    other = fake_foreign_session();
    CU_ASSERT_TRUE(fake_create(WORLD_ROOT "/inbox/a#0000000000/resign", "", other));
    CU_ASSERT_TRUE(fake_create(WORLD_ROOT "/inbox/b#0000000001/resign", "", other)); /* it is not master */
    world_pass(100);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[1]));
    CU_ASSERT_EQUAL(fake_below(WORLD_ROOT "/inbox"), 2);
    end();
}

/* While it is cut off: the others are told when the connection is back. */
static void test_resign_while_cut_off(void)
{
    begin(2);
    fake_cut(1, 500 * OZ_MS, false);
    world_pass(100);
    CU_ASSERT_EQUAL(odezk_resign(nodes[0]->cluster), ODEZK_OK);
    world_pass(300);
    CU_ASSERT_PTR_NULL(world_master());
    world_pass(300);
    CU_ASSERT_TRUE(is_master(nodes[1]));
    CU_ASSERT_TRUE(settle());
    end();
}

/* ---- observers ---- */

static void test_observer(void)
{
    struct world_node *observer;

    world_begin(1);
    observer = world_join("o", ODEZK_ROLE_OBSERVER, 1);
    world_pass(3000);
    CU_ASSERT_PTR_NULL(world_master());
    CU_ASSERT_EQUAL(fake_count(ELECTION), 0);
    CU_ASSERT_EQUAL(odezk_resign(observer->cluster), ODEZK_ENOTHELD);
    world_join("a", ODEZK_ROLE_MEMBER, 2);
    CU_ASSERT_STRING_EQUAL(observer->master, "a");
    end();
}

/* ---- foreign hands ---- */

static void remove_seat(int i)
{
    char *name = fake_child(ELECTION, i), path[100];

    snprintf(path, sizeof path, ELECTION "/%s", name);
    CU_ASSERT_TRUE(fake_delete(path));
    free(name);
}

static void test_seat_removed(void)
{
    begin(1);
    remove_seat(0);
    world_pass(100);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_NSTRING_EQUAL(nodes[0]->said, "removed", 7);
    CU_ASSERT_TRUE(is_master(nodes[0]));
    end();
    begin(3);
    remove_seat(1); /* of one that waits: it finds out when its turn would be */
    world_pass(1000);
    CU_ASSERT_TRUE(is_master(nodes[0]));
    world_free(nodes[0]);
    CU_ASSERT_TRUE(settle());
    end();
}

static void test_leader_removed(void)
{
    begin(2);
    CU_ASSERT_TRUE(fake_delete(LEADER));
    world_pass(1000);
    CU_ASSERT_TRUE(fake_exists(LEADER));
    world_free(nodes[0]);
    CU_ASSERT_TRUE(fake_delete(LEADER));
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_TRUE(is_master(nodes[1]));
    end();
}

/* Whatever stands there. */
static void test_leader_is_junk(void)
{
    static const char *const junk[] = {"", "node", "node=\n", "node=a\nepoch=x\n", "node=%zz\n", "\n\n=\n"};
    odezk_master master;
    size_t i;

    begin(1);
    for (i = 0; i < sizeof junk / sizeof *junk; i++) {
        fake_set(LEADER, junk[i]);
        world_pass(100);
        CU_ASSERT_EQUAL(odezk_get_master(nodes[0]->cluster, &master), ODEZK_OK);
        CU_ASSERT_TRUE(!master.id[0] || strcmp(master.id, "a") == 0);
        nodes[0]->newest_epoch = 0;
    }
    end();
}

/* A master that is none: `leader` names one who is not there any more, or another life of it. */
static void test_leader_of_former_days(void)
{
    odezk_master master;

    world_begin(1);
    fake_create(LEADER, "node=ghost\nincarnation=3\nepoch=5\n", 0);
    fake_create(WORLD_ROOT "/members", "", 0);
    nodes[0] = world_node("o", ODEZK_ROLE_OBSERVER, 1);
    world_start(nodes[0]);
    world_pass(1000);
    CU_ASSERT_EQUAL(odezk_get_master(nodes[0]->cluster, &master), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(master.id, "");
    CU_ASSERT_EQUAL(master.epoch, 0);
    fake_create(WORLD_ROOT "/members/ghost#0000000004", "", fake_foreign_session());
    world_pass(1000);
    CU_ASSERT_EQUAL(odezk_get_master(nodes[0]->cluster, &master), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(master.id, "");
    fake_set(LEADER, "node=ghost\nincarnation=4\nepoch=5\n");
    world_pass(1000);
    CU_ASSERT_EQUAL(odezk_get_master(nodes[0]->cluster, &master), ODEZK_OK);
    CU_ASSERT_STRING_EQUAL(master.id, "ghost");
    fake_delete(WORLD_ROOT "/members/ghost#0000000004");
    end();
}

/* The servers refuse seats for a while: it goes on trying. */
static void test_forbidden_for_a_while(void)
{
    world_begin(1);
    fake_set_denied(ELECTION, OZ_DENIED);
    nodes[0] = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(nodes[0]);
    world_pass(3000);
    CU_ASSERT_TRUE(nodes[0]->readies == 1 && !nodes[0]->mastership);
    fake_set_denied(NULL, OZ_OK);
    CU_ASSERT_TRUE(settle());
    end();
}

static char *seat_path(int i)
{
    char *name = fake_child(ELECTION, i), *path = oz_format(ELECTION "/%s", name);

    free(name);
    return path;
}

static bool leader_is(const char *id)
{
    char *data = fake_data(LEADER), wanted[80];
    bool is;

    snprintf(wanted, sizeof wanted, "node=%s\n", id);
    is = data && strncmp(data, wanted, strlen(wanted)) == 0;
    free(data);
    return is;
}

/* A read that fails has set no watch: it has to be repeated. */
static void test_reads_fail(void)
{
    char *seat;

    begin(2);
    fake_set_denied(LEADER, OZ_FAILED);
    fake_set(LEADER, "junk");
    world_pass(1000);
    fake_set_denied(NULL, OZ_OK);
    world_pass(6000);
    CU_ASSERT_TRUE(leader_is("a"));
    seat = seat_path(0);
    fake_set_denied(seat, OZ_FAILED); /* the master's own, and the predecessor of the other */
    fake_set(seat, "junk");
    world_pass(1000);
    fake_set_denied(NULL, OZ_OK);
    world_pass(6000);
    nodes[0]->said[0] = '\0';
    remove_seat(0);
    world_pass(100);
    CU_ASSERT_TRUE(settle());
    CU_ASSERT_NSTRING_EQUAL(nodes[0]->said, "removed", 7);
    CU_ASSERT_TRUE(is_master(nodes[1]));
    free(seat);
    end();
}

/* A master whose name somebody overwrote, and who is not allowed to write it for a while. */
static void test_leader_read_only(void)
{
    begin(1);
    fake_set_read_only(LEADER);
    fake_set(LEADER, "junk");
    world_pass(2000);
    CU_ASSERT_FALSE(leader_is("a"));
    fake_set_denied(NULL, OZ_OK);
    world_pass(6000);
    CU_ASSERT_TRUE(leader_is("a"));
    end();
}

/* Whoever may not write `leader` does not keep the servers busy. */
static void test_patience(void)
{
    const long seconds = 40, renewals = seconds * 12 * 1000 / WORLD_TIMEOUT;
    long before;

    world_begin(1);
    fake_create(LEADER, "", 0);
    fake_set_read_only(LEADER);
    nodes[0] = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(nodes[0]);
    world_pass(1000);
    before = fake_requests();
    world_pass(seconds * 1000);
    CU_ASSERT_TRUE(fake_requests() - before <= renewals + seconds); /* a list and a write every five seconds */
    fake_set_denied(NULL, OZ_OK);
    CU_ASSERT_TRUE(settle());
    end();
}

static void test_overflow(void)
{
    int i;

    begin(2);
    fake_set_counter(ELECTION, INT32_MAX);
    for (i = 0; i < 4; i++) {
        struct world_node *master = world_master();

        CU_ASSERT_EQUAL(odezk_resign(master->cluster), ODEZK_OK);
        CU_ASSERT_TRUE(settle());
        CU_ASSERT_PTR_NOT_EQUAL(world_master(), master); /* its new seat is behind the other's */
    }
    end();
}

/* ---- under every fault ---- */

static void settled(void)
{
    if (!world_failed() && !world_wait(world_is_settled, NULL, 20 * WORLD_TIMEOUT))
        world_explain();
}

/* Three candidates; the master resigns, the next leaves, the last dies and comes again. */
static void scenario(void)
{
    struct world_node *a = world_join("a", ODEZK_ROLE_MEMBER, 1), *b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    struct world_node *c = world_join("c", ODEZK_ROLE_MEMBER, 3);

    if (world_failed())
        return;
    odezk_resign(a->cluster);
    world_pass(50);
    settled();
    world_free(b);
    settled();
    world_crash(c);
    settled();
    world_join("c", ODEZK_ROLE_MEMBER, 4);
    odezk_resign(a->cluster);
    settled();
}

static void test_faults(void)
{
    world_sweep_faults("election", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

static void test_memory(void)
{
    world_sweep_memory("election", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"first come, first master", test_first_comes_first},
        {"succession", test_succession},
        {"one in the middle leaves", test_middle_leaves},
        {"no herd", test_no_herd},
        {"the master dies", test_crash},
        {"a disconnection shorter than the lease", test_short_disconnection},
        {"a disconnection longer than the lease", test_lapse},
        {"an expired session", test_expiry},
        {"resign", test_resign},
        {"resign alone", test_resign_alone},
        {"asked to resign", test_asked_to_resign},
        {"resign while cut off", test_resign_while_cut_off},
        {"an observer", test_observer},
        {"a seat removed by a foreign hand", test_seat_removed},
        {"the leader's znode removed", test_leader_removed},
        {"the leader's znode overwritten", test_leader_is_junk},
        {"the leader of former days", test_leader_of_former_days},
        {"forbidden for a while", test_forbidden_for_a_while},
        {"reads that fail", test_reads_fail},
        {"the leader's znode is read-only", test_leader_read_only},
        {"refused, it is patient", test_patience},
        {"a counter that overflows", test_overflow},
        {"every fault at every request", test_faults},
        {"every allocation fails", test_memory},
    };
    int rc;

    world_open();
    rc = CHECK_RUN("election", checks, argc, argv);
    world_close();
    return rc;
}
