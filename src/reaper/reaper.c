#include "reaper/reaper.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "reaper/launch.h"
#include "reaper/record.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROGRAM "odezk-reaper"

struct oz_reaper {
    char *helper; /* NULL: there will be none */
    struct oz_record record;

    /* Under ends_lock. */
    struct oz_list link;
    int socket;               /* our end; -1: there is no helper */
    int helper_socket, pidfd; /* the helper's, until it has them */
    bool starting;            /* the thread that starts it is at work */
};

/* ---- fork ---- */

/* A child has our end of each socket as well: as long as it keeps them no helper would take us for dead. */
static pthread_mutex_t ends_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t started = PTHREAD_COND_INITIALIZER;
static struct oz_list reapers = {&reapers, &reapers};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void before_fork(void)
{
    pthread_mutex_lock(&ends_lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&ends_lock);
}

static void in_child(void)
{
    struct oz_list *node;

    oz_list_each(node, &reapers) {
        struct oz_reaper *r = oz_container(node, struct oz_reaper, link);

        close_end(&r->socket);
        close_end(&r->helper_socket);
        close_end(&r->pidfd);
    }
    oz_list_init(&reapers);
    pthread_cond_init(&started, NULL); /* who waited on it is not here */
    pthread_mutex_unlock(&ends_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- which program ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), n = strlen(end);

    return length >= n && strcmp(text + length - n, end) == 0;
}

/* DIR/NAME, if that can be run. */
static char *look_in(const char *dir, const char *name)
{
    char *path = oz_format("%s/%s", dir, name);
    char *found = path && access(path, X_OK) == 0 ? realpath(path, NULL) : NULL;

    free(path);
    return found;
}

/* Found from where the library is, so that an installation may be moved. Never searched for further up: a directory
 * there may be everybody's, such as /tmp. */
static char *find_helper(void)
{
    static const char here;
    static const struct {
        const char *dir, *name;
    } places[] = {{"/.libs", "../" PROGRAM}, /* of a build */
                  {"/lib", "../libexec/odezk/" PROGRAM},
                  {"/bin", "../libexec/odezk/" PROGRAM}, /* of a program that has the library in it */
                  {"", PROGRAM}};
    char *found = NULL, *dir;
    Dl_info library;
    size_t i;

    dir = dladdr(&here, &library) ? realpath(library.dli_fname, NULL) : NULL;
    if (dir)
        *strrchr(dir, '/') = '\0';
    for (i = 0; dir && !found && i < sizeof places / sizeof *places; i++)
        if (ends_with(dir, places[i].dir))
            found = look_in(dir, places[i].name);
    free(dir);
    return found ? found : oz_strdup(ODEZK_LIBEXECDIR "/" PROGRAM);
}

static char *choose_helper(const odezk_config *config)
{
    const char *path = odezk_config_get(config, "crash-leave-helper");

    return strcmp(path, "auto") == 0 ? find_helper() : oz_strdup(path);
}

/* Not for the first process of a container: the helper would be killed with it, and be its child to wait for. */
static bool wanted(const odezk_config *config)
{
    return strcmp(odezk_config_get(config, "crash-leave"), "true") == 0 && getpid() != 1;
}

/* ---- starting the helper ---- */

/* Once in a process is enough. */
static void complain(const struct oz_reaper *r, const char *why)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&said))
        oz_warn("reaper",
                "cannot start the helper process %s: %s; a crash of this node will be noticed only after the session "
                "timeout",
                r->helper, why);
}

static void finish_start(struct oz_reaper *r)
{
    pthread_mutex_lock(&ends_lock);
    close_end(&r->helper_socket);
    close_end(&r->pidfd);
    r->starting = false;
    pthread_cond_broadcast(&started);
    pthread_mutex_unlock(&ends_lock);
}

/* On a thread of its own: loading a program may have to wait for the disk. */
static void *start_helper(void *arg)
{
    struct oz_reaper *r = arg;
    int error = oz_launch(r->helper, r->helper_socket, r->pidfd);

    if (error)
        complain(r, strerror(error));
    finish_start(r);
    return NULL;
}

static void wait_for_start(struct oz_reaper *r)
{
    pthread_mutex_lock(&ends_lock);
    while (r->starting)
        pthread_cond_wait(&started, &ends_lock);
    pthread_mutex_unlock(&ends_lock);
}

/* A pidfd, because the number of a process may be used again. */
static int make_ends(struct oz_reaper *r)
{
    int ends[2] = {-1, -1}, pidfd, error = 0;

    pthread_mutex_lock(&ends_lock);
    pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        error = errno;
        close_end(&pidfd);
    }
    r->pidfd = pidfd;
    r->socket = ends[0];
    r->helper_socket = ends[1];
    r->starting = true;
    pthread_mutex_unlock(&ends_lock);
    return error;
}

static void close_socket(struct oz_reaper *r)
{
    pthread_mutex_lock(&ends_lock);
    close_end(&r->socket);
    pthread_mutex_unlock(&ends_lock);
}

/* The helper would become our child, as all orphans below us do. Asked each time, as a program may begin or stop to be
 * one. */
static bool adopts_orphans(void)
{
    int adopts = 0;

    return prctl(PR_GET_CHILD_SUBREAPER, &adopts) == 0 && adopts;
}

static void start(struct oz_reaper *r)
{
    int error;

    wait_for_start(r);
    close_socket(r);
    if (adopts_orphans()) {
        complain(r, "it would be a child of this process, which adopts orphans (PR_SET_CHILD_SUBREAPER)");
        return;
    }
    error = make_ends(r);
    if (!error)
        error = oz_thread_start(NULL, start_helper, r);
    if (error) {
        complain(r, strerror(error));
        close_socket(r);
        finish_start(r);
    }
}

/* ---- telling it ---- */

/* Never waits: a full socket is a helper that does not read. False: there is none any more. */
static bool tell(const struct oz_reaper *r)
{
    if (r->socket < 0)
        return false;
    return send(r->socket, &r->record, sizeof r->record, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

static bool remember(struct oz_reaper *r, const struct oz_identity *identity, const char *hosts)
{
    if (strlen(hosts) >= sizeof r->record.hosts) {
        complain(r, "the list of servers is too long");
        return false;
    }
    r->record.timeout_ms = identity->timeout_ms;
    r->record.session = identity->id;
    memcpy(r->record.password, identity->password, sizeof r->record.password);
    snprintf(r->record.hosts, sizeof r->record.hosts, "%s", hosts);
    return true;
}

void oz_reaper_session(struct oz_reaper *r, const struct oz_identity *identity, const char *hosts)
{
    if (!r->helper || !remember(r, identity, hosts))
        return;
    if (!tell(r)) {
        start(r);
        tell(r);
    }
}

void oz_reaper_member(struct oz_reaper *r, const char *path)
{
    snprintf(r->record.member, sizeof r->record.member, "%s", path ? path : "");
    tell(r);
}

void oz_reaper_dismiss(struct oz_reaper *r)
{
    explicit_bzero(&r->record, sizeof r->record);
    r->record.version = OZ_RECORD_VERSION;
    tell(r);
    close_socket(r);
}

/* ---- its life ---- */

struct oz_reaper *oz_reaper_new(const odezk_config *config)
{
    struct oz_reaper *r = oz_alloc(sizeof *r);

    if (!r)
        return NULL;
    r->socket = r->helper_socket = r->pidfd = -1;
    r->record.version = OZ_RECORD_VERSION;
    oz_list_init(&r->link);
    if (wanted(config)) {
        r->helper = choose_helper(config);
        if (!r->helper) {
            free(r);
            return NULL;
        }
    }
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&ends_lock);
    oz_list_append(&reapers, &r->link);
    pthread_mutex_unlock(&ends_lock);
    return r;
}

void oz_reaper_free(struct oz_reaper *r)
{
    if (!r)
        return;
    oz_reaper_dismiss(r);
    wait_for_start(r);
    pthread_mutex_lock(&ends_lock);
    oz_list_remove(&r->link);
    pthread_mutex_unlock(&ends_lock);
    free(r->helper);
    free(r);
}
