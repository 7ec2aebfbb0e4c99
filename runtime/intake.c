// SPDX-License-Identifier: Apache-2.0
#include "runtime/intake.h"

#include "base/check.h"

void intake_init(struct intake *in, struct log *log, int64_t position)
{
    *in = (struct intake){.log = log, .position = position, .end_known = -1};
}

bool intake_full(const struct intake *in)
{
    return in->batches_count == INTAKE_BATCHES_MAX;
}

static void drop_first(struct intake *in)
{
    in->position = in->batches[0].next_offset;
    in->log->ops->release(in->log, &in->batches[0]);
    in->batches_count--;
    memmove(&in->batches[0], &in->batches[1], in->batches_count * sizeof(in->batches[0]));
    in->index = 0;
}

// Batches without records (gaps, foreign control records) only move the position.
static void skip_empty(struct intake *in)
{
    while (in->batches_count != 0 && in->index == in->batches[0].count)
        drop_first(in);
}

void intake_add(struct intake *in, const struct rec_batch *b)
{
    CHECK(!intake_full(in));
    in->batches[in->batches_count++] = *b;
    in->end_known = b->end_offset;
    skip_empty(in);
}

const struct rec *intake_head(struct intake *in)
{
    return in->batches_count == 0 ? NULL : &in->batches[0].recs[in->index];
}

void intake_pop(struct intake *in)
{
    CHECK(in->batches_count != 0);
    in->position = in->batches[0].recs[in->index].offset + 1;
    in->index++;
    skip_empty(in);
}

bool intake_drained(const struct intake *in)
{
    return in->batches_count == 0 && in->end_known >= 0 && in->position >= in->end_known;
}

void intake_clear(struct intake *in, int64_t position)
{
    while (in->batches_count != 0)
        drop_first(in);
    in->position = position;
    in->end_known = -1;
}
