/* Timers of one dispatcher: an intrusive pairing heap, so that arming one never allocates. */
#ifndef OZ_TIMER_H
#define OZ_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct oz_timer {
    struct oz_timer *child, *next, *prev; /* prev: the left sibling, or the parent of a first child */
    int64_t at;                           /* nanoseconds, as oz_now() */
    void (*fire)(void *arg);
    void *arg;
    bool armed;
};

struct oz_timers {
    struct oz_timer *root;
};

/* Arms, or re-arms, a timer. */
void oz_timer_set(struct oz_timers *t, struct oz_timer *timer, int64_t at, void (*fire)(void *), void *arg);
void oz_timer_clear(struct oz_timers *t, struct oz_timer *timer);
/* When the first one is due; OZ_NEVER when none is armed. */
int64_t oz_timers_next(const struct oz_timers *t);
/* Takes out the first timer if it is due at `now`; NULL otherwise. */
struct oz_timer *oz_timers_due(struct oz_timers *t, int64_t now);

#endif
