/* The contents of znodes: lines of key=value, with '%', CR and LF of a value as %XX. */
#ifndef OZ_FIELDS_H
#define OZ_FIELDS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

void oz_field_add(struct oz_buf *b, const char *key, const char *value);
void oz_field_number(struct oz_buf *b, const char *key, int64_t value);

/* Adds the value of the first field with this key; false when there is none. */
bool oz_field_get(const char *text, const char *key, struct oz_buf *value);
/* The value as a string, to be freed; "" when there is no such field, NULL when out of memory. `text` may be NULL. */
char *oz_field_dup(const char *text, const char *key);
/* The same into a fixed array; "" when there is none, or when it does not fit. */
void oz_field_copy(const char *text, const char *key, char *to, size_t size);
int64_t oz_field_int(const char *text, const char *key); /* 0 when there is none */

/* Goes through the fields: the text after this one, with key and value put into the buffers; NULL at the end. */
const char *oz_field_next(const char *text, struct oz_buf *key, struct oz_buf *value);

#endif
