/* The dispatcher: one thread that runs all state machines of a handle, one message or timer at a time. Other threads
 * only post messages. The same loop, without timers, runs the user's callbacks on a thread of their own, so that a slow
 * callback delays neither a lease write nor a take-over. */
#ifndef OZ_DISPATCH_H
#define OZ_DISPATCH_H

#include "session/timer.h"

#include <stdbool.h>

struct oz_msg {
    struct oz_msg *next;
    void (*run)(struct oz_msg *msg); /* may free the message */
};

struct oz_dispatch;

/* Makes a dispatcher; with `name` it runs on a thread of that name (at most 15 characters), with NULL only when
 * oz_dispatch_step() is called. NULL when the system has no thread, descriptor or memory left. */
struct oz_dispatch *oz_dispatch_new(const char *name);

/* Any thread. Messages run in the order in which they were posted. Never fails: the memory is the caller's. */
void oz_dispatch_post(struct oz_dispatch *d, struct oz_msg *msg);

/* The dispatcher's own thread only (or any, before the first post). */
struct oz_timers *oz_dispatch_timers(struct oz_dispatch *d);

/* Whether the caller runs on this dispatcher's thread. */
bool oz_dispatch_inside(const struct oz_dispatch *d);

/* Without a thread: runs what is due, and returns whether there was anything. Waits up to wait_ms for it. */
bool oz_dispatch_step(struct oz_dispatch *d, int wait_ms);

/* Ends the thread and runs what is still queued. Timers still armed never fire. Not from its own thread. NULL does
 * nothing. */
void oz_dispatch_stop(struct oz_dispatch *d);
/* Stops it if that was not done, and frees it. NULL does nothing. */
void oz_dispatch_free(struct oz_dispatch *d);

#endif
