#include "base/log4c.h"

#include "base/error.h"

#include <errno.h>
#include <log4c.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define CATEGORIES 64 /* as many as are looked at */

static bool started;
static bool has_output; /* there is an appender */
static bool of_program; /* the program used log4c before: its settings stay */
static bool torn;       /* by a fork */
static char loaded[PATH_SIZE];

static int priority(odezk_log_level level)
{
    static const int priorities[] = {LOG4C_PRIORITY_NOTSET, LOG4C_PRIORITY_ERROR, LOG4C_PRIORITY_WARN,
                                     LOG4C_PRIORITY_INFO, LOG4C_PRIORITY_DEBUG};

    return priorities[level];
}

static int categories(log4c_category_t *list[CATEGORIES])
{
    int n = log4c_category_list(list, CATEGORIES);

    return n < 0 ? 0 : n < CATEGORIES ? n : CATEGORIES;
}

static bool has_appender(void)
{
    log4c_category_t *list[CATEGORIES];
    int i, n = categories(list);

    for (i = 0; i < n; i++)
        if (log4c_category_get_appender(list[i]))
            return true;
    return false;
}

/* A configuration file that is given replaces what log4c found by its own search. */
static void forget_found_configuration(void)
{
    log4c_category_t *list[CATEGORIES];
    int i, n = categories(list);

    for (i = 0; i < n; i++) {
        log4c_category_set_appender(list[i], NULL);
        log4c_category_set_additivity(list[i], 1);
        log4c_category_set_priority(list[i], LOG4C_PRIORITY_NOTSET);
    }
}

static int load(const char *file)
{
    if (strlen(file) >= sizeof loaded)
        return oz_fail(ODEZK_ECONFIG, "the name of the log4c file is longer than %d bytes", PATH_SIZE - 1);
    if (access(file, R_OK) != 0)
        return oz_fail(ODEZK_ECONFIG, "log4c file %s: %s", file, strerror(errno));
    if (!of_program)
        forget_found_configuration();
    if (log4c_load(file) != 0)
        return oz_fail(ODEZK_ECONFIG, "log4c file %s: not a valid log4c configuration", file);
    snprintf(loaded, sizeof loaded, "%s", file);
    return ODEZK_OK;
}

bool oz_log4c_has_file(const char *file)
{
    return strcmp(file, loaded) == 0;
}

/* Once begun, log4c stays until the process ends: 1.2.4 does not survive an init after a fini, and its fini loses what
 * its appenders hold. */
int oz_log4c_configure(const char *file)
{
    log4c_category_t *list[CATEGORIES];
    int err = ODEZK_OK;

    if (torn)
        return ODEZK_OK;
    if (!started) {
        of_program = categories(list) > 0;
        log4c_init();
        started = true;
    }
    if (file && !oz_log4c_has_file(file))
        err = load(file);
    has_output = has_appender();
    return err;
}

bool oz_log4c_write(const struct oz_line *line)
{
    if (has_output)
        log4c_category_log(log4c_category_get(line->header.category), priority(line->header.level), "%s", line->text);
    return has_output;
}

void oz_log4c_abandon(void)
{
    torn = true;
    has_output = false;
}
