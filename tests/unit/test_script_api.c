// SPDX-License-Identifier: Apache-2.0
//
// Each call of the API and the node it makes.
#include "tests/unit/script_rig.h"

#include <string.h>

#define HEAD                                                                                       \
    "local weir = require 'weir'\nlocal app = weir.app('x', { on_error = 'stop' })\n"              \
    "local Tx = weir.schema{ id = 'long', ts = 'timestamp', amount = 'double', city = "            \
    "'string?',\n"                                                                                 \
    "  n = 'int', fraud = weir.label{'boolean', visible_after = '7d'} }\n"                         \
    "local tx = app:stream('tx', { value = weir.json(Tx), time = 'ts', key = 'id' })\n"

static struct script_rig rig;

// Loads HEAD and `lines`; gives the last node.
static const struct node *last(const char *lines)
{
    static char source[4096];
    snprintf(source, sizeof(source), HEAD "%s", lines);
    rig_loads(&rig, source);
    const struct graph *g = script_graph(rig.script);
    return g->nodes[g->nodes_count - 1];
}

static const char *schema_text(const struct schema *s)
{
    struct buf b;
    buf_init(&b);
    for (uint32_t i = 0; s != NULL && i < s->count; i++)
        buf_printf(&b, "%s%s:%s%s%s", i == 0 ? "" : " ", s->fields[i].name,
                   field_type_name(s->fields[i].type), s->fields[i].nullable ? "?" : "",
                   s->fields[i].label ? "!" : "");
    const char *text = s == NULL ? "none" : (const char *)arena_slice(&rig.arena, buf_slice(&b)).p;
    buf_release(&b);
    return text;
}

#define TX_FIELDS "id:long ts:timestamp amount:double city:string? n:int fraud:boolean!"

static void test_stream_options(void **state)
{
    (void)state;
    const struct node *n = last(
        "app:stream('a', { value = 'string', key_format = 'long', max_out_of_order = '5s', "
        "idle_after = 'off', max_future = '1h', max_jump = '1d', partitions = 3, name = 'in' })");
    assert_int_equal(n->kind, NODE_STREAM);
    assert_string_equal(n->name, "in");
    assert_int_equal(n->codec->format, FORMAT_STRING);
    assert_int_equal(n->key_format, FORMAT_LONG);
    assert_int_equal(n->max_out_of_order_ms, 5000);
    assert_int_equal(n->idle_after_ms, -1);
    assert_int_equal(n->max_future_ms, 3600000);
    assert_int_equal(n->max_jump_ms, 86400000);
    assert_int_equal(n->partitions, 3);
    assert_int_equal(script_graph(rig.script)->on_error, ON_ERROR_STOP);
    n = last("app:table('users', { value = weir.csv(Tx, { delimiter = ';' }), key = 'id' })");
    assert_int_equal(n->kind, NODE_TABLE);
    assert_string_equal(n->name, "users");
    assert_string_equal(n->key_field, "id");
    assert_int_equal(n->codec->format, FORMAT_CSV);
    assert_int_equal(n->codec->delimiter, ';');
    n = last("app:stream 'tx'");
    assert_string_equal(n->name, "tx-2"); // numbered
    assert_int_equal(n->codec->format, FORMAT_JSON);
    assert_null(n->schema);
}

static void test_field_order(void **state)
{
    (void)state;
    const struct node *n = last("");
    assert_string_equal(schema_text(n->schema), TX_FIELDS);
    n = last("app:stream('b', { value = weir.json(weir.schema('B', { {'z', 'long'}, {'a', 'int?'} "
             "})) })");
    assert_string_equal(schema_text(n->schema), "z:long a:int?");
    assert_string_equal(n->schema->name, "B");
    // A constructor that stands elsewhere, with comments, strings and nested tables between.
    n = last("local fields = {\n  zz = 'long', -- aa = 'int'\n  ['mm'] = 'string', --[[ x = 1 ]]\n"
             "  aa = weir.label{ 'int', visible_after = '1h' },\n}\n"
             "app:stream('b', { value = weir.json(weir.schema(fields)) })");
    assert_string_equal(schema_text(n->schema), "zz:long mm:string aa:int!");
    // Made by a loop: nothing is written, so by name.
    n = last("local f = {}\nfor _, k in ipairs{'z', 'a', 'k'} do f[k] = 'long' end\n"
             "app:stream('b', { value = weir.json(weir.schema(f)) })");
    assert_string_equal(schema_text(n->schema), "a:long k:long z:long");
    assert_string_equal(n->schema->name, "record");
}

static void test_with_and_types(void **state)
{
    (void)state;
    const struct node *n =
        last("tx:with{ z_flag = function(t) return t.amount > 3 and not t.fraud end,\n"
             "  a_text = function(t) return t.city .. '!' end,\n"
             "  hour = function(t) if t.n > 3 then return 1 end return weir.hour(t.ts) end,\n"
             "  half = function(t) return t.amount / 2 end,\n"
             "  same = function(t) return t.city end,\n"
             "  given = { type = 'float?', function(t) return 1 end },\n"
             "  open = function(t) return t.n > 1 and 'x' or 'y' end,\n"
             "  maybe = function(t) if t.n > 1 then return true end end }");
    assert_int_equal(n->kind, NODE_WITH);
    assert_int_equal(n->with_count, 8);
    assert_true(slice_eq_str(n->with[0].field.name, "z_flag"));
    assert_int_equal(n->with[7].fn, 7);
    assert_string_equal(schema_text(n->schema), TX_FIELDS
                        " z_flag:boolean! a_text:string hour:long half:double same:string? "
                        "given:float? open:any? maybe:any?");
    n = last("tx:with{ amount = function(t) return t.amount .. '' end }");
    assert_string_equal(schema_text(n->schema), "id:long ts:timestamp amount:string city:string? "
                                                "n:int fraud:boolean!");
}

static void test_stateless(void **state)
{
    (void)state;
    const struct node *n = last("tx:map(function(t) return t end, { schema = Tx })\n"
                                "  :peek(function(t) print(t.id) end)");
    assert_int_equal(n->kind, NODE_PEEK);
    assert_int_equal(n->fn, 1);
    assert_string_equal(n->name, "peek");
    assert_int_equal(n->inputs[0]->kind, NODE_MAP);
    assert_string_equal(schema_text(n->schema), TX_FIELDS);
    n = last("tx:map(function(t) return t end)");
    assert_null(n->schema);
    n = last("tx:filter(function(t) return t.n end)");
    assert_int_equal(n->kind, NODE_FILTER);
    assert_string_equal(n->where, "app.lua:6");
    assert_string_equal(schema_text(n->schema), TX_FIELDS);
}

static void test_key_by_and_to(void **state)
{
    (void)state;
    const struct node *n = last("tx:key_by('city')");
    assert_int_equal(n->kind, NODE_KEY_BY);
    assert_string_equal(n->by, "city");
    assert_int_equal(n->fn, UINT32_MAX);
    n = last("tx:key_by(function(t) return t.city end, { name = 'place', key_format = 'bytes' })");
    assert_null(n->by);
    assert_int_equal(n->fn, 0);
    assert_string_equal(n->name, "place");
    assert_int_equal(n->key_format, FORMAT_BYTES);
    n = last("tx:to('out', { key = 'n', key_format = 'int', partitions = 2, value = 'csv' })");
    assert_int_equal(n->kind, NODE_TO);
    assert_string_equal(n->key_field, "n");
    assert_int_equal(n->key_format, FORMAT_INT);
    assert_int_equal(n->codec->format, FORMAT_CSV);
    n = last("tx:to('one'):to('two')");
    assert_int_equal(n->inputs[0]->kind, NODE_STREAM); // :to gives back the stream
    assert_null(n->key_field);
}

static void test_features(void **state)
{
    (void)state;
    const struct node *n =
        last("tx:features('f', { by = 'city', windows = {'1h'}, emit = 'arrival', compute = {\n"
             "  s = weir.sum 'n', lo = weir.min 'amount', hi = weir.max{'ts', delay = '1d'},\n"
             "  sd = weir.stddev 'amount', la = weir.last 'city', di = weir.distinct 'id',\n"
             "  r = weir.mean{'fraud', delay = '8d'} } })");
    static const enum agg_kind kinds[] = {AGG_SUM,  AGG_MIN,      AGG_MAX, AGG_STDDEV,
                                          AGG_LAST, AGG_DISTINCT, AGG_MEAN};
    assert_int_equal(n->features_count, ARRAY_COUNT(kinds));
    for (uint32_t i = 0; i < ARRAY_COUNT(kinds); i++)
        assert_int_equal(n->features[i].kind, kinds[i]);
    assert_int_equal(n->features[2].delay_ms, 86400000);
    assert_int_equal(n->features[6].delay_ms, 8 * 86400000);
    assert_int_equal(n->emit, EMIT_ARRIVAL);
    assert_string_equal(schema_text(n->schema), TX_FIELDS
                        " f_s_1h:long? f_lo_1h:double? f_hi_1h:timestamp? f_sd_1h:double? "
                        "f_la_1h:string? f_di_1h:long f_r_1h:double? watermark_lag:long?");
    n = last("app:stream('raw', { key = 'k' }):features('g', { windows = {'1d'}, compute = { n = "
             "weir.count() } })");
    assert_string_equal(n->by, "k"); // the stream's key
    assert_null(n->schema);
}

static void test_aggregates(void **state)
{
    (void)state;
    const struct node *n = last(
        "tx:count('c', { by = 'city', window = '1h', grace = '5m', emit = 'close', as = 'hits' })");
    assert_int_equal(n->kind, NODE_AGGREGATE);
    assert_int_equal(n->agg, AGG_COUNT);
    assert_int_equal(n->window_ms, 3600000);
    assert_int_equal(n->grace_ms, 300000);
    assert_int_equal(n->emit, EMIT_CLOSE);
    assert_string_equal(n->as, "hits");
    assert_string_equal(schema_text(n->schema),
                        "city:string window_start:timestamp window_end:timestamp hits:long");
    n = last("tx:sum('s', { field = 'amount' })");
    assert_string_equal(n->by, "id");
    assert_string_equal(n->agg_field, "amount");
    assert_string_equal(n->as, "sum");
    assert_int_equal(n->emit, EMIT_UPDATE);
    assert_string_equal(schema_text(n->schema), "id:string sum:double?");
    n = last("app:stream('k', { key_format = 'long' }):count('c')");
    assert_null(n->by);
    assert_int_equal(n->key_format, FORMAT_LONG);
    assert_string_equal(schema_text(n->schema), "key:long count:long");
    n = last("tx:reduce('r', { fn = function(a, t) return t end, schema = Tx })");
    assert_int_equal(n->agg, AGG_REDUCE);
    assert_string_equal(schema_text(n->schema), TX_FIELDS);
    n = last(
        "tx:aggregate('a', { init = function() return { n = 0, l = {1} } end, fn = function(s, t) "
        "return s end })");
    assert_int_equal(n->agg, AGG_FOLD);
    assert_int_equal(n->init.type, VALUE_MAP);
    assert_true(slice_eq_str(n->init.keys[0], "l"));
    assert_int_equal(n->init.items[0].type, VALUE_LIST);
    n = last("tx:aggregate('a', { fn = function(s, t) return s end })");
    assert_int_equal(n->init.type, VALUE_NULL);
}

static void test_joins(void **state)
{
    (void)state;
    const struct node *n =
        last("local u = app:table('users', { value = weir.json(weir.schema('U', { "
             "{'id', 'long'}, {'age', 'int'} })), key = 'id' })\n"
             "tx:left_join(u)");
    assert_int_equal(n->kind, NODE_JOIN);
    assert_true(n->left);
    assert_string_equal(n->prefix, "users_");
    assert_string_equal(n->by, "id");
    assert_int_equal(n->inputs_count, 2);
    assert_int_equal(n->inputs[1]->kind, NODE_TABLE);
    assert_string_equal(schema_text(n->schema), TX_FIELDS " users_id:long? users_age:int?");
    n = last("local u = app:table('users', { key = 'user', key_format = 'long' })\n"
             "tx:join(u, { by = 'n', fn = function(a, b) return a end, name = 'j' })");
    assert_false(n->left);
    assert_string_equal(n->by, "n");
    assert_null(n->prefix);
    assert_int_equal(n->fn, 0);
    assert_int_equal(n->key_format, FORMAT_LONG);
    n = last("local u = app:table('users')\ntx:key_by(function(t) return t.city end):join(u)");
    assert_null(n->by);
}

static void test_connectors(void **state)
{
    (void)state;
    last("app:source('load', { connector = 'file', to = 'tx', path = 'in/*.csv', format = 'csv', n "
         "= 3,\n"
         "  deep = { list = { 1, 'a', true }, rate = 0.5 } })\n"
         "tx:to('out', { value = 'avro', partitions = 4, key = 'n', key_format = 'int' })\n"
         "app:sink('save', { connector = 'file', from = 'out', path = 'out/' })\n"
         "app:sink('other', { connector = 'file', from = 'elsewhere', value = 'string' })");
    const struct graph *g = script_graph(rig.script);
    assert_int_equal(g->connectors_count, 3);
    const struct connector_spec *c = &g->connectors[0];
    assert_false(c->is_sink);
    assert_string_equal(c->key_field, "id"); // of the stream that reads it
    assert_ptr_equal(c->codec, g->nodes[0]->codec);
    struct buf b;
    buf_init(&b);
    value_to_json(&c->options, &b);
    buf_u8(&b, 0);
    assert_string_equal((const char *)b.p, "{\"deep\":{\"list\":[1,\"a\",true],\"rate\":0.5},"
                                           "\"format\":\"csv\",\"n\":3,\"path\":\"in/*.csv\"}");
    buf_release(&b);
    c = &g->connectors[1];
    assert_true(c->is_sink);
    assert_int_equal(c->codec->format, FORMAT_AVRO);
    assert_int_equal(c->partitions, 4);
    assert_int_equal(c->key_format, FORMAT_INT);
    assert_int_equal(g->connectors[2].codec->format, FORMAT_STRING);
}

static void test_line_numbers(void **state)
{
    (void)state;
    struct script_rig *r = &rig;
    rig_loads(r, "local weir = require 'weir'\nlocal app = weir.app 'x'\n"
                 "for i = 1, 2 do\n  app:stream('t' .. i)\n"
                 "    :filter(function(t) return t.a end):filter(function(t) return t.b end)\n"
                 "    :map(function(t)\n      return { app = 1 }\n    end)\nend\n"
                 "local f = app.stream\nf(app,\n 'direct')");
    const struct graph *g = script_graph(r->script);
    static const char *const lines[] = {"app.lua:4", "app.lua:5", "app.lua:5",
                                        "app.lua:6", "app.lua:4", "app.lua:5",
                                        "app.lua:5", "app.lua:6", "app.lua:11"};
    assert_int_equal(g->nodes_count, ARRAY_COUNT(lines));
    for (uint32_t i = 0; i < ARRAY_COUNT(lines); i++)
        assert_string_equal(g->nodes[i]->where, lines[i]);
    assert_string_equal(script_fn(r->script, 2)->where, "app.lua:6");
}

static int setup(void **state)
{
    (void)state;
    rig_open(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_options), cmocka_unit_test(test_field_order),
        cmocka_unit_test(test_with_and_types), cmocka_unit_test(test_stateless),
        cmocka_unit_test(test_key_by_and_to),  cmocka_unit_test(test_features),
        cmocka_unit_test(test_aggregates),     cmocka_unit_test(test_joins),
        cmocka_unit_test(test_connectors),     cmocka_unit_test(test_line_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
