/* What a test may not leave: descriptors, threads, znodes, processes. */
#include "internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THINGS_MAX = 1024 };

/* What a process has: descriptors, by what they are of. */
struct things {
    int count;
    char *names[THINGS_MAX];
};

static struct {
    int threads;
    struct things descriptors;
} before;

/* ---- what this process has ---- */

static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = -2; /* . and .. */

    while (tasks && readdir(tasks))
        count++;
    if (tasks)
        closedir(tasks);
    return count;
}

static void free_things(struct things *things)
{
    while (things->count > 0)
        free(things->names[--things->count]);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sockets are all alike: their numbers change with each connection. */
static void list_descriptors(struct things *things)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    char path[300], target[300];

    free_things(things);
    while (dir && things->count < THINGS_MAX && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(dir))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        target[strcspn(target, ":[")] = '\0';
        things->names[things->count++] = it_format("%s", target);
    }
    if (dir)
        closedir(dir);
    qsort(things->names, (size_t)things->count, sizeof *things->names, compare_names);
}

static bool same_things(const struct things *a, const struct things *b)
{
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

static bool clean(void *arg)
{
    struct things now = {0};

    (void)arg;
    list_descriptors(&now);
    bool same = same_things(&now, &before.descriptors);
    free_things(&now);
    return same && count_threads() == before.threads;
}

static void tell_unclean(void)
{
    struct things now = {0};

    list_descriptors(&now);
    it_note("%d threads before, %d now; descriptors before:", before.threads, count_threads());
    for (int i = 0; i < before.descriptors.count; i++)
        it_note("  %s", before.descriptors.names[i]);
    it_note("and now:");
    for (int i = 0; i < now.count; i++)
        it_note("  %s", now.names[i]);
    free_things(&now);
}

void it_look_before(void)
{
    before.threads = count_threads();
    list_descriptors(&before.descriptors);
}

void it_check_process(void)
{
    if (!it_until(5000, clean, NULL)) {
        tell_unclean();
        CU_FAIL("no thread and no descriptor is left");
    }
    free_things(&before.descriptors);
}

/* ---- znodes that are left ---- */

/* The directories that the library makes, and `leader`; nothing else may outlive the nodes. */
static bool is_directory(const char *path)
{
    static const char *const names[] = {"", "members", "election", "leader", "inbox", "locks", "queue", "roster"};
    const char *rest = path + strlen(it_base());
    char name[64];
    int depth = 0;

    if (*rest == '\0' || strcmp(path, it_root()) == 0)
        return true;
    if (strncmp(path, it_root(), strlen(it_root())) != 0)
        return false;
    rest = path + strlen(it_root()) + 1;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, "/"), rest);
    for (const char *p = rest; *p; p++)
        depth += *p == '/';
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) /* space and bucket below locks and queue */
            return depth == 0 || (depth <= 2 && i >= 5 && i <= 6);
    return false;
}

struct remains {
    int count;
    char first[2048];
};

static void look_for_remains(const char *path, struct remains *remains)
{
    struct it_names names;
    char child[2048];

    if (it_zk_children(it_zk(), path, &names) != IT_OK)
        return;
    if (!is_directory(path)) {
        if (remains->count++ == 0)
            snprintf(remains->first, sizeof remains->first, "%s", path);
    }
    for (int i = 0; i < names.count; i++) {
        snprintf(child, sizeof child, "%s/%s", path, names.names[i]);
        look_for_remains(child, remains);
    }
    it_names_free(&names);
}

static bool nothing_remains(void *arg)
{
    struct remains *remains = arg;

    remains->count = 0;
    look_for_remains(it_base(), remains);
    return remains->count == 0;
}

static bool no_inbox(void *arg)
{
    (void)arg;
    return it_zk_count(it_path("inbox"), "[!j]*") == 0;
}

/* The inbox of a node that was killed is left to the next master. */
static void clean_inboxes(void)
{
    if (no_inbox(NULL))
        return;
    it_join(ODEZK_ROLE_MEMBER, "janitor");
    CHECK(it_until(it_timeout() + 5000, no_inbox, NULL));
    it_destroy_kept();
}

void it_check_znodes(void)
{
    struct remains remains = {0};

    clean_inboxes();
    /* What killed processes had goes with their sessions. */
    if (!it_until(it_timeout() + 4000, nothing_remains, &remains)) {
        it_note("%d znodes are left, such as %s", remains.count, remains.first);
        CU_FAIL("nothing is left in ZooKeeper");
    }
    it_zk_remove(it_base());
}

/* ---- processes that are left ---- */

void it_check_children(void)
{
    char path[64], line[1024] = "";
    int other = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (!file)
        return; /* a kernel without this list */
    if (!fgets(line, sizeof line, file))
        line[0] = '\0';
    fclose(file);
    for (char *p = strtok(line, " \n"); p; p = strtok(NULL, " \n"))
        other += atoi(p) != it_sandbox_pid();
    CHECK(other == 0);
}
