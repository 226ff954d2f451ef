/* What ZooKeeper takes as the path of a znode. */
#ifndef OZ_ZPATH_H
#define OZ_ZPATH_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it is an absolute path; if not, `why` says what is wrong with it. */
bool oz_zpath_check(const char *path, char *why, size_t size);

#endif
