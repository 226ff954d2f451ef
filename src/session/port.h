/* The ZooKeeper port: the few asynchronous requests that odezk makes of a ZooKeeper client. zkport.c implements it with
 * the C client; unit tests implement it with a script. */
#ifndef OZ_PORT_H
#define OZ_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a request ended with. */
enum oz_rc {
    OZ_OK,
    OZ_NONODE,
    OZ_EXISTS,
    OZ_BADVERSION,
    OZ_NOTEMPTY,
    OZ_DENIED,  /* credentials or ACL */
    OZ_FAILED,  /* the server refused for another reason; it was not done */
    OZ_UNKNOWN, /* nothing is known: it was done, will be done, or never will */
    OZ_GONE     /* the session is over, and with it whatever was ephemeral */
};

const char *oz_rc_name(enum oz_rc rc);

enum oz_verb {
    OZ_CREATE,
    OZ_DELETE,
    OZ_STAT,
    OZ_GET,
    OZ_SET,
    OZ_CHILDREN,
    OZ_SYNC,
    OZ_CHECK, /* inside OZ_MULTI only: the node exists */
    OZ_MULTI
};

#define OZ_EPHEMERAL 1
#define OZ_SEQUENCE 2
#define OZ_MULTI_MAX 16

/* All pointers are the caller's and are needed during the call only. */
struct oz_request {
    enum oz_verb verb;
    const char *path;
    const void *data; /* CREATE, SET */
    size_t len;
    int flags;      /* CREATE */
    bool versioned; /* SET, DELETE, CHECK: only if the node has this version */
    int32_t version;
    bool watch;                     /* GET, CHILDREN: be told of the next change of this path */
    bool bulk;                      /* waits behind all that is not: there may be thousands of these */
    bool retry;                     /* harmless when done twice: the session repeats it until the outcome is known */
    const struct oz_request *items; /* MULTI: CREATE, DELETE, SET, CHECK */
    size_t count;
};

struct oz_znode_stat {
    int64_t czxid, mzxid;
    int64_t ctime_ms;
    int64_t owner; /* the session of an ephemeral node, else 0 */
    int32_t version;
};

struct oz_reply {
    enum oz_rc rc;
    struct oz_znode_stat stat; /* CREATE (not in a multi), STAT, GET, SET */
    const char *path;          /* CREATE (not in a multi): the name as it was made, else NULL */
    const char *data;          /* GET; zero-terminated */
    size_t len;
    const char *const *names; /* CHILDREN */
    size_t count;
    size_t failed; /* MULTI with an error: the item that failed */
};

enum oz_port_state { OZ_PORT_CONNECTED, OZ_PORT_DISCONNECTED, OZ_PORT_EXPIRED, OZ_PORT_AUTH_FAILED };

/* What a port tells, from threads of its own. None may block. No call comes after close has returned. */
struct oz_port_events {
    void (*state)(void *ctx, enum oz_port_state state);
    void (*watch)(void *ctx, const char *path);
    void (*reply)(void *ctx, void *token, const struct oz_reply *reply);
};

struct oz_identity {
    int64_t id;
    char password[16];
    int timeout_ms; /* as negotiated */
};

struct oz_port_options {
    const char *hosts; /* numeric addresses, as the C client wants them, chroot included */
    int timeout_ms;
    const char *auth;                 /* "digest:user:password", or "" */
    const struct oz_identity *resume; /* the session of a process that is dead; NULL: a new one */
};

struct oz_port_class {
    /* Begins a session; does not block on the network. NULL: errno says why. */
    void *(*open)(const struct oz_port_options *options, const struct oz_port_events *events, void *ctx);
    /* True: exactly one reply with this token follows, unless the port is closed before. */
    bool (*submit)(void *port, const struct oz_request *request, void *token);
    /* After the first OZ_PORT_CONNECTED. */
    void (*identity)(void *port, struct oz_identity *out);
    /* The numeric address, without the port, of the server that we are connected to. */
    bool (*peer)(void *port, char *address, size_t size);
    /* The same of a server that does not answer yet. May be NULL, if that is not known. */
    bool (*trying)(void *port, char *address, size_t size);
    /* Changes the list of servers, chroot included; the session and the chroot stay. A connection to a server that is
     * not in it any more is moved. */
    bool (*set_hosts)(void *port, const char *hosts);
    /* Ends the session if a server can be reached; may block for 5 seconds. Not from within an event. */
    void (*close)(void *port);
};

extern const struct oz_port_class oz_zookeeper;

#endif
