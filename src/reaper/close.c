/* odezk-reaper-close: ends the session of a process that is dead, whose record it finds on descriptor 0, and makes sure
 * that the member is gone. Nobody reads what it says; it takes a few seconds at most. */
#include "base/clock.h"
#include "base/mem.h"
#include "reaper/record.h"
#include "session/port.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#define AT_MOST (5 * OZ_SECOND)
#define NEXT_AFTER (30 * OZ_MS) /* then the next server is tried as well */
#define CHECK_WITHIN OZ_SECOND
#define CHECK_TIMEOUT_MS 4000
#define HOSTS 64
#define NOTHING (-1)

/* A client of one server. Given all of them, the C client would try one after the other, with a patience of its own. */
struct attempt {
    char *host;
    void *port;       /* NULL: not tried yet, or done */
    atomic_int state; /* what the port told last, or NOTHING */
    atomic_int rc;    /* the answer to a request, or NOTHING */
};

static struct oz_record record;
static struct attempt attempts[HOSTS];
static size_t count, next;
static sem_t news; /* posted after each change of an attempt */

/* ---- attempts ---- */

static void on_state(void *ctx, enum oz_port_state state)
{
    struct attempt *a = ctx;

    atomic_store(&a->state, (int)state);
    sem_post(&news);
}

static void on_watch(void *ctx, const char *path)
{
    (void)ctx;
    (void)path;
}

static void on_reply(void *ctx, void *token, const struct oz_reply *reply)
{
    struct attempt *a = ctx;

    if (token != a)
        return;
    atomic_store(&a->rc, (int)reply->rc);
    sem_post(&news);
}

/* Resumes that session; NULL: begins one of our own. */
static void open_attempt(struct attempt *a, const struct oz_identity *resume, int timeout_ms)
{
    static const struct oz_port_events events = {on_state, on_watch, on_reply};
    const struct oz_port_options options = {.hosts = a->host, .timeout_ms = timeout_ms, .auth = "", .resume = resume};

    atomic_store(&a->state, NOTHING);
    atomic_store(&a->rc, NOTHING);
    a->port = oz_zookeeper.open(&options, &events, a);
}

static void close_attempt(struct attempt *a)
{
    oz_zookeeper.close(a->port);
    a->port = NULL;
}

/* Waits for news, or until a time of oz_now(). */
static void wait_until(int64_t until)
{
    int64_t left = until - oz_now();
    struct timespec deadline = oz_deadline_in(left);

    if (left > 0)
        sem_clockwait(&news, CLOCK_MONOTONIC, &deadline);
}

static bool connected(const struct attempt *a, int64_t until)
{
    while (atomic_load(&a->state) != OZ_PORT_CONNECTED && oz_now() < until)
        wait_until(until);
    return atomic_load(&a->state) == OZ_PORT_CONNECTED;
}

static int answer(const struct attempt *a, int64_t until)
{
    while (atomic_load(&a->rc) == NOTHING && oz_now() < until)
        wait_until(until);
    return atomic_load(&a->rc);
}

/* ---- the session ---- */

static void try_next_server(void)
{
    struct oz_identity dead = {.id = record.session, .timeout_ms = record.timeout_ms};
    size_t i;

    memcpy(dead.password, record.password, sizeof dead.password);
    for (i = 0; i < count && attempts[next].port; i++)
        next = (next + 1) % count;
    if (!attempts[next].port)
        open_attempt(&attempts[next], &dead, record.timeout_ms);
    next = (next + 1) % count;
    explicit_bzero(&dead, sizeof dead);
}

/* Ends the session on all servers that have resumed it. Returns an attempt that did so, or that was told that the
 * session is over; else NULL. */
static struct attempt *end_session(void)
{
    struct attempt *done = NULL;
    size_t i;

    for (i = 0; i < count; i++) {
        int state = atomic_load(&attempts[i].state);

        if (attempts[i].port && (state == OZ_PORT_CONNECTED || state == OZ_PORT_EXPIRED)) {
            done = &attempts[i];
            close_attempt(done);
        }
    }
    return done;
}

/* The C client does not tell whether its last request was done: look, with a session of our own. */
static bool member_is_gone(char *host)
{
    struct attempt check = {.host = host};
    struct oz_request sync = {.verb = OZ_SYNC, .path = record.member}, stat = {.verb = OZ_STAT, .path = record.member};
    int64_t until = oz_now() + CHECK_WITHIN;
    bool gone = false;

    if (!record.member[0])
        return true;
    open_attempt(&check, NULL, CHECK_TIMEOUT_MS);
    if (!check.port)
        return false;
    if (connected(&check, until) && oz_zookeeper.submit(check.port, &sync, NULL) &&
        oz_zookeeper.submit(check.port, &stat, &check))
        gone = answer(&check, until) == OZ_NONODE;
    close_attempt(&check);
    return gone;
}

/* ---- the record ---- */

static bool read_record(void)
{
    return read(STDIN_FILENO, &record, sizeof record) == sizeof record && record.version == OZ_RECORD_VERSION &&
           record.session != 0 && memchr(record.hosts, '\0', sizeof record.hosts) &&
           memchr(record.member, '\0', sizeof record.member);
}

static bool split_hosts(void)
{
    const char *chroot = record.hosts + strcspn(record.hosts, "/"), *p = record.hosts;
    unsigned start = 0;

    while (p < chroot && count < HOSTS) {
        size_t n = strcspn(p, ",/");

        attempts[count].host = oz_format("%.*s%s", (int)n, p, chroot);
        if (!attempts[count++].host)
            return false;
        p += n + (p[n] == ',');
    }
    if (count == 0)
        return false;
    /* By chance, so that the helpers of a whole machine do not all go to one server. */
    getrandom(&start, sizeof start, GRND_NONBLOCK);
    next = start % count;
    return true;
}

int main(void)
{
    int64_t at = oz_now(), deadline = at + AT_MOST;
    struct attempt *done;
    bool over = false;

    prctl(PR_SET_DUMPABLE, 0);
    if (!read_record() || !split_hosts() || sem_init(&news, 0, 0) != 0)
        return EXIT_FAILURE;
    if (record.timeout_ms * OZ_MS < AT_MOST)
        deadline = at + record.timeout_ms * OZ_MS;
    while (!over && oz_now() < deadline) {
        if (oz_now() >= at) {
            try_next_server();
            at = oz_now() + NEXT_AFTER;
        }
        wait_until(at);
        done = end_session();
        over = done && member_is_gone(done->host);
    }
    _exit(over ? EXIT_SUCCESS : EXIT_FAILURE); /* attempts that still wait end with us */
}
