/* XML files in any encoding, to UTF-8. */
#ifndef OZ_ENCODING_H
#define OZ_ENCODING_H

#include "base/buf.h"

/* Converts an XML file, which has a NUL behind it, to UTF-8. Its encoding is that of the byte order mark or of the XML
 * declaration, UTF-8 without either. Adds the text to `out`, without the mark. ODEZK_OK; ODEZK_ENOTFOUND (unknown
 * encoding; nothing is added); ODEZK_ECONFIG (the text is added up to bytes that are not text). Out of memory shows in
 * `out`. */
int oz_encoding_convert(const char *bytes, size_t length, struct oz_buf *out);

#endif
