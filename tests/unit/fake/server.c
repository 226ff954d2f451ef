/* The servers: what the leader decides, what followers tell their clients, and when they lag. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages and watches ---- */

void zk_free_order(struct order *o)
{
    size_t i;

    for (i = 0; i < o->count; i++) {
        free(o->items[i].path);
        free(o->items[i].data);
    }
    free(o->items);
    free(o->path);
    free(o->data);
    free(o);
}

void zk_free_message(struct message *m)
{
    size_t i;

    for (i = 0; i < m->reply.count; i++)
        free(m->names[i]);
    free(m->names);
    free(m->path);
    free(m->name);
    free(m->data);
    free(m);
}

void zk_free_watches(struct port *p)
{
    while (p->watches) {
        struct watch *w = p->watches;

        p->watches = w->next;
        free(w);
    }
}

void zk_append_message(struct port *p, struct message *m)
{
    struct message **end = &p->messages;

    while (*end)
        end = &(*end)->next;
    *end = m;
}

void zk_append_order(struct order **end, struct order *o)
{
    while (*end)
        end = &(*end)->next;
    *end = o;
}

const struct tree *zk_tree_of(const struct port *p)
{
    const struct slot *slot = &zk.slots[p->slot];

    return slot->lags ? &slot->tree : &zk.leader;
}

void zk_send_event(struct port *p, const char *path)
{
    struct message *m = zk_need(calloc(1, sizeof *m));

    m->event = true;
    m->path = zk_copy_string(path);
    zk_append_message(p, m);
}

struct watch *zk_find_watch(struct port *p, const char *path, bool child)
{
    struct watch *w;

    for (w = p->watches; w; w = w->next)
        if (w->child == child && strcmp(w->path, path) == 0)
            return w;
    w = zk_need(calloc(1, sizeof *w + strlen(path) + 1));
    memcpy(w->path, path, strlen(path));
    w->child = child;
    w->next = p->watches;
    p->watches = w;
    return w;
}

static bool take_server_watch(struct port *p, const char *path, bool child)
{
    struct watch *w = zk_find_watch(p, path, child);
    bool had = w->server;

    w->server = false;
    return had;
}

/* The watches of one client that a change fires. */
static void fire(struct port *p, const struct change *c)
{
    const char *slash = strrchr(c->path, '/');
    char *parent = zk_copy(c->path, slash == c->path ? 1 : (size_t)(slash - c->path));
    bool own = false;

    if (c->verb != OZ_CREATE)
        own = take_server_watch(p, c->path, false);
    if (c->verb == OZ_DELETE)
        own |= take_server_watch(p, c->path, true);
    if (own)
        zk_send_event(p, c->path);
    if (c->verb != OZ_SET && take_server_watch(p, parent, true))
        zk_send_event(p, parent);
    free(parent);
}

static void fire_on_slot(int slot, const struct change *c)
{
    struct port *p;

    for (p = zk.ports; p; p = p->next)
        if (p->slot == slot && p->connected)
            fire(p, c);
}

/* A lagging server gets up to a change. */
void zk_catch_up(int number, size_t until)
{
    struct slot *slot = &zk.slots[number];

    if (!slot->lags)
        return;
    for (; slot->applied < until; slot->applied++) {
        zk_apply(&slot->tree, &zk.changes[slot->applied]);
        fire_on_slot(number, &zk.changes[slot->applied]);
    }
}

void zk_end_lag(int number)
{
    struct slot *slot = &zk.slots[number];

    zk_catch_up(number, zk.change_count);
    zk_free_tree(&slot->tree);
    slot->lags = false;
    slot->lag_until = 0;
}

void zk_begin_lag(int number, int64_t until)
{
    struct slot *slot = &zk.slots[number];

    if (!slot->lags) {
        zk_clone_tree(&slot->tree, &zk.leader);
        slot->applied = zk.change_count;
        slot->lags = true;
    }
    slot->lag_until = until;
}

/* ---- the leader ---- */

static int64_t wall_ms(void)
{
    return INT64_C(1700000000000) + oz_now() / OZ_MS;
}

/* All changes of one transaction have one zxid. */
void zk_commit(enum oz_verb verb, const char *path, const void *data, size_t len, int64_t owner, int64_t zxid)
{
    struct change *c;
    int i;

    if (zk.change_count == zk.change_size) {
        zk.change_size = zk.change_size ? 2 * zk.change_size : 256;
        zk.changes = zk_need(realloc(zk.changes, zk.change_size * sizeof *zk.changes));
    }
    c = &zk.changes[zk.change_count++];
    *c = (struct change){.verb = verb,
                         .path = zk_copy_string(path),
                         .data = zk_copy(data, len),
                         .len = len,
                         .zxid = zxid,
                         .time_ms = wall_ms(),
                         .owner = owner};
    zk_apply(&zk.leader, c);
    for (i = 1; i < FAKE_SLOTS; i++)
        if (!zk.slots[i].lags)
            fire_on_slot(i, c);
}

void zk_end_session(struct session *s)
{
    int64_t zxid = zk.leader.zxid + 1;
    size_t i = 0;

    s->dead = true;
    while (i < zk.leader.count) {
        if (zk.leader.nodes[i]->stat.owner == s->id) {
            char *path = zk_copy_string(zk.leader.nodes[i]->path);

            zk_commit(OZ_DELETE, path, NULL, 0, 0, zxid);
            free(path);
        } else {
            i++;
        }
    }
}

void zk_force_end(struct session *s)
{
    s->forced = true;
    zk_end_session(s);
}

static bool is_denied(const char *path)
{
    return zk.denied && strncmp(path, zk.denied, strlen(zk.denied)) == 0;
}

static char *sequence_name(const char *path)
{
    struct node *parent = zk_find_parent(&zk.leader, path);
    char *name = zk_need(malloc(strlen(path) + 16));

    sprintf(name, "%s%010" PRId32, path, parent->counter);
    return name;
}

static bool is_other_version(const struct order *o, const struct node *node)
{
    return o->versioned && (!node || node->stat.version != o->version);
}

/* Whether a change is possible; the node that an earlier item of the same multi makes or deletes
 * counts. */
static enum oz_rc judge(const struct order *o, const struct order *before, size_t count)
{
    const struct node *node = zk_find(&zk.leader, o->path), *parent;
    bool there = node != NULL;
    size_t i;

    if (is_denied(o->path))
        return zk.denied_rc;
    for (i = 0; i < count; i++)
        if (strcmp(before[i].path, o->path) == 0 && before[i].verb != OZ_SET && before[i].verb != OZ_CHECK)
            there = before[i].verb == OZ_CREATE;
    switch (o->verb) {
    case OZ_CREATE:
        parent = strcmp(o->path, "/") ? zk_find_parent(&zk.leader, o->path) : NULL;
        if (strcmp(o->path, "/") && !parent)
            return OZ_NONODE;
        if (there && !(o->flags & OZ_SEQUENCE))
            return OZ_EXISTS;
        return parent && parent->stat.owner ? OZ_FAILED : OZ_OK;
    case OZ_DELETE:
        if (!there)
            return OZ_NONODE;
        if (is_other_version(o, node))
            return OZ_BADVERSION;
        return node && zk_count_children(&zk.leader, node) ? OZ_NOTEMPTY : OZ_OK;
    default:
        return !there ? OZ_NONODE : is_other_version(o, node) ? OZ_BADVERSION : OZ_OK;
    }
}

/* Does a change that is possible; the name of what was made is to be freed. */
static char *perform(const struct order *o, int64_t session, int64_t zxid)
{
    char *name = NULL;

    if (o->verb == OZ_CREATE) {
        name = o->flags & OZ_SEQUENCE ? sequence_name(o->path) : zk_copy_string(o->path);
        zk_commit(OZ_CREATE, name, o->data, o->len, o->flags & OZ_EPHEMERAL ? session : 0, zxid);
    } else if (o->verb == OZ_DELETE) {
        zk_commit(OZ_DELETE, o->path, NULL, 0, 0, zxid);
    } else if (o->verb == OZ_SET) {
        zk_commit(OZ_SET, o->path, o->data, o->len, 0, zxid);
    }
    return name;
}

static void write_multi(const struct order *o, struct message *m, int64_t session)
{
    int64_t zxid = zk.leader.zxid + 1;
    size_t i;

    for (i = 0; i < o->count; i++) {
        m->reply.rc = judge(&o->items[i], o->items, i);
        if (m->reply.rc != OZ_OK) {
            m->reply.failed = i;
            return;
        }
    }
    for (i = 0; i < o->count; i++)
        free(perform(&o->items[i], session, zxid));
}

static void write_one(const struct order *o, struct message *m, int64_t session)
{
    const struct node *node;

    m->reply.rc = judge(o, NULL, 0);
    if (m->reply.rc != OZ_OK)
        return;
    m->name = perform(o, session, zk.leader.zxid + 1);
    m->reply.path = m->name;
    node = zk_find(&zk.leader, m->name ? m->name : o->path);
    if (node)
        m->reply.stat = node->stat;
}

static void read_children(const struct tree *t, const struct node *dir, struct message *m)
{
    size_t i;

    m->names = zk_need(calloc(t->count + 1, sizeof *m->names));
    for (i = 0; i < t->count; i++)
        if (zk_is_child(dir, t->nodes[i]))
            m->names[m->reply.count++] = zk_copy_string(strrchr(t->nodes[i]->path, '/') + 1);
    m->reply.names = (const char *const *)m->names;
}

static void read_one(struct port *p, const struct order *o, struct message *m)
{
    const struct tree *t = zk_tree_of(p);
    const struct node *node = zk_find(t, o->path);

    if (is_denied(o->path) && !zk.readable)
        m->reply.rc = zk.denied_rc;
    else if (!node)
        m->reply.rc = OZ_NONODE;
    if (m->reply.rc != OZ_OK)
        return;
    if (o->verb == OZ_CHILDREN) {
        read_children(t, node, m);
    } else {
        m->reply.stat = node->stat;
        if (o->verb == OZ_GET) {
            m->data = zk_copy(node->data, node->len);
            m->reply.data = m->data;
            m->reply.len = node->len;
        }
    }
    if (o->watch) {
        m->child = o->verb == OZ_CHILDREN;
        m->path = zk_copy_string(o->path);
        zk_find_watch(p, o->path, m->child)->server = true;
    }
}

static bool is_write(enum oz_verb verb)
{
    return verb == OZ_CREATE || verb == OZ_DELETE || verb == OZ_SET || verb == OZ_MULTI;
}

/* With ODEZK_TEST_LOG set: what the servers do. */
static void trace(const struct port *p, const struct order *o, const struct message *m)
{
    static const char *const verbs[] = {"create", "delete", "stat", "get", "set", "children", "sync", "check", "multi"};
    size_t i;

    if (!zk.trace)
        return;
    fprintf(stderr, "%6" PRId64 " slot %d: %s %s", oz_now() / OZ_MS % 1000000, p->slot, verbs[o->verb],
            m->reply.path ? m->reply.path : o->path);
    for (i = 0; i < o->count; i++)
        fprintf(stderr, " %s %s", verbs[o->items[i].verb], o->items[i].path);
    fprintf(stderr, ": %s\n", oz_rc_name(m->reply.rc));
}

struct message *zk_serve(struct port *p, const struct order *o)
{
    struct message *m = zk_need(calloc(1, sizeof *m));

    m->token = o->token;
    if (o->verb == OZ_MULTI)
        write_multi(o, m, p->session->id);
    else if (is_write(o->verb))
        write_one(o, m, p->session->id);
    if (is_write(o->verb) || o->verb == OZ_SYNC)
        zk_catch_up(p->slot, zk.change_count);
    else
        read_one(p, o, m);
    m->zxid = zk_tree_of(p)->zxid;
    trace(p, o, m);
    return m;
}
