/*
 * The reader of JDK 17, in two steps as there: physical lines are joined to a logical line, which
 * is then cut into key and value and rid of its escapes. Each character remembers its physical
 * line, for messages.
 */
#include "config/properties.h"

#include "base/list.h"
#include "base/mem.h"
#include "config/text.h"

#include <odezk/error.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct character {
    int line;
    unsigned char c; /* ISO-8859-1 */
};

struct reader {
    const char *file;
    const unsigned char *at, *end;
    int line; /* of `at` */
    odezk_problems *problems;
    struct character *chars; /* the logical line; room for all that is left of the file */
    size_t length;
};

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_newline(unsigned char c)
{
    return c == '\n' || c == '\r';
}

/* Goes past one end of line, CR LF being one. */
static void skip_newline(struct reader *r)
{
    if (*r->at++ == '\r' && r->at < r->end && *r->at == '\n')
        r->at++;
    r->line++;
}

/* Skips blanks, and ends of lines too where a new logical line may begin. */
static void skip_blanks(struct reader *r, bool newlines)
{
    while (r->at < r->end && (is_blank(*r->at) || (newlines && is_newline(*r->at)))) {
        if (is_newline(*r->at))
            skip_newline(r);
        else
            r->at++;
    }
}

static void skip_comment(struct reader *r)
{
    while (r->at < r->end && !is_newline(*r->at))
        r->at++;
}

/* Takes what is left of the physical line; true when its end is escaped. */
static bool take_line(struct reader *r)
{
    bool escaped = false;

    for (; r->at < r->end && !is_newline(*r->at); r->at++) {
        escaped = *r->at == '\\' && !escaped;
        r->chars[r->length++] = (struct character){r->line, *r->at};
    }
    return escaped;
}

/* Takes the next logical line; false when there is none. Java has its ways: where nothing but a
 * backslash stands before the end of a line, the next one may be a comment; at the end of the file
 * it is an empty key. */
static bool read_line(struct reader *r)
{
    bool joined = false, escaped, last;

    r->length = 0;
    for (;;) {
        skip_blanks(r, !joined);
        joined = false;
        if (r->at == r->end)
            return r->length > 0;
        if (r->length == 0 && (*r->at == '#' || *r->at == '!')) {
            skip_comment(r);
            continue;
        }
        escaped = take_line(r);
        if (r->length == 0)
            continue;
        r->length -= escaped;
        last = r->end - r->at <= 1;
        if (r->at < r->end)
            skip_newline(r);
        if (!escaped || last)
            return true;
        joined = true;
    }
}

/* Puts UTF-16 units together, as escapes give them. */
struct text {
    struct oz_buf b;
    uint32_t high; /* a surrogate that waits for its other half; 0: none */
};

static void put_unit(struct text *t, uint32_t unit)
{
    bool is_high = unit >= 0xd800 && unit < 0xdc00, is_low = unit >= 0xdc00 && unit < 0xe000;

    if (t->high && is_low) {
        oz_utf8_put(&t->b, 0x10000 + ((t->high - 0xd800) << 10) + (unit - 0xdc00));
        t->high = 0;
        return;
    }
    if (t->high)
        oz_utf8_put(&t->b, t->high);
    t->high = is_high ? unit : 0;
    if (!is_high)
        oz_utf8_put(&t->b, unit);
}

static char *take_text(struct text *t)
{
    if (t->high)
        oz_utf8_put(&t->b, t->high);
    return oz_buf_take(&t->b);
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at `c`; false when they are none. */
static bool read_hex(const struct character *c, size_t n, uint32_t *unit)
{
    size_t i;

    *unit = 0;
    for (i = 0; i < 4; i++) {
        if (i >= n || hex_digit(c[i].c) < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)hex_digit(c[i].c);
    }
    return true;
}

/* The text of `n` characters without their escapes; NULL when out of memory. */
static char *unescape(struct reader *r, const struct character *c, size_t n, bool *malformed)
{
    static const char letters[] = "trnf", meant[] = "\t\r\n\f";
    struct text text = {0};
    const char *letter;
    uint32_t unit;
    size_t i;

    for (i = 0; i < n; i++) {
        if (c[i].c != '\\' || i + 1 == n) {
            put_unit(&text, c[i].c);
            continue;
        }
        i++;
        letter = c[i].c ? strchr(letters, c[i].c) : NULL;
        if (c[i].c != 'u') {
            put_unit(&text, letter ? (unsigned char)meant[letter - letters] : c[i].c);
        } else if (read_hex(c + i + 1, n - i - 1, &unit)) {
            put_unit(&text, unit);
            i += 4;
        } else {
            *malformed = true;
            oz_problem(r->problems, r->file, c[i].line,
                       "found a malformed \\uXXXX, allowed: four hexadecimal digits after \\u");
        }
    }
    return take_text(&text);
}

/* Where the key ends. */
static size_t key_length(const struct character *c, size_t n)
{
    bool escaped = false;
    size_t i;

    for (i = 0; i < n; i++) {
        if (!escaped && (is_blank(c[i].c) || c[i].c == '=' || c[i].c == ':'))
            break;
        escaped = c[i].c == '\\' && !escaped;
    }
    return i;
}

/* Where the value begins: past blanks and at most one separator. */
static size_t value_start(const struct character *c, size_t i, size_t n)
{
    while (i < n && is_blank(c[i].c))
        i++;
    if (i < n && (c[i].c == '=' || c[i].c == ':'))
        i++;
    while (i < n && is_blank(c[i].c))
        i++;
    return i;
}

static void free_property(struct oz_property *p)
{
    if (!p)
        return;
    free(p->key);
    free(p->value);
    free(p);
}

static void replace_value(struct oz_property *old, struct oz_property *p)
{
    char *value = old->value;

    old->value = p->value;
    old->line = p->line;
    old->malformed = p->malformed;
    p->value = value;
    free_property(p);
}

static int put_property(struct oz_properties *out, struct oz_property *p)
{
    struct oz_map_node *node = oz_map_find(&out->index, p->key);

    if (node) {
        replace_value(oz_container(node, struct oz_property, node), p);
        return ODEZK_OK;
    }
    if (oz_map_put(&out->index, &p->node, p->key) != 0) {
        free_property(p);
        return ODEZK_ENOMEM;
    }
    *out->end = p;
    out->end = &p->next;
    return ODEZK_OK;
}

static int put_line(struct reader *r, struct oz_properties *out, int line)
{
    size_t key = key_length(r->chars, r->length);
    size_t value = value_start(r->chars, key, r->length);
    struct oz_property *p = oz_alloc(sizeof *p);

    if (!p)
        return ODEZK_ENOMEM;
    p->line = r->length > 0 ? r->chars[0].line : line;
    p->key = unescape(r, r->chars, key, &p->malformed);
    p->value = unescape(r, r->chars + value, r->length - value, &p->malformed);
    if (!p->key || !p->value) {
        free_property(p);
        return ODEZK_ENOMEM;
    }
    return put_property(out, p);
}

int oz_properties_read(const char *file, const char *text, size_t length, odezk_problems *problems,
                       struct oz_properties *out)
{
    struct reader r = {.file = file,
                       .at = (const unsigned char *)text,
                       .end = (const unsigned char *)text + length,
                       .line = 1,
                       .problems = problems};
    int rc = ODEZK_OK;

    *out = (struct oz_properties){0};
    out->end = &out->first;
    r.chars = oz_alloc((length + 1) * sizeof *r.chars);
    if (!r.chars)
        return ODEZK_ENOMEM;
    while (rc == ODEZK_OK && read_line(&r))
        rc = put_line(&r, out, r.line);
    free(r.chars);
    if (rc != ODEZK_OK)
        oz_properties_free(out);
    return rc;
}

const struct oz_property *oz_properties_find(const struct oz_properties *p, const char *key)
{
    struct oz_map_node *node = oz_map_find(&p->index, key);

    return node ? oz_container(node, struct oz_property, node) : NULL;
}

void oz_properties_free(struct oz_properties *p)
{
    struct oz_property *property = p->first, *next;

    for (; property; property = next) {
        next = property->next;
        free_property(property);
    }
    oz_map_free(&p->index);
    *p = (struct oz_properties){0};
}
