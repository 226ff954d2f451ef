/* Who is in the cluster. */
#ifndef ODEZK_MEMBER_H
#define ODEZK_MEMBER_H

#include <odezk/cluster.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A live node, by name. */
typedef struct odezk_node {
    const char *id;
    int64_t incarnation;
} odezk_node;

/** A list of nodes, sorted by id. */
typedef struct odezk_node_list {
    size_t count;
    const odezk_node *nodes;
} odezk_node_list;

/**
 * The live nodes as this handle sees them, without asking the network. While no server can be reached, and
 * once the handle is closed, this is the last known list.
 *
 * @param out set to a new list, to be freed with odezk_node_list_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EINVAL; ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks on the network. Since 0.1.
 */
int odezk_members(odezk_cluster *cluster, odezk_node_list **out);

/** Frees a list. NULL does nothing. Since 0.1. */
void odezk_node_list_free(odezk_node_list *list);

typedef struct odezk_pair {
    const char *key, *value;
} odezk_pair;

/** What a live node publishes about itself. */
typedef struct odezk_member {
    const char *id;
    int64_t incarnation;
    int64_t since_ms;    /**< when it joined, milliseconds since 1970 by the servers' clock */
    int64_t started_ms;  /**< when its process started, milliseconds since 1970 by its own clock; 0: unknown */
    const char *host;    /**< "" when unknown */
    int64_t pid;         /**< 0 when unknown */
    const char *version; /**< of its odezk library; "" when unknown */
    bool observer;
    size_t metadata_count;
    const odezk_pair *metadata; /**< what odezk_cluster_set_metadata() was given */
} odezk_member;

/** The state of a cluster, read from the servers. */
typedef struct odezk_status {
    const char *cluster;
    const odezk_member *master; /**< one of `members`; NULL when there is none */
    int64_t master_epoch;       /**< 0 when there is none */
    size_t member_count;
    const odezk_member *members; /**< sorted by id */
} odezk_status;

/**
 * Reads members and master from the servers; the handle need not be a member. A cluster that does not exist is
 * an empty one, and nothing is created.
 *
 * @param timeout_ms how long it may take, in milliseconds
 * @param out        set to a new status, to be freed with odezk_status_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EUNREACHABLE (no server answered in time); ODEZK_EDUPLICATE (this node was refused);
 *         ODEZK_ECHROOT; ODEZK_EAUTH; ODEZK_ESERVER; ODEZK_EINCALLBACK; ODEZK_ECLOSED; ODEZK_EINVAL; ODEZK_ENOMEM;
 *         ODEZK_EFORKED
 *
 * Any thread but a callback's. Starts the handle if that was not done. Since 0.1.
 */
int odezk_cluster_status(odezk_cluster *cluster, int timeout_ms, odezk_status **out);

/** Frees a status. NULL does nothing. Since 0.1. */
void odezk_status_free(odezk_status *status);

#ifdef __cplusplus
}
#endif

#endif
