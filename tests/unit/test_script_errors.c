// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a script is said before anything starts: the user's file:line, what is wrong,
// the nearest valid name, the valid ones. Each text is a promise.
#include "tests/unit/script_rig.h"

#define HEAD "local weir = require 'weir'\nlocal app = weir.app 'x'\n"
#define TX                                                                                         \
    "local Tx = weir.schema{ id = 'long', ts = 'timestamp', amount = 'double', city = "            \
    "'string?',\n"                                                                                 \
    "  fraud = weir.label{'boolean', visible_after = '7d'} }\n"                                    \
    "local tx = app:stream('tx', { value = weir.json(Tx), time = 'ts', key = 'id' })\n"

struct golden {
    const char *source, *text;
};

static void check_all(const struct golden *g, size_t n)
{
    struct script_rig r;
    rig_open(&r);
    for (size_t i = 0; i < n; i++)
        rig_refused(&r, g[i].source, g[i].text);
    rig_close(&r);
}

static const char state_advice[] =
    ": it would be state that is lost at a restart and differs between tasks; keep it in a store "
    "(:aggregate, :table), or make a constant with weir.const{…}";

static void test_language(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {"x = = 3", "app.lua:1: unexpected symbol near '='"},
        {"local weir = require 'weir'\n",
         "app.lua:1: the script describes no app; begin with: local app = weir.app \"name\""},
        {HEAD, "app.lua:2: the app has nothing to do: no stream, table, source or sink"},
        {"error('mine')", "app.lua:1: mine"},
        {"error('mine', 0)", "app.lua: mine"},
        {"error({})", "app.lua: an error that is not text (table) was raised"},
        {"local t = nil\nt.x = 1", "app.lua:2: attempt to index a nil value (local 't')"},
        {"\nrequire 'socket'",
         "app.lua:2: require \"socket\": only \"weir\" can be required in a weir script"},
        {"local x = os.time()",
         "app.lua:1: 'os' is not available in weir scripts: they have no files, no clock and no "
         "other modules, so that replays agree (a record's time is rec.time)"},
        {"io.open('x')", "app.lua:1: 'io' is not available in weir scripts: they have no files, no "
                         "clock and no other modules, so that replays agree"},
        {"pritn('x')", "app.lua:1: there is no global 'pritn'; did you mean 'print'?"},
        {"string.uper('x')", "app.lua:1: there is no string.uper; did you mean 'string.upper'?"},
        {"string.mine = 3", "app.lua:1: string cannot be extended: values kept there would be "
                            "lost, and differ between "
                            "tasks; use a local, or a store (:aggregate, :table)"},
        {"string = 3", "app.lua:1: 'string' is part of the language here; choose another name"},
        {"setmetatable({}, {__gc = print})",
         "app.lua:1: metatables with __gc are not available in weir scripts"},
        {"collectgarbage()", "app.lua:1: collectgarbage(\"collect\") is not available in weir "
                             "scripts; memory is managed by the runtime"},
        {"math.randomseed(1)", "app.lua:1: math.randomseed is not available: each record has its "
                               "own seed, so that a replay gives the same numbers"},
        {"local weir = require 'weir'\nlocal app = weir.ap 'x'",
         "app.lua:2: there is no weir.ap; did you mean 'weir.app'?"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_app(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {"require'weir'.app()",
         "app.lua:1: weir.app needs a name (a string) as its first argument, not a nil"},
        {"require'weir'.app 'a b'", "app.lua:1: weir.app: 'a b' cannot be a name: use letters, "
                                    "digits, '_', '-' and '.', at most 120"},
        {HEAD "weir.app 'y'", "app.lua:3: weir.app: a script describes one app, and there is one "
                              "already at app.lua:2"},
        {"require'weir'.app('x', {on_error = 'stpo'})",
         "app.lua:1: weir.app: on_error must be one of \"dead_letter\", \"stop\", not stpo; did "
         "you "
         "mean \"stop\"?"},
        {"require'weir'.app('x', {on_eror = 'stop'})",
         "app.lua:1: weir.app: no option 'on_eror'; did you mean 'on_error'? (valid: on_error)"},
        {HEAD "app.stream('t')",
         "app.lua:3: :stream must be called with a colon on an app, as in x:stream(…)"},
        {HEAD "app:strem('t')", "app.lua:3: an app has no method 'strem'; did you mean 'stream'? "
                                "(valid: sink, source, stream, table)"},
        {HEAD "app:table('u'):filter(print)", "app.lua:3: a table has no method 'filter'; it can "
                                              "only be joined: stream:join(table, …)"},
        {HEAD "local s = app:stream('t')\ns.filter(app:table 'u', print)",
         "app.lua:4: :filter works on streams; a table can only be joined: stream:join(table, …)"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_schemas(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {HEAD "local S = weir.schema{ a = 'lnog' }",
         "app.lua:3: weir.schema: field 'a': 'lnog' is not a field type; did you mean 'long'; the "
         "types are any, boolean, int, long, float, double, string, bytes, timestamp, with '?' "
         "behind when null is allowed"},
        {HEAD "local S = weir.schema{}", "app.lua:3: weir.schema: there are no fields"},
        {HEAD "local S = weir.schema{ {'a', 'long'}, {'a', 'int'} }",
         "app.lua:3: weir.schema: field 'a' is there twice"},
        {HEAD "local S = weir.schema{ {'a', 'long'}, b = 'int' }",
         "app.lua:3: weir.schema: use either the list form or name = \"type\", not both"},
        {HEAD "local S = weir.schema{ a = 3 }",
         "app.lua:3: weir.schema: field 'a': a type such as \"long\" or \"string?\" is needed, not "
         "a number"},
        {HEAD "local S = weir.schema{ a =\n weir.label{'boolean'} }",
         "app.lua:4: weir.label: visible_after is missing: how long after the record's time is the "
         "label known? (weir.label{\"boolean\", visible_after = \"7d\"})"},
        {HEAD "local S = weir.schema{ a = weir.label{'boolean', visible_after = 7} }",
         "app.lua:3: weir.label: visible_after must be a duration with its unit, such as "
         "\"250ms\", "
         "\"30s\", \"15m\", \"2h\" or \"7d\", not number"},
        {HEAD "weir.json({})", "app.lua:3: weir.json needs a schema (weir.schema{…}), not a table"},
        {HEAD TX "weir.csv(Tx, {delimiter = '--'})",
         "app.lua:6: weir.csv: delimiter must be one character"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_topics(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {HEAD "app:stream('t', {\n  tiem = 'ts' })",
         "app.lua:3: :stream 't': no option 'tiem'; did you mean 'time'? (valid: idle_after, key, "
         "key_format, max_future, max_jump, max_out_of_order, name, partitions, time, value)"},
        {HEAD "app:stream('t', 'ts')",
         "app.lua:3: :stream 't': options must be a table, not a string"},
        {HEAD "app:stream('t', {'ts'})",
         "app.lua:3: :stream 't': options are named, but there is a value at [1]"},
        {HEAD "app:stream(3)", "app.lua:3: :stream needs a topic (a string), not a number"},
        {HEAD "app:stream('a/b')", "app.lua:3: :stream: 'a/b' cannot be a topic: use letters, "
                                   "digits, '_', '-' and '.', at most 249"},
        {HEAD "app:stream('t', {max_out_of_order = 5})",
         "app.lua:3: :stream 't': max_out_of_order must be a duration with its unit, such as "
         "\"250ms\", \"30s\", \"15m\", \"2h\" or \"7d\", not number"},
        {HEAD "app:stream('t', {idle_after = 'never'})",
         "app.lua:3: :stream 't': idle_after must be a duration such as \"30s\", or \"off\", not "
         "\"never\""},
        {HEAD "app:stream('t', {partitions = 0})",
         "app.lua:3: :stream 't': partitions must be a whole number from 1 to 10000, not number"},
        {HEAD "app:stream('t', {value = 'jsno'})",
         "app.lua:3: :stream 't': value must be one of \"json\", \"avro\", \"csv\", \"string\", "
         "\"long\", \"int\", \"double\", \"bytes\", not jsno; did you mean \"json\"?"},
        {HEAD "app:stream('t', {value = 'avro'})", "app.lua:3: :stream 't': value = \"avro\" needs "
                                                   "its schema: write value = weir.avro(schema)"},
        {HEAD TX "app:stream('t', {value = Tx})",
         "app.lua:6: :stream 't': value is a format: write value = weir.json(schema)"},
        {HEAD TX "app:stream('t', {value = weir.json(Tx), time = 'tss'})",
         "app.lua:6: :stream 't': time: no field 'tss' in Tx; did you mean 'ts'? (valid: id, ts, "
         "amount, city, fraud)"},
        {HEAD TX "app:stream('t', {value = weir.json(Tx), time = 'city'})",
         "app.lua:6: :stream 't': time = \"city\" must be a timestamp or a long (epoch "
         "milliseconds), not a string"},
        {HEAD TX "app:table('t', {value = weir.json(Tx), key = 'idd'})",
         "app.lua:6: :table 't': key: no field 'idd' in Tx; did you mean 'id'? (valid: id, ts, "
         "amount, city, fraud)"},
        {HEAD TX "tx:map(function(t) return {} end)\n:to('out', {value = 'avro'})",
         "app.lua:7: :to 'out': value = \"avro\" needs a schema, and that of this stream is not "
         "known (it ends at a :map without schema, or the topic was read without one); write value "
         "= weir.avro(schema)"},
        {HEAD TX "tx:with{ z = function(t) return {} end }:to('out', {value = 'avro'})",
         "app.lua:6: :to 'out': the type of field 'z' is not known, and Avro needs it; give it in "
         ":with{ z = {type = \"double\", function(t) … end} }"},
        {HEAD TX "tx:to('o', {value = 'string'})\ntx:to('o')",
         "app.lua:7: :to 'o' writes json, but app.lua:6 writes string to the same topic"},
        {HEAD TX "tx:to('o', {key = 'ammount'})", "app.lua:6: :to 'o': key: no field 'ammount' in "
                                                  "Tx; did you mean 'amount'? (valid: id, ts, "
                                                  "amount, city, fraud)"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_functions(void **state)
{
    (void)state;
    char n_changes[400], seen_captured[400], seen_global[400];
    snprintf(n_changes, sizeof(n_changes),
             "app.lua:5: the function changes 'n', a variable outside of it%s", state_advice);
    snprintf(seen_captured, sizeof(seen_captured),
             "app.lua:4: the function captures the table "
             "'seen'%s",
             state_advice);
    snprintf(seen_global, sizeof(seen_global), "app.lua:5: the function uses the table 'seen'%s",
             state_advice);
    const struct golden g[] = {
        {HEAD TX "tx:filter(function(t)\n  return t.amuont > 3\nend)",
         "app.lua:7: :filter: no field 'amuont' in Tx; did you mean 'amount'? (valid: id, ts, "
         "amount, city, fraud)"},
        {HEAD TX
         "tx:with{ a = function(t) return t.amount end,\n b = function(t) return t.aa end }",
         "app.lua:7: :with: b: no field 'aa' in Tx; did you mean 'a'? (valid: id, ts, amount, "
         "city, "
         "fraud, a)"},
        {HEAD TX "tx:filter()", "app.lua:6: :filter needs a function, not a nil"},
        {HEAD TX "tx:filter(print)", "app.lua:6: write the function out here: function(t) … end; "
                                     "functions of the library cannot be called with a record"},
        {HEAD TX "tx:with{}",
         "app.lua:6: :with needs a table of fields: :with{ night = function(t) "
         "return weir.hour(t.ts) <= 6 end }"},
        {HEAD TX "tx:with{ a = {typ = 'long', function(t) return 1 end} }",
         "app.lua:6: :with: a: no option 'typ'; did you mean 'type'? (valid: type)"},
        {HEAD TX "tx:key_by('cty')", "app.lua:6: :key_by: no field 'cty' in Tx; did you mean "
                                     "'city'? (valid: id, ts, amount, city, fraud)"},
        {HEAD "local n = 0\napp:stream('t'):filter(function(t)\n  n = n + 1 return n > 3 end)",
         n_changes},
        {HEAD "local a, n\napp:stream('t'):filter(function(t)\n  a, n = 1, t return true end)",
         n_changes},
        {HEAD "local seen = {}\napp:stream('t'):filter(function(t) return seen[t.id] end)",
         seen_captured},
        {HEAD "local seen = {} local function f(t) return seen[t.id] end\n"
              "app:stream('t'):filter(function(t) return f(t) end)",
         seen_captured},
        {HEAD "seen = {}\nfunction helper(t) return seen[t.id] end\n"
              "app:stream('t'):filter(function(t) return helper(t) end)",
         seen_global},
    };
    // A captured list is reported under the first of its variables.
    struct script_rig r;
    rig_open(&r);
    for (size_t i = 0; i < ARRAY_COUNT(g); i++) {
        if (rig_load(&r, g[i].source, NULL) == 0)
            fail_msg("accepted, expected: %s", g[i].text);
        if (strstr(g[i].source, "local a, n") != NULL)
            assert_non_null(strstr(r.err.text, "app.lua:5: the function changes 'a'"));
        else
            assert_string_equal(r.err.text, g[i].text);
    }
    rig_close(&r);
}

#define FEATURES(options) HEAD TX "tx:features('c', { by = 'id', windows = {'1d'}, " options " })"

static void test_features(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {FEATURES("compute = { r = weir.mean{'fraud', delay = '1d'} }"),
         "app.lua:6: :features 'c': r: would leak: the label 'fraud' is known only 7d after its "
         "record, so delay must be at least 7d, not 1d"},
        {HEAD TX
         "tx:with{ f2 = function(t) return t.fraud == true end }\n"
         ":features('c', { windows = {'1d'}, compute = { r = weir.mean{'f2', delay='1h'} }})",
         "app.lua:7: :features 'c': r: would leak: the label 'f2' is known only 7d after its "
         "record, so delay must be at least 7d, not 1h"},
        {FEATURES("compute = { r = weir.mean 'amuont' }"),
         "app.lua:6: :features 'c': r: no field 'amuont' in Tx; did you mean 'amount'? (valid: id, "
         "ts, amount, city, fraud)"},
        {FEATURES("compute = { r = weir.mean 'city' }"),
         "app.lua:6: :features 'c': r: mean needs a number, but field 'city' is a string"},
        {FEATURES("compute = { r = 'mean' }"),
         "app.lua:6: :features 'c': r must be made with weir.count, weir.sum, weir.mean, weir.min, "
         "weir.max, weir.stddev, weir.last, weir.distinct, not a string"},
        {FEATURES("computee = { r = weir.count() }"),
         "app.lua:6: :features 'c': no option 'computee'; did you mean 'compute'? (valid: by, "
         "compute, emit, windows)"},
        {FEATURES("compute = {}"), "app.lua:6: :features 'c': compute is missing or empty: compute "
                                   "= { n = weir.count(), avg = weir.mean \"amount\" }"},
        {FEATURES("compute = { n = weir.count 'id' }"),
         "app.lua:6: weir.count counts records and takes no field; count different values with "
         "weir.distinct \"field\""},
        {FEATURES("compute = { n = weir.sum() }"),
         "app.lua:6: weir.sum needs a field: weir.sum \"amount\""},
        {FEATURES("compute = { n = weir.sum{'amount', dealy = '1d'} }"),
         "app.lua:6: weir.sum: no option 'dealy'; did you mean 'delay'? (valid: delay)"},
        {FEATURES("emit = 'evnt', compute = { n = weir.count() }"),
         "app.lua:6: :features 'c': emit must be one of \"event\", \"arrival\", not evnt; did you "
         "mean \"event\"?"},
        {HEAD TX "tx:features('c', { windows = {'1 day'}, compute = { n = weir.count() } })",
         "app.lua:6: :features 'c': windows: a duration with its unit is needed, such as \"1d\", "
         "not 1 day"},
        {HEAD TX "tx:features('c', { windows = {'1d', '1d'}, compute = { n = weir.count() } })",
         "app.lua:6: :features 'c': windows: '1d' is there twice"},
        {HEAD TX "tx:with{ c_n_1d = function(t) return 1 end }\n"
                 ":features('c', { windows = {'1d'}, compute = { n = weir.count() } })",
         "app.lua:7: :features 'c': the output field 'c_n_1d' is there already; rename the "
         "operator "
         "or the feature"},
        {HEAD TX "tx:features({ windows = {'1d'} })",
         "app.lua:6: :features needs a name (a string) as its first argument, not a table"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_aggregates_and_joins(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {HEAD TX "tx:count('a')\ntx:count('a')",
         "app.lua:7: :count: the name 'a' is already taken by :count at app.lua:6; names of "
         "operators, tables, sources and sinks must differ, as topics and state carry them"},
        {HEAD TX "tx:count('a', {windw = '1h'})",
         "app.lua:6: :count 'a': no option 'windw'; did you mean 'window'? (valid: as, by, emit, "
         "grace, window)"},
        {HEAD TX "tx:count('a', {grace = '1h'})",
         "app.lua:6: :count 'a': grace needs a window (window = \"1h\")"},
        {HEAD TX "tx:count('a', {emit = 'close'})",
         "app.lua:6: :count 'a': emit = \"close\" needs a window (window = \"1h\"); without one "
         "nothing ever closes"},
        {HEAD TX "tx:sum('a')", "app.lua:6: :sum 'a': field is missing (field = \"amount\")"},
        {HEAD TX "tx:sum('a', {field = 'city'})",
         "app.lua:6: :sum 'a': sum needs a number, but field 'city' is a string"},
        {HEAD TX "tx:count('a', {as = 'id'})",
         "app.lua:6: :count 'a': as = \"id\" is already a field of the result"},
        {HEAD TX "tx:reduce('a', {})", "app.lua:6: :reduce 'a': fn is missing"},
        {HEAD TX "tx:aggregate('a', {init = {f = print}, fn = function(s, t) return s end})",
         "app.lua:6: :aggregate 'a': init: a function cannot be part of a record"},
        {HEAD TX "tx:aggregate('a', {init = 0, fn = function(s, t) return s + t.amuont end})",
         "app.lua:6: :aggregate 'a': fn: no field 'amuont' in Tx; did you mean 'amount'? (valid: "
         "id, ts, amount, city, fraud)"},
        {HEAD TX "tx:join('users')",
         "app.lua:6: :join needs a table (app:table(…)) as its first argument, not a string"},
        {HEAD TX "tx:join(tx)",
         "app.lua:6: :join needs a table (app:table(…)) as its first argument, not a stream"},
        {HEAD TX "local u = app:table('users', {key = 'user_id'})\ntx:join(u)",
         "app.lua:7: :join 'users': the stream is keyed by 'id', the table by 'user_id'; say which "
         "field of the stream holds the table's key: by = \"id\""},
        {HEAD TX "local u = app:table('users', {value = weir.json(Tx), key = 'id'})\n"
                 "tx:join(u, {prefix = ''})",
         "app.lua:7: :join 'users': the table's field 'id' would become 'id', which the stream has "
         "already; choose another prefix"},
        {HEAD TX "local u = app:table('users', {key = 'id'})\n"
                 "tx:join(u, {prefix = 'u_', fn = function(a, b) return a end})",
         "app.lua:7: :join 'users': give prefix or fn, not both"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void test_connectors_and_values(void **state)
{
    (void)state;
    static const struct golden g[] = {
        {HEAD "app:sink('s', {connector = 'file', to = 'x'})",
         "app.lua:3: :sink 's': no option 'to'; a sink reads from a topic: from = \"topic\""},
        {HEAD "app:source('s', {connector = 'file', from = 'x'})",
         "app.lua:3: :source 's': no option 'from'; a source writes to a topic: to = \"topic\""},
        {HEAD "app:source('s', {to = 'x'})",
         "app.lua:3: :source 's': connector is missing (connector = \"file\")"},
        {HEAD "app:source('s', {connector = 'file'})", "app.lua:3: :source 's': to is missing (the "
                                                       "topic)"},
        {HEAD "app:sink('s', {connector = 'file', from = 'x', path = print})",
         "app.lua:3: :sink 's': path: a function cannot be part of a record"},
        {HEAD TX "app:source('s', {connector = 'file', to = 'tx', key = 'idd'})",
         "app.lua:6: :source 's': key: no field 'idd' in Tx; did you mean 'id'? (valid: id, ts, "
         "amount, city, fraud)"},
        {HEAD "weir.const(3)", "app.lua:3: weir.const needs a table, not a number"},
        {HEAD "weir.const{ f = print }", "app.lua:3: weir.const: [f] is a function; constants are "
                                         "numbers, texts, booleans and tables of them"},
        {HEAD "weir.const{ a = 1 }.a = 2",
         "app.lua:3: a weir.const table cannot be changed; state belongs into a store"},
        {HEAD "weir.param('x')",
         "app.lua:3: weir.param: 'x' needs a default (a number, true/false or a string); its type "
         "is the parameter's type"},
    };
    check_all(g, ARRAY_COUNT(g));
}

static void refused_with(struct script_rig *r, const char *source, const char *name,
                         const char *value, const char *text)
{
    struct script_param p = {name, value};
    struct script_options o = {.params = &p, .params_count = 1};
    if (rig_load(r, source, &o) == 0)
        fail_msg("accepted, expected: %s", text);
    assert_string_equal(r->err.text, text);
}

static void test_params(void **state)
{
    (void)state;
    static const char source[] =
        HEAD "local n = weir.param('limit', 3) + weir.param('rate', 0.5)\n"
             "if weir.param('on', false) then app:stream(weir.param('topic', 't') .. n) end\n"
             "app:stream 'always'";
    struct script_rig r;
    rig_open(&r);
    refused_with(&r, source, "limti", "3",
                 "app.lua: --set limti: the script has no parameter 'limti'; did you mean 'limit'? "
                 "(parameters: limit, rate, on)");
    refused_with(&r, source, "limit", "3.5",
                 "app.lua:3: --set limit=3.5: 'limit' must be a whole number");
    refused_with(&r, source, "rate", "fast", "app.lua:3: --set rate=fast: 'rate' must be a number");
    refused_with(&r, source, "on", "maybe",
                 "app.lua:4: --set on=maybe: 'on' must be true or false");
    refused_with(&r, HEAD "app:stream 't'", "x", "1",
                 "app.lua: --set x: the script has no parameter 'x'; (parameters: none)");
    struct script_param p[] = {{"limit", "40"}, {"on", "true"}, {"topic", "in"}};
    struct script_options o = {.params = p, .params_count = 3};
    assert_int_equal(rig_load(&r, source, &o), 0);
    assert_string_equal(script_graph(r.script)->nodes[0]->topic, "in40.5");
    rig_close(&r);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct err e;
    struct script *s;
    assert_int_equal(script_load("/nowhere/app.lua", NULL, NULL, &s, &e), -1);
    assert_string_equal(e.text,
                        "cannot read the script /nowhere/app.lua: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_app),
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_aggregates_and_joins),
        cmocka_unit_test(test_connectors_and_values),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
