/* Reading a configuration file whole. */
#ifndef OZ_FILE_H
#define OZ_FILE_H

#include <stddef.h>

#define OZ_FILE_MAX ((size_t)1 << 20)

/* ODEZK_OK: `text` is its content, zero-terminated, which the caller frees; ODEZK_ENOTFOUND: there
 * is no such file; ODEZK_ECONFIG: `why` says why it cannot be read and what is allowed;
 * ODEZK_ENOMEM. Never blocks. */
int oz_file_read(const char *path, char **text, size_t *length, char *why, size_t size);

#endif
