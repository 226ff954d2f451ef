#include "base/thread.h"

#include <signal.h>

int oz_thread_start(pthread_t *t, void *(*run)(void *), void *arg)
{
    pthread_t detached;
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(t ? t : &detached, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error && !t)
        pthread_detach(detached);
    return error;
}
