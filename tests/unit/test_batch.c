// SPDX-License-Identifier: Apache-2.0
//
// The codec: checksums and hashes against published vectors, round trips through builder and
// iterator, every compression, and what happens to damaged bytes.
#include "log/batch.h"
#include "log/crc32c.h"
#include "log/marker.h"
#include "log/murmur2.h"
#include "log/origin.h"
#include "log/unpack.h"
#include "base/prng.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void crc32c_vectors(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(crc32c("123456789", 9), 0xe3069283); // RFC 3720 and others
    assert_int_equal(crc32c(zeros, 32), 0x8a9136aa);
    assert_int_equal(crc32c(ones, 32), 0x62a8ab43);
    assert_int_equal(crc32c("", 0), 0);
}

static void crc32c_agrees_with_portable(void **state)
{
    (void)state;
    enum { N = 40000 };
    uint8_t *p = check_alloc(malloc(N));
    struct prng r;
    prng_init(&r, 7);
    for (int i = 0; i < N; i++)
        p[i] = (uint8_t)prng_u64(&r);
    for (int i = 0; i < 400; i++) {
        size_t from = prng_below(&r, 64), n = prng_below(&r, i < 200 ? 900 : N - 64);
        uint32_t crc = crc32c(p + from, n);
        assert_int_equal(crc, crc32c_portable(0, p + from, n));
        size_t cut = prng_below(&r, n + 1);
        assert_int_equal(crc, crc32c_extend(crc32c(p + from, cut), p + from + cut, n - cut));
    }
    free(p);
}

static void murmur2_vectors(void **state)
{
    (void)state;
    assert_int_equal(murmur2(slice_str("21")), -973932308);
    assert_int_equal(murmur2(slice_str("foobar")), -790332482);
    assert_int_equal(murmur2(slice_str("a-little-bit-long-string")), -985981536);
    assert_int_equal(murmur2(slice_str("a-little-bit-longer-string")), -1486304829);
    assert_int_equal(murmur2(slice_str("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")),
                     -58897971);
    assert_int_equal(murmur2(slice_str("abc")), 479470107);
    assert_int_equal(log_partition_of(slice_str("abc"), 7), 479470107 % 7);
    assert_int_equal(log_partition_of(slice_str("21"), 5), (-973932308 & 0x7fffffff) % 5);
}

// --- round trips --------------------------------------------------------------------------------

static void build_three(struct batch_builder *b)
{
    struct log_header headers[2] = {{slice_str("a"), slice_str("1")},
                                    {slice_str("null"), {NULL, 0}}};
    batch_begin(b, 1000, 0);
    batch_append(
        b, &(struct log_record){.time = 1000, .key = slice_str("k"), .value = slice_str("v")});
    batch_append(
        b, &(struct log_record){
               .time = 900, .value = slice_of("", 0), .headers = headers, .headers_count = 2});
    batch_append(b, &(struct log_record){.time = 5000000000000, .key = slice_of("", 0)});
}

static void expect_three(struct slice records, const struct batch_header *h)
{
    struct batch_iter it;
    struct rec r;
    batch_iter_init(&it, h, records);
    assert_int_equal(batch_next(&it, &r), 1);
    assert_true(r.time == 1000 && r.offset == h->base_offset && r.header_count == 0);
    assert_true(slice_eq_str(r.key, "k") && slice_eq_str(r.value, "v"));
    assert_int_equal(batch_next(&it, &r), 1);
    assert_true(r.time == 900 && r.offset == h->base_offset + 1 && r.header_count == 2);
    assert_true(r.key.p == NULL && r.value.p != NULL && r.value.n == 0);
    struct slice v;
    assert_true(batch_headers_find(&r, "a", &v) && slice_eq_str(v, "1"));
    assert_true(batch_headers_find(&r, "null", &v) && v.p == NULL);
    assert_false(batch_headers_find(&r, "b", &v));
    assert_int_equal(batch_next(&it, &r), 1);
    assert_true(r.time == 5000000000000 && r.value.p == NULL && r.key.p != NULL && r.key.n == 0);
    assert_int_equal(batch_next(&it, &r), 0);
}

static void round_trip(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct batch_header h;
    batch_builder_init(&b);
    build_three(&b);
    struct slice s = batch_finish(&b, &(struct batch_producer){77, 3, 12});
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_true(h.size == s.n && h.count == 3 && h.last_offset_delta == 2 && h.magic == 2);
    assert_true(h.base_time == 1000 && h.max_time == 5000000000000);
    assert_true(h.producer_id == 77 && h.producer_epoch == 3 && h.base_sequence == 12);
    assert_false(batch_is_control(&h) || batch_is_transactional(&h));
    batch_set_base_offset(b.buf.p, 4242);
    batch_set_leader_epoch(b.buf.p, 5);
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_true(h.base_offset == 4242 && h.leader_epoch == 5 && batch_last_offset(&h) == 4244);
    struct buf scratch;
    buf_init(&scratch);
    struct slice records;
    assert_int_equal(batch_records(s, &h, 1 << 20, &scratch, &records, &e), 0);
    assert_int_equal(scratch.n, 0);
    expect_three(records, &h);
    assert_int_equal(batch_check_records(s, &h, true, &scratch, &e), 0);
    buf_release(&scratch);
    batch_builder_release(&b);
}

static void several_batches_in_one_builder(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    batch_builder_init(&b);
    for (int round = 0; round < 2; round++) {
        batch_reset(&b);
        build_three(&b);
        assert_true(batch_size(&b) > BATCH_HEADER);
        batch_finish(&b, NULL);
        assert_int_equal(batch_size(&b), 0);
        batch_begin(&b, 10, BATCH_CONTROL);
        batch_append(&b, &(struct log_record){.time = 10, .value = slice_str("m"), .marker = true});
        batch_finish(&b, NULL);
        struct batch_header h;
        struct slice all = buf_slice(&b.buf);
        assert_int_equal(batch_check(all, &h, &e), 0);
        assert_int_equal(h.count, 3);
        all = slice_of(all.p + h.size, all.n - h.size);
        assert_int_equal(batch_check(all, &h, &e), 0);
        assert_true(h.size == all.n && batch_is_control(&h) && h.producer_id == -1);
        struct batch_iter it;
        struct rec r;
        batch_iter_init(&it, &h, slice_of(all.p + BATCH_HEADER, h.size - BATCH_HEADER));
        assert_int_equal(batch_next(&it, &r), 1);
        assert_int_equal(batch_control_type(r.key), MARKER_TYPE);
        assert_true(slice_eq_str(r.value, "m"));
    }
    batch_builder_release(&b);
}

static void compaction_keeps_offsets(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder a, b;
    struct batch_header h;
    struct batch_iter it;
    struct rec r;
    struct buf scratch;
    buf_init(&scratch);
    batch_builder_init(&a);
    batch_builder_init(&b);
    build_three(&a);
    struct slice s = batch_finish(&a, NULL);
    assert_int_equal(batch_check(s, &h, &e), 0);
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    batch_begin(&b, h.base_time, 0);
    for (int i = 0; batch_next(&it, &r) == 1; i++) {
        if (i == 1)
            batch_append_rec(&b, i, &r);
    }
    s = batch_finish_at(&b, NULL, h.last_offset_delta);
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_true(h.count == 1 && h.last_offset_delta == 2 && h.max_time == 900);
    assert_int_equal(batch_check_records(s, &h, false, &scratch, &e), 0);
    assert_int_equal(batch_check_records(s, &h, true, &scratch, &e), -1);
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    assert_int_equal(batch_next(&it, &r), 1);
    struct slice v;
    assert_true(r.offset == 1 && batch_headers_find(&r, "a", &v) && slice_eq_str(v, "1"));
    batch_reset(&b);
    batch_begin(&b, 0, 0); // all records gone, the offsets stay covered
    s = batch_finish_at(&b, NULL, 9);
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_true(h.count == 0 && batch_last_offset(&h) == 9);
    batch_builder_release(&a);
    batch_builder_release(&b);
    buf_release(&scratch);
}

static void end_markers_and_append_time(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct batch_header h;
    struct batch_iter it;
    struct rec r;
    batch_builder_init(&b);
    batch_begin(&b, 5, BATCH_CONTROL | BATCH_TRANSACTIONAL);
    batch_append_end(&b, 5, BATCH_COMMIT, 9);
    struct slice s = batch_finish(&b, &(struct batch_producer){1, 0, -1});
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_true(batch_is_control(&h) && batch_is_transactional(&h));
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    assert_int_equal(batch_next(&it, &r), 1);
    assert_int_equal(batch_control_type(r.key), BATCH_COMMIT);
    assert_int_equal(bytes_get32(r.value.p + 2), 9);
    batch_reset(&b);
    build_three(&b);
    s = batch_finish(&b, NULL);
    batch_set_append_time(b.buf.p, 123456);
    assert_int_equal(batch_check(s, &h, &e), 0);
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    while (batch_next(&it, &r) == 1)
        assert_int_equal(r.time, 123456);
    batch_builder_release(&b);
}

static void extreme_times(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, 1};
    struct batch_builder b;
    struct batch_header h;
    struct batch_iter it;
    struct rec r;
    struct err e;
    batch_builder_init(&b);
    batch_begin(&b, INT64_MAX, 0);
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        batch_append(&b, &(struct log_record){.time = times[i]});
    struct slice s = batch_finish(&b, NULL);
    assert_int_equal(batch_check(s, &h, &e), 0);
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        assert_int_equal(batch_next(&it, &r), 1);
        assert_true(r.time == times[i]);
    }
    batch_builder_release(&b);
}

// --- compression --------------------------------------------------------------------------------

static uint32_t pack(enum batch_codec codec, bool framed, struct slice in, uint8_t *out,
                     uint32_t size)
{
    size_t n = size;
    if (codec == BATCH_GZIP) {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p,
                      .avail_in = in.n,
                      .next_out = out,
                      .avail_out = size};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        n = z.total_out;
        deflateEnd(&z);
    } else if (codec == BATCH_LZ4) {
        n = LZ4F_compressFrame(out, size, in.p, in.n, NULL);
        assert_false(LZ4F_isError(n));
    } else if (codec == BATCH_ZSTD) {
        n = ZSTD_compress(out, size, in.p, in.n, 3);
        assert_false(ZSTD_isError(n));
    } else if (!framed) {
        assert_int_equal(snappy_compress((const char *)in.p, in.n, (char *)out, &n), SNAPPY_OK);
    } else {
        static const uint8_t head[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                         0,    0,   0,   1,   0,   0,   0,   1};
        memcpy(out, head, sizeof head);
        uint32_t at = sizeof head;
        for (uint32_t from = 0; from < in.n;) { // two blocks
            uint32_t part = from == 0 ? in.n / 2 : in.n - from;
            size_t packed = size - at - 4;
            assert_int_equal(
                snappy_compress((const char *)in.p + from, part, (char *)out + at + 4, &packed),
                SNAPPY_OK);
            bytes_put32(out + at, (uint32_t)packed);
            at += 4 + (uint32_t)packed;
            from += part;
        }
        n = at;
    }
    return (uint32_t)n;
}

// A batch with the records of `plain`, compressed.
static struct slice packed_batch(struct slice plain, enum batch_codec codec, bool framed,
                                 uint8_t *out, uint32_t size)
{
    memcpy(out, plain.p, BATCH_HEADER);
    uint32_t n =
        BATCH_HEADER + pack(codec, framed, slice_of(plain.p + BATCH_HEADER, plain.n - BATCH_HEADER),
                            out + BATCH_HEADER, size - BATCH_HEADER);
    bytes_put32(out + 8, n - BATCH_PREFIX);
    bytes_put16(out + 21, (uint16_t)codec);
    bytes_put32(out + 17, crc32c(out + 21, n - 21));
    return slice_of(out, n);
}

static void codecs(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct buf scratch;
    batch_builder_init(&b);
    buf_init(&scratch);
    buf_str(&scratch, "before");
    build_three(&b);
    for (int i = 0; i < 2000; i++)
        batch_append(
            &b, &(struct log_record){.time = i, .value = slice_str("some value that repeats")});
    struct slice plain = batch_finish(&b, NULL);
    uint8_t *out = check_alloc(malloc(1 << 20));
    for (int i = BATCH_GZIP; i <= BATCH_ZSTD + 1; i++) {
        enum batch_codec codec = i > BATCH_ZSTD ? BATCH_SNAPPY : (enum batch_codec)i;
        struct slice s = packed_batch(plain, codec, i > BATCH_ZSTD, out, 1 << 20);
        assert_true(s.n < plain.n);
        struct batch_header h;
        struct slice records;
        assert_int_equal(batch_check(s, &h, &e), 0);
        assert_int_equal(batch_records(s, &h, 1 << 20, &scratch, &records, &e), 0);
        assert_true(slice_eq(records, slice_of(plain.p + BATCH_HEADER, plain.n - BATCH_HEADER)));
        assert_int_equal(batch_check_records(s, &h, true, &scratch, &e), 0);
        scratch.n = 6;
        // Exactly the limit is allowed, one byte less is too little.
        uint32_t exact = plain.n - BATCH_HEADER;
        assert_int_equal(batch_records(s, &h, exact, &scratch, &records, &e), 0);
        scratch.n = 6;
        assert_int_equal(batch_records(s, &h, exact - 1, &scratch, &records, &e), -1);
        assert_int_equal(e.code, ERR_LIMIT);
        assert_int_equal(scratch.n, 6);
        // Cut short.
        assert_int_equal(unpack(codec, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER - 3),
                                1 << 20, &scratch, &e),
                         -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_true(slice_eq_str(slice_of(scratch.p, 6), "before"));
    }
    free(out);
    buf_release(&scratch);
    batch_builder_release(&b);
}

// --- damage -------------------------------------------------------------------------------------

static void damaged_bytes_are_found(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct batch_header h;
    batch_builder_init(&b);
    build_three(&b);
    struct slice s = batch_finish(&b, NULL);
    uint8_t *p = b.buf.p;
    for (uint32_t i = 8; i < s.n; i++) { // the base offset is free to change, so is the epoch
        if (i >= 12 && i < 16)
            continue;
        for (int bit = 0; bit < 8; bit++) {
            p[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(batch_check(s, &h, &e), -1);
            p[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (uint32_t n = 0; n < s.n; n++) {
        uint8_t *cut = check_alloc(malloc(n + 1)); // its own allocation: ASan sees the end
        memcpy(cut, p, n);
        assert_int_equal(batch_check(slice_of(cut, n), &h, &e), -1);
        assert_true(batch_header_parse(slice_of(cut, n), &h) == 0);
        free(cut);
    }
    p[16] = 1;
    assert_int_equal(batch_check(s, &h, &e), -1);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    batch_builder_release(&b);
}

// Random damage with a right checksum: iteration stays inside the bytes.
static void wrong_records_with_right_checksum(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct buf scratch;
    struct prng r;
    batch_builder_init(&b);
    buf_init(&scratch);
    prng_init(&r, 3);
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
        batch_reset(&b);
        build_three(&b);
        struct slice s = batch_finish(&b, NULL);
        uint8_t *copy = check_alloc(malloc(s.n));
        memcpy(copy, s.p, s.n);
        for (uint64_t k = 1 + prng_below(&r, 3); k > 0; k--)
            copy[21 + prng_below(&r, s.n - 21)] = (uint8_t)prng_u64(&r);
        bytes_put32(copy + 17, crc32c(copy + 21, s.n - 21));
        struct batch_header h;
        if (batch_check(slice_of(copy, s.n), &h, &e) != 0 ||
            batch_check_records(slice_of(copy, s.n), &h, true, &scratch, &e) != 0)
            refused++;
        free(copy);
    }
    assert_true(refused > 1000);
    batch_builder_release(&b);
    buf_release(&scratch);
}

static void counts_must_fit(void **state)
{
    (void)state;
    struct err e;
    struct batch_builder b;
    struct batch_header h;
    struct buf scratch;
    batch_builder_init(&b);
    buf_init(&scratch);
    static const struct {
        int32_t count, delta;
    } wrong[] = {{4, 2}, {-1, 2}, {3, -1}, {100000, 100000}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        batch_reset(&b);
        build_three(&b);
        struct slice s = batch_finish(&b, NULL);
        bytes_put32(b.buf.p + 57, (uint32_t)wrong[i].count);
        bytes_put32(b.buf.p + 23, (uint32_t)wrong[i].delta);
        bytes_put32(b.buf.p + 17, crc32c(b.buf.p + 21, s.n - 21));
        assert_int_equal(batch_check(s, &h, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
    }
    batch_reset(&b);
    build_three(&b); // fewer than there are: only the walk can tell
    struct slice s = batch_finish(&b, NULL);
    bytes_put32(b.buf.p + 57, 2);
    bytes_put32(b.buf.p + 17, crc32c(b.buf.p + 21, s.n - 21));
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_int_equal(batch_check_records(s, &h, false, &scratch, &e), -1);
    batch_builder_release(&b);
    buf_release(&scratch);
}

// --- markers and origins ------------------------------------------------------------------------

static void markers(void **state)
{
    (void)state;
    struct buf b;
    struct marker m, in = {.group = 0xdeadbeef,
                           .writer = 2,
                           .writers = 3,
                           .watermark = INT64_MIN,
                           .flags = MARKER_IDLE | MARKER_END};
    buf_init(&b);
    marker_encode(&in, &b);
    assert_int_equal(marker_decode(buf_slice(&b), &m), 0);
    assert_true(m.group == in.group && m.writer == 2 && m.writers == 3 &&
                m.watermark == INT64_MIN && m.flags == in.flags);
    assert_int_equal(marker_decode(slice_of(b.p, b.n - 1), &m), -1);
    assert_int_equal(marker_decode((struct slice){NULL, 0}, &m), -1);
    buf_clear(&b);
    in.writer = 3;
    marker_encode(&in, &b);
    assert_int_equal(marker_decode(buf_slice(&b), &m), -1);
    buf_release(&b);
}

static void origins(void **state)
{
    (void)state;
    struct origin o = {0xfedcba98, 7, INT64_C(1) << 40, 3};
    uint8_t bytes[ORIGIN_SIZE];
    origin_encode(&o, bytes);
    struct log_header header = origin_header(bytes);
    struct buf b;
    buf_init(&b);
    batch_headers_put(&b, &header, 1);
    struct rec r = {.offset = 55, .headers = buf_slice(&b), .header_count = 1};
    struct origin got = origin_of(&r, 1, 2);
    assert_int_equal(origin_cmp(&got, &o), 0);
    r.header_count = 0;
    got = origin_of(&r, 1, 2);
    assert_true(got.topic == 1 && got.partition == 2 && got.offset == 55 && got.sequence == 0);
    header.value.n = 19; // not ours
    buf_clear(&b);
    batch_headers_put(&b, &header, 1);
    r.headers = buf_slice(&b);
    r.header_count = 1;
    assert_int_equal(origin_of(&r, 1, 2).offset, 55);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_vectors),
        cmocka_unit_test(crc32c_agrees_with_portable),
        cmocka_unit_test(murmur2_vectors),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(several_batches_in_one_builder),
        cmocka_unit_test(compaction_keeps_offsets),
        cmocka_unit_test(end_markers_and_append_time),
        cmocka_unit_test(extreme_times),
        cmocka_unit_test(codecs),
        cmocka_unit_test(damaged_bytes_are_found),
        cmocka_unit_test(wrong_records_with_right_checksum),
        cmocka_unit_test(counts_must_fit),
        cmocka_unit_test(markers),
        cmocka_unit_test(origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
