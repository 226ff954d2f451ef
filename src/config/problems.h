/* The list of mistakes of a load, while it grows. */
#ifndef OZ_PROBLEMS_H
#define OZ_PROBLEMS_H

#include <odezk/config.h>
#include <stdbool.h>

struct odezk_problems {
    odezk_problem *items;
    size_t count, size;
    bool failed; /* out of memory: the list is not complete */
};

/* Adds a mistake, unless the same one is there. `file` may be "", `line` 0. */
void oz_problem(odezk_problems *p, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Into the order of lines, the mistakes of `first` (may be NULL) before those of other files. */
void oz_problems_sort(odezk_problems *p, const char *first);

#endif
