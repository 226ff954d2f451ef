/* The tests' hands: what they look at and change. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SESSION INT64_C(-0x10ffff0000000000) /* negative, as those of some servers are */

struct ensemble zk;
pthread_mutex_t zk_lock = PTHREAD_MUTEX_INITIALIZER;

void fake_begin(void)
{
    pthread_mutex_lock(&zk_lock);
    memset(&zk, 0, sizeof zk);
    zk.next_session = FIRST_SESSION;
    zk.half_tick = OZ_SECOND;
    zk.trace = getenv("ODEZK_TEST_LOG") != NULL;
    zk.next_report = oz_now() + zk.half_tick;
    zk_add_node(&zk.leader, zk_new_node("/", "", 0));
    pthread_mutex_unlock(&zk_lock);
}

void fake_end(void)
{
    size_t i;
    int n;

    pthread_mutex_lock(&zk_lock);
    while (zk.ports)
        zk_free_port(zk.ports);
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
        zk_free_tree(&zk.slots[n].tree);
    zk_free_tree(&zk.leader);
    free(zk.denied);
    memset(&zk, 0, sizeof zk);
    pthread_mutex_unlock(&zk_lock);
}

#define LOCKED(statement)                                                                                              \
    do {                                                                                                               \
        pthread_mutex_lock(&zk_lock);                                                                                  \
        statement;                                                                                                     \
        pthread_mutex_unlock(&zk_lock);                                                                                \
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
    LOCKED(zk_cut(slot, time, done ? DONE : LOST));
}

void fake_stop(int slot, int64_t time)
{
    LOCKED(zk_stop(slot, time));
}

void fake_hold(int slot, int64_t time)
{
    LOCKED(zk.slots[slot].hold_until = zk_later(time));
}

void fake_lag(int slot, int64_t time)
{
    LOCKED(zk_begin_lag(slot, zk_later(time)));
}

void fake_heal(int slot)
{
    LOCKED(if (zk.slots[slot].stop_until) zk_go_on(slot); if (zk.slots[slot].lags) zk_end_lag(slot);
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

    pthread_mutex_lock(&zk_lock);
    p = port_on(slot);
    if (p && zk_id_of(p))
        zk_force_end(p->session);
    pthread_mutex_unlock(&zk_lock);
}

void fake_spurious(int slot)
{
    struct port *p;

    LOCKED(p = port_on(slot); if (p && p->connected) zk_spurious(p));
}

bool fake_stopped(int slot)
{
    bool stopped;

    LOCKED(stopped = zk_is_stopped(slot));
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
    LOCKED(free(zk.denied); zk.denied = zk_copy_string(prefix); zk.denied_rc = rc; zk.readable = false);
}

void fake_set_read_only(const char *prefix)
{
    fake_set_denied(prefix, OZ_DENIED);
    LOCKED(zk.readable = true);
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

    LOCKED(exists = zk_find(&zk.leader, path) != NULL);
    return exists;
}

char *fake_data(const char *path)
{
    const struct node *node;
    char *data;

    LOCKED(node = zk_find(&zk.leader, path); data = node ? zk_copy(node->data, node->len) : NULL);
    return data;
}

bool fake_stat(const char *path, struct oz_znode_stat *stat)
{
    const struct node *node;

    LOCKED(node = zk_find(&zk.leader, path); if (node) *stat = node->stat);
    return node != NULL;
}

int fake_count(const char *dir)
{
    const struct node *node;
    int n;

    LOCKED(node = zk_find(&zk.leader, dir); n = node ? (int)zk_count_children(&zk.leader, node) : 0);
    return n;
}

int fake_below(const char *dir)
{
    size_t length = strlen(dir), i;
    int n = 0;

    pthread_mutex_lock(&zk_lock);
    for (i = 0; i < zk.leader.count; i++) {
        const char *path = zk.leader.nodes[i]->path;

        n += strncmp(path, dir, length) == 0 && path[length] == '/';
    }
    pthread_mutex_unlock(&zk_lock);
    return n;
}

char *fake_child(const char *dir, int i)
{
    const struct node *node;
    char *name = NULL;
    size_t k;

    pthread_mutex_lock(&zk_lock);
    node = zk_find(&zk.leader, dir);
    for (k = 0; node && !name && k < zk.leader.count; k++)
        if (zk_is_child(node, zk.leader.nodes[k]) && i-- == 0)
            name = zk_copy_string(strrchr(zk.leader.nodes[k]->path, '/') + 1);
    pthread_mutex_unlock(&zk_lock);
    return name;
}

int fake_ephemerals(const char *dir)
{
    size_t length = strlen(dir), i;
    int n = 0;

    pthread_mutex_lock(&zk_lock);
    for (i = 0; i < zk.leader.count; i++)
        n += zk.leader.nodes[i]->stat.owner != 0 && strncmp(zk.leader.nodes[i]->path, dir, length) == 0;
    pthread_mutex_unlock(&zk_lock);
    return n;
}

int fake_watches(int slot)
{
    const struct port *p;
    const struct watch *w;
    int n = 0;

    pthread_mutex_lock(&zk_lock);
    p = port_on(slot);
    for (w = p ? p->watches : NULL; w; w = w->next)
        n += w->server;
    pthread_mutex_unlock(&zk_lock);
    return n;
}

int fake_ports(void)
{
    const struct port *p;
    int n = 0;

    pthread_mutex_lock(&zk_lock);
    for (p = zk.ports; p; p = p->next)
        n++;
    pthread_mutex_unlock(&zk_lock);
    return n;
}

int64_t fake_session(int slot)
{
    const struct port *p;
    int64_t id;

    LOCKED(p = port_on(slot); id = p ? zk_id_of(p) : 0);
    return id;
}

int64_t fake_session_end(int slot)
{
    const struct port *p;
    int64_t end = OZ_NEVER;

    pthread_mutex_lock(&zk_lock);
    for (p = zk.ports; p; p = p->next)
        if (p->slot == slot && p->session && !p->session->forced && p->session->touched + p->session->timeout < end)
            end = p->session->touched + p->session->timeout;
    pthread_mutex_unlock(&zk_lock);
    return end;
}

char *fake_hosts(int slot)
{
    const struct port *p;
    char *hosts;

    LOCKED(p = port_on(slot); hosts = p ? zk_copy_string(p->hosts) : NULL);
    return hosts;
}

bool fake_is_doomed(int slot)
{
    const struct port *p;
    bool doomed = false;

    pthread_mutex_lock(&zk_lock);
    for (p = zk.ports; p; p = p->next)
        doomed |= p->slot == slot && p->session && p->session->forced;
    pthread_mutex_unlock(&zk_lock);
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

    LOCKED(p = port_on(slot); n = p ? zk_in_flight(p) : 0);
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
    pthread_mutex_lock(&zk_lock);
    for (i = 0; i < zk.leader.count; i++) {
        const struct node *node = zk.leader.nodes[i];

        printf("    %s czxid %" PRId64 " owner %" PRIx64 "\n", node->path, node->stat.czxid,
               (uint64_t)node->stat.owner);
    }
    pthread_mutex_unlock(&zk_lock);
}

int64_t fake_foreign_session(void)
{
    struct session *s = zk_need(calloc(1, sizeof *s));

    pthread_mutex_lock(&zk_lock);
    s->id = zk.next_session++;
    s->foreign = true;
    s->next = zk.sessions;
    zk.sessions = s;
    pthread_mutex_unlock(&zk_lock);
    return s->id;
}

void fake_end_session(int64_t id)
{
    struct session *s;

    pthread_mutex_lock(&zk_lock);
    for (s = zk.sessions; s; s = s->next)
        if (s->id == id && !s->dead)
            zk_end_session(s);
    pthread_mutex_unlock(&zk_lock);
}

bool fake_create(const char *path, const char *data, int64_t owner)
{
    char *part = zk_copy_string(path), *slash = part;
    bool made = false;

    pthread_mutex_lock(&zk_lock);
    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        if (!zk_find(&zk.leader, part))
            zk_commit(OZ_CREATE, part, "", 0, 0, zk.leader.zxid + 1);
        *slash = '/';
    }
    if (!zk_find(&zk.leader, path)) {
        zk_commit(OZ_CREATE, path, data, strlen(data), owner, zk.leader.zxid + 1);
        made = true;
    }
    pthread_mutex_unlock(&zk_lock);
    free(part);
    return made;
}

bool fake_delete(const char *path)
{
    const struct node *node;
    bool deletable;

    pthread_mutex_lock(&zk_lock);
    node = zk_find(&zk.leader, path);
    deletable = node && zk_count_children(&zk.leader, node) == 0;
    if (deletable)
        zk_commit(OZ_DELETE, path, NULL, 0, 0, zk.leader.zxid + 1);
    pthread_mutex_unlock(&zk_lock);
    return deletable;
}

bool fake_set(const char *path, const char *data)
{
    bool there;

    pthread_mutex_lock(&zk_lock);
    there = zk_find(&zk.leader, path) != NULL;
    if (there)
        zk_commit(OZ_SET, path, data, strlen(data), 0, zk.leader.zxid + 1);
    pthread_mutex_unlock(&zk_lock);
    return there;
}

void fake_forge(const char *path, const char *data)
{
    struct node *node;

    pthread_mutex_lock(&zk_lock);
    node = zk_find(&zk.leader, path);
    if (node) {
        free(node->data);
        node->data = zk_copy_string(data);
        node->len = strlen(data);
    }
    pthread_mutex_unlock(&zk_lock);
}

void fake_set_counter(const char *dir, int32_t next)
{
    struct node *node;

    LOCKED(node = zk_find(&zk.leader, dir); if (node) node->counter = next);
}
