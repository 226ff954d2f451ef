#include "config/config.h"

#include "base/error.h"
#include "base/mem.h"
#include "config/text.h"
#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#define MASK "********"

static void clear(struct oz_value *v)
{
    free(v->text);
    free(v->file);
    free(v->source);
    *v = (struct oz_value){0};
}

int odezk_config_new(odezk_config **out)
{
    odezk_config *config;

    if (!out)
        return oz_fail(ODEZK_EINVAL, "odezk_config_new: out is NULL");
    config = oz_alloc(sizeof *config);
    if (!config)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    *out = config;
    return ODEZK_OK;
}

void odezk_config_free(odezk_config *config)
{
    size_t i;

    if (!config)
        return;
    for (i = 0; i < OZ_SETTING_COUNT; i++)
        clear(&config->values[i]);
    free(config->dir);
    free(config);
}

char *oz_config_path(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    if (*name == '/')
        return oz_strdup(name);
    return oz_format("%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}

int oz_config_refuse(struct oz_buf *message, enum oz_setting_id id, const char *text, bool secret, const char *why)
{
    const odezk_setting *s = &oz_settings[id];
    bool hidden = secret || s->secret || oz_text_looks_secret(text);

    oz_buf_printf(message, "%s: found ", s->name);
    if (!*text)
        oz_buf_puts(message, "no value");
    else if (hidden)
        oz_buf_puts(message, "a value that is not shown");
    else
        oz_quote(message, text);
    if (*why)
        oz_buf_printf(message, " (%s)", why);
    oz_buf_printf(message, ", allowed: %s", s->allowed);
    return message->failed ? ODEZK_ENOMEM : ODEZK_ECONFIG;
}

/* A relative path in a configuration file is relative to its directory, not to the program's. */
static int resolve(const odezk_config *config, enum oz_setting_id id, struct oz_value *v)
{
    char *path;

    if (oz_rules[id].kind != OZ_KIND_FILE || !v->file || !config->dir || strcmp(v->text, OZ_AUTO) == 0)
        return ODEZK_OK;
    path = oz_config_path(config->dir, v->text);
    if (!path)
        return ODEZK_ENOMEM;
    free(v->text);
    v->text = path;
    return ODEZK_OK;
}

static int describe_origin(struct oz_value *v, const struct oz_origin *origin)
{
    v->line = origin->line;
    v->secret = origin->secret;
    if (origin->file) {
        v->file = oz_strdup(origin->file);
        v->source = oz_format("%s:%d", origin->file, origin->line);
    } else {
        v->source = oz_strdup(origin->source);
    }
    return v->source && (v->file || !origin->file) ? ODEZK_OK : ODEZK_ENOMEM;
}

int oz_config_put(odezk_config *config, enum oz_setting_id id, const char *text, const struct oz_origin *origin,
                  struct oz_buf *message)
{
    struct oz_value v = {.text = oz_value_trim(text)};
    char why[160];
    int rc;

    if (!v.text)
        return ODEZK_ENOMEM;
    rc = oz_value_check(id, v.text, &v.number, why, sizeof why);
    if (rc == ODEZK_ECONFIG)
        rc = oz_config_refuse(message, id, v.text, origin->secret, why);
    if (rc == ODEZK_OK)
        rc = describe_origin(&v, origin);
    if (rc == ODEZK_OK)
        rc = resolve(config, id, &v);
    if (rc != ODEZK_OK) {
        clear(&v);
        return rc;
    }
    clear(&config->values[id]);
    config->values[id] = v;
    return ODEZK_OK;
}

int odezk_config_set(odezk_config *config, const char *name, const char *value, const char *source)
{
    struct oz_origin origin = {.source = source ? source : "program"};
    struct oz_buf message = {0};
    enum oz_setting_id id;
    int rc;

    if (!config || !name)
        return oz_fail(ODEZK_EINVAL, "odezk_config_set: config or name is NULL");
    id = oz_setting_find(name);
    if (id == OZ_SETTING_COUNT) {
        oz_quote(&message, name);
        rc = oz_fail(ODEZK_ENOTFOUND, "no such setting: %s", oz_buf_str(&message));
    } else if (!value) {
        clear(&config->values[id]);
        rc = ODEZK_OK;
    } else {
        rc = oz_config_put(config, id, value, &origin, &message);
        if (rc == ODEZK_ECONFIG)
            oz_fail(rc, "%s", oz_buf_str(&message));
        else if (rc == ODEZK_ENOMEM)
            oz_fail(rc, "out of memory");
    }
    oz_buf_free(&message);
    return rc;
}

const char *odezk_config_get(const odezk_config *config, const char *name)
{
    enum oz_setting_id id = config && name ? oz_setting_find(name) : OZ_SETTING_COUNT;

    if (id == OZ_SETTING_COUNT)
        return NULL;
    return config->values[id].text ? config->values[id].text : oz_settings[id].default_value;
}

const char *odezk_config_masked(const odezk_config *config, const char *name)
{
    const char *text = odezk_config_get(config, name);
    enum oz_setting_id id;

    if (!text)
        return NULL;
    id = oz_setting_find(name);
    return *text && (oz_settings[id].secret || config->values[id].secret) ? MASK : text;
}

const char *odezk_config_source(const odezk_config *config, const char *name)
{
    enum oz_setting_id id = config && name ? oz_setting_find(name) : OZ_SETTING_COUNT;

    if (id == OZ_SETTING_COUNT)
        return NULL;
    return config->values[id].text ? config->values[id].source : "default";
}

static bool is_numeric(enum oz_setting_id id)
{
    return oz_setting_is_number(id) || oz_rules[id].kind == OZ_KIND_BOOLEAN;
}

static int64_t number_of(const odezk_config *config, enum oz_setting_id id)
{
    int64_t number = config->values[id].number;
    char why[160];

    if (!config->values[id].text)
        oz_value_check(id, oz_settings[id].default_value, &number, why, sizeof why);
    return number;
}

int64_t odezk_config_number(const odezk_config *config, const char *name)
{
    enum oz_setting_id id = config && name ? oz_setting_find(name) : OZ_SETTING_COUNT;

    return id == OZ_SETTING_COUNT || !is_numeric(id) ? OZ_NO_NUMBER : number_of(config, id);
}

int oz_config_choice(const odezk_config *config, enum oz_setting_id id)
{
    return (int)number_of(config, id);
}

static int copy_value(struct oz_value *to, const struct oz_value *from)
{
    if (!from->text)
        return ODEZK_OK;
    *to = *from;
    to->text = oz_strdup(from->text);
    to->source = oz_strdup(from->source);
    to->file = from->file ? oz_strdup(from->file) : NULL;
    return to->text && to->source && (to->file || !from->file) ? ODEZK_OK : ODEZK_ENOMEM;
}

int odezk_config_copy(const odezk_config *config, odezk_config **out)
{
    odezk_config *copy = NULL;
    size_t i;
    int rc;

    if (!config || !out)
        return oz_fail(ODEZK_EINVAL, "odezk_config_copy: config or out is NULL");
    rc = odezk_config_new(&copy);
    if (rc != ODEZK_OK)
        return rc;
    if (config->dir) {
        copy->dir = oz_strdup(config->dir);
        rc = copy->dir ? ODEZK_OK : ODEZK_ENOMEM;
    }
    for (i = 0; i < OZ_SETTING_COUNT && rc == ODEZK_OK; i++)
        rc = copy_value(&copy->values[i], &config->values[i]);
    if (rc != ODEZK_OK) {
        odezk_config_free(copy);
        return oz_fail(rc, "out of memory");
    }
    *out = copy;
    return ODEZK_OK;
}
