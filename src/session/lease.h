/* The lease: until when the servers certainly honour our session. doc/safety.md proves the rule.
 *
 * A follower tells the leader which sessions were active only with its answers to the leader's pings, every half tick.
 * So an acknowledged request V proves activity to the leader only once a later acknowledged request W passed the
 * leader behind such an answer: W was sent `lag` after V's acknowledgement. Then the session lives at least
 * until send(V) + timeout on the leader's clock.
 *
 * Written by the dispatcher's thread; oz_lease_holds() may be asked by any thread. */
#ifndef OZ_LEASE_H
#define OZ_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define OZ_LEASE_RING 16

struct oz_lease {
    int64_t timeout, lag, margin; /* nanoseconds */
    _Atomic int64_t end;          /* oz_now() at which it lapses */
    int64_t newest_sent;          /* of all acknowledged requests */
    struct {
        int64_t sent, acked;
    } ring[OZ_LEASE_RING]; /* candidates for V on this connection, oldest first */
    int count;
};

/* A new session, whose connection was begun at `since`: the leader itself made it later than that. */
void oz_lease_start(struct oz_lease *l, int64_t timeout, int64_t lag, int64_t margin, int64_t since);

/* The same session on a new connection. The leader itself confirmed it, later than the last acknowledged
 * request was sent; but earlier requests passed through another follower, and prove nothing to the new one. */
void oz_lease_reconnected(struct oz_lease *l);

/* A request that passed the leader was acknowledged. */
void oz_lease_acked(struct oz_lease *l, int64_t sent, int64_t acked);

/* No session: nothing holds. */
void oz_lease_stop(struct oz_lease *l);

/* When it lapses. */
int64_t oz_lease_end(const struct oz_lease *l);

#endif
