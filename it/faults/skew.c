/* The C library's functions that read the wall clock, in front of the real ones. CLOCK_REALTIME
 * cannot be set for one process: time namespaces know the other clocks only. */
#include "skew.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static const _Atomic int64_t *_Atomic skew;

void skew_use(const _Atomic int64_t *nanoseconds)
{
    skew = nanoseconds;
}

static int64_t wall_clock(void)
{
    const _Atomic int64_t *off = skew;
    struct timespec t = {0};

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec + (off ? *off : 0);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int64_t now;

    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, t);
    now = wall_clock();
    t->tv_sec = now / NS_PER_S;
    t->tv_nsec = now % NS_PER_S;
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    int64_t now = wall_clock();

    (void)zone;
    t->tv_sec = now / NS_PER_S;
    t->tv_usec = now % NS_PER_S / 1000;
    return 0;
}

time_t time(time_t *t)
{
    time_t now = wall_clock() / NS_PER_S;

    if (t)
        *t = now;
    return now;
}
