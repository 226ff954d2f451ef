#include "tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "odezk-sandbox."

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int open_dir(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Removes `path` if it is ours and its owner, whose lock went with it, is dead. */
static void sweep_one(const char *path)
{
    struct stat st;
    int fd = open_dir(path);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0)
        remove_tree(path);
    close(fd);
}

static void sweep(const char *parent)
{
    DIR *entries = opendir(parent);
    char path[PATH_MAX];

    if (!entries)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        if (snprintf(path, sizeof path, "%s/%s", parent, entry->d_name) < (int)sizeof path)
            sweep_one(path);
    }
    closedir(entries);
}

/* Makes the directory and locks it; 1 when somebody swept it away in between. */
static int make_locked(struct tempdir *dir, const char *parent)
{
    struct stat st;
    int len = snprintf(dir->path, sizeof dir->path, "%s/" PREFIX "XXXXXX", parent);

    if (len >= (int)sizeof dir->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (!mkdtemp(dir->path))
        return -1;
    int fd = open_dir(dir->path);
    if (fd < 0)
        return errno == ENOENT ? 1 : -1;
    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0) {
        int error = errno;
        rmdir(dir->path);
        close(fd);
        errno = error;
        return -1;
    }
    if (st.st_nlink == 0) {
        close(fd);
        return 1;
    }
    dir->lock = fd;
    return 0;
}

int tempdir_make(struct tempdir *dir, const char *parent)
{
    int result;

    dir->lock = -1;
    sweep(parent);
    do {
        result = make_locked(dir, parent);
    } while (result > 0);
    return result;
}

void tempdir_remove(struct tempdir *dir)
{
    if (dir->lock < 0)
        return;
    remove_tree(dir->path);
    close(dir->lock);
    dir->lock = -1;
}
