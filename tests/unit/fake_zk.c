#include "fake_zk.h"

#include "base/clock.h"
#include "base/map.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_SESSION INT64_C(-0x10ffff0000000000) /* negative, as those of some servers are */
#define ATTEMPT (200 * OZ_MS)                      /* how long an attempt to connect takes while cut off */
#define SHORT (300 * OZ_MS)

/* ---- trees ---- */

struct node {
    char *path;
    uint32_t hash, parent; /* of the path, and of the path without its last part */
    char *data;
    size_t len;
    struct oz_znode_stat stat;
    int64_t pzxid;
    int32_t counter;
};

struct tree {
    struct node **nodes; /* in the order of creation */
    size_t count, size;
    int64_t zxid;
};

/* One change, as it is decided by the leader and applied by every server. */
struct change {
    enum oz_verb verb;
    char *path;
    char *data;
    size_t len;
    int64_t zxid, time_ms, owner;
};

/* ---- clients ---- */

struct watch {
    struct watch *next;
    bool child;
    bool server, client; /* registered there */
    char path[];
};

struct session {
    struct session *next;
    int64_t id, timeout;
    int64_t touched; /* what the leader knows */
    bool active;     /* what the follower has yet to report */
    bool foreign, dead;
    bool forced; /* ended before its time */
};

struct order { /* a request under way */
    struct order *next;
    enum oz_verb verb;
    char *path, *data;
    size_t len;
    int flags;
    bool watch, versioned;
    int32_t version;
    struct order *items;
    size_t count;
    void *token;
    enum fake_fault fault;
};

struct message { /* under way to the client */
    struct message *next;
    bool event;
    char *path; /* of the event, or the watch that the reply confirms */
    bool child;
    struct oz_reply reply;
    char *name, *data, **names;
    void *token;
    int64_t zxid;
};

struct port {
    struct port *next;
    int slot;
    const struct oz_port_events *events;
    void *ctx;
    char *hosts, *chroot;
    char peer[64];
    int timeout_ms;
    bool auth;
    bool connected, dead;
    bool move, wake; /* the server is in the list no more; a request was submitted since */
    struct session *session;
    struct order *orders, *late; /* late: sent on a connection that broke, still on their way to the leader */
    struct message *messages;
    struct watch *watches;
    int64_t seen, last_sent, attempt_at;
};

/* The line of a machine, and the server at its other end. */
struct slot {
    int64_t cut_until, stop_until, hold_until, lag_until;
    struct tree tree; /* of its server, while that one lags */
    size_t applied;   /* changes, while it lags */
    bool lags, lag_next;
    int opened;
};

static struct {
    struct tree leader;
    struct change *changes;
    size_t change_count, change_size;
    int64_t next_session, next_report, half_tick;
    struct session *sessions;
    struct port *ports;
    struct slot slots[FAKE_SLOTS];
    long requests, fault_at;
    int fault_slot, most_in_flight, negotiated_ms, open_failure, close_delay_ms;
    enum fake_fault fault;
    bool fault_happened, duplicate, auth_failure, lost_close, disconnect_first, prompt;
    char *denied;
    enum oz_rc denied_rc;
    unsigned (*below)(unsigned n);
    int turn;
    bool trace;
} zk;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "fake_zk: out of memory\n");
        abort();
    }
    return p;
}

static char *copy(const void *data, size_t len)
{
    char *to = need(malloc(len + 1));

    if (len)
        memcpy(to, data, len);
    to[len] = '\0';
    return to;
}

static char *copy_string(const char *s)
{
    return s ? copy(s, strlen(s)) : NULL;
}

static int64_t later(int64_t time)
{
    int64_t now = oz_now();

    return time > OZ_NEVER - now ? OZ_NEVER : now + time;
}

static int64_t wall_ms(void)
{
    return INT64_C(1700000000000) + oz_now() / OZ_MS;
}

static uint32_t parent_hash(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = copy(path, slash == path ? 1 : (size_t)(slash - path));
    uint32_t hash = oz_hash(parent);

    free(parent);
    return hash;
}

static struct node *find(const struct tree *t, const char *path)
{
    uint32_t hash = oz_hash(path);
    size_t i;

    for (i = 0; i < t->count; i++)
        if (t->nodes[i]->hash == hash && strcmp(t->nodes[i]->path, path) == 0)
            return t->nodes[i];
    return NULL;
}

static struct node *find_parent(const struct tree *t, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = copy(path, slash == path ? 1 : (size_t)(slash - path));
    struct node *node = find(t, parent);

    free(parent);
    return node;
}

static bool is_child(const struct node *dir, const struct node *node)
{
    size_t n = strlen(dir->path);

    if (node->parent != dir->hash || node == dir)
        return false;
    if (n == 1)
        return !strchr(node->path + 1, '/');
    return strncmp(node->path, dir->path, n) == 0 && node->path[n] == '/' && !strchr(node->path + n + 1, '/');
}

static size_t count_children(const struct tree *t, const struct node *dir)
{
    size_t i, n = 0;

    for (i = 0; i < t->count; i++)
        n += is_child(dir, t->nodes[i]);
    return n;
}

static void free_node(struct node *node)
{
    free(node->path);
    free(node->data);
    free(node);
}

static void free_tree(struct tree *t)
{
    size_t i;

    for (i = 0; i < t->count; i++)
        free_node(t->nodes[i]);
    free(t->nodes);
    *t = (struct tree){0};
}

static void add_node(struct tree *t, struct node *node)
{
    if (t->count == t->size) {
        t->size = t->size ? 2 * t->size : 64;
        t->nodes = need(realloc(t->nodes, t->size * sizeof *t->nodes));
    }
    t->nodes[t->count++] = node;
}

static struct node *new_node(const char *path, const void *data, size_t len)
{
    struct node *node = need(calloc(1, sizeof *node));

    node->path = copy_string(path);
    node->hash = oz_hash(path);
    node->parent = strcmp(path, "/") ? parent_hash(path) : 0;
    node->data = copy(data, len);
    node->len = len;
    return node;
}

static void clone_tree(struct tree *to, const struct tree *from)
{
    size_t i;

    free_tree(to);
    for (i = 0; i < from->count; i++) {
        const struct node *n = from->nodes[i];
        struct node *twin = new_node(n->path, n->data, n->len);

        twin->stat = n->stat;
        twin->pzxid = n->pzxid;
        twin->counter = n->counter;
        add_node(to, twin);
    }
    to->zxid = from->zxid;
}

static void apply_create(struct tree *t, const struct change *c)
{
    struct node *node = new_node(c->path, c->data, c->len), *parent = find_parent(t, c->path);

    node->stat = (struct oz_znode_stat){.czxid = c->zxid, .mzxid = c->zxid, .ctime_ms = c->time_ms, .owner = c->owner};
    node->pzxid = c->zxid;
    parent->pzxid = c->zxid;
    parent->counter = (int32_t)((uint32_t)parent->counter + 1);
    add_node(t, node);
}

static void apply_delete(struct tree *t, const struct change *c)
{
    struct node *node = find(t, c->path), *parent = find_parent(t, c->path);
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
    struct node *node = find(t, c->path);

    free(node->data);
    node->data = copy(c->data, c->len);
    node->len = c->len;
    node->stat.mzxid = c->zxid;
    node->stat.version++;
}

static void apply(struct tree *t, const struct change *c)
{
    if (c->verb == OZ_CREATE)
        apply_create(t, c);
    else if (c->verb == OZ_DELETE)
        apply_delete(t, c);
    else
        apply_set(t, c);
    t->zxid = c->zxid;
}

/* ---- messages and watches ---- */

static void free_order(struct order *o)
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

static void free_message(struct message *m)
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

static void free_watches(struct port *p)
{
    while (p->watches) {
        struct watch *w = p->watches;

        p->watches = w->next;
        free(w);
    }
}

static void append_message(struct port *p, struct message *m)
{
    struct message **end = &p->messages;

    while (*end)
        end = &(*end)->next;
    *end = m;
}

static void append_order(struct order **end, struct order *o)
{
    while (*end)
        end = &(*end)->next;
    *end = o;
}

static const struct tree *tree_of(const struct port *p)
{
    const struct slot *slot = &zk.slots[p->slot];

    return slot->lags ? &slot->tree : &zk.leader;
}

static void send_event(struct port *p, const char *path)
{
    struct message *m = need(calloc(1, sizeof *m));

    m->event = true;
    m->path = copy_string(path);
    append_message(p, m);
}

static struct watch *find_watch(struct port *p, const char *path, bool child)
{
    struct watch *w;

    for (w = p->watches; w; w = w->next)
        if (w->child == child && strcmp(w->path, path) == 0)
            return w;
    w = need(calloc(1, sizeof *w + strlen(path) + 1));
    memcpy(w->path, path, strlen(path));
    w->child = child;
    w->next = p->watches;
    p->watches = w;
    return w;
}

static bool take_server_watch(struct port *p, const char *path, bool child)
{
    struct watch *w = find_watch(p, path, child);
    bool had = w->server;

    w->server = false;
    return had;
}

/* The watches of one client that a change fires. */
static void fire(struct port *p, const struct change *c)
{
    const char *slash = strrchr(c->path, '/');
    char *parent = copy(c->path, slash == c->path ? 1 : (size_t)(slash - c->path));
    bool own = false;

    if (c->verb != OZ_CREATE)
        own = take_server_watch(p, c->path, false);
    if (c->verb == OZ_DELETE)
        own |= take_server_watch(p, c->path, true);
    if (own)
        send_event(p, c->path);
    if (c->verb != OZ_SET && take_server_watch(p, parent, true))
        send_event(p, parent);
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
static void catch_up(int number, size_t until)
{
    struct slot *slot = &zk.slots[number];

    if (!slot->lags)
        return;
    for (; slot->applied < until; slot->applied++) {
        apply(&slot->tree, &zk.changes[slot->applied]);
        fire_on_slot(number, &zk.changes[slot->applied]);
    }
}

static void end_lag(int number)
{
    struct slot *slot = &zk.slots[number];

    catch_up(number, zk.change_count);
    free_tree(&slot->tree);
    slot->lags = false;
    slot->lag_until = 0;
}

static void begin_lag(int number, int64_t until)
{
    struct slot *slot = &zk.slots[number];

    if (!slot->lags) {
        clone_tree(&slot->tree, &zk.leader);
        slot->applied = zk.change_count;
        slot->lags = true;
    }
    slot->lag_until = until;
}

/* ---- the leader ---- */

/* All changes of one transaction have one zxid. */
static void commit(enum oz_verb verb, const char *path, const void *data, size_t len, int64_t owner, int64_t zxid)
{
    struct change *c;
    int i;

    if (zk.change_count == zk.change_size) {
        zk.change_size = zk.change_size ? 2 * zk.change_size : 256;
        zk.changes = need(realloc(zk.changes, zk.change_size * sizeof *zk.changes));
    }
    c = &zk.changes[zk.change_count++];
    *c = (struct change){.verb = verb,
                         .path = copy_string(path),
                         .data = copy(data, len),
                         .len = len,
                         .zxid = zxid,
                         .time_ms = wall_ms(),
                         .owner = owner};
    apply(&zk.leader, c);
    for (i = 1; i < FAKE_SLOTS; i++)
        if (!zk.slots[i].lags)
            fire_on_slot(i, c);
}

static void end_session(struct session *s)
{
    int64_t zxid = zk.leader.zxid + 1;
    size_t i = 0;

    s->dead = true;
    while (i < zk.leader.count) {
        if (zk.leader.nodes[i]->stat.owner == s->id) {
            char *path = copy_string(zk.leader.nodes[i]->path);

            commit(OZ_DELETE, path, NULL, 0, 0, zxid);
            free(path);
        } else {
            i++;
        }
    }
}

static bool is_denied(const char *path)
{
    return zk.denied && strncmp(path, zk.denied, strlen(zk.denied)) == 0;
}

static char *sequence_name(const char *path)
{
    struct node *parent = find_parent(&zk.leader, path);
    char *name = need(malloc(strlen(path) + 16));

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
    const struct node *node = find(&zk.leader, o->path), *parent;
    bool there = node != NULL;
    size_t i;

    if (is_denied(o->path))
        return zk.denied_rc;
    for (i = 0; i < count; i++)
        if (strcmp(before[i].path, o->path) == 0 && before[i].verb != OZ_SET && before[i].verb != OZ_CHECK)
            there = before[i].verb == OZ_CREATE;
    switch (o->verb) {
    case OZ_CREATE:
        parent = strcmp(o->path, "/") ? find_parent(&zk.leader, o->path) : NULL;
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
        return node && count_children(&zk.leader, node) ? OZ_NOTEMPTY : OZ_OK;
    default:
        return !there ? OZ_NONODE : is_other_version(o, node) ? OZ_BADVERSION : OZ_OK;
    }
}

/* Does a change that is possible; the name of what was made is to be freed. */
static char *perform(const struct order *o, int64_t session, int64_t zxid)
{
    char *name = NULL;

    if (o->verb == OZ_CREATE) {
        name = o->flags & OZ_SEQUENCE ? sequence_name(o->path) : copy_string(o->path);
        commit(OZ_CREATE, name, o->data, o->len, o->flags & OZ_EPHEMERAL ? session : 0, zxid);
    } else if (o->verb == OZ_DELETE) {
        commit(OZ_DELETE, o->path, NULL, 0, 0, zxid);
    } else if (o->verb == OZ_SET) {
        commit(OZ_SET, o->path, o->data, o->len, 0, zxid);
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
    node = find(&zk.leader, m->name ? m->name : o->path);
    if (node)
        m->reply.stat = node->stat;
}

static void read_children(const struct tree *t, const struct node *dir, struct message *m)
{
    size_t i;

    m->names = need(calloc(t->count + 1, sizeof *m->names));
    for (i = 0; i < t->count; i++)
        if (is_child(dir, t->nodes[i]))
            m->names[m->reply.count++] = copy_string(strrchr(t->nodes[i]->path, '/') + 1);
    m->reply.names = (const char *const *)m->names;
}

static void read_one(struct port *p, const struct order *o, struct message *m)
{
    const struct tree *t = tree_of(p);
    const struct node *node = find(t, o->path);

    if (is_denied(o->path))
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
            m->data = copy(node->data, node->len);
            m->reply.data = m->data;
            m->reply.len = node->len;
        }
    }
    if (o->watch) {
        m->child = o->verb == OZ_CHILDREN;
        m->path = copy_string(o->path);
        find_watch(p, o->path, m->child)->server = true;
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

static struct message *serve(struct port *p, const struct order *o)
{
    struct message *m = need(calloc(1, sizeof *m));

    m->token = o->token;
    if (o->verb == OZ_MULTI)
        write_multi(o, m, p->session->id);
    else if (is_write(o->verb))
        write_one(o, m, p->session->id);
    if (is_write(o->verb) || o->verb == OZ_SYNC)
        catch_up(p->slot, zk.change_count);
    else
        read_one(p, o, m);
    m->zxid = tree_of(p)->zxid;
    trace(p, o, m);
    return m;
}

/* ---- connections ---- */

static int64_t id_of(const struct port *p)
{
    return p->session && !p->session->dead ? p->session->id : 0;
}

static void touch(struct session *s)
{
    if (zk.prompt)
        s->touched = oz_now();
    else
        s->active = true;
}

static void answer(struct port *p, void *token, enum oz_rc rc)
{
    struct oz_reply reply = {.rc = rc};

    p->events->reply(p->ctx, token, &reply);
}

static void fail_all(struct port *p)
{
    while (p->messages) {
        struct message *m = p->messages;

        p->messages = m->next;
        if (!m->event)
            answer(p, m->token, OZ_UNKNOWN);
        free_message(m);
    }
    while (p->orders) {
        struct order *o = p->orders;

        p->orders = o->next;
        answer(p, o->token, OZ_UNKNOWN);
        free_order(o);
    }
}

/* Whatever was sent arrives before the leader hears of the next connection, or not at all. */
static void do_late(struct port *p)
{
    while (p->late) {
        struct order *o = p->late;

        p->late = o->next;
        if (id_of(p))
            free_message(serve(p, o));
        free_order(o);
    }
}

static void keep_late(struct port *p)
{
    const struct order *o;

    for (o = p->orders; o; o = o->next) {
        struct order *twin = need(calloc(1, sizeof *twin));
        size_t i;

        *twin = *o;
        twin->next = NULL;
        twin->path = copy_string(o->path);
        twin->data = copy(o->data, o->len);
        if (o->count) {
            twin->items = need(calloc(o->count, sizeof *twin->items));
            for (i = 0; i < o->count; i++) {
                twin->items[i] = o->items[i];
                twin->items[i].path = copy_string(o->items[i].path);
                twin->items[i].data = copy(o->items[i].data, o->items[i].len);
            }
        }
        append_order(&p->late, twin);
    }
}

/* The client notices that its connection is gone. When it moves of its own accord it does not say
 * so. */
static void disconnect(struct port *p)
{
    bool told = !p->wake || !id_of(p);
    struct watch *w;

    if (!p->connected)
        return;
    p->connected = p->wake = false;
    p->attempt_at = later(ATTEMPT);
    for (w = p->watches; w; w = w->next)
        w->server = false;
    if (told && zk.disconnect_first)
        p->events->state(p->ctx, OZ_PORT_DISCONNECTED);
    fail_all(p);
    if (told && !zk.disconnect_first)
        p->events->state(p->ctx, OZ_PORT_DISCONNECTED);
}

/* What changed while the client was away fires, the rest is watched on. */
static void set_watches(struct port *p)
{
    const struct tree *t = tree_of(p);
    struct watch *w;

    for (w = p->watches; w; w = w->next) {
        const struct node *node = find(t, w->path);

        w->server = false;
        if (!w->client)
            continue;
        if (!node || (w->child ? node->pzxid : node->stat.mzxid) > p->seen)
            send_event(p, w->path);
        else
            w->server = true;
    }
}

static size_t change_after(int64_t zxid)
{
    size_t n = zk.change_count;

    while (n > 0 && zk.changes[n - 1].zxid > zxid)
        n--;
    return n;
}

static void make_session(struct port *p)
{
    struct session *s = need(calloc(1, sizeof *s));

    s->id = zk.next_session++;
    s->timeout = (zk.negotiated_ms ? zk.negotiated_ms : p->timeout_ms) * OZ_MS;
    s->touched = oz_now();
    s->next = zk.sessions;
    zk.sessions = s;
    p->session = s;
}

/* Addresses are told apart without their ports, as the C client does it. */
static bool is_listed(const struct port *p, const char *address)
{
    const char *at = p->hosts;
    size_t len = strlen(address);

    while (len && (at = strstr(at, address)) != NULL) {
        if ((at == p->hosts || at[-1] == ',') && at[len] == ':')
            return true;
        at += len;
    }
    return false;
}

static void first_host(const char *hosts, char *address, size_t size)
{
    size_t n = strcspn(hosts, ",/");
    const char *colon = memrchr(hosts, ':', n);

    snprintf(address, size, "%.*s", (int)(colon ? (size_t)(colon - hosts) : n), hosts);
}

static void connect_port(struct port *p)
{
    struct slot *slot = &zk.slots[p->slot];

    if (zk.auth_failure && p->auth) {
        p->dead = true;
        p->events->state(p->ctx, OZ_PORT_AUTH_FAILED);
        return;
    }
    if (slot->lag_next) {
        slot->lag_next = false;
        begin_lag(p->slot, later(SHORT));
    }
    do_late(p);
    if (p->session && p->session->dead) {
        p->dead = true;
        fail_all(p);
        p->events->state(p->ctx, OZ_PORT_EXPIRED);
        return;
    }
    if (!p->session)
        make_session(p);
    p->session->touched = oz_now(); /* the leader itself confirms the session to its new server */
    catch_up(p->slot, change_after(p->seen));
    p->connected = true;
    p->move = false;
    if (!is_listed(p, p->peer)) {
        first_host(p->hosts, p->peer, sizeof p->peer);
        slot->hold_until = 0; /* that was the former server */
    }
    p->last_sent = oz_now();
    set_watches(p);
    p->events->state(p->ctx, OZ_PORT_CONNECTED);
}

/* How the line breaks: what was sent on it is done now, late, or never. */
enum sent { LOST, DONE, LATE };

static void process(struct port *p);

static void cut(int number, int64_t time, enum sent sent)
{
    struct slot *slot = &zk.slots[number];
    struct port *p;

    slot->cut_until = later(time);
    for (p = zk.ports; p; p = p->next) {
        if (p->slot != number || !p->connected)
            continue;
        while (sent == DONE && p->orders && id_of(p))
            process(p);
        if (sent == LATE) {
            keep_late(p);
            slot->lag_next = true;
        }
        disconnect(p);
    }
}

/* A process that stands still for long finds its connection dead when it goes on. */
static void stop(int number, int64_t time)
{
    zk.slots[number].stop_until = later(time);
}

static void go_on(int number)
{
    struct port *p;

    zk.slots[number].stop_until = 0;
    for (p = zk.ports; p; p = p->next)
        if (p->slot == number && p->connected && (!id_of(p) || oz_now() - p->last_sent > p->session->timeout / 3))
            disconnect(p);
}

/* ---- faults ---- */

const char *fake_fault_name(enum fake_fault fault)
{
    static const char *const names[] = {
        "none",          "loss before",   "loss after",   "loss late",  "unsent",      "unknown, undone",
        "unknown, done", "expire before", "expire after", "cut: lapse", "cut: expiry", "stop: lapse",
        "stop: expiry",  "hold",          "lag",          "spurious",   "duplicate"};

    return (size_t)fault < sizeof names / sizeof *names ? names[fault] : "?";
}

static void spurious(struct port *p)
{
    struct watch *w;

    for (w = p->watches; w; w = w->next)
        if (w->client)
            send_event(p, w->path);
}

static int64_t part_of_timeout(const struct port *p, int percent)
{
    return p->session->timeout / 100 * percent;
}

/* Faults of the line or the process; false when the request goes on its way. */
static bool strike(struct port *p, enum fake_fault fault)
{
    int slot = p->slot;

    switch (fault) {
    case FAKE_LOSS_BEFORE:
        cut(slot, SHORT, LOST);
        return true;
    case FAKE_LOSS_AFTER:
        cut(slot, SHORT, DONE);
        return true;
    case FAKE_LOSS_LATE:
        cut(slot, SHORT, LATE);
        return true;
    case FAKE_CUT_LAPSE:
        cut(slot, part_of_timeout(p, 85), DONE);
        return true;
    case FAKE_CUT_LONG:
        cut(slot, part_of_timeout(p, 150), DONE);
        return true;
    case FAKE_EXPIRE_BEFORE:
        p->session->forced = true;
        end_session(p->session);
        cut(slot, SHORT, LOST);
        return true;
    case FAKE_EXPIRE_AFTER:
        process(p);
        p->session->forced = true;
        end_session(p->session);
        cut(slot, SHORT, LOST);
        return true;
    case FAKE_STOP_LAPSE:
        stop(slot, part_of_timeout(p, 85));
        return true;
    case FAKE_STOP_LONG:
        stop(slot, part_of_timeout(p, 150));
        return true;
    case FAKE_HOLD:
        zk.slots[slot].hold_until = later(SHORT);
        return false;
    case FAKE_LAG:
        begin_lag(slot, later(SHORT));
        return false;
    case FAKE_SPURIOUS:
        spurious(p);
        return false;
    case FAKE_DUPLICATE:
        zk.duplicate = true;
        return false;
    default:
        return false;
    }
}

/* The server takes the client's next request. */
static void process(struct port *p)
{
    struct order *o = p->orders;
    enum fake_fault fault = o->fault;
    struct message *m;

    o->fault = FAKE_NONE;
    if (fault && strike(p, fault))
        return;
    p->orders = o->next;
    touch(p->session);
    if (fault == FAKE_UNKNOWN_UNDONE) {
        m = need(calloc(1, sizeof *m));
        m->token = o->token;
        m->reply.rc = OZ_UNKNOWN;
    } else {
        m = serve(p, o);
        if (fault == FAKE_UNKNOWN_DONE) {
            struct message *unknown = need(calloc(1, sizeof *m));

            unknown->token = m->token;
            unknown->reply.rc = OZ_UNKNOWN;
            unknown->zxid = m->zxid;
            free_message(m);
            m = unknown;
        }
    }
    append_message(p, m);
    free_order(o);
}

/* The client takes the server's next message. */
static void deliver(struct port *p)
{
    struct message *m = p->messages;
    struct watch *w;

    p->messages = m->next;
    if (m->zxid > p->seen)
        p->seen = m->zxid;
    if (m->event) {
        for (w = p->watches; w; w = w->next)
            if (strcmp(w->path, m->path) == 0)
                w->client = w->server;
        p->events->watch(p->ctx, m->path);
        if (zk.duplicate)
            p->events->watch(p->ctx, m->path);
    } else {
        if (m->path)
            find_watch(p, m->path, m->child)->client = true;
        p->events->reply(p->ctx, m->token, &m->reply);
    }
    free_message(m);
}

/* ---- the port ---- */

static int slot_of(const char *hosts)
{
    const char *colon = strrchr(hosts, ':');
    int slot = colon ? atoi(colon + 1) : 0;

    return slot > 0 && slot < FAKE_SLOTS ? slot : 1;
}

static void *port_open(const struct oz_port_options *options, const struct oz_port_events *events, void *ctx)
{
    const char *slash = strchr(options->hosts, '/');
    struct port *p;

    pthread_mutex_lock(&lock);
    if (zk.open_failure) {
        errno = zk.open_failure;
        pthread_mutex_unlock(&lock);
        return NULL;
    }
    p = need(calloc(1, sizeof *p));
    p->slot = slot_of(options->hosts);
    p->events = events;
    p->ctx = ctx;
    p->hosts = copy_string(options->hosts);
    p->chroot = copy_string(slash ? slash : "");
    p->timeout_ms = options->timeout_ms;
    p->auth = *options->auth != '\0';
    p->next = zk.ports;
    zk.ports = p;
    zk.slots[p->slot].opened++;
    pthread_mutex_unlock(&lock);
    return p;
}

static char *full_path(const struct port *p, const char *path)
{
    size_t n = strlen(p->chroot);
    char *full = need(malloc(n + strlen(path) + 1));

    sprintf(full, "%s%s", p->chroot, n && strcmp(path, "/") == 0 ? "" : path);
    return full;
}

static void copy_order(const struct port *p, struct order *o, const struct oz_request *r)
{
    o->verb = r->verb;
    o->path = full_path(p, r->verb == OZ_MULTI ? "/" : r->path);
    o->data = copy(r->data, r->len);
    o->len = r->len;
    o->flags = r->flags;
    o->watch = r->watch;
    o->versioned = r->versioned;
    o->version = r->version;
}

static int in_flight(const struct port *p)
{
    const struct message *m;
    const struct order *o;
    int n = 0;

    for (o = p->orders; o; o = o->next)
        n++;
    for (m = p->messages; m; m = m->next)
        n += !m->event;
    return n;
}

static enum fake_fault next_fault(const struct port *p)
{
    if (!zk.fault_at || (zk.fault_slot && zk.fault_slot != p->slot) || --zk.fault_at > 0)
        return FAKE_NONE;
    zk.fault_happened = true;
    return zk.fault;
}

static bool port_submit(void *port, const struct oz_request *request, void *token)
{
    struct port *p = port;
    struct order *o;
    enum fake_fault fault;
    size_t i;

    pthread_mutex_lock(&lock);
    zk.requests++;
    fault = next_fault(p);
    if (p->dead || fault == FAKE_UNSENT) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    o = need(calloc(1, sizeof *o));
    copy_order(p, o, request);
    o->token = token;
    o->fault = fault;
    if (request->verb == OZ_MULTI) {
        o->items = need(calloc(request->count, sizeof *o->items));
        o->count = request->count;
        for (i = 0; i < o->count; i++)
            copy_order(p, &o->items[i], &request->items[i]);
    }
    append_order(&p->orders, o);
    p->last_sent = oz_now();
    p->wake = p->move;
    if (in_flight(p) > zk.most_in_flight)
        zk.most_in_flight = in_flight(p);
    pthread_mutex_unlock(&lock);
    return true;
}

static void port_identity(void *port, struct oz_identity *out)
{
    struct port *p = port;

    pthread_mutex_lock(&lock);
    out->id = p->session->id;
    memcpy(out->password, "fake password ok", sizeof out->password);
    out->timeout_ms = (int)(p->session->timeout / OZ_MS);
    pthread_mutex_unlock(&lock);
}

static bool port_peer(void *port, char *address, size_t size)
{
    struct port *p = port;
    bool connected;

    pthread_mutex_lock(&lock);
    connected = p->connected;
    if (connected)
        snprintf(address, size, "%s", p->peer);
    pthread_mutex_unlock(&lock);
    return connected;
}

static bool port_set_hosts(void *port, const char *hosts)
{
    struct port *p = port;

    pthread_mutex_lock(&lock);
    free(p->hosts);
    p->hosts = copy_string(hosts);
    p->move = p->connected && !is_listed(p, p->peer);
    pthread_mutex_unlock(&lock);
    return true;
}

static void free_port(struct port *p)
{
    struct port **at = &zk.ports;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    while (p->orders) {
        struct order *o = p->orders;

        p->orders = o->next;
        free_order(o);
    }
    while (p->late) {
        struct order *o = p->late;

        p->late = o->next;
        free_order(o);
    }
    while (p->messages) {
        struct message *m = p->messages;

        p->messages = m->next;
        free_message(m);
    }
    free_watches(p);
    free(p->hosts);
    free(p->chroot);
    free(p);
}

static void port_close(void *port)
{
    struct port *p = port;
    struct timespec delay = {0, 0};

    pthread_mutex_lock(&lock);
    delay.tv_sec = zk.close_delay_ms / 1000;
    delay.tv_nsec = zk.close_delay_ms % 1000 * 1000000L;
    pthread_mutex_unlock(&lock);
    if (delay.tv_sec || delay.tv_nsec)
        nanosleep(&delay, NULL);
    pthread_mutex_lock(&lock);
    while (p->connected && p->orders && !zk.lost_close && id_of(p)) {
        p->orders->fault = FAKE_NONE;
        process(p);
    }
    if (p->connected && !zk.lost_close && id_of(p))
        end_session(p->session);
    free_port(p);
    pthread_mutex_unlock(&lock);
}

const struct oz_port_class fake_port = {port_open, port_submit, port_identity, port_peer, port_set_hosts, port_close};

/* ---- time ---- */

static bool is_stopped(int slot)
{
    return oz_now() < zk.slots[slot].stop_until;
}

static void report(void)
{
    struct session *s;

    for (s = zk.sessions; s; s = s->next)
        if (s->active && !s->dead) {
            s->active = false;
            s->touched = zk.next_report;
        }
    zk.next_report += zk.half_tick;
}

static int64_t next_ping(const struct port *p)
{
    if (!p->connected || !id_of(p) || is_stopped(p->slot))
        return OZ_NEVER;
    return p->last_sent + p->session->timeout / 3;
}

/* What a follower heard and did not report before it lost its client is lost as well. */
static bool pass_time(void)
{
    int64_t now = oz_now();
    struct session *s;
    struct port *p;
    bool did = false;
    int i;

    while (zk.next_report <= now)
        report();
    for (i = 1; i < FAKE_SLOTS; i++) {
        struct slot *slot = &zk.slots[i];

        if (slot->stop_until && now >= slot->stop_until) {
            go_on(i);
            did = true;
        }
        if (slot->lags && now >= slot->lag_until) {
            end_lag(i);
            did = true;
        }
        if (now >= slot->hold_until)
            slot->hold_until = 0;
        if (now >= slot->cut_until)
            slot->cut_until = 0;
    }
    for (p = zk.ports; p; p = p->next) {
        if (next_ping(p) <= now) {
            p->last_sent = now;
            p->wake = p->move;
            touch(p->session);
        }
        if (!p->connected && !p->dead && p->orders && now >= p->attempt_at && !is_stopped(p->slot)) {
            p->attempt_at = later(ATTEMPT);
            fail_all(p);
            did = true;
        }
    }
    for (s = zk.sessions; s; s = s->next)
        if (!s->dead && !s->foreign && now >= s->touched + s->timeout) {
            end_session(s);
            did = true;
        }
    return did;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a && a < b ? a : b;
}

int64_t fake_next(void)
{
    int64_t at = OZ_NEVER;
    struct session *s;
    struct port *p;
    int i;

    pthread_mutex_lock(&lock);
    for (i = 1; i < FAKE_SLOTS; i++) {
        const struct slot *slot = &zk.slots[i];

        at = sooner(slot->cut_until, at);
        at = sooner(slot->stop_until, at);
        at = sooner(slot->hold_until, at);
        at = sooner(slot->lags ? slot->lag_until : 0, at);
    }
    for (s = zk.sessions; s; s = s->next)
        if (!s->dead && !s->foreign) {
            at = sooner(s->touched + s->timeout, at);
            at = sooner(zk.next_report, at);
        }
    for (p = zk.ports; p; p = p->next) {
        at = sooner(next_ping(p), at);
        if (!p->connected && !p->dead && p->orders && !is_stopped(p->slot))
            at = sooner(p->attempt_at, at);
    }
    pthread_mutex_unlock(&lock);
    return at;
}

/* ---- steps ---- */

enum work { NOTHING, CONNECT, NOTICE, PROCESS, DELIVER };

/* What could be done next for a client: `what` of it, if there is more than one thing. */
static enum work work_of(const struct port *p, unsigned what)
{
    const struct slot *slot = &zk.slots[p->slot];
    bool process, deliverable;

    if (p->dead || is_stopped(p->slot))
        return NOTHING;
    if (!p->connected)
        return slot->cut_until ? NOTHING : CONNECT;
    if (!id_of(p) || p->wake)
        return NOTICE;
    process = p->orders != NULL;
    deliverable = p->messages != NULL && !slot->hold_until;
    if (process && deliverable)
        return what ? PROCESS : DELIVER;
    return process ? PROCESS : deliverable ? DELIVER : NOTHING;
}

static void work(struct port *p, enum work what)
{
    if (what == CONNECT)
        connect_port(p);
    else if (what == NOTICE) /* the server ended the session, or the list of servers changed */
        disconnect(p);
    else if (what == PROCESS)
        process(p);
    else
        deliver(p);
}

static struct port *nth_port(int n)
{
    struct port *p = zk.ports;

    while (n-- > 0)
        p = p->next;
    return p;
}

bool fake_step(void)
{
    struct port *p;
    int count = 0, start, i;
    bool did;

    pthread_mutex_lock(&lock);
    did = pass_time();
    for (p = zk.ports; p; p = p->next)
        count++;
    start = count == 0 ? 0 : zk.below ? (int)zk.below((unsigned)count) : ++zk.turn % count;
    for (i = 0; !did && i < count; i++) {
        enum work what;

        p = nth_port((start + i) % count);
        what = work_of(p, zk.below ? zk.below(2) : 1);
        if (what) {
            work(p, what);
            did = true;
        }
    }
    pthread_mutex_unlock(&lock);
    return did;
}

/* ---- the tests' hands ---- */

void fake_begin(void)
{
    pthread_mutex_lock(&lock);
    memset(&zk, 0, sizeof zk);
    zk.next_session = FIRST_SESSION;
    zk.half_tick = OZ_SECOND;
    zk.trace = getenv("ODEZK_TEST_LOG") != NULL;
    zk.next_report = oz_now() + zk.half_tick;
    add_node(&zk.leader, new_node("/", "", 0));
    pthread_mutex_unlock(&lock);
}

void fake_end(void)
{
    size_t i;
    int n;

    pthread_mutex_lock(&lock);
    while (zk.ports)
        free_port(zk.ports);
    while (zk.sessions) {
        struct session *s = zk.sessions;

        zk.sessions = s->next;
        free(s);
    }
    for (i = 0; i < zk.change_count; i++) {
        free(zk.changes[i].path);
        free(zk.changes[i].data);
    }
    free(zk.changes);
    for (n = 0; n < FAKE_SLOTS; n++)
        free_tree(&zk.slots[n].tree);
    free_tree(&zk.leader);
    free(zk.denied);
    memset(&zk, 0, sizeof zk);
    pthread_mutex_unlock(&lock);
}

#define LOCKED(statement)                                                                                              \
    do {                                                                                                               \
        pthread_mutex_lock(&lock);                                                                                     \
        statement;                                                                                                     \
        pthread_mutex_unlock(&lock);                                                                                   \
    } while (0)

void fake_set_random(unsigned (*below)(unsigned n))
{
    LOCKED(zk.below = below);
}

void fake_set_half_tick(int64_t ns)
{
    LOCKED(zk.half_tick = ns; zk.next_report = oz_now() + ns);
}

void fake_set_silent_followers(bool silent)
{
    LOCKED(zk.prompt = !silent);
}

void fake_set_fault(int slot, long n, enum fake_fault fault)
{
    LOCKED(zk.fault_slot = slot; zk.fault_at = n; zk.fault = fault; zk.fault_happened = false);
}

bool fake_fault_happened(void)
{
    bool happened;

    LOCKED(happened = zk.fault_happened);
    return happened;
}

long fake_requests(void)
{
    long n;

    LOCKED(n = zk.requests);
    return n;
}

void fake_cut(int slot, int64_t time, bool done)
{
    LOCKED(cut(slot, time, done ? DONE : LOST));
}

void fake_stop(int slot, int64_t time)
{
    LOCKED(stop(slot, time));
}

void fake_hold(int slot, int64_t time)
{
    LOCKED(zk.slots[slot].hold_until = later(time));
}

void fake_lag(int slot, int64_t time)
{
    LOCKED(begin_lag(slot, later(time)));
}

void fake_heal(int slot)
{
    LOCKED(if (zk.slots[slot].stop_until) go_on(slot); if (zk.slots[slot].lags) end_lag(slot);
           zk.slots[slot].cut_until = zk.slots[slot].hold_until = 0);
}

static struct port *port_on(int slot)
{
    struct port *p = zk.ports;

    while (p && (p->slot != slot || p->dead))
        p = p->next;
    return p;
}

void fake_expire(int slot)
{
    struct port *p;

    pthread_mutex_lock(&lock);
    p = port_on(slot);
    if (p && id_of(p)) {
        p->session->forced = true;
        end_session(p->session);
    }
    pthread_mutex_unlock(&lock);
}

void fake_spurious(int slot)
{
    struct port *p;

    LOCKED(p = port_on(slot); if (p && p->connected) spurious(p));
}

bool fake_stopped(int slot)
{
    bool stopped;

    LOCKED(stopped = is_stopped(slot));
    return stopped;
}

void fake_set_auth_failure(bool fails)
{
    LOCKED(zk.auth_failure = fails);
}

void fake_set_open_failure(int error)
{
    LOCKED(zk.open_failure = error);
}

void fake_set_lost_close(bool lost)
{
    LOCKED(zk.lost_close = lost);
}

void fake_set_disconnect_first(bool first)
{
    LOCKED(zk.disconnect_first = first);
}

void fake_set_denied(const char *prefix, enum oz_rc rc)
{
    LOCKED(free(zk.denied); zk.denied = copy_string(prefix); zk.denied_rc = rc);
}

void fake_set_timeout(int ms)
{
    LOCKED(zk.negotiated_ms = ms);
}

void fake_set_close_delay(int ms)
{
    LOCKED(zk.close_delay_ms = ms);
}

bool fake_exists(const char *path)
{
    bool exists;

    LOCKED(exists = find(&zk.leader, path) != NULL);
    return exists;
}

char *fake_data(const char *path)
{
    const struct node *node;
    char *data;

    LOCKED(node = find(&zk.leader, path); data = node ? copy(node->data, node->len) : NULL);
    return data;
}

bool fake_stat(const char *path, struct oz_znode_stat *stat)
{
    const struct node *node;

    LOCKED(node = find(&zk.leader, path); if (node) *stat = node->stat);
    return node != NULL;
}

int fake_count(const char *dir)
{
    const struct node *node;
    int n;

    LOCKED(node = find(&zk.leader, dir); n = node ? (int)count_children(&zk.leader, node) : 0);
    return n;
}

int fake_below(const char *dir)
{
    size_t length = strlen(dir), i;
    int n = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < zk.leader.count; i++) {
        const char *path = zk.leader.nodes[i]->path;

        n += strncmp(path, dir, length) == 0 && path[length] == '/';
    }
    pthread_mutex_unlock(&lock);
    return n;
}

char *fake_child(const char *dir, int i)
{
    const struct node *node;
    char *name = NULL;
    size_t k;

    pthread_mutex_lock(&lock);
    node = find(&zk.leader, dir);
    for (k = 0; node && !name && k < zk.leader.count; k++)
        if (is_child(node, zk.leader.nodes[k]) && i-- == 0)
            name = copy_string(strrchr(zk.leader.nodes[k]->path, '/') + 1);
    pthread_mutex_unlock(&lock);
    return name;
}

int fake_ephemerals(const char *dir)
{
    size_t length = strlen(dir), i;
    int n = 0;

    pthread_mutex_lock(&lock);
    for (i = 0; i < zk.leader.count; i++)
        n += zk.leader.nodes[i]->stat.owner != 0 && strncmp(zk.leader.nodes[i]->path, dir, length) == 0;
    pthread_mutex_unlock(&lock);
    return n;
}

int fake_watches(int slot)
{
    const struct port *p;
    const struct watch *w;
    int n = 0;

    pthread_mutex_lock(&lock);
    p = port_on(slot);
    for (w = p ? p->watches : NULL; w; w = w->next)
        n += w->server;
    pthread_mutex_unlock(&lock);
    return n;
}

int fake_ports(void)
{
    const struct port *p;
    int n = 0;

    pthread_mutex_lock(&lock);
    for (p = zk.ports; p; p = p->next)
        n++;
    pthread_mutex_unlock(&lock);
    return n;
}

int64_t fake_session(int slot)
{
    const struct port *p;
    int64_t id;

    LOCKED(p = port_on(slot); id = p ? id_of(p) : 0);
    return id;
}

int64_t fake_session_end(int slot)
{
    const struct port *p;
    int64_t end = OZ_NEVER;

    pthread_mutex_lock(&lock);
    for (p = zk.ports; p; p = p->next)
        if (p->slot == slot && p->session && !p->session->forced && p->session->touched + p->session->timeout < end)
            end = p->session->touched + p->session->timeout;
    pthread_mutex_unlock(&lock);
    return end;
}

char *fake_hosts(int slot)
{
    const struct port *p;
    char *hosts;

    LOCKED(p = port_on(slot); hosts = p ? copy_string(p->hosts) : NULL);
    return hosts;
}

bool fake_is_doomed(int slot)
{
    const struct port *p;
    bool doomed = false;

    pthread_mutex_lock(&lock);
    for (p = zk.ports; p; p = p->next)
        doomed |= p->slot == slot && p->session && p->session->forced;
    pthread_mutex_unlock(&lock);
    return doomed;
}

int fake_opened(int slot)
{
    int n;

    LOCKED(n = zk.slots[slot].opened);
    return n;
}

int fake_in_flight(int slot)
{
    const struct port *p;
    int n;

    LOCKED(p = port_on(slot); n = p ? in_flight(p) : 0);
    return n;
}

int fake_most_in_flight(void)
{
    int n;

    LOCKED(n = zk.most_in_flight);
    return n;
}

void fake_print(void)
{
    size_t i;

    printf("\n");
    pthread_mutex_lock(&lock);
    for (i = 0; i < zk.leader.count; i++) {
        const struct node *node = zk.leader.nodes[i];

        printf("    %s czxid %" PRId64 " owner %" PRIx64 "\n", node->path, node->stat.czxid,
               (uint64_t)node->stat.owner);
    }
    pthread_mutex_unlock(&lock);
}

int64_t fake_foreign_session(void)
{
    struct session *s = need(calloc(1, sizeof *s));

    pthread_mutex_lock(&lock);
    s->id = zk.next_session++;
    s->foreign = true;
    s->next = zk.sessions;
    zk.sessions = s;
    pthread_mutex_unlock(&lock);
    return s->id;
}

void fake_end_session(int64_t id)
{
    struct session *s;

    pthread_mutex_lock(&lock);
    for (s = zk.sessions; s; s = s->next)
        if (s->id == id && !s->dead)
            end_session(s);
    pthread_mutex_unlock(&lock);
}

bool fake_create(const char *path, const char *data, int64_t owner)
{
    char *part = copy_string(path), *slash = part;
    bool made = false;

    pthread_mutex_lock(&lock);
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        if (!find(&zk.leader, part))
            commit(OZ_CREATE, part, "", 0, 0, zk.leader.zxid + 1);
        *slash = '/';
    }
    if (!find(&zk.leader, path)) {
        commit(OZ_CREATE, path, data, strlen(data), owner, zk.leader.zxid + 1);
        made = true;
    }
    pthread_mutex_unlock(&lock);
    free(part);
    return made;
}

bool fake_delete(const char *path)
{
    const struct node *node;
    bool deletable;

    pthread_mutex_lock(&lock);
    node = find(&zk.leader, path);
    deletable = node && count_children(&zk.leader, node) == 0;
    if (deletable)
        commit(OZ_DELETE, path, NULL, 0, 0, zk.leader.zxid + 1);
    pthread_mutex_unlock(&lock);
    return deletable;
}

bool fake_set(const char *path, const char *data)
{
    bool there;

    pthread_mutex_lock(&lock);
    there = find(&zk.leader, path) != NULL;
    if (there)
        commit(OZ_SET, path, data, strlen(data), 0, zk.leader.zxid + 1);
    pthread_mutex_unlock(&lock);
    return there;
}

void fake_forge(const char *path, const char *data)
{
    struct node *node;

    pthread_mutex_lock(&lock);
    node = find(&zk.leader, path);
    if (node) {
        free(node->data);
        node->data = copy_string(data);
        node->len = strlen(data);
    }
    pthread_mutex_unlock(&lock);
}

void fake_set_counter(const char *dir, int32_t next)
{
    struct node *node;

    LOCKED(node = find(&zk.leader, dir); if (node) node->counter = next);
}

/* What the linker puts in the place of the real one. */
extern const struct oz_port_class __wrap_oz_zookeeper __attribute__((alias("fake_port")));
