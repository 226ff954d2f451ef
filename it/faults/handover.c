/* How long a change of the master takes, when something happened to the old one. */
#include "faults.h"

#include <string.h>

enum { PENDING = 32, KINDS = 8 };

struct pending {
    const char *kind;
    int64_t time, epoch;
};

static struct pending pending[PENDING];
static int pending_count;

static struct {
    const char *name;
    struct times stopped, claimed, gap;
} kinds[KINDS];
static int kind_count;

void handover_begin(const char *kind, int64_t time, int64_t epoch)
{
    if (pending_count < PENDING && servers_calm_since < time)
        pending[pending_count++] = (struct pending){kind, time, epoch};
}

static int index_of(const char *name)
{
    int i = 0;

    while (i < kind_count && strcmp(kinds[i].name, name) != 0)
        i++;
    if (i == kind_count && kind_count < KINDS)
        kinds[kind_count++].name = name;
    return i < KINDS ? i : KINDS - 1;
}

static bool is_over(const struct pending *p)
{
    int64_t ended, next;
    int i;

    if (servers_calm_since >= p->time)
        return true; /* other faults had their part in it */
    if (!claims_handover(p->epoch, &ended, &next))
        return false;
    i = index_of(p->kind);
    times_add(&kinds[i].stopped, ended > p->time ? ended - p->time : 0);
    times_add(&kinds[i].claimed, next - p->time);
    times_add(&kinds[i].gap, next - ended);
    return true;
}

void handovers_turn(void)
{
    for (int i = pending_count - 1; i >= 0; i--)
        if (is_over(&pending[i]))
            pending[i] = pending[--pending_count];
}

void handovers_report(void)
{
    char text[64];

    for (int i = 0; i < kind_count; i++) {
        snprintf(text, sizeof text, "%s of the master -> it claims for the last time", kinds[i].name);
        times_print(&kinds[i].stopped, text);
        snprintf(text, sizeof text, "%s of the master -> the next one claims", kinds[i].name);
        times_print(&kinds[i].claimed, text);
        snprintf(text, sizeof text, "%s: gap between the two", kinds[i].name);
        times_print(&kinds[i].gap, text);
    }
}
