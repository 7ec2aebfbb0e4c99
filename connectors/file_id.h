// SPDX-License-Identifier: Apache-2.0
//
// File id: which file is this, across restarts and renames. Device and inode alone are not enough
// (inodes are reused after a rotation), so a fingerprint of the file's first bytes (up to 1 KiB of
// them, as many as there were) goes with them. A growing file keeps its fingerprint, since only the
// bytes that were there are compared.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct file_id {
    uint64_t device, inode;
    uint64_t fingerprint; // of the first `covers` bytes
    uint32_t covers;      // 0 … FILE_ID_BYTES; 0: the file was empty
};

enum { FILE_ID_BYTES = 1024 };

int file_id_of(int fd, struct file_id *out, struct err *);
static inline bool file_id_same_inode(const struct file_id *a, const struct file_id *b)
{
    return a->device == b->device && a->inode == b->inode;
}
// Does the open file still begin with the bytes that `id` was made of? -1: cannot be read.
int file_id_begins(int fd, const struct file_id *id);
// Same inode and same beginning. -1: cannot be read.
int file_id_matches(int fd, const struct file_id *id);
