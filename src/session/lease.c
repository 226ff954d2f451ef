#include "session/lease.h"

#include <stdatomic.h>
#include <string.h>

static void extend(struct oz_lease *l, int64_t proven)
{
    int64_t end = proven + l->timeout - l->margin;

    if (end > atomic_load_explicit(&l->end, memory_order_relaxed))
        atomic_store_explicit(&l->end, end, memory_order_release);
}

void oz_lease_start(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin, int64_t since)
{
    l->timeout = timeout;
    l->lag = lag;
    l->margin = margin;
    l->newest_sent = since;
    l->count = 0;
    extend(l, since);
}

void oz_lease_reconnected(struct oz_lease *l)
{
    l->count = 0;
    extend(l, l->newest_sent);
}

/* Which of the remembered requests W proves: the newest V with acked(V) + lag <= sent(W). */
static int proven_by(const struct oz_lease *l, int64_t sent)
{
    int i = l->count - 1;

    while (i >= 0 && l->ring[i].acked + l->lag > sent)
        i--;
    return i;
}

void oz_lease_acked(struct oz_lease *l, int64_t sent, int64_t acked)
{
    int i = proven_by(l, sent);

    if (sent > l->newest_sent)
        l->newest_sent = sent;
    if (i >= 0) {
        extend(l, l->ring[i].sent);
        l->count -= i; /* older ones can prove nothing more */
        memmove(l->ring, l->ring + i, (size_t)l->count * sizeof l->ring[0]);
    }
    /* A few candidates over one lag are enough. In a full ring the oldest stay: they are proven first, and that makes room. */
    if (l->count == OZ_LEASE_RING ||
        (l->count > 0 && sent - l->ring[l->count - 1].sent < l->lag / (OZ_LEASE_RING / 2)))
        return;
    l->ring[l->count].sent = sent;
    l->ring[l->count].acked = acked;
    l->count++;
}

void oz_lease_stop(struct oz_lease *l)
{
    l->count = 0;
    atomic_store_explicit(&l->end, 0, memory_order_release);
}

int64_t oz_lease_end(const struct oz_lease *l)
{
    return atomic_load_explicit(&l->end, memory_order_acquire);
}
