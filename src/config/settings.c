#include "config/settings.h"

#include <string.h>

/* What odezk_setting.type says for each kind. */
#define TYPE_SERVERS "string"
#define TYPE_PATH "string"
#define TYPE_NAME "string"
#define TYPE_MILLISECONDS "milliseconds"
#define TYPE_INTEGER "integer"
#define TYPE_BOOLEAN "boolean"
#define TYPE_CHOICE "choice"
#define TYPE_AUTH "string"
#define TYPE_FILE "string"

const odezk_setting oz_settings[OZ_SETTING_COUNT] = {
#define SETTING(id, name, kind, value, min, max, extra, secret, allowed, description)                                  \
    {name, TYPE_##kind, value, allowed, description, secret},
#include "config/settings.def"
#undef SETTING
};

const struct oz_rule oz_rules[OZ_SETTING_COUNT] = {
#define SETTING(id, name, kind, value, min, max, extra, secret, allowed, description) {OZ_KIND_##kind, min, max, extra},
#include "config/settings.def"
#undef SETTING
};

bool oz_setting_has_auto(enum oz_setting_id id)
{
    return strcmp(oz_settings[id].default_value, OZ_AUTO) == 0;
}

bool oz_setting_is_number(enum oz_setting_id id)
{
    return oz_rules[id].kind == OZ_KIND_MILLISECONDS || oz_rules[id].kind == OZ_KIND_INTEGER;
}

enum oz_setting_id oz_setting_find(const char *name)
{
    int id;

    for (id = 0; id < OZ_SETTING_COUNT; id++)
        if (strcmp(oz_settings[id].name, name) == 0)
            break;
    return (enum oz_setting_id)id;
}

const odezk_setting *odezk_settings(size_t *count)
{
    if (count)
        *count = OZ_SETTING_COUNT;
    return oz_settings;
}
