// SPDX-License-Identifier: Apache-2.0
//
// Exact_sum against sums whose exact value is known another way: integers in 128 bits, cancelling
// extremes, halves between neighbours; and what is taken out again leaves no trace.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>

#include "base/prng.h"
#include "operators/exact_sum.h"

static double sum(const double *v, size_t n)
{
    struct exact_sum s;
    exact_sum_init(&s);
    for (size_t i = 0; i < n; i++)
        exact_sum_add(&s, v[i]);
    return exact_sum_get(&s);
}
#define SUM(...) sum((double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double))

static void same(double have, double want)
{
    if (memcmp(&have, &want, sizeof(have)) != 0)
        fail_msg("%a instead of %a", have, want);
}

static void test_known(void **state)
{
    (void)state;
    same(SUM(0.0), 0.0);
    same(SUM(-0.0), 0.0);
    same(SUM(0.1), 0.1);
    same(SUM(-0.1), -0.1);
    same(SUM(1e308, 1.0, -1e308), 1.0);
    same(SUM(1e16, 1.0, -1e16), 1.0);
    same(SUM(DBL_MAX, -DBL_MAX, DBL_TRUE_MIN), DBL_TRUE_MIN);
    same(SUM(-DBL_TRUE_MIN), -DBL_TRUE_MIN);
    same(SUM(DBL_MIN, -DBL_TRUE_MIN), DBL_MIN - DBL_TRUE_MIN);
    same(SUM(DBL_MAX, DBL_MAX), INFINITY);
    same(SUM(-DBL_MAX, -DBL_MAX), -INFINITY);
    same(SUM(DBL_MAX, DBL_MAX, -DBL_MAX), DBL_MAX);
    // Ties go to even; a speck beyond decides otherwise.
    same(SUM(1.0, 0x1p-53), 1.0);
    same(SUM(1.0, 0x1p-53, 0x1p-300), 1.0 + 0x1p-52);
    same(SUM(1.0 + 0x1p-52, 0x1p-53), 1.0 + 0x1p-51);
    same(SUM(1.0 + 0x1p-52, 0x1p-53, -0x1p-300), 1.0 + 0x1p-52);
    same(SUM(0x1.fffffffffffffp0, 0x1p-53), 2.0);
    same(SUM(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 1.0);
}

static double any_double(struct prng *r)
{
    for (;;) {
        uint64_t bits = prng_u64(r);
        double d;
        memcpy(&d, &bits, sizeof(d));
        if (isfinite(d))
            return d;
    }
}

static void test_out_again(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 1);
    struct exact_sum s, before;
    exact_sum_init(&s);
    for (int round = 0; round < 200; round++) {
        double v[50];
        exact_sum_add(&s, any_double(&r));
        before = s;
        for (int i = 0; i < 50; i++)
            exact_sum_add(&s, v[i] = any_double(&r));
        for (int i = 0; i < 50; i++)
            exact_sum_add(&s, -v[(i * 7 + 3) % 50]);
        assert_memory_equal(&s, &before, sizeof(s));
        struct buf b = {0};
        exact_sum_encode(&s, &b);
        struct cur c = cur_of(buf_slice(&b));
        assert_int_equal(exact_sum_decode(&before, &c), 0);
        assert_int_equal(cur_left(&c), 0);
        assert_memory_equal(&s, &before, sizeof(s));
        for (uint32_t n = 0; n < b.n; n++) {
            c = cur_of(slice_of(b.p, n));
            assert_int_equal(exact_sum_decode(&before, &c), -1);
        }
        buf_release(&b);
    }
}

// Multiples of 2^-40 below 2^40 in 128 bits; the compiler's conversion rounds correctly.
static void test_against_integers(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 2);
    for (int round = 0; round < 300; round++) {
        struct exact_sum s, t;
        exact_sum_init(&s);
        exact_sum_init(&t);
        __int128 want = 0;
        for (int i = 0; i < 40; i++) {
            int64_t v = (int64_t)prng_u64(&r) >> (11 + prng_below(&r, 50));
            int up = (int)prng_below(&r, 60);
            want += (__int128)v * ((__int128)1 << up);
            exact_sum_add(&s, ldexp((double)v, up - 40));
            exact_sum_add_int128(&t, (__int128)v * ((__int128)1 << up), -40);
            same(exact_sum_get(&s), ldexp((double)want, -40));
            assert_memory_equal(&s, &t, sizeof(s));
        }
        double part[3];
        exact_sum_parts(&s, part);
        for (int i = 0; i < 3; i++)
            exact_sum_add(&s, -part[i]);
        assert_true(exact_sum_is_zero(&s));
    }
}

static void test_squares(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 3);
    struct exact_sum s;
    exact_sum_init(&s);
    __int128 want = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t v = (int64_t)(prng_u64(&r) >> 11); // 53 bits: the square takes 106
        double x = (double)v * (i % 2 == 0 ? 1 : -1);
        want += (__int128)v * v;
        exact_sum_add_square(&s, x);
        same(exact_sum_get(&s), (double)want);
        if (i % 3 == 0) {
            want -= (__int128)v * v;
            exact_sum_sub_square(&s, x);
            same(exact_sum_get(&s), (double)want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_out_again),
        cmocka_unit_test(test_against_integers),
        cmocka_unit_test(test_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
