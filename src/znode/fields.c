#include "znode/fields.h"

#include "znode/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oz_field_add(struct oz_buf *b, const char *key, const char *value)
{
    oz_buf_puts(b, key);
    oz_buf_putc(b, '=');
    for (; *value; value++) {
        if (*value == '%' || *value == '\n' || *value == '\r')
            oz_buf_printf(b, "%%%02X", (unsigned char)*value);
        else
            oz_buf_putc(b, *value);
    }
    oz_buf_putc(b, '\n');
}

void oz_field_number(struct oz_buf *b, const char *key, int64_t value)
{
    oz_buf_printf(b, "%s=%" PRId64 "\n", key, value);
}

static void empty(struct oz_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

const char *oz_field_next(const char *text, struct oz_buf *key, struct oz_buf *value)
{
    while (text && *text) {
        size_t line = strcspn(text, "\n");
        const char *equals = memchr(text, '=', line);
        const char *next = text[line] ? text + line + 1 : text + line;

        empty(key);
        empty(value);
        if (equals) {
            oz_buf_add(key, text, (size_t)(equals - text));
            if (oz_decode_key(value, equals + 1, line - (size_t)(equals + 1 - text)))
                return next;
        }
        text = next; /* a line of another form is not ours */
    }
    return NULL;
}

/* The first field with this key: where its value begins and ends; NULL when there is none. */
static const char *find(const char *text, const char *key, const char **end)
{
    size_t n = strlen(key);

    while (text && *text) {
        size_t line = strcspn(text, "\n");

        if (line > n && text[n] == '=' && memcmp(text, key, n) == 0) {
            *end = text + line;
            return text + n + 1;
        }
        text += line + (text[line] == '\n');
    }
    return NULL;
}

bool oz_field_get(const char *text, const char *key, struct oz_buf *value)
{
    const char *end, *at = find(text, key, &end);

    return at && oz_decode_key(value, at, (size_t)(end - at)) && !oz_buf_failed(value);
}

char *oz_field_dup(const char *text, const char *key)
{
    struct oz_buf value = {0};

    if (!oz_field_get(text, key, &value) && !oz_buf_failed(&value))
        oz_buf_free(&value); /* what was decoded of a malformed one */
    return oz_buf_take(&value);
}

/* Without an allocation that could fail: what it tells apart may be who is master. */
void oz_field_copy(const char *text, const char *key, char *to, size_t size)
{
    const char *end, *at = find(text, key, &end);
    size_t n = 0;
    int c = 0;

    while (at && at < end && n < size && (c = oz_decode_byte(&at, end)) >= 0)
        to[n++] = (char)c;
    if (!at || c < 0 || n == size)
        n = 0;
    to[n] = '\0';
}

int64_t oz_field_int(const char *text, const char *key)
{
    char digits[32];

    oz_field_copy(text, key, digits, sizeof digits);
    return strtoll(digits, NULL, 10);
}
