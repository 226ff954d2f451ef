/* Starting a thread. Signals are the program's business: none is ever delivered to a thread of the library. */
#ifndef OZ_THREAD_H
#define OZ_THREAD_H

#include <pthread.h>

/* Starts a thread with all signals blocked. Returns 0 or an errno. With NULL for `t` nobody has to join it. */
int oz_thread_start(pthread_t *t, void *(*run)(void *), void *arg);

#endif
