#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values of the common options lie above every character that a command uses for its own. */
enum {
    OPT_CONFIG = 0x100,
    OPT_SERVERS,
    OPT_BASE,
    OPT_CLUSTER,
    OPT_SESSION_TIMEOUT,
    OPT_CONNECT_TIMEOUT,
    OPT_JSON,
    OPT_HELP
};

static const struct option common[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"servers", required_argument, NULL, OPT_SERVERS},
    {"base", required_argument, NULL, OPT_BASE},
    {"cluster", required_argument, NULL, OPT_CLUSTER},
    {"session-timeout", required_argument, NULL, OPT_SESSION_TIMEOUT},
    {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
};

enum { COMMON_COUNT = sizeof common / sizeof common[0], OWN_MAX = 16 };

const char cli_common_help[] = "\nCommon options:\n"
                               "  --config DIR           read ode-cluster.xml and ode-axis2.properties in DIR\n"
                               "                         (otherwise in $ODEZK_CONFIG, otherwise the defaults serve)\n"
                               "  --servers HOST:PORT,…  the ZooKeeper servers\n"
                               "  --base PATH            the znode below which the clusters are\n"
                               "  --cluster NAME         the cluster's name\n"
                               "  --session-timeout MS   the session timeout to ask for\n"
                               "  --connect-timeout MS   how long to wait for a server\n"
                               "  --json                 print JSON\n"
                               "  --help                 print this\n";

static void vtell(const struct cli *cli, const char *format, va_list args)
{
    fputs("odezk: ", stderr);
    if (cli->command != NULL)
        fprintf(stderr, "%s: ", cli->command->name);
    vfprintf(stderr, format, args);
}

void cli_error(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(cli, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(cli, format, args);
    va_end(args);
    if (cli->command != NULL)
        fprintf(stderr, " (see 'odezk %s --help')\n", cli->command->name);
    else
        fputs(" (see 'odezk --help')\n", stderr);
    return EXIT_USAGE;
}

static int stop(struct cli *cli, int exit_code)
{
    cli->exit_code = exit_code;
    return CLI_STOP;
}

/* getopt_long says '?' for everything but a missing value; the word at fault is the one before. */
static int mistake(struct cli *cli, int opt)
{
    const char *word = cli->argv[optind - 1];

    if (opt == ':')
        return stop(cli, cli_usage(cli, "option '%s' needs a value", word));
    if (strncmp(word, "--", 2) != 0 && optopt != 0)
        return stop(cli, cli_usage(cli, "unknown option '-%c'", optopt));
    if (optopt != 0)
        return stop(cli, cli_usage(cli, "option '%s': no value is allowed", word));
    return stop(cli, cli_usage(cli, "unknown or ambiguous option '%s'", word));
}

static int print_help(struct cli *cli)
{
    fputs(cli->command->help, stdout);
    fputs(cli->command->common, stdout);
    return stop(cli, EXIT_DONE);
}

int cli_next(struct cli *cli, const struct option *own)
{
    struct option all[COMMON_COUNT + OWN_MAX + 1] = {0};
    size_t count = 0;

    while (count < OWN_MAX && own[count].name != NULL) {
        all[count] = own[count];
        count++;
    }
    memcpy(all + count, common, sizeof common);

    const char *order = cli->command == NULL || cli->command->runs_command ? "+:" : ":";
    for (;;) {
        opterr = 0;
        optopt = 0;
        int opt = getopt_long(cli->argc, cli->argv, order, all, NULL);
        switch (opt) {
        case OPT_CONFIG:
            cli->config_dir = optarg;
            break;
        case OPT_SERVERS:
            cli->servers = optarg;
            break;
        case OPT_BASE:
            cli->base = optarg;
            break;
        case OPT_CLUSTER:
            cli->cluster = optarg;
            break;
        case OPT_SESSION_TIMEOUT:
            cli->session_timeout = optarg;
            break;
        case OPT_CONNECT_TIMEOUT:
            cli->connect_timeout = optarg;
            break;
        case OPT_JSON:
            cli->json = true;
            break;
        case OPT_HELP:
            if (cli->command == NULL)
                return opt;
            return print_help(cli);
        case ':':
        case '?':
            return mistake(cli, opt);
        default:
            return opt;
        }
    }
}

bool cli_number(const struct cli *cli, const char *option, const char *text, int min, int max, int *out)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);

    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        cli_usage(cli, "%s: found '%s', allowed is a whole number from %d to %d", option, text, min, max);
        return false;
    }
    *out = (int)value;
    return true;
}
