/* A growable string. A failed allocation is remembered and reported once, by oz_buf_failed(). */
#ifndef OZ_BUF_H
#define OZ_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct oz_buf {
    char *data; /* zero-terminated once something was added; NULL before */
    size_t len;
    size_t size;
    bool failed;
};

void oz_buf_add(struct oz_buf *b, const void *p, size_t n);
void oz_buf_puts(struct oz_buf *b, const char *s);
void oz_buf_putc(struct oz_buf *b, char c);
void oz_buf_printf(struct oz_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool oz_buf_failed(const struct oz_buf *b)
{
    return b->failed;
}
/* The text, "" when nothing was added. */
const char *oz_buf_str(const struct oz_buf *b);
/* The text as a string of its own, which the caller frees; NULL when an allocation failed. Empties b. */
char *oz_buf_take(struct oz_buf *b);
void oz_buf_free(struct oz_buf *b);

#endif
