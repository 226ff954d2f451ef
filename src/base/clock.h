/* Time. Leases and timers run on CLOCK_BOOTTIME: it goes on while the machine sleeps and never jumps. */
#ifndef OZ_CLOCK_H
#define OZ_CLOCK_H

#include <stdint.h>
#include <time.h>

#define OZ_MS INT64_C(1000000)
#define OZ_SECOND (1000 * OZ_MS)
#define OZ_NEVER INT64_MAX

int64_t oz_now(void);     /* nanoseconds of CLOCK_BOOTTIME */
int64_t oz_wall_ms(void); /* milliseconds since 1970, for people only */

/* The time from now on CLOCK_MONOTONIC, for pthread_cond_clockwait(), which knows no CLOCK_BOOTTIME. */
struct timespec oz_deadline_in(int64_t ns);

/* Tests only: oz_now() answers with *source instead of the clock; NULL switches back. */
void oz_clock_set_source(const _Atomic int64_t *source);

#endif
