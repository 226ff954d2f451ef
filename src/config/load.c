/* Putting a configuration together: the files of a directory, in their order, into one
 * odezk_config. */
#include "base/error.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/expand.h"
#include "config/file.h"
#include "config/problems.h"
#include "config/text.h"
#include "config/value.h"
#include "config/xml.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XML_NAME "ode-cluster.xml"
#define OURS "clustering.zookeeper."
#define CONFIG_KEY "config"
#define BIT(id) (UINT64_C(1) << (id))

static const struct dialect {
    const char *file, *prefix;
} dialects[] = {{"ode-axis2.properties", "ode-axis2."}, {"ode-jbi.properties", "ode-jbi."}};

#define DIALECTS (sizeof dialects / sizeof *dialects)

struct load {
    const char *dir; /* as it was given, which is how messages name files */
    odezk_config *config;
    odezk_problems *problems;
    char *xml_path, *properties_path; /* NULL: there is none */
    const struct dialect *dialect;    /* of the properties */
    struct oz_properties properties;
    uint64_t bad;          /* settings whose value was refused */
    size_t value_problems; /* problems that left nothing else in doubt */
    int rc;                /* ODEZK_OK, or what ended it */
};

/* What follows the prefix of our keys; NULL when the key is not ours. */
static const char *our_name(const struct dialect *dialect, const char *key)
{
    size_t n = strlen(dialect->prefix);

    if (strncmp(key, dialect->prefix, n) != 0 || strncmp(key + n, OURS, strlen(OURS)) != 0)
        return NULL;
    return key + n + strlen(OURS);
}

static bool is_secret_key(const char *key)
{
    size_t i;

    for (i = 0; i < DIALECTS; i++) {
        const char *name = our_name(&dialects[i], key);
        enum oz_setting_id id = name ? oz_setting_find(name) : OZ_SETTING_COUNT;

        if (id != OZ_SETTING_COUNT && oz_settings[id].secret)
            return true;
    }
    return false;
}

static void put(struct load *l, enum oz_setting_id id, const char *text, const struct oz_origin *origin)
{
    struct oz_buf message = {0};
    int rc = oz_config_put(l->config, id, text, origin, &message);

    if (rc == ODEZK_OK) {
        l->bad &= ~BIT(id);
    } else if (rc == ODEZK_ECONFIG) {
        l->bad |= BIT(id);
        l->value_problems++;
        oz_problem(l->problems, origin->file, origin->line, "%s", oz_buf_str(&message));
    } else {
        l->rc = rc;
    }
    oz_buf_free(&message);
}

/* Reads a file. ODEZK_OK or ODEZK_ENOTFOUND; any other code has been handled already. */
static int read_file(struct load *l, const char *path, struct oz_buf *content)
{
    char why[256];
    int rc = oz_file_read(path, content, why, sizeof why);

    if (rc == ODEZK_ECONFIG)
        oz_problem(l->problems, path, 0, "%s", why);
    else if (rc == ODEZK_ENOMEM)
        l->rc = rc;
    return rc;
}

/* Stored as an absolute path, so that a later chdir() of the program changes nothing. */
static void open_directory(struct load *l)
{
    char path[PATH_MAX];
    struct stat st;

    if (!realpath(l->dir, path) || stat(path, &st) != 0) {
        oz_problem(l->problems, l->dir, 0, "found no directory (%s), allowed: an existing directory", strerror(errno));
        l->rc = ODEZK_ECONFIG;
    } else if (!S_ISDIR(st.st_mode)) {
        oz_problem(l->problems, l->dir, 0, "found a file, allowed: a directory");
        l->rc = ODEZK_ECONFIG;
    } else {
        l->config->dir = oz_strdup(path);
        l->rc = l->config->dir ? ODEZK_OK : ODEZK_ENOMEM;
    }
}

/* Reads the first properties file that is there. */
static void read_properties(struct load *l)
{
    struct oz_buf content = {0};
    char *path = NULL;
    int rc = ODEZK_ENOTFOUND;
    size_t i;

    for (i = 0; i < DIALECTS && rc == ODEZK_ENOTFOUND; i++) {
        free(path);
        path = oz_config_path(l->dir, dialects[i].file);
        rc = path ? read_file(l, path, &content) : ODEZK_ENOMEM;
    }
    if (rc == ODEZK_OK) {
        rc = oz_properties_read(path, oz_buf_str(&content), content.len, l->problems, &l->properties);
        l->dialect = &dialects[i - 1];
        l->properties_path = path;
        path = NULL;
    }
    if (rc == ODEZK_ENOMEM)
        l->rc = rc;
    free(path);
    oz_buf_free(&content);
}

static int expand(struct load *l, const struct oz_property *p, bool *secret, char **text)
{
    struct oz_expander e = {l->properties_path, &l->properties, l->config->dir, is_secret_key, l->problems};
    int rc = oz_expand(&e, p, secret, text);

    if (rc == ODEZK_ENOMEM)
        l->rc = rc;
    return rc;
}

/* The property that names another XML file; NULL when there is none. */
static const struct oz_property *config_property(const struct load *l)
{
    const struct oz_property *p;
    const char *name;

    for (p = l->properties.first; p; p = p->next) {
        name = our_name(l->dialect, p->key);
        if (name && strcmp(name, CONFIG_KEY) == 0)
            return p;
    }
    return NULL;
}

static void refuse_config(struct load *l, int line, const char *value, bool secret)
{
    struct oz_buf b = {0};

    if (!*value)
        oz_buf_puts(&b, "no value");
    else if (secret || oz_text_looks_secret(value))
        oz_buf_puts(&b, "a value that is not shown");
    else
        oz_quote(&b, value);
    if (b.failed)
        l->rc = ODEZK_ENOMEM;
    oz_problem(l->problems, l->properties_path, line,
               CONFIG_KEY ": found %s, allowed: the name of an existing XML file", oz_buf_str(&b));
    oz_buf_free(&b);
}

/* Reads the XML file that a property names; false when it was refused. */
static bool read_named_xml(struct load *l, const struct oz_property *p, struct oz_buf *content)
{
    char *value = NULL, *name = NULL;
    bool secret = false, usable;
    int rc = ODEZK_ENOTFOUND;

    if (expand(l, p, &secret, &value) != ODEZK_OK)
        return false;
    name = oz_value_trim(value);
    free(value);
    usable = name && *name && strlen(name) < PATH_MAX && oz_text_is_plain(name);
    if (usable)
        l->xml_path = oz_config_path(l->dir, name);
    if (!name || (usable && !l->xml_path)) {
        l->rc = ODEZK_ENOMEM;
    } else {
        if (usable)
            rc = read_file(l, l->xml_path, content);
        if (rc == ODEZK_ENOTFOUND)
            refuse_config(l, p->line, name, secret);
    }
    free(name);
    return rc == ODEZK_OK;
}

static bool read_default_xml(struct load *l, struct oz_buf *content)
{
    l->xml_path = oz_config_path(l->dir, XML_NAME);
    if (!l->xml_path) {
        l->rc = ODEZK_ENOMEM;
        return false;
    }
    return read_file(l, l->xml_path, content) == ODEZK_OK;
}

static void put_xml(void *arg, enum oz_setting_id id, const char *text, int line)
{
    struct load *l = arg;
    struct oz_origin origin = {.file = l->xml_path, .line = line};

    put(l, id, text, &origin);
}

static void load_xml(struct load *l)
{
    const struct oz_property *named = config_property(l);
    struct oz_buf content = {0};
    int rc;

    if (named ? read_named_xml(l, named, &content) : read_default_xml(l, &content)) {
        rc = oz_xml_read(l->xml_path, oz_buf_str(&content), content.len, put_xml, l, l->problems);
        if (rc != ODEZK_OK)
            l->rc = rc;
    }
    oz_buf_free(&content);
}

static void put_property(struct load *l, enum oz_setting_id id, const struct oz_property *p)
{
    struct oz_origin origin = {.file = l->properties_path, .line = p->line};
    char *text;

    origin.secret = oz_settings[id].secret;
    if (expand(l, p, &origin.secret, &text) == ODEZK_OK) {
        put(l, id, text, &origin);
        free(text);
    } else {
        l->bad |= BIT(id);
    }
}

static void refuse_unknown(struct load *l, const struct oz_property *p, const char *name)
{
    struct oz_buf b = {0};

    oz_unknown_setting(&b, name, CONFIG_KEY);
    if (b.failed)
        l->rc = ODEZK_ENOMEM;
    oz_problem(l->problems, l->properties_path, p->line, "%s", oz_buf_str(&b));
    oz_buf_free(&b);
}

static void apply_properties(struct load *l)
{
    const struct oz_property *p;
    const char *name;
    enum oz_setting_id id;

    for (p = l->properties.first; p && l->rc == ODEZK_OK; p = p->next) {
        name = our_name(l->dialect, p->key);
        if (!name || strcmp(name, CONFIG_KEY) == 0)
            continue;
        id = oz_setting_find(name);
        if (id != OZ_SETTING_COUNT)
            put_property(l, id, p);
        else
            refuse_unknown(l, p, name);
    }
}

static void tell_misfit(void *arg, enum oz_setting_id id, const char *message)
{
    struct load *l = arg;
    const struct oz_value *v = &l->config->values[id];

    oz_problem(l->problems, v->file, v->line, "%s", message);
}

/* After a mistake that may have hidden a setting, a default may not be what was meant: it is not blamed for a misfit.
 */
static void check_fit(struct load *l)
{
    uint64_t unknown = l->bad;
    int id;

    if (l->problems->count > l->value_problems)
        for (id = 0; id < OZ_SETTING_COUNT; id++)
            unknown |= l->config->values[id].text ? 0 : BIT(id);
    oz_config_fit(l->config, unknown, tell_misfit, l);
}

/* NULL when it is a regular file that may be read or, a program, run. */
static const char *fault_of_file(const char *path, int mode)
{
    struct stat st;

    if (stat(path, &st) != 0 || (S_ISREG(st.st_mode) && access(path, mode) != 0))
        return strerror(errno);
    if (S_ISREG(st.st_mode))
        return NULL;
    return S_ISDIR(st.st_mode) ? "a directory" : "a pipe, socket or device";
}

static void check_file(struct load *l, enum oz_setting_id id)
{
    const struct oz_value *v = &l->config->values[id];
    struct oz_buf message = {0};
    const char *why;

    if (!v->text || strcmp(v->text, OZ_AUTO) == 0)
        return;
    why = fault_of_file(v->text, id == OZ_CRASH_LEAVE_HELPER ? X_OK : R_OK);
    if (why && oz_config_refuse(&message, id, v->text, v->secret, why) == ODEZK_ENOMEM)
        l->rc = ODEZK_ENOMEM;
    else if (why)
        oz_problem(l->problems, v->file, v->line, "%s", oz_buf_str(&message));
    oz_buf_free(&message);
}

/* Whoever uses the settings opens these, and should not be the first to find out that it cannot. */
static void check_named_files(struct load *l)
{
    enum oz_setting_id id;

    for (id = 0; id < OZ_SETTING_COUNT; id++)
        if (oz_rules[id].kind == OZ_KIND_FILE && !(l->bad & BIT(id)))
            check_file(l, id);
}

static void load_files(struct load *l)
{
    open_directory(l);
    if (l->rc != ODEZK_OK)
        return;
    read_properties(l);
    if (l->rc == ODEZK_OK)
        load_xml(l);
    if (l->rc == ODEZK_OK)
        apply_properties(l);
    if (l->rc == ODEZK_OK)
        check_fit(l);
    if (l->rc == ODEZK_OK)
        check_named_files(l);
    oz_problems_sort(l->problems, l->xml_path);
}

static int finish(struct load *l)
{
    const odezk_problem *first = odezk_problems_at(l->problems, 0);
    size_t more = l->problems->count > 1 ? l->problems->count - 1 : 0;

    if (l->rc == ODEZK_ENOMEM || l->problems->failed)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    if (!first)
        return ODEZK_OK;
    return more ? oz_fail(ODEZK_ECONFIG, "%s (and %zu more)", first->text, more)
                : oz_fail(ODEZK_ECONFIG, "%s", first->text);
}

static int begin(struct load *l)
{
    l->problems = oz_alloc(sizeof *l->problems);
    if (!l->problems)
        return oz_fail(ODEZK_ENOMEM, "out of memory");
    return odezk_config_new(&l->config);
}

static void clear(struct load *l)
{
    oz_properties_free(&l->properties);
    free(l->xml_path);
    free(l->properties_path);
    odezk_config_free(l->config);
    odezk_problems_free(l->problems);
}

int odezk_config_load(const char *dir, odezk_config **out, odezk_problems **problems)
{
    struct load l = {.dir = dir};
    int rc;

    if (!out)
        return oz_fail(ODEZK_EINVAL, "odezk_config_load: out is NULL");
    rc = begin(&l);
    if (rc == ODEZK_OK) {
        if (dir)
            load_files(&l);
        rc = finish(&l);
    }
    if (rc == ODEZK_OK) {
        *out = l.config;
        l.config = NULL;
    } else if (rc == ODEZK_ECONFIG && problems) {
        *problems = l.problems;
        l.problems = NULL;
    }
    clear(&l);
    return rc;
}
