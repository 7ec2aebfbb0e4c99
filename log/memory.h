// SPDX-License-Identifier: Apache-2.0
//
// Memory: a log in memory for unit tests, `weir test` and the simulator: topics, partitions, group
// offsets, shared by any number of clients on ONE thread. Transactions are buffered by the client
// and become visible at commit, together with the group offsets, like the broker's.
//
// It is kinder than a broker in speed only. Faults come from a callback that is asked before each
// commit; a poll copies its records into memory of their own, which release frees, so that an
// address sanitizer sees every use after release; offsets may be made to have gaps.
//
// subscribe only tells the listener which partitions are this client's, from inside the first poll
// after it; reading starts where assign says. `wait_ms` is ignored: a poll never waits.
#pragma once

#include "log/log.h"

struct memory_log;

struct memory_log *memory_create(void);
void memory_destroy(struct memory_log *); // after its clients are closed

enum memory_fault {
    MEMORY_NORMAL,
    MEMORY_ABORT,           // nothing is written: LOG_ABORTED
    MEMORY_UNKNOWN_APPLIED, // written, but the answer is lost: LOG_UNKNOWN
    MEMORY_UNKNOWN_LOST,    // the question is lost: LOG_UNKNOWN, not written
    MEMORY_FENCE,           // as if another client had taken over: LOG_FENCED
};

struct memory_options {
    const char *transactional_id; // NULL: never fenced. Opening an id fences its older clients
    uint32_t poll_records;        // at most so many per poll; 0: 500
    uint64_t seed;                // 0: partitions in turn and full batches; else both vary by it
    enum memory_fault (*fault)(void *arg); // NULL: no faults. Also asked when a commit is repeated
    void *fault_arg;
};

struct log *memory_open(struct memory_log *, const struct memory_options *); // moved out: close it
// The client disappears as if its process was killed: pending records vanish, the struct is freed.
// A commit that was applied stays applied.
void memory_crash(struct log *);
void memory_poll_records(struct log *, uint32_t at_most); // from the next poll on

// --- the test's side ----------------------------------------------------------------------------

// Leaves one offset unused behind every transaction in each of its partitions, as a broker's end
// markers do.
void memory_gaps(struct memory_log *, bool on);
int memory_topic_create(struct memory_log *, const struct log_topic_spec *, struct err *);
// Writes outside any transaction; returns the offset. The topic must exist.
int64_t memory_produce(struct memory_log *, const char *topic, int32_t partition,
                       const struct log_record *);
// All records there are, markers too; borrowed until the log changes.
const struct rec *memory_records(struct memory_log *, const char *topic, int32_t partition,
                                 uint32_t *count);
int64_t memory_committed(struct memory_log *, const char *group, const char *topic,
                         int32_t partition); // -1: none
// Retention: drops what is below `start`.
void memory_trim(struct memory_log *, const char *topic, int32_t partition, int64_t start);
// Compaction: keeps the last record of each key, markers and records without a key.
void memory_compact(struct memory_log *, const char *topic);
