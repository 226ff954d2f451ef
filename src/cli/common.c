#include "common.h"

#include <odezk/lock.h>
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

int common_unreachable(const struct cli *cli, odezk_cluster *cluster, int timeout_ms)
{
    bool unreachable = odezk_cluster_join(cluster, 0) == ODEZK_EUNREACHABLE;
    const char *why = unreachable ? strstr(odezk_last_error(), ": ") : NULL; /* behind "no … within 0 ms" */

    cli_error(cli, "no ZooKeeper server answered within %d ms%s", timeout_ms, why ? why : "");
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
    if (dir)
        return dir;
    dir = getenv("ODEZK_CONFIG");
    return dir && *dir ? dir : NULL; /* who empties a variable wants to unset it */
}

int common_set(const struct cli *cli, odezk_config *config, const char *name, const char *value)
{
    int error = odezk_config_set(config, name, value, COMMAND_LINE);

    return error == ODEZK_OK ? EXIT_DONE : common_fail(cli, error);
}

/* Goes on after a mistake, to report all of them. */
static int apply_options(const struct cli *cli, odezk_config *config, common_mistake mistake, void *arg)
{
    int result = EXIT_DONE;

    for (int i = 0; i < CLI_SETTING_COUNT; i++) {
        if (!cli->settings[i])
            continue;
        int error = odezk_config_set(config, cli_settings[i], cli->settings[i], COMMAND_LINE);
        if (error == ODEZK_OK)
            continue;
        mistake(arg, "", 0, odezk_last_error(), odezk_last_error());
        result = common_exit_code(error);
    }
    return result;
}

static void report(const odezk_problems *problems, common_mistake mistake, void *arg)
{
    for (size_t i = 0; i < odezk_problems_count(problems); i++) {
        const odezk_problem *problem = odezk_problems_at(problems, i);
        mistake(arg, problem->file, problem->line, problem->message, problem->text);
    }
}

int common_load(const struct cli *cli, const char *dir, odezk_config **out, common_mistake mistake, void *arg)
{
    odezk_config *config = NULL;
    odezk_problems *problems = NULL;
    int error = odezk_config_load(config_dir(cli, dir), &config, &problems);

    if (error != ODEZK_OK && error != ODEZK_ECONFIG)
        return common_fail(cli, error);
    report(problems, mistake, arg);
    odezk_problems_free(problems);
    /* When the files are wrong, the mistakes of the command line are reported as well. */
    if (error == ODEZK_ECONFIG && odezk_config_new(&config) != ODEZK_OK)
        return common_out_of_memory(cli);
    int exit_code = apply_options(cli, config, mistake, arg);
    if (error == ODEZK_OK && exit_code == EXIT_DONE) {
        *out = config;
        return EXIT_DONE;
    }
    odezk_config_free(config);
    return exit_code == EXIT_DONE ? EXIT_USAGE : exit_code;
}

static void print_mistake(void *arg, const char *file, int line, const char *message, const char *text)
{
    (void)line;
    (void)message;
    if (*file)
        fprintf(stderr, "%s\n", text);
    else
        cli_error(arg, "%s", text);
}

int common_config(const struct cli *cli, const char *dir, odezk_config **out)
{
    return common_load(cli, dir, out, print_mistake, (void *)cli);
}

int common_cluster(const struct cli *cli, const odezk_config *config, odezk_role role, odezk_cluster **out)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;

    options.role = role;
    int error = odezk_cluster_new(config, &options, out);
    return error == ODEZK_OK ? EXIT_DONE : common_fail(cli, error);
}

/* Nothing is held by its key yet: all that this does is to look at the two names. */
int common_check_lock(const struct cli *cli, odezk_cluster *cluster, const char *space, const char *key)
{
    int error = odezk_lock_release_key(cluster, space, key);

    if (error != ODEZK_EINVAL)
        return EXIT_DONE;
    common_fail(cli, error);
    return EXIT_USAGE;
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

void common_quiet(const odezk_config *config)
{
    if (is_default(config, "log-level") && is_default(config, "log4c-file"))
        odezk_log_set_callback(drop_line, NULL);
}

int common_client(const struct cli *cli, odezk_config **config, odezk_cluster **cluster)
{
    int exit_code = common_config(cli, NULL, config);

    if (exit_code != EXIT_DONE)
        return exit_code;
    common_quiet(*config);
    return common_cluster(cli, *config, ODEZK_ROLE_CLIENT, cluster);
}
