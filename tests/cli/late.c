/* Preloaded into odezk: a main thread that gets no processor for a second, while it waits for the end of its leave. */
#include <dlfcn.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

enum { LEAVE_MS = 900 };

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    int (*next)(struct pollfd *, nfds_t, int);

    *(void **)&next = dlsym(RTLD_NEXT, "poll");
    int ready = next(fds, count, timeout);

    /* Not while it waits to write: then it would write all that came meanwhile, and notice nothing. */
    if (gettid() == getpid() && count == 3 && !fds[2].events && timeout >= 0 && timeout <= LEAVE_MS && ready > 0)
        nanosleep(&(struct timespec){1, 0}, NULL);
    return ready;
}
