/* odezk status: who is in the cluster, and who is master. */
#include "commands.h"
#include "common.h"
#include "output.h"

#include <inttypes.h>
#include <odezk/member.h>
#include <stdio.h>
#include <string.h>

static const char help[] = "usage: odezk status [common options]\n"
                           "\n"
                           "Prints the live nodes and the master, read from the servers.\n";

static const struct option own[] = {{0}};

static json_t *metadata_value(const odezk_member *member)
{
    json_t *metadata = json_object();

    for (size_t i = 0; i < member->metadata_count; i++)
        json_object_set_new(metadata, member->metadata[i].key, output_string(member->metadata[i].value));
    return metadata;
}

static json_t *member_value(const odezk_member *member)
{
    return json_pack("{s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:b, s:o}", "id", output_string(member->id), "incarnation",
                     (json_int_t)member->incarnation, "since", output_time_value(member->since_ms), "host",
                     output_string(member->host), "pid", (json_int_t)member->pid, "version",
                     output_string(member->version), "started",
                     member->started_ms != 0 ? output_time_value(member->started_ms) : json_null(), "observer",
                     member->observer, "metadata", metadata_value(member));
}

static json_t *master_value(const odezk_status *status)
{
    if (!status->master)
        return json_null();
    return json_pack("{s:o, s:I, s:I}", "id", output_string(status->master->id), "incarnation",
                     (json_int_t)status->master->incarnation, "epoch", (json_int_t)status->master_epoch);
}

static bool print_json(const odezk_status *status)
{
    json_t *members = json_array();

    for (size_t i = 0; i < status->member_count; i++)
        json_array_append_new(members, member_value(&status->members[i]));
    return output_json(json_pack("{s:o, s:o, s:o}", "cluster", output_string(status->cluster), "master",
                                 master_value(status), "members", members));
}

/* Characters, not bytes: continuation bytes take no column. */
static int width(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void print_cell(const char *text, int columns)
{
    output_text(stdout, text);
    printf("%*s", columns - width(text) + 2, "");
}

static void print_member(const odezk_status *status, const odezk_member *member, int id_columns, int host_columns)
{
    char since[OUTPUT_TIME_SIZE];
    const char *role = member == status->master ? "master" : "member";

    output_time(member->since_ms, since);
    print_cell(member->id, id_columns);
    print_cell(member->observer ? "observer" : role, 8);
    print_cell(since, 24);
    print_cell(member->host, host_columns);
    print_cell(member->version, 8);
    printf("%-8" PRId64 "  %-11" PRId64, member->pid, member->incarnation);
    for (size_t i = 0; i < member->metadata_count; i++) {
        printf("  %s=", member->metadata[i].key);
        output_text(stdout, member->metadata[i].value);
    }
    putchar('\n');
}

static void print_table(const odezk_status *status)
{
    int id_columns = 2, host_columns = 4;

    printf("cluster ");
    output_text(stdout, status->cluster);
    if (status->master) {
        printf(", master ");
        output_text(stdout, status->master->id);
        printf(" (epoch %" PRId64 ")\n", status->master_epoch);
    } else {
        puts(", no master");
    }
    if (status->member_count == 0) {
        puts("no members");
        return;
    }
    for (size_t i = 0; i < status->member_count; i++) {
        const odezk_member *member = &status->members[i];
        if (width(member->id) > id_columns)
            id_columns = width(member->id);
        if (width(member->host) > host_columns)
            host_columns = width(member->host);
    }
    printf("%-*s  %-8s  %-24s  %-*s  %-8s  %-8s  %-11s  %s\n", id_columns, "ID", "ROLE", "SINCE", host_columns, "HOST",
           "VERSION", "PID", "INCARNATION", "METADATA");
    for (size_t i = 0; i < status->member_count; i++)
        print_member(status, &status->members[i], id_columns, host_columns);
}

static int print(const struct cli *cli, const odezk_status *status)
{
    if (cli->json && !print_json(status))
        return common_out_of_memory(cli);
    if (!cli->json)
        print_table(status);
    return EXIT_DONE;
}

static int run(struct cli *cli)
{
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;
    odezk_status *status = NULL;

    if (cli_next(cli, own) != CLI_END)
        return cli->exit_code;
    if (optind < cli->argc)
        return cli_usage(cli, "no operands are allowed: '%s'", cli->argv[optind]);

    int exit_code = common_client(cli, &config, &cluster);
    if (exit_code == EXIT_DONE) {
        int timeout = (int)odezk_config_number(config, "connect-timeout");
        int error = odezk_cluster_status(cluster, timeout, &status);
        exit_code = error == ODEZK_OK ? print(cli, status) : common_fail(cli, error);
    }
    odezk_status_free(status);
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return exit_code;
}

const struct command status_command = {
    .name = "status",
    .summary = "the live nodes and the master",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
