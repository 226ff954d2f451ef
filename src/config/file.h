/* Reading a configuration file whole. */
#ifndef OZ_FILE_H
#define OZ_FILE_H

#include "base/buf.h"

#define OZ_FILE_MAX ((size_t)1 << 20)

/* ODEZK_OK: its content was added to `out`; ODEZK_ENOTFOUND: there is no such file; ODEZK_ECONFIG:
 * `why` says why it cannot be read and what is allowed; ODEZK_ENOMEM. Never blocks. */
int oz_file_read(const char *path, struct oz_buf *out, char *why, size_t size);

#endif
