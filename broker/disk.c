// SPDX-License-Identifier: Apache-2.0
#include "broker/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ZERO_CHUNK = 1 << 16 };

int disk_write(int fd, const void *p, size_t n, int64_t at)
{
    const uint8_t *from = p;
    while (n != 0) {
        ssize_t done = pwrite(fd, from, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return -1;
        }
        from += done;
        n -= (size_t)done;
        at += done;
    }
    return 0;
}

int disk_write2(int fd, struct slice a, struct slice b, int64_t at)
{
    struct iovec v[2] = {{(void *)(uintptr_t)a.p, a.n}, {(void *)(uintptr_t)b.p, b.n}};
    ssize_t done;
    do {
        done = pwritev(fd, v, 2, at);
    } while (done < 0 && errno == EINTR);
    if (done < 0)
        return -1;
    size_t left_a = (size_t)done < a.n ? a.n - (size_t)done : 0;
    if (left_a != 0 && disk_write(fd, a.p + (a.n - left_a), left_a, at + a.n - (int64_t)left_a) < 0)
        return -1;
    size_t done_b = left_a != 0 ? 0 : (size_t)done - a.n;
    return disk_write(fd, b.p + done_b, b.n - done_b, at + a.n + (int64_t)done_b);
}

int64_t disk_read(int fd, void *p, size_t n, int64_t at)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd, (uint8_t *)p + got, n - got, at + (int64_t)got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        got += (size_t)r;
    }
    return (int64_t)got;
}

int disk_zero(int fd, int64_t at, int64_t n)
{
    static const uint8_t zeros[ZERO_CHUNK];
    while (n > 0) {
        int64_t step = n < ZERO_CHUNK ? n : ZERO_CHUNK;
        if (disk_write(fd, zeros, (size_t)step, at) < 0)
            return -1;
        at += step;
        n -= step;
    }
    return 0;
}

int disk_sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int r = fsync(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return r;
}

int disk_make_dir(const char *path, struct err *e)
{
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return err_io(e, "cannot create directory %s", path);
    return 0;
}

static int write_new(const char *path, struct slice content, struct err *e)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_io(e, "cannot create %s", path);
    int r = 0;
    if (disk_write(fd, content.p, content.n, 0) < 0 || fsync(fd) < 0)
        r = err_io(e, "cannot write %s", path);
    close(fd);
    return r;
}

int disk_replace(const char *dir, const char *name, struct slice content, struct err *e)
{
    char to[PATH_SIZE], tmp[PATH_SIZE];
    snprintf(to, sizeof(to), "%s/%s", dir, name);
    snprintf(tmp, sizeof(tmp), "%s/%s.tmp", dir, name);
    if (write_new(tmp, content, e) < 0) {
        unlink(tmp);
        return -1;
    }
    if (rename(tmp, to) < 0 || disk_sync_dir(dir) < 0)
        return err_io(e, "cannot put %s in place", to);
    return 0;
}

int disk_load(const char *path, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bool missing = errno == ENOENT;
        err_io(e, "cannot open %s", path);
        e->code = missing ? ERR_NOT_FOUND : ERR_IO;
        return -1;
    }
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) < 0) {
        r = err_io(e, "cannot read %s", path);
    } else if (st.st_size > INT32_MAX) {
        r = err_set(e, ERR_CORRUPT, "%s is too large (%lld bytes)", path, (long long)st.st_size);
    } else if (st.st_size != 0) {
        int64_t got = disk_read(fd, buf_reserve(out, (uint32_t)st.st_size), (size_t)st.st_size, 0);
        if (got < 0)
            r = err_io(e, "cannot read %s", path);
        else
            out->n += (uint32_t)got;
    }
    close(fd);
    return r;
}

int disk_remove_dir(const char *path, struct err *e)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return errno == ENOENT ? 0 : err_io(e, "cannot list %s", path);
    struct dirent *f;
    while ((f = readdir(d)) != NULL) {
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0)
            unlinkat(dirfd(d), f->d_name, 0);
    }
    closedir(d);
    if (rmdir(path) < 0)
        return err_io(e, "cannot remove directory %s", path);
    return 0;
}
