/* What the commands that use the library share. */
#ifndef CLI_COMMON_H
#define CLI_COMMON_H

#include "options.h"

#include <odezk/cluster.h>
#include <odezk/config.h>

/*
 * The settings of the files (in `dir`, when not NULL, otherwise where --config or the environment
 * says) and of the command line. An exit code; all mistakes were printed.
 */
int common_config(const struct cli *cli, const char *dir, odezk_config **out);

/* What is to be done with a mistake: the file is "", and the line 0, of one on the command line. */
typedef void (*common_mistake)(void *arg, const char *file, int line, const char *message, const char *text);

/* The same, but the mistakes are handed to `mistake`. */
int common_load(const struct cli *cli, const char *dir, odezk_config **out, common_mistake mistake, void *arg);

/* Sets one setting as the command line does; an exit code. */
int common_set(const struct cli *cli, odezk_config *config, const char *name, const char *value);

/* A handle that was not started; an exit code. */
int common_cluster(const struct cli *cli, const odezk_config *config, odezk_role role, odezk_cluster **out);

/* Whether this may be a lock's space and key, before there is any server; an exit code. */
int common_check_lock(const struct cli *cli, odezk_cluster *cluster, const char *space, const char *key);

/* Keeps the log to itself, unless the user asked for one: a command reports in one line what went wrong. */
void common_quiet(const odezk_config *config);

/* Sets `config` to the settings and `cluster` to a client's handle with them; an exit code. */
int common_client(const struct cli *cli, odezk_config **config, odezk_cluster **cluster);

/* The exit code for an error of the library. */
int common_exit_code(int error);

/* Prints odezk_last_error() after a failed call; returns the exit code. */
int common_fail(const struct cli *cli, int error);

/* Prints that no server was reached in this time, and why; an exit code. The handle has been started. */
int common_unreachable(const struct cli *cli, odezk_cluster *cluster, int timeout_ms);

int common_out_of_memory(const struct cli *cli);

#endif
