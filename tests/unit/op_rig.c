// SPDX-License-Identifier: Apache-2.0
#include "op_rig.h"

struct rig_function {
    struct fn fn;
    rig_body body;
};

static int call_body(struct fn *f, const struct fn_arg *args, uint32_t n, struct arena *arena,
                     struct value *out, bool *same, struct err *e)
{
    *out = value_null();
    return ((struct rig_function *)f)->body(args, n, arena, out, same, e);
}

void rig_fn(struct rig *r, uint32_t index, rig_body body)
{
    struct rig_function *f = check_alloc(calloc(1, sizeof(*f)));
    f->fn = (struct fn){.call = call_body, .where = "test.lua:1"};
    f->body = body;
    r->fns[index] = &f->fn;
}

static struct fn *get_fn(void *arg, uint32_t index)
{
    return index < RIG_FNS ? ((struct rig *)arg)->fns[index] : NULL;
}

struct field_ref rig_field(const char *name)
{
    return field_ref_of(slice_str(name), NULL);
}

static void count_drop(struct op_ctx *ctx, const struct op *o, enum drop_reason reason,
                       const struct msg *m)
{
    (void)o;
    (void)m;
    ((struct rig *)ctx->task)->drops[reason]++;
}

static void add_line(struct rig *r, const char *line)
{
    if (r->out_n == r->out_size) {
        r->out_size = r->out_size == 0 ? 64 : r->out_size * 2;
        r->out = check_alloc(realloc(r->out, r->out_size * sizeof(*r->out)));
    }
    r->out[r->out_n++] = check_alloc(strdup(line));
}

static int emit(struct op_ctx *ctx, uint32_t output, const struct msg *m, struct slice value)
{
    struct rig *r = ctx->task;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "out%u %.*s@%lld %.*s", output, (int)m->key.n, (const char *)m->key.p,
               (long long)m->time, (int)value.n, (const char *)value.p);
    if (value.p == NULL)
        buf_str(&b, "null");
    buf_u8(&b, 0);
    add_line(r, (const char *)b.p);
    buf_release(&b);
    return 0;
}

static void open_db(struct rig *r)
{
    struct db_options o = {.in_memory = true};
    if (db_open("/rig", &o, &r->db, &r->err) != 0)
        fail_msg("%s", r->err.text);
}

void rig_init(struct rig *r)
{
    *r = (struct rig){.cache_bytes = 1 << 20, .committed_watermark = INT64_MIN};
    open_db(r);
    arena_init(&r->arena);
    r->doc_ctx = doc_ctx_new();
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &r->json, &r->err), 0);
    r->ctx = (struct op_ctx){.arena = &r->arena,
                             .doc_ctx = r->doc_ctx,
                             .err = &r->err,
                             .watermark = INT64_MIN,
                             .task = r,
                             .drop = count_drop,
                             .emit = emit};
}

static void drop_lines(struct rig *r, uint32_t from)
{
    for (uint32_t i = from; i < r->out_n; i++)
        free(r->out[i]);
    r->out_n = from;
}

static void drop_rows(struct rig *r, uint32_t from)
{
    for (uint32_t i = from; i < r->log_n; i++) {
        buf_release(&r->log[i].key);
        buf_release(&r->log[i].value);
    }
    r->log_n = from;
}

void rig_free_ops(struct rig *r)
{
    for (uint32_t i = 0; i < r->ops_count; i++) {
        free(r->ops[i]->next);
        r->ops[i]->ops->free(r->ops[i]);
    }
    r->ops_count = 0;
}

void rig_release(struct rig *r)
{
    rig_free_ops(r);
    for (uint32_t i = 0; i < RIG_OPS; i++)
        buf_release(&r->saved[i]);
    drop_lines(r, 0);
    drop_rows(r, 0);
    free(r->out);
    free(r->log);
    for (uint32_t i = 0; i < RIG_FNS; i++)
        free(r->fns[i]);
    codec_free(r->json);
    doc_ctx_free(r->doc_ctx);
    arena_release(&r->arena);
    db_close(r->db);
}

void rig_ctx(struct rig *r, const struct node *n, struct build_ctx *b)
{
    *b = (struct build_ctx){.node = n,
                            .fn = get_fn,
                            .fn_arg = r,
                            .db = r->db,
                            .cache_bytes = r->cache_bytes,
                            .output_codec = r->json};
}

static struct op *keep(struct rig *r, struct op *o, struct store *s, struct op *parent)
{
    assert_true(r->ops_count < RIG_OPS);
    r->ops[r->ops_count] = o;
    r->stores[r->ops_count++] = s;
    if (parent != NULL)
        op_link(parent, o);
    return o;
}

struct op *rig_build(struct rig *r, const struct node *n, struct op *parent, struct op *table)
{
    struct build_ctx b;
    struct op *o;
    struct store *s;
    rig_ctx(r, n, &b);
    b.table = table;
    if (op_build(&b, &o, &s, &r->err) != 0)
        fail_msg("%s", r->err.text);
    return keep(r, o, s, parent);
}

static int probe_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    (void)o;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%.*s@%lld ", (int)m->key.n, (const char *)m->key.p, (long long)m->time);
    if (m->doc == NULL)
        buf_str(&b, "null");
    else if (doc_encode(m->doc, ((struct rig *)ctx->task)->json, &b, ctx->err) != 0)
        fail_msg("%s", ctx->err->text);
    buf_u8(&b, 0);
    add_line(ctx->task, (const char *)b.p);
    buf_release(&b);
    return 0;
}

static void probe_free(struct op *o)
{
    free(o);
}

struct op *rig_probe(struct rig *r, struct op *parent)
{
    static const struct op_ops ops = {
        .kind = "probe", .process = probe_process, .free = probe_free};
    struct op *o = check_alloc(calloc(1, sizeof(*o)));
    *o = (struct op){.ops = &ops, .name = "probe", .where = "test"};
    return keep(r, o, NULL, parent);
}

int rig_send(struct rig *r, struct op *o, const char *key, const char *json, int64_t time)
{
    static int64_t offset;
    arena_reset(&r->arena);
    r->ctx.failed = NULL;
    struct doc d;
    struct rec rec = {.time = time, .offset = offset++};
    struct msg m = {.time = time, .rec = &rec, .topic = "in", .origin = {.topic = 1}};
    m.origin.offset = rec.offset;
    if (key != NULL)
        m.key = arena_slice(&r->arena, slice_str(key));
    if (json != NULL) {
        size_t n = strlen(json);
        char *raw = arena_alloc(&r->arena, n + REC_PADDING);
        memset(raw, 0, n + REC_PADDING);
        memcpy(raw, json, n);
        doc_open(&d, r->doc_ctx, &r->arena, r->json, slice_of(raw, n));
        m.doc = &d;
    }
    return o->ops->process(o, &r->ctx, &m);
}

int rig_time(struct rig *r, struct op *root, int64_t watermark)
{
    arena_reset(&r->arena);
    r->ctx.failed = NULL;
    r->ctx.watermark = watermark;
    return op_watermark(root, &r->ctx, watermark);
}

static void log_row(void *arg, const struct state_row *row)
{
    struct rig *r = arg;
    if (r->log_n == r->log_size) {
        r->log_size = r->log_size == 0 ? 64 : r->log_size * 2;
        r->log = check_alloc(realloc(r->log, r->log_size * sizeof(*r->log)));
    }
    struct rig_row *to = &r->log[r->log_n++];
    *to = (struct rig_row){.deleted = row->value.p == NULL};
    buf_u32(&to->key, row->store);
    buf_slice_put(&to->key, row->key);
    buf_slice_put(&to->value, row->value.p == NULL ? slice_of("", 0) : row->value);
}

static void apply_rows(struct rig *r, uint32_t from)
{
    struct db_batch *b = db_batch_new();
    for (uint32_t i = from; i < r->log_n; i++) {
        const struct rig_row *x = &r->log[i];
        struct state_row row = {.store = bytes_get32(x->key.p),
                                .key = slice_of(x->key.p + 4, x->key.n - 4)};
        if (!x->deleted)
            row.value = x->value.p == NULL ? slice_of("", 0) : buf_slice(&x->value);
        db_batch_row(b, 0, &row);
    }
    if (db_write(r->db, b, &r->err) != 0)
        fail_msg("%s", r->err.text);
    db_batch_free(b);
}

static void flush_all(struct rig *r)
{
    struct row_sink sink = {.arg = r, .put = log_row};
    for (uint32_t i = 0; i < r->ops_count; i++)
        if (r->stores[i] != NULL)
            store_flush(r->stores[i], &sink);
}

void rig_commit(struct rig *r)
{
    flush_all(r);
    for (uint32_t i = 0; i < r->ops_count; i++) {
        buf_clear(&r->saved[i]);
        if (r->ops[i]->ops->save != NULL)
            r->ops[i]->ops->save(r->ops[i], &r->saved[i]);
    }
    apply_rows(r, r->log_committed);
    r->log_committed = r->log_n;
    for (uint32_t i = 0; i < r->ops_count; i++)
        if (r->stores[i] != NULL)
            store_applied(r->stores[i]);
    r->out_committed = r->out_n;
    memcpy(r->drops_committed, r->drops, sizeof(r->drops));
    r->committed_watermark = r->ctx.watermark;
}

static void forget_open(struct rig *r)
{
    drop_lines(r, r->out_committed);
    drop_rows(r, r->log_committed);
    memcpy(r->drops, r->drops_committed, sizeof(r->drops));
    r->ctx.watermark = r->committed_watermark;
}

void rig_restored(struct rig *r)
{
    for (uint32_t i = 0; i < r->ops_count; i++)
        if (r->ops[i]->ops->load != NULL &&
            r->ops[i]->ops->load(r->ops[i], buf_slice(&r->saved[i]), &r->err) != 0)
            fail_msg("%s", r->err.text);
}

void rig_abort(struct rig *r)
{
    // Half of the aborts come after the flush, when the log refuses to commit.
    if (r->out_n % 2 == 0)
        flush_all(r);
    for (uint32_t i = 0; i < r->ops_count; i++) {
        if (r->stores[i] != NULL)
            store_dropped(r->stores[i]);
        op_reset_tree(r->ops[i]);
    }
    forget_open(r);
    rig_restored(r);
}

void rig_crash(struct rig *r)
{
    rig_free_ops(r);
    db_close(r->db);
    open_db(r);
    forget_open(r);
    apply_rows(r, 0);
}

void rig_expect(struct rig *r, const char *want)
{
    struct buf b;
    buf_init(&b);
    for (uint32_t i = 0; i < r->out_n; i++)
        buf_printf(&b, "%s%s", i == 0 ? "" : "\n", r->out[i]);
    buf_u8(&b, 0);
    assert_string_equal((const char *)b.p, want);
    buf_release(&b);
    drop_lines(r, 0);
    r->out_committed = 0;
}

// --- for tests of aggregates

struct node rig_agg(enum agg_kind kind, const char *field)
{
    return (struct node){.kind = NODE_AGGREGATE,
                         .name = "agg",
                         .where = "test.lua:1",
                         .fn = 0,
                         .key_format = FORMAT_STRING,
                         .agg = kind,
                         .agg_field = field,
                         .as = agg_kind_name(kind)};
}

struct op *rig_start(struct rig *r, const struct node *n)
{
    struct op *o = rig_build(r, n, NULL, NULL);
    rig_probe(r, o);
    return o;
}

void rig_must(struct rig *r, struct op *o, const char *key, const char *json, int64_t time)
{
    if (rig_send(r, o, key, json, time) != 0)
        fail_msg("%s", r->err.text);
}

int64_t rig_int(const struct msg *m, const char *name)
{
    struct field_ref f = rig_field(name);
    struct value v;
    struct err e;
    assert_int_equal(doc_get(m->doc, &f, &v, &e), 0);
    return v.i;
}

int rig_fold(const struct fn_arg *args, uint32_t n, struct arena *arena, struct value *out,
             bool *same, struct err *e)
{
    (void)same;
    assert_int_equal(n, 2);
    int64_t x = rig_int(args[1].msg, "x");
    const struct value *old = args[0].value;
    uint32_t had = old->type == VALUE_MAP ? old->items[1].count : 0;
    if (x == 13)
        return err_set(e, ERR_SCRIPT, "test.lua:1: thirteen");
    if (x == 0)
        return 0;
    *out = (struct value){.type = VALUE_MAP, .count = 2};
    out->items = arena_alloc(arena, 2 * sizeof(struct value));
    out->keys = arena_alloc(arena, 2 * sizeof(struct slice));
    out->keys[0] = slice_str("n");
    out->keys[1] = slice_str("list");
    out->items[0] = value_int(had + 1);
    struct value list = {.type = VALUE_LIST, .count = had + 1};
    list.items = arena_alloc(arena, (had + 1) * sizeof(struct value));
    for (uint32_t i = 0; i < had; i++)
        list.items[i] = old->items[1].items[i];
    list.items[had] = value_int(x);
    out->items[1] = list;
    return 0;
}
