/* odezk: the command line of a cluster. */
#include "commands.h"
#include "process.h"

#include <errno.h>
#include <odezk/version.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {
    &node_command, &status_command, &watch_command,  &resign_command,
    &exec_command, &locks_command,  &config_command, &sandbox_command,
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0], OPT_VERSION = 'v', OPT_HELP = 'h' };

static const struct option own[] = {
    {"version", no_argument, NULL, OPT_VERSION}, {"help", no_argument, NULL, OPT_HELP}, {0}};

static void print_help(void)
{
    puts("usage: odezk [common options] COMMAND [options] [operands]\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-22s %s\n", commands[i]->name, commands[i]->summary);
    fputs(cli_common_help, stdout);
    puts("  --version              print the version");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int run_command(struct cli *cli)
{
    const struct command *command;

    if (optind >= cli->argc)
        return cli_usage(cli, "a command is missing");
    command = find_command(cli->argv[optind]);
    if (!command)
        return cli_usage(cli, "no such command: '%s'", cli->argv[optind]);
    cli->command = command;
    cli->argc -= optind;
    cli->argv += optind;
    optind = 0; /* makes getopt_long start anew */
    return command->run(cli);
}

static int run(struct cli *cli)
{
    for (int opt; (opt = cli_next(cli, own)) != CLI_END;) {
        switch (opt) {
        case OPT_HELP:
            print_help();
            return EXIT_DONE;
        case OPT_VERSION:
            printf("odezk %s\n", odezk_version());
            return EXIT_DONE;
        default:
            return cli->exit_code;
        }
    }
    return run_command(cli);
}

/* A full disk or a reader that went away shows here at the latest. */
static int end_output(const struct cli *cli, int exit_code)
{
    bool failed = ferror(stdout) != 0;

    if (fclose(stdout) == 0 && !failed)
        return exit_code;
    cli_error(cli, "cannot write to standard output");
    return exit_code == EXIT_DONE ? EXIT_FAILED : exit_code;
}

int main(int argc, char **argv)
{
    struct cli cli = {.argc = argc, .argv = argv};

    if (!process_init()) {
        cli_error(&cli, "cannot set up the process: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return end_output(&cli, run(&cli));
}
