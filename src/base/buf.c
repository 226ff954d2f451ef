#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct oz_buf *b, size_t n)
{
    size_t size = b->size ? b->size : 64;
    char *data;

    if (b->failed)
        return false;
    if (b->len + n < b->size)
        return true;
    while (size <= b->len + n)
        size *= 2;
    data = oz_realloc(b->data, size);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->size = size;
    return true;
}

void oz_buf_add(struct oz_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void oz_buf_puts(struct oz_buf *b, const char *s)
{
    oz_buf_add(b, s, strlen(s));
}

void oz_buf_putc(struct oz_buf *b, char c)
{
    oz_buf_add(b, &c, 1);
}

void oz_buf_printf(struct oz_buf *b, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !reserve(b, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

const char *oz_buf_str(const struct oz_buf *b)
{
    return b->data ? b->data : "";
}

char *oz_buf_take(struct oz_buf *b)
{
    char *s = NULL;

    if (!b->failed)
        s = b->data ? b->data : oz_strdup("");
    if (b->failed)
        free(b->data);
    *b = (struct oz_buf){0};
    return s;
}

void oz_buf_free(struct oz_buf *b)
{
    free(b->data);
    *b = (struct oz_buf){0};
}
