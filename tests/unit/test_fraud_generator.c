// SPDX-License-Identifier: Apache-2.0
//
// The fraud generator: the same seed gives the same bytes; rates are the published ones.
#include "tests/unit/tmpdir.h"

#include "base/hash.h"
#include "cli/cmd.h"
#include "cli/fraud_generator.h"

#include <fcntl.h>
#include <math.h>
#include <zlib.h>

static struct fraud_options options(uint64_t seed)
{
    return (struct fraud_options){.seed = seed,
                                  .days = 40,
                                  .customers = 500,
                                  .terminals = 1000,
                                  .start_ms = INT64_C(1522540800000)};
}

static void test_same_seed_same_data(void **state)
{
    (void)state;
    size_t n, m, k;
    struct fraud_options o = options(7), other = options(8);
    struct fraud_tx *a = fraud_generate(&o, &n), *b = fraud_generate(&o, &m);
    struct fraud_tx *c = fraud_generate(&other, &k);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].ts, b[i].ts);
        assert_int_equal(a[i].customer, b[i].customer);
        assert_int_equal(a[i].terminal, b[i].terminal);
        assert_int_equal(a[i].cents, b[i].cents);
        assert_int_equal(a[i].scenario, b[i].scenario);
    }
    assert_true(k != n || memcmp(a, c, n * sizeof *a) != 0);
    free(a);
    free(b);
    free(c);
}

static void test_rates(void **state)
{
    (void)state;
    size_t n, by[4] = {0};
    double sum = 0;
    struct fraud_options o = {.seed = 3,
                              .days = 60,
                              .customers = 2000,
                              .terminals = 4000,
                              .start_ms = INT64_C(1522540800000)};
    struct fraud_tx *t = fraud_generate(&o, &n);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || t[i].ts >= t[i - 1].ts);
        assert_true(t[i].customer < o.customers && t[i].terminal < o.terminals);
        assert_true(t[i].ts >= o.start_ms && t[i].ts < o.start_ms + 60 * INT64_C(86400000));
        assert_true(t[i].scenario != FRAUD_NONE || t[i].cents <= 22000);
        by[t[i].scenario]++;
        sum += t[i].cents / 100.0;
    }
    double a_day = (double)n / (60 * 2000.0); // published: 1.92 a customer and day, mean 53.6
    assert_true(a_day > 1.8 && a_day < 2.05);
    assert_true(sum / (double)n > 50 && sum / (double)n < 58);
    assert_true(by[FRAUD_AMOUNT] > 0 && by[FRAUD_TERMINAL] > 100 && by[FRAUD_CARD] > 100);
    free(t);
}

// The command writes the same text plain and as gzip.
static void test_command(void **state)
{
    (void)state;
    char dir[TMPDIR_MAX], plain[TMPDIR_MAX + 32], zipped[TMPDIR_MAX + 32];
    tmpdir_make(dir);
    snprintf(plain, sizeof plain, "%s/a.csv", dir);
    snprintf(zipped, sizeof zipped, "%s/a.csv.gz", dir);
    char *one[] = {"generate", "fraud", "--days", "3", "--customers", "50", "--out", plain, NULL};
    char *two[] = {"generate", "fraud", "--days", "3", "--customers", "50", "--out", zipped, NULL};
    assert_int_equal(cmd_generate(8, one), 0);
    assert_int_equal(cmd_generate(8, two), 0);
    static char a[200000], b[200000];
    FILE *f = fopen(plain, "rb");
    size_t n = fread(a, 1, sizeof a, f);
    fclose(f);
    gzFile z = gzopen(zipped, "rb");
    int m = gzread(z, b, sizeof b);
    gzclose(z);
    assert_true(n > 1000);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    const char *header = "tx_id,ts,customer_id,terminal_id,amount,fraud\n0,15225";
    assert_memory_equal(a, header, strlen(header));
    char *bad[] = {"generate", "frauds", NULL};
    assert_int_equal(cmd_generate(2, bad), 2);
    char *range[] = {"generate", "fraud", "--days", "0", NULL};
    assert_int_equal(cmd_generate(4, range), 2);
    tmpdir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_data),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
