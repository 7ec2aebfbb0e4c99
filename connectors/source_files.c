// SPDX-License-Identifier: Apache-2.0
#include "connectors/source_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

// A path that exists is itself, whatever characters it has; otherwise it is a pattern.
static int list(const char *pattern, glob_t *g, struct err *e)
{
    struct stat st;
    memset(g, 0, sizeof *g);
    int flags = stat(pattern, &st) == 0 ? GLOB_NOCHECK | GLOB_NOESCAPE : 0;
    if (flags != 0 && strpbrk(pattern, "*?[") != NULL) {
        g->gl_pathv = check_alloc(calloc(2, sizeof *g->gl_pathv));
        g->gl_pathv[0] = check_alloc(strdup(pattern));
        g->gl_pathc = 1;
        return 0;
    }
    int rc = glob(pattern, flags, NULL, g);
    if (rc == 0 || rc == GLOB_NOMATCH)
        return 0;
    errno = rc == GLOB_NOSPACE ? ENOMEM : EIO;
    return err_io(e, "cannot list \"%s\"", pattern);
}

static bool is_file(const char *path, struct stat *st)
{
    return stat(path, st) == 0 && S_ISREG(st->st_mode);
}

static bool was_rotated(const struct file_position *p, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool rotated = file_position_is_rotated(p, fd);
    close(fd);
    return rotated;
}

static bool same_inode(const struct file_position *p, const struct stat *st)
{
    return (uint64_t)st->st_dev == p->id.device && (uint64_t)st->st_ino == p->id.inode;
}

int source_files_next(const char *pattern, const struct file_position *p, char *out, struct err *e)
{
    struct stat st;
    if (p->path[0] != 0 && is_file(p->path, &st) && !same_inode(p, &st)) {
        strcpy(out, p->path);
        return 1;
    }
    glob_t g;
    if (list(pattern, &g, e) != 0)
        return -1;
    int found = 0;
    for (size_t i = 0; i < g.gl_pathc && !found; i++) {
        const char *path = g.gl_pathv[i];
        if (p->path[0] != 0 && strcmp(path, p->path) <= 0)
            continue;
        if (strlen(path) >= PATH_MAX || !is_file(path, &st) || same_inode(p, &st) ||
            was_rotated(p, path))
            continue;
        strcpy(out, path);
        found = 1;
    }
    globfree(&g);
    return found;
}

// Is the open file the one in `p`, with at least what was read of it?
static bool is_it(int fd, const struct file_position *p)
{
    return file_id_matches(fd, &p->id) == 1;
}

static bool find_in_directory(const struct file_position *p, char *found)
{
    char copy[PATH_MAX];
    strcpy(copy, p->path);
    const char *dir = dirname(copy);
    DIR *d = opendir(dir);
    if (d == NULL)
        return false;
    bool hit = false;
    for (struct dirent *entry; !hit && (entry = readdir(d)) != NULL;) {
        if (entry->d_ino != p->id.inode)
            continue;
        int n = snprintf(found, PATH_MAX, "%s/%s", dir, entry->d_name);
        int fd = n < PATH_MAX ? open(found, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0) {
            hit = is_it(fd, p);
            close(fd);
        }
    }
    closedir(d);
    return hit;
}

static bool path_begins_alike(const struct file_position *p)
{
    int fd = p->id.covers == FILE_ID_BYTES ? open(p->path, O_RDONLY | O_CLOEXEC) : -1;
    bool alike = fd >= 0 && file_id_begins(fd, &p->id) == 1;
    if (fd >= 0)
        close(fd);
    return alike;
}

bool source_files_copied(const struct file_position *p)
{
    char found[PATH_MAX];
    struct stat st;
    return is_file(p->path, &st) && !same_inode(p, &st) && path_begins_alike(p) &&
           !find_in_directory(p, found);
}

enum file_fate source_files_find(const struct file_position *p, char *found)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC);
    bool there = fd >= 0, same = there && is_it(fd, p);
    if (there)
        close(fd);
    if (!same && find_in_directory(p, found))
        return FILE_RENAMED;
    strcpy(found, p->path);
    if (same || (there && path_begins_alike(p)))
        return FILE_SAME;
    return there ? FILE_CHANGED : FILE_GONE;
}

int64_t source_files_bytes(const char *pattern, const char *from)
{
    glob_t g;
    struct err ignored;
    struct stat st;
    int64_t total = 0;
    if (list(pattern, &g, &ignored) != 0)
        return 0;
    for (size_t i = 0; i < g.gl_pathc; i++)
        if (strcmp(g.gl_pathv[i], from) >= 0 && is_file(g.gl_pathv[i], &st))
            total += st.st_size;
    globfree(&g);
    return total;
}
