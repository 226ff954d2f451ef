/* A wall clock that jumps, for this program and all the libraries that it uses. */
#ifndef FAULTS_SKEW_H
#define FAULTS_SKEW_H

#include <stdint.h>

/* How far CLOCK_REALTIME is off, in nanoseconds, from now on. */
void skew_use(const _Atomic int64_t *nanoseconds);

#endif
