// SPDX-License-Identifier: Apache-2.0
//
// Table: a topic as a table: the latest value per key, by arrival, whatever its event time. A null
// value deletes the key. Updates go on to what stands behind the table; a delete of a key that is
// not there does not (no redundant tombstones), nor does it touch the store.
//
// A cell holds the value in carried form, so that nothing is decoded on the way in and a lookup
// opens it lazily. Row: varint(time) carried bytes, one per key.
#include "operators/op_table.h"

enum { TABLE_VERSION = 1, TABLE_CODECS_MAX = 16 };

struct table_cell {
    bool present; // false: deleted, or made and not filled
    int64_t time;
    struct buf value; // carried form, REC_PADDING readable bytes behind it
};

struct op_table {
    struct op op;
    struct store *store;
    const struct codec *codecs[TABLE_CODECS_MAX];
    struct codec_set codec_set;
    struct buf row; // encoding scratch
};

static void *cell_create(void *arg, struct slice key)
{
    (void)arg;
    (void)key;
    return check_alloc(calloc(1, sizeof(struct table_cell)));
}

static void cell_destroy(void *arg, void *state)
{
    (void)arg;
    struct table_cell *c = state;
    buf_release(&c->value);
    free(c);
}

static void pad(struct buf *b)
{
    memset(buf_reserve(b, REC_PADDING), 0, REC_PADDING);
}

static int cell_load(void *arg, void *state, struct slice sub_key, struct slice value,
                     struct err *e)
{
    (void)arg;
    struct table_cell *c = state;
    struct cur cur = cur_of(value);
    int64_t time = cur_varint(&cur);
    if (cur.failed || sub_key.n != 0)
        return err_set(e, ERR_CORRUPT, "a table's row (%u bytes) cannot be decoded", value.n);
    c->present = true;
    c->time = time;
    buf_clear(&c->value);
    buf_put(&c->value, cur.p, cur_left(&cur));
    pad(&c->value);
    return 0;
}

static void cell_encode(void *arg, void *state,
                        void (*row)(void *row_arg, struct slice sub_key, struct slice value),
                        void *row_arg)
{
    struct op_table *t = arg;
    struct table_cell *c = state;
    struct slice sub_key = slice_of("", 0);
    if (!c->present) {
        row(row_arg, sub_key, (struct slice){NULL, 0});
        return;
    }
    buf_clear(&t->row);
    buf_varint(&t->row, c->time);
    buf_slice_put(&t->row, buf_slice(&c->value));
    row(row_arg, sub_key, buf_slice(&t->row));
}

static size_t cell_bytes(void *arg, const void *state)
{
    (void)arg;
    const struct table_cell *c = state;
    return sizeof(*c) + c->value.size;
}

static const struct cell_ops table_cell_ops = {
    .kind = "table",
    .version = TABLE_VERSION,
    .create = cell_create,
    .destroy = cell_destroy,
    .load = cell_load,
    .encode = cell_encode,
    .bytes = cell_bytes,
};

static int table_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_table *t = (struct op_table *)o;
    if (m->key.p == NULL) {
        ctx->drop(ctx, o, DROP_NULL_KEY, m);
        return 0;
    }
    struct cell *cell;
    if (store_get(t->store, m->key, m->doc != NULL, &cell, ctx->err) != 0)
        return op_fail(o, ctx);
    struct table_cell *c = cell == NULL ? NULL : cell->state;
    if (m->doc == NULL && (c == NULL || !c->present))
        return 0;
    store_dirty(t->store, cell);
    c->present = m->doc != NULL;
    c->time = m->time;
    buf_clear(&c->value);
    if (m->doc != NULL)
        doc_carry(m->doc, &c->value);
    pad(&c->value);
    return op_push(o, ctx, m);
}

int op_table_get(struct op *o, struct op_ctx *ctx, struct slice key, struct doc *out, int64_t *time)
{
    struct op_table *t = (struct op_table *)o;
    struct cell *cell;
    if (store_get(t->store, key, false, &cell, ctx->err) != 0)
        return -1;
    struct table_cell *c = cell == NULL ? NULL : cell->state;
    if (c == NULL || !c->present)
        return 0;
    if (doc_open_carried(out, ctx->doc_ctx, ctx->arena, &t->codec_set, buf_slice(&c->value),
                         ctx->err) != 0)
        return err_wrap(ctx->err, "table %s", o->name);
    *time = c->time;
    return 1;
}

static void table_free(struct op *o)
{
    struct op_table *t = (struct op_table *)o;
    store_free(t->store);
    buf_release(&t->row);
    free(t);
}

static const struct op_ops table_ops = {
    .kind = "table",
    .process = table_process,
    .free = table_free,
};

bool op_is_table(const struct op *o)
{
    return o->ops == &table_ops;
}

int op_table_new(const struct build_ctx *b, struct op **out, struct store **store, struct err *e)
{
    struct op_table *t = check_alloc(calloc(1, sizeof(*t)));
    op_init(&t->op, &table_ops, b->node, true);
    buf_init(&t->row);
    uint32_t n = graph_codecs(b->node, t->codecs, TABLE_CODECS_MAX);
    if (n == 0 || n > TABLE_CODECS_MAX) {
        free(t);
        return err_set(e, ERR_INVALID, "%s: table %s: its values have %u formats; 1 to %d can be",
                       b->node->where, b->node->name, n, TABLE_CODECS_MAX);
    }
    t->codec_set = (struct codec_set){.codecs = t->codecs, .count = n};
    struct store_spec spec = {.name = b->node->name, .ops = &table_cell_ops, .ops_arg = t};
    t->store = store_new(b->db, &spec, b->partition, b->cache_bytes);
    if (store_check(t->store, e) != 0) {
        t->op.ops->free(&t->op);
        return -1;
    }
    *store = t->store;
    *out = &t->op;
    return 0;
}
