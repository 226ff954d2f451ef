/* The commands; each is in the file of its name. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const struct command node_command, status_command, watch_command, resign_command, exec_command, locks_command,
    config_command, sandbox_command;

#endif
