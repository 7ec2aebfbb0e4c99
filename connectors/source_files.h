// SPDX-License-Identifier: Apache-2.0
//
// Source files: the files a path or pattern stands for, in name order, and what became of one that
// was read before (still there, renamed, rewritten). Looks at the file system anew at each call.
#pragma once

#include "connectors/file_position.h"

// The file to read after the one in `p` (the first one when p->path is ""): a new file under the
// same name after a rotation, else the next name. 1: found, `out` holds PATH_MAX bytes; 0: none
// now; -1: error.
int source_files_next(const char *pattern, const struct file_position *p, char *out, struct err *);

enum file_fate {
    FILE_SAME,    // under its name, or a copy of it is (same first 1 KiB)
    FILE_RENAMED, // found in the same directory under another name
    FILE_CHANGED, // its name now holds other bytes (truncated, rewritten) or another file
    FILE_GONE,    // nothing under its name, and not found by identity
};
// What became of the file in `p`; `found` (PATH_MAX bytes) is where it is, for SAME and RENAMED.
enum file_fate source_files_find(const struct file_position *p, char *found);
// Its name now holds another inode with the same first 1 KiB, and itself is nowhere to be found: it
// was replaced by a copy (a complete download, a restored backup), not rotated.
bool source_files_copied(const struct file_position *p);
// Bytes of all files from `from` (a path; "": the first) on.
int64_t source_files_bytes(const char *pattern, const char *from);
