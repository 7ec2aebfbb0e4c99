// SPDX-License-Identifier: Apache-2.0
//
// Mark: how far one task is, in one row. The same bytes lie in `<app>-tasks` (key: the
// sub-topology's name and the partition) and in RocksDB (store MARK_STORE), written with the state
// they vouch for.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define MARK_STORE "weir.tasks"

struct mark_input {
    uint32_t topic; // hash_id of its name
    uint8_t topic_id[16];
    int64_t resume; // committed to the group: read from here after a restart
    int64_t read;   // records below were seen; those in [resume, read) come again as replays
};

struct mark_floor { // rows of the changelog before `offset` are in the state this mark vouches for
    uint32_t store;
    uint8_t topic_id[16];
    int64_t offset;
};

struct mark_saved { // an operator's bytes (op_ops.save)
    uint32_t op;    // hash_id of its name
    struct slice bytes;
};

struct mark {
    uint64_t epoch; // counts this task's commits
    int64_t watermark;
    int64_t wall_ms; // when it was made; INT64_MIN: a weir that did not say
    struct mark_input *inputs;
    uint32_t inputs_count;
    struct mark_floor *floors;
    uint32_t floors_count;
    struct mark_saved *saved;
    uint32_t saved_count;
    struct slice upstream; // the inputs' watermark vectors (runtime/watermark.h)
};

void mark_encode(const struct mark *m, struct buf *out);
// Arrays in the arena; `upstream` and `saved` point into `bytes`. -1: ERR_CORRUPT.
int mark_decode(struct slice bytes, struct arena *a, struct mark *out, struct err *err);
const struct mark_floor *mark_floor_of(const struct mark *m, uint32_t store);
const struct mark_input *mark_input_of(const struct mark *m, uint32_t topic);
