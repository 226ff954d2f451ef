/* Prints a handle's events until a signal comes: the common part of node and watch. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "options.h"

#include <odezk/cluster.h>

struct follow_options {
    unsigned types;         /* of the events */
    const char *node;       /* whose view it is; NULL: nobody's */
    int connect_timeout_ms; /* when to give up if no server was reached; -1: never */
    int signal_fd;
};

/*
 * Starts the handle, prints, and leaves the cluster; an exit code. Afterwards the handle is closed.
 * When that takes too long (no server answers) the process ends here.
 */
int follow(const struct cli *cli, odezk_cluster *cluster, const struct follow_options *options);

#endif
