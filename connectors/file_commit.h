// SPDX-License-Identifier: Apache-2.0
//
// File commit: the ledger of a file sink: one numbered entry after another in `_commit/`, per topic
// and partition. An entry names the files it makes visible and the offset to go on from; the newest
// one is the truth, and the only place where a sink's consumed offset lives.
//
//   _commit/<topic>-<partition>-<number, 12 digits>.json
//
// Invariants
// L1  An entry appears whole or not at all (written aside, synced, link(2)), and its number is
// taken
//     by exactly one writer: the second one gets ERR_FENCED and must stop.
// L2  Opening takes a number of its own with an entry that lists no files. From then on an earlier
//     owner that still lives cannot commit: its next number is gone. Only after that are stray
//     temporary files deleted, so no file that could still be committed is.
// L3  Temporary names carry the opening's number, so two owners never write the same file.
// L4  Files are synced, and their directory too, before the entry; renamed after it. A crash
// between
//     the two is repaired at the next opening. Entries are never deleted (a hole would let an old
//     owner in): one small file per finished file.
//
// One thread. Failure: ERR_IO, ERR_FENCED; ERR_INVALID when the directory belongs to something else
// (another topic of that name, another format) or an entry cannot be read.
#pragma once

#include "log/log.h"

enum { FILE_COMMIT_NAME = 320 };

struct sink_file { // a finished file
    char name[FILE_COMMIT_NAME];
    int64_t rows, bytes;
    int64_t first_offset, last_offset;
    int64_t min_time, max_time;
    uint32_t crc32; // of the bytes, as zlib's crc32
};

struct file_commit {
    int dir, entries; // descriptors
    char *path;       // of the directory, for messages
    char topic[250];
    uint8_t topic_id[16];
    int32_t partition;
    char format[16];
    int64_t opening;     // our opening entry's number
    int64_t number;      // the newest entry's
    int64_t next_offset; // -1: nothing consumed yet
    int64_t next_row;
};

// Creates the directories, repairs what a crash left, takes ownership.
int file_commit_open(struct file_commit *, const char *path, const struct log_topic_info *,
                     int32_t partition, const char *format, struct err *);
void file_commit_close(struct file_commit *);
// "<topic>-<partition>-<first row>.<format>" and the name it is written under.
void file_commit_names(const struct file_commit *, int64_t first_row, char name[FILE_COMMIT_NAME],
                       char tmp[FILE_COMMIT_NAME]);
// Makes finished, synced temporary files visible and the offsets durable, in one entry.
int file_commit_add(struct file_commit *, const struct sink_file *, uint32_t n, int64_t next_offset,
                    int64_t next_row, struct err *);
