/* Guarded writes: znodes that are written only if the writer still holds its lock or its mastership. */
#ifndef ODEZK_WRITE_H
#define ODEZK_WRITE_H

#include <odezk/cluster.h>
#include <odezk/lock.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum odezk_write_type {
    ODEZK_WRITE_CREATE = 0, /**< a persistent znode; fails if it exists */
    ODEZK_WRITE_SET = 1,    /**< its contents; fails if it does not exist */
    ODEZK_WRITE_DELETE = 2  /**< fails if it does not exist, or has children */
} odezk_write_type;

/** How many writes one call can take. */
#define ODEZK_WRITES_MAX 15

/** A version that matches every version. */
#define ODEZK_ANY_VERSION (-1)

typedef struct odezk_write {
    odezk_write_type type;
    const char *path; /**< absolute, in the servers' tree (below the chroot, if there is one) */
    const void *data; /**< CREATE, SET; may be NULL when len is 0 */
    size_t len;       /**< in bytes, at most 512 KiB in all */
    int version;      /**< SET, DELETE: only if the znode has this version, or ODEZK_ANY_VERSION */
} odezk_write;

/**
 * Writes all of `writes` or none, and only if the grant still holds when the servers do it. The servers decide
 * that: a holder that was paused, and whose lock went to another holder meanwhile, writes nothing. Under a lock whose
 * holder cannot be asked (odezk_lock_end()) it takes a round trip more, and an operator who ends the lock during this
 * call may come between the question and the write.
 *
 * @param cluster    the handle that the lock was taken with
 * @param lock       the grant
 * @param writes     copied
 * @param count      1 to ODEZK_WRITES_MAX
 * @param timeout_ms how long it may take, in milliseconds
 * @return ODEZK_OK (all was written); ODEZK_ELOST (the grant is over; nothing was written); ODEZK_ECONFLICT (a znode
 *         exists, does not exist, has children or another version; nothing was written); ODEZK_EUNKNOWN (the connection
 *         broke or the time passed: all or nothing was written, or will be); ODEZK_EAUTH; ODEZK_ESERVER;
 *         ODEZK_EDUPLICATE, ODEZK_ECHROOT (this node was refused); ODEZK_EINCALLBACK; ODEZK_ECLOSED; ODEZK_EINVAL;
 *         ODEZK_ENOMEM; ODEZK_EFORKED
 *
 * Any thread but a callback's. Since 0.1.
 */
int odezk_lock_write(odezk_cluster *cluster, odezk_lock *lock, const odezk_write *writes, size_t count, int timeout_ms);

/**
 * The same for a mastership: writes only if this node is still master in the epoch in which it decided to write.
 *
 * @param epoch as odezk_is_master() returned it
 *
 * Returns, blocks and may be called as odezk_lock_write(). Since 0.1.
 */
int odezk_master_write(odezk_cluster *cluster, int64_t epoch, const odezk_write *writes, size_t count, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
