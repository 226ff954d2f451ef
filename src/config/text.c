#include "config/text.h"

#include "config/settings.h"

#include <ctype.h>
#include <string.h>

#define SHOWN_CHARACTERS 60
#define MAX_GUESSED 40

size_t oz_utf8_next(const char *s, uint32_t *c)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s;
    size_t more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3, i;
    uint32_t value = more == 0 ? p[0] : p[0] & (0x3fu >> more);

    *c = OZ_NO_CHARACTER;
    if ((p[0] >= 0x80 && p[0] < 0xc0) || p[0] >= 0xf8)
        return 1;
    for (i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        value = value << 6 | (p[i] & 0x3f);
    }
    if (value > 0x10ffff || (value < least[more] && !(p[0] == 0xc0 && p[1] == 0x80)))
        return 1;
    *c = value;
    return more + 1;
}

void oz_utf8_put(struct oz_buf *b, uint32_t c)
{
    char out[4];
    size_t n = c != 0 && c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

    for (i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
    oz_buf_add(b, out, n);
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c <= 0xdfff;
}

bool oz_text_is_plain(const char *s)
{
    uint32_t c;

    for (; *s; s += oz_utf8_next(s, &c)) {
        oz_utf8_next(s, &c);
        if (c == OZ_NO_CHARACTER || is_control(c) || is_surrogate(c))
            return false;
    }
    return true;
}

bool oz_text_looks_secret(const char *s)
{
    return strcasestr(s, "digest:") != NULL;
}

bool oz_name_looks_secret(const char *name)
{
    static const char *const marks[] = {"pass", "pwd", "secret", "token", "credential"};
    size_t i;

    for (i = 0; i < sizeof marks / sizeof *marks; i++)
        if (strcasestr(name, marks[i]))
            return true;
    return false;
}

/* Characters that reorder, hide or end the line they stand in. */
static bool is_invisible(uint32_t c)
{
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xad ||
           c == 0x61c || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

/* Adds the character at `s`; how many bytes it has. */
static size_t escape_one(struct oz_buf *b, const char *s)
{
    static const char plain[] = "\n\r\t\\'", letters[] = "nrt\\'";
    uint32_t c;
    size_t n = oz_utf8_next(s, &c);
    const char *p = n == 1 ? strchr(plain, *s) : NULL;

    if (p)
        oz_buf_printf(b, "\\%c", letters[p - plain]);
    else if (n == 1 && (c == OZ_NO_CHARACTER || is_control(c)))
        oz_buf_printf(b, "\\x%02x", (unsigned char)*s);
    else if (is_control(c) || is_surrogate(c) || is_invisible(c))
        oz_buf_printf(b, "\\u%04x", (unsigned)c);
    else
        oz_buf_add(b, s, n);
    return n;
}

void oz_quote(struct oz_buf *b, const char *s)
{
    int left = SHOWN_CHARACTERS;

    oz_buf_putc(b, '\'');
    while (*s && left-- > 0)
        s += escape_one(b, s);
    oz_buf_puts(b, *s ? "'..." : "'");
}

void oz_escape(struct oz_buf *b, const char *s)
{
    while (*s)
        s += escape_one(b, s);
}

/* People mistake case, '_' and '.' most easily: these differences do not count. */
static size_t fold(const char *name, char out[MAX_GUESSED + 1])
{
    size_t n;

    for (n = 0; name[n] && n < MAX_GUESSED; n++)
        out[n] = name[n] == '_' || name[n] == '.' ? '-' : (char)tolower((unsigned char)name[n]);
    out[n] = '\0';
    return n;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be added, taken away, changed or swapped. */
static size_t distance(const char *a, size_t la, const char *b, size_t lb)
{
    size_t d[MAX_GUESSED + 1][MAX_GUESSED + 1], i, j;

    for (i = 0; i <= la; i++)
        d[i][0] = i;
    for (j = 0; j <= lb; j++)
        d[0][j] = j;
    for (i = 1; i <= la; i++)
        for (j = 1; j <= lb; j++) {
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[la][lb];
}

/* The name that looks most like the given one; NULL when none does. */
static const char *nearest(const char *name, const char *also)
{
    char given[MAX_GUESSED + 1], known[MAX_GUESSED + 1];
    size_t length = fold(name, given), best = length / 3 > 1 ? length / 3 + 1 : 2, id;
    const char *found = NULL;

    if (name[length])
        return NULL;
    for (id = 0; id <= OZ_SETTING_COUNT; id++) {
        const char *candidate = id < OZ_SETTING_COUNT ? oz_settings[id].name : also;
        size_t d = candidate ? distance(given, length, known, fold(candidate, known)) : best;

        if (d < best) {
            best = d;
            found = candidate;
        }
    }
    return found;
}

void oz_unknown_setting(struct oz_buf *b, const char *name, const char *also)
{
    const char *guess = nearest(name, also);
    int id;

    oz_buf_puts(b, "found the unknown setting ");
    oz_quote(b, name);
    if (guess) {
        oz_buf_printf(b, ", did you mean '%s'?", guess);
        return;
    }
    oz_buf_puts(b, ", allowed: ");
    for (id = 0; id < OZ_SETTING_COUNT; id++)
        oz_buf_printf(b, "%s%s", id ? ", " : "", oz_settings[id].name);
    if (also)
        oz_buf_printf(b, ", %s", also);
}
