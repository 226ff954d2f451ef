/* A temporary directory that the next process clears away when its owner could not. */
#ifndef CLI_TEMPDIR_H
#define CLI_TEMPDIR_H

#include <limits.h>

struct tempdir {
    char path[PATH_MAX];
    int lock; /* held as long as the owner lives; -1: no directory */
};

/* Makes one below `parent`, after clearing away what dead owners left there. 0, or -1 and errno. */
int tempdir_make(struct tempdir *dir, const char *parent);

/* Removes it with all that is in it. Does nothing when there is none. */
void tempdir_remove(struct tempdir *dir);

#endif
