#include "record.h"

#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A thread that asks every millisecond and comes that late could not run. */
#define STALL (20 * NS_PER_MS)
#define LATE (1000 * NS_PER_MS)

int64_t record_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

static void nap(void)
{
    const struct timespec pause = {0, NS_PER_MS};

    nanosleep(&pause, NULL);
}

/* ---- the memory ---- */

struct record *record_map(int fd)
{
    void *memory = mmap(NULL, sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

struct record *record_make(int *fd)
{
    struct record *record = NULL;

    *fd = memfd_create("record", MFD_CLOEXEC);
    if (*fd >= 0 && ftruncate(*fd, sizeof *record) == 0)
        record = record_map(*fd);
    return record;
}

void record_free(struct record *record)
{
    if (record)
        munmap(record, sizeof *record);
}

/* ---- claims ---- */

void claim_begin(struct claims *claims, const struct claim *claim)
{
    claims->open.key = claim->key;
    claims->open.asked = claim->asked;
    claims->open.first_before = claim->first_before;
    claims->open.first_after = claim->first_after;
    claims->open.last_before = claim->last_before;
    claims->open.last_after = claim->last_after;
    claims->open.token = claim->token; /* last: now the rest counts */
}

void claim_again(struct claims *claims, int64_t before, int64_t after)
{
    claims->open.last_before = before;
    claims->open.last_after = after;
}

bool claim_peek(struct claims *claims, struct claim *claim)
{
    claim->token = claims->open.token;
    claim->key = claims->open.key;
    claim->asked = claims->open.asked;
    claim->first_before = claims->open.first_before;
    claim->first_after = claims->open.first_after;
    claim->last_before = claims->open.last_before;
    claim->last_after = claims->open.last_after;
    return claim->token != 0 && claim->token == claims->open.token;
}

void claim_end(struct claims *claims)
{
    struct claim claim;

    if (!claim_peek(claims, &claim))
        return;
    while (claims->head - claims->tail == CLAIM_RING)
        nap();
    claims->ring[claims->head % CLAIM_RING] = claim;
    claims->head++;
    /* Who is killed in between has said the same thing twice. */
    claims->open.token = 0;
}

bool claim_take(struct claims *claims, struct claim *claim)
{
    if (claims->tail == claims->head)
        return false;
    *claim = claims->ring[claims->tail % CLAIM_RING];
    claims->tail++;
    return true;
}

/* ---- events ---- */

void event_put(struct record *record, const struct event *event)
{
    while (record->event_head - record->event_tail == EVENT_RING)
        nap();
    record->events[record->event_head % EVENT_RING] = *event;
    record->event_head++;
}

bool event_take(struct record *record, struct event *event)
{
    if (record->event_tail == record->event_head)
        return false;
    *event = record->events[record->event_tail % EVENT_RING];
    record->event_tail++;
    return true;
}

/* ---- calls ---- */

void beat(struct record *record)
{
    int64_t now = record_now(), step = now - record->beat;

    /* A process that was stopped, or got no processor, is not late. */
    if (step < STALL)
        record->running += step;
    record->beat = now;
}

void call_begin(struct record *record, int caller, enum call call, int limit_ms)
{
    struct caller *c = &record->callers[caller];

    c->call = call;
    c->limit = limit_ms * NS_PER_MS;
    c->since = record->running + 1;
}

static int64_t taken(const struct record *record, const struct caller *c)
{
    return record->running + 1 - c->since;
}

void call_end(struct record *record, int caller)
{
    struct caller *c = &record->callers[caller];
    struct call_count *count = &record->calls[c->call];
    int64_t time = taken(record, c), slowest = count->slowest;

    count->count++;
    if (time > c->limit + LATE)
        count->late++;
    while (time > slowest && !atomic_compare_exchange_weak(&count->slowest, &slowest, time))
        ;
    c->since = 0;
}

int64_t call_behind(const struct record *record, int caller)
{
    const struct caller *c = &record->callers[caller];

    return c->since ? taken(record, c) - c->limit : 0;
}

const char *call_name(enum call call)
{
    static const char *const names[CALLS] = {"join",          "close",       "free",   "is_master",
                                             "resign",        "resign_node", "status", "acquire",
                                             "acquire_async", "release",     "write",  "master_write"};

    return (unsigned)call < CALLS ? names[call] : "?";
}
