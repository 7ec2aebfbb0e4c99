// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as CSV: whole and in pieces must give the same rows; every byte belongs to one row.
#include "base/hash.h"
#include "formats/csv.h"

static uint64_t read_rows(const uint8_t *data, uint32_t size, uint32_t step)
{
    struct csv *c = csv_new(',');
    struct csv_row row;
    struct err e;
    uint32_t from = 0, to = step < size ? step : size;
    uint64_t hash = 0;
    for (;;) {
        int r = csv_next(c, slice_of(data + from, to - from), to == size, &row, &e);
        if (r == 0 && to == size)
            break;
        if (r == 0) {
            to = size - to < step ? size : to + step;
            continue;
        }
        CHECK(row.begin == data + from && row.end > row.begin && row.end <= data + to);
        for (uint32_t i = 0; r == 1 && i < row.count; i++)
            hash = hash_mix(hash ^ hash_bytes(row.fields[i])) + row.quoted[i];
        from = (uint32_t)(row.end - data);
        hash = hash_mix(hash + (r == 1));
    }
    CHECK(from == size || (from == 0 && size == 3)); // a BOM alone is no row
    csv_free(c);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint64_t whole = read_rows(data, (uint32_t)size, (uint32_t)size);
    uint64_t pieces = read_rows(data, (uint32_t)size, 1 + (uint32_t)(size % 7));
    CHECK(whole == pieces);
    return 0;
}
