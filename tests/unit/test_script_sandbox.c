// SPDX-License-Identifier: Apache-2.0
//
// What a script must not be able to do: run for ever, take all memory, hide either from pcall,
// overflow the stack; and that the next record finds everything in order.
#include "tests/unit/script_rig.h"

#include <string.h>

#define HEAD "local weir = require 'weir'\nlocal app = weir.app 'x'\nlocal s = app:stream 'in'\n"

// Function 0 has `body`; it must fail with a text that contains `expected`; then function 1 works.
static void stopped_within(int64_t call_ms, const char *body, const char *expected)
{
    struct script_rig r;
    struct script_options o = {.memory_bytes = 8 << 20, .call_ms = call_ms};
    char source[2048];
    rig_open(&r);
    snprintf(source, sizeof(source),
             HEAD "s:map(function(t) %s end)\ns:map(function(t) return { t.a, 'fine' } end)", body);
    if (rig_load(&r, source, &o) != 0)
        fail_msg("%s", r.err.text);
    for (int again = 0; again < 2; again++) {
        if (rig_call(&r, 0, "{\"a\": 1}") == 0)
            fail_msg("was not stopped: %s", body);
        assert_int_equal(r.err.code, ERR_SCRIPT);
        if (strstr(r.err.text, expected) == NULL)
            fail_msg("'%s' is not in: %s", expected, r.err.text);
        assert_ptr_equal(strstr(r.err.text, "app.lua"), r.err.text);
        assert_string_equal(rig_result(&r, 1, "{\"a\": 1}"), "[1,\"fine\"]");
    }
    rig_close(&r);
}

static void stopped(const char *body, const char *expected)
{
    stopped_within(100, body, expected);
}

// Stopped by other bounds than time.
static void stopped_early(const char *body, const char *expected)
{
    stopped_within(60000, body, expected);
}

// TSan hands signals over only when the thread calls libc, which an endless loop never does.
#ifdef __SANITIZE_THREAD__
enum { SIGNALS_COME = 0 };
#else
enum { SIGNALS_COME = 1 };
#endif

static void test_endless_loops(void **state)
{
    (void)state;
    if (!SIGNALS_COME)
        skip();
    static const char text[] = "app.lua:4: ran longer than 100 ms";
    stopped("while true do end", text);
    stopped("local function f() return f() end f()", text);
    stopped("repeat pcall(function() while true do end end) until false", text);
    stopped("while true do xpcall(function() while true do end end, function() while true do end "
            "end) end",
            text);
    stopped("xpcall(error, function() while true do end end)", "ran longer than 100 ms");
    stopped("while true do pcall(error, 'x') end", text);
    stopped(
        "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
        text);
    stopped("table.sort({3, 2, 1}, function() while true do end end)", "ran longer than 100 ms");
    stopped("string.gsub('abc', '.', function() while true do end end)", "ran longer than 100 ms");
    stopped("table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)",
            "ran longer than 100 ms");
    stopped("table.concat(setmetatable({}, {__index = type}), '', 1, 1 << 60)", "");
    stopped(
        "local x <close> = setmetatable({}, {__close = function() while true do end end}) error "
        "'x'",
        "ran longer than 100 ms");
    stopped("for w in string.gmatch(('a'):rep(100000), '') do while true do end end", text);
}

static void test_long_work_in_c(void **state)
{
    (void)state;
    static const char steps[] = "a pattern took too many steps on this text";
    stopped_early("return string.find(('a'):rep(30000), '.-.-.-b')", steps);
    stopped_early("return string.match(('a'):rep(30000), '.-.-.-b')", steps);
    stopped_early("return string.gsub(('a'):rep(30000), '.-.-.-b', '')", steps);
    stopped_early("for x in string.gmatch(('a'):rep(30000), '.-.-.-b') do end", steps);
    stopped_early("return pcall(string.find, ('a'):rep(30000), '.-.-.-b')", steps);
    stopped_early("while true do pcall(string.find, ('a'):rep(30000), '.-.-.-b') end", steps);
    stopped_early("return ('x'):rep(1 << 40)", "resulting string too large");
    stopped_early("table.move({}, 1, 1 << 60, 2)", "table.move: more than 10000000 items");
    stopped_early("table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
                  "table functions do not work on tables with a __len metamethod");
}

static void test_memory(void **state)
{
    (void)state;
    static const char text[] = "used more than 8.0 MB of memory";
    stopped_early("local t = {} for i = 1, 1 << 40 do t[i] = i end", text);
    stopped_early("local x = 'x' while true do x = x .. x end", text);
    stopped_early("local t = {} pcall(function() for i = 1, 1 << 40 do t[i] = {} end end) return 1",
                  text);
    stopped_early("local t = {} for i = 1, 200000 do t[i] = ('%099d'):format(i) end", text);
    stopped_early("return ('x'):rep(7 << 20) .. ('y'):rep(7 << 20)", text);
}

static void test_deep_recursion(void **state)
{
    (void)state;
    stopped_early("local function f(n) return 1 + f(n + 1) end return f(1)", "");
    stopped_early("local function f() return pcall(f) end f() error 'end'", "");
    stopped_early(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end "
        "return t.x",
        "stack overflow");
    stopped_early("return ('('):rep(100):find(('('):rep(100))", "too many captures");
}

static void test_no_way_to_the_inside(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, HEAD "s:map(function(t, rec) return { getmetatable(t), getmetatable(rec), "
                       "getmetatable(''), getmetatable(weir), getmetatable(string) } end)\n"
                       "s:map(function(t) x = 1 end)\n"
                       "s:map(function(t) weir.x = 1 end)\n"
                       "s:map(function(t) s.x = 1 end)\n"
                       "s:map(function(t) s:filter(function() end) end)\n"
                       "s:map(function(t) return setmetatable(t, {}) end)");
    assert_string_equal(rig_result(&r, 0, "{}"), "[false,false,false,false,false]");
    static const char lost[] = "would be lost, and differ between tasks";
    assert_int_equal(rig_call(&r, 1, "{}"), -1);
    assert_non_null(strstr(r.err.text, lost));
    assert_int_equal(rig_call(&r, 2, "{}"), -1);
    assert_non_null(strstr(r.err.text, lost));
    assert_string_equal(rig_result(&r, 3, "{}"), "app.lua:7: 'stream' cannot be changed in a "
                                                 "function; use a local, or a store (:aggregate, "
                                                 ":table)");
    assert_string_equal(
        rig_result(&r, 4, "{}"),
        "app.lua:8: 'filter' describes the topology, which is complete when the script "
        "has loaded; it cannot be called in a function");
    assert_int_equal(rig_call(&r, 5, "{}"), -1);
    rig_close(&r);
}

static void refused_when_loading(const char *source, const char *expected)
{
    struct script_rig r;
    struct script_options o = {.memory_bytes = 8 << 20, .call_ms = 200};
    rig_open(&r);
    assert_int_equal(rig_load(&r, source, &o), -1);
    if (strstr(r.err.text, expected) == NULL)
        fail_msg("'%s' is not in: %s", expected, r.err.text);
    rig_close(&r);
}

static void test_loading_is_bounded_too(void **state)
{
    (void)state;
    if (SIGNALS_COME)
        refused_when_loading("\nwhile true do end", "app.lua:2: ran longer than 200 ms");
    refused_when_loading("local t = {} for i = 1, 1 << 40 do t[i] = i end",
                         "used more than 8.0 MB");
    refused_when_loading("\033Lua", "attempt to load a binary chunk");
    struct script_rig r;
    struct script_options o = {.memory_bytes = 1000};
    rig_open(&r);
    assert_int_equal(rig_load(&r, "", &o), -1);
    assert_int_equal(r.err.code, ERR_LIMIT);
    o.memory_bytes = 100000;
    assert_int_equal(rig_load(&r, "", &o), -1);
    assert_int_equal(r.err.code, ERR_INVALID);
    rig_close(&r);
}

static void test_pcall_still_works(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(
        &r, HEAD
        "s:map(function(t) return { pcall(error, 'x') } end)\n"
        "s:map(function(t) return { pcall(function(...) return select('#', ...), ... end, 1, "
        "'b') } end)\n"
        "s:map(function(t) return { xpcall(error, function(e) return e .. '!' end, 'x') } end)\n"
        "s:map(function(t) return { xpcall(function(a, b) return a + b end, print, 1, 2) } end)\n"
        "s:map(function(t) return { xpcall(error, function(e) error('y', 0) end, 'x') } end)\n"
        "s:map(function(t) return { pcall(error, { code = 7 }) } end)");
    assert_string_equal(rig_result(&r, 0, "{}"), "[false,\"x\"]");
    assert_string_equal(rig_result(&r, 1, "{}"), "[true,2,1,\"b\"]");
    assert_string_equal(rig_result(&r, 2, "{}"), "[false,\"x!\"]");
    assert_string_equal(rig_result(&r, 3, "{}"), "[true,3]");
    assert_string_equal(rig_result(&r, 4, "{}"), "[false,\"y\"]");
    assert_string_equal(rig_result(&r, 5, "{}"), "[false,{\"code\":7}]");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless_loops),
        cmocka_unit_test(test_long_work_in_c),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_deep_recursion),
        cmocka_unit_test(test_no_way_to_the_inside),
        cmocka_unit_test(test_loading_is_bounded_too),
        cmocka_unit_test(test_pcall_still_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
