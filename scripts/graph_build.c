// SPDX-License-Identifier: Apache-2.0
//
// Graph build: turns the plain tables that weir_*.lua gathered into struct graph. The tables are
// ours and checked: a missing field means its default, not an error. What can still fail is making
// codecs; such errors name the node's line.
//
// Strings are copied into the script's arena; schemas are made once per table, so that equal
// pointers mean the same schema.
#include "scripts/internal.h"

#include "base/hash.h"

struct build {
    struct script *s;
    lua_State *L;
    int schemas; // stack index: table of schema → light userdata
    int codecs;  // the same for codecs
};

// --- reading tables

static const char *get_string(struct build *b, int t, const char *key)
{
    lua_getfield(b->L, t, key);
    size_t n;
    const char *text = lua_type(b->L, -1) == LUA_TSTRING ? lua_tolstring(b->L, -1, &n) : NULL;
    const char *copy =
        text == NULL ? NULL : (const char *)arena_slice(&b->s->arena, slice_of(text, n)).p;
    lua_pop(b->L, 1);
    return copy;
}

static int64_t get_int(struct build *b, int t, const char *key, int64_t missing)
{
    lua_getfield(b->L, t, key);
    int64_t v = lua_isinteger(b->L, -1) ? lua_tointeger(b->L, -1) : missing;
    lua_pop(b->L, 1);
    return v;
}

static bool get_bool(struct build *b, int t, const char *key)
{
    lua_getfield(b->L, t, key);
    bool v = lua_toboolean(b->L, -1);
    lua_pop(b->L, 1);
    return v;
}

// Pushes t[key], a list, or an empty table; returns its length.
static uint32_t push_list(struct build *b, int t, const char *key)
{
    if (lua_getfield(b->L, t, key) != LUA_TTABLE) {
        lua_pop(b->L, 1);
        lua_newtable(b->L);
    }
    return (uint32_t)lua_rawlen(b->L, -1);
}

static enum format get_format(struct build *b, int t, const char *key)
{
    struct err e;
    enum format f = FORMAT_STRING;
    const char *text = get_string(b, t, key);
    if (text != NULL && format_parse(text, &f, &e) != 0)
        luaL_error(b->L, "%s", e.text);
    return f;
}

// --- schemas and codecs

static void read_field(struct build *b, int t, struct field *f)
{
    struct err e;
    bool nullable;
    f->name = get_string(b, t, "name");
    if (field_type_parse(get_string(b, t, "type"), &f->type, &nullable, &e) != 0)
        luaL_error(b->L, "%s", e.text);
    f->nullable = get_bool(b, t, "nullable");
    f->label = get_bool(b, t, "label");
    f->visible_after_ms = get_int(b, t, "visible_after_ms", 0);
}

// The schema in t[key], made once.
static const struct schema *get_schema(struct build *b, int t, const char *key)
{
    if (lua_getfield(b->L, t, key) != LUA_TTABLE) {
        lua_pop(b->L, 1);
        return NULL;
    }
    int at = lua_gettop(b->L);
    lua_pushvalue(b->L, at);
    if (lua_rawget(b->L, b->schemas) == LUA_TLIGHTUSERDATA) {
        const struct schema *known = lua_touserdata(b->L, -1);
        lua_settop(b->L, at - 1);
        return known;
    }
    lua_pop(b->L, 1);
    struct schema *schema = arena_new(&b->s->arena, struct schema);
    schema->name = get_string(b, at, "name");
    schema->count = push_list(b, at, "fields");
    schema->fields = arena_alloc(&b->s->arena, (schema->count + 1) * sizeof(*schema->fields));
    memset(schema->fields, 0, (schema->count + 1) * sizeof(*schema->fields));
    for (uint32_t i = 0; i < schema->count; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        read_field(b, lua_gettop(b->L), &schema->fields[i]);
        lua_pop(b->L, 1);
    }
    lua_pushvalue(b->L, at);
    lua_pushlightuserdata(b->L, schema);
    lua_rawset(b->L, b->schemas);
    lua_settop(b->L, at - 1);
    return schema;
}

static struct codec *make_codec(struct build *b, int t, const char *where)
{
    struct script *s = b->s;
    struct err e;
    struct codec *c;
    const char *delimiter = get_string(b, t, "delimiter");
    enum format format = get_format(b, t, "format");
    const struct schema *schema = get_schema(b, t, "schema");
    int rc = format == FORMAT_CSV
                 ? codec_new_csv(schema, delimiter == NULL ? 0 : delimiter[0], &c, &e)
                 : codec_new(format, schema, &c, &e);
    if (rc != 0) {
        lua_pushfstring(b->L, "%s: %s", where, e.text);
        lua_error(b->L);
    }
    s->codecs = check_alloc(realloc(s->codecs, (s->codecs_count + 1) * sizeof(*s->codecs)));
    s->codecs[s->codecs_count++] = c;
    return c;
}

static struct codec *get_codec(struct build *b, int t, const char *where)
{
    if (lua_getfield(b->L, t, "codec") != LUA_TTABLE) {
        lua_pop(b->L, 1);
        return NULL;
    }
    int at = lua_gettop(b->L);
    lua_pushvalue(b->L, at);
    struct codec *c = lua_rawget(b->L, b->codecs) == LUA_TLIGHTUSERDATA ? lua_touserdata(b->L, -1)
                                                                        : make_codec(b, at, where);
    lua_pushvalue(b->L, at);
    lua_pushlightuserdata(b->L, c);
    lua_rawset(b->L, b->codecs);
    lua_settop(b->L, at - 1);
    return c;
}

// --- nodes

static const char *const kinds[] = {"stream", "table",    "filter",    "map",  "with", "key_by",
                                    "peek",   "features", "aggregate", "join", "to",   NULL};
static const char *const aggs[] = {"count", "sum",      "mean",   "min",       "max", "stddev",
                                   "last",  "distinct", "reduce", "aggregate", NULL};
static const char *const emits[] = {"update", "close", "event", "arrival", NULL};

static int index_of(struct build *b, const char *text, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (text != NULL && strcmp(names[i], text) == 0)
            return i;
    }
    return luaL_error(b->L, "bug in weir_*.lua: '%s' is not known", text == NULL ? "nil" : text);
}

static struct field_ref ref_of(const char *name)
{
    return field_ref_of(slice_str(name), NULL);
}

static void read_with(struct build *b, int t, struct node *n)
{
    n->with_count = push_list(b, t, "with");
    n->with = arena_alloc(&b->s->arena, (n->with_count + 1) * sizeof(*n->with));
    for (uint32_t i = 0; i < n->with_count; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        int at = lua_gettop(b->L);
        n->with[i].field = ref_of(get_string(b, at, "name"));
        n->with[i].fn = (uint32_t)get_int(b, at, "fn", 0);
        lua_pop(b->L, 1);
    }
    lua_pop(b->L, 1);
}

static void read_windows(struct build *b, int t, struct node *n)
{
    n->windows_count = push_list(b, t, "windows");
    n->windows = arena_alloc(&b->s->arena, (n->windows_count + 1) * sizeof(*n->windows));
    for (uint32_t i = 0; i < n->windows_count; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        int at = lua_gettop(b->L);
        n->windows[i] = (struct window_spec){get_string(b, at, "label"), get_int(b, at, "ms", 0)};
        lua_pop(b->L, 1);
    }
    lua_pop(b->L, 1);
}

static void read_feature(struct build *b, int t, struct feature_spec *f)
{
    f->name = get_string(b, t, "name");
    f->kind = (enum agg_kind)index_of(b, get_string(b, t, "kind"), aggs);
    f->field = get_string(b, t, "field");
    f->delay_ms = get_int(b, t, "delay_ms", 0);
    uint32_t n = push_list(b, t, "outputs");
    f->outputs = arena_alloc(&b->s->arena, (n + 1) * sizeof(*f->outputs));
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        f->outputs[i] = ref_of(arena_str(&b->s->arena, lua_tostring(b->L, -1)));
        lua_pop(b->L, 1);
    }
    lua_pop(b->L, 1);
}

static void read_features(struct build *b, int t, struct node *n)
{
    n->features_count = push_list(b, t, "features");
    n->features = arena_alloc(&b->s->arena, (n->features_count + 1) * sizeof(*n->features));
    for (uint32_t i = 0; i < n->features_count; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        read_feature(b, lua_gettop(b->L), &n->features[i]);
        lua_pop(b->L, 1);
    }
    lua_pop(b->L, 1);
}

static void read_inputs(struct build *b, int t, struct node *n)
{
    n->inputs_count = push_list(b, t, "inputs");
    for (uint32_t i = 0; i < n->inputs_count; i++) {
        lua_rawgeti(b->L, -1, i + 1);
        n->inputs[i] = b->s->graph.nodes[lua_tointeger(b->L, -1)];
        lua_pop(b->L, 1);
    }
    lua_pop(b->L, 1);
}

static void read_topic(struct build *b, int t, struct node *n)
{
    n->topic = get_string(b, t, "topic");
    n->codec = get_codec(b, t, n->where);
    n->key_format = get_format(b, t, "key_format");
    n->time_field = get_string(b, t, "time_field");
    n->key_field = get_string(b, t, "key_field");
    n->max_out_of_order_ms = get_int(b, t, "max_out_of_order_ms", 0);
    n->idle_after_ms = get_int(b, t, "idle_after_ms", -1);
    n->max_future_ms = get_int(b, t, "max_future_ms", -1);
    n->max_jump_ms = get_int(b, t, "max_jump_ms", -1);
    n->partitions = (int32_t)get_int(b, t, "partitions", 0);
}

static void read_state(struct build *b, int t, struct node *n)
{
    const char *emit = get_string(b, t, "emit"), *agg = get_string(b, t, "agg");
    n->by = get_string(b, t, "by");
    n->emit = emit == NULL ? EMIT_UPDATE : (enum emit_mode)index_of(b, emit, emits);
    n->agg = agg == NULL ? AGG_COUNT : (enum agg_kind)index_of(b, agg, aggs);
    n->agg_field = get_string(b, t, "agg_field");
    n->window_ms = get_int(b, t, "window_ms", 0);
    n->grace_ms = get_int(b, t, "grace_ms", 0);
    n->as = get_string(b, t, "as");
    n->left = get_bool(b, t, "left");
    n->prefix = get_string(b, t, "prefix");
    lua_getfield(b->L, t, "init");
    pull_value(b->L, -1, &b->s->arena, &n->init);
    lua_pop(b->L, 1);
    read_windows(b, t, n);
    read_features(b, t, n);
}

static struct node *read_node(struct build *b, int t)
{
    struct node *n = arena_new(&b->s->arena, struct node);
    n->kind = (enum node_kind)index_of(b, get_string(b, t, "kind"), kinds);
    n->id = (uint32_t)get_int(b, t, "id", 0);
    n->name = get_string(b, t, "name");
    n->where = get_string(b, t, "where");
    n->fn = (uint32_t)get_int(b, t, "fn", UINT32_MAX);
    n->schema = get_schema(b, t, "schema");
    read_inputs(b, t, n);
    read_topic(b, t, n);
    read_with(b, t, n);
    read_state(b, t, n);
    return n;
}

static void read_connector(struct build *b, int t, struct connector_spec *c)
{
    c->name = get_string(b, t, "name");
    c->where = get_string(b, t, "where");
    c->connector = get_string(b, t, "connector");
    c->is_sink = get_bool(b, t, "is_sink");
    c->topic = get_string(b, t, "topic");
    c->codec = get_codec(b, t, c->where);
    c->key_field = get_string(b, t, "key_field");
    c->key_format = get_format(b, t, "key_format");
    c->partitions = (int32_t)get_int(b, t, "partitions", 0);
    lua_getfield(b->L, t, "options");
    pull_value(b->L, -1, &b->s->arena, &c->options);
    lua_pop(b->L, 1);
}

void graph_build(struct script *s)
{
    lua_State *L = s->L;
    struct graph *g = &s->graph;
    int t = lua_gettop(L);
    luaL_checkstack(L, 32, "graph");
    lua_newtable(L);
    lua_newtable(L);
    struct build b = {s, L, t + 1, t + 2};
    g->arena = &s->arena;
    g->app = get_string(&b, t, "name");
    g->on_error =
        strcmp(get_string(&b, t, "on_error"), "stop") == 0 ? ON_ERROR_STOP : ON_ERROR_DEAD_LETTER;
    uint32_t n = push_list(&b, t, "nodes");
    g->nodes = arena_alloc(&s->arena, (n + 1) * sizeof(*g->nodes));
    for (; g->nodes_count < n; g->nodes_count++) {
        lua_rawgeti(L, -1, g->nodes_count + 1);
        g->nodes[g->nodes_count] = read_node(&b, lua_gettop(L));
        lua_pop(L, 1);
    }
    n = push_list(&b, t, "connectors");
    g->connectors = arena_alloc(&s->arena, (n + 1) * sizeof(*g->connectors));
    memset(g->connectors, 0, (n + 1) * sizeof(*g->connectors));
    for (; g->connectors_count < n; g->connectors_count++) {
        lua_rawgeti(L, -1, g->connectors_count + 1);
        read_connector(&b, lua_gettop(L), &g->connectors[g->connectors_count]);
        lua_pop(L, 1);
    }
    lua_settop(L, t - 1);
}

// --- the hash: every field that shapes the topology, as text

static void hash_codec(struct buf *b, const struct codec *c)
{
    if (c != NULL)
        buf_printf(b, " codec=%s/%u", format_name(c->format), c->id);
}

static void hash_schema(struct buf *b, const struct schema *s)
{
    for (uint32_t i = 0; s != NULL && i < s->count; i++)
        buf_printf(b, " %s:%s%s", s->fields[i].name, field_type_name(s->fields[i].type),
                   s->fields[i].nullable ? "?" : "");
}

static void hash_text(struct buf *b, const char *key, const char *text)
{
    if (text != NULL)
        buf_printf(b, " %s=%s", key, text);
}

static void hash_state(struct buf *b, const struct node *n)
{
    for (uint32_t i = 0; i < n->with_count; i++)
        buf_printf(b, " with=%s/%u", (const char *)n->with[i].field.name.p, n->with[i].fn);
    for (uint32_t i = 0; i < n->windows_count; i++)
        buf_printf(b, " window=%s", n->windows[i].label);
    for (uint32_t i = 0; i < n->features_count; i++) {
        const struct feature_spec *f = &n->features[i];
        buf_printf(b, " feature=%s/%d/%s/%lld", f->name, (int)f->kind,
                   f->field == NULL ? "" : f->field, (long long)f->delay_ms);
    }
    buf_printf(b, " agg=%d/%lld/%lld/%d/%d init=", (int)n->agg, (long long)n->window_ms,
               (long long)n->grace_ms, (int)n->emit, n->left);
    value_to_json(&n->init, b);
    hash_text(b, "by", n->by);
    hash_text(b, "field", n->agg_field);
    hash_text(b, "as", n->as);
    hash_text(b, "prefix", n->prefix);
}

static void hash_node(struct buf *b, const struct node *n)
{
    buf_printf(b, "\n%d %s fn=%u keys=%d", (int)n->kind, n->name, n->fn, (int)n->key_format);
    for (uint32_t i = 0; i < n->inputs_count; i++)
        buf_printf(b, " <%u", n->inputs[i]->id);
    buf_printf(b, " %lld/%lld/%lld/%lld/%d", (long long)n->max_out_of_order_ms,
               (long long)n->idle_after_ms, (long long)n->max_future_ms, (long long)n->max_jump_ms,
               n->partitions);
    hash_text(b, "topic", n->topic);
    hash_text(b, "time", n->time_field);
    hash_text(b, "key", n->key_field);
    hash_codec(b, n->codec);
    hash_state(b, n);
    hash_schema(b, n->schema);
}

uint64_t graph_build_hash(const struct graph *g)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s %d", g->app, (int)g->on_error);
    for (uint32_t i = 0; i < g->nodes_count; i++)
        hash_node(&b, g->nodes[i]);
    for (uint32_t i = 0; i < g->connectors_count; i++) {
        const struct connector_spec *c = &g->connectors[i];
        buf_printf(&b, "\nconnector %s %s %s %d %d %d ", c->name, c->connector, c->topic,
                   c->is_sink, c->partitions, (int)c->key_format);
        hash_text(&b, "key", c->key_field);
        hash_codec(&b, c->codec);
        value_to_json(&c->options, &b);
    }
    uint64_t h = hash_bytes(buf_slice(&b));
    buf_release(&b);
    return h;
}
