/* The lease: what it promises must hold on the leader, whatever the followers forget to tell it. */
#include "check.h"
#include "rig.h"

#include "base/clock.h"
#include "session/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S OZ_SECOND

static struct oz_lease lease;

/* Ten seconds, as in the story of the silent follower. */
static void start(void)
{
    memset(&lease, 0, sizeof lease);
    oz_lease_start(&lease, 10 * S, 5 * S / 2, S / 4, 100 * S);
}

static void wrote(double sent, double at)
{
    oz_lease_acked(&lease, (int64_t)(sent * S), (int64_t)(at * S), true);
}

static void synced(double sent, double at)
{
    oz_lease_acked(&lease, (int64_t)(sent * S), (int64_t)(at * S), false);
}

static bool ends_at(double at)
{
    bool right = oz_lease_end(&lease) == (int64_t)(at * S);

    if (!right)
        printf("\n    ends at %.3f s, expected %.3f s ", (double)oz_lease_end(&lease) / S, at);
    return right;
}

/* ---- the rule ---- */

static void test_new_session(void)
{
    start();
    CU_ASSERT_TRUE(ends_at(109.75));
    oz_lease_stop(&lease);
    CU_ASSERT_EQUAL(oz_lease_end(&lease), 0);
}

/* A write was acknowledged at 108 s. The follower then fell silent before it told the leader, which
 * last heard of the session when it was made: the obvious rule, "sent + timeout", would hold on
 * until 117.75. */
static void test_silent_follower(void)
{
    start();
    wrote(108, 108.01);
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(109, 109.01);
    CU_ASSERT_TRUE(ends_at(109.75));
}

static void test_proof(void)
{
    start();
    wrote(101, 101.5);
    wrote(103.9, 103.91); /* 2.4 s after the first one's answer */
    wrote(103.92, 103.93);
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(104, 104.1); /* 2.5 s */
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(104.05, 104.2); /* was under way when that was answered */
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(104.1, 104.3);
    CU_ASSERT_TRUE(ends_at(110.75));
}

/* A sync comes back from the leader, but nobody else has to follow that one any more. */
static void test_sync(void)
{
    start();
    synced(101, 101.01);
    synced(104, 104.01);
    synced(104.1, 104.11);
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(104.2, 104.21);
    CU_ASSERT_TRUE(ends_at(110.75));
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(113.95));
    synced(105, 105.1);
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(113.95));
}

static void test_newest_proven_counts(void)
{
    start();
    wrote(101, 101.01);
    wrote(102, 102.01);
    wrote(103, 103.01);
    synced(105, 105.01); /* the first two were told */
    wrote(105.1, 105.11);
    CU_ASSERT_TRUE(ends_at(111.75));
    synced(105.6, 105.61);
    synced(105.7, 105.71);
    wrote(105.8, 105.81);
    CU_ASSERT_TRUE(ends_at(112.75));
    wrote(105.9, 105.91);
    CU_ASSERT_TRUE(ends_at(112.75));
}

static void test_own_reply_proves_nothing(void)
{
    start();
    wrote(101, 107); /* it was under way for long: it tells of nothing later than 101 */
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(108, 108.1); /* too soon after that answer */
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(109.5, 109.6);
    CU_ASSERT_TRUE(ends_at(109.75));
    wrote(109.6, 109.7);
    CU_ASSERT_TRUE(ends_at(110.75));
}

static void test_reconnection(void)
{
    start();
    wrote(105, 105.1);
    oz_lease_reconnected(&lease); /* a leader saw the session, later than 105 */
    CU_ASSERT_TRUE(ends_at(114.75));
    wrote(110, 110.1); /* what went through the former follower does not count on the new one */
    CU_ASSERT_TRUE(ends_at(114.75));
    wrote(112.7, 112.8);
    wrote(112.8, 112.9);
    CU_ASSERT_TRUE(ends_at(119.75));
    wrote(115.4, 115.5); /* the X of 112.8 */
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(125.15));
    wrote(117, 117.1); /* no W of before */
    CU_ASSERT_TRUE(ends_at(125.15));
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(126.75));
    oz_lease_reconnected(&lease); /* nothing was answered in between */
    CU_ASSERT_TRUE(ends_at(126.75));
}

/* Thousands of requests a second must not push out what proves something, not even while answers
 * take longer than the lag, and not with a lag of nothing. */
static void flood(double lag, double rtt, double between)
{
    int64_t worst = 0;
    double sent;

    memset(&lease, 0, sizeof lease);
    oz_lease_start(&lease, 10 * S, (int64_t)(lag * S), S / 4, 100 * S);
    for (sent = 100; sent < 200; sent += between) {
        int64_t now = (int64_t)((sent + rtt) * S), age;

        wrote(sent, sent + rtt);
        age = now - (oz_lease_end(&lease) + S / 4 - 10 * S); /* of what is proven */
        if (sent > 120 && age > worst)
            worst = age;
    }
    /* With room for all it were: the answer of V, the lag, the answers of X and W. */
    CU_ASSERT_TRUE(worst <= (int64_t)((2 * (3 * rtt + lag) + 3 * between + 0.5) * S));
}

static void test_flood(void)
{
    flood(2.5, 0.001, 1.67);
    flood(2.5, 0.001, 0.001);
    flood(2.5, 1, 0.001);
    flood(2.5, 2, 0.001);
    flood(1, 1.5, 0.001);
    flood(0, 0.01, 0.0005);
    flood(0, 0.5, 0.0005);
}

/* ---- against the whole story ---- */

#define MOST 4000

static unsigned random_below(unsigned n)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % n;
}

/* The latest end that the rule allows, with every request of the connection remembered. */
static int64_t allowed_end(const int64_t *sent, const int64_t *ack, const bool *write, int count)
{
    int64_t best = 0, told = 0;
    int v, x, w;

    for (w = count - 1; w > 0 && !write[w]; w--)
        ;
    for (x = 0; x < w; x++)
        if (ack[x] <= sent[w])
            told = sent[x];
    for (v = 0; v < w; v++)
        if (ack[v] + lease.lag <= told && sent[v] > best)
            best = sent[v];
    return best + lease.timeout - lease.margin;
}

static void test_against_a_model(void)
{
    int64_t sent[200], ack[200], floor, newest;
    bool write[200];
    int round, i, count;

    for (round = 0; round < 200; round++) {
        int64_t now = 100 * S, free_at = now;

        start();
        count = 0;
        floor = oz_lease_end(&lease);
        newest = now;
        for (i = 0; i < 150; i++) {
            int64_t allowed;

            now += random_below(5) ? random_below(50) * OZ_MS : random_below(3000) * OZ_MS;
            sent[count] = now;
            ack[count] = now + random_below(400) * OZ_MS;
            if (ack[count] < free_at)
                ack[count] = free_at; /* answers come in order */
            free_at = ack[count];
            write[count] = random_below(3) > 0;
            oz_lease_acked(&lease, sent[count], ack[count], write[count]);
            if (write[count])
                newest = sent[count];
            count++;
            allowed = allowed_end(sent, ack, write, count);
            if (oz_lease_end(&lease) > allowed && oz_lease_end(&lease) > floor)
                world_fail("the lease ends %.3f s too late", (double)(oz_lease_end(&lease) - allowed) / S);
            if (random_below(20) == 0) {
                oz_lease_reconnected(&lease);
                if (newest + lease.timeout - lease.margin > floor)
                    floor = newest + lease.timeout - lease.margin;
                if (oz_lease_end(&lease) < floor)
                    world_fail("a reconnection proves too little");
                if (oz_lease_end(&lease) > floor)
                    floor = oz_lease_end(&lease);
                count = 0;
            }
        }
    }
    CU_ASSERT_EQUAL(world_failures(), 0);
}

/* ---- on the ensemble ---- */

/* An idle node, whose follower may die at any moment without another word to its leader: the
 * session must outlive the lease. It would not outlive "sent + timeout" of the last acknowledged
 * write. */
static void test_obvious_rule_is_wrong(void)
{
    struct oz_request write = {.verb = OZ_DELETE, .path = "/nothing"};
    struct rig_reply reply = {.count = 1};
    int64_t sent = oz_now(), obvious = 0;
    bool wrong = false;
    struct rig r;
    int i;

    world_begin(1);
    rig_open(&r, 1);
    for (i = 0; i < 1000; i++) {
        if (reply.count) {
            obvious = sent + WORLD_TIMEOUT * OZ_MS;
            reply.count = 0;
            sent = oz_now();
            CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &write, rig_replied, &reply));
        }
        rig_pass(&r, 10);
        wrong |= obvious > fake_session_end(1);
        CU_ASSERT_TRUE(oz_session_granting(r.s));
        CU_ASSERT_TRUE(oz_session_lease_end(r.s) + WORLD_TIMEOUT * OZ_MS / 40 <= fake_session_end(1));
    }
    CU_ASSERT_TRUE(wrong);
    rig_close(&r);
    world_end();
}

/* The dispatcher stands still for a while, its answers wait in its queue. A lapse must be told
 * before they prolong the lease, else whoever asks in between trusts a grant that was over for a
 * while. */
static void test_lapse_is_told_first(void)
{
    bool lapsed = false, held_again = false;
    struct rig r;
    int pause, i;

    for (pause = 100; pause < 5000; pause += 50) {
        world_begin(1);
        rig_open(&r, 1);
        rig_pass(&r, 5000 + pause % 700);
        r.said[0] = '\0';
        fake_hold(1, 50 * OZ_MS);
        for (i = 0; i < 100 && fake_in_flight(1) == 0; i++) {
            world_jump(10);
            oz_dispatch_step(r.d, 0);
        }
        if (pause % 100) { /* the sync is answered in time, and the write is under way */
            world_jump(50);
            while (fake_step())
                ;
            oz_dispatch_step(r.d, 0);
        }
        for (i = 0; i < pause; i += 50) {
            world_jump(50);
            while (fake_step())
                ;
        }
        oz_dispatch_step(r.d, 0);
        CU_ASSERT_PTR_NULL(strstr(r.said, "LATE"));
        lapsed |= strcmp(r.said, "LOST") == 0;
        held_again |= strcmp(r.said, "LOST HELD") == 0;
        rig_close(&r);
        world_end();
    }
    CU_ASSERT_TRUE(lapsed);
    CU_ASSERT_TRUE(held_again);
}

/* Disconnected, the lease runs out while the session lives on; connected again, it is held again.
 */
static void test_lapse_while_cut_off(void)
{
    struct rig r;

    world_begin(1);
    rig_open(&r, 1);
    rig_pass(&r, 5000);
    CU_ASSERT_TRUE(rig_said(&r, ""));
    fake_cut(1, WORLD_TIMEOUT * 85 / 100 * OZ_MS, false);
    rig_pass(&r, WORLD_TIMEOUT / 4);
    CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED"));
    CU_ASSERT_TRUE(oz_session_granting(r.s));
    rig_pass(&r, WORLD_TIMEOUT * 59 / 100);
    CU_ASSERT_TRUE(rig_said(&r, "LOST"));
    CU_ASSERT_STRING_EQUAL(oz_session_loss(r.s), "lease");
    CU_ASSERT_FALSE(oz_session_granting(r.s));
    rig_pass(&r, WORLD_TIMEOUT / 20);
    CU_ASSERT_TRUE(rig_said(&r, "connected RESUMED"));
    rig_pass(&r, WORLD_TIMEOUT);
    CU_ASSERT_TRUE(rig_said(&r, "HELD"));
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 1);
    rig_close(&r);
    world_end();
}

/* A disconnection shorter than the lease ends nothing. */
static void test_short_disconnections(void)
{
    struct rig r;
    int i;

    world_begin(1);
    rig_open(&r, 1);
    for (i = 0; i < 20; i++) {
        rig_pass(&r, WORLD_TIMEOUT / 2);
        fake_cut(1, WORLD_TIMEOUT / 4 * OZ_MS, i % 2);
        rig_pass(&r, WORLD_TIMEOUT / 2);
        CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED connected RESUMED"));
        CU_ASSERT_TRUE(oz_session_granting(r.s));
    }
    rig_close(&r);
    world_end();
}

/* Settings: a larger margin, a larger lag, and what the servers negotiate. */
static void test_settings(void)
{
    struct rig r;

    world_begin(1);
    fake_set_timeout(6000);
    rig_make(&r, 1, "127.0.0.1:1", "lease-margin", "500", "lease-lag", "300", "lease-write-period", "200", NULL);
    oz_session_start(r.s);
    rig_run(&r);
    CU_ASSERT_EQUAL(oz_session_timeout(r.s), 6000);
    CU_ASSERT_EQUAL(oz_session_lease_end(r.s), oz_now() + 5500 * OZ_MS);
    rig_pass(&r, 10000);
    CU_ASSERT_TRUE(oz_session_lease_end(r.s) >= oz_now() + (5500 - 300 - 2 * 200 - 10) * OZ_MS);
    CU_ASSERT_TRUE(oz_session_lease_end(r.s) <= oz_now() + (5500 - 300) * OZ_MS);
    rig_close(&r);
    world_end();
}

static void test_shorter_timeout(void)
{
    start();
    wrote(103, 103.01);
    oz_lease_shorten(&lease, 4 * S, S, S / 10);
    CU_ASSERT_TRUE(ends_at(106.9));
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(106.9));
    wrote(104, 104.01);
    synced(105.02, 105.03);
    wrote(105.04, 105.05);
    CU_ASSERT_TRUE(ends_at(107.9));
    oz_lease_shorten(&lease, 4 * S, S, S / 10);
    CU_ASSERT_TRUE(ends_at(107.9)); /* never longer for it */
}

/* ---- what programs see ---- */

static struct world_node *node;
static struct world_attempt *held;

static void become_holder(void)
{
    world_begin(1);
    node = world_node("a", ODEZK_ROLE_MEMBER, 1);
    world_start(node);
    CU_ASSERT_TRUE_FATAL(world_wait(world_is_settled, NULL, 10000));
    held = world_lock(node, "k", 1000);
    CU_ASSERT_TRUE_FATAL(world_wait(world_is_done, held, 1000));
    CU_ASSERT_TRUE(world_holds(held));
    world_pass(3000);
}

/* The whole process stands still, and when it goes on the first thing that happens is a question:
 * no timer ran, no message came. The answer must be no as soon as another could be master or
 * holder. */
static void test_stopped_process(void)
{
    int64_t epoch = -1, end;

    become_holder();
    end = oz_session_lease_end(node->cluster->session);
    world_jump_to(end - 1);
    CU_ASSERT_TRUE(odezk_is_master(node->cluster, &epoch));
    CU_ASSERT_TRUE(odezk_lock_is_valid(held->lock));
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(held->lock), 1);
    world_jump_to(end);
    CU_ASSERT_FALSE(odezk_is_master(node->cluster, &epoch));
    CU_ASSERT_FALSE(odezk_lock_is_valid(held->lock));
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(held->lock), 0);
    CU_ASSERT_EQUAL(odezk_resign(node->cluster), ODEZK_ENOTHELD);
    CU_ASSERT_EQUAL(world_release(held), ODEZK_ELOST);
    CU_ASSERT_TRUE(world_wait(world_is_settled, NULL, 3 * WORLD_TIMEOUT));
    world_clean();
    world_end();
    CU_ASSERT_FALSE(world_failed());
}

/* Another server grants less time than the one before, and the servers count by that: so must the lease. */
static void test_less_time_granted(void)
{
    become_holder();
    fake_set_timeout(WORLD_TIMEOUT / 4);
    fake_cut(1, 10 * OZ_MS, false);
    world_pass(20);
    CU_ASSERT_EQUAL(oz_session_timeout(node->cluster->session), WORLD_TIMEOUT / 4);
    fake_cut(1, OZ_NEVER, false);
    CU_ASSERT_TRUE(oz_session_lease_end(node->cluster->session) < fake_session_end(1));
    world_pass(WORLD_TIMEOUT / 4);
    CU_ASSERT_EQUAL(held->lost, 1);
    CU_ASSERT_FALSE(node->mastership);
    fake_heal(1);
    fake_set_timeout(0);
    CU_ASSERT_TRUE(world_wait(world_is_settled, NULL, 3 * WORLD_TIMEOUT));
    world_clean();
    world_end();
    CU_ASSERT_FALSE(world_failed());
}

/* The end of a grant is told, and a lock that was lost stays lost when the lease is held again. */
static void test_lost_stays_lost(void)
{
    int64_t epoch = 0;

    become_holder();
    CU_ASSERT_TRUE(odezk_is_master(node->cluster, &epoch));
    fake_cut(1, WORLD_TIMEOUT * 85 / 100 * OZ_MS, false);
    world_pass(WORLD_TIMEOUT * 84 / 100);
    CU_ASSERT_EQUAL(held->lost, 1);
    CU_ASSERT_FALSE(node->mastership);
    world_pass(2 * WORLD_TIMEOUT);
    CU_ASSERT_EQUAL(node->generation, 1);
    CU_ASSERT_EQUAL(node->readies, 1);
    CU_ASSERT_TRUE(node->mastership);
    CU_ASSERT_TRUE(node->epoch > epoch);
    CU_ASSERT_FALSE(world_holds(held));
    CU_ASSERT_EQUAL(held->lost, 1);
    CU_ASSERT_EQUAL(world_release(held), ODEZK_ELOST);
    world_clean();
    world_end();
    CU_ASSERT_FALSE(world_failed());
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"a new session", test_new_session},
        {"a silent follower", test_silent_follower},
        {"a proof needs the lag, and two answers after it", test_proof},
        {"a sync is no write", test_sync},
        {"the newest proven request counts", test_newest_proven_counts},
        {"a late answer proves nothing", test_own_reply_proves_nothing},
        {"reconnection", test_reconnection},
        {"a shorter timeout on a new connection", test_shorter_timeout},
        {"more requests than are remembered", test_flood},
        {"against a model", test_against_a_model},
        {"the obvious rule is wrong", test_obvious_rule_is_wrong},
        {"a lapse is told before the lease is prolonged", test_lapse_is_told_first},
        {"a lapse while cut off", test_lapse_while_cut_off},
        {"short disconnections", test_short_disconnections},
        {"settings", test_settings},
        {"a process that stood still", test_stopped_process},
        {"a server that grants less time", test_less_time_granted},
        {"what is lost stays lost", test_lost_stays_lost},
    };
    int rc;

    world_open();
    rc = CHECK_RUN("lease", checks, argc, argv);
    world_close();
    return rc;
}
