// SPDX-License-Identifier: Apache-2.0
#include "runtime/dead_letter.h"

#include <inttypes.h>

int dead_letter_append(struct log *log, struct log_tp to, const struct dead_letter *d,
                       struct err *err)
{
    char partition[16], offset[24];
    snprintf(partition, sizeof(partition), "%" PRId32, d->partition);
    snprintf(offset, sizeof(offset), "%" PRId64, d->offset);
    struct log_header headers[DEAD_LETTER_HEADERS] = {
        {slice_str("weir.app"), slice_str(d->app)},
        {slice_str("weir.stage"), slice_str(d->stage)},
        {slice_str("weir.where"), slice_str(d->where == NULL ? "" : d->where)},
        {slice_str("weir.class"), slice_str(d->error_class)},
        {slice_str("weir.cause"), slice_str(d->cause)},
        {slice_str("weir.topic"), slice_str(d->topic)},
        {slice_str("weir.partition"), slice_str(partition)},
        {slice_str("weir.offset"), slice_str(offset)},
    };
    struct log_record r = {.time = d->time,
                           .key = d->key,
                           .value = d->value,
                           .headers = headers,
                           .headers_count = DEAD_LETTER_HEADERS};
    return log->ops->append(log, to, &r, err);
}
