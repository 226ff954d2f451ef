#include "base/repeat.h"

#include "base/clock.h"
#include "base/map.h"

#include <stdio.h>

#define FIRST_TIME OZ_SECOND /* longer and longer for a line that keeps coming */
#define LONGEST_TIME (64 * OZ_SECOND)

/* The slot of that text; else one to overwrite, NULL while all have something to report. */
static struct oz_repeat *find_slot(struct oz_repeats *repeats, uint32_t hash)
{
    struct oz_repeat *oldest = NULL;
    size_t i;

    for (i = 0; i < OZ_REPEAT_SLOTS; i++) {
        struct oz_repeat *r = &repeats->slots[i];

        if (r->since && r->hash == hash)
            return r;
        if (r->count == 0 && (!oldest || r->since < oldest->since))
            oldest = r;
    }
    if (oldest)
        oldest->since = 0;
    return oldest;
}

bool oz_repeats_count(struct oz_repeats *repeats, const struct oz_line *line)
{
    uint32_t hash = oz_hash(line->text);
    struct oz_repeat *r = find_slot(repeats, hash);
    int64_t now = oz_now();

    if (!r)
        return false;
    if (r->since && (r->count > 0 || now - r->since < r->time)) {
        r->count++;
        return true;
    }
    r->since = now;
    r->time = FIRST_TIME;
    r->level = line->header.level;
    r->hash = hash;
    snprintf(r->text, sizeof r->text, "%.*s", (int)sizeof r->text - 1, line->text);
    return false;
}

bool oz_repeats_take(struct oz_repeats *repeats, bool all, struct oz_line *line)
{
    int64_t now = oz_now();
    size_t i;

    for (i = 0; i < OZ_REPEAT_SLOTS; i++) {
        struct oz_repeat *r = &repeats->slots[i];

        if (r->count == 0 || (!all && now - r->since < r->time))
            continue;
        line->header = (struct oz_line_header){.category = "odezk.zookeeper", .level = r->level};
        line->header.time_ms = oz_wall_ms();
        snprintf(line->text, sizeof line->text, "%s (%llu more of the same)", r->text, (unsigned long long)r->count);
        r->count = 0;
        r->since = now;
        r->time = r->time < LONGEST_TIME ? 2 * r->time : LONGEST_TIME;
        return true;
    }
    return false;
}

int64_t oz_repeats_next(const struct oz_repeats *repeats)
{
    int64_t at = OZ_NEVER;
    size_t i;

    for (i = 0; i < OZ_REPEAT_SLOTS; i++) {
        const struct oz_repeat *r = &repeats->slots[i];

        if (r->count > 0 && r->since + r->time < at)
            at = r->since + r->time;
    }
    return at;
}
