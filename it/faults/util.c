#include "faults.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 20 }; /* of one kind; the rest is only counted */

long violations[CHECKS];
static int64_t started;

/* ---- words ---- */

double seconds(int64_t time)
{
    if (!started)
        started = record_now();
    return (double)(time - started) / 1e9;
}

static void say_list(const char *mark, const char *format, va_list args)
{
    printf("[%9.3f] %s", seconds(record_now()), mark);
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
}

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_list("", format, args);
    va_end(args);
}

void give_up(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_list("gives up: ", format, args);
    va_end(args);
    exit(1); /* what was started ends with its parent */
}

const char *check_name(enum check check)
{
    static const char *const names[CHECKS] = {
        "two masters",
        "two valid holders of a lock",
        "tokens that decrease",
        "deaths unnoticed",
        "deaths noticed twice, or out of order",
        "living nodes reported as left",
        "znodes left",
        "guarded writes out of order",
        "hangs",
        "errors that no fault explains",
        "descriptors, threads or memory growing",
        "no rest after the faults",
        "masterships lost without need",
    };

    return names[check];
}

void violation(enum check check, const char *format, ...)
{
    va_list args;
    char mark[80];

    if (++violations[check] > TOLD_MAX)
        return;
    snprintf(mark, sizeof mark, "VIOLATION (%s): ", check_name(check));
    va_start(args, format);
    say_list(mark, format, args);
    va_end(args);
}

/* ---- chance ---- */

static uint64_t state;

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void dice_seed(uint64_t seed)
{
    state = seed;
}

int dice(int from, int to)
{
    return from + (int)(draw() % (uint64_t)(to - from + 1));
}

/* ---- distributions ---- */

void times_add(struct times *times, int64_t ns)
{
    if (times->count == times->size) {
        times->size = times->size ? 2 * times->size : 64;
        times->ns = realloc(times->ns, (size_t)times->size * sizeof *times->ns);
        if (!times->ns)
            abort();
    }
    times->ns[times->count++] = ns;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double ms_at(const struct times *times, int percent)
{
    int index = (times->count * percent + 99) / 100 - 1;

    return (double)times->ns[index < 0 ? 0 : index] / 1e6;
}

void times_print(struct times *times, const char *name)
{
    if (times->count == 0) {
        printf("  %-52s none\n", name);
        return;
    }
    qsort(times->ns, (size_t)times->count, sizeof *times->ns, compare);
    printf("  %-52s %5d times: p50 %8.1f ms, p99 %8.1f ms, most %8.1f ms\n", name, times->count, ms_at(times, 50),
           ms_at(times, 99), ms_at(times, 100));
}

void times_free(struct times *times)
{
    free(times->ns);
    *times = (struct times){0};
}
