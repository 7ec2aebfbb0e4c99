// SPDX-License-Identifier: Apache-2.0
//
// Kafka's primitive types: what is written reads back, in both encodings; malformed lengths and
// counts fail without reading or allocating.
#include "broker/wire.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

static void round_trip(bool flexible)
{
    struct buf b;
    uint8_t id[16] = {1, 2, 3}, back[16];
    buf_init(&b);
    struct wire_out out = {&b, flexible};
    wire_put_i8(&out, -3);
    wire_put_bool(&out, true);
    wire_put_i16(&out, -300);
    wire_put_i32(&out, -70000);
    wire_put_i64(&out, INT64_MIN);
    wire_put_cstr(&out, "name");
    wire_put_cstr(&out, NULL);
    wire_put_cstr(&out, "");
    wire_put_bytes(&out, slice_str("bytes"));
    wire_put_bytes(&out, (struct slice){NULL, 0});
    wire_put_uuid(&out, id);
    wire_put_array(&out, 2);
    wire_put_i16(&out, 7);
    wire_put_i16(&out, 8);
    wire_put_array(&out, -1);
    wire_put_tags(&out);

    struct wire_in in = wire_in_of(buf_slice(&b), flexible);
    assert_int_equal(wire_i8(&in), -3);
    assert_true(wire_bool(&in));
    assert_int_equal(wire_i16(&in), -300);
    assert_int_equal(wire_i32(&in), -70000);
    assert_true(wire_i64(&in) == INT64_MIN);
    assert_true(slice_eq_str(wire_string(&in), "name"));
    assert_null(wire_string(&in).p);
    struct slice empty = wire_string(&in);
    assert_non_null(empty.p);
    assert_int_equal(empty.n, 0);
    assert_true(slice_eq_str(wire_bytes(&in), "bytes"));
    assert_null(wire_bytes(&in).p);
    wire_uuid(&in, back);
    assert_memory_equal(id, back, 16);
    assert_int_equal(wire_array(&in, 2), 2);
    assert_int_equal(wire_i16(&in), 7);
    assert_int_equal(wire_i16(&in), 8);
    assert_int_equal(wire_array(&in, 1), -1);
    wire_tags(&in);
    assert_false(in.c.failed);
    assert_int_equal(cur_left(&in.c), 0);
    buf_release(&b);
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    round_trip(false);
    round_trip(true);
}

static struct wire_in bytes_in(const void *p, size_t n, bool flexible)
{
    return wire_in_of(slice_of(p, n), flexible);
}

static void refuses_counts_beyond_the_bytes(void **state)
{
    (void)state;
    struct wire_in in = bytes_in("\x7f\xff\xff\xff....", 8, false);
    assert_int_equal(wire_array(&in, 1), 0);
    assert_true(in.c.failed);
    in = bytes_in("\x00\x00\x00\x02....", 8, false); // two elements of 4 bytes need 8
    assert_int_equal(wire_array(&in, 4), 0);
    assert_true(in.c.failed);
    in = bytes_in("\x00\x00\x00\x02....", 8, false);
    assert_int_equal(wire_array(&in, 2), 2);
    in = bytes_in("\xff\xff\xff\xfe", 4, false);
    assert_int_equal(wire_array(&in, 1), 0);
    assert_true(in.c.failed);
    in = bytes_in("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true);
    wire_array(&in, 1);
    assert_true(in.c.failed);
}

static void limits_elements_over_all_arrays(void **state)
{
    (void)state;
    static uint8_t bytes[WIRE_MAX_ELEMENTS + 16];
    bytes_put32(bytes, WIRE_MAX_ELEMENTS - 1);
    struct wire_in in = bytes_in(bytes, sizeof(bytes), false);
    assert_int_equal(wire_array(&in, 1), WIRE_MAX_ELEMENTS - 1);
    in.c = cur_of(slice_of("\0\0\0\2ab", 6));
    assert_int_equal(wire_array(&in, 1), 0); // only one more was left
    assert_true(in.c.failed);
}

static void refuses_lengths_beyond_the_bytes(void **state)
{
    (void)state;
    struct wire_in in = bytes_in("\x00\x05"
                                 "abc",
                                 5, false);
    assert_null(wire_string(&in).p);
    assert_true(in.c.failed);
    assert_int_equal(wire_i32(&in), 0);  // sticky
    in = bytes_in("\xff\xfe", 2, false); // -2
    wire_string(&in);
    assert_true(in.c.failed);
    in = bytes_in("\x80\x00\x00\x00", 4, false);
    wire_bytes(&in);
    assert_true(in.c.failed);
    in = bytes_in("\x05"
                  "abc",
                  4, true);
    wire_string(&in);
    assert_true(in.c.failed);
}

static void skips_tags_and_limits_them(void **state)
{
    (void)state;
    struct wire_in in = bytes_in("\x02\x00\x03"
                                 "abc\x05\x00\x2a",
                                 9, true);
    wire_tags(&in);
    assert_int_equal(wire_i8(&in), 42);
    assert_false(in.c.failed);
    in = bytes_in("\x91\x4e", 2, true); // 10001 fields
    wire_tags(&in);
    assert_true(in.c.failed);
    in = bytes_in("\x01\x00\x7f", 3, true);
    wire_tags(&in);
    assert_true(in.c.failed);
}

static void copies_names_only_when_they_fit(void **state)
{
    (void)state;
    char out[5];
    assert_true(wire_cstr(slice_str("four"), out, sizeof(out)));
    assert_string_equal(out, "four");
    assert_false(wire_cstr(slice_str("fives"), out, sizeof(out)));
    assert_string_equal(out, "");
    assert_false(wire_cstr(slice_of("a\0b", 3), out, sizeof(out)));
    assert_false(wire_cstr((struct slice){NULL, 0}, out, sizeof(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_counts_beyond_the_bytes),
        cmocka_unit_test(limits_elements_over_all_arrays),
        cmocka_unit_test(refuses_lengths_beyond_the_bytes),
        cmocka_unit_test(skips_tags_and_limits_them),
        cmocka_unit_test(copies_names_only_when_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
