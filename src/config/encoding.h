/* XML files in any encoding, to UTF-8. */
#ifndef OZ_ENCODING_H
#define OZ_ENCODING_H

#include "base/buf.h"

/* Converts the bytes of an XML file (and a NUL behind them), by its byte order mark or XML
 * declaration, UTF-8 without one; adds as much as is text to `out`, without the mark. ODEZK_OK;
 * ODEZK_ENOTFOUND (an encoding that nobody knows; nothing is added); ODEZK_ECONFIG (bytes that are
 * no text follow). A lack of memory is noted in `out`. */
int oz_encoding_convert(const char *bytes, size_t length, struct oz_buf *out);

#endif
