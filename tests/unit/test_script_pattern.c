// SPDX-License-Identifier: Apache-2.0
//
// Patterns: the same answers and the same errors as Lua's own functions, on cases chosen by hand
// and on seeded random ones; and a budget that ends what theirs would not.
#include "base/prng.h"
#include "tests/unit/pattern_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void agree(struct oracle *o, struct slice s, struct slice p, struct slice r, int init)
{
    const char *difference = oracle_compare(o, s, p, r, init);
    if (difference != NULL)
        fail_msg("%s", difference);
}

static void test_chosen(void **state)
{
    (void)state;
    static const char *const subjects[] = {"",
                                           "a",
                                           "abc",
                                           "aaab",
                                           "key = value",
                                           "[[x]] (y(z))",
                                           "THE (quick) fox",
                                           "2018-07-25 10:00",
                                           "a.b.c",
                                           "\n\t x"};
    static const char *const patterns[] = {"",
                                           "a",
                                           "^a",
                                           "a$",
                                           "^$",
                                           "$",
                                           "^",
                                           "a*",
                                           "a+",
                                           "a-",
                                           "a?",
                                           ".-b",
                                           "(a)(b)",
                                           "()a()",
                                           "(a*(.)%w(%s*))",
                                           "%f[%w]%w+%f[%W]",
                                           "%b()",
                                           "%b",
                                           "%b(",
                                           "[a-c]",
                                           "[^a-c]",
                                           "[%w_]+",
                                           "[]]",
                                           "[^]]",
                                           "[",
                                           "[a",
                                           "[a%",
                                           "[%]",
                                           "[%a-z]",
                                           "[a-]",
                                           "[-a]",
                                           "%",
                                           "%%",
                                           "%.",
                                           "%1",
                                           "(a)%1",
                                           "(a)%2",
                                           "(%1)",
                                           "(",
                                           ")",
                                           "(()",
                                           "())",
                                           "((a)",
                                           "a)",
                                           "%f",
                                           "%fa",
                                           "%f[",
                                           "(%w+) = (%w+)",
                                           "%d%d%d%d%-%d%d",
                                           "^(.-)%s*$",
                                           "[%a%d]",
                                           "%z",
                                           "%g+",
                                           "%p",
                                           "%x",
                                           "%u%l",
                                           "a**",
                                           "*",
                                           "+a",
                                           "-",
                                           "?",
                                           "a?b?c?",
                                           "(.)(.)(.)%3%2%1",
                                           "[^%s]+",
                                           "%D",
                                           "%S+",
                                           "$a",
                                           "a$b",
                                           "^^a"};
    static const char *const replacements[] = {"",   "x", "%0%0", "%1",  "%2",
                                               "%%", "%", "%a",   "<%1>"};
    struct oracle o;
    oracle_open(&o);
    for (size_t s = 0; s < ARRAY_COUNT(subjects); s++) {
        for (size_t p = 0; p < ARRAY_COUNT(patterns); p++)
            agree(&o, slice_str(subjects[s]), slice_str(patterns[p]),
                  slice_str(replacements[(s + p) % ARRAY_COUNT(replacements)]), (int)(p % 9) - 4);
    }
    oracle_close(&o);
}

static struct slice random_text(struct prng *r, const char *const *atoms, uint32_t atoms_count,
                                uint32_t most, char *out)
{
    uint32_t n = 0, parts = (uint32_t)prng_below(r, most + 1);
    for (uint32_t i = 0; i < parts; i++) {
        const char *atom = atoms[prng_below(r, atoms_count)];
        memcpy(out + n, atom, strlen(atom));
        n += (uint32_t)strlen(atom);
    }
    return slice_of(out, n);
}

static void test_random(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "b", "ab", "1", " ", ".", "(",
                                          ")", "-", "%",  "[", "]", "B", "\n"};
    static const char *const atoms[] = {
        "a",      "b",    ".",    "%a",     "%d",    "%s",     "%w", "%A",    "[ab]", "[^a]",
        "[a-b1]", "[%a]", "*",    "+",      "-",     "?",      "(",  ")",     "()",   "(a)",
        "%1",     "%2",   "%b()", "%f[%w]", "^",     "$",      "%",  "[",     "]",    "[]]",
        "%(",     "%%",   "(.-)", "(.*)",   "(%w+)", "%f[^a]", "%.", "[^%s]", "%bab"};
    static const char *const replacements[] = {"x", "%0", "%1", "%2", "%%", "%", "-"};
    char s[64], p[128], r[64];
    struct prng prng;
    struct oracle o;
    oracle_open(&o);
    prng_init(&prng, 20180725);
    for (int i = 0; i < 30000; i++) {
        struct slice subject = random_text(&prng, letters, ARRAY_COUNT(letters), 12, s);
        struct slice pattern = random_text(&prng, atoms, ARRAY_COUNT(atoms), 7, p);
        struct slice with = random_text(&prng, replacements, ARRAY_COUNT(replacements), 2, r);
        agree(&o, subject, pattern, with, (int)prng_below(&prng, 20) - 8);
    }
    // Raw bytes, zero among them.
    for (int i = 0; i < 5000; i++) {
        static const char bytes[] = {0,   'a', '%', '[', ']', '^', '-',
                                     '(', ')', 'b', 'f', '1', '*', (char)0xff};
        uint32_t n = (uint32_t)prng_below(&prng, 8), m = (uint32_t)prng_below(&prng, 8);
        for (uint32_t k = 0; k < 8; k++) {
            s[k] = bytes[prng_below(&prng, sizeof(bytes))];
            p[k] = bytes[prng_below(&prng, sizeof(bytes))];
        }
        agree(&o, slice_of(s, n), slice_of(p, m), slice_of("", 0), 1);
    }
    oracle_close(&o);
}

static void test_too_many(void **state)
{
    (void)state;
    char p[300], s[300];
    struct oracle o;
    oracle_open(&o);
    memset(s, 'a', sizeof(s));
    for (int i = 0; i < 40; i++)
        memcpy(p + i * 2, "()", 2);
    agree(&o, slice_of(s, 50), slice_of(p, 64), slice_of("", 0), 1); // 32 captures: allowed
    agree(&o, slice_of(s, 50), slice_of(p, 66), slice_of("", 0), 1);
    for (int i = 0; i < 140; i++)
        memcpy(p + i * 2, "a?", 2);
    agree(&o, slice_of(s, 200), slice_of(p, 260), slice_of("", 0), 1); // 130 choices left open
    oracle_close(&o);
}

static void test_budget(void **state)
{
    (void)state;
    static char subject[30000];
    memset(subject, 'a', sizeof(subject));
    uint64_t steps = 1000000;
    static const char text[] = ".-.-.-b";
    struct pattern m = {.subject = (const uint8_t *)subject,
                        .subject_end = (const uint8_t *)subject + sizeof(subject),
                        .pattern_end = (const uint8_t *)text + strlen(text),
                        .steps = &steps};
    assert_null(pattern_match(&m, m.subject, (const uint8_t *)text));
    assert_ptr_equal(m.error, pattern_too_long);
    assert_int_equal(steps, 0);
    // One budget for all matches of a call: what is left stays left.
    steps = 1000;
    m.error = NULL;
    m.pattern_end = (const uint8_t *)text + 2;
    assert_non_null(pattern_match(&m, m.subject, (const uint8_t *)text));
    assert_true(steps < 1000 && steps > 900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
