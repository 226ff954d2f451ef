/* Time, and waiting for it or for a condition. */
#include "internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#if defined(__SANITIZE_THREAD__)
enum { SLOW = 4 };
#elif defined(__SANITIZE_ADDRESS__)
enum { SLOW = 2 };
#else
enum { SLOW = 1 };
#endif

enum { BEAT_MS = 5, STALL_MS = 50 };

int it_ms(int ms)
{
    return ms * SLOW;
}

int64_t it_now_ms(void)
{
    return it_boottime_ns() / 1000000;
}

static void nap(int ms)
{
    const struct timespec pause = {0, ms * 1000000L};

    nanosleep(&pause, NULL);
}

/* ---- a clock that stands still while the process does ---- */

static _Atomic int64_t running;

static void *beat(void *arg)
{
    int64_t last = it_now_ms(), now;

    (void)arg;
    for (;; last = now) {
        nap(BEAT_MS);
        now = it_now_ms();
        /* Of a longer time it is not known how much the process ran in it. */
        running += now - last < STALL_MS ? now - last : STALL_MS;
    }
    return NULL;
}

static void start_clock(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, beat, NULL) != 0)
        abort();
    pthread_detach(thread);
}

int64_t it_running_ms(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start_clock);
    return running;
}

/* ---- waiting ---- */

bool it_until(int ms, bool (*condition)(void *arg), void *arg)
{
    const int64_t deadline = it_running_ms() + it_ms(ms);

    while (!condition(arg)) {
        if (it_running_ms() >= deadline)
            return condition(arg);
        nap(1);
    }
    return true;
}

static bool is_past(void *arg)
{
    return it_now_ms() >= *(int64_t *)arg;
}

void it_pass(int ms)
{
    int64_t end = it_now_ms() + ms;

    it_until(ms + 1000, is_past, &end);
}
