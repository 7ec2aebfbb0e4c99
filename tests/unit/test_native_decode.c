// SPDX-License-Identifier: Apache-2.0
//
// The native client's decoder over hand-made batches: what a broker may hand out, also what only
// other clients write (classic transactions, compression) and what no broker should hand out.
#include "log/crc32c.h"
#include "log/marker.h"
#include "log/native_client.h"

#include <zstd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct err e;

struct fixture {
    struct batch_builder b;
    struct native_lease lease;
    struct broker_read read;
    int64_t next; // offset of the next batch
    uint32_t count;
};

static int setup(void **state)
{
    struct fixture *f = check_alloc(calloc(1, sizeof *f));
    batch_builder_init(&f->b);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < f->lease.unpacked_size; i++)
        buf_release(&f->lease.unpacked[i]);
    free(f->lease.unpacked);
    free(f->lease.recs);
    buf_release(&f->lease.bytes);
    batch_builder_release(&f->b);
    free(f);
    return 0;
}

// Puts the finished batch behind the others, at the next offset.
static void place(struct fixture *f, struct slice batch)
{
    struct batch_header h;
    struct buf *out = &f->lease.bytes;
    uint32_t at = out->n;
    buf_slice_put(out, batch);
    batch_set_base_offset(out->p + at, f->next);
    assert_int_equal(batch_header_parse(slice_of(out->p + at, out->n - at), &h), 1);
    f->next = batch_last_offset(&h) + 1;
    f->read.next_offset = f->next;
    batch_reset(&f->b);
}

static struct slice data(struct fixture *f, const char *values, int64_t producer)
{
    struct batch_producer p = {producer, 0, 0};
    batch_begin(&f->b, 100, producer >= 0 ? BATCH_TRANSACTIONAL : 0);
    for (const char *v = values; *v != 0; v++)
        batch_append(&f->b, &(struct log_record){.time = 100, .value = slice_of(v, 1)});
    return batch_finish(&f->b, producer >= 0 ? &p : NULL);
}

static struct slice end(struct fixture *f, enum batch_control type, int64_t producer)
{
    batch_begin(&f->b, 100, BATCH_CONTROL | BATCH_TRANSACTIONAL);
    batch_append_end(&f->b, 100, type, 0);
    return batch_finish(&f->b, &(struct batch_producer){producer, 0, -1});
}

static struct slice marker(struct fixture *f, const char *value)
{
    batch_begin(&f->b, 100, BATCH_CONTROL);
    batch_append(&f->b,
                 &(struct log_record){.time = 100, .value = slice_str(value), .marker = true});
    return batch_finish(&f->b, NULL);
}

static struct slice compressed(struct slice plain, uint8_t *out, size_t size)
{
    memcpy(out, plain.p, BATCH_HEADER);
    size_t n = ZSTD_compress(out + BATCH_HEADER, size - BATCH_HEADER, plain.p + BATCH_HEADER,
                             plain.n - BATCH_HEADER, 1);
    assert_false(ZSTD_isError(n));
    n += BATCH_HEADER;
    bytes_put32(out + 8, (uint32_t)n - BATCH_PREFIX);
    bytes_put16(out + 21, BATCH_ZSTD);
    bytes_put32(out + 17, crc32c(out + 21, n - 21));
    return slice_of(out, n);
}

// Decodes all from `from` and compares the values' first bytes, markers in upper case.
static void expect(struct fixture *f, int64_t from, const char *want)
{
    memset(buf_reserve(&f->lease.bytes, REC_PADDING), 0, REC_PADDING);
    assert_true(native_decode(&f->lease, from, &f->read, &f->count, &e) == f->next);
    char got[64] = {0};
    for (uint32_t i = 0; i < f->count; i++) {
        const struct rec *r = &f->lease.recs[i];
        assert_true(r->offset >= from && (i == 0 || r->offset > r[-1].offset));
        assert_int_equal(r->flags == REC_MARKER, r->value.p[0] < 'a');
        got[i] = (char)r->value.p[0];
    }
    assert_string_equal(got, want);
}

static void plain_and_markers(void **state)
{
    struct fixture *f = *state;
    place(f, data(f, "abc", -1));
    place(f, marker(f, "M"));
    place(f, data(f, "de", -1));
    expect(f, 0, "abcMde");
    assert_true(f->lease.recs[3].key.p == NULL);
    expect(f, 2, "cMde");
    expect(f, 3, "Mde");
    expect(f, 4, "de");
    expect(f, 5, "e");
}

static void aborted_transactions_are_dropped(void **state)
{
    struct fixture *f = *state;
    place(f, data(f, "ab", 7)); // 0, 1: aborted
    place(f, data(f, "cd", 8)); // 2, 3: committed
    place(f, data(f, "x", -1)); // 4
    place(f, data(f, "e", 7));  // 5: aborted
    place(f, end(f, BATCH_ABORT, 7));
    place(f, end(f, BATCH_COMMIT, 8));
    place(f, data(f, "fg", 7)); // 8, 9: committed by the same producer
    place(f, end(f, BATCH_COMMIT, 7));
    place(f, data(f, "hi", 7)); // 11, 12: aborted
    place(f, end(f, BATCH_ABORT, 7));
    static const struct {
        int64_t from;
        const char *want;
    } cases[] = {{0, "cdxfg"}, {3, "dxfg"}, {5, "fg"}, {9, "g"}, {11, ""}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct broker_aborted aborted[2] = {{7, 0}, {7, 11}};
        f->read.aborted = aborted;
        f->read.aborted_count = 2;
        expect(f, cases[i].from, cases[i].want);
    }
}

static void compressed_batches_keep_their_places(void **state)
{
    struct fixture *f = *state;
    enum { N = 40 }; // more than one growth of the list of buffers
    uint8_t out[4096];
    char want[N * 2 + 1] = {0};
    for (int i = 0; i < N / 2; i++) {
        char values[3] = {(char)('a' + i), (char)('a' + i), 0};
        place(f, compressed(data(f, values, -1), out, sizeof out));
        memcpy(want + 2 * i, values, 2);
    }
    expect(f, 0, want);
    expect(f, 1, want + 1);
}

static void a_bad_batch_comes_alone(void **state)
{
    struct fixture *f = *state;
    place(f, data(f, "ab", -1));
    place(f, data(f, "cd", -1));
    f->lease.bytes.p[f->lease.bytes.n - 2] ^= 1;
    assert_int_equal(native_decode(&f->lease, 0, &f->read, &f->count, &e), 2);
    assert_int_equal(f->count, 2);
    assert_int_equal(native_decode(&f->lease, 2, &f->read, &f->count, &e), -1);
    assert_int_equal(e.code, ERR_CORRUPT);
}

static void offsets_that_compaction_left_empty(void **state)
{
    struct fixture *f = *state;
    batch_begin(&f->b, 1, 0);
    place(f, batch_finish_at(&f->b, NULL, 9));
    expect(f, 3, "");
    f->read.next_offset = f->next = 25; // whole batches are gone
    expect(f, 3, "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(plain_and_markers),
        CASE(aborted_transactions_are_dropped),
        CASE(compressed_batches_keep_their_places),
        CASE(a_bad_batch_comes_alone),
        CASE(offsets_that_compaction_left_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
