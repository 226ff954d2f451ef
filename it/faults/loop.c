/* Waiting, and doing things later. */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { PLANS = 256, STEP_MS = 2 };

struct plan {
    int64_t at;
    void (*what)(int argument);
    int argument;
};

static struct plan plans[PLANS];
static int plan_count;

volatile sig_atomic_t interrupted;

void later(int ms, void (*what)(int argument), int argument)
{
    if (plan_count == PLANS)
        give_up("too many faults at a time");
    plans[plan_count++] = (struct plan){record_now() + ms * NS_PER_MS, what, argument};
}

/* Does the first plan that is due at this time; false: there is none. */
static bool act_on_plan(int64_t time)
{
    int first = -1;

    for (int i = 0; i < plan_count; i++)
        if (plans[i].at <= time && (first < 0 || plans[i].at < plans[first].at))
            first = i;
    if (first < 0)
        return false;
    struct plan plan = plans[first];
    plans[first] = plans[--plan_count];
    plan.what(plan.argument);
    return true;
}

void finish_everything(void)
{
    while (act_on_plan(INT64_MAX))
        ;
}

static void turn(void)
{
    const struct timespec pause = {0, STEP_MS * NS_PER_MS};

    nanosleep(&pause, NULL);
    if (interrupted)
        give_up("interrupted");
    ensemble_turn();
    nodes_turn();
    handovers_turn();
    while (act_on_plan(record_now()))
        ;
}

void pump(int ms)
{
    int64_t end = record_now() + ms * NS_PER_MS;

    do
        turn();
    while (record_now() < end);
}

bool pump_until(int ms, bool (*condition)(void *arg), void *arg)
{
    int64_t end = record_now() + ms * NS_PER_MS;

    while (!condition(arg)) {
        if (record_now() >= end)
            return false;
        turn();
    }
    return true;
}
