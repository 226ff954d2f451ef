/* The only file that knows the ZooKeeper C client. */
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/port.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zookeeper/zookeeper.h>

struct zkport {
    zhandle_t *zh;
    const struct oz_port_events *events;
    void *ctx;
    bool creator_only;
    pthread_mutex_t lock;
    struct oz_list calls; /* those that zookeeper_close() drops are freed from here */
};

/* Travels with a request; a multi's results must outlive its completion. */
struct call {
    struct oz_list link;
    struct zkport *port;
    void *token;
    enum oz_verb verb;
    size_t count;
    zoo_op_result_t results[];
};

const char *oz_rc_name(enum oz_rc rc)
{
    static const char *const names[] = {"ok",     "no node", "node exists", "bad version",    "not empty",
                                        "denied", "refused", "unknown",     "session is over"};

    return (size_t)rc < sizeof names / sizeof *names ? names[rc] : "?";
}

static enum oz_rc translate(int rc)
{
    switch (rc) {
    case ZOK:
        return OZ_OK;
    case ZNONODE:
        return OZ_NONODE;
    case ZNODEEXISTS:
        return OZ_EXISTS;
    case ZBADVERSION:
        return OZ_BADVERSION;
    case ZNOTEMPTY:
        return OZ_NOTEMPTY;
    case ZNOAUTH:
    case ZAUTHFAILED:
    case ZINVALIDACL:
    case ZSESSIONCLOSEDREQUIRESASLAUTH:
        return OZ_DENIED;
    case ZSYSTEMERROR:
    case ZRUNTIMEINCONSISTENCY:
    case ZCONNECTIONLOSS:
    case ZOPERATIONTIMEOUT:
    case ZINVALIDSTATE:
    case ZSESSIONEXPIRED:
    case ZCLOSING:
    case ZSESSIONMOVED:
    case ZTHROTTLEDOP:
        return OZ_UNKNOWN;
    default:
        return OZ_FAILED;
    }
}

static void copy_stat(struct oz_znode_stat *to, const struct Stat *from)
{
    if (!from)
        return;
    to->czxid = from->czxid;
    to->mzxid = from->mzxid;
    to->ctime_ms = from->ctime;
    to->owner = from->ephemeralOwner;
    to->version = from->version;
}

static void forget(struct call *call)
{
    pthread_mutex_lock(&call->port->lock);
    oz_list_remove(&call->link);
    pthread_mutex_unlock(&call->port->lock);
    free(call);
}

/* A server to which the session moved while another server ended it answers every request with "expired", but never
 * closes the connection. */
static void finish(struct call *call, int rc, struct oz_reply *reply)
{
    reply->rc = translate(rc);
    if (rc == ZSESSIONEXPIRED)
        call->port->events->state(call->port->ctx, OZ_PORT_EXPIRED);
    call->port->events->reply(call->port->ctx, call->token, reply);
    forget(call);
}

static void on_void(int rc, const void *data)
{
    struct call *call = (struct call *)data;
    struct oz_reply reply = {0};

    if (call->verb == OZ_MULTI && rc != ZOK)
        while (reply.failed + 1 < call->count &&
               (call->results[reply.failed].err == ZOK || call->results[reply.failed].err == ZRUNTIMEINCONSISTENCY))
            reply.failed++;
    finish(call, rc, &reply);
}

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
    struct oz_reply reply = {0};

    copy_stat(&reply.stat, stat);
    finish((struct call *)data, rc, &reply);
}

static void on_name(int rc, const char *name, const struct Stat *stat, const void *data)
{
    struct oz_reply reply = {.path = rc == ZOK ? name : NULL};

    copy_stat(&reply.stat, rc == ZOK ? stat : NULL);
    finish((struct call *)data, rc, &reply);
}

static void on_data(int rc, const char *value, int len, const struct Stat *stat, const void *data)
{
    struct oz_reply reply = {0};

    if (rc == ZOK) {
        reply.data = value;
        reply.len = len > 0 ? (size_t)len : 0;
        copy_stat(&reply.stat, stat);
    }
    finish((struct call *)data, rc, &reply);
}

static void on_strings(int rc, const struct String_vector *strings, const void *data)
{
    struct oz_reply reply = {0};

    if (rc == ZOK && strings && strings->count > 0) {
        reply.names = (const char *const *)strings->data;
        reply.count = (size_t)strings->count;
    }
    finish((struct call *)data, rc, &reply);
}

static void on_string(int rc, const char *value, const void *data)
{
    (void)value;
    on_void(rc, data);
}

/* One function and one context for all watches of a session: with many of them the cost of a session event is
 * quadratic. */
static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
    struct zkport *port = ctx;

    (void)zh;
    (void)state;
    if (type != ZOO_SESSION_EVENT && type != ZOO_NOTWATCHING_EVENT)
        port->events->watch(port->ctx, path);
}

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
    struct zkport *port = ctx;

    (void)zh;
    (void)path;
    if (type != ZOO_SESSION_EVENT)
        return;
    if (state == ZOO_CONNECTED_STATE)
        port->events->state(port->ctx, OZ_PORT_CONNECTED);
    else if (state == ZOO_EXPIRED_SESSION_STATE)
        port->events->state(port->ctx, OZ_PORT_EXPIRED);
    else if (state == ZOO_AUTH_FAILED_STATE)
        port->events->state(port->ctx, OZ_PORT_AUTH_FAILED);
    else
        port->events->state(port->ctx, OZ_PORT_DISCONNECTED);
}

/* It takes a request to wake the client up. */
static void on_wake(int rc, const char *value, const void *data)
{
    (void)rc;
    (void)value;
    (void)data;
}

static void on_auth(int rc, const void *data)
{
    (void)data;
    if (rc != ZOK)
        oz_debug("session", "the credentials were not taken: %s", zerror(rc));
}

static void add_auth(struct zkport *port, const char *auth)
{
    const char *colon = strchr(auth, ':');
    char scheme[32];

    if (!colon || (size_t)(colon - auth) >= sizeof scheme)
        return;
    memcpy(scheme, auth, (size_t)(colon - auth));
    scheme[colon - auth] = '\0';
    zoo_add_auth(port->zh, scheme, colon + 1, (int)strlen(colon + 1), on_auth, NULL);
    port->creator_only = true;
}

static void *zk_open(const struct oz_port_options *options, const struct oz_port_events *events, void *ctx)
{
    struct zkport *port = oz_alloc(sizeof *port);
    clientid_t id = {0};
    int saved;

    if (!port) {
        errno = ENOMEM;
        return NULL;
    }
    port->events = events;
    port->ctx = ctx;
    pthread_mutex_init(&port->lock, NULL);
    oz_list_init(&port->calls);
    zoo_set_debug_level(oz_log_enabled(ODEZK_LOG_DEBUG) ? ZOO_LOG_LEVEL_DEBUG : ZOO_LOG_LEVEL_INFO);
    if (options->resume) {
        id.client_id = options->resume->id;
        memcpy(id.passwd, options->resume->password, sizeof id.passwd);
    }
    port->zh = zookeeper_init2(options->hosts, on_session, options->timeout_ms, options->resume ? &id : NULL, port,
                               ZOO_NO_LOG_CLIENTENV, oz_log_zookeeper);
    if (!port->zh) {
        saved = errno;
        pthread_mutex_destroy(&port->lock);
        free(port);
        errno = saved;
        return NULL;
    }
    zoo_set_servers_resolution_delay(port->zh, -1);
    if (*options->auth)
        add_auth(port, options->auth);
    return port;
}

static int mode_of(const struct oz_request *r)
{
    return (r->flags & OZ_EPHEMERAL ? ZOO_EPHEMERAL : 0) | (r->flags & OZ_SEQUENCE ? ZOO_SEQUENCE : 0);
}

static int version_of(const struct oz_request *r)
{
    return r->versioned ? r->version : -1;
}

static const struct ACL_vector *acl_of(const struct zkport *port)
{
    return port->creator_only ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
}

static int submit_multi(struct zkport *port, const struct oz_request *r, struct call *call)
{
    zoo_op_t ops[OZ_MULTI_MAX];
    size_t i;

    for (i = 0; i < r->count; i++) {
        const struct oz_request *item = &r->items[i];

        switch (item->verb) {
        case OZ_CREATE: /* names are not asked for: no sequential create is ever made in a multi */
            zoo_create_op_init(&ops[i], item->path, item->data, (int)item->len, acl_of(port), mode_of(item), NULL, 0);
            break;
        case OZ_DELETE:
            zoo_delete_op_init(&ops[i], item->path, version_of(item));
            break;
        case OZ_SET:
            zoo_set_op_init(&ops[i], item->path, item->data, (int)item->len, version_of(item), NULL);
            break;
        case OZ_CHECK:
            zoo_check_op_init(&ops[i], item->path, version_of(item));
            break;
        default:
            return ZBADARGUMENTS;
        }
    }
    return zoo_amulti(port->zh, (int)r->count, ops, call->results, on_void, call);
}

static int submit(struct zkport *port, const struct oz_request *r, struct call *call)
{
    watcher_fn watcher = r->watch ? on_watch : NULL;
    zhandle_t *zh = port->zh;

    switch (r->verb) {
    case OZ_CREATE:
        return zoo_acreate2(zh, r->path, r->data, (int)r->len, acl_of(port), mode_of(r), on_name, call);
    case OZ_DELETE:
        return zoo_adelete(zh, r->path, version_of(r), on_void, call);
    case OZ_STAT:
        return zoo_awexists(zh, r->path, NULL, NULL, on_stat, call);
    case OZ_GET:
        return zoo_awget(zh, r->path, watcher, port, on_data, call);
    case OZ_SET:
        return zoo_aset(zh, r->path, r->data, (int)r->len, version_of(r), on_stat, call);
    case OZ_CHILDREN:
        return zoo_awget_children(zh, r->path, watcher, port, on_strings, call);
    case OZ_SYNC:
        return zoo_async(zh, r->path, on_string, call);
    case OZ_MULTI:
        return submit_multi(port, r, call);
    default:
        return ZBADARGUMENTS;
    }
}

static bool zk_submit(void *p, const struct oz_request *request, void *token)
{
    struct zkport *port = p;
    size_t count = request->verb == OZ_MULTI ? request->count : 0;
    struct call *call = oz_alloc(sizeof *call + count * sizeof *call->results);
    int rc;

    if (!call)
        return false;
    call->port = port;
    call->token = token;
    call->verb = request->verb;
    call->count = count;
    pthread_mutex_lock(&port->lock);
    oz_list_append(&port->calls, &call->link);
    pthread_mutex_unlock(&port->lock);
    rc = submit(port, request, call);
    if (rc == ZBADARGUMENTS) /* nor will it ever be sent */
        finish(call, rc, &(struct oz_reply){0});
    else if (rc != ZOK)
        forget(call);
    return rc == ZOK || rc == ZBADARGUMENTS;
}

static void zk_identity(void *p, struct oz_identity *out)
{
    struct zkport *port = p;
    const clientid_t *id = zoo_client_id(port->zh);

    out->id = id->client_id;
    memcpy(out->password, id->passwd, sizeof out->password);
    out->timeout_ms = zoo_recv_timeout(port->zh);
}

static bool zk_peer(void *p, char *address, size_t size)
{
    struct zkport *port = p;
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;

    return zookeeper_get_connected_host(port->zh, (struct sockaddr *)&peer, &len) &&
           getnameinfo((struct sockaddr *)&peer, len, address, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
}

/* The client keeps this text in one place for all threads. Whoever uses it must expect that it is none of the servers.
 */
static bool zk_trying(void *p, char *address, size_t size)
{
    struct zkport *port = p;
    const char *server = zoo_get_current_server(port->zh), *colon = strrchr(server, ':');

    if (!colon || (size_t)(colon - server) >= size)
        return false;
    memcpy(address, server, (size_t)(colon - server));
    address[colon - server] = '\0';
    return *address != '\0';
}

static bool zk_set_hosts(void *p, const char *hosts)
{
    struct zkport *port = p;
    char *servers =
        oz_strndup(hosts, strcspn(hosts, "/")); /* it knows no chroot, and keeps even a list that it refuses */
    bool good = servers && zoo_set_servers(port->zh, servers) == ZOK;

    free(servers);
    if (good)
        zoo_async(port->zh, "/", on_wake, NULL);
    return good;
}

static void zk_close(void *p)
{
    struct zkport *port = p;
    struct oz_list *node;

    zookeeper_close(port->zh);
    while ((node = oz_list_pop(&port->calls)) != NULL)
        free(oz_container(node, struct call, link));
    pthread_mutex_destroy(&port->lock);
    free(port);
}

const struct oz_port_class oz_zookeeper = {zk_open, zk_submit, zk_identity, zk_peer, zk_trying, zk_set_hosts, zk_close};
