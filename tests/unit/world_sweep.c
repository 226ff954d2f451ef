/* Sweeps: a scenario again and again, each time with another request or allocation that fails. */
#include "world_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Instrumented builds are slow, and look for something else: they take samples of what the plain one tries. */
#if defined(__SANITIZE_THREAD__)
enum { STRIDE = 11 };
#elif defined(__SANITIZE_ADDRESS__)
enum { STRIDE = 3 };
#else
enum { STRIDE = 1 };
#endif

/* Whether the fault was reached. */
static bool run_with_fault(const char *name, void (*scenario)(void), long n, enum fake_fault fault)
{
    bool happened;

    world_context("%s, %s at request %ld", name, fake_fault_name(fault), n);
    world_begin((uint64_t)n);
    fake_set_fault(0, n, fault);
    scenario();
    happened = fake_fault_happened();
    world_clean();
    world_end();
    return happened;
}

/* To look at one failure alone: ODEZK_TEST_AT is its request or allocation, ODEZK_TEST_FAULT the
 * name of its fault. */
static long only_at(void)
{
    const char *at = getenv("ODEZK_TEST_AT");

    return at ? atol(at) : 0;
}

static bool is_chosen(enum fake_fault fault)
{
    const char *name = getenv("ODEZK_TEST_FAULT");

    return !name || strcmp(name, fake_fault_name(fault)) == 0;
}

void world_sweep_faults(const char *name, void (*scenario)(void))
{
    int fault;
    long n, only = only_at();

    for (fault = FAKE_NONE + 1; fault < FAKE_FAULTS; fault++)
        for (n = only ? only : 1; is_chosen((enum fake_fault)fault) && world.failures < WORLD_SHOWN; n += STRIDE)
            if (!run_with_fault(name, scenario, n, (enum fake_fault)fault) || only)
                break;
}

void world_sweep_memory(const char *name, void (*scenario)(void))
{
    long n, made, only = only_at();

    for (n = only ? only : 1; world.failures < WORLD_SHOWN; n += STRIDE) {
        world_context("%s, allocation %ld fails", name, n);
        world_begin((uint64_t)n);
        made = oz_mem_count();
        oz_mem_fail_at(n);
        scenario();
        made = oz_mem_count() - made;
        world_clean();
        world_end();
        if (made < n || only)
            return;
    }
}
