#include "common.h"

#include <odezk/log.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_LINE "command line"

int common_exit_code(int error)
{
    switch (error) {
    case ODEZK_OK:
        return EXIT_DONE;
    case ODEZK_ECONFIG:
    case ODEZK_ECHROOT:
        return EXIT_USAGE;
    case ODEZK_EUNREACHABLE:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_FAILED;
    }
}

int common_fail(const struct cli *cli, int error)
{
    const char *particulars = odezk_last_error();

    cli_error(cli, "%s", *particulars ? particulars : odezk_strerror(error));
    return common_exit_code(error);
}

int common_unreachable(const struct cli *cli, int timeout_ms)
{
    cli_error(cli, "no ZooKeeper server answered within %d ms", timeout_ms);
    return EXIT_UNREACHABLE;
}

int common_out_of_memory(const struct cli *cli)
{
    return common_fail(cli, ODEZK_ENOMEM);
}

static const char *config_dir(const struct cli *cli, const char *dir)
{
    if (!dir)
        dir = cli->config_dir;
    if (!dir)
        dir = getenv("ODEZK_CONFIG");
    return dir && *dir ? dir : NULL;
}

int common_set(const struct cli *cli, odezk_config *config, const char *name, const char *value)
{
    int error = odezk_config_set(config, name, value, COMMAND_LINE);

    return error == ODEZK_OK ? EXIT_DONE : common_fail(cli, error);
}

/* Goes on after a mistake, to report all of them. */
static int apply_options(const struct cli *cli, odezk_config *config)
{
    int result = EXIT_DONE;

    for (int i = 0; i < CLI_SETTING_COUNT; i++) {
        if (!cli->settings[i])
            continue;
        int exit_code = common_set(cli, config, cli_settings[i], cli->settings[i]);
        if (exit_code != EXIT_DONE)
            result = exit_code;
    }
    return result;
}

int common_load(const struct cli *cli, const char *dir, odezk_config **out, odezk_problems **problems)
{
    odezk_config *config = NULL;
    int error = odezk_config_load(config_dir(cli, dir), &config, problems);

    if (error != ODEZK_OK && error != ODEZK_ECONFIG)
        return common_fail(cli, error);
    /* When the files are wrong, the mistakes of the command line are reported as well. */
    if (error == ODEZK_ECONFIG && odezk_config_new(&config) != ODEZK_OK)
        return common_out_of_memory(cli);
    int exit_code = apply_options(cli, config);
    if (error == ODEZK_OK && exit_code == EXIT_DONE) {
        *out = config;
        return EXIT_DONE;
    }
    odezk_config_free(config);
    return EXIT_USAGE;
}

int common_config(const struct cli *cli, const char *dir, odezk_config **out)
{
    odezk_problems *problems = NULL;
    int exit_code = common_load(cli, dir, out, &problems);

    for (size_t i = 0; i < odezk_problems_count(problems); i++)
        fprintf(stderr, "%s\n", odezk_problems_at(problems, i)->text);
    odezk_problems_free(problems);
    return exit_code;
}

int common_cluster(const struct cli *cli, const odezk_config *config, odezk_role role, odezk_cluster **out)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;

    options.role = role;
    int error = odezk_cluster_new(config, &options, out);
    return error == ODEZK_OK ? EXIT_DONE : common_fail(cli, error);
}

static void drop_line(odezk_log_level level, const char *category, const char *line, void *arg)
{
    (void)level;
    (void)category;
    (void)line;
    (void)arg;
}

static bool is_default(const odezk_config *config, const char *name)
{
    const char *source = odezk_config_source(config, name);
    return !source || strcmp(source, "default") == 0;
}

int common_client(const struct cli *cli, odezk_config **config, odezk_cluster **cluster)
{
    int exit_code = common_config(cli, NULL, config);

    if (exit_code != EXIT_DONE)
        return exit_code;
    /* A command tells in one line what went wrong; it logs only when the user asked for a log. */
    if (is_default(*config, "log-level") && is_default(*config, "log4c-file"))
        odezk_log_set_callback(drop_line, NULL);
    return common_cluster(cli, *config, ODEZK_ROLE_CLIENT, cluster);
}
