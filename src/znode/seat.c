#include "znode/seat.h"

#include "base/clock.h"
#include "base/mem.h"
#include "znode/names.h"
#include "znode/tree.h"

#include <stdlib.h>
#include <string.h>

struct oz_seat {
    struct oz_session *session;
    char *dir, *prefix, *data;
    oz_seat_cb cb; /* NULL: nobody wants the seat any more */
    void *owner;
    struct oz_timer retry;
    bool taken, done;
    char *path;
    int32_t seq;
    int64_t czxid;
    /* Recovery: the names that may be ours, of which number `at` is being looked at. */
    char **candidates;
    size_t candidate_count, at;
};

static void create(void *arg);
static void search(void *arg);
static void look(void *arg);

static void free_candidates(struct oz_seat *seat)
{
    size_t i;

    for (i = 0; i < seat->candidate_count; i++)
        free(seat->candidates[i]);
    free(seat->candidates);
    seat->candidates = NULL;
    seat->candidate_count = seat->at = 0;
}

static void destroy(struct oz_seat *seat)
{
    oz_timer_clear(oz_session_timers(seat->session), &seat->retry);
    free_candidates(seat);
    free(seat->dir);
    free(seat->prefix);
    free(seat->data);
    free(seat->path);
    free(seat);
}

static void finish(struct oz_seat *seat, enum oz_rc rc)
{
    seat->done = true;
    free_candidates(seat);
    if (seat->cb) {
        seat->cb(seat->owner, seat, rc);
        return;
    }
    if (seat->taken)
        oz_erase(seat->session, seat->path);
    destroy(seat);
}

/* Nobody wants it any more, and there is no memory to find out whether it exists: the end of the session removes it. */
static void abandon(struct oz_seat *seat, void (*what)(void *))
{
    if (what == search || what == look)
        oz_session_fail(seat->session, "out of memory");
    destroy(seat);
}

static void later(struct oz_seat *seat, void (*what)(void *))
{
    if (!seat->cb) {
        abandon(seat, what);
        return;
    }
    oz_session_later(seat->session, &seat->retry, OZ_RETRY_AFTER, what, seat);
}

static bool take_path(struct oz_seat *seat, const char *path, int64_t czxid)
{
    size_t prefix;

    seat->path = oz_strdup(path);
    if (!seat->path || !oz_name_split(oz_basename(path), &prefix, &seat->seq)) {
        free(seat->path);
        seat->path = NULL;
        return false;
    }
    seat->czxid = czxid;
    seat->taken = true;
    return true;
}

static void dir_made(void *owner, const struct oz_reply *reply)
{
    struct oz_seat *seat = owner;

    if (reply->rc == OZ_OK)
        create(seat);
    else
        finish(seat, reply->rc);
}

static void make_dir(void *arg)
{
    struct oz_seat *seat = arg;

    if (!seat->cb)
        finish(seat, OZ_GONE);
    else if (!oz_make_dirs(seat->session, seat->dir, dir_made, seat))
        later(seat, make_dir);
}

static void created(void *owner, const struct oz_reply *reply)
{
    struct oz_seat *seat = owner;

    switch (reply->rc) {
    case OZ_OK:
        if (take_path(seat, reply->path, reply->stat.czxid))
            finish(seat, OZ_OK);
        else
            search(seat);
        break;
    case OZ_NONODE:
        make_dir(seat);
        break;
    case OZ_UNKNOWN:
        search(seat);
        break;
    default:
        finish(seat, reply->rc);
    }
}

static void create(void *arg)
{
    struct oz_seat *seat = arg;
    char *path = oz_format("%s/%s#", seat->dir, seat->prefix);
    struct oz_request request = {.verb = OZ_CREATE,
                                 .path = path,
                                 .data = seat->data,
                                 .len = strlen(seat->data),
                                 .flags = OZ_EPHEMERAL | OZ_SEQUENCE};

    if (!seat->cb) /* no longer wanted, and certainly not there */
        finish(seat, OZ_GONE);
    else if (!path || !oz_submit(seat->session, &request, created, seat))
        later(seat, create);
    free(path);
}

/* The first candidate that is ours becomes the seat; a second one is deleted. */
static void looked(void *owner, const struct oz_reply *reply)
{
    struct oz_seat *seat = owner;
    const char *path = seat->candidates[seat->at];

    if (reply->rc == OZ_GONE) {
        finish(seat, OZ_GONE);
        return;
    }
    if (reply->rc == OZ_OK && reply->stat.owner == oz_session_id(seat->session)) {
        if (seat->taken)
            oz_erase(seat->session, path);
        else if (!take_path(seat, path, reply->stat.czxid)) {
            later(seat, look);
            return;
        }
    }
    seat->at++;
    look(seat);
}

static void look(void *arg)
{
    struct oz_seat *seat = arg;
    struct oz_request request = {.verb = OZ_STAT, .retry = true};

    if (seat->at == seat->candidate_count) {
        free_candidates(seat);
        if (seat->taken)
            finish(seat, OZ_OK);
        else
            create(seat);
        return;
    }
    request.path = seat->candidates[seat->at];
    if (!oz_submit(seat->session, &request, looked, seat))
        later(seat, look);
}

static bool may_be_ours(const struct oz_seat *seat, const char *name)
{
    size_t prefix;
    int32_t seq;

    return oz_name_split(name, &prefix, &seq) && prefix == strlen(seat->prefix) &&
           memcmp(name, seat->prefix, prefix) == 0;
}

static void searched(void *owner, const struct oz_reply *reply)
{
    struct oz_seat *seat = owner;
    size_t i;

    if (reply->rc == OZ_NONODE) {
        create(seat);
        return;
    }
    if (reply->rc != OZ_OK) {
        finish(seat, reply->rc);
        return;
    }
    seat->candidates = oz_alloc((reply->count + 1) * sizeof *seat->candidates);
    for (i = 0; seat->candidates && i < reply->count; i++) {
        char **slot = &seat->candidates[seat->candidate_count];

        if (!may_be_ours(seat, reply->names[i]))
            continue;
        *slot = oz_format("%s/%s", seat->dir, reply->names[i]);
        if (!*slot) {
            free_candidates(seat);
            break;
        }
        seat->candidate_count++;
    }
    if (seat->candidates)
        look(seat);
    else
        later(seat, search);
}

static void decided(void *owner, const struct oz_reply *reply)
{
    struct oz_seat *seat = owner;
    struct oz_request list = {.verb = OZ_CHILDREN, .path = seat->dir, .retry = true};

    if (reply->rc == OZ_GONE)
        finish(seat, OZ_GONE);
    else if (!oz_submit(seat->session, &list, searched, seat))
        later(seat, search);
}

/* The outcome of a create is unknown: a list behind a barrier shows it. */
static void search(void *arg)
{
    struct oz_seat *seat = arg;

    if (!oz_barrier(seat->session, false, decided, seat))
        later(seat, search);
}

struct oz_seat *oz_seat_take(struct oz_session *s, const char *dir, const char *prefix, const char *data, oz_seat_cb cb,
                             void *owner)
{
    struct oz_seat *seat = oz_alloc(sizeof *seat);

    if (!seat)
        return NULL;
    seat->session = s;
    seat->dir = oz_strdup(dir);
    seat->prefix = oz_strdup(prefix);
    seat->data = oz_strdup(data);
    seat->cb = cb;
    seat->owner = owner;
    if (!seat->dir || !seat->prefix || !seat->data) {
        destroy(seat);
        return NULL;
    }
    create(seat);
    return seat;
}

bool oz_seat_taken(const struct oz_seat *seat)
{
    return seat && seat->done && seat->taken;
}

const char *oz_seat_path(const struct oz_seat *seat)
{
    return seat->path;
}

const char *oz_seat_name(const struct oz_seat *seat)
{
    return oz_basename(seat->path);
}

int32_t oz_seat_seq(const struct oz_seat *seat)
{
    return seat->seq;
}

int64_t oz_seat_czxid(const struct oz_seat *seat)
{
    return seat->czxid;
}

static bool is_in_queue(const char *name, const char *queue)
{
    size_t len = queue ? strlen(queue) : 0;

    return !queue || (strncmp(name, queue, len) == 0 && name[len] == '#');
}

struct oz_neighbours oz_seat_neighbours(const struct oz_seat *seat, const char *const *names, size_t count,
                                        const char *queue)
{
    struct oz_neighbours n = {0};
    const char *ours = oz_seat_name(seat);
    int32_t seq, best = 0;
    size_t prefix, i;

    for (i = 0; i < count; i++) {
        if (!is_in_queue(names[i], queue) || !oz_name_split(names[i], &prefix, &seq))
            continue;
        if (strcmp(names[i], ours) == 0) {
            n.here = true;
        } else if (oz_seq_compare(seq, seat->seq) > 0) {
            n.behind = true;
        } else if (!n.before || oz_seq_compare(seq, best) > 0) {
            n.before = names[i];
            best = seq;
        }
    }
    return n;
}

struct oz_seat *oz_seat_leave(struct oz_seat *seat)
{
    if (!seat)
        return NULL;
    seat->cb = NULL;
    if (!seat->done) { /* it is dealt with when its outcome is known */
        if (seat->retry.armed)
            abandon(seat, seat->retry.fire);
        return NULL;
    }
    if (seat->taken)
        oz_erase(seat->session, seat->path);
    destroy(seat);
    return NULL;
}

struct oz_seat *oz_seat_forget(struct oz_seat *seat)
{
    if (!seat)
        return NULL;
    seat->cb = NULL;
    if (seat->done || seat->retry.armed)
        destroy(seat);
    return NULL;
}
