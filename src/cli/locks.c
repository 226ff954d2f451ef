/* odezk locks: who holds which lock, and ending a grant in an emergency. */
#include "commands.h"
#include "common.h"
#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <odezk/lock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: odezk locks [common options] [--space NAME]\n"
    "       odezk locks release [common options] [--space NAME] --token N [--yes] KEY\n"
    "\n"
    "Prints who holds which lock since when, whether it is in use, and who waits.\n"
    "release ends the grant of a holder that does not let go; its token is in the list.\n"
    "\n"
    "  --space NAME   only the locks of this space; release: the key's space (default: default)\n"
    "  --token N      release: the fencing token of the grant to end\n"
    "  --yes          release: do not ask\n";

static const struct option own[] = {{"space", required_argument, NULL, 's'},
                                    {"token", required_argument, NULL, 't'},
                                    {"yes", no_argument, NULL, 'y'},
                                    {0}};

struct locks {
    const char *space;
    int64_t token;
    bool yes;
};

static const char *use_name(odezk_lock_use use)
{
    return use == ODEZK_LOCK_BUSY ? "busy" : use == ODEZK_LOCK_STICKY ? "sticky" : "unknown";
}

/* ---- the list ---- */

static json_t *waiters_value(const odezk_lock_info *lock)
{
    json_t *waiters = json_array();

    for (size_t i = 0; i < lock->waiter_count; i++) {
        const odezk_lock_waiter *waiter = &lock->waiters[i];
        json_array_append_new(waiters, json_pack("{s:o, s:o, s:I, s:o}", "node",
                                                 *waiter->node ? output_string(waiter->node) : json_null(), "host",
                                                 output_string(waiter->host), "pid", (json_int_t)waiter->pid, "since",
                                                 output_time_value(waiter->since_ms)));
    }
    return waiters;
}

static json_t *holder_value(const odezk_lock_info *lock)
{
    if (lock->token == 0)
        return json_null();
    return json_pack("{s:o, s:o, s:I, s:o, s:I, s:s}", "node", *lock->node ? output_string(lock->node) : json_null(),
                     "host", output_string(lock->host), "pid", (json_int_t)lock->pid, "since",
                     output_time_value(lock->since_ms), "token", (json_int_t)lock->token, "use", use_name(lock->use));
}

static bool print_json(const odezk_lock_list *list)
{
    json_t *locks = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const odezk_lock_info *lock = &list->locks[i];
        json_array_append_new(locks, json_pack("{s:o, s:o, s:o, s:o}", "space", output_string(lock->space), "key",
                                               output_string(lock->key), "holder", holder_value(lock), "waiters",
                                               waiters_value(lock)));
    }
    return output_json(json_pack("{s:o}", "locks", locks));
}

/* A node's id, or for a client its host and pid. */
static void print_who(const char *node, const char *host, int64_t pid)
{
    output_text(stdout, *node ? node : host);
    if (!*node)
        printf(":%" PRId64, pid);
}

static void print_lock(const odezk_lock_info *lock)
{
    char since[OUTPUT_TIME_SIZE];

    output_text(stdout, lock->space);
    putchar('/');
    output_text(stdout, lock->key);
    if (lock->token != 0) {
        output_time(lock->since_ms, since);
        fputs("  held by ", stdout);
        print_who(lock->node, lock->host, lock->pid);
        printf(" since %s, %s, token %" PRId64, since, use_name(lock->use), lock->token);
    } else {
        fputs("  held by nobody", stdout);
    }
    for (size_t i = 0; i < lock->waiter_count; i++) {
        fputs(i == 0 ? ", waiting: " : ", ", stdout);
        print_who(lock->waiters[i].node, lock->waiters[i].host, lock->waiters[i].pid);
    }
    putchar('\n');
}

static int print(const struct cli *cli, const odezk_lock_list *list)
{
    if (cli->json)
        return print_json(list) ? EXIT_DONE : common_out_of_memory(cli);
    if (list->count == 0)
        puts("no locks");
    for (size_t i = 0; i < list->count; i++)
        print_lock(&list->locks[i]);
    return EXIT_DONE;
}

static int show(const struct cli *cli, const odezk_config *config, odezk_cluster *cluster, const struct locks *locks)
{
    odezk_lock_list *list = NULL;
    int exit_code = locks->space ? common_check_lock(cli, cluster, locks->space, "any") : EXIT_DONE;

    if (exit_code != EXIT_DONE)
        return exit_code;
    int error = odezk_cluster_join(cluster, (int)odezk_config_number(config, "connect-timeout"));

    if (error == ODEZK_OK)
        error =
            odezk_lock_list_read(cluster, locks->space, (int)odezk_config_number(config, "operation-timeout"), &list);
    exit_code = error == ODEZK_OK ? print(cli, list) : common_fail(cli, error);
    odezk_lock_list_free(list);
    return exit_code;
}

/* ---- release ---- */

static bool confirmed(const struct locks *locks, const char *space, const char *key)
{
    char answer[16];

    if (locks->yes)
        return true;
    fprintf(stderr, "End the grant of %s/%s with token %" PRId64 "? Its holder may still be at work. [y/N] ", space,
            key, locks->token);
    return fgets(answer, sizeof answer, stdin) && (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0);
}

static int release(const struct cli *cli, const odezk_config *config, odezk_cluster *cluster, const struct locks *locks,
                   const char *key)
{
    const char *space = locks->space ? locks->space : "default";
    int error;

    int exit_code = common_check_lock(cli, cluster, space, key);

    if (exit_code != EXIT_DONE)
        return exit_code;
    if (!confirmed(locks, space, key)) {
        cli_error(cli, "nothing was done");
        return EXIT_FAILED;
    }
    error = odezk_cluster_join(cluster, (int)odezk_config_number(config, "connect-timeout"));
    if (error == ODEZK_OK)
        error = odezk_lock_end(
            cluster, space, key, locks->token,
            (int)(odezk_config_number(config, "session-timeout") + odezk_config_number(config, "operation-timeout")));
    if (error != ODEZK_OK)
        return common_fail(cli, error);
    if (cli->json)
        return output_json(json_pack("{s:o, s:o, s:I}", "space", output_string(space), "key", output_string(key),
                                     "token", (json_int_t)locks->token))
                   ? EXIT_DONE
                   : common_out_of_memory(cli);
    output_text(stdout, key);
    puts(" is released");
    return EXIT_DONE;
}

/* ---- the command ---- */

static bool read_token(struct cli *cli, const char *text, int64_t *token)
{
    char *end;

    errno = 0;
    *token = strtoll(text, &end, 10);
    if (errno == 0 && *text && !*end && *token > 0)
        return true;
    cli->exit_code = cli_usage(cli, "--token: '%s' is not a token; a positive number is allowed", text);
    return false;
}

static bool read_options(struct cli *cli, struct locks *locks)
{
    for (int opt; (opt = cli_next(cli, own)) != CLI_END;) {
        switch (opt) {
        case 's':
            locks->space = optarg;
            break;
        case 't':
            if (!read_token(cli, optarg, &locks->token))
                return false;
            break;
        case 'y':
            locks->yes = true;
            break;
        default:
            return false;
        }
    }
    return true;
}

static int run(struct cli *cli)
{
    struct locks locks = {0};
    odezk_config *config = NULL;
    odezk_cluster *cluster = NULL;

    if (!read_options(cli, &locks))
        return cli->exit_code;
    char **operands = cli->argv + optind;
    int count = cli->argc - optind;
    bool releasing = count > 0 && strcmp(operands[0], "release") == 0;
    if (!releasing && count > 0)
        return cli_usage(cli, "'%s' is unknown; release is allowed", operands[0]);
    if (releasing && (count != 2 || locks.token == 0))
        return cli_usage(cli, "release needs --token N and exactly one key");

    int exit_code = common_client(cli, &config, &cluster);
    if (exit_code == EXIT_DONE)
        exit_code = releasing ? release(cli, config, cluster, &locks, operands[1]) : show(cli, config, cluster, &locks);
    odezk_cluster_free(cluster);
    odezk_config_free(config);
    return exit_code;
}

const struct command locks_command = {
    .name = "locks",
    .summary = "who holds which lock, and who waits",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
