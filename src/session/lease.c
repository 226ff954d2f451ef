#include "session/lease.h"

#include <stdatomic.h>
#include <string.h>

static void extend(struct oz_lease *l, int64_t proven)
{
    int64_t end = proven + l->timeout - l->margin;

    if (end > atomic_load_explicit(&l->end, memory_order_relaxed))
        atomic_store_explicit(&l->end, end, memory_order_release);
}

static void forget(struct oz_lease *l)
{
    l->active_count = 0;
    l->told_count = 0;
}

void oz_lease_start(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin, int64_t since)
{
    l->timeout = timeout;
    l->lag = lag;
    l->margin = margin;
    l->newest_write = since;
    forget(l);
    extend(l, since);
}

void oz_lease_shorten(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin)
{
    int64_t end = l->newest_write + timeout - margin;

    l->timeout = timeout;
    l->lag = lag;
    l->margin = margin;
    if (end < oz_lease_end(l))
        atomic_store_explicit(&l->end, end, memory_order_release);
}

void oz_lease_reconnected(struct oz_lease *l)
{
    forget(l);
    extend(l, l->newest_write);
}

/* As a W: it proves the newest V whose X was acknowledged before. */
static void prove(struct oz_lease *l, int64_t sent)
{
    int i = l->told_count - 1;

    while (i >= 0 && l->told[i].since > sent)
        i--;
    if (i < 0)
        return;
    extend(l, l->told[i].sent);
    l->told_count -= i + 1;
    memmove(l->told, l->told + i + 1, (size_t)l->told_count * sizeof l->told[0]);
}

/* As an X. Of two the older stays until it is proven: if newer ones kept replacing it, none ever would be. */
static void tell(struct oz_lease *l, int64_t sent, int64_t acked)
{
    int i = l->active_count - 1;

    while (i >= 0 && l->active[i].acked + l->lag > sent)
        i--;
    if (i < 0)
        return;
    if (l->told_count < 2)
        l->told_count++;
    l->told[l->told_count - 1].sent = l->active[i].sent;
    l->told[l->told_count - 1].since = acked;
    l->active_count -= i; /* older ones can prove nothing more */
    memmove(l->active, l->active + i, (size_t)l->active_count * sizeof l->active[0]);
}

/* As a V. A few candidates over one lag are enough. In a full ring the oldest stay: they are proven first, and that
 * makes room. */
static void remember(struct oz_lease *l, int64_t sent, int64_t acked)
{
    int n = l->active_count;

    if (n == OZ_LEASE_RING || (n > 0 && sent - l->active[n - 1].sent < l->lag / (OZ_LEASE_RING / 2)))
        return;
    l->active[n].sent = sent;
    l->active[n].acked = acked;
    l->active_count++;
}

void oz_lease_acked(struct oz_lease *l, int64_t sent, int64_t acked, bool write)
{
    if (write) {
        prove(l, sent);
        if (sent > l->newest_write)
            l->newest_write = sent;
    }
    tell(l, sent, acked);
    remember(l, sent, acked);
}

int64_t oz_lease_next(const struct oz_lease *l)
{
    return l->active_count ? l->active[0].acked + l->lag : 0;
}

void oz_lease_stop(struct oz_lease *l)
{
    forget(l);
    atomic_store_explicit(&l->end, 0, memory_order_release);
}

int64_t oz_lease_end(const struct oz_lease *l)
{
    return atomic_load_explicit(&l->end, memory_order_acquire);
}
