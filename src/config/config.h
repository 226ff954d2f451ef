/* The inside of an odezk_config, and how values get into it. */
#ifndef OZ_CONFIG_H
#define OZ_CONFIG_H

#include "base/buf.h"
#include "config/settings.h"

struct oz_value {
    char *text; /* NULL: the default, and nothing else here counts */
    char *file; /* NULL when it comes from no file */
    int line;
    char *source; /* what odezk_config_source() says */
    int64_t number;
    bool secret; /* the value contains a secret, although the setting is not one */
};

struct odezk_config {
    char *dir; /* where it was loaded from, absolute; NULL when from nowhere */
    struct oz_value values[OZ_SETTING_COUNT];
};

/* Where a value comes from: a line of a file, or (file is NULL) what `source` says. */
struct oz_origin {
    const char *file;
    int line;
    const char *source;
    bool secret; /* a secret was expanded into the value */
};

/* Sets a value; there is no other way. ODEZK_OK; ODEZK_ECONFIG: `message` tells what was found and what is allowed;
 * ODEZK_ENOMEM. On failure the configuration is unchanged. */
int oz_config_put(odezk_config *config, enum oz_setting_id id, const char *text, const struct oz_origin *origin,
                  struct oz_buf *message);

/* Adds the sentence that refuses a value; `why` is "" or what is wrong with it, and quotes nothing of it. ODEZK_ECONFIG
 * or ODEZK_ENOMEM. */
int oz_config_refuse(struct oz_buf *message, enum oz_setting_id id, const char *text, bool secret, const char *why);

/* The index, from 0, of the value of a CHOICE in its list in settings.def. */
int oz_config_choice(const odezk_config *config, enum oz_setting_id id);

/* "auto" is the session timeout divided by this; so is the least margin. */
#define OZ_LEASE_MARGIN_PART 40
#define OZ_LEASE_LAG_PART 4
#define OZ_LEASE_WRITE_PART 6

/* Called for a setting that does not fit the others. */
typedef void (*oz_misfit_cb)(void *arg, enum oz_setting_id id, const char *message);

/* Checks whether the settings fit each other. Settings whose bit (1 << id) is in `unknown` have no usable value and are
 * left out. */
void oz_config_fit(const odezk_config *config, uint64_t unknown, oz_misfit_cb misfit, void *arg);

/* The same before a configuration is used: ODEZK_OK, or ODEZK_ECONFIG and odezk_last_error(). */
int oz_config_check(const odezk_config *config);

/* DIR/NAME, or NAME alone when it is absolute; NULL when out of memory. */
char *oz_config_path(const char *dir, const char *name);

#endif
