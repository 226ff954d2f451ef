/* odezk config: checks and shows settings. */
#include "commands.h"
#include "common.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

static const char help[] = "usage: odezk config check|show|keys [common options] [DIR]\n"
                           "\n"
                           "  check                  report all errors in the settings, or print 'ok'\n"
                           "  show                   print each setting's value and where it comes from\n"
                           "  keys                   print what settings there are\n"
                           "\n"
                           "DIR stands for --config DIR.\n";

static const struct option own[] = {{0}};

static void list_mistake(void *arg, const char *file, int line, const char *message, const char *text)
{
    (void)text;
    json_array_append_new(arg, json_pack("{s:o, s:i, s:o}", "file", output_string(file), "line", line, "message",
                                         output_string(message)));
}

/* What only shows when the settings are used, as every other command uses them: whether those of the files and of the
 * command line fit together, and whether log4c understands its file. ODEZK_OK, or odezk_last_error(). */
static int try_out(const odezk_config *config)
{
    odezk_cluster_options options = ODEZK_CLUSTER_OPTIONS_INIT;
    odezk_cluster *cluster = NULL;

    common_quiet(config);
    options.role = ODEZK_ROLE_CLIENT;
    int error = odezk_cluster_new(config, &options, &cluster);
    odezk_cluster_free(cluster);
    return error;
}

static int check_json(const struct cli *cli, const char *dir, odezk_config **config)
{
    json_t *list = json_array();
    int exit_code = common_load(cli, dir, config, list_mistake, list);
    int error = exit_code == EXIT_DONE ? try_out(*config) : ODEZK_OK;

    if (error != ODEZK_OK) {
        list_mistake(list, "", 0, odezk_last_error(), NULL);
        exit_code = common_exit_code(error);
    }
    bool printed = output_json(json_pack("{s:b, s:o}", "ok", exit_code == EXIT_DONE, "problems", list));
    return printed ? exit_code : common_out_of_memory(cli);
}

static int check_text(const struct cli *cli, const char *dir, odezk_config **config)
{
    int exit_code = common_config(cli, dir, config);
    int error = exit_code == EXIT_DONE ? try_out(*config) : ODEZK_OK;

    if (error != ODEZK_OK)
        return common_fail(cli, error);
    if (exit_code == EXIT_DONE)
        puts("ok");
    return exit_code;
}

static int check(const struct cli *cli, const char *dir)
{
    odezk_config *config = NULL;
    int exit_code = cli->json ? check_json(cli, dir, &config) : check_text(cli, dir, &config);

    odezk_config_free(config);
    return exit_code;
}

static bool is_number(const odezk_setting *setting)
{
    return strcmp(setting->type, "integer") == 0 || strcmp(setting->type, "milliseconds") == 0;
}

static json_t *value_of(const odezk_config *config, const odezk_setting *setting)
{
    const char *text = odezk_config_masked(config, setting->name);

    if (is_number(setting) && strcmp(text, "auto") != 0)
        return json_integer(odezk_config_number(config, setting->name));
    if (strcmp(setting->type, "boolean") == 0)
        return json_boolean(odezk_config_number(config, setting->name) != 0);
    return output_string(text);
}

static bool show_json(const odezk_config *config, const odezk_setting *settings, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++) {
        const char *source = odezk_config_source(config, settings[i].name);
        json_object_set_new(
            object, settings[i].name,
            json_pack("{s:o, s:o}", "value", value_of(config, &settings[i]), "source", output_string(source)));
    }
    return output_json(object);
}

static void show_table(const odezk_config *config, const odezk_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("%-20s ", settings[i].name);
        output_text(stdout, odezk_config_masked(config, settings[i].name));
        fputs("  (", stdout);
        output_text(stdout, odezk_config_source(config, settings[i].name));
        puts(")");
    }
}

static int show(const struct cli *cli, const char *dir)
{
    odezk_config *config = NULL;
    size_t count = 0;
    const odezk_setting *settings = odezk_settings(&count);
    int exit_code = common_config(cli, dir, &config);

    if (exit_code != EXIT_DONE)
        return exit_code;
    if (!cli->json)
        show_table(config, settings, count);
    else if (!show_json(config, settings, count))
        exit_code = common_out_of_memory(cli);
    odezk_config_free(config);
    return exit_code;
}

static bool keys_json(const odezk_setting *settings, size_t count)
{
    json_t *list = json_array();

    for (const odezk_setting *setting = settings; setting < settings + count; setting++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "name", setting->name, "type", setting->type,
                                        "default", setting->default_value, "allowed", setting->allowed, "description",
                                        setting->description, "secret", setting->secret != 0));
    return output_json(list);
}

static int keys(const struct cli *cli, const char *dir)
{
    size_t count = 0;
    const odezk_setting *settings = odezk_settings(&count);

    (void)dir;
    if (cli->json)
        return keys_json(settings, count) ? EXIT_DONE : common_out_of_memory(cli);
    for (const odezk_setting *setting = settings; setting < settings + count; setting++)
        printf("%s%s\n    type     %s\n    default  %s\n    allowed  %s\n    %s\n", setting == settings ? "" : "\n",
               setting->name, setting->type, *setting->default_value ? setting->default_value : "(nothing)",
               setting->allowed, setting->description);
    return EXIT_DONE;
}

static int run(struct cli *cli)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli *cli, const char *dir);
    } verbs[] = {{"check", check}, {"show", show}, {"keys", keys}};

    if (cli_next(cli, own) != CLI_END)
        return cli->exit_code;
    if (optind == cli->argc)
        return cli_usage(cli, "check, show or keys is needed");
    if (cli->argc - optind > 2)
        return cli_usage(cli, "one directory at most is allowed");
    const char *dir = cli->argv[optind + 1];
    if (dir && !*dir)
        return cli_usage(cli, "found '', allowed is a directory");
    if (dir && cli->config_dir)
        return cli_usage(cli, "--config '%s' and '%s' exclude each other", cli->config_dir, dir);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(cli->argv[optind], verbs[i].name) == 0)
            return verbs[i].run(cli, dir);
    return cli_usage(cli, "found '%s', allowed is check, show or keys", cli->argv[optind]);
}

const struct command config_command = {
    .name = "config",
    .summary = "check and show the settings",
    .help = help,
    .common = cli_common_help,
    .run = run,
};
