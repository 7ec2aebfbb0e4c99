// SPDX-License-Identifier: Apache-2.0
//
// Intake: the records of one input partition that were fetched but not processed yet: a few leased
// batches in order. Full means: pause the partition.
//
// Thread: the task's worker. Leases go back to the log when a batch is used up.
#pragma once

#include "log/log.h"

enum { INTAKE_BATCHES_MAX = 2 };

struct intake {
    struct log *log; // borrowed
    struct rec_batch batches[INTAKE_BATCHES_MAX];
    uint32_t batches_count;
    uint32_t index;    // next record in batches[0]
    int64_t position;  // offset of the next record to process
    int64_t end_known; // end of the partition as the last fetch told; -1: nothing fetched yet
};

void intake_init(struct intake *in, struct log *log, int64_t position);
void intake_add(struct intake *in, const struct rec_batch *b); // moved in
bool intake_full(const struct intake *in);
// The next record, or NULL. Valid until intake_pop.
const struct rec *intake_head(struct intake *in);
void intake_pop(struct intake *in);
// Everything visible was processed, as far as is known.
bool intake_drained(const struct intake *in);
void intake_clear(struct intake *in, int64_t position); // gives all leases back
