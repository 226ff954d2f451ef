#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <odezk/error.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse_error(int error, char *why, size_t size)
{
    snprintf(why, size, "found a file that cannot be read (%s), allowed: a readable file", strerror(error));
    return ODEZK_ECONFIG;
}

static int refuse_missing(const char *path, char *why, size_t size)
{
    struct stat link;

    if (lstat(path, &link) != 0)
        return ODEZK_ENOTFOUND;
    snprintf(why, size, "found a symbolic link to nothing, allowed: a file or a link to one");
    return ODEZK_ECONFIG;
}

static int check_type(int fd, char *why, size_t size)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return refuse_error(errno, why, size);
    if (S_ISREG(st.st_mode))
        return ODEZK_OK;
    snprintf(why, size, "found %s, allowed: a regular file",
             S_ISDIR(st.st_mode) ? "a directory" : "a pipe, socket or device");
    return ODEZK_ECONFIG;
}

/* Reads to the end, or a little past the bound. 0 or an errno. */
static int read_all(int fd, struct oz_buf *b)
{
    char chunk[8192];
    ssize_t n;

    while (b->len <= OZ_FILE_MAX) {
        n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n == 0)
            break;
        if (n > 0)
            oz_buf_add(b, chunk, (size_t)n);
    }
    return 0;
}

static int read_fd(int fd, struct oz_buf *out, char *why, size_t size)
{
    int error, rc = check_type(fd, why, size);

    if (rc != ODEZK_OK)
        return rc;
    error = read_all(fd, out);
    if (error)
        return refuse_error(error, why, size);
    if (out->len <= OZ_FILE_MAX)
        return out->failed ? ODEZK_ENOMEM : ODEZK_OK;
    snprintf(why, size, "found a file of more than 1 MiB, allowed: at most 1 MiB");
    return ODEZK_ECONFIG;
}

int oz_file_read(const char *path, struct oz_buf *out, char *why, size_t size)
{
    /* O_NONBLOCK: opening a pipe must not wait for somebody to write into it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

    if (fd < 0 && errno == ENOENT)
        return refuse_missing(path, why, size);
    if (fd < 0)
        return refuse_error(errno, why, size);
    rc = read_fd(fd, out, why, size);
    close(fd);
    return rc;
}
