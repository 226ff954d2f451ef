/*
 * A libFuzzer target for the configuration. The first byte says what the rest is: 'x'
 * ode-cluster.xml, 'p' ode-axis2.properties, 'b' both with a NUL between them, anything else
 * NAME=VALUE for odezk_config_set().
 */
#include <odezk/config.h>
#include <odezk/error.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFUSED_BY_SCHEMA "found what ode-cluster.xsd"

static char dir[] = "/tmp/odezk-fuzz.XXXXXX";
static char xml[64], properties[64];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void clean_up(void)
{
    unlink(xml);
    unlink(properties);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (!mkdtemp(dir))
        abort();
    snprintf(xml, sizeof xml, "%s/ode-cluster.xml", dir);
    snprintf(properties, sizeof properties, "%s/ode-axis2.properties", dir);
    atexit(clean_up);
    return 0;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "w");

    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

/* Every mistake is a mistake of ours: the schema must not refuse what we take. */
static void check_problems(const odezk_problems *problems)
{
    size_t i;

    if (odezk_problems_count(problems) == 0)
        abort();
    for (i = 0; i < odezk_problems_count(problems); i++) {
        const odezk_problem *p = odezk_problems_at(problems, i);

        if (strncmp(p->message, REFUSED_BY_SCHEMA, strlen(REFUSED_BY_SCHEMA)) == 0 || strchr(p->text, '\n'))
            abort();
    }
}

/* What was loaded is what can be set again. */
static void check_config(const odezk_config *config)
{
    size_t count, i;
    const odezk_setting *settings = odezk_settings(&count);
    odezk_config *copy;

    if (odezk_config_copy(config, &copy) != ODEZK_OK)
        abort();
    for (i = 0; i < count; i++)
        if (odezk_config_set(copy, settings[i].name, odezk_config_get(config, settings[i].name), NULL) != ODEZK_OK)
            abort();
    odezk_config_free(copy);
}

static void load(void)
{
    odezk_problems *problems = NULL;
    odezk_config *config = NULL;
    int rc = odezk_config_load(dir, &config, &problems);

    if (rc == ODEZK_OK)
        check_config(config);
    else if (rc == ODEZK_ECONFIG)
        check_problems(problems);
    else
        abort();
    odezk_config_free(config);
    odezk_problems_free(problems);
}

static void set(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *value;
    odezk_config *config;

    if (!text || odezk_config_new(&config) != ODEZK_OK)
        abort();
    value = strchr(text, '=');
    if (value)
        *value++ = '\0';
    if (odezk_config_set(config, text, value, NULL) == ODEZK_OK)
        check_config(config);
    odezk_config_free(config);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *split;

    if (size == 0)
        return 0;
    unlink(xml);
    unlink(properties);
    split = *data == 'b' ? memchr(data, '\0', size) : NULL;
    if (split) {
        write_file(xml, data + 1, (size_t)(split - data) - 1);
        write_file(properties, split + 1, size - (size_t)(split - data) - 1);
    } else if (*data == 'x' || *data == 'p') {
        write_file(*data == 'x' ? xml : properties, data + 1, size - 1);
    } else {
        set(data + 1, size - 1);
        return 0;
    }
    load();
    return 0;
}
