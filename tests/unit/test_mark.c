// SPDX-License-Identifier: Apache-2.0
//
// Task marks: what goes in comes out; bytes cut anywhere, or of another version, are refused.
#include "runtime/mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct mark_input inputs[] = {{7, "topic-id-number1", 12, 40},
                                     {0xffffffff, "2", 0, INT64_MAX}};
static struct mark_floor floors[] = {{3, "changelog-id-123", 99}};
static struct mark_saved saved[] = {{11, {(const uint8_t *)"abc", 3}},
                                    {12, {(const uint8_t *)"", 0}}};

static struct mark full(void)
{
    return (struct mark){.epoch = 300,
                         .watermark = -5,
                         .wall_ms = 1700000000000,
                         .inputs = inputs,
                         .inputs_count = ARRAY_COUNT(inputs),
                         .floors = floors,
                         .floors_count = ARRAY_COUNT(floors),
                         .saved = saved,
                         .saved_count = ARRAY_COUNT(saved),
                         .upstream = slice_str("vectors")};
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buf b;
    struct arena a;
    struct mark m = full(), got;
    struct err err;
    buf_init(&b);
    arena_init(&a);
    mark_encode(&m, &b);
    assert_int_equal(mark_decode(buf_slice(&b), &a, &got, &err), 0);
    assert_int_equal(got.epoch, 300);
    assert_int_equal(got.watermark, -5);
    assert_int_equal(got.wall_ms, 1700000000000);
    assert_int_equal(got.inputs_count, 2);
    const struct mark_input *in = mark_input_of(&got, 0xffffffff);
    assert_int_equal(in->read, INT64_MAX);
    assert_memory_equal(in->topic_id, inputs[1].topic_id, 16);
    assert_int_equal(mark_input_of(&got, 7)->resume, 12);
    assert_int_equal(mark_input_of(&got, 7)->read, 40);
    assert_null(mark_input_of(&got, 8));
    assert_int_equal(mark_floor_of(&got, 3)->offset, 99);
    assert_memory_equal(mark_floor_of(&got, 3)->topic_id, floors[0].topic_id, 16);
    assert_null(mark_floor_of(&got, 4));
    assert_int_equal(got.saved_count, 2);
    assert_int_equal(got.saved[0].op, 11);
    assert_true(slice_eq_str(got.saved[0].bytes, "abc"));
    assert_int_equal(got.saved[1].bytes.n, 0);
    assert_true(slice_eq_str(got.upstream, "vectors"));
    buf_release(&b);
    arena_release(&a);
}

static void test_empty(void **state)
{
    (void)state;
    struct buf b;
    struct arena a;
    struct mark m = {.watermark = INT64_MIN}, got;
    struct err err;
    buf_init(&b);
    arena_init(&a);
    mark_encode(&m, &b);
    assert_int_equal(mark_decode(buf_slice(&b), &a, &got, &err), 0);
    assert_int_equal(got.watermark, INT64_MIN);
    assert_int_equal(got.inputs_count + got.floors_count + got.saved_count, 0);
    assert_int_equal(got.upstream.n, 0);
    buf_release(&b);
    arena_release(&a);
}

// Each prefix lies in memory of its own, so that reading past it would be seen.
static void test_truncated(void **state)
{
    (void)state;
    struct buf b;
    struct mark m = full(), got;
    buf_init(&b);
    mark_encode(&m, &b);
    for (uint32_t n = 0; n < b.n; n++) {
        struct arena a;
        struct err err = {0};
        uint8_t *bytes = check_alloc(malloc(n + 1));
        memcpy(bytes, b.p, n);
        uint8_t *exact = check_alloc(realloc(bytes, n == 0 ? 1 : n));
        arena_init(&a);
        assert_int_equal(mark_decode(slice_of(exact, n), &a, &got, &err), -1);
        assert_int_equal(err.code, ERR_CORRUPT);
        arena_release(&a);
        free(exact);
    }
    buf_release(&b);
}

static void test_damaged(void **state)
{
    (void)state;
    struct buf b;
    struct arena a;
    struct mark m = full(), got;
    struct err err;
    buf_init(&b);
    arena_init(&a);
    mark_encode(&m, &b);
    b.p[0] = 9;
    assert_int_equal(mark_decode(buf_slice(&b), &a, &got, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.text, "task mark of an unknown version");
    // A count that no mark can have must not become an allocation.
    static const uint8_t huge[] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f};
    assert_int_equal(mark_decode(slice_of(huge, sizeof(huge)), &a, &got, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    // Any single byte changed: an answer or an error, no more.
    for (uint32_t i = 1; i < b.n; i++) {
        buf_clear(&b);
        mark_encode(&m, &b);
        b.p[i] ^= 0xff;
        if (mark_decode(buf_slice(&b), &a, &got, &err) != 0)
            assert_int_equal(err.code, ERR_CORRUPT);
    }
    buf_release(&b);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
