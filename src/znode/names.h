/* Names of znodes: sequence numbers, and keys as path components. */
#ifndef OZ_NAMES_H
#define OZ_NAMES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Splits "<prefix>#<seq>": the length of the prefix without '#', and the number that the server added. False when
 * the name is not of that form. */
bool oz_name_split(const char *name, size_t *prefix, int32_t *seq);

/* Negative, zero or positive, in the order of creation; right also when the server's counter overflowed in between. */
int oz_seq_compare(int32_t a, int32_t b);

/* The last component of a path. */
const char *oz_basename(const char *path);

/* Adds a key so that it is one valid path component: letters, digits and -_.~!$&'()*+,;=:@ stay, all other bytes
 * become %XX; so do the dots of "." and "..". */
void oz_encode_key(struct oz_buf *b, const char *key);
/* Undoes it; false when it is no such name. */
bool oz_decode_key(struct oz_buf *b, const char *name, size_t len);
/* The next byte of such a name, of which there is more before `end`; moves *at behind it. -1 when it is malformed. */
int oz_decode_byte(const char **at, const char *end);

/* Which of the 256 bucket directories a key lives in, as two hexadecimal digits. */
void oz_bucket(const char *key, char bucket[3]);

/* Whether a string is well-formed UTF-8. */
bool oz_is_utf8(const char *s);

/* 1 to 64 characters of A-Z a-z 0-9 . _ - (and of `more`), but neither "." nor "..". */
bool oz_is_name(const char *s, const char *more);

#endif
