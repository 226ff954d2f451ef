/* Text in messages and values: reading UTF-8, showing what was found, guessing what was meant. */
#ifndef OZ_TEXT_H
#define OZ_TEXT_H

#include "base/buf.h"

#include <stdint.h>

#define OZ_NO_CHARACTER UINT32_MAX

/* The character at `s` and how many bytes it has; OZ_NO_CHARACTER and 1 when there is none. What
 * Java knows beyond UTF-8 is understood: C0 80 is a NUL (so that it does not end a C string), and
 * surrogates may stand alone. */
size_t oz_utf8_next(const char *s, uint32_t *c);
void oz_utf8_put(struct oz_buf *b, uint32_t c);

/* Whether it is proper UTF-8 without control characters. */
bool oz_text_is_plain(const char *s);

/* Whether it may hold credentials, by its looks: then it does not belong in a message. */
bool oz_text_looks_secret(const char *s);

/* As above, for the name of a key or of an environment variable. */
bool oz_name_looks_secret(const char *name);

/* Adds the text in quotes, what cannot be seen escaped, what is long cut. */
void oz_quote(struct oz_buf *b, const char *s);
/* Adds all of the text, what cannot be seen escaped. */
void oz_escape(struct oz_buf *b, const char *s);

/* Tells that there is no setting of this name, and which one may be meant. `also` is a name that is
 * allowed beside the settings, or NULL. */
void oz_unknown_setting(struct oz_buf *b, const char *name, const char *also);

#endif
