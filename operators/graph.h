// SPDX-License-Identifier: Apache-2.0
//
// Graph: what a script asked for: nodes in the order they were declared, each with its options
// resolved and checked. The script layer builds it, the planner (runtime/plan.h) cuts it into
// sub-topologies, tasks build their operators from it. Immutable once loaded; lives in one arena.
#pragma once

#include "formats/doc.h"
#include "log/log.h"

enum node_kind {
    NODE_STREAM, // records of a topic
    NODE_TABLE,  // a topic as a table: latest value per key
    NODE_FILTER,
    NODE_MAP,
    NODE_WITH,
    NODE_KEY_BY,
    NODE_PEEK,
    NODE_FEATURES,
    NODE_AGGREGATE, // count, sum, reduce, aggregate; with or without a window
    NODE_JOIN,      // stream-table; inputs[1] is the table
    NODE_TO,
};

enum agg_kind {
    AGG_COUNT,
    AGG_SUM,
    AGG_MEAN,
    AGG_MIN,
    AGG_MAX,
    AGG_STDDEV, // sample standard deviation (n - 1); null below two values
    AGG_LAST,
    AGG_DISTINCT, // exact distinct count
    AGG_REDUCE,   // user function (accumulated, value) → accumulated
    AGG_FOLD,     // user init value and function (state, value, rec) → state
};
const char *agg_kind_name(enum agg_kind);
const char *node_kind_name(enum node_kind);

struct window_spec {
    const char *label; // as written: "1d"
    int64_t size_ms;
};

struct feature_spec { // one entry of `compute`
    const char *name; // "nb_tx"
    enum agg_kind kind;
    const char *field; // NULL for count
    int64_t delay_ms;  // window (t - delay - size, t - delay]
    // Output fields, one per window: "<operator>_<name>_<label>".
    struct field_ref *outputs;
};

enum emit_mode {
    EMIT_UPDATE,  // aggregates: every change
    EMIT_CLOSE,   // windowed aggregates: once, when the window closes
    EMIT_EVENT,   // features: in event-time order, held until the watermark passes
    EMIT_ARRIVAL, // features: at once; each row carries watermark_lag (ms)
};

enum on_error { ON_ERROR_DEAD_LETTER, ON_ERROR_STOP };

struct node {
    enum node_kind kind;
    uint32_t id;       // index in graph.nodes
    const char *name;  // explicit, or generated for stateless ones ("filter-3")
    const char *where; // "fraud.lua:12"
    struct node *inputs[2];
    uint32_t inputs_count;

    // Streams and tables
    const char *topic;
    struct codec *codec;    // of the value
    enum format key_format; // of keys made from fields (text by default)
    const char *time_field; // NULL: the record's timestamp
    const char *key_field;  // NULL: not known to be keyed by a field
    int64_t max_out_of_order_ms, idle_after_ms, max_future_ms, max_jump_ms; // -1: off
    int32_t partitions; // wanted when the topic has to be created; 0: default

    // Functions: index into the script's function list, UINT32_MAX: none
    uint32_t fn;
    // with: one function per field
    struct {
        struct field_ref field;
        uint32_t fn;
    } * with;
    uint32_t with_count;

    // key_by: a field or `fn`
    const char *by;

    // features, aggregates
    struct window_spec *windows;
    uint32_t windows_count;
    struct feature_spec *features;
    uint32_t features_count;
    enum agg_kind agg;
    const char *agg_field; // sum
    struct value init;     // fold
    int64_t window_ms;     // 0: none; tumbling otherwise
    int64_t grace_ms;
    enum emit_mode emit;
    const char *as; // field name of the result ("count", "sum" … or given)

    // join
    bool left;
    const char *prefix; // put before the table's fields; NULL: user function `fn` merges

    // The schema of the record behind this node; NULL: unknown
    const struct schema *schema;
};

struct connector_spec { // app:source / app:sink
    const char *name, *where;
    const char *connector; // "file"
    bool is_sink;
    const char *topic;    // from / to
    struct value options; // a map, checked by the connector (connectors/connector.h)
    struct codec *codec;  // of the topic's value
    const char *key_field;
    enum format key_format;
    int32_t partitions;
};

struct graph {
    const char *app;
    enum on_error on_error;
    struct node **nodes;
    uint32_t nodes_count;
    struct connector_spec *connectors;
    uint32_t connectors_count;
    struct arena *arena;
};

// The node of that name, or NULL.
struct node *graph_find(const struct graph *, const char *name);
// What the records behind `n` are keyed by, as far as it is known: follows filter, peek and with
// (unless it sets the field) up to a key_by or a topic. *field is NULL if unknown.
void graph_key(const struct node *n, const char **field, enum format *format);
// The codecs that carried records behind `n` may name: those of all topics above it. Returns how
// many; writes at most `max`.
uint32_t graph_codecs(const struct node *n, const struct codec **out, uint32_t max);
