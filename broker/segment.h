// SPDX-License-Identifier: Apache-2.0
//
// Segment: a file of record batches, exactly as on the wire, and the sparse index over it.
//
// `<base offset>.log` holds batches and nothing else; `<base offset>.index` is a cache: a missing,
// short or damaged one is rebuilt from the log. An index mark says where a batch begins and the
// highest record time of the segment before it, so one list answers offset and time questions.
//
// A segment is shared: the partition holds one reference, each reader and the committer take their
// own, and the file is closed with the last. `size`, `end_offset`, `max_time` and the marks change
// only for the active segment, under the partition's state lock.
//
// S1  Positions of marks and their offsets and times never decrease.
// S2  A sealed segment's bytes never change; compaction makes a new segment.
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "broker/head.h"

struct segment_mark {
    int64_t offset, position, max_before;
};

// How far a segment goes: to go back to when a call fails midway, and for snapshots.
struct segment_point {
    int64_t size, end_offset, max_time;
    uint32_t marks_count;
};

struct segment {
    const char *dir; // the partition's, borrowed
    int64_t base;
    int fd;
    atomic_int refs;
    int64_t size;       // bytes of whole batches
    int64_t end_offset; // after the last batch
    int64_t max_time;   // of data records; INT64_MIN when there is none
    int64_t created_ms; // wall clock of its first append here, or of its file's last change
    atomic_bool dirty;  // has bytes that no sync has covered
    bool sealed;        // no more appends
    bool checkpointed;  // sealed and known, with its size, to the snapshot
    bool tombstones;    // rewritten, and holds tombstones
    int64_t cleaned_at; // wall clock of its compaction; 0: never
    struct segment_mark *marks;
    uint32_t marks_count, marks_size;
    bool indexed; // marks are loaded (sealed segments load them at first use)
    // Kept by checkpoints and recovery: what the last snapshot says.
    bool in_snapshot;
    struct segment_point snapshot;
};

enum { SEGMENT_PATH = 4096 };

void segment_path(char out[SEGMENT_PATH], const char *dir, int64_t base, const char *suffix);
// Creates an empty segment and makes its name durable. NULL on error.
struct segment *segment_create(const char *dir, int64_t base, struct err *);
// One that should exist, not opened yet (recovery); segment_attach opens it (ERR_NOT_FOUND).
struct segment *segment_expect(const char *dir, int64_t base);
int segment_attach(struct segment *, struct err *);
struct segment *segment_ref(struct segment *);
void segment_unref(struct segment *);
void segment_remove_files(const struct segment *);

// A batch now lies at s->size: grows the segment and marks it when it is time to.
void segment_note(struct segment *, const struct head *);
struct segment_point segment_point(const struct segment *);
void segment_rewind(struct segment *, struct segment_point);

// A position at or before the batch that holds `offset`, or the first with a time >= `time`.
int64_t segment_seek(const struct segment *, int64_t offset);
int64_t segment_seek_time(const struct segment *, int64_t time);

// Calls `each` for every batch in [from, to), in order, after checking its crc and that offsets
// grow. `batch` is borrowed during the call; `each` returns -1 to stop with its own error.
// ERR_CORRUPT names the file and the position.
typedef int (*segment_each)(void *arg, const struct head *, struct slice batch, int64_t position,
                            struct err *);
int segment_scan(struct segment *, int64_t from, int64_t to, segment_each, void *arg, struct err *);

// --- index (segment_index.c)

// Makes marks, max_time and end_offset right for the first s->size bytes: from the index file
// where that is good and covers no more than `trusted` bytes, else from the log. `now`: load the
// marks too, not at first use.
int segment_index_load(struct segment *, int64_t trusted, bool now, struct err *);
// Loads marks that segment_index_load left on disk; scans when they have gone bad since.
int segment_index_need(struct segment *, struct err *);
// Writes the index up to `point`. It is a cache: errors are ignored.
void segment_index_save(const struct segment *, struct segment_point point);
