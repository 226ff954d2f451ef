#include "session/timer.h"

#include "base/clock.h"

#include <stddef.h>

static struct oz_timer *meld(struct oz_timer *a, struct oz_timer *b)
{
    struct oz_timer *swap;

    if (!a)
        return b;
    if (!b)
        return a;
    if (b->at < a->at) {
        swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    a->next = a->prev = NULL;
    return a;
}

/* In pairs, then the pairs from the right: that order is what makes a pairing heap cheap. */
static struct oz_timer *meld_siblings(struct oz_timer *first)
{
    struct oz_timer *pairs = NULL, *root = NULL;

    while (first) {
        struct oz_timer *a = first, *b = a->next, *pair;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct oz_timer *next = pairs->next;

        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void oz_timer_clear(struct oz_timers *t, struct oz_timer *timer)
{
    if (!timer->armed)
        return;
    timer->armed = false;
    if (timer == t->root) {
        t->root = meld_siblings(timer->child);
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next)
            timer->next->prev = timer->prev;
        t->root = meld(t->root, meld_siblings(timer->child));
    }
    timer->child = timer->next = timer->prev = NULL;
}

void oz_timer_set(struct oz_timers *t, struct oz_timer *timer, int64_t at, void (*fire)(void *), void *arg)
{
    oz_timer_clear(t, timer);
    *timer = (struct oz_timer){.at = at, .fire = fire, .arg = arg, .armed = true};
    t->root = meld(t->root, timer);
}

int64_t oz_timers_next(const struct oz_timers *t)
{
    return t->root ? t->root->at : OZ_NEVER;
}

struct oz_timer *oz_timers_due(struct oz_timers *t, int64_t now)
{
    struct oz_timer *timer = t->root;

    if (!timer || timer->at > now)
        return NULL;
    oz_timer_clear(t, timer);
    return timer;
}
