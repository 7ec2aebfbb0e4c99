// SPDX-License-Identifier: Apache-2.0
//
// Number text against the C library: what we read must be strtod's bits, what we write must read
// back as the same bits and be no longer than printf's shortest precision that does.
#include "formats_support.h"

#include <float.h>
#include <math.h>

#include "base/prng.h"
#include "formats/number.h"

static uint64_t bits_of(double d)
{
    uint64_t b;
    memcpy(&b, &d, 8);
    return b;
}

static uint32_t significant(const char *text)
{
    uint32_t n = 0, zeros = 0;
    for (; *text != 0 && (*text | 0x20) != 'e'; text++) {
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0'))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        n++;
    }
    return n - zeros;
}

static void check_double(double d)
{
    char text[33], shortest[40];
    uint32_t n = value_format_double(d, text);
    assert_true(n > 0 && n <= 32);
    text[n] = 0;
    if (bits_of(strtod(text, NULL)) != bits_of(d))
        fail_msg("%.17g written as %s", d, text);
    struct value v;
    assert_int_equal(number_parse(slice_str(text), &v), NUMBER_OK);
    struct value want = value_double(d);
    assert_true(value_eq(&v, &want));
    for (int p = 0; p < 17; p++) {
        snprintf(shortest, sizeof(shortest), "%.*e", p, d);
        if (strtod(shortest, NULL) == d)
            break;
    }
    if (significant(text) > significant(shortest))
        fail_msg("%s is not the shortest: %s", text, shortest);
}

static void test_doubles(void **state)
{
    (void)state;
    static const double some[] = {0.1,
                                  0.5,
                                  1,
                                  1e6,
                                  123456789012345.0,
                                  1e15,
                                  1e20,
                                  1e21,
                                  1e22,
                                  1e-6,
                                  1e-7,
                                  5e-324,
                                  DBL_MAX,
                                  DBL_MIN,
                                  32.27,
                                  0.3,
                                  2.0 / 3,
                                  1e23,
                                  9007199254740993.0,
                                  0.000001234,
                                  100.5,
                                  99999.999999,
                                  999999999.9999995,
                                  4.35,
                                  0.07};
    for (size_t i = 0; i < ARRAY_COUNT(some); i++) {
        check_double(some[i]);
        check_double(-some[i]);
    }
    struct prng r;
    prng_init(&r, 5);
    for (int i = 0; i < 60000; i++) {
        uint64_t b = prng_u64(&r);
        double d;
        memcpy(&d, &b, 8);
        if (isfinite(d) && d != 0)
            check_double(d);
        check_double((double)(int64_t)prng_below(&r, 100000000) / 100.0 + 0.01);
        check_double((double)(prng_below(&r, UINT64_C(1) << 40) + 1) / 1e6);
        check_double(prng_normal(&r, 0, 1000) + 1e-9);
    }
}

static void assert_format(double d, const char *want)
{
    char text[33];
    text[value_format_double(d, text)] = 0;
    assert_string_equal(text, want);
}

static void test_layout(void **state)
{
    (void)state;
    assert_format(0, "0");
    assert_format(-0.0, "-0");
    assert_format(100, "100");
    assert_format(32.27, "32.27");
    assert_format(1e20, "1e+20");
    assert_format(9007199254740991, "9007199254740991");
    assert_format(0x1p53, "9.007199254740992e+15");
    assert_format(1.5e21, "1.5e+21");
    assert_format(0.000001, "0.000001");
    assert_format(0.00000123, "0.00000123");
    assert_format(1e-7, "1e-7");
    assert_format(-2.5e-10, "-2.5e-10");
    assert_format(NAN, "NaN");
    assert_format(-INFINITY, "-Infinity");
}

static void test_ints(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 6);
    for (int i = 0; i < 20000; i++) {
        int64_t v = (int64_t)(prng_u64(&r) >> prng_below(&r, 64)) * (i % 2 ? 1 : -1);
        if (i == 0)
            v = INT64_MIN;
        if (i == 1)
            v = INT64_MAX;
        char text[25], want[32];
        text[value_format_int(v, text)] = 0;
        snprintf(want, sizeof(want), "%lld", (long long)v);
        assert_string_equal(text, want);
        struct value back;
        assert_int_equal(number_parse(slice_str(text), &back), NUMBER_OK);
        assert_true(back.type == VALUE_INT && back.i == v);
    }
}

static void test_parse_like_strtod(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 7);
    for (int i = 0; i < 100000; i++) {
        char text[80];
        int n = 0;
        if (prng_below(&r, 2))
            text[n++] = '-';
        text[n++] = (char)('1' + prng_below(&r, 9));
        for (uint64_t k = prng_below(&r, 22); k > 0; k--)
            text[n++] = (char)('0' + prng_below(&r, 10));
        text[n++] = '.';
        for (uint64_t k = prng_below(&r, 22) + 1; k > 0; k--)
            text[n++] = (char)('0' + prng_below(&r, 10));
        text[n] = 0;
        if (prng_below(&r, 2))
            snprintf(text + n, sizeof(text) - (size_t)n, "e%d", (int)prng_below(&r, 600) - 340);
        double want = strtod(text, NULL);
        struct value v;
        int got = number_parse(slice_str(text), &v);
        if (isinf(want)) {
            assert_int_equal(got, NUMBER_RANGE);
            continue;
        }
        if (got != NUMBER_OK || v.type != VALUE_DOUBLE || bits_of(v.d) != bits_of(want))
            fail_msg("%s read as %.17g, strtod says %.17g", text, v.d, want);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(number_parse(slice_str("9223372036854775807"), &v), NUMBER_OK);
    assert_true(v.type == VALUE_INT && v.i == INT64_MAX);
    assert_int_equal(number_parse(slice_str("9223372036854775808"), &v), NUMBER_OK);
    assert_true(v.type == VALUE_DOUBLE && v.d == 0x1p63);
    assert_int_equal(number_parse(slice_str("-9223372036854775808"), &v), NUMBER_OK);
    assert_true(v.type == VALUE_INT && v.i == INT64_MIN);
    assert_int_equal(number_parse(slice_str("123456789012345678901234567890"), &v), NUMBER_OK);
    assert_true(v.type == VALUE_DOUBLE && v.d == 123456789012345678901234567890.0);
    assert_int_equal(number_parse(slice_str("1e-999"), &v), NUMBER_OK);
    assert_true(v.type == VALUE_DOUBLE && v.d == 0);
    assert_int_equal(number_parse(slice_str("0e999999999999"), &v), NUMBER_OK);
    assert_int_equal(number_parse(slice_str("1e999999999999"), &v), NUMBER_RANGE);
    static const char *const bad[] = {"",    "-",  "+1", "01",  "-01", "1.",  ".1",   "1e",
                                      "1e+", "1 ", " 1", "1.e", "0x1", "inf", "1e5.", "1-"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(number_parse(slice_str(bad[i]), &v), NUMBER_MALFORMED);
}

static void test_loose(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
    } good[] = {{" 5 ", 5}, {"+5", 5},    {"007", 7}, {"-007.50", -7.5}, {".5", 0.5},
                {"5.", 5},  {"-.5", -.5}, {"00", 0},  {"1e3", 1000},     {"+0.0", 0}};
    struct value v;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        double d;
        if (number_parse_loose(slice_str(good[i].text), &v) != NUMBER_OK)
            fail_msg("refused '%s'", good[i].text);
        assert_true(value_number(&v, &d) && d == good[i].want);
    }
    static const char *const bad[] = {"",    " ",   "+",    ".",    "-.", "1 2",
                                      "abc", "1,5", "0x10", "1..2", "nan"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (number_parse_loose(slice_str(bad[i]), &v) == NUMBER_OK)
            fail_msg("accepted '%s'", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles), cmocka_unit_test(test_layout),
        cmocka_unit_test(test_ints),    cmocka_unit_test(test_parse_like_strtod),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_loose),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
