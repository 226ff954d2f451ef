#include "recipe/process.h"

#include "znode/fields.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXITING 0x4 /* PF_EXITING of the kernel, among the flags in /proc/PID/stat */

static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool read_proc(int64_t pid, const char *name, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%" PRId64 "/%s", pid, name);
    return read_file(path, text, size);
}

/* A field by its number in proc(5); the 3rd is the first behind the name in parentheses. NULL: there is none. */
static const char *stat_field(const char *stat, int number)
{
    const char *p = strrchr(stat, ')');
    int field;

    for (field = 2; field < number && p; field++)
        p = strchr(p + 1, ' ');
    return p ? p + 1 : NULL;
}

static uint64_t status_number(const char *status, const char *key, int base)
{
    const char *p = strstr(status, key);

    return p ? strtoull(p + strlen(key), NULL, base) : 0;
}

bool oz_process_ends(const char *stat, const char *status)
{
    const char *state = stat_field(stat, 3), *flags = stat_field(stat, 9);
    uint64_t signals = status_number(status, "\nSigPnd:", 16) | status_number(status, "\nShdPnd:", 16);

    return !state || *state == 'Z' || *state == 'X' || !flags || (strtoul(flags, NULL, 10) & EXITING) ||
           status_number(status, "\nCoreDumping:", 10) || (signals >> (SIGKILL - 1) & 1);
}

static bool ends(int64_t pid)
{
    char stat[1024], status[4096];

    read_proc(pid, "status", status, sizeof status);
    return !read_proc(pid, "stat", stat, sizeof stat) || oz_process_ends(stat, status);
}

/* When a process started, in ticks since boot. */
static bool start_ticks(int64_t pid, char *ticks, size_t size)
{
    char stat[1024];
    const char *p = read_proc(pid, "stat", stat, sizeof stat) ? stat_field(stat, 22) : NULL;

    if (p)
        snprintf(ticks, size, "%.*s", (int)strcspn(p, " \n"), p);
    return p != NULL;
}

/* Two containers of one machine may each have a process of the same number and start. "" when /proc, if there is one,
 * does not have our numbers: then nobody can be looked up. */
static void pid_namespace(char *text, size_t size)
{
    char self[32] = "";

    memset(text, 0, size);
    if (readlink("/proc/self", self, sizeof self - 1) < 0 || strtol(self, NULL, 10) != getpid() ||
        readlink("/proc/self/ns/pid", text, size - 1) < 0)
        text[0] = '\0';
}

static void boot_id(char *text, size_t size)
{
    read_file("/proc/sys/kernel/random/boot_id", text, size);
    text[strcspn(text, "\n")] = '\0';
}

void oz_process_describe(struct oz_buf *b, uint64_t handle)
{
    char host[256] = "", boot[64], space[64], ticks[32];

    gethostname(host, sizeof host - 1);
    boot_id(boot, sizeof boot);
    pid_namespace(space, sizeof space);
    oz_field_add(b, "host", host);
    oz_field_number(b, "pid", getpid());
    oz_field_add(b, "boot", boot);
    if (*space && start_ticks(getpid(), ticks, sizeof ticks)) {
        oz_field_add(b, "pidns", space);
        oz_field_add(b, "ticks", ticks);
    }
    oz_field_number(b, "handle", (int64_t)handle);
}

/* Whether a process here and now is, or was, the one that is meant. */
static bool is_same(const char *data, int64_t pid)
{
    char boot[64], space[64], ticks[32], ours[64], our_space[64], now[32];

    oz_field_copy(data, "boot", boot, sizeof boot);
    oz_field_copy(data, "pidns", space, sizeof space);
    oz_field_copy(data, "ticks", ticks, sizeof ticks);
    boot_id(ours, sizeof ours);
    pid_namespace(our_space, sizeof our_space);
    return *ours && strcmp(boot, ours) == 0 && *our_space && strcmp(space, our_space) == 0 && *ticks &&
           start_ticks(pid, now, sizeof now) && strcmp(ticks, now) == 0;
}

enum oz_process oz_process_look(const char *data, uint64_t handle)
{
    int64_t pid = oz_field_int(data, "pid");

    if (!is_same(data, pid))
        return OZ_PROCESS_UNKNOWN;
    if (pid != getpid())
        return ends(pid) ? OZ_PROCESS_UNKNOWN : OZ_PROCESS_OTHER;
    /* Another handle of this process may be closed while the servers still wait for its session to time out. */
    return oz_field_int(data, "handle") == (int64_t)handle ? OZ_PROCESS_SELF : OZ_PROCESS_UNKNOWN;
}
