/* The session: its states, its requests and its watches, in every weather. And the dispatcher that
 * it runs on. */
#include "check.h"
#include "rig.h"

#include "base/clock.h"
#include "base/mem.h"
#include "session/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig r;

static void open_one(void)
{
    world_begin(1);
    rig_open(&r, 1);
}

static void close_one(void)
{
    rig_close(&r);
    world_end();
}

/* ---- life ---- */

static void test_states(void)
{
    int64_t id;

    world_begin(1);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    CU_ASSERT_EQUAL(oz_session_state(r.s), ODEZK_SESSION_CONNECTING);
    CU_ASSERT_EQUAL(oz_session_id(r.s), 0);
    CU_ASSERT_EQUAL(oz_session_lease_end(r.s), 0);
    oz_session_start(r.s);
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "connected UP HELD"));
    id = oz_session_id(r.s);
    CU_ASSERT_EQUAL(id, fake_session(1));
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 1);
    CU_ASSERT_EQUAL(oz_session_timeout(r.s), WORLD_TIMEOUT);
    CU_ASSERT_TRUE(oz_session_connected(r.s));
    fake_cut(1, 500 * OZ_MS, false);
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED"));
    CU_ASSERT_FALSE(oz_session_connected(r.s));
    CU_ASSERT_EQUAL(oz_session_id(r.s), id);
    rig_pass(&r, 600);
    CU_ASSERT_TRUE(rig_said(&r, "connected RESUMED"));
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 1);
    fake_expire(1);
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED LOST DOWN lost"));
    CU_ASSERT_EQUAL(oz_session_id(r.s), 0);
    CU_ASSERT_EQUAL(oz_session_lease_end(r.s), 0);
    CU_ASSERT_STRING_EQUAL(oz_session_loss(r.s), "session");
    rig_pass(&r, WORLD_TIMEOUT / 8);
    CU_ASSERT_TRUE(rig_said(&r, "connecting connected UP HELD"));
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 2);
    CU_ASSERT_NOT_EQUAL(oz_session_id(r.s), id);
    oz_session_fail(r.s, "a test");
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "LOST DOWN lost"));
    CU_ASSERT_EQUAL(fake_ephemerals(""), 0);
    rig_pass(&r, WORLD_TIMEOUT / 8);
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 3);
    close_one();
}

static void test_no_server_at_first(void)
{
    world_begin(1);
    fake_cut(1, OZ_NEVER, false);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 60000);
    CU_ASSERT_TRUE(rig_said(&r, ""));
    CU_ASSERT_EQUAL(fake_opened(1), 1); /* the client itself goes on trying */
    fake_heal(1);
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "connected UP")); /* for all that is known it was made a minute ago */
    rig_pass(&r, WORLD_TIMEOUT / 3);
    CU_ASSERT_TRUE(rig_said(&r, "HELD"));
    close_one();
}

static void test_no_client_at_first(void)
{
    world_begin(1);
    fake_set_open_failure(EMFILE);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 5000);
    CU_ASSERT_TRUE(rig_said(&r, ""));
    fake_set_open_failure(0);
    rig_pass(&r, 2000);
    CU_ASSERT_TRUE(rig_said(&r, "connected UP HELD"));
    close_one();
}

/* A name needs a look-up on a thread of its own; there is none to be had. */
static void test_no_thread_to_resolve(void)
{
    world_begin(1);
    rig_make(&r, 1, "name.invalid:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 5000);
    CU_ASSERT_TRUE(rig_said(&r, ""));
    CU_ASSERT_EQUAL(fake_opened(1), 0);
    close_one();
}

/* Nodes that lose their sessions together do not come back together. */
static void test_spread(void)
{
    int64_t least = OZ_NEVER, most = 0, from;
    unsigned seed;

    for (seed = 1; seed <= 60; seed++) {
        world_begin(seed);
        rig_open(&r, 1);
        fake_expire(1);
        rig_run(&r);
        from = oz_now();
        while (oz_session_generation(r.s) < 2 && oz_now() - from < OZ_SECOND)
            rig_pass(&r, 1);
        from = oz_now() - from;
        if (from < least)
            least = from;
        if (from > most)
            most = from;
        close_one();
    }
    CU_ASSERT_TRUE(least < WORLD_TIMEOUT * OZ_MS / 8 / 5);
    CU_ASSERT_TRUE(most > WORLD_TIMEOUT * OZ_MS / 8 * 4 / 5);
    CU_ASSERT_TRUE(most <= WORLD_TIMEOUT * OZ_MS / 8 + 2 * OZ_MS);
}

/* A connection that comes and goes while the dispatcher stands still: more changes than are
 * remembered. */
static void test_flapping(void)
{
    int i, flaps;

    for (flaps = 1; flaps < 40; flaps++) {
        open_one();
        for (i = 0; i < flaps; i++) {
            fake_cut(1, 0, false);
            if (i % 2)
                while (fake_step())
                    ;
        }
        rig_run(&r);
        CU_ASSERT_TRUE(oz_session_connected(r.s));
        CU_ASSERT_EQUAL(oz_session_state(r.s), ODEZK_SESSION_CONNECTED);
        rig_pass(&r, 3 * WORLD_TIMEOUT);
        CU_ASSERT_TRUE(oz_session_granting(r.s));
        CU_ASSERT_EQUAL(oz_session_generation(r.s), 1);
        close_one();
    }
}

/* ---- refusals ---- */

static void test_chroot(void)
{
    struct oz_request request = {.verb = OZ_CREATE, .path = "/below", .retry = true};
    struct rig_reply made = {0};

    world_begin(1);
    fake_create("/some/root", "", 0);
    rig_make(&r, 1, "127.0.0.1:1/some/root", NULL);
    oz_session_start(r.s);
    rig_run(&r);
    CU_ASSERT_TRUE(rig_said(&r, "connected UP HELD"));
    CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &request, rig_replied, &made));
    rig_run(&r);
    CU_ASSERT_EQUAL(made.rc, OZ_OK);
    CU_ASSERT_TRUE(fake_exists("/some/root/below"));
    close_one();
}

static void test_no_chroot(void)
{
    int fault;

    for (fault = FAKE_NONE; fault < FAKE_FAULTS; fault++) {
        world_context("no chroot, %s", fake_fault_name((enum fake_fault)fault));
        world_begin(1);
        rig_make(&r, 1, "127.0.0.1:1/none", NULL);
        fake_set_fault(1, 1, (enum fake_fault)fault);
        oz_session_start(r.s);
        rig_pass(&r, 5 * WORLD_TIMEOUT);
        CU_ASSERT_EQUAL(r.refused, ODEZK_ECHROOT);
        CU_ASSERT_PTR_NULL(strstr(r.said, "UP"));
        CU_ASSERT_EQUAL(oz_session_id(r.s), 0);
        close_one();
    }
}

static void test_credentials(void)
{
    world_begin(1);
    fake_set_auth_failure(true);
    rig_make(&r, 1, "127.0.0.1:1", "auth", "digest:u:wrong", NULL);
    oz_session_start(r.s);
    rig_run(&r);
    CU_ASSERT_EQUAL(r.refused, ODEZK_EAUTH);
    CU_ASSERT_TRUE(rig_said(&r, "refused"));
    close_one();
}

/* ---- requests ---- */

#define MANY 40

static struct rig_reply replies[MANY];

static struct oz_op *submit(int i, enum oz_verb verb, const char *path, bool retry)
{
    struct oz_request request = {.verb = verb, .path = path, .data = "x", .len = 1, .retry = retry};

    replies[i] = (struct rig_reply){0};
    return oz_submit(r.s, &request, rig_replied, &replies[i]);
}

static void submit_all(void)
{
    static const enum oz_verb verbs[] = {OZ_CREATE, OZ_SET, OZ_GET, OZ_STAT, OZ_CHILDREN, OZ_SYNC, OZ_DELETE};
    char path[32];
    int i;

    for (i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "/n%d", i / 7);
        while (!submit(i, verbs[i % 7], path, i % 3 != 0))
            ;
    }
}

static bool all_answered(void *unused)
{
    int i;

    (void)unused;
    for (i = 0; i < MANY; i++)
        if (replies[i].count == 0)
            return false;
    return true;
}

static void check_answers(bool memory)
{
    int i;

    for (i = 0; i < MANY; i++) {
        const struct rig_reply *reply = &replies[i];

        if (reply->count != 1)
            world_fail("request %d was answered %d times", i, reply->count);
        if (reply->rc == OZ_UNKNOWN && i % 3 != 0)
            world_fail("request %d was to be repeated, and its outcome is unknown", i);
        if (reply->rc == OZ_FAILED || reply->rc == OZ_DENIED || (memory && reply->rc == OZ_GONE))
            world_fail("request %d: %s", i, oz_rc_name(reply->rc));
    }
}

static void test_each_is_answered_once(void)
{
    int fault;
    long n;

    for (fault = FAKE_NONE; fault < FAKE_FAULTS; fault++)
        for (n = 1; n <= MANY + 2; n++) {
            world_context("requests, %s at %ld", fake_fault_name((enum fake_fault)fault), n);
            open_one();
            fake_set_disconnect_first(n % 2);
            fake_set_fault(1, n, (enum fake_fault)fault);
            submit_all();
            if (!rig_wait(&r, all_answered, NULL, 10 * WORLD_TIMEOUT))
                world_fail("not all were answered");
            rig_pass(&r, 2 * WORLD_TIMEOUT);
            check_answers(false);
            close_one();
        }
    CU_ASSERT_EQUAL(world_failures(), 0);
}

static void test_answers_without_memory(void)
{
    long n, before, made = 1;

    for (n = 1; n <= made; n++) {
        world_context("requests, allocation %ld", n);
        open_one();
        before = oz_mem_count();
        oz_mem_fail_at(n);
        submit_all();
        if (!rig_wait(&r, all_answered, NULL, 10 * WORLD_TIMEOUT))
            world_fail("not all were answered");
        made = oz_mem_count() - before;
        oz_mem_fail_at(0);
        check_answers(true);
        close_one();
    }
    CU_ASSERT_TRUE(made > MANY);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

/* What replies carry. */
static void test_replies(void)
{
    struct oz_request items[] = {{.verb = OZ_CREATE, .path = "/m"}, {.verb = OZ_CHECK, .path = "/none"}};
    struct oz_request multi = {.verb = OZ_MULTI, .items = items, .count = 2};
    struct oz_znode_stat stat;

    open_one();
    fake_create("/a/b", "", 0);
    fake_create("/a/c", "", 0);
    submit(0, OZ_CREATE, "/a/new", true);
    submit(1, OZ_GET, "/a/new", true);
    submit(2, OZ_CHILDREN, "/a", true);
    submit(3, OZ_STAT, "/none", true);
    submit(4, OZ_CREATE, "/a/new", true);
    submit(5, OZ_DELETE, "/a", true);
    oz_submit(r.s, &multi, rig_replied, &replies[6]);
    rig_run(&r);
    CU_ASSERT_TRUE(fake_stat("/a/new", &stat));
    CU_ASSERT_STRING_EQUAL(replies[0].path, "/a/new");
    CU_ASSERT_EQUAL(replies[0].stat.czxid, stat.czxid);
    CU_ASSERT_STRING_EQUAL(replies[1].data, "x");
    CU_ASSERT_EQUAL(replies[1].stat.ctime_ms, stat.ctime_ms);
    CU_ASSERT_EQUAL(replies[2].names, 3);
    CU_ASSERT_EQUAL(replies[3].rc, OZ_NONODE);
    CU_ASSERT_EQUAL(replies[4].rc, OZ_EXISTS);
    CU_ASSERT_EQUAL(replies[5].rc, OZ_NOTEMPTY);
    CU_ASSERT_EQUAL(replies[6].rc, OZ_NONODE);
    CU_ASSERT_EQUAL(replies[6].failed, 1);
    CU_ASSERT_FALSE(fake_exists("/m"));
    close_one();
}

/* In order, whatever happens: sent while disconnected, with one that the client does not take, with
 * more than the servers get at a time. */
static void check_order(int unsent)
{
    char path[32];
    int i;

    open_one();
    fake_cut(1, 100 * OZ_MS, false);
    rig_run(&r);
    if (unsent)
        fake_set_fault(1, unsent, FAKE_UNSENT);
    for (i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "/p%d", i);
        submit(i, OZ_CREATE, path, i % 2);
        CU_ASSERT_EQUAL(replies[i].count, 0);
    }
    CU_ASSERT_TRUE(rig_wait(&r, all_answered, NULL, 10000));
    for (i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(replies[i].rc, OZ_OK);
        if (i > 0) {
            CU_ASSERT_TRUE(replies[i].stat.czxid > replies[i - 1].stat.czxid);
            CU_ASSERT_TRUE(replies[i].order > replies[i - 1].order);
        }
    }
    close_one();
}

static void test_order(void)
{
    int unsent;

    for (unsent = 0; unsent < MANY; unsent++)
        check_order(unsent);
}

static int answers;
static bool in_order;

static void count_answer(void *owner, const struct oz_reply *reply)
{
    in_order &= (int)(intptr_t)owner == answers && reply->rc == OZ_NONODE;
    answers++;
}

static bool has_all(void *count)
{
    return answers == *(int *)count;
}

static int bypass; /* how many of the others were answered before */

static void note_answers(void *owner, const struct oz_reply *reply)
{
    (void)owner;
    (void)reply;
    bypass = answers;
}

static void test_cap(void)
{
    struct oz_request request = {.verb = OZ_STAT, .path = "/none", .retry = true};
    int count = 5000;
    intptr_t i;

    open_one();
    answers = 0;
    in_order = true;
    for (i = 0; i < count; i++)
        CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &request, count_answer, (void *)i));
    CU_ASSERT_TRUE(rig_wait(&r, has_all, &count, 10000));
    CU_ASSERT_TRUE(in_order);
    CU_ASSERT_EQUAL(fake_most_in_flight(), 1000);
    close_one();
}

/* Thousands of requests do not hold up the lease, nor anything else that is not one of thousands. */
static void test_bulk(void)
{
    struct oz_request request = {.verb = OZ_STAT, .path = "/none", .retry = true, .bulk = true};
    int count = 5000, before;
    intptr_t i;

    open_one();
    answers = 0;
    in_order = true;
    for (i = 0; i < count; i++)
        CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &request, count_answer, (void *)i));
    CU_ASSERT_EQUAL(fake_in_flight(1), 900);
    request.bulk = false;
    bypass = -1;
    CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &request, note_answers, NULL));
    CU_ASSERT_EQUAL(fake_in_flight(1), 901);
    CU_ASSERT_TRUE(rig_wait(&r, has_all, &count, 10000));
    CU_ASSERT_TRUE(in_order);
    CU_ASSERT_TRUE(bypass >= 0 && bypass <= 900);
    before = answers;
    close_one();
    CU_ASSERT_EQUAL(answers, before);
}

static void test_detached(void)
{
    struct oz_op *op;
    int i;

    open_one();
    for (i = 0; i < 3; i++) {
        if (i == 1)
            fake_cut(1, 200 * OZ_MS, false); /* in flight, then lost: it is not repeated */
        op = submit(i, OZ_CREATE, i == 0 ? "/d0" : i == 1 ? "/d1" : "/d2", true);
        if (i == 1)
            fake_cut(1, 200 * OZ_MS, false);
        oz_op_detach(op);
        oz_op_detach(NULL);
        rig_pass(&r, 1000);
        CU_ASSERT_EQUAL(replies[i].count, 0);
    }
    CU_ASSERT_TRUE(fake_exists("/d0"));
    CU_ASSERT_TRUE(fake_exists("/d2"));
    close_one();
}

/* What is asked while there is no session is answered, and not at once. */
static void test_without_session(void)
{
    world_begin(1);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    submit(0, OZ_CREATE, "/early", true);
    CU_ASSERT_EQUAL(replies[0].count, 0);
    rig_run(&r);
    CU_ASSERT_EQUAL(replies[0].rc, OZ_GONE);
    oz_session_start(r.s);
    rig_run(&r);
    fake_expire(1);
    rig_run(&r);
    submit(1, OZ_CREATE, "/between", true);
    CU_ASSERT_EQUAL(replies[1].count, 0);
    rig_pass(&r, 1000);
    CU_ASSERT_EQUAL(replies[1].rc, OZ_GONE);
    CU_ASSERT_FALSE(fake_exists("/early"));
    CU_ASSERT_FALSE(fake_exists("/between"));
    close_one();
}

/* In flight, parked and answered but not yet heard of: all are told that the session is over. */
static void test_gone(void)
{
    char path[32];
    int i;

    open_one();
    for (i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "/g%d", i);
        submit(i, OZ_CREATE, path, i % 2);
        if (i == MANY / 4) {
            fake_step();
            fake_step();
        }
        if (i == MANY / 2) {
            fake_cut(1, OZ_NEVER, false);
            fake_expire(1);
            oz_dispatch_step(r.d, 0);
        }
    }
    fake_heal(1);
    rig_pass(&r, 1000);
    for (i = 0; i < MANY; i++)
        CU_ASSERT_EQUAL(replies[i].count, 1);
    for (i = MANY / 2 + 1; i < MANY; i++)
        CU_ASSERT_EQUAL(replies[i].rc, OZ_GONE);
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 2);
    close_one();
}

/* ---- watches ---- */

static struct oz_watch watches[4];
static int fired[4];
static bool rearm;

static void on_fire(void *owner)
{
    int i = (int)((int *)owner - fired);

    fired[i]++;
    if (rearm)
        CU_ASSERT_TRUE(oz_watch_arm(r.s, &watches[i], "/w", on_fire, owner));
}

static void watch(int i, const char *path)
{
    struct oz_request request = {.verb = OZ_GET, .path = path, .watch = true, .retry = true};

    CU_ASSERT_TRUE(oz_watch_arm(r.s, &watches[i], path, on_fire, &fired[i]));
    replies[i] = (struct rig_reply){0};
    CU_ASSERT_PTR_NOT_NULL(oz_submit(r.s, &request, rig_replied, &replies[i]));
    rig_run(&r);
}

static void begin_watches(void)
{
    open_one();
    memset(watches, 0, sizeof watches);
    memset(fired, 0, sizeof fired);
    rearm = false;
    fake_create("/w", "0", 0);
    fake_create("/v", "0", 0);
}

static void test_watches(void)
{
    begin_watches();
    watch(0, "/w");
    watch(1, "/w");
    watch(2, "/v");
    watch(3, "/w");
    oz_watch_disarm(r.s, &watches[3]);
    oz_watch_disarm(r.s, &watches[3]);
    fake_set("/w", "1");
    rig_run(&r);
    CU_ASSERT_TRUE(fired[0] == 1 && fired[1] == 1 && fired[2] == 0 && fired[3] == 0);
    CU_ASSERT_PTR_NULL(watches[0].path);
    fake_set("/w", "2");
    rig_run(&r);
    CU_ASSERT_TRUE(fired[0] == 1 && fired[1] == 1);
    watch(0, "/w");
    watch(0, "/v"); /* armed elsewhere: the former place counts no more */
    fake_set("/w", "3");
    rig_run(&r);
    CU_ASSERT_EQUAL(fired[0], 1);
    fake_delete("/v");
    rig_run(&r);
    CU_ASSERT_TRUE(fired[0] == 2 && fired[2] == 1);
    close_one();
}

/* Armed again while it fires: it waits for the next event. */
static void test_watch_rearmed(void)
{
    begin_watches();
    rearm = true;
    watch(0, "/w");
    watch(1, "/w");
    fake_set("/w", "1");
    rig_run(&r);
    CU_ASSERT_TRUE(fired[0] == 1 && fired[1] == 1);
    CU_ASSERT_PTR_NOT_NULL(watches[0].path);
    rearm = false;
    fake_spurious(1);
    rig_run(&r);
    oz_watch_disarm(r.s, &watches[0]);
    oz_watch_disarm(r.s, &watches[1]);
    close_one();
}

static void disarm_other(void *owner)
{
    int i = (int)((int *)owner - fired);

    fired[i]++;
    oz_watch_disarm(r.s, &watches[1 - i]);
}

static void test_watch_disarms_another(void)
{
    begin_watches();
    watch(0, "/w");
    watch(1, "/w");
    watches[0].fire = watches[1].fire = disarm_other;
    fake_set("/w", "1");
    rig_run(&r);
    CU_ASSERT_EQUAL(fired[0] + fired[1], 1);
    close_one();
}

static void test_watches_over_disconnections(void)
{
    begin_watches();
    watch(0, "/w");
    watch(1, "/v");
    fake_cut(1, 500 * OZ_MS, false);
    rig_run(&r);
    fake_set("/w", "1");
    rig_pass(&r, 400);
    CU_ASSERT_EQUAL(fired[0], 0);
    rig_pass(&r, 400);
    CU_ASSERT_TRUE(fired[0] == 1 && fired[1] == 0);
    fake_set("/v", "1");
    rig_run(&r);
    CU_ASSERT_EQUAL(fired[1], 1);
    watch(2, "/v");
    fake_expire(1);
    rig_pass(&r, 1000);
    CU_ASSERT_EQUAL(fired[2], 0);
    CU_ASSERT_PTR_NULL(watches[2].path);
    CU_ASSERT_EQUAL(fake_watches(1), 0);
    close_one();
}

/* An event for which there was no memory: better all fire than none. */
static void test_watch_event_without_memory(void)
{
    begin_watches();
    watch(0, "/w");
    watch(1, "/v");
    fake_set("/w", "1");
    oz_mem_fail_at(1);
    rig_run(&r);
    oz_mem_fail_at(0);
    CU_ASSERT_TRUE(fired[0] == 1 && fired[1] == 1);
    CU_ASSERT_FALSE(oz_watch_arm(r.s, &watches[0], "/w", on_fire, &fired[0]) && false);
    oz_mem_fail_at(1);
    CU_ASSERT_FALSE(oz_watch_arm(r.s, &watches[0], "/w", on_fire, &fired[0]));
    oz_mem_fail_at(0);
    CU_ASSERT_PTR_NULL(watches[0].path);
    close_one();
}

/* ---- closing ---- */

static void closed(void *arg)
{
    (void)arg;
    CU_ASSERT_FALSE(r.closed);
    r.closed = true;
}

enum moment { NEVER_STARTED, CONNECTING, CONNECTED, SUSPENDED, LOST, WITHOUT_CLIENT, NEWS_UNDER_WAY, MOMENTS };

static void reach(enum moment moment)
{
    world_begin(1);
    if (moment == CONNECTING)
        fake_cut(1, OZ_NEVER, false);
    if (moment == WITHOUT_CLIENT)
        fake_set_open_failure(ENOMEM);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    if (moment != NEVER_STARTED)
        oz_session_start(r.s);
    rig_run(&r);
    if (moment == SUSPENDED)
        fake_cut(1, OZ_NEVER, false);
    if (moment == LOST)
        fake_expire(1);
    rig_run(&r);
    if (moment == NEWS_UNDER_WAY) {
        fake_expire(1);
        while (fake_step())
            ;
    }
}

static void test_close(void)
{
    int moment, i;

    for (moment = 0; moment < MOMENTS; moment++) {
        reach((enum moment)moment);
        r.said[0] = '\0';
        for (i = 0; i < MANY; i++)
            submit(i, OZ_CREATE, "/c", i % 2);
        oz_session_close(r.s, closed, NULL);
        oz_session_close(r.s, closed, NULL);
        CU_ASSERT_FALSE(r.closed);
        rig_run(&r);
        CU_ASSERT_TRUE(r.closed);
        for (i = 0; i < MANY; i++) {
            CU_ASSERT_EQUAL(replies[i].count, 1);
            CU_ASSERT_EQUAL(replies[i].rc, OZ_GONE);
        }
        CU_ASSERT_PTR_NULL(strstr(r.said, "lost"));
        CU_ASSERT_EQUAL(fake_ports(), 0);
        r.said[0] = '\0';
        fake_heal(1);
        rig_pass(&r, 5 * WORLD_TIMEOUT);
        CU_ASSERT_TRUE(rig_said(&r, ""));
        CU_ASSERT_EQUAL(fake_opened(1), moment == NEVER_STARTED || moment == WITHOUT_CLIENT ? 0 : 1);
        close_one();
    }
}

/* ---- servers ---- */

/* A server that does not answer is left, with the same session and before the lease ends. */
static void test_silent_server(void)
{
    char *hosts;
    int64_t id;

    world_begin(1);
    rig_make(&r, 1, "127.0.0.1:1,127.0.0.2:1,127.0.0.3:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 3000);
    r.said[0] = '\0';
    id = oz_session_id(r.s);
    fake_hold(1, OZ_NEVER);
    rig_pass(&r, WORLD_TIMEOUT * 7 / 10);
    CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED connected RESUMED"));
    hosts = fake_hosts(1);
    CU_ASSERT_STRING_EQUAL(hosts, "127.0.0.2:1,127.0.0.3:1");
    free(hosts);
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    CU_ASSERT_TRUE(oz_session_granting(r.s));
    CU_ASSERT_EQUAL(oz_session_id(r.s), id);
    fake_expire(1);
    rig_pass(&r, 1000);
    hosts = fake_hosts(1);
    CU_ASSERT_STRING_EQUAL(hosts, "127.0.0.1:1,127.0.0.2:1,127.0.0.3:1");
    free(hosts);
    close_one();
}

/* Servers that fall silent one after the other, each after it served well: all are left in time. */
static void test_silent_servers(void)
{
    int i;

    world_begin(1);
    rig_make(&r, 1, "127.0.0.1:1,127.0.0.2:1,127.0.0.3:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 3000);
    for (i = 0; i < 8; i++) {
        r.said[0] = '\0';
        fake_hold(1, OZ_NEVER);
        rig_pass(&r, WORLD_TIMEOUT * 7 / 10);
        CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED connected RESUMED"));
        rig_pass(&r, WORLD_TIMEOUT);
    }
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 1);
    close_one();
}

/* With only one server there is nothing to move to. A client that says that it is connected, and
 * never answers, is given up in the end. */
static void test_stuck_client(void)
{
    world_begin(1);
    rig_make(&r, 1, "127.0.0.1:1", NULL);
    oz_session_start(r.s);
    rig_pass(&r, 1000);
    r.said[0] = '\0';
    fake_hold(1, OZ_NEVER);
    rig_pass(&r, 2 * WORLD_TIMEOUT);
    CU_ASSERT_TRUE(rig_said(&r, "LOST"));
    rig_pass(&r, 2 * WORLD_TIMEOUT);
    CU_ASSERT_EQUAL(fake_opened(1), 2);
    fake_heal(1);
    rig_pass(&r, 1000);
    CU_ASSERT_EQUAL(oz_session_generation(r.s), 2);
    close_one();
}

/* ---- lease writes ---- */

static bool may_write;

static bool write_what(void *arg, const char **path, const char **data)
{
    *path = arg;
    *data = "tick";
    return may_write;
}

static void test_lease_writes(void)
{
    static char path[] = "/ode/m";
    struct oz_znode_stat stat;
    char *data;

    open_one();
    fake_create(path, "", oz_session_id(r.s));
    oz_session_set_lease_write(r.s, write_what, path);
    may_write = false;
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    CU_ASSERT_TRUE(fake_stat("/ode/m", &stat) && stat.version == 0);
    CU_ASSERT_TRUE(oz_session_granting(r.s));
    may_write = true;
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    CU_ASSERT_TRUE(fake_stat("/ode/m", &stat) && stat.version == 18); /* six a timeout */
    data = fake_data("/ode/m");
    CU_ASSERT_STRING_EQUAL(data, "tick");
    free(data);
    CU_ASSERT_EQUAL(fake_below("/ode"), 1);
    close_one();
}

/* A disconnection that leaves just the time for one proof: this does not wait for the next period but one. */
static void test_short_lease(void)
{
    int64_t end;

    open_one();
    rig_pass(&r, 3 * WORLD_TIMEOUT);
    end = oz_session_lease_end(r.s);
    while (oz_session_lease_end(r.s) == end)
        rig_pass(&r, 1);
    fake_cut(1, WORLD_TIMEOUT * 63 / 100 * OZ_MS, false);
    rig_pass(&r, WORLD_TIMEOUT * 63 / 100);
    CU_ASSERT_TRUE(rig_said(&r, "suspended SUSPENDED connected RESUMED"));
    rig_pass(&r, WORLD_TIMEOUT * 30 / 100);
    fake_hold(1, WORLD_TIMEOUT * 10 / 100 * OZ_MS);
    rig_pass(&r, WORLD_TIMEOUT);
    CU_ASSERT_TRUE(rig_said(&r, ""));
    CU_ASSERT_TRUE(oz_session_granting(r.s));
    close_one();
}

/* ---- the dispatcher, with its thread ---- */

struct note {
    struct oz_msg msg;
    int number;
};

#define NOTES 4000

static struct note notes[NOTES];
static _Atomic int heard, disorder;
static struct oz_dispatch *d;

static void hear(struct oz_msg *msg)
{
    int number = ((struct note *)msg)->number, last = atomic_load(&heard);

    if (number % 2 == 0 && !oz_dispatch_inside(d))
        atomic_fetch_add(&disorder, 1);
    atomic_store(&heard, last + 1);
}

static void *post_half(void *arg)
{
    int i;

    for (i = (int)(intptr_t)arg; i < NOTES; i += 2) {
        notes[i].number = i;
        notes[i].msg.run = hear;
        oz_dispatch_post(d, &notes[i].msg);
    }
    return NULL;
}

static bool wait_until(_Atomic int *what, int value)
{
    int64_t end = oz_now() + 20 * OZ_SECOND;
    struct timespec pause = {0, 200000};

    while (atomic_load(what) < value && oz_now() < end)
        nanosleep(&pause, NULL);
    return atomic_load(what) >= value;
}

static void test_dispatch_posts(void)
{
    pthread_t threads[2];
    intptr_t i;

    world_set_threads(true);
    heard = disorder = 0;
    d = oz_dispatch_new("test");
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    CU_ASSERT_FALSE(oz_dispatch_inside(d));
    for (i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, post_half, (void *)i);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    oz_dispatch_stop(d); /* runs what is queued */
    CU_ASSERT_EQUAL(heard, NOTES);
    CU_ASSERT_EQUAL(disorder, 0);
    oz_dispatch_stop(d);
    oz_dispatch_free(d);
    oz_dispatch_free(NULL);
    world_set_threads(false);
}

static struct oz_timer ticks[3];
static _Atomic int ticked;
static int64_t tick_at[3], late[3];

static void tick(void *arg)
{
    int i = (int)(intptr_t)arg;

    late[i] = oz_now() - tick_at[i];
    atomic_fetch_add(&ticked, 1);
}

static void set_ticks(struct oz_msg *msg)
{
    intptr_t i;

    (void)msg;
    for (i = 2; i >= 0; i--) {
        tick_at[i] = oz_now() + (i + 1) * 20 * OZ_MS;
        oz_timer_set(oz_dispatch_timers(d), &ticks[i], tick_at[i], tick, (void *)i);
    }
    oz_timer_set(oz_dispatch_timers(d), &ticks[1], OZ_NEVER - 1, tick, (void *)1);
}

static void test_dispatch_timers(void)
{
    struct oz_msg msg = {.run = set_ticks};

    world_set_threads(true);
    ticked = 0;
    d = oz_dispatch_new("test");
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    oz_dispatch_post(d, &msg);
    CU_ASSERT_TRUE(wait_until(&ticked, 2));
    oz_dispatch_free(d);
    CU_ASSERT_EQUAL(ticked, 2);
    CU_ASSERT_TRUE(late[0] >= 0 && late[2] >= 0);
    world_set_threads(false);
}

static void test_dispatch_without_means(void)
{
    world_set_threads(true);
    oz_mem_fail_at(1);
    CU_ASSERT_PTR_NULL(oz_dispatch_new("test"));
    oz_mem_fail_at(0);
    world_fail_threads(1);
    CU_ASSERT_PTR_NULL(oz_dispatch_new("test"));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    world_set_threads(false);
}

/* ---- names of servers, with a thread to look them up ---- */

static char found[300], wrong[300];
static _Atomic int resolved;

static void on_resolved(void *arg, const char *hosts, const char *why)
{
    (void)arg;
    snprintf(found, sizeof found, "%s", hosts ? hosts : "");
    snprintf(wrong, sizeof wrong, "%s", why);
    atomic_store(&resolved, 1);
}

static void resolve(const char *servers)
{
    resolved = 0;
    CU_ASSERT_PTR_NOT_NULL(oz_resolve(d, servers, on_resolved, NULL));
    CU_ASSERT_EQUAL(resolved, 0);
    while (!resolved)
        oz_dispatch_step(d, 1000);
}

static void test_resolve(void)
{
    world_set_threads(true);
    d = oz_dispatch_new(NULL);
    resolve("127.0.0.1:5,[::1]:7/some/root");
    CU_ASSERT_STRING_EQUAL(found, "127.0.0.1:5,::1:7/some/root");
    CU_ASSERT_STRING_EQUAL(wrong, "");
    resolve("localhost:9");
    CU_ASSERT_PTR_NOT_NULL(strstr(found, ":9"));
    CU_ASSERT_TRUE(strncmp(found, "127.", 4) == 0 || strncmp(found, "::1", 3) == 0);
    resolve("odezk.invalid:9"); /* reserved: no name server knows it */
    CU_ASSERT_STRING_EQUAL(found, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(wrong, "odezk.invalid"));
    resolve("odezk.invalid:9,127.0.0.1:4"); /* the others may do */
    CU_ASSERT_STRING_EQUAL(found, "127.0.0.1:4");
    CU_ASSERT_PTR_NOT_NULL(strstr(wrong, "odezk.invalid"));
    world_fail_threads(1);
    resolve("localhost:9");
    CU_ASSERT_STRING_EQUAL(found, "");
    oz_mem_fail_at(1);
    CU_ASSERT_PTR_NULL(oz_resolve(d, "127.0.0.1:1", on_resolved, NULL));
    oz_mem_fail_at(2);
    resolve("127.0.0.1:1");
    oz_mem_fail_at(0);
    CU_ASSERT_STRING_EQUAL(found, "");
    CU_ASSERT_STRING_NOT_EQUAL(wrong, "");
    oz_dispatch_free(d);
    world_set_threads(false);
}

static void test_resolve_canceled(void)
{
    struct timespec pause = {0, 1000000};
    int i;

    world_set_threads(true);
    for (i = 0; i < 20; i++) {
        struct oz_resolver *resolver;

        d = oz_dispatch_new(NULL);
        resolved = 0;
        resolver = oz_resolve(d, i % 2 ? "localhost:1" : "127.0.0.1:1", on_resolved, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(resolver);
        if (i % 4 > 1)
            nanosleep(&pause, NULL);
        oz_resolve_cancel(resolver);
        oz_resolve_cancel(NULL);
        oz_dispatch_free(d); /* at once: the thread may still be looking it up */
        CU_ASSERT_EQUAL(resolved, 0);
    }
    world_set_threads(false);
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"states", test_states},
        {"no server at first", test_no_server_at_first},
        {"no client at first", test_no_client_at_first},
        {"no thread to look up names", test_no_thread_to_resolve},
        {"new sessions are spread in time", test_spread},
        {"a connection that comes and goes", test_flapping},
        {"a chroot", test_chroot},
        {"a chroot that does not exist", test_no_chroot},
        {"refused credentials", test_credentials},
        {"each request is answered once", test_each_is_answered_once},
        {"each request is answered once, without memory", test_answers_without_memory},
        {"replies", test_replies},
        {"requests keep their order", test_order},
        {"a cap on the requests in flight", test_cap},
        {"requests in thousands", test_bulk},
        {"detached requests", test_detached},
        {"requests without a session", test_without_session},
        {"requests of a session that ends", test_gone},
        {"watches", test_watches},
        {"a watch armed while it fires", test_watch_rearmed},
        {"a watch that disarms another", test_watch_disarms_another},
        {"watches over disconnections", test_watches_over_disconnections},
        {"a watch event without memory", test_watch_event_without_memory},
        {"close at each moment", test_close},
        {"a silent server", test_silent_server},
        {"one silent server after the other", test_silent_servers},
        {"a stuck client", test_stuck_client},
        {"lease writes", test_lease_writes},
        {"a lease that is short", test_short_lease},
        {"dispatcher: messages", test_dispatch_posts},
        {"dispatcher: timers", test_dispatch_timers},
        {"dispatcher: without means", test_dispatch_without_means},
        {"looking up servers", test_resolve},
        {"looking up servers, canceled", test_resolve_canceled},
    };
    int rc;

    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1); /* for the name that nobody knows */
    world_open();
    rc = CHECK_RUN("session", checks, argc, argv);
    world_close();
    return rc;
}
