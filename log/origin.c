// SPDX-License-Identifier: Apache-2.0
#include "log/origin.h"

#include "log/batch.h"

void origin_encode(const struct origin *o, uint8_t out[ORIGIN_SIZE])
{
    bytes_put32(out, o->topic);
    bytes_put32(out + 4, (uint32_t)o->partition);
    bytes_put64(out + 8, (uint64_t)o->offset);
    bytes_put32(out + 16, o->sequence);
}

struct origin origin_of(const struct rec *r, uint32_t topic_id, int32_t partition)
{
    struct slice v;
    if (r->header_count == 0 || !batch_headers_find(r, "o", &v) || v.n != ORIGIN_SIZE)
        return (struct origin){topic_id, partition, r->offset, 0};
    return (struct origin){
        .topic = bytes_get32(v.p),
        .partition = (int32_t)bytes_get32(v.p + 4),
        .offset = (int64_t)bytes_get64(v.p + 8),
        .sequence = bytes_get32(v.p + 16),
    };
}
