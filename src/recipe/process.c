#include "recipe/process.h"

#include "znode/fields.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        n = 0;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return n > 0;
}

/* When a living process started, in ticks since boot: the 22nd field of its stat; the 3rd, the state, is the first
 * behind the name in parentheses. One that is dead and not yet waited for does not count. */
static bool start_ticks(int64_t pid, char *ticks, size_t size)
{
    char path[64], text[1024], *p;
    int field;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    if (!read_file(path, text, sizeof text) || !(p = strrchr(text, ')')) || strlen(p) < 3 || p[2] == 'Z' || p[2] == 'X')
        return false;
    for (field = 2; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    if (!p)
        return false;
    snprintf(ticks, size, "%.*s", (int)strcspn(p + 1, " "), p + 1);
    return true;
}

static void boot_id(char *text, size_t size)
{
    if (!read_file("/proc/sys/kernel/random/boot_id", text, size))
        text[0] = '\0';
}

void oz_process_describe(struct oz_buf *b, uint64_t handle)
{
    char host[256] = "", boot[64], ticks[32];

    gethostname(host, sizeof host - 1);
    boot_id(boot, sizeof boot);
    oz_field_add(b, "host", host);
    oz_field_number(b, "pid", getpid());
    oz_field_add(b, "boot", boot);
    if (start_ticks(getpid(), ticks, sizeof ticks))
        oz_field_add(b, "ticks", ticks);
    oz_field_number(b, "handle", (int64_t)handle);
}

enum oz_process oz_process_look(const char *data, uint64_t handle)
{
    char boot[64], ours[64], ticks[32], now[32];
    int64_t pid = oz_field_int(data, "pid");

    oz_field_copy(data, "boot", boot, sizeof boot);
    oz_field_copy(data, "ticks", ticks, sizeof ticks);
    boot_id(ours, sizeof ours);
    if (!*ours || strcmp(boot, ours) != 0 || !*ticks || !start_ticks(pid, now, sizeof now) || strcmp(ticks, now) != 0)
        return OZ_PROCESS_UNKNOWN;
    if (pid != getpid())
        return OZ_PROCESS_OTHER;
    /* Another handle of this process may be closed while the servers still wait for its session to time out. */
    return oz_field_int(data, "handle") == (int64_t)handle ? OZ_PROCESS_SELF : OZ_PROCESS_UNKNOWN;
}
