/* Locks: order, times, tokens, loss, and nothing left behind. */
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPACE "s"

/* ---- looking ---- */

/* How many seats are in the queues of a space. */
static int count_waiting(const char *space)
{
    const char *dir = it_path("queue/%s", space);
    struct it_names buckets;
    char bucket[2048];
    int count = 0;

    if (it_zk_children(it_zk(), dir, &buckets) != IT_OK)
        return 0;
    for (int i = 0; i < buckets.count; i++) {
        snprintf(bucket, sizeof bucket, "%s/%s", dir, buckets.names[i]);
        count += it_zk_count(bucket, "*");
    }
    it_names_free(&buckets);
    return count;
}

static bool waiting_are(void *arg)
{
    return count_waiting(SPACE) == *(int *)arg;
}

/* With time for the session of one that was killed to end. */
static bool wait_for_waiting(int count)
{
    return it_until(it_timeout() + 5000, waiting_are, &count);
}

/* ---- asynchronous attempts ---- */

struct attempt {
    atomic_int calls;
    atomic_int error;
    _Atomic(odezk_lock *) lock;
    odezk_lock_request *request;
    atomic_int *order; /* counts grants of several attempts */
    atomic_int place;
};

static void on_end(int error, odezk_lock *lock, void *arg)
{
    struct attempt *attempt = arg;

    attempt->error = error;
    attempt->lock = lock;
    if (attempt->order && error == ODEZK_OK)
        attempt->place = atomic_fetch_add(attempt->order, 1) + 1;
    attempt->calls++;
}

static int begin(struct attempt *attempt, odezk_cluster *cluster, const char *key, int wait_ms)
{
    return odezk_lock_acquire_async(cluster, SPACE, key, wait_ms, on_end, attempt, &attempt->request);
}

static bool has_ended(void *arg)
{
    return ((struct attempt *)arg)->calls > 0;
}

static bool ends_with(struct attempt *attempt, int ms, int error)
{
    if (!it_until(ms, has_ended, attempt)) {
        it_note("the attempt did not end");
        return false;
    }
    if (attempt->error != error)
        it_note("the attempt ended with %s", odezk_errname(attempt->error));
    return attempt->error == error && attempt->calls == 1 && (attempt->lock != NULL) == (error == ODEZK_OK);
}

/* Releases, and says how that ended. */
static int give_back(odezk_lock *lock)
{
    int rc = odezk_lock_release(lock);

    odezk_lock_free(lock);
    return rc;
}

/* ---- one after the other ---- */

static void take_and_give(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL, *other = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    int64_t token = odezk_lock_token(lock);
    CHECK(odezk_lock_is_valid(lock));
    CHECK(odezk_lock_valid_ms(lock) > 0 && odezk_lock_valid_ms(lock) <= it_timeout());
    CHECK(token > 0);
    CHECK(odezk_lock_acquire(b, SPACE, "k", 0, &other) == ODEZK_EBUSY && !other);
    CHECK(odezk_lock_acquire(b, SPACE, "k", 1, &other) == ODEZK_ETIMEDOUT && !other);
    CHECK(odezk_lock_acquire(a, SPACE, "k", 0, &other) == ODEZK_EBUSY && !other);
    CHECK(odezk_lock_acquire(a, SPACE, "k", 50, &other) == ODEZK_ETIMEDOUT && !other);
    CHECK(odezk_lock_release(lock) == ODEZK_OK);
    CHECK(!odezk_lock_is_valid(lock) && odezk_lock_valid_ms(lock) == 0);
    CHECK(odezk_lock_token(lock) == token);
    CHECK(odezk_lock_release(lock) == ODEZK_ENOTHELD);
    CHECK(odezk_lock_on_lost(lock, NULL, NULL) == ODEZK_ENOTHELD);
    odezk_lock_free(lock);
    NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &other) == ODEZK_OK);
    CHECK(odezk_lock_token(other) > token);
    odezk_lock_free(other); /* releases */
    NEED(odezk_lock_acquire(a, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK);
    odezk_lock_free(lock);
    odezk_lock_free(NULL);
    CHECK(!odezk_lock_is_valid(NULL) && odezk_lock_token(NULL) == 0);
    CHECK(odezk_lock_release(NULL) == ODEZK_EINVAL);
}

/* On a free key every wait is enough: it bounds the wait for another holder, not the network. */
static void free_keys_need_no_wait(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    char key[16];

    for (int i = 0; i < 40; i++) {
        odezk_lock *lock = NULL;
        snprintf(key, sizeof key, "k%d", i);
        NEED(odezk_lock_acquire(a, SPACE, key, i % 2, &lock) == ODEZK_OK);
        CHECK(odezk_lock_is_valid(lock));
        CHECK(give_back(lock) == ODEZK_OK);
    }
}

/* The same key again at once, without a wait: what this node itself has just given back is free. */
static void same_key_again(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    int64_t last = 0, serial = 0;

    for (int i = 0; i < 200; i++) {
        odezk_lock *lock = NULL;
        NEED(odezk_lock_acquire(a, SPACE, "k", i % 2, &lock) == ODEZK_OK);
        CHECK(odezk_lock_token(lock) > last || (odezk_lock_token(lock) == last && odezk_lock_serial(lock) > serial));
        last = odezk_lock_token(lock);
        serial = odezk_lock_serial(lock);
        CHECK(give_back(lock) == ODEZK_OK);
    }
}

static void waits_end_in_time(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL, *none = NULL;
    static const int waits[] = {0, 1, 100, 400};

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t since = it_now_ms(), running = it_running_ms();
        int rc = odezk_lock_acquire(b, SPACE, "k", waits[i], &none);
        int64_t took = it_now_ms() - since;
        CHECK(rc == (waits[i] == 0 ? ODEZK_EBUSY : ODEZK_ETIMEDOUT));
        CHECK(took >= waits[i] && it_running_ms() - running < waits[i] + it_ms(500));
        CHECK(wait_for_waiting(0));
    }
    odezk_lock_free(lock);
}

static void arguments(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;
    char key[514];
    struct attempt attempt = {0};

    memset(key, 'k', sizeof key);
    key[513] = '\0';
    CHECK(odezk_lock_acquire(a, SPACE, key, 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, "", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, NULL, 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, NULL, "k", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, "", "k", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, "a/b", "k", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, "..", "k", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, "\xc3\x28", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, "\xed\xa0\x80", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, "k", -1, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(a, SPACE, "k", 0, NULL) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire(NULL, SPACE, "k", 0, &lock) == ODEZK_EINVAL);
    CHECK(odezk_lock_acquire_async(a, SPACE, "k", 0, NULL, NULL, NULL) == ODEZK_EINVAL);
    CHECK(begin(&attempt, a, "", 0) == ODEZK_EINVAL);
    CHECK(!lock && !attempt.request && attempt.calls == 0);
    odezk_lock_cancel(NULL);
}

static void odd_keys(void)
{
    static char longest[513];
    static const char *const keys[] = {"a/b",  "/",    "//",           ".",         "..",       "...",
                                       "%",    "%2F",  "a%2Fb",        "a#b",       "a b",      " ",
                                       "\n",   "\x01", "\x7f",         "zookeeper", "\xc3\xbc", "\xf0\x9f\x94\x92",
                                       "a\\b", "?*[",  "a#0000000001", "..#",       "k#1.2",    longest};
    enum { COUNT = sizeof keys / sizeof *keys };
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *locks[COUNT] = {0}, *other = NULL;

    for (int i = 0; i < 512; i += 2)
        memcpy(longest + i, "\xc3\xa4", 2);
    for (int i = 0; i < COUNT; i++) {
        CHECK(odezk_lock_acquire(a, SPACE, keys[i], 0, &locks[i]) == ODEZK_OK);
        CHECK(odezk_lock_acquire(b, SPACE, keys[i], 0, &other) == ODEZK_EBUSY);
        CHECK(odezk_lock_acquire(b, SPACE, keys[i], 20, &other) == ODEZK_ETIMEDOUT);
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK(odezk_lock_is_valid(locks[i]));
        odezk_lock_free(locks[i]);
        CHECK(odezk_lock_acquire(b, SPACE, keys[i], it_ms(5000), &other) == ODEZK_OK);
        odezk_lock_free(other);
        other = NULL;
    }
}

static void two_spaces(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *first = NULL, *second = NULL, *none = NULL;

    NEED(odezk_lock_acquire(a, ODEZK_SPACE_INSTANCE, "4711", 0, &first) == ODEZK_OK);
    NEED(odezk_lock_acquire(b, ODEZK_SPACE_DEPLOYMENT, "4711", 0, &second) == ODEZK_OK);
    CHECK(odezk_lock_acquire(b, ODEZK_SPACE_INSTANCE, "4711", 0, &none) == ODEZK_EBUSY);
    CHECK(odezk_lock_acquire(a, ODEZK_SPACE_DEPLOYMENT, "4711", 0, &none) == ODEZK_EBUSY);
    CHECK(odezk_lock_is_valid(first) && odezk_lock_is_valid(second));
    odezk_lock_free(first);
    odezk_lock_free(second);
}

/* ---- order ---- */

static void first_come_first_served(void)
{
    enum { COUNT = 6 };
    odezk_cluster *holder = it_join(ODEZK_ROLE_CLIENT, NULL), *others[COUNT];
    struct attempt attempts[COUNT] = {0};
    odezk_lock *lock = NULL;
    atomic_int order = 0;
    int64_t last;

    NEED(odezk_lock_acquire(holder, SPACE, "k", 0, &lock) == ODEZK_OK);
    last = odezk_lock_token(lock);
    for (int i = 0; i < COUNT; i++) {
        others[i] = it_join(ODEZK_ROLE_CLIENT, NULL);
        attempts[i].order = &order;
        NEED(begin(&attempts[i], others[i], "k", it_ms(30000)) == ODEZK_OK);
        NEED(wait_for_waiting(i + 1));
    }
    CHECK(order == 0);
    CHECK(give_back(lock) == ODEZK_OK);
    for (int i = 0; i < COUNT; i++) {
        NEED(ends_with(&attempts[i], 5000, ODEZK_OK));
        CHECK(attempts[i].place == i + 1);
        CHECK(odezk_lock_token(attempts[i].lock) > last);
        last = odezk_lock_token(attempts[i].lock);
        CHECK(order == i + 1);
        CHECK(give_back(attempts[i].lock) == ODEZK_OK);
    }
    CHECK(wait_for_waiting(0));
}

static void order_of_processes(void)
{
    enum { COUNT = 4 };
    odezk_cluster *holder = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_process *processes[COUNT];
    odezk_lock *lock = NULL;
    int64_t last = 0;

    NEED(odezk_lock_acquire(holder, SPACE, "k", 0, &lock) == ODEZK_OK);
    for (int i = 0; i < COUNT; i++) {
        processes[i] =
            it_start("odezk", "exec", "--servers", it_servers(), "--base", it_base(), "--cluster", "c", "--space",
                     SPACE, "--lock", "k", "--", "sh", "-c", "echo \"token $ODEZK_FENCING_TOKEN\"", NULL);
        NEED(wait_for_waiting(i + 1));
    }
    CHECK(give_back(lock) == ODEZK_OK);
    for (int i = 0; i < COUNT; i++) {
        CHECK(it_exit(processes[i], 10000) == 0);
        int64_t token = it_number(it_last(processes[i]->log, "token *"));
        CHECK(token > last);
        last = token;
    }
}

/* Waiters of one process are served in order as well, and another process gets its turn. */
/* A command whose lock an operator ends is ended too. */
static void a_command_whose_lock_is_ended(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *next = NULL;

    NEED(a != NULL);
    struct it_process *process =
        it_start("odezk", "exec", "--servers", it_servers(), "--base", it_base(), "--cluster", "c", "--space", SPACE,
                 "--lock", "k", "--", "sh", "-c",
                 "trap 'echo caught; exit 3' TERM; echo \"token $ODEZK_FENCING_TOKEN\"; sleep 1234.5 & wait", NULL);
    const char *line = it_expect(process->log, 20000, "token *");
    NEED(line != NULL);
    CHECK(odezk_lock_end(a, SPACE, "k", it_number(line), it_ms(5000)) == ODEZK_OK);
    CHECK(odezk_lock_acquire(a, SPACE, "k", 0, &next) == ODEZK_OK);
    CHECK(it_expect(process->log, it_ms(5000), "caught") != NULL);
    CHECK(it_exit(process, it_ms(10000)) == 1);
    CHECK(odezk_lock_token(next) > it_number(line) && odezk_lock_is_valid(next));
    odezk_lock_free(next);
}

static void order_within_a_process(void)
{
    enum { COUNT = 5 };
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct attempt attempts[COUNT] = {0}, other = {0};
    odezk_lock *lock = NULL;
    atomic_int order = 0;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    for (int i = 0; i < COUNT; i++) {
        attempts[i].order = &order;
        NEED(begin(&attempts[i], a, "k", it_ms(30000)) == ODEZK_OK);
    }
    NEED(begin(&other, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(wait_for_waiting(1));
    CHECK(give_back(lock) == ODEZK_OK);
    for (int i = 0; i < COUNT; i++) {
        NEED(ends_with(&attempts[i], 5000, ODEZK_OK));
        CHECK(attempts[i].place == i + 1);
        CHECK(give_back(attempts[i].lock) == ODEZK_OK);
    }
    NEED(ends_with(&other, 5000, ODEZK_OK));
    CHECK(give_back(other.lock) == ODEZK_OK);
}

/* A process whose threads want a lock all the time does not keep it from another. */
struct greedy {
    odezk_cluster *cluster;
    atomic_bool stop;
    atomic_int failed;
};

static void *take_all_the_time(void *arg)
{
    struct greedy *greedy = arg;

    while (!greedy->stop) {
        odezk_lock *lock = NULL;
        if (odezk_lock_acquire(greedy->cluster, SPACE, "k", it_ms(20000), &lock) != ODEZK_OK)
            greedy->failed++;
        odezk_lock_free(lock);
    }
    return NULL;
}

static void no_starvation(void)
{
    enum { THREADS = 4 };
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct greedy greedy = {.cluster = a};
    pthread_t threads[THREADS];
    int got = 0;

    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, take_all_the_time, &greedy) == 0);
    for (int i = 0; i < 10; i++) {
        odezk_lock *lock = NULL;
        if (odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK)
            got++;
        else
            it_note("%s", odezk_last_error());
        odezk_lock_free(lock);
    }
    greedy.stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(got == 10);
    CHECK(greedy.failed == 0);
}

/* ---- asynchronous ---- */

static void cancel(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct attempt first = {0}, second = {0}, third = {0};
    odezk_lock *lock = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(begin(&first, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(begin(&second, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(wait_for_waiting(1));
    odezk_lock_cancel(first.request);
    CHECK(ends_with(&first, 2000, ODEZK_ECANCELED));
    CHECK(second.calls == 0);
    odezk_lock_cancel(second.request);
    CHECK(ends_with(&second, 2000, ODEZK_ECANCELED));
    CHECK(wait_for_waiting(0));
    /* One of its own process, which waits for no znode. */
    NEED(begin(&third, a, "k", it_ms(30000)) == ODEZK_OK);
    odezk_lock_cancel(third.request);
    CHECK(ends_with(&third, 2000, ODEZK_ECANCELED));
    CHECK(odezk_lock_is_valid(lock));
    odezk_lock_free(lock);
}

/* The cancellation races with the grant: either end is fine, but there is one, and nothing is left.
 */
struct race {
    pthread_mutex_t lock;
    bool over;
    struct attempt attempt;
};

static void on_race_end(int error, odezk_lock *lock, void *arg)
{
    struct race *race = arg;

    /* The request may be canceled until we return. */
    pthread_mutex_lock(&race->lock);
    race->over = true;
    pthread_mutex_unlock(&race->lock);
    on_end(error, lock, &race->attempt);
}

static void cancel_race(struct race *race)
{
    pthread_mutex_lock(&race->lock);
    if (!race->over)
        odezk_lock_cancel(race->attempt.request);
    pthread_mutex_unlock(&race->lock);
}

static void cancel_at_any_moment(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    int granted = 0, canceled = 0;

    for (int i = 0; i < 200; i++) {
        struct race race = {.lock = PTHREAD_MUTEX_INITIALIZER};
        odezk_lock *lock = NULL;
        if (i % 2)
            NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK);
        NEED(odezk_lock_acquire_async(a, SPACE, "k", it_ms(30000), on_race_end, &race, &race.attempt.request) ==
             ODEZK_OK);
        usleep((useconds_t)(i * 37 % 2500));
        if (i % 20 == 1) /* certainly before the grant */
            cancel_race(&race);
        odezk_lock_free(lock);
        usleep((useconds_t)(i * 53 % 1500));
        if (i % 20 == 0) /* certainly after it */
            CHECK(it_until(5000, has_ended, &race.attempt));
        cancel_race(&race);
        NEED(it_until(5000, has_ended, &race.attempt));
        CHECK(race.attempt.calls == 1);
        granted += race.attempt.error == ODEZK_OK;
        canceled += race.attempt.error == ODEZK_ECANCELED;
        odezk_lock_free(race.attempt.lock);
    }
    CHECK(granted > 0 && canceled > 0 && granted + canceled == 200);
    CHECK(wait_for_waiting(0));
}

/* A thread that cancels each attempt as soon as its handle is known. */
static struct {
    pthread_mutex_t lock;
    odezk_lock_request *volatile request;
    atomic_bool stop;
    atomic_int calls;
} hasty = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_hasty_end(int error, odezk_lock *lock, void *arg)
{
    (void)error;
    (void)arg;
    pthread_mutex_lock(&hasty.lock);
    hasty.request = NULL;
    pthread_mutex_unlock(&hasty.lock);
    odezk_lock_free(lock);
    hasty.calls++;
}

static void *cancel_at_once(void *arg)
{
    odezk_lock_request *last = NULL;

    while (!hasty.stop) {
        odezk_lock_request *request = hasty.request;
        if (!request || request == last)
            continue;
        pthread_mutex_lock(&hasty.lock);
        if (hasty.request == request)
            odezk_lock_cancel(request);
        pthread_mutex_unlock(&hasty.lock);
        last = request;
    }
    return arg;
}

static bool hasty_calls(void *arg)
{
    return hasty.calls == *(int *)arg;
}

/* The other thread looks at the pointer while the call may be writing it: no program should. */
static void canceled_as_soon_as_known(void)
{
#if defined(__SANITIZE_THREAD__)
    return;
#endif
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a");
    pthread_t thread;
    bool all = true;

    NEED(a != NULL);
    hasty.stop = false;
    hasty.calls = 0;
    NEED(pthread_create(&thread, NULL, cancel_at_once, NULL) == 0);
    for (int i = 1; i <= 5000 && all; i++) {
        all = odezk_lock_acquire_async(a, SPACE, "k", 1000, on_hasty_end, NULL,
                                       (odezk_lock_request **)&hasty.request) == ODEZK_OK;
        for (int n = 0; n < 2000 && hasty.calls < i; n++)
            usleep(20);
        all = all && it_until(5000, hasty_calls, &i);
    }
    hasty.stop = true;
    pthread_join(thread, NULL);
    CHECK(all);
}

static void closing_ends_attempts(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct attempt queued = {0}, local = {0}, late = {0};
    odezk_lock *lock = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(begin(&queued, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(begin(&local, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(wait_for_waiting(1));
    CHECK(odezk_cluster_close(b) == ODEZK_OK);
    CHECK(queued.calls == 1 && queued.error == ODEZK_ECLOSED);
    CHECK(local.calls == 1 && local.error == ODEZK_ECLOSED);
    CHECK(begin(&late, b, "k", 0) == ODEZK_ECLOSED);
    CHECK(late.calls == 0);
    CHECK(wait_for_waiting(0));
    odezk_lock_free(lock);
}

/* ---- loss ---- */

struct loss {
    atomic_int calls;
    atomic_bool valid;
};

static void on_lost(odezk_lock *lock, void *arg)
{
    struct loss *loss = arg;

    loss->valid = odezk_lock_is_valid(lock);
    loss->calls++;
}

static bool is_lost(void *arg)
{
    return ((struct loss *)arg)->calls > 0;
}

static void lost_with_the_session(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};
    struct loss loss = {0}, late = {0}, removed = {0};
    odezk_lock *lock = NULL, *quiet = NULL, *next = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(odezk_lock_acquire(a, SPACE, "quiet", 0, &quiet) == ODEZK_OK);
    NEED(odezk_lock_on_lost(lock, on_lost, &loss) == ODEZK_OK);
    NEED(odezk_lock_on_lost(quiet, on_lost, &removed) == ODEZK_OK);
    NEED(odezk_lock_on_lost(quiet, NULL, NULL) == ODEZK_OK);
    NEED(odezk_cluster_session(a, &info) == ODEZK_OK);
    NEED(it_zk_expire(info.session_id));
    NEED(it_until(it_timeout() + 5000, is_lost, &loss));
    CHECK(loss.calls == 1 && !loss.valid);
    CHECK(!odezk_lock_is_valid(lock));
    CHECK(odezk_lock_token(lock) > 0);
    NEED(odezk_lock_on_lost(lock, on_lost, &late) == ODEZK_OK);
    CHECK(it_until(5000, is_lost, &late));
    NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &next) == ODEZK_OK);
    CHECK(odezk_lock_token(next) > odezk_lock_token(lock));
    CHECK(odezk_lock_release(lock) == ODEZK_ELOST);
    CHECK(odezk_lock_is_valid(next));
    CHECK(removed.calls == 0);
    odezk_lock_free(lock);
    odezk_lock_free(quiet);
    odezk_lock_free(next);
    /* The handle goes on with its next session. */
    NEED(odezk_lock_acquire(a, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

static void lost_with_the_handle(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct loss loss = {0};
    odezk_lock *lock = NULL, *next = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(odezk_lock_on_lost(lock, on_lost, &loss) == ODEZK_OK);
    it_free(a);
    CHECK(loss.calls == 1 && !loss.valid);
    CHECK(!odezk_lock_is_valid(lock));
    CHECK(odezk_lock_on_lost(lock, on_lost, &loss) == ODEZK_OK);
    NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &next) == ODEZK_OK);
    CHECK(odezk_lock_token(next) > odezk_lock_token(lock));
    CHECK(odezk_lock_release(lock) == ODEZK_ELOST);
    odezk_lock_free(lock);
    CHECK(odezk_lock_is_valid(next));
    odezk_lock_free(next);
}

/* Cut off from the servers: the lease ends the lock before another can have it. */
static void lost_with_the_lease(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    struct loss loss = {0};
    odezk_lock *lock = NULL, *next = NULL;
    char servers[64];

    NEED(proxy != NULL);
    it_set_timeout(IT_STEADY);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    odezk_config *config = it_config(NULL, "servers", servers, NULL);
    odezk_cluster *cut = it_new(ODEZK_ROLE_CLIENT, config);
    odezk_config_free(config);
    odezk_cluster *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    NEED(odezk_lock_acquire(cut, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(odezk_lock_on_lost(lock, on_lost, &loss) == ODEZK_OK);
    it_proxy_hold(proxy, true);
    CHECK(odezk_lock_is_valid(lock));
    NEED(odezk_lock_acquire(b, SPACE, "k", it_timeout() + it_ms(5000), &next) == ODEZK_OK);
    CHECK(!odezk_lock_is_valid(lock));
    CHECK(it_until(5000, is_lost, &loss));
    CHECK(loss.calls == 1 && !loss.valid);
    CHECK(odezk_lock_token(next) > odezk_lock_token(lock));
    it_proxy_hold(proxy, false);
    CHECK(odezk_lock_release(lock) == ODEZK_ELOST);
    odezk_lock_free(lock);
    CHECK(odezk_lock_is_valid(next));
    odezk_lock_free(next);
}

/* ---- by key ---- */

static void *release_by_key(void *arg)
{
    return (void *)(intptr_t)odezk_lock_release_key(arg, SPACE, "k");
}

static void by_key(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_MEMBER, "a"), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;
    pthread_t thread;
    void *rc = NULL;

    CHECK(odezk_lock_acquire_key(a, SPACE, NULL, 0) == ODEZK_OK);
    CHECK(odezk_lock_release_key(a, SPACE, NULL) == ODEZK_OK);
    CHECK(odezk_lock_release_key(a, SPACE, "k") == ODEZK_ENOTHELD);
    CHECK(odezk_lock_release_key(a, SPACE, "") == ODEZK_EINVAL);
    CHECK(odezk_lock_release_key(a, NULL, "k") == ODEZK_EINVAL);
    NEED(odezk_lock_acquire_key(a, SPACE, "k", 0) == ODEZK_OK);
    CHECK(odezk_lock_acquire_key(a, SPACE, "k", 0) == ODEZK_EBUSY);
    CHECK(odezk_lock_acquire_key(b, SPACE, "k", 0) == ODEZK_EBUSY);
    CHECK(odezk_lock_release_key(b, SPACE, "k") == ODEZK_ENOTHELD);
    NEED(pthread_create(&thread, NULL, release_by_key, a) == 0);
    pthread_join(thread, &rc);
    CHECK((int)(intptr_t)rc == ODEZK_OK);
    NEED(odezk_lock_acquire(b, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK);
    CHECK(odezk_lock_release_key(b, SPACE, "k") == ODEZK_ENOTHELD); /* taken by handle */
    CHECK(odezk_lock_is_valid(lock));
    odezk_lock_free(lock);
    CHECK(odezk_lock_acquire_key(a, SPACE, "k", it_ms(5000)) == ODEZK_OK); /* freed with the handle */
    CHECK(odezk_lock_acquire_key(a, SPACE, "other", it_ms(5000)) == ODEZK_OK);
}

/* Lost, and taken again by somebody else in the same process before the first one unlocks. */
static void by_key_after_a_loss(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_session_info info = {.version = ODEZK_SESSION_INFO_VERSION};

    NEED(odezk_lock_acquire_key(a, SPACE, "k", 0) == ODEZK_OK);
    NEED(odezk_cluster_session(a, &info) == ODEZK_OK);
    NEED(it_zk_expire(info.session_id));
    NEED(odezk_lock_acquire_key(a, SPACE, "k", it_timeout() + 5000) == ODEZK_OK);
    CHECK(odezk_lock_release_key(a, SPACE, "k") == ODEZK_ELOST);
    CHECK(odezk_lock_acquire_key(b, SPACE, "k", 0) == ODEZK_EBUSY);
    CHECK(odezk_lock_release_key(a, SPACE, "k") == ODEZK_OK);
    CHECK(odezk_lock_release_key(a, SPACE, "k") == ODEZK_ENOTHELD);
    CHECK(odezk_lock_acquire_key(b, SPACE, "k", it_ms(5000)) == ODEZK_OK);
}

/* ---- many ---- */

static void *release_elsewhere(void *arg)
{
    return (void *)(intptr_t)give_back(arg);
}

static void released_by_another_thread(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;
    pthread_t thread;
    void *rc = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(pthread_create(&thread, NULL, release_elsewhere, lock) == 0);
    pthread_join(thread, &rc);
    CHECK((intptr_t)rc == ODEZK_OK);
    NEED(odezk_lock_acquire(a, SPACE, "k", it_ms(5000), &lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

/* A plain counter that only the lock guards. */
struct counting {
    odezk_cluster *cluster;
    atomic_long *counter; /* read and written in two steps */
    _Atomic int64_t *newest;
    int times;
    atomic_int failed, disordered;
};

static void *count(void *arg)
{
    struct counting *counting = arg;

    for (int i = 0; i < counting->times; i++) {
        odezk_lock *lock = NULL;
        if (odezk_lock_acquire(counting->cluster, SPACE, "counter", it_ms(60000), &lock) != ODEZK_OK) {
            counting->failed++;
            continue;
        }
        int64_t token = odezk_lock_token(lock);
        long before = *counting->counter;
        counting->disordered += token < *counting->newest;
        *counting->newest = token;
        sched_yield();
        *counting->counter = before + 1;
        counting->failed += !odezk_lock_is_valid(lock);
        counting->failed += odezk_lock_release(lock) != ODEZK_OK;
        odezk_lock_free(lock);
    }
    return NULL;
}

static void counter(void)
{
    enum { HANDLES = 3, THREADS = 20, TIMES = 10 };
    struct counting counting[HANDLES] = {0};
    pthread_t threads[HANDLES][THREADS];
    atomic_long value = 0;
    _Atomic int64_t newest = 0;

    for (int i = 0; i < HANDLES; i++) {
        counting[i].cluster = it_join(ODEZK_ROLE_CLIENT, NULL);
        counting[i].counter = &value;
        counting[i].newest = &newest;
        counting[i].times = TIMES;
    }
    for (int i = 0; i < HANDLES; i++)
        for (int k = 0; k < THREADS; k++)
            NEED(pthread_create(&threads[i][k], NULL, count, &counting[i]) == 0);
    for (int i = 0; i < HANDLES; i++)
        for (int k = 0; k < THREADS; k++)
            pthread_join(threads[i][k], NULL);
    CHECK(value == HANDLES * THREADS * TIMES);
    for (int i = 0; i < HANDLES; i++)
        CHECK(counting[i].failed == 0 && counting[i].disordered == 0);
    CHECK(wait_for_waiting(0));
}

/* Connections that break in the middle of everything. */
struct cutting {
    struct it_proxy *proxy;
    atomic_bool stop;
};

static void *cut_again_and_again(void *arg)
{
    struct cutting *cutting = arg;

    for (int i = 0; !cutting->stop; i++) {
        usleep((useconds_t)(20000 + i * 7919 % 60000));
        it_proxy_cut(cutting->proxy, false);
    }
    return NULL;
}

static void broken_connections(void)
{
    enum { HANDLES = 3, THREADS = 4, TIMES = 15 };
    struct counting counting[HANDLES] = {0};
    pthread_t threads[HANDLES][THREADS], cutter;
    struct cutting cutting = {.proxy = it_proxy_new("127.0.0.1", 0, 1)};
    atomic_long value = 0;
    _Atomic int64_t newest = 0;
    char servers[64];

    NEED(cutting.proxy != NULL);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(cutting.proxy));
    for (int i = 0; i < HANDLES; i++) {
        odezk_config *config = it_config(NULL, "servers", servers, "operation-timeout", "60000", NULL);
        counting[i].cluster = it_new(ODEZK_ROLE_CLIENT, config);
        counting[i].counter = &value;
        counting[i].newest = &newest;
        counting[i].times = TIMES;
        odezk_config_free(config);
        NEED(odezk_cluster_join(counting[i].cluster, it_ms(10000)) == ODEZK_OK);
    }
    NEED(pthread_create(&cutter, NULL, cut_again_and_again, &cutting) == 0);
    for (int i = 0; i < HANDLES; i++)
        for (int k = 0; k < THREADS; k++)
            NEED(pthread_create(&threads[i][k], NULL, count, &counting[i]) == 0);
    for (int i = 0; i < HANDLES; i++)
        for (int k = 0; k < THREADS; k++)
            pthread_join(threads[i][k], NULL);
    cutting.stop = true;
    pthread_join(cutter, NULL);
    CHECK(value == HANDLES * THREADS * TIMES);
    for (int i = 0; i < HANDLES; i++) {
        CHECK(counting[i].failed == 0 && counting[i].disordered == 0);
        if (counting[i].failed || counting[i].disordered)
            it_note("%d failed, %d disordered", counting[i].failed, counting[i].disordered);
    }
    CHECK(wait_for_waiting(0));
    it_proxy_cut(cutting.proxy, false);
}

/* Short waits on broken connections: what ends without the lock leaves nothing in the queue. */
static void *try_again_and_again(void *arg)
{
    struct counting *counting = arg;

    for (int i = 0; i < counting->times; i++) {
        odezk_lock *lock = NULL;
        int rc = odezk_lock_acquire(counting->cluster, SPACE, "counter", 1 + i * 13 % 40, &lock);
        counting->failed += rc != ODEZK_OK && rc != ODEZK_ETIMEDOUT;
        usleep((useconds_t)(i * 31 % 5000));
        odezk_lock_free(lock);
    }
    return NULL;
}

static void timeouts_on_broken_connections(void)
{
    enum { HANDLES = 4, TIMES = 60 };
    struct counting counting[HANDLES] = {0};
    pthread_t threads[HANDLES], cutter;
    struct cutting cutting = {.proxy = it_proxy_new("127.0.0.1", 0, 1)};
    char servers[64];

    NEED(cutting.proxy != NULL);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(cutting.proxy));
    for (int i = 0; i < HANDLES; i++) {
        odezk_config *config = it_config(NULL, "servers", servers, "operation-timeout", "60000", NULL);
        counting[i].cluster = it_new(ODEZK_ROLE_CLIENT, config);
        counting[i].times = TIMES;
        odezk_config_free(config);
        NEED(odezk_cluster_join(counting[i].cluster, it_ms(10000)) == ODEZK_OK);
    }
    NEED(pthread_create(&cutter, NULL, cut_again_and_again, &cutting) == 0);
    for (int i = 0; i < HANDLES; i++)
        NEED(pthread_create(&threads[i], NULL, try_again_and_again, &counting[i]) == 0);
    for (int i = 0; i < HANDLES; i++)
        pthread_join(threads[i], NULL);
    cutting.stop = true;
    pthread_join(cutter, NULL);
    for (int i = 0; i < HANDLES; i++)
        CHECK(counting[i].failed == 0);
    CHECK(wait_for_waiting(0));
}

/* ---- processes that die or stand still ---- */

static void killed_holder(void)
{
    struct it_process *holder;
    odezk_lock *lock = NULL;
    char timeout[16];

    it_set_timeout(IT_STEADY);
    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    holder =
        it_start("odezk", "exec", "--servers", it_servers(), "--base", it_base(), "--cluster", "c", "--session-timeout",
                 timeout, "--space", SPACE, "--lock", "k", "--", "sh", "-c", "echo held; exec sleep 60", NULL);
    NEED(it_expect(holder->log, 10000, "held"));
    CHECK(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_EBUSY);
    it_signal(holder, SIGKILL);
    int64_t since = it_running_ms();
    CHECK(it_exit(holder, 5000) == 128 + SIGKILL);
    NEED(odezk_lock_acquire(a, SPACE, "k", it_timeout() + it_ms(5000), &lock) == ODEZK_OK);
    CHECK(it_running_ms() - since < it_timeout() + it_ms(2500));
    odezk_lock_free(lock);
}

static void killed_waiter(void)
{
    char timeout[16];

    it_set_timeout(IT_STEADY);
    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct attempt behind = {0};
    odezk_lock *lock = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    struct it_process *waiter =
        it_start("odezk", "exec", "--servers", it_servers(), "--base", it_base(), "--cluster", "c", "--session-timeout",
                 timeout, "--space", SPACE, "--lock", "k", "--", "true", NULL);
    NEED(wait_for_waiting(1));
    NEED(begin(&behind, b, "k", it_ms(30000)) == ODEZK_OK);
    NEED(wait_for_waiting(2));
    it_signal(waiter, SIGKILL);
    CHECK(it_exit(waiter, 5000) == 128 + SIGKILL);
    NEED(wait_for_waiting(1));
    CHECK(behind.calls == 0);
    CHECK(give_back(lock) == ODEZK_OK);
    NEED(ends_with(&behind, 5000, ODEZK_OK));
    CHECK(give_back(behind.lock) == ODEZK_OK);
}

static void stopped_holder(void)
{
    struct it_pack pack;
    int64_t last = 0;

    it_set_timeout(IT_SHORT);
    NEED(it_pack_start(&pack, "lock"));
    for (int i = 0; i < 4; i++) {
        NEED(it_claims_wait(pack.claims, it_timeout() + 5000, last));
        int holder = it_claims_last_claimant(pack.claims);
        it_signal(pack.processes[holder], SIGSTOP);
        it_pass(it_timeout() / 2);
        last = it_claims_newest(pack.claims, -1);
        /* If it was stopped while it held the lock, the others wait for its session's end. */
        NEED(it_claims_wait(pack.claims, it_timeout() + 5000, last));
        it_signal(pack.processes[holder], SIGCONT);
        it_pass(200);
        last = it_claims_newest(pack.claims, -1);
    }
    CHECK(it_pack_stop(&pack));
    CHECK(it_claims_exclusive(pack.claims));
    CHECK(it_claims_count(pack.claims) > 5);
}

/* ---- servers ---- */

static void kept_over_a_server_restart(void)
{
    it_set_timeout(30000); /* servers take their time to start */
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL), *b = it_join(ODEZK_ROLE_CLIENT, NULL);
    struct it_log *log = it_events(a);
    struct attempt attempt = {0};
    odezk_lock *lock = NULL;

    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    NEED(begin(&attempt, b, "k", it_ms(60000)) == ODEZK_OK);
    NEED(wait_for_waiting(1));
    NEED(it_all_servers("stop"));
    NEED(it_expect(log, 5000, "session suspended *"));
    CHECK(odezk_lock_is_valid(lock));
    NEED(it_all_servers("start"));
    NEED(it_expect(log, 26000, "session connected 1"));
    CHECK(odezk_lock_is_valid(lock));
    CHECK(attempt.calls == 0);
    CHECK(give_back(lock) == ODEZK_OK);
    NEED(ends_with(&attempt, 10000, ODEZK_OK));
    CHECK(give_back(attempt.lock) == ODEZK_OK);
}

static void unreachable(void)
{
    struct it_proxy *proxy = it_proxy_new("127.0.0.1", 0, 1);
    odezk_lock *lock = NULL;
    char servers[64];

    NEED(proxy != NULL);
    it_proxy_cut(proxy, true);
    snprintf(servers, sizeof servers, "127.0.0.1:%d", it_proxy_port(proxy));
    odezk_config *config = it_config(NULL, "servers", servers, "operation-timeout", "400", NULL);
    odezk_cluster *a = it_new(ODEZK_ROLE_CLIENT, config);
    odezk_config_free(config);
    int64_t since = it_now_ms(), running = it_running_ms();
    CHECK(odezk_lock_acquire(a, SPACE, "k", 60000, &lock) == ODEZK_EUNREACHABLE);
    int64_t took = it_now_ms() - since;
    CHECK(took >= 400 && it_running_ms() - running < 400 + it_ms(500));
    CHECK(strstr(odezk_last_error(), "400 ms") != NULL);
    it_proxy_cut(proxy, false);
    NEED(odezk_cluster_join(a, it_ms(10000)) == ODEZK_OK);
    NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
    odezk_lock_free(lock);
}

/* Somebody removes the directories meanwhile. */
static void removed_directories(void)
{
    odezk_cluster *a = it_join(ODEZK_ROLE_CLIENT, NULL);
    odezk_lock *lock = NULL;

    for (int i = 0; i < 3; i++) {
        NEED(odezk_lock_acquire(a, SPACE, "k", 0, &lock) == ODEZK_OK);
        CHECK(give_back(lock) == ODEZK_OK);
        it_zk_remove(it_base());
    }
}

static const struct it_test tests[] = {{"take and give", take_and_give, 0},
                                       {"free keys need no wait", free_keys_need_no_wait, 0},
                                       {"same key again", same_key_again, 0},
                                       {"waits end in time", waits_end_in_time, 0},
                                       {"arguments", arguments, 0},
                                       {"odd keys", odd_keys, 0},
                                       {"two spaces", two_spaces, 0},
                                       {"first come, first served", first_come_first_served, 0},
                                       {"order of processes", order_of_processes, 0},
                                       {"a command whose lock is ended", a_command_whose_lock_is_ended, 0},
                                       {"order within a process", order_within_a_process, 0},
                                       {"no starvation", no_starvation, 0},
                                       {"cancel", cancel, 0},
                                       {"cancel at any moment", cancel_at_any_moment, 0},
                                       {"canceled as soon as known", canceled_as_soon_as_known, 0},
                                       {"closing ends attempts", closing_ends_attempts, 0},
                                       {"by key", by_key, 0},
                                       {"by key after a loss", by_key_after_a_loss, IT_FAULTS},
                                       {"lost with the session", lost_with_the_session, IT_FAULTS},
                                       {"lost with the handle", lost_with_the_handle, 0},
                                       {"lost with the lease", lost_with_the_lease, IT_FAULTS},
                                       {"released by another thread", released_by_another_thread, 0},
                                       {"a counter, 3 handles, 60 threads", counter, 0},
                                       {"broken connections", broken_connections, IT_FAULTS},
                                       {"time-outs on broken connections", timeouts_on_broken_connections, IT_FAULTS},
                                       {"killed holder", killed_holder, IT_FAULTS},
                                       {"killed waiter", killed_waiter, IT_FAULTS},
                                       {"stopped holder", stopped_holder, IT_FAULTS},
                                       {"kept over a server restart", kept_over_a_server_restart, IT_FAULTS},
                                       {"unreachable servers", unreachable, 0},
                                       {"removed directories", removed_directories, 0},
                                       {0}};

int main(int argc, char **argv)
{
    return it_main(argc, argv, "lock", tests);
}
