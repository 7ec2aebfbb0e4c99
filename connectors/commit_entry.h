// SPDX-License-Identifier: Apache-2.0
//
// Commit entry: one entry of a file sink's ledger (file_commit.h) as JSON, so that people and
// scripts can read what was written, from which offsets, and check it.
#pragma once

#include "base/buf.h"
#include "connectors/file_commit.h"

struct commit_entry {
    int64_t number, opening;
    char topic[250];
    uint8_t topic_id[16];
    int32_t partition;
    char format[16];
    int64_t next_offset, next_row;
    struct sink_file *files; // decode: owned, freed by release; encode: borrowed
    uint32_t files_count;
};

void commit_entry_encode(const struct commit_entry *, struct buf *out);
// -1 (ERR_CORRUPT): not an entry that this version wrote; nothing to release then.
int commit_entry_decode(struct slice json, struct commit_entry *out, struct err *);
void commit_entry_release(struct commit_entry *);
