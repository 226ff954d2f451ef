#include "base/clock.h"

#include <stdatomic.h>
#include <stddef.h>

static const _Atomic int64_t *_Atomic test_source;

void oz_clock_set_source(const _Atomic int64_t *source)
{
    atomic_store(&test_source, source);
}

int64_t oz_now(void)
{
    const _Atomic int64_t *source = atomic_load_explicit(&test_source, memory_order_relaxed);
    struct timespec t;

    if (source)
        return atomic_load(source);
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * OZ_SECOND + t.tv_nsec;
}

int64_t oz_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / OZ_MS;
}

struct timespec oz_deadline_in(int64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += t.tv_nsec;
    t.tv_sec += ns / OZ_SECOND;
    t.tv_nsec = ns % OZ_SECOND;
    return t;
}
