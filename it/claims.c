/* Claims: what each claimant believed to have, and when. Shared memory, lock-free. */
#include "internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CLAIMS_MAX = 65536 };

struct claim {
    _Atomic int64_t token; /* 0: free */
    int claimant;
    int64_t first;        /* certainly believed in from here */
    _Atomic int64_t last; /* to here */
};

struct shared {
    _Atomic int used;
    struct claim claims[CLAIMS_MAX];
};

struct it_claims {
    int fd; /* -1: somebody else's */
    struct shared *shared;
};

int64_t it_boottime_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void destroy(void *claims)
{
    it_claims_free(claims);
}

static struct it_claims *map(int fd, bool own)
{
    struct it_claims *claims = it_alloc(sizeof *claims);

    claims->fd = own ? fd : -1;
    claims->shared = mmap(NULL, sizeof *claims->shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (claims->shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    it_keep(claims, destroy);
    return claims;
}

struct it_claims *it_claims_new(void)
{
    int fd = memfd_create("claims", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) != 0) {
        perror("memfd");
        exit(1);
    }
    return map(fd, true);
}

struct it_claims *it_claims_map(int fd)
{
    return map(fd, false);
}

int it_claims_fd(const struct it_claims *claims)
{
    return claims->fd;
}

void it_claims_free(struct it_claims *claims)
{
    if (!claims)
        return;
    it_forget(claims);
    munmap(claims->shared, sizeof *claims->shared);
    if (claims->fd >= 0)
        close(claims->fd);
    free(claims);
}

static int used(const struct it_claims *claims)
{
    int count = atomic_load(&claims->shared->used);

    return count < CLAIMS_MAX ? count : CLAIMS_MAX;
}

void it_claim(struct it_claims *claims, int claimant, int64_t token, int64_t before_ns, int64_t after_ns)
{
    struct shared *shared = claims->shared;

    /* The newest of a claimant is near the end. */
    for (int i = used(claims) - 1; i >= 0; i--)
        if (atomic_load(&shared->claims[i].token) == token && shared->claims[i].claimant == claimant) {
            if (before_ns > atomic_load(&shared->claims[i].last))
                atomic_store(&shared->claims[i].last, before_ns);
            return;
        }
    int i = atomic_fetch_add(&shared->used, 1);
    if (i >= CLAIMS_MAX)
        return;
    shared->claims[i].claimant = claimant;
    /* It was believed in at one moment between the two times; from the second on that is certain.
     */
    shared->claims[i].first = after_ns;
    atomic_store(&shared->claims[i].last, before_ns);
    atomic_store(&shared->claims[i].token, token);
}

int it_claims_count(const struct it_claims *claims)
{
    return used(claims);
}

int64_t it_claims_newest(const struct it_claims *claims, int claimant)
{
    int64_t newest = 0;

    for (int i = 0; i < used(claims); i++) {
        const struct claim *claim = &claims->shared->claims[i];
        int64_t token = atomic_load(&claim->token);
        if (token > newest && (claimant < 0 || claim->claimant == claimant))
            newest = token;
    }
    return newest;
}

struct wanted {
    const struct it_claims *claims;
    int64_t token;
};

static bool has_newer(void *arg)
{
    struct wanted *wanted = arg;

    return it_claims_newest(wanted->claims, -1) > wanted->token;
}

bool it_claims_wait(const struct it_claims *claims, int ms, int64_t token)
{
    struct wanted wanted = {claims, token};

    return it_until(ms, has_newer, &wanted);
}

int64_t it_claims_first_ns(const struct it_claims *claims, int64_t token)
{
    for (int i = 0; i < used(claims); i++)
        if (atomic_load(&claims->shared->claims[i].token) == token)
            return claims->shared->claims[i].first;
    return 0;
}

int it_claims_last_claimant(const struct it_claims *claims)
{
    const int64_t newest = it_claims_newest(claims, -1);

    for (int i = 0; i < used(claims); i++)
        if (atomic_load(&claims->shared->claims[i].token) == newest)
            return claims->shared->claims[i].claimant;
    return -1;
}

/* ---- processes that claim ---- */

bool it_pack_start(struct it_pack *pack, const char *what)
{
    char number[16], timeout[16];

    snprintf(timeout, sizeof timeout, "%d", it_timeout());
    pack->claims = it_claims_new();
    it_inherit(it_claims_fd(pack->claims));
    for (int i = 0; i < IT_PACK; i++) {
        snprintf(number, sizeof number, "%d", i);
        pack->processes[i] = it_start("it/claimant", number, it_servers(), it_base(), timeout, what, NULL);
        if (!it_expect(pack->processes[i]->log, 10000, "started"))
            return false;
    }
    it_inherit(-1);
    return true;
}

bool it_pack_stop(struct it_pack *pack)
{
    bool good = true;

    for (int i = 0; i < IT_PACK; i++)
        it_signal(pack->processes[i], SIGTERM);
    for (int i = 0; i < IT_PACK; i++)
        good = it_exit(pack->processes[i], 10000) == 0 && good;
    return good;
}

/* ---- judging ---- */

static void print(const char *what, const struct claim *a, const struct claim *b)
{
    it_note("%s: claimant %d, token %" PRId64 ", %" PRId64 " to %" PRId64 " ns; claimant %d, token %" PRId64
            ", %" PRId64 " to %" PRId64 " ns",
            what, a->claimant, a->token, a->first, a->last, b->claimant, b->token, b->first, b->last);
}

static bool apart(const struct claim *a, const struct claim *b)
{
    if (!a->token || !b->token)
        return true; /* its claimant was killed while it wrote it */
    if (a->token == b->token) {
        print("two have the same token", a, b);
        return false;
    }
    if (a->first <= b->last && b->first <= a->last) {
        print("two at the same time", a, b);
        return false;
    }
    if ((a->token < b->token) != (a->first < b->first)) {
        print("a later one has a smaller token", a, b);
        return false;
    }
    return true;
}

bool it_claims_exclusive(const struct it_claims *claims)
{
    bool good = true;

    for (int i = 0; i < used(claims); i++)
        for (int j = i + 1; j < used(claims); j++)
            good = apart(&claims->shared->claims[i], &claims->shared->claims[j]) && good;
    return good;
}
