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

static void acked(double sent, double at)
{
    oz_lease_acked(&lease, (int64_t)(sent * S), (int64_t)(at * S));
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

/* A write was acknowledged at 108 s. The follower then fell silent before it told the leader, which last heard of the session
 * when it was made: the obvious rule, "sent + timeout", would hold on until 117.75. */
static void test_silent_follower(void)
{
    start();
    acked(108, 108.01);
    CU_ASSERT_TRUE(ends_at(109.75));
    acked(109, 109.01);
    CU_ASSERT_TRUE(ends_at(109.75));
}

static void test_proof(void)
{
    start();
    acked(101, 101.5);
    acked(103.9, 103.91); /* 2.4 s after the first one's answer */
    CU_ASSERT_TRUE(ends_at(109.75));
    acked(104, 104.1); /* 2.5 s */
    CU_ASSERT_TRUE(ends_at(110.75));
}

static void test_newest_proven_counts(void)
{
    start();
    acked(101, 101.01);
    acked(102, 102.01);
    acked(103, 103.01);
    acked(105, 105.01);
    CU_ASSERT_TRUE(ends_at(111.75)); /* proves the second, and not the third */
    acked(105.6, 105.61);
    CU_ASSERT_TRUE(ends_at(112.75));
    acked(105.7, 105.71);
    CU_ASSERT_TRUE(ends_at(112.75));
}

static void test_own_reply_proves_nothing(void)
{
    start();
    acked(101, 107); /* it was under way for long: it tells of nothing later than 101 */
    CU_ASSERT_TRUE(ends_at(109.75));
    acked(108, 108.1); /* too soon after that answer */
    CU_ASSERT_TRUE(ends_at(109.75));
    acked(109.5, 109.6);
    CU_ASSERT_TRUE(ends_at(110.75));
}

static void test_reconnection(void)
{
    start();
    acked(105, 105.1);
    oz_lease_reconnected(&lease); /* the leader itself saw the session, later than 105 */
    CU_ASSERT_TRUE(ends_at(114.75));
    acked(110, 110.1); /* what went through the former follower does not count on the new one */
    CU_ASSERT_TRUE(ends_at(114.75));
    acked(112.7, 112.8);
    CU_ASSERT_TRUE(ends_at(119.75));
    oz_lease_reconnected(&lease);
    CU_ASSERT_TRUE(ends_at(122.45));
    oz_lease_reconnected(&lease); /* nothing was answered in between */
    CU_ASSERT_TRUE(ends_at(122.45));
}

/* Thousands of requests a second must not push out what proves something, not even while answers take longer than the
 * lag, and not with a lag of nothing. */
static void flood(double lag, double rtt, double between)
{
    int64_t worst = 0;
    double sent;

    memset(&lease, 0, sizeof lease);
    oz_lease_start(&lease, 10 * S, (int64_t)(lag * S), S / 4, 100 * S);
    for (sent = 100; sent < 200; sent += between) {
        int64_t now = (int64_t)((sent + rtt) * S), age;

        acked(sent, sent + rtt);
        age = now - (oz_lease_end(&lease) + S / 4 - 10 * S); /* of what is proven */
        if (sent > 120 && age > worst)
            worst = age;
    }
    /* A ring with room for all would need: the answer of V, the lag, the answer of W. */
    CU_ASSERT_TRUE(worst <= (int64_t)((2 * (2 * rtt + lag) + 2 * between + 0.5) * S));
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
static int64_t allowed_end(const int64_t *sent, const int64_t *ack, int count)
{
    int64_t best = 0;
    int v, w;

    for (w = 0; w < count; w++)
        for (v = 0; v < w; v++)
            if (ack[v] + lease.lag <= sent[w] && sent[v] > best)
                best = sent[v];
    return best + lease.timeout - lease.margin;
}

static void test_against_a_model(void)
{
    int64_t sent[200], ack[200], floor, newest;
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
            oz_lease_acked(&lease, sent[count], ack[count]);
            newest = sent[count++];
            allowed = allowed_end(sent, ack, count);
            if (oz_lease_end(&lease) > allowed && oz_lease_end(&lease) > floor)
                world_fail("the lease ends %.3f s too late",
                           (double)(oz_lease_end(&lease) - allowed) / S);
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

/* An idle node, whose follower dies at any moment: the leader must outlive the lease. The world checks that at each
 * step; here, that the obvious rule would not have done. */
static void test_obvious_rule_is_wrong(void)
{
    bool wrong = false;
    struct rig r;
    int i;

    world_begin(1);
    rig_open(&r, 1);
    for (i = 0; i < 1000; i++) {
        int64_t obvious;

        rig_pass(&r, 10);
        obvious = oz_session_newest_ack(r.s) + WORLD_TIMEOUT * OZ_MS - WORLD_TIMEOUT * OZ_MS / 40;
        wrong |= obvious > fake_session_end(1);
        CU_ASSERT_TRUE(oz_session_lease_end(r.s) <= fake_session_end(1));
    }
    CU_ASSERT_TRUE(wrong);
    rig_close(&r);
    world_end();
}
