/* Settings: ode-cluster.xml, ode-axis2.properties, defaults, and what a program sets itself. */
#ifndef ODEZK_CONFIG_H
#define ODEZK_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A complete, valid set of settings. Not thread-safe: one thread at a time may use it. */
typedef struct odezk_config odezk_config;

/** One error in a configuration. The strings belong to the odezk_problems that holds it. */
typedef struct odezk_problem {
    const char *file;    /**< the file as it was opened; "" when the error is in no file */
    int line;            /**< 1-based; 0 when the error has no line */
    const char *message; /**< what was found, what is allowed */
    const char *text;    /**< "file:line: message", ready to print */
} odezk_problem;

/** All the errors of one load. */
typedef struct odezk_problems odezk_problems;

/** The description of a setting. All strings are constant. */
typedef struct odezk_setting {
    const char *name;          /**< "session-timeout": the XML element and the end of the property's key */
    const char *type;          /**< "string", "integer", "milliseconds", "boolean", "choice" */
    const char *default_value; /**< in text form */
    const char *allowed;       /**< what values are allowed, for people */
    const char *description;   /**< one or two sentences, for people */
    int secret;                /**< nonzero: its value is masked wherever it is shown */
} odezk_setting;

/**
 * Makes a configuration that holds the defaults.
 *
 * @param out set to a new configuration, to be freed with odezk_config_free(); untouched on failure
 * @return ODEZK_OK; ODEZK_EINVAL (out is NULL); ODEZK_ENOMEM
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
int odezk_config_new(odezk_config **out);

/**
 * Reads a configuration directory: ode-cluster.xml, then ode-axis2.properties (or, if that is
 * absent, ode-jbi.properties) overriding it. A file that does not exist is not an error.
 *
 * @param dir      the directory; NULL or a directory with neither file gives the defaults, one that does not exist
 *                 is an error
 * @param out      set to a new configuration, to be freed with odezk_config_free(); untouched on failure
 * @param problems may be NULL; on ODEZK_ECONFIG set to all errors found, to be freed with
 *                 odezk_problems_free(); untouched otherwise
 * @return ODEZK_OK; ODEZK_ECONFIG (at least one error; nothing is applied); ODEZK_EINVAL (out is
 *         NULL); ODEZK_ENOMEM
 *
 * Any thread, also inside a callback; reads local files, never the network. Since 0.1.
 */
int odezk_config_load(const char *dir, odezk_config **out, odezk_problems **problems);

/**
 * Sets one setting, as a command line or an embedding program does. The value is checked.
 *
 * @param config the configuration
 * @param name   a setting's name
 * @param value  its text form; NULL sets it back to the default
 * @param source where it comes from, for odezk_config_source(); NULL means "program"
 * @return ODEZK_OK; ODEZK_ENOTFOUND (no such setting); ODEZK_ECONFIG (a value that is not allowed,
 *         odezk_last_error() says what is); ODEZK_EINVAL; ODEZK_ENOMEM. On failure nothing changes.
 *
 * Any thread (one at a time per configuration), also inside a callback; never blocks. Since 0.1.
 */
int odezk_config_set(odezk_config *config, const char *name, const char *value, const char *source);

/**
 * A setting's value as text. A setting that is "auto" by default reads "auto".
 *
 * @return a string owned by the configuration until that setting changes; NULL if there is no such
 *         setting. Secrets are not masked: print odezk_config_masked() instead.
 *
 * Any thread (one at a time per configuration), also inside a callback; never blocks. Since 0.1.
 */
const char *odezk_config_get(const odezk_config *config, const char *name);

/** Like odezk_config_get(), but a secret that is set reads "********". Since 0.1. */
const char *odezk_config_masked(const odezk_config *config, const char *name);

/**
 * Where a setting's value comes from: "file:line", "default", or what was given to odezk_config_set().
 *
 * @return a string owned by the configuration until that setting changes; NULL if there is no such setting
 *
 * Any thread (one at a time per configuration), also inside a callback; never blocks. Since 0.1.
 */
const char *odezk_config_source(const odezk_config *config, const char *name);

/**
 * A number setting's value; for a setting that is "auto", -1.
 *
 * @return the value in the setting's unit (times: milliseconds; booleans: 0 or 1); -1 also if there
 *         is no such number setting
 *
 * Any thread (one at a time per configuration), also inside a callback; never blocks. Since 0.1.
 */
int64_t odezk_config_number(const odezk_config *config, const char *name);

/** An independent copy in `out` (untouched on failure). ODEZK_OK, ODEZK_EINVAL or ODEZK_ENOMEM. Since 0.1. */
int odezk_config_copy(const odezk_config *config, odezk_config **out);

/** Frees a configuration. NULL does nothing. Since 0.1. */
void odezk_config_free(odezk_config *config);

/** How many errors there are; 0 for NULL. Since 0.1. */
size_t odezk_problems_count(const odezk_problems *problems);

/** The error number `index` (from 0, in the order of the files' lines), NULL past the end. Since 0.1. */
const odezk_problem *odezk_problems_at(const odezk_problems *problems, size_t index);

/** Frees a list of errors. NULL does nothing. Since 0.1. */
void odezk_problems_free(odezk_problems *problems);

/**
 * All settings, in the order in which they are documented.
 *
 * @param count set to their number
 * @return a constant array
 *
 * Any thread, also inside a callback; never blocks. Since 0.1.
 */
const odezk_setting *odezk_settings(size_t *count);

#ifdef __cplusplus
}
#endif

#endif
