/* Locks: one holder, in turn, nothing left behind. */
#include "check.h"
#include "world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "recipe/lock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCKS WORLD_ROOT "/locks"
#define QUEUE WORLD_ROOT "/queue"
#define K_PATH LOCKS "/" WORLD_SPACE "/30/k" /* the key's place must never change */
#define K_QUEUE QUEUE "/" WORLD_SPACE "/30"
#define MOST 4

static struct world_node *nodes[MOST];

static void begin(int count)
{
    static const char *const ids[MOST] = {"a", "b", "c", "d"};
    int i;

    world_begin(1);
    for (i = 0; i < count; i++)
        nodes[i] = world_join(ids[i], ODEZK_ROLE_MEMBER, i + 1);
    world_pass(100); /* the inboxes */
}

static void end(void)
{
    world_clean();
    CU_ASSERT_FALSE(world_failed());
    world_end();
}

/* Whether the attempt has ended so. */
static bool ends(struct world_attempt *a, int error)
{
    if (!world_wait(world_is_done, a, 20000) || a->error != error) {
        printf("\n    %s ", a->done ? odezk_errname(a->error) : "not ended");
        return false;
    }
    return true;
}

static struct world_attempt *hold(struct world_node *node, const char *key)
{
    struct world_attempt *a = world_lock(node, key, 20000);

    CU_ASSERT_TRUE(ends(a, ODEZK_OK));
    CU_ASSERT_TRUE(world_holds(a));
    return a;
}

static int waiters(void)
{
    return fake_count(K_QUEUE);
}

/* ---- arguments ---- */

static void test_arguments(void)
{
    static const char *const keys[] = {"", "\xff", "a\xc0\x80"}, *const spaces[] = {"", ".", "a/b", "\xc3\xa4"};
    char longest[ODEZK_LOCK_KEY_MAX + 2];
    size_t i;

    CU_ASSERT_PTR_NULL(oz_lock_mistake("instance", "k"));
    for (i = 0; i < sizeof keys / sizeof *keys; i++)
        CU_ASSERT_PTR_NOT_NULL(oz_lock_mistake("s", keys[i]));
    for (i = 0; i < sizeof spaces / sizeof *spaces; i++)
        CU_ASSERT_PTR_NOT_NULL(oz_lock_mistake(spaces[i], "k"));
    memset(longest, '/', sizeof longest);
    longest[ODEZK_LOCK_KEY_MAX + 1] = '\0';
    CU_ASSERT_PTR_NOT_NULL(oz_lock_mistake("s", longest));
    CU_ASSERT_PTR_NULL(oz_lock_mistake("s", longest + 1));
}

static void no_callback(int error, odezk_lock *lock, void *arg)
{
    (void)error;
    (void)lock;
    (void)arg;
}

static void test_refused_at_once(void)
{
    odezk_lock_request *request = (odezk_lock_request *)&nodes;
    odezk_lock_request *before = request;
    odezk_cluster *c;

    begin(1);
    c = nodes[0]->cluster;
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(NULL, "s", "k", 0, no_callback, NULL, &request), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", "k", 0, NULL, NULL, &request), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, NULL, "k", 0, no_callback, NULL, &request), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", NULL, 0, no_callback, NULL, &request), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", "", 0, no_callback, NULL, &request), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", "k", -1, no_callback, NULL, &request), ODEZK_EINVAL);
    oz_mem_fail_at(1);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", "k", 0, no_callback, NULL, &request), ODEZK_ENOMEM);
    oz_mem_fail_at(0);
    world_begin_close(nodes[0]);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(c, "s", "k", 0, no_callback, NULL, &request), ODEZK_ECLOSED);
    CU_ASSERT_PTR_EQUAL(request, before); /* untouched */
    odezk_lock_cancel(NULL);
    odezk_lock_free(NULL);
    CU_ASSERT_FALSE(odezk_lock_is_valid(NULL));
    CU_ASSERT_EQUAL(odezk_lock_token(NULL), 0);
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(NULL), 0);
    CU_ASSERT_EQUAL(odezk_lock_release(NULL), ODEZK_EINVAL);
    CU_ASSERT_EQUAL(odezk_lock_on_lost(NULL, NULL, NULL), ODEZK_EINVAL);
    end();
}

/* ---- nobody else wants it ---- */

static void test_alone(void)
{
    struct world_attempt *a;
    struct oz_znode_stat stat;
    int64_t token;
    long requests;

    begin(1);
    world_drop(hold(nodes[0], "k")); /* makes the directories */
    a = hold(nodes[0], "k");
    CU_ASSERT_TRUE(fake_stat(K_PATH, &stat));
    CU_ASSERT_EQUAL(stat.owner, fake_session(1));
    token = odezk_lock_token(a->lock);
    CU_ASSERT_EQUAL(token, stat.czxid);
    CU_ASSERT_EQUAL(waiters(), 0);
    CU_ASSERT_TRUE(odezk_lock_valid_ms(a->lock) > 0);
    CU_ASSERT_EQUAL(world_release(a), ODEZK_OK);
    CU_ASSERT_FALSE(odezk_lock_is_valid(a->lock));
    CU_ASSERT_EQUAL(odezk_lock_token(a->lock), token); /* stays readable */
    CU_ASSERT_EQUAL(world_release(a), ODEZK_ENOTHELD);
    CU_ASSERT_EQUAL(odezk_lock_on_lost(a->lock, NULL, NULL), ODEZK_ENOTHELD);
    world_drop(a);
    /* Released, and nobody wants it: it stays with the node. Again it takes no request. */
    world_pass(10);
    CU_ASSERT_TRUE(fake_exists(K_PATH));
    requests = fake_requests();
    a = hold(nodes[0], "k");
    CU_ASSERT_EQUAL(fake_requests(), requests);
    CU_ASSERT_EQUAL(odezk_lock_token(a->lock), token);
    world_drop(a);
    end();
}

/* A new key in a bucket that is there: one request. */
static void test_first_lock_is_one_request(void)
{
    struct world_attempt *a;
    long requests;

    begin(1);
    fake_create(LOCKS "/" WORLD_SPACE "/30", "", 0);
    requests = fake_requests();
    a = hold(nodes[0], "k");
    CU_ASSERT_EQUAL(fake_requests() - requests, 1);
    world_drop(a);
    end();
}

/* Nobody is promised a millisecond that is not there, but what is valid is not over. */
static void test_valid_ms(void)
{
    struct world_attempt *a;
    int64_t end_of_lease;

    begin(1);
    a = hold(nodes[0], "k");
    fake_cut(1, OZ_NEVER, false);
    world_pass(10);
    end_of_lease = oz_session_lease_end(nodes[0]->cluster->session);
    world_jump_to(end_of_lease - 3 * OZ_MS / 2);
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(a->lock), 1);
    world_jump_to(end_of_lease - OZ_MS / 2);
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(a->lock), 1);
    world_jump_to(end_of_lease);
    CU_ASSERT_EQUAL(odezk_lock_valid_ms(a->lock), 0);
    fake_heal(1);
    world_pass(5000);
    world_drop(a);
    end();
}

static void test_idle_locks_go(void)
{
    long requests;

    begin(1);
    world_drop(hold(nodes[0], "k"));
    world_pass(59000);
    CU_ASSERT_TRUE(fake_exists(K_PATH));
    world_pass(60000);
    CU_ASSERT_FALSE(fake_exists(K_PATH));
    requests = fake_requests();
    world_drop(hold(nodes[0], "k"));
    CU_ASSERT_TRUE(fake_requests() > requests);
    end();
}

/* Who has no inbox cannot be asked, and keeps nothing. */
static void test_client_keeps_nothing(void)
{
    struct world_node *client;

    begin(1);
    client = world_node("auto", ODEZK_ROLE_CLIENT, 2);
    world_start(client);
    world_drop(hold(client, "k"));
    world_pass(100);
    CU_ASSERT_FALSE(fake_exists(K_PATH));
    end();
}

static void test_odd_keys(void)
{
    static const char *const keys[] = {".", "..", "/", "k#1", "k", "\xe2\x82\xac", " ", "%"};
    struct world_attempt *a[8];
    size_t i;

    begin(1);
    for (i = 0; i < 8; i++)
        a[i] = hold(nodes[0], keys[i]);
    CU_ASSERT_EQUAL(fake_ephemerals(""), 2 + 8);
    for (i = 0; i < 8; i++)
        world_drop(a[i]);
    end();
}

/* ---- in turn ---- */

/* All want it at once: each gets it, in the order of their queue. */
static void test_fair(void)
{
    struct world_attempt *a[MOST], *next;
    int64_t token = 0;
    int i;

    begin(MOST);
    for (i = 0; i < MOST; i++) {
        a[i] = world_lock(nodes[i], "k", 20000);
        world_pass(50);
    }
    for (i = 0; i < MOST; i++) {
        next = a[i];
        CU_ASSERT_TRUE(ends(next, ODEZK_OK));
        CU_ASSERT_TRUE(odezk_lock_token(next->lock) > token);
        token = odezk_lock_token(next->lock);
        CU_ASSERT_EQUAL(waiters(), MOST - 1 - i);
        world_pass(100);
        world_drop(next);
    }
    world_pass(3000);
    CU_ASSERT_EQUAL(waiters(), 0);
    end();
}

/* Within a process: first come, first served, and not for ever while another node waits. */
static void test_turns(void)
{
    struct world_attempt *local[8], *other;
    int i, served = 0;

    begin(2);
    local[0] = hold(nodes[0], "k");
    for (i = 1; i < 8; i++)
        local[i] = world_lock(nodes[0], "k", 20000);
    world_pass(100);
    other = world_lock(nodes[1], "k", 20000);
    world_pass(100);
    for (i = 0; i < 8 && !other->done; i++) {
        CU_ASSERT_TRUE(local[i]->done);
        CU_ASSERT_TRUE(i == 7 || !local[i + 1]->done);
        world_drop(local[i]);
        served++;
        world_pass(100);
    }
    CU_ASSERT_TRUE(other->done);
    CU_ASSERT_TRUE(served >= 2 && served <= 4); /* lock-handovers is 2 here */
    world_drop(other);
    for (; i < 8; i++) {
        CU_ASSERT_TRUE(ends(local[i], ODEZK_OK));
        world_drop(local[i]);
    }
    end();
}

/* One release wakes one waiter. */
static void test_no_herd(void)
{
    struct world_attempt *a[MOST];
    long requests;
    int i;

    begin(MOST);
    for (i = 0; i < MOST; i++) {
        a[i] = world_lock(nodes[i], "k", 60000);
        world_pass(500);
    }
    for (i = 0; i < MOST; i++)
        CU_ASSERT_TRUE(fake_watches(i + 1) <= 5);
    world_pass(20);
    requests = fake_requests();
    world_drop(a[0]);
    while (!a[1]->done)
        world_turn(OZ_NEVER);
    CU_ASSERT_TRUE(fake_requests() - requests <= 8);
    CU_ASSERT_FALSE(a[2]->done);
    for (i = 1; i < MOST; i++) {
        CU_ASSERT_TRUE(ends(a[i], ODEZK_OK));
        world_drop(a[i]);
    }
    end();
}

static void test_watches_do_not_grow(void)
{
    struct world_attempt *a[30];
    char key[16];
    int i, before;

    begin(1);
    before = fake_watches(1);
    for (i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "key%d", i);
        a[i] = hold(nodes[0], key);
    }
    CU_ASSERT_EQUAL(fake_watches(1), before);
    for (i = 0; i < 30; i++)
        world_drop(a[i]);
    end();
}

static void test_queue_overflow(void)
{
    struct world_attempt *a[MOST];
    int i;

    begin(MOST);
    fake_create(K_QUEUE, "", 0);
    fake_set_counter(K_QUEUE, INT32_MAX - 1);
    for (i = 0; i < MOST; i++) {
        a[i] = world_lock(nodes[i], "k", 20000);
        world_pass(50);
    }
    for (i = 0; i < MOST; i++) {
        CU_ASSERT_TRUE(ends(a[i], ODEZK_OK));
        CU_ASSERT_TRUE(i == MOST - 1 || !a[i + 1]->done);
        world_drop(a[i]);
    }
    end();
}

/* Keys that begin alike share a queue's directory, and nothing else. */
static void test_alike(void)
{
    struct world_attempt *k, *other;

    begin(2);
    fake_create(K_QUEUE "/kk#0000000000000001.1#0000000000", "", fake_foreign_session());
    fake_create(K_QUEUE "/k#odd", "", 0);
    k = hold(nodes[0], "k");
    other = world_lock(nodes[1], "k", 20000);
    world_pass(1000);
    CU_ASSERT_FALSE(other->done);
    world_drop(k);
    CU_ASSERT_TRUE(ends(other, ODEZK_OK));
    world_drop(other);
    fake_delete(K_QUEUE "/kk#0000000000000001.1#0000000000");
    end();
}

/* The first node has it, and then the second, while the first keeps it. */
static void share(const char *key)
{
    struct world_attempt *a;

    world_drop(hold(nodes[0], key));
    a = world_lock(nodes[1], key, 0);
    CU_ASSERT_TRUE(ends(a, ODEZK_OK));
    world_drop(a);
}

/* What was remembered of a thousand keys does not keep others from being remembered when it is over. */
static void test_remembered(void)
{
    char key[16];
    int i;

    begin(2);
    for (i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        share(key);
    }
    world_pass(5000);
    share("k");
    world_drop(hold(nodes[0], "k"));
    world_pass(100);
    CU_ASSERT_FALSE(fake_exists(K_PATH)); /* both want it, so it is not kept */
    end();
}

/* ---- very many ---- */

#define MANY 3000

static int many_done;

static void on_one_of_many(int error, odezk_lock *lock, void *arg)
{
    (void)arg;
    CU_ASSERT_EQUAL(error, ODEZK_OK);
    odezk_lock_free(lock);
    many_done++;
}

static bool all_done(void *unused)
{
    (void)unused;
    return many_done == MANY;
}

static void take_many(struct world_node *node)
{
    char key[16];
    int i;

    many_done = 0;
    for (i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "many%d", i);
        CU_ASSERT_EQUAL(odezk_lock_acquire_async(node->cluster, WORLD_SPACE, key, 1000, on_one_of_many, NULL, NULL),
                        ODEZK_OK);
    }
}

/* The lease has its place in every flight, however many locks are asked for. */
static void test_many_leave_room(void)
{
    begin(1);
    fake_hold(1, 300 * OZ_MS);
    take_many(nodes[0]);
    world_pass(200);
    CU_ASSERT_FALSE(all_done(NULL));
    CU_ASSERT_TRUE(fake_in_flight(1) < 950); /* of 1000 */
    CU_ASSERT_TRUE(world_wait(all_done, NULL, 5000));
    end();
}

/* Behind so many the holder's delete waits, and so does the erase that tells of it. */
static void test_answer_behind_many(void)
{
    struct world_attempt *a;

    begin(2);
    world_drop(hold(nodes[0], "k"));
    fake_hold(1, 150 * OZ_MS);
    take_many(nodes[0]);
    a = world_lock(nodes[1], "k", 0);
    CU_ASSERT_TRUE(ends(a, ODEZK_OK));
    CU_ASSERT_TRUE(world_wait(all_done, NULL, 5000));
    world_drop(a);
    end();
}

/* What was not sent yet when the connection broke is answered as what was lost. */
static void test_many_cut_off(void)
{
    begin(1);
    fake_hold(1, 300 * OZ_MS);
    take_many(nodes[0]);
    world_pass(100);
    fake_cut(1, 500 * OZ_MS, false);
    CU_ASSERT_TRUE(world_wait(all_done, NULL, 5000));
    end();
}

static int refused;

static void on_refused(int error, odezk_lock *lock, void *arg)
{
    (void)lock;
    (void)arg;
    CU_ASSERT_EQUAL(error, ODEZK_EBUSY);
    refused++;
}

/* A holder that stands still has thousands of locks that it does not use. Those who try all of them leave it requests,
 * but not as many. */
static void test_many_requests(void)
{
    char key[16];
    int i, left;

    begin(2);
    take_many(nodes[0]);
    CU_ASSERT_TRUE(world_wait(all_done, NULL, 5000));
    fake_stop(1, 1500 * OZ_MS);
    refused = 0;
    for (i = 0; i < 600; i++) {
        snprintf(key, sizeof key, "many%d", i);
        CU_ASSERT_EQUAL(odezk_lock_acquire_async(nodes[1]->cluster, WORLD_SPACE, key, 0, on_refused, NULL, NULL),
                        ODEZK_OK);
    }
    world_pass(1000);
    CU_ASSERT_EQUAL(refused, 600);
    left = fake_below(WORLD_ROOT "/inbox") - 2;
    CU_ASSERT_TRUE(left >= 200 && left <= 400); /* an idle tick may have come in between */
    world_pass(2000);
    CU_ASSERT_EQUAL(fake_below(WORLD_ROOT "/inbox"), 2);
    end();
}

/* ---- without waiting, or not for long ---- */

static void test_try(void)
{
    struct world_attempt *a, *b;

    begin(2);
    a = hold(nodes[0], "k");
    b = world_lock(nodes[1], "k", 0);
    CU_ASSERT_TRUE(ends(b, ODEZK_EBUSY));
    world_drop(b);
    b = world_lock(nodes[0], "k", 0); /* the same process is another holder, too */
    CU_ASSERT_TRUE(ends(b, ODEZK_EBUSY));
    world_drop(b);
    world_pass(1000);
    CU_ASSERT_EQUAL(waiters(), 0);
    CU_ASSERT_EQUAL(fake_below(WORLD_ROOT "/inbox"), 2);
    CU_ASSERT_TRUE(world_holds(a));
    world_drop(a);
    b = world_lock(nodes[1], "k", 0); /* the first keeps it only in store */
    CU_ASSERT_TRUE(ends(b, ODEZK_OK));
    world_drop(b);
    end();
}

/* A holder that keeps it idle, but is too far away to answer in time: who tries again gets it. */
static void slow_holder(int wait_ms, int refusal)
{
    struct world_attempt *a;
    int error = refusal, tries;

    begin(2);
    world_drop(hold(nodes[0], "k"));
    for (tries = 0; error == refusal && tries < 4; tries++) {
        fake_hold(1, 500 * OZ_MS); /* what the servers send it comes late, but it comes */
        a = world_lock(nodes[1], "k", wait_ms);
        CU_ASSERT_TRUE(world_wait(world_is_done, a, 20000));
        error = a->error;
        world_drop(a);
        world_pass(300);
    }
    CU_ASSERT_EQUAL(tries, 2);
    CU_ASSERT_EQUAL(error, ODEZK_OK);
    world_pass(3000);
    CU_ASSERT_EQUAL(fake_below(WORLD_ROOT "/inbox"), 2);
    end();
}

static void test_slow_holder(void)
{
    slow_holder(0, ODEZK_EBUSY);
    slow_holder(300, ODEZK_ETIMEDOUT);
}

static void test_timeout(void)
{
    struct world_attempt *a, *b, *c;
    int64_t from;

    begin(2);
    a = hold(nodes[0], "k");
    from = oz_now();
    b = world_lock(nodes[1], "k", 700);
    c = world_lock(nodes[0], "k", 300);
    CU_ASSERT_TRUE(ends(c, ODEZK_ETIMEDOUT));
    CU_ASSERT_TRUE(oz_now() - from >= 300 * OZ_MS && oz_now() - from < 400 * OZ_MS);
    CU_ASSERT_TRUE(ends(b, ODEZK_ETIMEDOUT));
    CU_ASSERT_TRUE(oz_now() - from >= 700 * OZ_MS && oz_now() - from < 1100 * OZ_MS);
    world_drop(b);
    world_drop(c);
    world_pass(1000);
    CU_ASSERT_EQUAL(waiters(), 0);
    CU_ASSERT_EQUAL(fake_below(WORLD_ROOT "/inbox"), 2);
    CU_ASSERT_TRUE(world_holds(a));
    world_drop(a);
    end();
}

static void test_no_server(void)
{
    struct world_attempt *a;
    int64_t from;

    begin(1);
    fake_cut(1, OZ_NEVER, false);
    world_pass(100);
    from = oz_now();
    a = world_lock(nodes[0], "k", 100);
    CU_ASSERT_TRUE(world_wait(world_is_done, a, 31000)); /* operation-timeout is 30 s here */
    CU_ASSERT_EQUAL(a->error, ODEZK_EUNREACHABLE);
    CU_ASSERT_TRUE(oz_now() - from >= 30000 * OZ_MS);
    world_drop(a);
    end();
}

/* Given up at each moment: it never comes later, and nothing is left. */
static void cancel_after(int turns, bool contended)
{
    struct world_attempt *a = NULL, *b;
    bool canceled;
    int i;

    begin(2);
    if (contended)
        a = hold(nodes[0], "k");
    b = world_lock(nodes[1], "k", 20000);
    for (i = 0; i < turns; i++)
        if (!fake_step()) {
            oz_dispatch_step(nodes[1]->cluster->dispatch, 0);
            oz_dispatch_step(nodes[0]->cluster->dispatch, 0);
        }
    odezk_lock_cancel(b->request);
    odezk_lock_cancel(b->request);
    CU_ASSERT_TRUE(world_wait(world_is_done, b, 1000));
    CU_ASSERT_TRUE(b->error == ODEZK_ECANCELED || (b->error == ODEZK_OK && !contended));
    canceled = b->error == ODEZK_ECANCELED;
    world_drop(b);
    world_pass(2000);
    CU_ASSERT_EQUAL(waiters(), 0);
    CU_ASSERT_TRUE(contended || !canceled || !fake_exists(K_PATH));
    if (a) {
        CU_ASSERT_TRUE(world_holds(a));
        world_drop(a);
    }
    world_drop(hold(nodes[0], "k"));
    end();
}

static void test_cancel(void)
{
    int turns;

    for (turns = 0; turns < 30; turns++) {
        cancel_after(turns, false);
        cancel_after(turns, true);
    }
}

/* Another thread may cancel an attempt from the moment it is published, but not before it is posted: whoever cancels
 * takes the grants' mutex, so that has to be held then. The handle is written to a page that cannot be written, and the
 * signal looks at the mutex. */
static pthread_mutex_t *publishing;
static odezk_lock_request **page;
static int published_locked;

static void on_publish(int signal)
{
    (void)signal;
    published_locked = pthread_mutex_trylock(publishing);
    if (published_locked == 0)
        pthread_mutex_unlock(publishing);
    mprotect(page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
}

static void note_end(int error, odezk_lock *lock, void *arg)
{
    CU_ASSERT_EQUAL(error, ODEZK_ECANCELED);
    CU_ASSERT_PTR_NULL(lock);
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void test_published_with_its_message(void)
{
    struct sigaction act = {.sa_handler = on_publish}, before;
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    bool ended = false;

    begin(1);
    publishing = &nodes[0]->cluster->grants->lock;
    published_locked = 0;
    page = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_PTR_NOT_EQUAL_FATAL(page, MAP_FAILED);
    sigaction(SIGSEGV, &act, &before);
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(nodes[0]->cluster, WORLD_SPACE, "k", 0, note_end, &ended, page), ODEZK_OK);
    sigaction(SIGSEGV, &before, NULL);
    CU_ASSERT_EQUAL(published_locked, EBUSY);
    odezk_lock_cancel(*page);
    CU_ASSERT_TRUE(world_wait(is_true, &ended, 1000));
    munmap(page, size);
    end();
}

/* In a child the mutex of the grants may stay locked for ever, as it is here. */
static void test_cancel_in_a_child(void)
{
    struct world_attempt *a;
    int status = -1;
    pid_t pid;

    begin(1);
    a = world_lock(nodes[0], "k", 20000);
    pthread_mutex_lock(&nodes[0]->cluster->grants->lock);
    pid = fork();
    if (pid == 0) {
        alarm(5);
        odezk_lock_cancel(a->request);
        _exit(0);
    }
    pthread_mutex_unlock(&nodes[0]->cluster->grants->lock);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_TRUE(ends(a, ODEZK_OK));
    world_drop(a);
    end();
}

/* ---- whose it is ---- */

/* An unlock names its own grant: a late or repeated one does no harm to the next holder's. */
static void test_release_is_its_own(void)
{
    struct world_attempt *first, *second, *third;

    begin(2);
    first = hold(nodes[0], "k");
    second = world_lock(nodes[1], "k", 20000);
    world_pass(1000);
    world_release(first);
    CU_ASSERT_TRUE(ends(second, ODEZK_OK));
    world_release(first);
    odezk_lock_free(first->lock);
    first->lock = NULL;
    world_pass(1000);
    CU_ASSERT_TRUE(world_holds(second));
    third = world_lock(nodes[0], "k", 20000);
    world_pass(1000);
    CU_ASSERT_FALSE(third->done);
    world_drop(second);
    CU_ASSERT_TRUE(ends(third, ODEZK_OK));
    world_drop(third);
    world_drop(first);
    end();
}

/* The reply to the unlock is lost, and meanwhile another has the lock. */
static void test_release_with_lost_reply(void)
{
    static const enum fake_fault faults[] = {FAKE_LOSS_BEFORE,    FAKE_LOSS_AFTER, FAKE_LOSS_LATE, FAKE_UNKNOWN_DONE,
                                             FAKE_UNKNOWN_UNDONE, FAKE_UNSENT,     FAKE_HOLD};
    struct world_attempt *first, *second;
    size_t i;
    int n;

    for (i = 0; i < sizeof faults / sizeof *faults; i++)
        for (n = 1; n < 6; n++) {
            begin(2);
            first = hold(nodes[0], "k");
            second = world_lock(nodes[1], "k", 20000);
            world_pass(1000);
            fake_set_fault(1, n, faults[i]);
            world_drop(first);
            CU_ASSERT_TRUE(ends(second, ODEZK_OK));
            world_pass(3000);
            CU_ASSERT_TRUE(world_holds(second));
            world_drop(second);
            end();
        }
}

/* ---- losing it ---- */

static int told;

static void on_lost(odezk_lock *lock, void *arg)
{
    (void)arg;
    CU_ASSERT_FALSE(odezk_lock_is_valid(lock));
    told++;
}

static void test_lost(void)
{
    struct world_attempt *a;

    begin(1);
    a = hold(nodes[0], "k");
    fake_expire(1);
    world_pass(1000);
    CU_ASSERT_EQUAL(a->lost, 1);
    CU_ASSERT_FALSE(world_holds(a));
    told = 0;
    CU_ASSERT_EQUAL(odezk_lock_on_lost(a->lock, on_lost, NULL), ODEZK_OK); /* it is lost already: told at once */
    world_pass(10);
    CU_ASSERT_EQUAL(told, 1);
    CU_ASSERT_EQUAL(odezk_lock_on_lost(a->lock, on_lost, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_lock_on_lost(a->lock, NULL, NULL), ODEZK_OK);
    world_pass(10);
    CU_ASSERT_EQUAL(told, 1);
    CU_ASSERT_EQUAL(odezk_lock_release(a->lock), ODEZK_ELOST);
    CU_ASSERT_EQUAL(odezk_lock_release(a->lock), ODEZK_ENOTHELD);
    a->released = true;
    world_drop(a);
    end();
}

/* Its end while others wait in the same process and in another one: each gets it in the end. */
static void test_lost_with_waiters(void)
{
    struct world_attempt *a, *local, *other;

    begin(2);
    a = hold(nodes[0], "k");
    local = world_lock(nodes[0], "k", 20000);
    other = world_lock(nodes[1], "k", 20000);
    world_pass(1000);
    fake_stop(1, 3 * WORLD_TIMEOUT / 2 * OZ_MS);
    CU_ASSERT_TRUE(ends(other, ODEZK_OK));
    CU_ASSERT_FALSE(world_holds(a));
    world_drop(other);
    CU_ASSERT_TRUE(ends(local, ODEZK_OK));
    CU_ASSERT_EQUAL(a->lost, 1);
    world_drop(local);
    world_drop(a);
    end();
}

static void test_close_with_attempts(void)
{
    struct world_attempt *a, *waiting, *other;

    begin(2);
    a = hold(nodes[0], "k");
    waiting = world_lock(nodes[0], "k", 20000);
    other = world_lock(nodes[1], "k", 20000);
    world_pass(1000);
    world_begin_close(nodes[0]);
    world_pass(1000);
    CU_ASSERT_TRUE(waiting->done && waiting->error == ODEZK_ECLOSED);
    CU_ASSERT_EQUAL(a->lost, 1);
    CU_ASSERT_TRUE(other->done && other->error == ODEZK_OK);
    CU_ASSERT_EQUAL(world_release(a), ODEZK_ELOST);
    world_free(nodes[0]);
    world_drop(other);
    end();
}

/* A grant outlives the handle that it came from. */
static void test_grant_outlives_handle(void)
{
    struct world_attempt *a;
    odezk_lock *lock;

    begin(1);
    a = hold(nodes[0], "k");
    lock = a->lock;
    odezk_lock_on_lost(lock, NULL, NULL);
    a->lock = NULL; /* the world does not free it */
    world_free(nodes[0]);
    CU_ASSERT_FALSE(odezk_lock_is_valid(lock));
    CU_ASSERT_TRUE(odezk_lock_token(lock) > 0);
    CU_ASSERT_EQUAL(odezk_lock_on_lost(lock, on_lost, NULL), ODEZK_OK);
    CU_ASSERT_EQUAL(odezk_lock_release(lock), ODEZK_ELOST);
    odezk_lock_free(lock);
    end();
}

/* ---- refusals by the servers ---- */

/* The reply to the request that takes the lock is lost, and the attempt is cancelled before its outcome is known. */
static bool is_forgotten(long request, int turns)
{
    struct world_attempt *first, *second;
    struct world_node *client;
    bool left;
    int i;

    world_begin(1);
    nodes[0] = world_join("a", ODEZK_ROLE_MEMBER, 1);
    client = world_join("c", ODEZK_ROLE_CLIENT, 2);
    world_pass(100);
    first = hold(nodes[0], "k");
    second = world_lock(client, "k", 20000);
    world_pass(1000);
    fake_set_fault(2, request, FAKE_LOSS_AFTER);
    world_drop(first);
    for (i = 0; i < 100000 && !fake_fault_happened(); i++)
        world_turn(oz_now() + OZ_MS);
    for (i = 0; i < turns && !second->done; i++)
        world_turn(oz_now() + OZ_MS);
    if (!second->done) {
        odezk_lock_cancel(second->request);
        world_wait(world_is_done, second, 1000);
    }
    world_drop(second);
    world_pass(5000);
    left = fake_exists(K_PATH);
    world_clean();
    world_end();
    return left;
}

static void test_cancel_after_lost_reply(void)
{
    long request;
    int turns, forgotten = 0;

    for (request = 1; request <= 4; request++)
        for (turns = 290; turns < 340; turns++)
            forgotten += is_forgotten(request, turns);
    CU_ASSERT_EQUAL(forgotten, 0);
}

/* An operator ends a lock without a word to its holder, and another gets it, which the holder's unlock must not hit. */
static void end_under(struct world_attempt *first)
{
    int64_t other = fake_foreign_session();
    struct oz_znode_stat stat;

    fake_delete(K_PATH);
    fake_create(K_PATH, "", other);
    world_release(first);
    world_pass(1000);
    CU_ASSERT_TRUE(fake_stat(K_PATH, &stat) && stat.owner == other);
    fake_end_session(other);
    world_drop(first);
    world_clean();
    world_end();
}

/* Nobody can tell a client anything. */
static void test_ended_under_a_client(void)
{
    struct world_attempt *first;
    struct world_node *client;

    world_begin(1);
    client = world_join("c", ODEZK_ROLE_CLIENT, 1);
    world_pass(100);
    first = hold(client, "k");
    world_pass(100);
    end_under(first);
}

/* What an operator does to a lock whose holder cannot be asked, with another that takes it at once, or nobody. */
static int64_t end_unasked(bool taken)
{
    int64_t other = taken ? fake_foreign_session() : 0;

    fake_delete(K_PATH);
    if (taken)
        fake_create(K_PATH, "", other);
    return other;
}

/* The holder finds out, and leaves what is another's alone. */
static void notices(struct world_attempt *first, bool taken)
{
    struct world_attempt *local = world_lock(first->node, "k", 20000);
    struct oz_znode_stat stat;
    int64_t other;

    world_pass(100);
    CU_ASSERT_TRUE(world_holds(first));
    other = end_unasked(taken);
    world_pass(100);
    CU_ASSERT_FALSE(world_holds(first));
    CU_ASSERT_EQUAL(first->lost, 1);
    CU_ASSERT_EQUAL(world_release(first), ODEZK_ELOST);
    if (taken) {
        world_pass(1000);
        CU_ASSERT_TRUE(fake_stat(K_PATH, &stat) && stat.owner == other);
        CU_ASSERT_FALSE(local->done);
        fake_end_session(other);
    }
    CU_ASSERT_TRUE(ends(local, ODEZK_OK));
    CU_ASSERT_TRUE(fake_stat(K_PATH, &stat) && odezk_lock_token(local->lock) == stat.czxid);
    world_drop(first);
    world_drop(local);
}

static void test_client_notices_its_end(void)
{
    struct world_node *client;
    int i;

    for (i = 0; i < 2; i++) {
        world_begin(1);
        client = world_join("c", ODEZK_ROLE_CLIENT, 1);
        notices(hold(client, "k"), i);
        end();
    }
}

/* The watch outlives a lost connection, and what happened meanwhile comes to light. */
static void test_client_notices_its_end_later(void)
{
    struct world_attempt *first;
    int i;

    for (i = 0; i < 2; i++) {
        int64_t other;

        world_begin(1);
        first = hold(world_join("c", ODEZK_ROLE_CLIENT, 1), "k");
        world_pass(100);
        fake_cut(1, 500 * OZ_MS, false);
        world_pass(100);
        other = end_unasked(i);
        world_pass(100);
        CU_ASSERT_TRUE(world_holds(first));
        world_pass(1500);
        CU_ASSERT_FALSE(world_holds(first));
        if (i)
            fake_end_session(other);
        world_drop(first);
        end();
    }
}

/* What is changed, but still ours, is watched on. */
static void test_client_watches_on(void)
{
    struct world_attempt *first;
    int i;

    world_begin(1);
    first = hold(world_join("c", ODEZK_ROLE_CLIENT, 1), "k");
    for (i = 0; i < 3; i++) {
        world_pass(100);
        fake_set(K_PATH, "changed");
        fake_spurious(1);
    }
    world_pass(100);
    CU_ASSERT_TRUE(world_holds(first));
    end_unasked(false);
    world_pass(100);
    CU_ASSERT_FALSE(world_holds(first));
    world_drop(first);
    end();
}

/* Who can be asked needs no watch; who cannot needs one, which goes with the lock. */
static void test_client_leaves_no_watch(void)
{
    struct world_node *client;
    int i, before;

    world_begin(1);
    client = world_join("c", ODEZK_ROLE_CLIENT, 1);
    before = fake_watches(1);
    for (i = 0; i < 5; i++) {
        struct world_attempt *a = hold(client, "k");

        world_pass(10);
        CU_ASSERT_EQUAL(fake_watches(1), before + 1);
        world_drop(a);
        world_pass(100);
        CU_ASSERT_EQUAL(fake_watches(1), before);
        world_drop(hold(client, "k")); /* the read is still under way */
        world_pass(100);
        CU_ASSERT_EQUAL(fake_watches(1), before);
    }
    end();
}

static void rejoin(struct world_node *node)
{
    char *name = fake_child(WORLD_ROOT "/members", 0), path[300];

    snprintf(path, sizeof path, WORLD_ROOT "/members/%s", name);
    free(name);
    fake_delete(path);
    world_pass(2000);
    CU_ASSERT_TRUE(world_is_ready(node));
}

static void test_former_member_notices_its_end(void)
{
    struct world_attempt *first;
    int i;

    for (i = 0; i < 2; i++) {
        begin(1);
        first = hold(nodes[0], "k");
        rejoin(nodes[0]);
        notices(first, i);
        end();
    }
}

/* An operator ends the lock of a node that is cut off, and another gets it: the first node leaves it alone later. */
static void test_ended_while_cut_off(void)
{
    struct world_attempt *first, *second;
    struct oz_znode_stat stat;

    begin(2);
    first = hold(nodes[0], "k");
    second = world_lock(nodes[1], "k", 200000);
    world_pass(500);
    fake_cut(1, 3000 * OZ_MS, false);
    world_pass(500);
    world_release(first); /* it says so to nobody yet */
    fake_delete(K_PATH);
    CU_ASSERT_TRUE(world_wait(world_is_done, second, 1000));
    world_pass(4000);
    CU_ASSERT_TRUE(world_holds(second));
    CU_ASSERT_TRUE(fake_stat(K_PATH, &stat) && stat.owner == fake_session(2));
    world_drop(second);
    world_drop(first);
    world_clean();
    world_end();
    CU_ASSERT_FALSE(world_failed());
}

/* A node joined again with the same session: its older lock names an inbox in which nobody can tell it anything. */
static void test_ended_under_a_former_member(void)
{
    struct world_attempt *first;

    begin(1);
    first = hold(nodes[0], "k");
    rejoin(nodes[0]);
    CU_ASSERT_TRUE(world_holds(first));
    end_under(first);
    CU_ASSERT_FALSE(world_failed());
}

/* The delete cannot be sent at once, and then not for long: another has the lock when it could. */
static void test_ended_before_the_delete_was_sent(void)
{
    struct world_attempt *first, *second;
    struct oz_znode_stat stat;

    begin(2);
    first = hold(nodes[0], "k");
    second = world_lock(nodes[1], "k", 200000);
    world_pass(3000);
    fake_set_fault(1, 1, FAKE_UNSENT);
    world_release(first);
    world_pass(50);
    CU_ASSERT_TRUE(fake_fault_happened());
    CU_ASSERT_TRUE(fake_exists(K_PATH));
    fake_cut(1, 3000 * OZ_MS, false);
    world_pass(2500);
    fake_delete(K_PATH);
    CU_ASSERT_TRUE(world_wait(world_is_done, second, 300));
    world_pass(4000);
    CU_ASSERT_TRUE(world_holds(second));
    CU_ASSERT_TRUE(fake_stat(K_PATH, &stat) && stat.owner == fake_session(2));
    world_drop(second);
    world_drop(first);
    world_clean();
    world_end();
    CU_ASSERT_FALSE(world_failed());
}

static void test_forbidden(void)
{
    struct world_attempt *a;

    begin(1);
    fake_set_denied(LOCKS, OZ_DENIED);
    a = world_lock(nodes[0], "k", 1000);
    CU_ASSERT_TRUE(ends(a, ODEZK_EAUTH));
    world_drop(a);
    fake_set_denied(LOCKS, OZ_FAILED);
    a = world_lock(nodes[0], "k", 1000);
    CU_ASSERT_TRUE(ends(a, ODEZK_ESERVER));
    world_drop(a);
    fake_set_denied(NULL, OZ_OK);
    world_drop(hold(nodes[0], "k"));
    end();
}

static char reason[256];

static void note_reason(int error, odezk_lock *lock, void *arg)
{
    (void)error;
    (void)lock;
    (void)arg;
    snprintf(reason, sizeof reason, "%s", odezk_last_error());
}

static void test_reason(void)
{
    struct world_attempt *a;

    begin(1);
    a = hold(nodes[0], "k");
    CU_ASSERT_EQUAL(odezk_lock_acquire_async(nodes[0]->cluster, WORLD_SPACE, "k", 0, note_reason, NULL, NULL),
                    ODEZK_OK);
    world_pass(100);
    CU_ASSERT_STRING_EQUAL(reason, "lock " WORLD_SPACE "/k: another holds the lock");
    world_drop(a);
    end();
}

static void test_forbidden_queue(void)
{
    struct world_attempt *a, *b;

    begin(2);
    a = hold(nodes[0], "k");
    fake_set_denied(QUEUE, OZ_DENIED);
    b = world_lock(nodes[1], "k", 1000);
    CU_ASSERT_TRUE(ends(b, ODEZK_EAUTH));
    world_drop(b);
    world_drop(a);
    fake_set_denied(NULL, OZ_OK);
    end();
}

/* The delete is refused for a while: it goes on trying, and not all the time. */
static void test_forbidden_delete(void)
{
    struct world_node *client;
    struct world_attempt *a;
    long requests;

    begin(1);
    client = world_node("auto", ODEZK_ROLE_CLIENT, 2);
    world_start(client);
    a = hold(client, "k");
    fake_set_denied(LOCKS, OZ_DENIED);
    requests = fake_requests();
    world_drop(a);
    world_pass(5000);
    CU_ASSERT_TRUE(fake_requests() - requests < 250);
    fake_set_denied(NULL, OZ_OK);
    world_pass(1000);
    CU_ASSERT_FALSE(fake_exists(K_PATH));
    end();
}

/* ---- under every fault ---- */

/* Each gets it or is told why not; what was got is given back. */
static bool finished(struct world_attempt *a)
{
    if (!a)
        return true;
    if (!world_wait(world_is_done, a, 60000)) {
        if (!world_failed())
            world_fail("%s: its attempt to lock %s does not end", a->node->id, a->key);
        return false;
    }
    if (a->error != ODEZK_OK && a->error != ODEZK_ETIMEDOUT && a->error != ODEZK_EBUSY && a->error != ODEZK_ENOMEM &&
        a->error != ODEZK_ECANCELED)
        world_fail("%s: %s ended with %s", a->node->id, a->key, odezk_errname(a->error));
    world_pass(20);
    world_drop(a);
    return true;
}

/* Three nodes want one lock: one waits long, one tries, two of one process wait, one gives up; then
 * the holder goes. */
static void scenario(void)
{
    struct world_node *a = world_join("a", ODEZK_ROLE_MEMBER, 1), *b = world_join("b", ODEZK_ROLE_MEMBER, 2);
    struct world_node *c = world_join("c", ODEZK_ROLE_CLIENT, 3);
    struct world_attempt *first, *second, *third, *fourth, *fifth;

    if (world_failed())
        return;
    first = world_lock(a, "k", 20000);
    world_pass(20);
    second = world_lock(b, "k", 20000);
    third = world_lock(c, "k", 20000);
    fourth = world_lock(a, "k", 20000);
    fifth = world_lock(b, "k", 0);
    world_pass(200);
    if (!finished(first) || !finished(fifth))
        return;
    fifth = world_lock(c, "k", 20000);
    world_pass(10);
    if (fifth)
        odezk_lock_cancel(fifth->request);
    if (!finished(second) || !finished(third) || !finished(fourth) || !finished(fifth))
        return;
    first = world_lock(b, "k", 20000); /* kept in store by whoever had it last */
    world_pass(50);
    second = world_lock(a, "k", 50);
    world_pass(30);
    world_free(b);
    if (second)
        finished(second);
    finished(world_lock(c, "k", 20000));
}

static void test_faults(void)
{
    world_sweep_faults("lock", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

static void test_memory(void)
{
    world_sweep_memory("lock", scenario);
    CU_ASSERT_EQUAL(world_failures(), 0);
}

int main(int argc, char **argv)
{
    static const struct check checks[] = {
        {"spaces and keys", test_arguments},
        {"refused at once", test_refused_at_once},
        {"alone", test_alone},
        {"the first lock of a key is one request", test_first_lock_is_one_request},
        {"how long it is valid", test_valid_ms},
        {"idle locks go", test_idle_locks_go},
        {"a client keeps nothing", test_client_keeps_nothing},
        {"odd keys", test_odd_keys},
        {"in turn", test_fair},
        {"in turn within a process", test_turns},
        {"no herd", test_no_herd},
        {"watches do not grow", test_watches_do_not_grow},
        {"a counter that overflows", test_queue_overflow},
        {"keys that begin alike", test_alike},
        {"what is remembered is forgotten", test_remembered},
        {"very many leave room", test_many_leave_room},
        {"an answer behind very many", test_answer_behind_many},
        {"very many are cut off", test_many_cut_off},
        {"very many requests", test_many_requests},
        {"try", test_try},
        {"a slow holder", test_slow_holder},
        {"a wait that is too short", test_timeout},
        {"no server", test_no_server},
        {"canceled at each moment", test_cancel},
        {"published with its message", test_published_with_its_message},
        {"canceled in a child", test_cancel_in_a_child},
        {"an unlock is its own grant's", test_release_is_its_own},
        {"an unlock whose reply is lost", test_release_with_lost_reply},
        {"lost", test_lost},
        {"lost while others wait", test_lost_with_waiters},
        {"closed while others wait", test_close_with_attempts},
        {"a grant outlives its handle", test_grant_outlives_handle},
        {"cancelled after a lost reply", test_cancel_after_lost_reply},
        {"ended under a client", test_ended_under_a_client},
        {"a client notices its end", test_client_notices_its_end},
        {"a client notices its end later", test_client_notices_its_end_later},
        {"a client watches on", test_client_watches_on},
        {"a client leaves no watch", test_client_leaves_no_watch},
        {"a former member notices its end", test_former_member_notices_its_end},
        {"ended while cut off", test_ended_while_cut_off},
        {"ended under a former member", test_ended_under_a_former_member},
        {"ended before the delete was sent", test_ended_before_the_delete_was_sent},
        {"why none was granted", test_reason},
        {"forbidden", test_forbidden},
        {"a forbidden queue", test_forbidden_queue},
        {"a forbidden delete", test_forbidden_delete},
        {"every fault at every request", test_faults},
        {"every allocation fails", test_memory},
    };
    int rc;

    world_open();
    rc = CHECK_RUN("lock", checks, argc, argv);
    world_close();
    return rc;
}
