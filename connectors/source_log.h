// SPDX-License-Identifier: Apache-2.0
//
// Source log: a source connector's side of the log: its topic, its position in `<app>-sources`, its
// markers, and the transaction that holds all three together.
//
// Invariants
// S1  A position is written only in the transaction that holds the records it covers; so after any
//     crash the stored position and the records agree.
// S2  A marker follows its data: it is the last thing appended to every partition of the topic.
//
// One thread. Failure: as the log's. A commit that aborts tells the caller to rewind to its last
// committed position.
#pragma once

#include "connectors/connector.h"
#include "log/marker.h"
#include "log/origin.h"

struct source_log {
    struct connector_ctx *ctx; // borrowed
    uint32_t topic, offsets;   // handles
    int32_t partitions;
    uint32_t group;    // of the markers; also the topic in every origin
    bool open;         // a transaction is
    int64_t opened_ms; // monotonic, when it was begun
    uint32_t rows;     // appended in it
    size_t bytes;      // roughly, in it
    struct buf scratch;
};

// Opens the topic and `<app>-sources`, creating what is missing.
int source_log_open(struct source_log *, struct connector_ctx *, struct err *);
void source_log_close(struct source_log *); // aborts what is open
// The stored position of this source: 1 and its bytes in `out`; 0: none; -1.
int source_log_load(struct source_log *, struct buf *out, struct err *);
int source_log_begin(struct source_log *, struct err *); // if not open yet
struct source_record {
    int64_t time;
    int64_t row; // the origin's offset
    int32_t partition;
    struct slice key, value;
};
int source_log_append(struct source_log *, const struct source_record *, struct err *);
int source_log_dead_letter(struct source_log *, const char *cause, const char *where,
                           struct slice value, struct err *);

struct source_mark { // what to announce, if anything
    bool announce;
    int64_t watermark;
    uint8_t flags; // enum marker_flags
};
// 0: committed; 1: aborted, rewind; -1: ERR_FENCED, ERR_UNKNOWN or what the log says.
int source_log_commit(struct source_log *, const struct source_mark *, struct slice position,
                      struct err *);
