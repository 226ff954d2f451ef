/* Processes that start at the same time must agree on the content of the file. So it appears complete, as a temporary
 * file that is linked to its name, which fails if the name exists; and a damaged file is replaced only under a lock on
 * it. */
#include "config/nodeid.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_PREFIX ".odezk-node-id."
#define HOST_MAX 57 /* leaves room for '-' and the suffix */
#define SUFFIX 6
#define LOCK_TIME OZ_SECOND
#define LOCK_PAUSE (10 * OZ_MS)
#define MAX_TRIES 3

static void host_name(char host[HOST_MAX + 1])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@+-";
    char name[256] = "";
    size_t i;

    gethostname(name, sizeof name - 1);
    for (i = 0; name[i] && i < HOST_MAX; i++)
        host[i] = strchr(allowed, name[i]) ? name[i] : '-';
    host[i] = '\0';
    if (i == 0)
        snprintf(host, HOST_MAX + 1, "node");
}

static int make_id(const char *host, char id[OZ_NODE_ID_SIZE])
{
    unsigned char random[SUFFIX / 2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return oz_fail(ODEZK_ESYSTEM, "no random bytes: %s", strerror(errno));
    snprintf(id, OZ_NODE_ID_SIZE, "%s-%02x%02x%02x", host, random[0], random[1], random[2]);
    return ODEZK_OK;
}

/* Whether `line` is an id that make_id() may have made. */
static bool is_id(const char *host, const char *line)
{
    size_t n = strlen(host);

    return strncmp(line, host, n) == 0 && line[n] == '-' && strspn(line + n + 1, "0123456789abcdef") == SUFFIX &&
           !line[n + 1 + SUFFIX];
}

/* Reads the id that the open file keeps. */
static bool read_id(int fd, const char *host, char id[OZ_NODE_ID_SIZE])
{
    char line[OZ_NODE_ID_SIZE + 1];
    ssize_t n = read(fd, line, sizeof line - 1);

    if (n <= 0 || line[n - 1] != '\n' || memchr(line, '\0', (size_t)n))
        return false;
    line[n - 1] = '\0';
    if (!is_id(host, line))
        return false;
    memcpy(id, line, strlen(line) + 1);
    return true;
}

static int open_kept(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static bool write_id(int fd, const char *id)
{
    char line[OZ_NODE_ID_SIZE + 1];
    int n = snprintf(line, sizeof line, "%s\n", id);

    return write(fd, line, (size_t)n) == n && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
}

/* Writes the id to a file and gives it the name with `publish`, link() or rename(). 0 or an errno. */
static int publish_id(const char *path, const char *id, int (*publish)(const char *, const char *))
{
    char *temporary = oz_format("%s.XXXXXX", path);
    int fd, error = 0;

    if (!temporary)
        return ENOMEM;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        error = errno;
    else if (!write_id(fd, id) || publish(temporary, path) != 0)
        error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(temporary);
    }
    free(temporary);
    return error;
}

static bool is_still_there(int fd, const char *path)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* Waits a little for another process that is replacing the file. */
static bool lock_file(int fd)
{
    const struct timespec pause = {0, LOCK_PAUSE};
    int64_t deadline = oz_now() + LOCK_TIME;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (oz_now() >= deadline)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Replaces the open, damaged file by one with the id; EEXIST when another process did. */
static int replace_id(int fd, const char *path, const char *id)
{
    if (!lock_file(fd))
        return EWOULDBLOCK;
    return is_still_there(fd, path) ? publish_id(path, id, rename) : EEXIST;
}

/* Writes the new id to the file, or sets `id` to the one that the file has. 0 or an errno. */
static int keep_id(const char *host, const char *path, char id[OZ_NODE_ID_SIZE])
{
    int fd = open_kept(path), error;

    if (fd < 0)
        return errno == ENOENT ? publish_id(path, id, link) : errno;
    if (read_id(fd, host, id)) {
        error = 0;
    } else {
        error = replace_id(fd, path, id);
        if (error == 0)
            oz_warn("config", "%s was damaged; this node is now %s", path, id);
    }
    close(fd);
    return error;
}

/* `id` is a new one on entry; set to the one that the directory keeps. */
static int settle(const char *dir, const char *host, char id[OZ_NODE_ID_SIZE])
{
    char *path = oz_format("%s/" FILE_PREFIX "%s", dir, host);
    int tries, error = EEXIST;

    for (tries = 0; path && tries < MAX_TRIES && error == EEXIST; tries++)
        error = keep_id(host, path, id);
    if (path && error && error != ENOMEM)
        oz_warn("config", "cannot keep the node id %s in %s: %s; after a restart this node will have another id", id,
                path, strerror(error));
    free(path);
    return !path || error == ENOMEM ? oz_fail(ODEZK_ENOMEM, "out of memory") : ODEZK_OK;
}

int oz_node_id(const odezk_config *config, char id[OZ_NODE_ID_SIZE])
{
    const char *configured = odezk_config_get(config, "node-id");
    char host[HOST_MAX + 1], made[OZ_NODE_ID_SIZE];
    int rc = ODEZK_OK;

    if (strcmp(configured, OZ_AUTO) != 0) {
        snprintf(id, OZ_NODE_ID_SIZE, "%s", configured);
        return ODEZK_OK;
    }
    host_name(host);
    rc = make_id(host, made);
    if (rc == ODEZK_OK && config->dir)
        rc = settle(config->dir, host, made);
    else if (rc == ODEZK_OK)
        oz_warn("config",
                "without a configuration directory nothing keeps the node id %s: after a restart this node "
                "will have another id, unless node-id is set",
                made);
    if (rc == ODEZK_OK)
        memcpy(id, made, strlen(made) + 1);
    return rc;
}
