// SPDX-License-Identifier: Apache-2.0
//
// Snapshot: the file `snapshot`: everything the journal said up to a point, as entries, with a
// checksum. Recovery loads it and replays the journals from `journal` on. It is replaced whole
// (temporary file, fsync, rename, fsync of the directory), so a crash leaves the old or the new.
//
// Checkpoint: sync what lies in segments unsynced; close the gate; drain the journal; write down
// the state in memory and turn to a new journal file; open the gate; sync the rest; put the
// snapshot in place; delete the older journals.
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct broker;

struct snapshot_head {
    uint64_t journal;  // first journal file to replay
    uint64_t sequence; // of its first frame
    uint32_t next_partition;
};

// Appends a whole file's bytes. The caller holds the gate exclusively (or is alone).
void snapshot_build(struct broker *, const struct snapshot_head *, struct buf *out);
// Checks a file's bytes; *entries is borrowed from them.
int snapshot_parse(struct slice file, const char *path, struct snapshot_head *,
                   struct slice *entries, struct err *);
