/* One master. */
#ifndef ODEZK_ELECTION_H
#define ODEZK_ELECTION_H

#include <odezk/cluster.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Whether this node is the master at this very moment, answered from the lease without asking the network. At
 * any instant the answer is true on at most one node of the cluster.
 *
 * @param epoch set to the mastership's epoch when the answer is yes; may be NULL; otherwise untouched
 *
 * Any thread, also inside a callback; never blocks. False after a fork, after close, and for NULL. Since 0.1.
 */
bool odezk_is_master(odezk_cluster *cluster, int64_t *epoch);

/** Who is master, as a handle sees it. */
typedef struct odezk_master {
    char id[65]; /**< "" when there is none */
    int64_t incarnation;
    int64_t epoch;
} odezk_master;

/**
 * Who is master as this handle sees it, without asking the network. While no server can be reached, and once the handle
 * is closed, this is the last known one: perhaps this node itself, which is not master any more.
 *
 * @param master filled in; untouched on failure
 * @return ODEZK_OK; ODEZK_EINVAL; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_get_master(odezk_cluster *cluster, odezk_master *master);

/**
 * Gives up this node's mastership, if it has it, and queues for it again behind all other candidates. On return
 * odezk_is_master() is false; the servers are notified without waiting. A node that is alone in its cluster becomes
 * master again, under a new epoch.
 *
 * @return ODEZK_OK; ODEZK_ENOTHELD (it was not master); ODEZK_EINVAL; ODEZK_ECLOSED; ODEZK_EFORKED
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_resign(odezk_cluster *cluster);

/**
 * Asks another node to resign, and waits until it has resigned.
 *
 * @param id         the node's id
 * @param timeout_ms how long it may take, in milliseconds
 * @return ODEZK_OK (it is no longer master); ODEZK_ENOTFOUND (no live node has this id); ODEZK_ENOTHELD (it is not
 *         master); ODEZK_ETIMEDOUT (asked, but it is still master); ODEZK_EUNREACHABLE; ODEZK_EDUPLICATE (this node
 *         was refused); ODEZK_ECHROOT; ODEZK_EAUTH; ODEZK_ESERVER; ODEZK_EINCALLBACK; ODEZK_ECLOSED; ODEZK_EINVAL;
 *         ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * Any thread but a callback's. Starts the handle if that was not done. Since 0.1.
 */
int odezk_resign_node(odezk_cluster *cluster, const char *id, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
