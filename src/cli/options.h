/* The command line: commands, their options, and messages about mistakes in it. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

/* Exit codes, the same for every command. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_NO_LOCK = 75 };

struct cli;

struct command {
    const char *name;
    const char *summary; /* for the list of commands */
    const char *help;    /* its usage and its own options */
    const char *common;  /* help on the common options that it takes */
    bool runs_command;   /* its operands are another program's command line */
    int (*run)(struct cli *cli);
};

/* The common options that are settings; cli_settings has their names. */
enum cli_setting { CLI_SERVERS, CLI_BASE, CLI_CLUSTER, CLI_SESSION_TIMEOUT, CLI_CONNECT_TIMEOUT, CLI_SETTING_COUNT };

extern const char *const cli_settings[CLI_SETTING_COUNT];

/* What was given on the command line; NULL: not given. */
struct cli {
    const struct command *command; /* NULL until its name was read */
    int argc;
    char **argv; /* argv[0] is the command's name */
    const char *config_dir;
    const char *settings[CLI_SETTING_COUNT];
    bool json;
    int exit_code; /* after CLI_STOP */
};

enum {
    CLI_END = -1,  /* no more options: operands begin at argv[optind] */
    CLI_STOP = '?' /* help was printed, or a mistake: end with exit_code */
};

extern const char cli_common_help[];

/* Returns the next option of the command itself; common ones are stored in `cli`. `own` ends with a zero entry. */
int cli_next(struct cli *cli, const struct option *own);

/* "odezk: COMMAND: message" on standard error. */
void cli_error(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a mistake in the command line; returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads a whole number from `min` to `max`; otherwise prints the mistake and returns false. */
bool cli_number(const struct cli *cli, const char *option, const char *text, int min, int max, int *out);

#endif
