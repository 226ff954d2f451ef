#include "znode/names.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool oz_name_split(const char *name, size_t *prefix, int32_t *seq)
{
    const char *hash = strrchr(name, '#'), *digits;
    size_t width;
    char *end;
    long long n;

    if (!hash)
        return false;
    digits = hash + 1 + (hash[1] == '-'); /* a sign is one of the ten characters, unless it needs an eleventh */
    width = strlen(hash + 1);
    if (strspn(digits, "0123456789") != strlen(digits) || (width != 10 && (width != 11 || digits == hash + 1)))
        return false;
    n = strtoll(hash + 1, &end, 10);
    if (n < INT32_MIN || n > INT32_MAX)
        return false;
    *prefix = (size_t)(hash - name);
    *seq = (int32_t)n;
    return true;
}

int oz_seq_compare(int32_t a, int32_t b)
{
    uint32_t distance = (uint32_t)a - (uint32_t)b;

    if (distance == 0)
        return 0;
    return distance < UINT32_C(0x80000000) ? 1 : -1;
}

const char *oz_basename(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void oz_encode_key(struct oz_buf *b, const char *key)
{
    bool dots = strcmp(key, ".") == 0 || strcmp(key, "..") == 0;

    for (; *key; key++) {
        unsigned char c = (unsigned char)*key;

        if (is_alnum(c) || (strchr("-_.~!$&'()*+,;=:@", c) && !dots))
            oz_buf_putc(b, (char)c);
        else
            oz_buf_printf(b, "%%%02X", c);
    }
}

static int hex(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

int oz_decode_byte(const char **at, const char *end)
{
    const char *p = *at;

    if (*p != '%') {
        *at = p + 1;
        return (unsigned char)*p;
    }
    if (end - p < 3 || hex(p[1]) < 0 || hex(p[2]) < 0)
        return -1;
    *at = p + 3;
    return hex(p[1]) * 16 + hex(p[2]);
}

bool oz_decode_key(struct oz_buf *b, const char *name, size_t len)
{
    const char *end = name + len;

    while (name < end) {
        int c = oz_decode_byte(&name, end);

        if (c < 0)
            return false;
        oz_buf_putc(b, (char)c);
    }
    return true;
}

void oz_bucket(const char *key, char bucket[3])
{
    uint32_t h = oz_hash(key);

    h ^= h >> 16;
    snprintf(bucket, 3, "%02x", (h ^ h >> 8) & 0xff);
}

/* How long the character at s is; 0 when it is malformed (overlong, a surrogate, beyond Unicode, cut off). */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char mask, lead, length;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
    size_t i, k;

    for (i = 0; i < 4; i++) {
        uint32_t code = s[0] & (unsigned char)~forms[i].mask;

        if ((s[0] & forms[i].mask) != forms[i].lead)
            continue;
        for (k = 1; k < forms[i].length; k++) {
            if ((s[k] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (s[k] & 0x3f);
        }
        if (code < forms[i].least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return 0;
        return forms[i].length;
    }
    return 0;
}

bool oz_is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p) {
        size_t n = utf8_length(p);

        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

bool oz_is_name(const char *s, const char *more)
{
    size_t i;

    if (!*s || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return false;
    for (i = 0; s[i]; i++)
        if (i >= 64 || (!is_alnum((unsigned char)s[i]) && !strchr("._-", s[i]) && !strchr(more, s[i])))
            return false;
    return true;
}
