/* Lines that come again and again: the first is logged, the others are counted and reported from time to time. */
#ifndef OZ_REPEAT_H
#define OZ_REPEAT_H

#include "base/line.h"

#include <stdbool.h>

#define OZ_REPEAT_SLOTS 8

struct oz_repeat {
    int64_t since; /* when the line was logged last; 0: a free slot */
    int64_t time;  /* for which repetitions are only counted */
    uint64_t count;
    odezk_log_level level;
    uint32_t hash;
    char text[256];
};

struct oz_repeats {
    struct oz_repeat slots[OZ_REPEAT_SLOTS];
};

/* Whether the line was logged a moment ago already: then it is only counted. */
bool oz_repeats_count(struct oz_repeats *repeats, const struct oz_line *line);
/* Makes the line that reports repetitions, if some are due; with `all` those that are not due yet, too. */
bool oz_repeats_take(struct oz_repeats *repeats, bool all, struct oz_line *line);
/* When oz_repeats_take() will have something; OZ_NEVER if there is nothing to come. */
int64_t oz_repeats_next(const struct oz_repeats *repeats);

#endif
