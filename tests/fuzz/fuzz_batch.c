// SPDX-License-Identifier: Apache-2.0
//
// Any bytes through the codec: parse, check, unpack (bounded), iterate, headers, markers, origins.
// The checksum is made right first, or nearly all inputs would end there.
#include "log/batch.h"
#include "log/crc32c.h"
#include "log/marker.h"
#include "log/origin.h"
#include "log/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct slice batch, const struct batch_header *h, struct buf *scratch)
{
    struct err e;
    struct slice records;
    scratch->n = 0;
    if (batch_records(batch, h, 1 << 20, scratch, &records, &e) != 0)
        return;
    CHECK(scratch->n <= 1 << 20);
    struct batch_iter it;
    struct rec r;
    batch_iter_init(&it, h, records);
    uint64_t sum = 0;
    while (batch_next(&it, &r) == 1) {
        for (uint32_t i = 0; i < r.value.n; i++)
            sum += r.value.p[i];
        for (uint32_t i = 0; i < r.key.n; i++)
            sum += r.key.p[i];
        struct batch_headers headers;
        struct log_header header;
        batch_headers_init(&headers, &r);
        while (batch_headers_next(&headers, &header) == 1)
            sum += header.name.n + (header.value.n > 0 ? header.value.p[header.value.n - 1] : 0);
        struct marker m;
        sum += (uint64_t)marker_decode(r.value, &m) + origin_of(&r, 1, 2).sequence;
    }
    volatile uint64_t used = sum;
    (void)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 20)
        return 0;
    struct err e;
    struct buf scratch;
    buf_init(&scratch);
    unpack((enum batch_codec)(data[0] % 6), slice_of(data + 1, size - 1), 1 << 18, &scratch, &e);
    uint8_t *copy = check_alloc(malloc(size));
    memcpy(copy, data, size);
    if (size >= BATCH_HEADER) {
        bytes_put32(copy + 8, (uint32_t)size - BATCH_PREFIX);
        copy[16] = 2;
        bytes_put32(copy + 17, crc32c(copy + 21, size - 21));
    }
    struct batch_header h;
    struct slice batch = slice_of(copy, size);
    if (batch_header_parse(batch, &h) == 1) {
        walk(batch, &h, &scratch);
        if (batch_check(batch, &h, &e) == 0)
            batch_check_records(batch, &h, (data[0] & 1) != 0, &scratch, &e);
    }
    free(copy);
    buf_release(&scratch);
    return 0;
}
