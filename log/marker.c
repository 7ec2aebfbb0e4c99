// SPDX-License-Identifier: Apache-2.0
//
// version 1 | flags 1 | group 4 | writer 4 | writers 4 | watermark 8, big-endian. A later version
// may append fields; a reader of this one ignores them.
#include "log/marker.h"

enum { VERSION = 0, SIZE = 22 };

void marker_encode(const struct marker *m, struct buf *out)
{
    uint8_t *p = buf_reserve(out, SIZE);
    p[0] = VERSION;
    p[1] = m->flags;
    bytes_put32(p + 2, m->group);
    bytes_put32(p + 6, (uint32_t)m->writer);
    bytes_put32(p + 10, (uint32_t)m->writers);
    bytes_put64(p + 14, (uint64_t)m->watermark);
    out->n += SIZE;
}

int marker_decode(struct slice value, struct marker *out)
{
    if (value.p == NULL || value.n < SIZE)
        return -1;
    const uint8_t *p = value.p;
    *out = (struct marker){
        .group = bytes_get32(p + 2),
        .writer = (int32_t)bytes_get32(p + 6),
        .writers = (int32_t)bytes_get32(p + 10),
        .watermark = (int64_t)bytes_get64(p + 14),
        .flags = p[1],
    };
    return out->writers < 1 || out->writer < 0 || out->writer >= out->writers ? -1 : 0;
}
