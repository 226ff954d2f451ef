#include "config/value.h"

#include "base/mem.h"
#include "config/servers.h"
#include "config/text.h"
#include "config/zpath.h"

#include <odezk/error.h>
#include <stdio.h>
#include <string.h>

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define BLANKS " \t\r\n\f"

char *oz_value_trim(const char *text)
{
    size_t n;

    text += strspn(text, BLANKS);
    for (n = strlen(text); n > 0 && strchr(BLANKS, text[n - 1]); n--)
        ;
    return oz_strndup(text, n);
}

static int wrong(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return ODEZK_ECONFIG;
}

static int check_servers(const char *text, char *why, size_t size)
{
    struct oz_servers servers;
    int rc = oz_servers_parse(text, &servers, why, size);

    if (rc == ODEZK_OK)
        oz_servers_free(&servers);
    return rc;
}

static int check_name(const struct oz_rule *rule, const char *text)
{
    const char *p;

    for (p = text; *p; p++)
        if (!strchr(LETTERS_AND_DIGITS, *p) && !strchr(rule->extra, *p))
            return ODEZK_ECONFIG;
    return strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ? ODEZK_ECONFIG : ODEZK_OK;
}

static int check_number(const struct oz_rule *rule, const char *text, int64_t *number)
{
    const char *p = text + strspn(text, "0");
    int64_t value = 0;

    if (strlen(p) > 18)
        return ODEZK_ECONFIG;
    for (; *p; p++) {
        if (*p < '0' || *p > '9')
            return ODEZK_ECONFIG;
        value = 10 * value + (*p - '0');
    }
    if (value < rule->min || value > rule->max)
        return ODEZK_ECONFIG;
    *number = value;
    return ODEZK_OK;
}

/* The number of a choice is its place in the list, which makes a boolean 0 or 1. */
static int check_choice(const struct oz_rule *rule, const char *text, int64_t *number)
{
    const char *p = rule->extra;
    size_t n, length = strlen(text);
    int64_t place;

    for (place = 0;; place++, p += n + 1) {
        n = strcspn(p, "|");
        if (n == length && strncmp(p, text, n) == 0)
            break;
        if (!p[n])
            return ODEZK_ECONFIG;
    }
    *number = place;
    return ODEZK_OK;
}

static int check_auth(const char *text, char *why, size_t size)
{
    size_t user;

    if (strncmp(text, "digest:", 7) != 0)
        return wrong(why, size, "it does not begin with digest:");
    text += 7;
    user = strcspn(text, ":");
    if (user == 0)
        return wrong(why, size, "there is no user after digest:");
    if (!text[user] || !text[user + 1])
        return wrong(why, size, "there is no password after the user");
    return ODEZK_OK;
}

static bool is_too_long(const struct oz_rule *rule, const char *text)
{
    return rule->max > 0 && strlen(text) > (size_t)rule->max;
}

static int check_text(const struct oz_rule *rule, const char *text, char *why, size_t size)
{
    if (is_too_long(rule, text)) {
        snprintf(why, size, "it has more than %lld bytes", (long long)rule->max);
        return ODEZK_ECONFIG;
    }
    if (!oz_text_is_plain(text))
        return wrong(why, size, "a character that no value may have");
    if (rule->kind == OZ_KIND_SERVERS)
        return check_servers(text, why, size);
    if (rule->kind == OZ_KIND_PATH)
        return oz_zpath_check(text, why, size) ? ODEZK_OK : ODEZK_ECONFIG;
    if (rule->kind == OZ_KIND_NAME)
        return check_name(rule, text);
    if (rule->kind == OZ_KIND_AUTH)
        return check_auth(text, why, size);
    return ODEZK_OK;
}

int oz_value_check(enum oz_setting_id id, const char *text, int64_t *number, char *why, size_t size)
{
    const struct oz_rule *rule = &oz_rules[id];

    *why = '\0';
    *number = OZ_NO_NUMBER;
    if (strcmp(text, oz_settings[id].default_value) == 0 && oz_setting_has_auto(id))
        return ODEZK_OK;
    if (!*text)
        return *oz_settings[id].default_value ? ODEZK_ECONFIG : ODEZK_OK;
    switch (rule->kind) {
    case OZ_KIND_MILLISECONDS:
    case OZ_KIND_INTEGER:
        return check_number(rule, text, number);
    case OZ_KIND_BOOLEAN:
    case OZ_KIND_CHOICE:
        return check_choice(rule, text, number);
    default:
        return check_text(rule, text, why, size);
    }
}
