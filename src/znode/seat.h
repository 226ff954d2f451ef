/* A place in a queue: an ephemeral sequential znode that is found again after a lost reply. */
#ifndef OZ_SEAT_H
#define OZ_SEAT_H

#include "session/session.h"

struct oz_seat;

/* Told once: OZ_OK (the seat is taken), OZ_GONE (the session ended), or another failure (nothing was left behind). */
typedef void (*oz_seat_cb)(void *owner, struct oz_seat *seat, enum oz_rc rc);

/* Takes a seat `<dir>/<prefix>#<seq>`, making the directory when it is missing. One session takes one seat of a prefix
 * at a time: after a lost reply it is found by its prefix and its owner. The callback does not come before this
 * returns. NULL when out of memory: then it does not come at all. */
struct oz_seat *oz_seat_take(struct oz_session *s, const char *dir, const char *prefix, const char *data, oz_seat_cb cb,
                             void *owner);

/* Whether the callback has said OZ_OK. NULL is no seat. */
bool oz_seat_taken(const struct oz_seat *seat);

/* Once taken. */
const char *oz_seat_path(const struct oz_seat *seat);
const char *oz_seat_name(const struct oz_seat *seat);
int32_t oz_seat_seq(const struct oz_seat *seat);
int64_t oz_seat_czxid(const struct oz_seat *seat);

struct oz_neighbours {
    const char *before; /* the seat directly before ours; NULL when ours is the first */
    bool here;          /* ours is in the list */
    bool behind;        /* and others are behind it */
};

/* Who sits around this seat, which is taken, in a list of its directory. Only seats "<queue>#…" count; NULL: all. */
struct oz_neighbours oz_seat_neighbours(const struct oz_seat *seat, const char *const *names, size_t count,
                                        const char *queue);

/* Gives the seat up, in whatever state it is, and the handle with it: no callback comes any more, and the znode
 * goes as soon as it is certain that it exists. NULL does nothing. Returns NULL, for the caller's pointer. */
struct oz_seat *oz_seat_leave(struct oz_seat *seat);

/* Like oz_seat_leave(), but leaves the znode alone: it is gone, or the caller deletes it. */
struct oz_seat *oz_seat_forget(struct oz_seat *seat);

#endif
