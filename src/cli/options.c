#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cli_settings[CLI_SETTING_COUNT] = {
    [CLI_SERVERS] = "servers",
    [CLI_BASE] = "base",
    [CLI_CLUSTER] = "cluster",
    [CLI_SESSION_TIMEOUT] = "session-timeout",
    [CLI_CONNECT_TIMEOUT] = "connect-timeout",
};

/* Above every character, which commands use for their own options. */
enum { OPT_CONFIG = 0x100, OPT_JSON, OPT_HELP, OPT_SETTING /* plus the enum cli_setting */ };

static const struct option others[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
};

enum { OTHER_COUNT = sizeof others / sizeof others[0], OWN_MAX = 16 };
enum { ALL_MAX = OWN_MAX + OTHER_COUNT + CLI_SETTING_COUNT + 1 };

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

/* Each message is one write: the log writes to standard error too, from a thread of its own. */
static void vtell(const struct cli *cli, bool usage, const char *format, va_list args)
{
    char *line = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&line, &size);

    if (!text) {
        fputs("odezk: out of memory\n", stderr);
        return;
    }
    fputs("odezk: ", text);
    if (cli->command)
        fprintf(text, "%s: ", cli->command->name);
    vfprintf(text, format, args);
    if (usage && cli->command)
        fprintf(text, " (see 'odezk %s --help')", cli->command->name);
    else if (usage)
        fputs(" (see 'odezk --help')", text);
    fputc('\n', text);
    if (fclose(text) == 0)
        fputs(line, stderr);
    free(line);
}

void cli_error(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(cli, false, format, args);
    va_end(args);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(cli, true, format, args);
    va_end(args);
    return EXIT_USAGE;
}

static int stop(struct cli *cli, int exit_code)
{
    cli->exit_code = exit_code;
    return CLI_STOP;
}

/* getopt_long() returns '?' for every mistake but a missing value; the wrong word is the one before optind. */
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

static void list_options(const struct option *own, struct option all[ALL_MAX])
{
    size_t count = 0;

    while (count < OWN_MAX && own[count].name) {
        all[count] = own[count];
        count++;
    }
    memcpy(all + count, others, sizeof others);
    count += OTHER_COUNT;
    for (int i = 0; i < CLI_SETTING_COUNT; i++)
        all[count++] = (struct option){cli_settings[i], required_argument, NULL, OPT_SETTING + i};
    all[count] = (struct option){0};
}

int cli_next(struct cli *cli, const struct option *own)
{
    struct option all[ALL_MAX];
    const char *order = !cli->command || cli->command->runs_command ? "+:" : ":";

    list_options(own, all);
    for (;;) {
        opterr = 0;
        optopt = 0;
        int opt = getopt_long(cli->argc, cli->argv, order, all, NULL);
        if (opt == OPT_CONFIG && !*optarg)
            return stop(cli, cli_usage(cli, "--config: found '', allowed is a directory"));
        if (opt == OPT_CONFIG)
            cli->config_dir = optarg;
        else if (opt == OPT_JSON)
            cli->json = true;
        else if (opt >= OPT_SETTING)
            cli->settings[opt - OPT_SETTING] = optarg;
        else if (opt == OPT_HELP && cli->command)
            return print_help(cli);
        else if (opt == ':' || opt == '?')
            return mistake(cli, opt);
        else
            return opt;
    }
}

bool cli_number(const struct cli *cli, const char *option, const char *text, int min, int max, int *out)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);

    if (errno != 0 || end == text || *end || value < min || value > max) {
        cli_usage(cli, "%s: found '%s', allowed is a whole number from %d to %d", option, text, min, max);
        return false;
    }
    *out = (int)value;
    return true;
}
