// SPDX-License-Identifier: Apache-2.0
//
// The graph that scripts describe: the example of the README, then each call of the API on its own.
#include "tests/unit/script_rig.h"

static const char fraud[] =
    "local weir = require \"weir\"\n"
    "local app  = weir.app \"fraud\"\n"
    "\n"
    "local Tx = weir.schema {\n"
    "  tx_id = \"long\", ts = \"timestamp\", customer_id = \"long\", terminal_id = \"long\",\n"
    "  amount = \"double\",\n"
    "  fraud = weir.label { \"boolean\", visible_after = \"7d\" },\n"
    "}\n"
    "\n"
    "local features = app\n"
    "  :stream(\"transactions\", { value = weir.json(Tx), time = \"ts\", key = \"customer_id\" })\n"
    "  :filter(function(t) return t.amount > 0 end)\n"
    "  :features(\"customer\", { by = \"customer_id\", windows = { \"1d\", \"7d\", \"30d\" },\n"
    "      compute = { nb_tx = weir.count(), avg_amount = weir.mean \"amount\" } })\n"
    "  :features(\"terminal\", { by = \"terminal_id\", windows = { \"1d\", \"7d\", \"30d\" },\n"
    "      compute = { nb_tx = weir.count { delay = \"7d\" }, risk = weir.mean \"fraud\" } })\n"
    "  :with { night = function(t) return weir.hour(t.ts) <= 6 end }\n"
    "\n"
    "features:to(\"tx_features\", { value = \"avro\" })\n"
    "features:filter(function(t) return t.amount > 220 or t.terminal_risk_7d > 0.5 end)"
    ":to(\"alerts\")\n"
    "app:sink(\"training_set\", { from = \"tx_features\", connector = \"file\", path = \"out/\", "
    "format = \"parquet\" })\n";

static const struct node *node_at(const struct script_rig *r, uint32_t i)
{
    assert_true(i < script_graph(r->script)->nodes_count);
    return script_graph(r->script)->nodes[i];
}

// "name:type name:type? …" of a schema.
static const char *fields_of(struct script_rig *r, const struct schema *s)
{
    struct buf b;
    buf_init(&b);
    assert_non_null(s);
    for (uint32_t i = 0; i < s->count; i++)
        buf_printf(&b, "%s%s:%s%s", i == 0 ? "" : " ", s->fields[i].name,
                   field_type_name(s->fields[i].type), s->fields[i].nullable ? "?" : "");
    const char *text = (const char *)arena_slice(&r->arena, buf_slice(&b)).p;
    buf_release(&b);
    return text;
}

static void fraud_nodes(struct script_rig *r)
{
    static const struct {
        enum node_kind kind;
        const char *name, *where;
    } expected[] = {
        {NODE_STREAM, "transactions", "app.lua:11"}, {NODE_FILTER, "filter", "app.lua:12"},
        {NODE_FEATURES, "customer", "app.lua:13"},   {NODE_FEATURES, "terminal", "app.lua:15"},
        {NODE_WITH, "with", "app.lua:17"},           {NODE_TO, "to-tx_features", "app.lua:19"},
        {NODE_FILTER, "filter-2", "app.lua:20"},     {NODE_TO, "to-alerts", "app.lua:20"}};
    assert_int_equal(script_graph(r->script)->nodes_count, ARRAY_COUNT(expected));
    for (uint32_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(node_at(r, i)->kind, expected[i].kind);
        assert_string_equal(node_at(r, i)->name, expected[i].name);
        assert_string_equal(node_at(r, i)->where, expected[i].where);
        assert_int_equal(node_at(r, i)->id, i);
    }
    assert_ptr_equal(node_at(r, 5)->inputs[0], node_at(r, 4));
    assert_ptr_equal(node_at(r, 6)->inputs[0], node_at(r, 4));
}

static void fraud_features(struct script_rig *r)
{
    const struct node *c = node_at(r, 2), *t = node_at(r, 3);
    assert_string_equal(c->by, "customer_id");
    assert_int_equal(c->emit, EMIT_EVENT);
    assert_int_equal(c->windows_count, 3);
    assert_string_equal(c->windows[1].label, "7d");
    assert_int_equal(c->windows[1].size_ms, 7 * 86400000LL);
    assert_int_equal(c->features_count, 2);
    assert_string_equal(c->features[0].name, "nb_tx");
    assert_int_equal(c->features[0].kind, AGG_COUNT);
    assert_null(c->features[0].field);
    assert_int_equal(c->features[0].delay_ms, 0);
    assert_string_equal(c->features[1].field, "amount");
    assert_true(slice_eq_str(c->features[1].outputs[2].name, "customer_avg_amount_30d"));
    assert_int_equal(t->features[0].delay_ms, 7 * 86400000LL);
    assert_int_equal(t->features[1].kind, AGG_MEAN);
    assert_int_equal(t->features[1].delay_ms, 7 * 86400000LL); // from the label
}

static void test_fraud(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, fraud);
    const struct graph *g = script_graph(r.script);
    assert_string_equal(g->app, "fraud");
    assert_int_equal(g->on_error, ON_ERROR_DEAD_LETTER);
    fraud_nodes(&r);
    fraud_features(&r);
    const struct node *s = node_at(&r, 0);
    assert_string_equal(s->time_field, "ts");
    assert_string_equal(s->key_field, "customer_id");
    assert_int_equal(s->idle_after_ms, 30000);
    assert_int_equal(s->max_out_of_order_ms, 0);
    assert_int_equal(s->max_future_ms, -1);
    assert_int_equal(s->codec->format, FORMAT_JSON);
    assert_string_equal(s->schema->name, "Tx");
    assert_string_equal(fields_of(&r, s->schema),
                        "tx_id:long ts:timestamp customer_id:long terminal_id:long amount:double "
                        "fraud:boolean");
    assert_true(s->schema->fields[5].label);
    assert_int_equal(s->schema->fields[5].visible_after_ms, 7 * 86400000LL);
    assert_int_equal(node_at(&r, 5)->codec->format, FORMAT_AVRO);
    assert_string_equal(
        fields_of(&r, node_at(&r, 5)->codec->schema),
        "tx_id:long ts:timestamp customer_id:long terminal_id:long amount:double fraud:boolean "
        "customer_nb_tx_1d:long customer_nb_tx_7d:long customer_nb_tx_30d:long "
        "customer_avg_amount_1d:double? customer_avg_amount_7d:double? "
        "customer_avg_amount_30d:double? "
        "terminal_nb_tx_1d:long terminal_nb_tx_7d:long terminal_nb_tx_30d:long "
        "terminal_risk_1d:double? terminal_risk_7d:double? terminal_risk_30d:double? "
        "night:boolean");
    assert_int_equal(g->connectors_count, 1);
    assert_true(g->connectors[0].is_sink);
    assert_ptr_equal(g->connectors[0].codec, node_at(&r, 5)->codec);
    assert_string_equal(g->connectors[0].where, "app.lua:21");
    struct buf b;
    buf_init(&b);
    value_to_json(&g->connectors[0].options, &b);
    assert_true(slice_eq_str(buf_slice(&b), "{\"format\":\"parquet\",\"path\":\"out/\"}"));
    buf_release(&b);
    rig_close(&r);
}

static void test_fraud_functions(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, fraud);
    assert_int_equal(script_fn_count(r.script), 3);
    assert_string_equal(rig_result(&r, 0, "{\"amount\": 3.5}"), "true");
    assert_string_equal(rig_result(&r, 0, "{\"amount\": 0}"), "false");
    assert_string_equal(rig_result(&r, 1, "{\"ts\": 3600000}"), "true");
    assert_string_equal(rig_result(&r, 1, "{\"ts\": 36000000}"), "false");
    assert_string_equal(rig_result(&r, 2, "{\"amount\": 221}"), "true");
    assert_string_equal(script_fn(r.script, 1)->where, "app.lua:17");
    rig_close(&r);
}

static void test_two_loads_agree(void **state)
{
    (void)state;
    struct script_rig r;
    rig_open(&r);
    rig_loads(&r, fraud);
    uint64_t hash = script_graph_hash(r.script);
    rig_loads(&r, fraud);
    assert_true(script_graph_hash(r.script) == hash);
    rig_loads(&r, "local weir = require 'weir' weir.app 'fraud':stream('transactions')");
    assert_true(script_graph_hash(r.script) != hash);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fraud),
        cmocka_unit_test(test_fraud_functions),
        cmocka_unit_test(test_two_loads_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
