/* Names to numeric addresses. The C client resolves on every turn of its loop and never recovers from a failed look-up;
 * so it gets numeric addresses only, looked up by us, anew for each session. */
#ifndef OZ_RESOLVE_H
#define OZ_RESOLVE_H

#include "session/dispatch.h"

struct oz_resolver;

/* Looks up the servers of a connect string and calls back on the dispatcher, not before this returns: with the hosts as
 * the C client wants them (chroot included), or with NULL and a sentence that says why not. Names that need a look-up
 * are looked up on a thread of their own, as that may block for long. NULL when out of memory. */
struct oz_resolver *oz_resolve(struct oz_dispatch *d, const char *servers,
                               void (*done)(void *arg, const char *hosts, const char *why), void *arg);

/* Forgets it: `done` will not be called any more. NULL does nothing. Not after `done` was called. */
void oz_resolve_cancel(struct oz_resolver *r);

#endif
