/* The table of settings, made from settings.def. It depends on nothing else, because the generator uses it too. */
#ifndef OZ_SETTINGS_H
#define OZ_SETTINGS_H

#include <odezk/config.h>
#include <stdbool.h>

enum oz_kind {
    OZ_KIND_SERVERS,
    OZ_KIND_PATH, /* of a znode */
    OZ_KIND_NAME,
    OZ_KIND_MILLISECONDS,
    OZ_KIND_INTEGER,
    OZ_KIND_BOOLEAN,
    OZ_KIND_CHOICE,
    OZ_KIND_AUTH,
    OZ_KIND_FILE
};

enum oz_setting_id {
#define SETTING(id, name, kind, value, min, max, extra, secret, allowed, description) OZ_##id,
#include "config/settings.def"
#undef SETTING
    OZ_SETTING_COUNT
};

/* What the public table does not contain. */
struct oz_rule {
    enum oz_kind kind;
    int64_t min, max;
    const char *extra;
};

/* The value of a setting that is determined at run time. Only settings with this default allow it. */
#define OZ_AUTO "auto"

extern const odezk_setting oz_settings[OZ_SETTING_COUNT];
extern const struct oz_rule oz_rules[OZ_SETTING_COUNT];

bool oz_setting_has_auto(enum oz_setting_id id);
bool oz_setting_is_number(enum oz_setting_id id);

/* The setting of this name; OZ_SETTING_COUNT when there is none. */
enum oz_setting_id oz_setting_find(const char *name);

#endif
