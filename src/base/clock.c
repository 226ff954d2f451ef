#include "base/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

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
