/* odezk node: a member in the foreground. */
#include "commands.h"
#include "common.h"
#include "follow.h"
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METADATA_MAX = 64 };

struct node {
    const char *id;
    bool observer;
    const char *metadata[METADATA_MAX]; /* KEY=VALUE */
    int metadata_count;
};

static const char help[] = "usage: odezk node [--id ID] [--observer] [--meta KEY=VALUE]… [common options]\n"
                           "\n"
                           "Is a member of the cluster until SIGTERM or SIGINT, and prints what happens.\n"
                           "\n"
                           "  --id ID                this node's id (otherwise the setting node-id)\n"
                           "  --observer             never become master\n"
                           "  --meta KEY=VALUE       what to tell about this node; may be repeated\n";

static const struct option own[] = {{"id", required_argument, NULL, 'i'},
                                    {"observer", no_argument, NULL, 'o'},
                                    {"meta", required_argument, NULL, 'm'},
                                    {0}};

/* False: end with the exit code in cli. */
static bool parse(struct cli *cli, struct node *node)
{
    for (int opt; (opt = cli_next(cli, own)) != CLI_END;) {
        switch (opt) {
        case 'i':
            node->id = optarg;
            break;
        case 'o':
            node->observer = true;
            break;
        case 'm':
            cli->exit_code = EXIT_USAGE;
            if (node->metadata_count == METADATA_MAX) {
                cli_usage(cli, "--meta: at most %d are allowed", METADATA_MAX);
                return false;
            }
            if (!strchr(optarg, '=')) {
                cli_usage(cli, "--meta: found '%s', allowed is KEY=VALUE", optarg);
                return false;
            }
            node->metadata[node->metadata_count++] = optarg;
            break;
        default:
            return false;
        }
    }
    if (optind < cli->argc) {
        cli->exit_code = cli_usage(cli, "no operands are allowed: '%s'", cli->argv[optind]);
        return false;
    }
    return true;
}

static int set_metadata(const struct cli *cli, odezk_cluster *cluster, const char *pair)
{
    size_t length = strcspn(pair, "=");
    char *key = strndup(pair, length);

    if (!key)
        return common_out_of_memory(cli);
    int error = odezk_cluster_set_metadata(cluster, key, pair + length + 1);
    free(key);
    if (error == ODEZK_OK)
        return EXIT_DONE;
    common_fail(cli, error);
    return error == ODEZK_EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static int run_member(const struct cli *cli, const struct node *node, odezk_cluster *cluster, int signal_fd)
{
    const struct follow_options options = {.types = ODEZK_EVENT_ALL,
                                           .node = odezk_cluster_node_id(cluster),
                                           .connect_timeout_ms = -1,
                                           .signal_fd = signal_fd};

    for (int i = 0; i < node->metadata_count; i++) {
        int exit_code = set_metadata(cli, cluster, node->metadata[i]);
        if (exit_code != EXIT_DONE)
            return exit_code;
    }
    return follow(cli, cluster, &options);
}

static int run_node(const struct cli *cli, const struct node *node, int signal_fd)
{
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;
    int exit_code = common_config(cli, NULL, &config);

    if (exit_code == EXIT_DONE && node->id)
        exit_code = common_set(cli, config, "node-id", node->id);
    if (exit_code == EXIT_DONE)
        exit_code = common_cluster(cli, config, node->observer ? ODEZK_ROLE_OBSERVER : ODEZK_ROLE_MEMBER, &cluster);
    if (exit_code == EXIT_DONE)
        exit_code = run_member(cli, node, cluster, signal_fd);
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return exit_code;
}

static int run(struct cli *cli)
{
    struct node node = {0};

    if (!parse(cli, &node))
        return cli->exit_code;
    int signal_fd = loop_signal_fd();
    if (signal_fd < 0) {
        cli_error(cli, "no descriptor for signals: %s", strerror(errno));
        return EXIT_FAILED;
    }
    int exit_code = run_node(cli, &node, signal_fd);
    close(signal_fd);
    return exit_code;
}

const struct command node_command = {
    .name = "node",
    .summary = "be a member of the cluster",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
