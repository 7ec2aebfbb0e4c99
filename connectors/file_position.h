// SPDX-License-Identifier: Apache-2.0
//
// File position: how far a file source has read: what goes, as JSON, into `<app>-sources` in the
// same transaction as the rows it covers. Plain data, copied by assignment.
#pragma once

#include "connectors/file_id.h"
#include "formats/value.h"

#include <limits.h>

enum { FILE_POSITION_ROTATED = 8 };

struct file_position {
    char path[PATH_MAX]; // as found by the pattern; "": no file was begun yet
    struct file_id id;
    int64_t byte;      // of the uncompressed text, at a row boundary
    int64_t line;      // lines before `byte`
    int64_t row;       // rows before it, over all files: the next row's origin offset
    uint64_t header;   // hash of the header row; 0: none
    int64_t max_time;  // highest event time seen; INT64_MIN: none
    int64_t watermark; // as last announced; INT64_MIN: none
    bool ended;        // the last announcement was an end marker
    // Files that were renamed away after they had been read to their end, newest first: a pattern
    // that matches their new names must not read them again.
    struct file_id rotated[FILE_POSITION_ROTATED];
    uint32_t rotated_count;
};

void file_position_init(struct file_position *);
void file_position_encode(const struct file_position *, struct buf *out);
// -1 (ERR_CORRUPT): not a position that this version wrote.
int file_position_decode(struct slice json, struct file_position *out, struct err *);
void file_position_rotate(struct file_position *, const struct file_id *);
bool file_position_is_rotated(const struct file_position *, int fd);
