#include "base/trouble.h"

#include "base/clock.h"
#include "base/log.h"

#define FIRST (100 * OZ_MS)
#define MOST (5 * OZ_SECOND)

int64_t oz_trouble_pause(struct oz_trouble *t, const char *category, const char *what, const char *path,
                         const char *why)
{
    if (t->what != what)
        oz_log(ODEZK_LOG_WARN, category, "cannot %s %s: %s; trying again", what, path, why);
    t->what = what;
    t->pause = t->pause ? 2 * t->pause : FIRST;
    if (t->pause > MOST)
        t->pause = MOST;
    return t->pause;
}

void oz_trouble_end(struct oz_trouble *t)
{
    *t = (struct oz_trouble){0};
}
