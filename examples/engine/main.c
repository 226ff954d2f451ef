/* The reference engine: a scheduler as Apache ODE has one, on a cluster of nodes. See
 * doc/engine.md. */
#include "engine.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: engine node   --db FILE --id ID [--servers HOST:PORT,...] [--config DIR] [--cluster "
    "NAME]\n"
    "                     [--session-timeout MS] [--workers N]\n"
    "       engine submit --db FILE --jobs N --nodes ID,... [--instances N] [--spread MS] [--work "
    "MS]\n"
    "       engine verify --db FILE [--wait MS]\n"
    "       engine status --db FILE\n"
    "\n"
    "node    runs the jobs of the table FILE that are this node's, until SIGTERM\n"
    "submit  writes jobs into the table, evenly over the nodes, their times spread over --spread,\n"
    "        each working for --work milliseconds, on one of --instances instances (0: on none)\n"
    "verify  waits until no job is left, and tells whether each was run exactly once\n"
    "status  shows what waits and what was run, by node\n";

static const struct command {
    const char *name;
    int (*run)(const struct options *o);
} commands[] = {
    {"node", node_command},
    {"submit", submit_command},
    {"verify", verify_command},
    {"status", status_command},
};

static const struct {
    const char *name;
    size_t offset;
    long min, max; /* both 0: a text */
} settings[] = {
    {"db", offsetof(struct options, db), 0, 0},
    {"id", offsetof(struct options, id), 0, 0},
    {"config", offsetof(struct options, config), 0, 0},
    {"servers", offsetof(struct options, servers), 0, 0},
    {"cluster", offsetof(struct options, cluster), 0, 0},
    {"session-timeout", offsetof(struct options, session_timeout), 0, 0},
    {"nodes", offsetof(struct options, nodes), 0, 0},
    {"workers", offsetof(struct options, workers), 1, 256},
    {"jobs", offsetof(struct options, jobs), 1, 10000000},
    {"instances", offsetof(struct options, instances), 0, 10000000},
    {"spread", offsetof(struct options, spread_ms), 0, 86400000},
    {"work", offsetof(struct options, work_ms), 0, 3600000},
    {"wait", offsetof(struct options, wait_ms), 0, 86400000},
};

#define SETTINGS (sizeof settings / sizeof settings[0])

static int misused(const char *what, const char *name)
{
    fprintf(stderr, "engine: %s%s\n%s", what, name, usage);
    return EXIT_USAGE;
}

static int apply(struct options *o, int index, const char *value)
{
    void *field = (char *)o + settings[index].offset;
    char *end;
    long number;

    if (settings[index].max == 0) {
        *(const char **)field = value;
        return EXIT_DONE;
    }
    errno = 0;
    number = strtol(value, &end, 10);
    if (errno || end == value || *end || number < settings[index].min || number > settings[index].max) {
        fprintf(stderr, "engine: --%s %s: a number from %ld to %ld is allowed\n", settings[index].name, value,
                settings[index].min, settings[index].max);
        return EXIT_USAGE;
    }
    *(long *)field = number;
    return EXIT_DONE;
}

static int parse(int argc, char **argv, struct options *o)
{
    struct option options[SETTINGS + 2] = {0};
    size_t i;
    int index;

    for (i = 0; i < SETTINGS; i++)
        options[i] = (struct option){settings[i].name, required_argument, NULL, (int)i};
    options[SETTINGS] = (struct option){"help", no_argument, NULL, SETTINGS};
    while ((index = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (index == '?')
            return EXIT_USAGE;
        if (index == (int)SETTINGS) {
            fputs(usage, stdout);
            exit(EXIT_DONE);
        }
        if (apply(o, index, optarg))
            return EXIT_USAGE;
    }
    return optind < argc ? misused("unexpected argument ", argv[optind]) : EXIT_DONE;
}

/* Whether there is something before, between and after the commas. */
static bool is_list(const char *text)
{
    for (; strcspn(text, ",") > 0; text++) {
        text += strcspn(text, ",");
        if (!*text)
            return true;
    }
    return false;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct options o = {.workers = 4};

    if (parse(argc, argv, &o))
        return EXIT_USAGE;
    if (!o.db)
        return misused("--db is needed", "");
    if (command->run == node_command && !o.id && !o.config)
        return misused("--id or --config is needed", "");
    if (command->run == submit_command && (!o.nodes || o.jobs == 0))
        return misused("--nodes and --jobs are needed", "");
    if (command->run == submit_command && !is_list(o.nodes))
        return misused("--nodes needs ids separated by commas, found: ", o.nodes);
    return command->run(&o);
}

int main(int argc, char **argv)
{
    size_t i;

    if (argc < 2)
        return misused("a command is needed", "");
    if (strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    return misused("no such command: ", argv[1]);
}
