/* What fails again and again: it is warned of once, and tried again more and more rarely until it works. */
#ifndef OZ_TROUBLE_H
#define OZ_TROUBLE_H

#include <stdint.h>

struct oz_trouble {
    const char *what; /* NULL: there is none */
    int64_t pause;
};

/* It failed: how long to wait before it is tried again. `what`, a constant such as "read", `path` and `why` make the
 * warning. */
int64_t oz_trouble_pause(struct oz_trouble *t, const char *category, const char *what, const char *path,
                         const char *why);
/* It worked. */
void oz_trouble_end(struct oz_trouble *t);

#endif
