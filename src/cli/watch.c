/* odezk watch: prints what happens in a cluster, without being in it. */
#include "commands.h"
#include "common.h"
#include "follow.h"
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: odezk watch [common options]\n"
                           "\n"
                           "Prints the members and the master, then every change, until SIGTERM or SIGINT.\n";

static const struct option own[] = {{0}};

static int watch(const struct cli *cli, int signal_fd)
{
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;
    int exit_code = common_client(cli, &config, &cluster);

    if (exit_code == EXIT_DONE) {
        const struct follow_options options = {
            .types = ODEZK_EVENT_SESSION | ODEZK_EVENT_MEMBER | ODEZK_EVENT_MASTER | ODEZK_EVENT_REFUSED,
            .connect_timeout_ms = (int)odezk_config_number(config, "connect-timeout"),
            .signal_fd = signal_fd};
        exit_code = follow(cli, cluster, &options);
    }
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return exit_code;
}

static int run(struct cli *cli)
{
    if (cli_next(cli, own) != CLI_END)
        return cli->exit_code;
    if (optind < cli->argc)
        return cli_usage(cli, "no operands are allowed: '%s'", cli->argv[optind]);
    int signal_fd = loop_signal_fd();
    if (signal_fd < 0) {
        cli_error(cli, "no descriptor for signals: %s", strerror(errno));
        return EXIT_FAILED;
    }
    int exit_code = watch(cli, signal_fd);
    close(signal_fd);
    return exit_code;
}

const struct command watch_command = {
    .name = "watch",
    .summary = "print what happens in the cluster",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
