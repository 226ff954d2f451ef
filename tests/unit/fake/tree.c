/* The tree of znodes, and how a change is done to it. */
#include "internal.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *zk_need(void *p)
{
    if (!p) {
        fprintf(stderr, "fake_zk: out of memory\n");
        abort();
    }
    return p;
}

char *zk_copy(const void *data, size_t len)
{
    char *to = zk_need(malloc(len + 1));

    if (len)
        memcpy(to, data, len);
    to[len] = '\0';
    return to;
}

char *zk_copy_string(const char *s)
{
    return s ? zk_copy(s, strlen(s)) : NULL;
}

int64_t zk_later(int64_t time)
{
    int64_t now = oz_now();

    return time > OZ_NEVER - now ? OZ_NEVER : now + time;
}

static uint32_t parent_hash(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = zk_copy(path, slash == path ? 1 : (size_t)(slash - path));
    uint32_t hash = oz_hash(parent);

    free(parent);
    return hash;
}

struct node *zk_find(const struct tree *t, const char *path)
{
    uint32_t hash = oz_hash(path);
    size_t i;

    for (i = 0; i < t->count; i++)
        if (t->nodes[i]->hash == hash && strcmp(t->nodes[i]->path, path) == 0)
            return t->nodes[i];
    return NULL;
}

struct node *zk_find_parent(const struct tree *t, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = zk_copy(path, slash == path ? 1 : (size_t)(slash - path));
    struct node *node = zk_find(t, parent);

    free(parent);
    return node;
}

bool zk_is_child(const struct node *dir, const struct node *node)
{
    size_t n = strlen(dir->path);

    if (node->parent != dir->hash || node == dir)
        return false;
    if (n == 1)
        return !strchr(node->path + 1, '/');
    return strncmp(node->path, dir->path, n) == 0 && node->path[n] == '/' && !strchr(node->path + n + 1, '/');
}

size_t zk_count_children(const struct tree *t, const struct node *dir)
{
    size_t i, n = 0;

    for (i = 0; i < t->count; i++)
        n += zk_is_child(dir, t->nodes[i]);
    return n;
}

static void free_node(struct node *node)
{
    free(node->path);
    free(node->data);
    free(node);
}

void zk_free_tree(struct tree *t)
{
    size_t i;

    for (i = 0; i < t->count; i++)
        free_node(t->nodes[i]);
    free(t->nodes);
    *t = (struct tree){0};
}

void zk_add_node(struct tree *t, struct node *node)
{
    if (t->count == t->size) {
        t->size = t->size ? 2 * t->size : 64;
        t->nodes = zk_need(realloc(t->nodes, t->size * sizeof *t->nodes));
    }
    t->nodes[t->count++] = node;
}

struct node *zk_new_node(const char *path, const void *data, size_t len)
{
    struct node *node = zk_need(calloc(1, sizeof *node));

    node->path = zk_copy_string(path);
    node->hash = oz_hash(path);
    node->parent = strcmp(path, "/") ? parent_hash(path) : 0;
    node->data = zk_copy(data, len);
    node->len = len;
    return node;
}

void zk_clone_tree(struct tree *to, const struct tree *from)
{
    size_t i;

    zk_free_tree(to);
    for (i = 0; i < from->count; i++) {
        const struct node *n = from->nodes[i];
        struct node *twin = zk_new_node(n->path, n->data, n->len);

        twin->stat = n->stat;
        twin->pzxid = n->pzxid;
        twin->counter = n->counter;
        zk_add_node(to, twin);
    }
    to->zxid = from->zxid;
}

static void apply_create(struct tree *t, const struct change *c)
{
    struct node *node = zk_new_node(c->path, c->data, c->len), *parent = zk_find_parent(t, c->path);

    node->stat = (struct oz_znode_stat){.czxid = c->zxid, .mzxid = c->zxid, .ctime_ms = c->time_ms, .owner = c->owner};
    node->pzxid = c->zxid;
    parent->pzxid = c->zxid;
    parent->counter = (int32_t)((uint32_t)parent->counter + 1);
    zk_add_node(t, node);
}

static void apply_delete(struct tree *t, const struct change *c)
{
    struct node *node = zk_find(t, c->path), *parent = zk_find_parent(t, c->path);
    size_t i;

    parent->pzxid = c->zxid;
    for (i = 0; t->nodes[i] != node; i++)
        ;
    memmove(t->nodes + i, t->nodes + i + 1, (t->count - i - 1) * sizeof *t->nodes);
    t->count--;
    free_node(node);
}

static void apply_set(struct tree *t, const struct change *c)
{
    struct node *node = zk_find(t, c->path);

    free(node->data);
    node->data = zk_copy(c->data, c->len);
    node->len = c->len;
    node->stat.mzxid = c->zxid;
    node->stat.version++;
}

void zk_apply(struct tree *t, const struct change *c)
{
    if (c->verb == OZ_CREATE)
        apply_create(t, c);
    else if (c->verb == OZ_DELETE)
        apply_delete(t, c);
    else
        apply_set(t, c);
    t->zxid = c->zxid;
}
