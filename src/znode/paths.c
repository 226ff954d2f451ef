#include "znode/paths.h"

#include "base/buf.h"
#include "base/mem.h"
#include "znode/names.h"

#include <inttypes.h>

char *oz_path_members(const char *root)
{
    return oz_format("%s/members", root);
}

char *oz_path_member(const char *root, const char *name)
{
    return oz_format("%s/members/%s", root, name);
}

char *oz_path_election(const char *root)
{
    return oz_format("%s/election", root);
}

char *oz_path_leader(const char *root)
{
    return oz_format("%s/leader", root);
}

char *oz_path_inboxes(const char *root)
{
    return oz_format("%s/inbox", root);
}

char *oz_path_inbox(const char *root, const char *member)
{
    return oz_format("%s/inbox/%s", root, member);
}

char *oz_path_request(const char *root, const char *member, const char *request)
{
    return oz_format("%s/inbox/%s/%s", root, member, request);
}

char *oz_path_lock_request(const char *root, const char *member, const char *space, const char *key, int64_t token)
{
    struct oz_buf b = {0};

    oz_buf_printf(&b, "%s/inbox/%s/%s:", root, member, space);
    oz_encode_key(&b, key);
    if (token)
        oz_buf_printf(&b, "#%" PRId64, token);
    return oz_buf_take(&b);
}

char *oz_path_locks(const char *root)
{
    return oz_format("%s/locks", root);
}

char *oz_path_queues(const char *root)
{
    return oz_format("%s/queue", root);
}

static void add_bucket(struct oz_buf *b, const char *root, const char *what, const char *space, const char *key)
{
    char bucket[3];

    oz_bucket(key, bucket);
    oz_buf_printf(b, "%s/%s/%s/%s", root, what, space, bucket);
}

char *oz_path_lock_dir(const char *root, const char *space, const char *key)
{
    struct oz_buf b = {0};

    add_bucket(&b, root, "locks", space, key);
    return oz_buf_take(&b);
}

char *oz_path_queue_dir(const char *root, const char *space, const char *key)
{
    struct oz_buf b = {0};

    add_bucket(&b, root, "queue", space, key);
    return oz_buf_take(&b);
}

char *oz_path_lock(const char *root, const char *space, const char *key)
{
    struct oz_buf b = {0};

    add_bucket(&b, root, "locks", space, key);
    oz_buf_putc(&b, '/');
    oz_encode_key(&b, key);
    return oz_buf_take(&b);
}
