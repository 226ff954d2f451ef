/* odezk resign: makes a master give up its mastership. */
#include "commands.h"
#include "common.h"
#include "output.h"

#include <odezk/election.h>
#include <stdbool.h>
#include <stdio.h>

static const char help[] = "usage: odezk resign [common options] ID\n"
                           "\n"
                           "Asks node ID, the master, to resign, and waits until it is master no longer.\n";

static const struct option own[] = {{0}};

static int print(const struct cli *cli, const char *id)
{
    if (!cli->json) {
        output_text(stdout, id);
        puts(" has resigned");
        return EXIT_DONE;
    }
    return output_json(json_pack("{s:o}", "resigned", output_string(id))) ? EXIT_DONE : common_out_of_memory(cli);
}

static int resign(const struct cli *cli, const odezk_config *config, odezk_cluster *cluster, const char *id)
{
    int error = odezk_cluster_join(cluster, (int)odezk_config_number(config, "connect-timeout"));

    if (error == ODEZK_OK)
        error = odezk_resign_node(cluster, id, (int)odezk_config_number(config, "operation-timeout"));
    return error == ODEZK_OK ? print(cli, id) : common_fail(cli, error);
}

/* Ids are what the setting node-id allows. */
static bool is_id(const char *id)
{
    odezk_config *config = NULL;
    bool good = odezk_config_new(&config) == ODEZK_OK && odezk_config_set(config, "node-id", id, NULL) != ODEZK_ECONFIG;

    odezk_config_free(config);
    return good;
}

static int run(struct cli *cli)
{
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;

    if (cli_next(cli, own) != CLI_END)
        return cli->exit_code;
    if (cli->argc - optind != 1)
        return cli_usage(cli, "exactly one node's id is needed");
    if (!is_id(cli->argv[optind]))
        return cli_usage(cli, "found '%s', allowed is a node's id: 1 to 64 characters of A-Z a-z 0-9 . _ : @ + -",
                         cli->argv[optind]);

    int exit_code = common_client(cli, &config, &cluster);
    if (exit_code == EXIT_DONE)
        exit_code = resign(cli, config, cluster, cli->argv[optind]);
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return exit_code;
}

const struct command resign_command = {
    .name = "resign",
    .summary = "make a master give up its mastership",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
