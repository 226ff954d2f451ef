/* What a process has: its descriptors, threads and memory. */
#include "faults.h"

#include <dirent.h>
#include <string.h>

enum { PATIENCE_MS = 8000, MEMORY_KB = 4096 };

static struct {
    double minutes;
    struct growth growth;
    int node;
} longest;

static long count_entries(const char *path)
{
    DIR *dir = opendir(path);
    long count = -2; /* . and .. */

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static long count_fds(int node)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd", (int)nodes[node].child.pid);
    return count_entries(path);
}

static long count_threads(int node)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task", (int)nodes[node].child.pid);
    return count_entries(path);
}

static long memory_kb(int node)
{
    char path[64], line[256];
    long kb = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)nodes[node].child.pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

static bool no_more_than_at_first(void *arg)
{
    const struct node *n = arg;

    return helpers_count(n->number) <= 1 && count_fds(n->number) <= n->growth.fds &&
           count_threads(n->number) <= n->growth.threads;
}

static void remember_longest(const struct node *n)
{
    double minutes = (double)(n->growth.until - n->growth.since) / 60e9;

    if (minutes < longest.minutes)
        return;
    longest.minutes = minutes;
    longest.growth = n->growth;
    longest.node = n->number;
}

void growth_check(int node)
{
    struct node *n = &nodes[node];
    struct growth *g = &n->growth;

    g->until = record_now();
    g->memory = memory_kb(node);
    if (g->rests++ == 0) {
        g->since = g->until;
        g->fds = count_fds(node);
        g->threads = count_threads(node);
        g->first_memory = g->memory;
        return;
    }
    /* An old connection may be closing still. */
    if (!g->told && !pump_until(PATIENCE_MS, no_more_than_at_first, n)) {
        g->told = true;
        violation(CHECK_GROWTH, "n%d had %ld descriptors and %ld threads, and has %ld and %ld, and %d helpers", node,
                  g->fds, g->threads, count_fds(node), count_threads(node), helpers_count(node));
    }
    if (!g->told && g->memory > 2 * g->first_memory && g->memory > g->first_memory + MEMORY_KB) {
        g->told = true;
        violation(CHECK_GROWTH, "n%d had %ld KB of memory, and has %ld", node, g->first_memory, g->memory);
    }
    remember_longest(n);
}

void growth_report(void)
{
    if (longest.node)
        printf("growth: n%d in %.1f minutes: %ld descriptors, %ld threads before and after, memory "
               "%ld KB -> %ld KB\n",
               longest.node, longest.minutes, longest.growth.fds, longest.growth.threads, longest.growth.first_memory,
               longest.growth.memory);
}
