// SPDX-License-Identifier: Apache-2.0
//
// Functions at work: what they see of a record, what comes back, what raises.
#include "tests/unit/script_rig.h"

#include <string.h>

#define HEAD "local weir = require 'weir'\nlocal app = weir.app 'x'\nlocal s = app:stream 'in'\n"

// Loads HEAD with `lines` and compares the result of function 0 on `json`.
static void check(struct script_rig *r, const char *lines, const char *json, const char *result)
{
    char source[4096];
    snprintf(source, sizeof(source), HEAD "%s", lines);
    rig_loads(r, source);
    assert_string_equal(rig_result(r, 0, json), result);
}

// The same with the body of a :map function.
static void maps(struct script_rig *r, const char *body, const char *json, const char *result)
{
    char lines[2048];
    snprintf(lines, sizeof(lines), "s:map(function(t, rec) %s end)", body);
    check(r, lines, json, result);
}

static const char all_types[] = "{\"i\": 9007199254740993, \"d\": 0.5, \"b\": true, \"n\": null, "
                                "\"s\": \"h\\u00e9\", \"l\": [1, null, {\"x\": 2}], \"m\": {\"k\": "
                                "[]}, \"copy\": 1}";

static void test_reading(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    maps(&r, "return t.i", all_types, "9007199254740993");
    maps(&r, "return t.i + 1", all_types, "9007199254740994");
    maps(&r, "return t.d * 2", all_types, "1");
    maps(&r, "return t.s .. '!'", all_types, "\"h\303\251!\"");
    maps(&r, "return t.b and t.n == nil and t.absent == nil", all_types, "true");
    maps(&r, "return { #t.l, t.l[1], t.l[2] == weir.null, t.l[3].x }", all_types, "[3,1,true,2]");
    maps(&r, "return t.l", all_types, "[1,null,{\"x\":2}]");
    maps(&r, "return t['s']", all_types, "\"h\303\251\"");
    maps(&r, "return tostring(t)", "{\"a\": 1, \"b\": [2]}", "\"{\\\"a\\\":1,\\\"b\\\":[2]}\"");
    maps(&r, "local k = {} for n, v in pairs(t) do k[#k + 1] = n end return k", all_types,
         "[\"i\",\"d\",\"b\",\"s\",\"l\",\"m\",\"copy\"]");
    maps(&r, "return t.copy", all_types, "1"); // a field of this name wins
    maps(&r, "return t[1]", all_types,
         "app.lua:4: a record has named fields, there is none at [1]");
    maps(&r, "return t.bad.x", "{\"bad\": 1}",
         "app.lua:4: attempt to index a number value (field 'bad')");
    rig_close(&r);
}

static void test_damaged_record(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, HEAD "s:filter(function(t)\n return t.a end)");
    assert_int_equal(rig_call(&r, 0, "{\"a\": 1"), -1);
    assert_int_equal(r.err.code, ERR_SCRIPT);
    assert_ptr_equal(strstr(r.err.text, "app.lua:5: "), r.err.text);
    assert_string_equal(rig_result(&r, 0, "{\"a\": 1}"), "1"); // and goes on
    rig_close(&r);
}

static void test_rec(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    maps(&r, "return { rec.key, rec.time, rec.topic, rec.partition, rec.offset }", "{}",
         "[\"k7\",5000,\"in\",2,42]");
    maps(&r, "return rec.ofset", "{}",
         "app.lua:4: rec has no 'ofset'; did you mean 'offset'? (it "
         "has key, time, headers, topic, partition, offset)");
    maps(&r, "rec.key = 'x' return t", "{}",
         "app.lua:4: rec cannot be changed; a new key is set by :key_by");
    rig_loads(&r, HEAD "s:map(function(t, rec) return rec.headers end)");
    rig_record(&r, "{}");
    // Two headers: "a" = "xy", "b" = null.
    static const uint8_t headers[] = {2, 'a', 4, 'x', 'y', 2, 'b', 1};
    r.rec.headers = slice_of(headers, sizeof(headers));
    r.rec.header_count = 2;
    struct fn *f = script_fn(r.script, 0);
    struct fn_arg arg = {.kind = FN_MSG, .msg = &r.msg};
    assert_int_equal(f->call(f, &arg, 1, &r.arena, &r.result, &r.same, &r.err), 0);
    assert_int_equal(r.result.count, 1);
    assert_true(slice_eq_str(r.result.keys[0], "a"));
    assert_true(slice_eq_str(r.result.items[0].s, "xy"));
    r.rec.headers.n--; // cut off
    assert_int_equal(f->call(f, &arg, 1, &r.arena, &r.result, &r.same, &r.err), -1);
    assert_string_equal(r.err.text, "app.lua:4: the headers of this record are damaged");
    rig_close(&r);
}

static void test_changing(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    maps(&r, "t.a = t.a + 1 t.new = {x = {1, 2}} t.gone = nil t.nil_ = weir.null return t",
         "{\"a\": 1, \"gone\": 2, \"b\":  3.0 }",
         "{\"a\":2,\"b\":3,\"new\":{\"x\":[1,2]},\"nil_\":null}");
    assert_true(r.same);
    maps(&r, "local c = t:copy() c.a = 9 return c", "{\"a\": 1, \"z\": [1]}",
         "{\"a\":9,\"z\":[1]}");
    assert_false(r.same);
    maps(&r, "return { inner = t, n = 1 }", "{\"a\": 1}", "{\"inner\":{\"a\":1},\"n\":1}");
    check(&r, "s:filter(function(t)\n t.a = 1 return true end)", "{}",
          "app.lua:5: fields can be set in :map only; add one with :with{ a = function(t) … end }");
    rig_close(&r);
}

static void test_results(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    maps(&r, "return { c = 1, a = 2.5, b = 'x' }", "{}", "{\"a\":2.5,\"b\":\"x\",\"c\":1}");
    maps(&r, "return { 1, 2, 3 }", "{}", "[1,2,3]");
    maps(&r, "return {}", "{}", "{}");
    maps(&r, "return { [1] = 'a', [3] = 'c' }", "{}", "{\"1\":\"a\",\"3\":\"c\"}");
    maps(&r, "return { nil, 2, x = 1 }", "{}", "{\"2\":2,\"x\":1}");
    maps(&r, "return { 1.0, 2^53, 1 // 1, math.mininteger }", "{}",
         "[1,9.007199254740992e+15,1,-9223372036854775808]");
    maps(&r, "return nil", "{}", "null");
    maps(&r, "", "{}", "null");
    maps(&r, "return { weir.null, 1 }", "{}", "[null,1]");
    maps(&r, "return '\\xff'", "{}", "\"/w==\""); // not text: bytes
    check(&r, "local c = weir.const{ a = {1, 2} } s:map(function(t) return { c, #c.a } end)", "{}",
          "[{\"a\":[1,2]},2]");
    maps(&r, "return { f = print }", "{}", "app.lua:4: a function cannot be part of a record");
    maps(&r, "local a = {} a.a = a return a", "{}", "app.lua:4: a table contains itself");
    maps(&r, "local a = {} for i = 1, 40 do a = {a} end return a", "{}",
         "app.lua:4: tables are nested more than 32 deep");
    maps(&r, "local a = {1} for i = 1, 30 do a = {a, a} end return a", "{}",
         "app.lua:4: a value has more than 1000000 parts");
    maps(&r, "return { [1] = 1, ['1'] = 2, x = 3 }", "{}",
         "app.lua:4: a table has the key 1 twice, as a number and as text");
    maps(&r, "return { [true] = 1 }", "{}",
         "app.lua:4: a key of a table is boolean; keys must be strings");
    check(&r, "local c = weir.json() s:map(function(t) return { s = c } end)", "{}",
          "app.lua:4: a weir codec cannot be part of a record");
    rig_close(&r);
}

static void test_kept_views(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    // What the look at the text cannot see: a place of the library's that takes any value.
    check(&r,
          "s:map(function(t) if string.upper ~= nil then string.upper = t end return 1 end)\n"
          "s:map(function(t) return string.upper.a end)\n"
          "s:map(function(t) return { string.upper } end)",
          "{\"a\": 1}", "1");
    assert_string_equal(rig_result(&r, 1, "{\"a\": 2}"),
                        "app.lua:5: this record was kept after the function that got it returned; "
                        "its memory is gone by then. Copy what you need: t:copy()");
    assert_string_equal(
        rig_result(&r, 2, "{\"a\": 2}"),
        "app.lua:6: a record was kept after the function that got it returned; copy "
        "it: t:copy()");
    check(&r,
          "s:map(function(t, rec) string.upper = rec return 1 end)\n"
          "s:map(function(t) return string.upper.key end)",
          "{}", "1");
    assert_string_equal(rig_result(&r, 1, "{}"), "app.lua:5: rec was kept after the function that "
                                                 "got it returned; copy the fields you need");
    rig_close(&r);
}

static void test_schema_at_run_time(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, "local weir = require 'weir'\nlocal Tx = weir.schema{ amount = 'double', ts = "
                  "'timestamp', note = 'string?' }\n"
                  "local s = weir.app 'x':stream('in', { value = weir.json(Tx) })\n"
                  "s:filter(function(t) local name = 'amuont'\n return t[name] end)\n"
                  "s:filter(function(t) return t.note == nil and t.amount end)\n"
                  "s:map(function(t) return t.ts end)");
    assert_string_equal(rig_result(&r, 0, "{\"amount\": 1}"),
                        "app.lua:5: no field 'amuont' in Tx; did you mean 'amount'?");
    assert_string_equal(rig_result(&r, 1, "{\"amount\": 1}"), "1");
    assert_string_equal(rig_result(&r, 2, "{\"ts\": \"1970-01-01T00:00:01Z\"}"), "1000");
    rig_close(&r);
}

// --- arguments other than one record

static int call_with(struct script_rig *r, uint32_t i, struct fn_arg *args, uint32_t n)
{
    struct fn *f = script_fn(r->script, i);
    return f->call(f, args, n, &r->arena, &r->result, &r->same, &r->err);
}

static void test_values_as_arguments(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, HEAD "s:aggregate('a', { init = { n = 0 }, fn = function(state, t, rec)\n"
                       "  return { n = state.n + t.x, last = rec.offset } end })\n"
                       "s:reduce('b', { fn = function(a, t) return (a or 0) + t.x end })\n");
    rig_record(&r, "{\"x\": 5}");
    struct value init = script_graph(r.script)->nodes[1]->init, none = value_null();
    struct fn_arg args[2] = {{.kind = FN_VALUE, .value = &init}, {.kind = FN_MSG, .msg = &r.msg}};
    assert_int_equal(call_with(&r, 0, args, 2), 0);
    assert_int_equal(r.result.type, VALUE_MAP);
    assert_int_equal(r.result.items[0].i, 42); // last
    assert_int_equal(r.result.items[1].i, 5);  // n
    args[0].value = &none;
    assert_int_equal(call_with(&r, 1, args, 2), 0);
    assert_int_equal(r.result.i, 5);
    rig_close(&r);
}

static void test_two_records(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, HEAD "local u = app:table 'users'\n"
                       "s:left_join(u, { fn = function(a, b, rec)\n"
                       "  if b == nil then return { a.x, rec.topic } end\n"
                       "  return { a.x, b.x, rec.topic } end })\n"
                       "s:left_join(u, { name = 'two', fn = function(a, b) return b end })");
    rig_record(&r, "{\"x\": 5}");
    static uint8_t raw[80] = "{\"x\": 6}";
    struct doc right;
    doc_open(&right, r.doc_ctx, &r.arena, r.json, slice_of(raw, 8));
    struct msg other = {.doc = &right, .topic = "users"};
    struct fn_arg args[2] = {{.kind = FN_MSG, .msg = &r.msg}, {.kind = FN_MSG, .msg = &other}};
    assert_int_equal(call_with(&r, 0, args, 2), 0);
    assert_int_equal(r.result.count, 3);
    assert_int_equal(r.result.items[1].i, 6);
    assert_true(slice_eq_str(r.result.items[2].s, "in"));
    assert_int_equal(call_with(&r, 1, args, 2), 0);
    assert_false(r.same); // the right one is not "the record itself"
    assert_int_equal(r.result.items[0].i, 6);
    struct value none = value_null();
    args[1] = (struct fn_arg){.kind = FN_VALUE, .value = &none};
    assert_int_equal(call_with(&r, 0, args, 2), 0);
    assert_int_equal(r.result.count, 2);
    rig_close(&r);
}

static void test_plain_values(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(
        &r, "local weir = require 'weir'\n"
            "weir.app 'x':stream('in', { value = 'string' }):map(function(t) return t .. '!' end)");
    assert_string_equal(rig_result(&r, 0, "hello"), "\"hello!\"");
    rig_loads(&r, HEAD "s:map(function(t) return #t end)\ns:map(function(t) return t == nil end)");
    assert_string_equal(rig_result(&r, 0, " [1, 2, 3]"), "3"); // JSON, not a record
    rig_record(&r, "{}");
    r.msg.doc = NULL; // a delete
    struct fn_arg arg = {.kind = FN_MSG, .msg = &r.msg};
    assert_int_equal(call_with(&r, 1, &arg, 1), 0);
    assert_true(r.result.b);
    rig_close(&r);
}

// --- helpers

static void test_helpers(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    // 2018-07-25 was a Wednesday.
    maps(&r,
         "local ts = weir.parse_time '2018-07-25T13:45:00Z' return { weir.hour(ts), "
         "weir.weekday(ts), weir.day(ts), weir.format_time(ts), weir.duration '7d' }",
         "{}", "[13,2,17737,\"2018-07-25T13:45:00.000Z\",604800000]");
    maps(&r, "return { weir.hour(-1), weir.weekday(-1), weir.day(-1), weir.day(-0.5) }", "{}",
         "[23,2,-1,-1]");
    maps(&r, "return weir.parse_time 'yesterday'", "{}",
         "app.lua:4: 'yesterday' is not a time; write 2018-07-25, 2018-07-25T10:00:00Z or epoch "
         "milliseconds");
    maps(&r, "return weir.hour(t.none)", "{}",
         "app.lua:4: bad argument #1 to 'hour' (number expected, got nil)");
    maps(&r,
         "return { weir.hash 'a' == weir.hash 'a', weir.hash 'a' == weir.hash 'b', weir.hash(1) "
         "== weir.hash '1' }",
         "{}", "[true,false,true]");
    maps(&r, "return weir.json_encode{ b = {1, 'x'}, a = t }", "{\"q\": 1}",
         "\"{\\\"a\\\":{\\\"q\\\":1},\\\"b\\\":[1,\\\"x\\\"]}\"");
    maps(&r, "return weir.json_decode('{\"a\": [1, {\"b\": 2.5}]}').a[2].b", "{}", "2.5");
    maps(&r, "return (pcall(weir.json_decode, '{'))", "{}", "false");
    maps(&r,
         "local o = {} for k in pairs{ z = 1, [3] = 1, a = 1, [1] = 1, [2.5] = 1 } do o[#o + 1] "
         "= tostring(k) end return o",
         "{}", "[\"1\",\"3\",\"2.5\",\"a\",\"z\"]");
    maps(&r,
         "local x = { a = 1, b = 2, c = 3 } local o = {} for k in pairs(x) do x.b = nil o[#o + "
         "1] = k end return o",
         "{}", "[\"a\",\"c\"]");
    rig_close(&r);
}

static void test_random_is_the_records_own(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    static const char source[] = HEAD
        "s:map(function() return { math.random(1000000), math.random(1000000) } end)\n"
        "s:map(function() return { math.random(1000000) } end)\n"
        "s:map(function() local r, i, z = math.random(), math.random(3), math.random(0) return "
        "r >= 0 and r < 1 and i >= 1 and i <= 3 and math.type(z) == 'integer' end)\n"
        "s:map(function() return math.random(2, 1) end)";
    rig_loads(&r, source);
    const char *first = rig_result(&r, 0, "{}");
    assert_string_not_equal(rig_result(&r, 1, "{}"), first);
    assert_string_equal(rig_result(&r, 0, "{}"), first); // the same record: the same numbers
    r.msg.origin.offset++;
    struct fn_arg arg = {.kind = FN_MSG, .msg = &r.msg};
    int64_t before = r.result.items[0].i;
    assert_int_equal(call_with(&r, 0, &arg, 1), 0);
    assert_true(r.result.items[0].i != before);
    rig_loads(&r, source); // another interpreter
    assert_string_equal(rig_result(&r, 0, "{}"), first);
    assert_string_equal(rig_result(&r, 2, "{}"), "true");
    assert_string_equal(rig_result(&r, 3, "{}"),
                        "app.lua:7: bad argument #2 to 'random' (interval is empty)");
    rig_close(&r);
}

static void test_many_field_names(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    // More names than are remembered: the slow way must give the same.
    maps(&r,
         "local n = 0 for i = 1, 3000 do if t['f' .. i] == nil then n = n + 1 end end return { "
         "n, t.f2999, t['f' .. 2999] }",
         "{\"f2999\": 7}", "[2999,7,7]");
    maps(&r, "for i = 1, 1000 do t['f' .. i] = i end return { t.f1, t.f1000 }", "{}", "[1,1000]");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_damaged_record),
        cmocka_unit_test(test_rec),
        cmocka_unit_test(test_changing),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_kept_views),
        cmocka_unit_test(test_schema_at_run_time),
        cmocka_unit_test(test_values_as_arguments),
        cmocka_unit_test(test_two_records),
        cmocka_unit_test(test_plain_values),
        cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_random_is_the_records_own),
        cmocka_unit_test(test_many_field_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
