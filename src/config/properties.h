/* Properties files, read as java.util.Properties.load(InputStream) reads them. */
#ifndef OZ_PROPERTIES_H
#define OZ_PROPERTIES_H

#include "base/map.h"
#include "config/problems.h"

/* Texts are UTF-8 extended by what Java strings can hold: a NUL is C0 80, surrogates may stand
 * alone. */
struct oz_property {
    struct oz_map_node node;
    struct oz_property *next;
    char *key, *value;
    bool malformed; /* a mistake in it was told */
    int line;       /* where it begins; of a key that is there several times, the last */
};

struct oz_properties {
    struct oz_property *first, **end; /* in the order in which the keys came first */
    struct oz_map index;
};

/* Reads the content of `file`. Malformed \uXXXX go to `problems`; Java refuses such a file.
 * ODEZK_OK (also with problems) or ODEZK_ENOMEM, with `out` empty. */
int oz_properties_read(const char *file, const char *text, size_t length, odezk_problems *problems,
                       struct oz_properties *out);

/* The property with this key; NULL when there is none. */
const struct oz_property *oz_properties_find(const struct oz_properties *p, const char *key);

void oz_properties_free(struct oz_properties *p); /* what is in it */

#endif
