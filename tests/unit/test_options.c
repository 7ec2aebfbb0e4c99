// SPDX-License-Identifier: Apache-2.0
//
// The option parser: every way to write an option, defaults, and errors that help.
#include "cli/options.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

struct values {
    bool follow;
    const char *data;
    struct option_list headers;
    int64_t limit, wait_ms, bytes;
    int format;
};

static enum options_outcome parse(struct values *v, const char *line, struct options_args *args,
                                  struct err *e)
{
    static char copy[512];
    static char *argv[32];
    static const char *const formats[] = {"json", "string", NULL};
    const struct option table[] = {
        {"follow", 'f', OPTION_FLAG, &v->follow, NULL, "go on", NULL},
        {"data", 0, OPTION_STRING, &v->data, "DIR", "where", NULL},
        {"header", 0, OPTION_LIST, &v->headers, "K=V", "header", NULL},
        {"limit", 'n', OPTION_INT, &v->limit, "N", "how many", NULL},
        {"wait", 0, OPTION_DURATION, &v->wait_ms, "TIME", "how long", NULL},
        {"bytes", 0, OPTION_BYTES, &v->bytes, "SIZE", "how much", NULL},
        {"format", 0, OPTION_CHOICE, &v->format, "FORMAT", "which", formats},
        {0},
    };
    const struct options_usage usage = {"weir x NAME [FILE]", NULL, NULL, table, 1, 2};
    snprintf(copy, sizeof(copy), "%s", line);
    int argc = 0;
    argv[argc++] = "x";
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_parse(&usage, argc, argv, args, e);
}

static void reads_every_form(void **state)
{
    (void)state;
    struct values v = {.limit = -1, .format = 0};
    struct options_args args;
    struct err e = {0};
    assert_int_equal(parse(&v,
                           "name --data d1 --limit=12 -f file --wait 2s --header a=1 --header=b=2 "
                           "--bytes 2KB --format string",
                           &args, &e),
                     OPTIONS_RUN);
    assert_int_equal(args.count, 2);
    assert_string_equal(args.items[0], "name");
    assert_string_equal(args.items[1], "file");
    assert_true(v.follow);
    assert_string_equal(v.data, "d1");
    assert_int_equal(v.limit, 12);
    assert_int_equal(v.wait_ms, 2000);
    assert_int_equal(v.bytes, 2048);
    assert_int_equal(v.format, 1);
    assert_int_equal(v.headers.count, 2);
    assert_string_equal(v.headers.items[1], "b=2");
}

static void keeps_defaults_and_stops_at_dashes(void **state)
{
    (void)state;
    struct values v = {.limit = -1, .follow = true, .data = "here"};
    struct options_args args;
    struct err e = {0};
    assert_int_equal(parse(&v, "--follow=false -n3 -- --name", &args, &e), OPTIONS_RUN);
    assert_false(v.follow);
    assert_int_equal(v.limit, 3);
    assert_string_equal(v.data, "here");
    assert_int_equal(args.count, 1);
    assert_string_equal(args.items[0], "--name");
}

static void fails(const char *line, const char *text)
{
    struct values v = {0};
    struct options_args args;
    struct err e = {0};
    assert_int_equal(parse(&v, line, &args, &e), OPTIONS_ERROR);
    if (strstr(e.text, text) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", e.text, text);
}

static void explains_mistakes(void **state)
{
    (void)state;
    fails("a --folow", "did you mean --follow");
    fails("a --zzzzzzzz", "see --help");
    fails("a --data", "--data needs a value: --data DIR");
    fails("a --limit ten", "needs a whole number");
    fails("a --wait 10", "--wait");
    fails("a --format xml", "choose one of json, string");
    fails("a --follow=maybe", "true or false");
    fails("a -z", "no option -z");
    fails("--follow", "something is missing");
    fails("a b c", "\"c\" is one word too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(keeps_defaults_and_stops_at_dashes),
        cmocka_unit_test(explains_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
