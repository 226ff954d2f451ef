/* The lease: until when the servers certainly honour our session. doc/safety.md proves the rule.
 *
 * A follower tells the leader which sessions were active only with its answers to the leader's pings, every half tick.
 * So it takes three requests on one connection to know that the leader heard of the first:
 *   V  acknowledged; the follower remembers that we were active
 *   X  sent `lag` after that, and acknowledged: the follower has read a ping meanwhile, and answered it before X
 *   W  a write sent after that, and acknowledged: the answer to the ping reached a leader that a quorum follows
 * Then the session lives at least until sent(V) + timeout on the leader's clock. A request can be one's V, another's X
 * and a third one's W at once.
 *
 * Written by the dispatcher's thread; oz_lease_end() may be asked by any thread. */
#ifndef OZ_LEASE_H
#define OZ_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define OZ_LEASE_RING 16

struct oz_lease {
    int64_t timeout, lag, margin; /* nanoseconds */
    _Atomic int64_t end;          /* oz_now() at which it lapses */
    int64_t newest_write;         /* when the newest acknowledged write was sent */
    /* Of this connection, oldest first. */
    struct {
        int64_t sent, acked;
    } active[OZ_LEASE_RING]; /* candidates for V */
    int active_count;
    struct {
        int64_t sent, since; /* of V; of the acknowledgement of its X */
    } told[2];               /* wait for a W */
    int told_count;
};

/* A new session, whose connection was begun at `since`: the leader itself made it later than that. */
void oz_lease_start(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin, int64_t since);

/* The same session on a new connection. A leader confirmed it, later than the last acknowledged write was
 * sent; but earlier requests passed through another follower, and prove nothing to the new one. */
void oz_lease_reconnected(struct oz_lease *l);

/* The same session on a connection that was granted less time: the servers count by that from now on. A longer one
 * changes nothing, as a new leader counts by what was granted first. */
void oz_lease_shorten(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin);

/* A write or a sync was acknowledged. */
void oz_lease_acked(struct oz_lease *l, int64_t sent, int64_t acked, bool write);

/* When a request that is sent then can be the X of one that was acknowledged; 0: there is none. */
int64_t oz_lease_next(const struct oz_lease *l);

/* No session: nothing holds. */
void oz_lease_stop(struct oz_lease *l);

/* When it lapses. */
int64_t oz_lease_end(const struct oz_lease *l);

#endif
