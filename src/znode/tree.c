#include "znode/tree.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct dirs {
    int pending;
    enum oz_rc worst; /* of the components before the last */
    oz_op_cb cb;
    void *owner;
};

static void finish(struct dirs *d, enum oz_rc rc)
{
    struct oz_reply reply = {.rc = rc};

    if (rc == OZ_EXISTS)
        reply.rc = OZ_OK;
    else if (rc == OZ_NONODE)
        reply.rc = d->worst != OZ_OK ? d->worst : OZ_NONODE;
    if (d->cb)
        d->cb(d->owner, &reply);
    free(d);
}

static void made(void *owner, const struct oz_reply *reply)
{
    struct dirs *d = owner;

    if (--d->pending == 0) /* answers come in order: this is the path itself */
        finish(d, reply->rc);
    else if (reply->rc != OZ_OK && reply->rc != OZ_EXISTS)
        d->worst = reply->rc;
}

bool oz_make_dirs(struct oz_session *s, const char *path, oz_op_cb cb, void *owner)
{
    struct dirs *d = oz_alloc(sizeof *d);
    char *copy = oz_strdup(path);
    struct oz_request request = {.verb = OZ_CREATE, .path = copy, .retry = true};
    char *slash = copy;
    bool good = d && copy;

    while (good && slash) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        good = oz_submit(s, &request, made, d) != NULL;
        d->pending += good;
        if (slash)
            *slash = '/';
    }
    free(copy);
    if (good) {
        d->cb = cb;
        d->owner = owner;
    } else if (d && d->pending == 0) {
        free(d); /* otherwise the reply to the last one that was sent frees it */
    }
    return good;
}

static void erase(struct oz_session *s, const char *path, bool bulk)
{
    struct oz_request request = {.verb = OZ_DELETE, .path = path, .bulk = bulk, .retry = true};

    if (!oz_submit(s, &request, oz_ignore_reply, NULL))
        oz_session_fail(s, "out of memory");
}

void oz_erase(struct oz_session *s, const char *path)
{
    erase(s, path, false);
}

void oz_erase_bulk(struct oz_session *s, const char *path)
{
    erase(s, path, true);
}
