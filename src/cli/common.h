/* What the commands that use the library share. */
#ifndef CLI_COMMON_H
#define CLI_COMMON_H

#include "options.h"

#include <odezk/cluster.h>
#include <odezk/config.h>

/*
 * The settings of the files (in `dir`, when not NULL, otherwise where --config or the environment
 * says) and of the command line. An exit code; all mistakes were told.
 */
int common_config(const struct cli *cli, const char *dir, odezk_config **out);

/* The same, but the mistakes in the files are only put into `problems`. */
int common_load(const struct cli *cli, const char *dir, odezk_config **out, odezk_problems **problems);

/* Sets one setting as the command line does; an exit code. */
int common_set(const struct cli *cli, odezk_config *config, const char *name, const char *value);

/* A handle that was not started; an exit code. */
int common_cluster(const struct cli *cli, const odezk_config *config, odezk_role role, odezk_cluster **out);

/* Sets `config` to the settings and `cluster` to a client's handle with them; an exit code. */
int common_client(const struct cli *cli, odezk_config **config, odezk_cluster **cluster);

/* The exit code for an error of the library. */
int common_exit_code(int error);

/* Prints odezk_last_error() after a failed call; returns the exit code. */
int common_fail(const struct cli *cli, int error);

/* Prints that no server was reached in this time; an exit code. */
int common_unreachable(const struct cli *cli, int timeout_ms);

int common_out_of_memory(const struct cli *cli);

#endif
