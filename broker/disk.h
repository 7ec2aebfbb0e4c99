// SPDX-License-Identifier: Apache-2.0
//
// Disk: the few file operations the broker needs, whole or not at all: no short writes, no EINTR.
// The functions without `struct err` leave errno. Any thread.
#pragma once

#include <sys/uio.h>

#include "base/buf.h"
#include "base/err.h"

int disk_write(int fd, const void *p, size_t n, int64_t at);
int disk_write2(int fd, struct slice a, struct slice b, int64_t at); // a, then b
int64_t disk_read(int fd, void *p, size_t n, int64_t at); // bytes read: short at the end; -1
int disk_zero(int fd, int64_t at, int64_t n);             // writes zeros: later syncs find blocks
int disk_sync_dir(const char *path);
int disk_make_dir(const char *path, struct err *);
// Replaces dir/name: temporary file, fsync, rename, fsync of the directory.
int disk_replace(const char *dir, const char *name, struct slice content, struct err *);
// Appends the file's bytes to `out`; ERR_NOT_FOUND when there is none.
int disk_load(const char *path, struct buf *out, struct err *);
// Removes a directory and the files in it (our directories hold no directories).
int disk_remove_dir(const char *path, struct err *);
