// SPDX-License-Identifier: Apache-2.0
//
// Agg: see the header. A cell's row: u8 flags, varint time, [origin], then what its kind keeps.
#include "operators/agg.h"
#include "operators/opdoc.h"

#include <math.h>

enum { AGG_VERSION = 1 };
enum { ROW_ORIGIN = 1, ROW_DECIMALS = 2 };

static bool keeps_value(enum agg_kind kind)
{
    return kind == AGG_LAST || kind == AGG_REDUCE || kind == AGG_FOLD;
}

static bool keeps_sum(enum agg_kind kind)
{
    return kind == AGG_SUM || kind == AGG_MEAN;
}

int agg_init(struct agg *a, const struct build_ctx *b, struct err *e)
{
    const struct node *n = b->node;
    *a = (struct agg){.kind = n->agg, .name = n->name, .where = n->where, .init = &n->init};
    if (n->agg == AGG_STDDEV || n->agg == AGG_DISTINCT)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s: %s is only available in features", n->where,
                       n->name, agg_kind_name(n->agg));
    bool calls = n->agg == AGG_REDUCE || n->agg == AGG_FOLD;
    if (calls && build_fn(b, n->fn, &a->fn, e) != 0)
        return -1;
    a->has_field = n->agg_field != NULL && n->agg != AGG_FOLD;
    if (!a->has_field && (keeps_sum(n->agg) || n->agg == AGG_MIN || n->agg == AGG_MAX))
        return err_set(e, ERR_INVALID, "%s: %s: %s needs the name of a field", n->where, n->name,
                       agg_kind_name(n->agg));
    if (a->has_field)
        a->field = field_ref_of(slice_str(n->agg_field), NULL);
    a->keep_origin = n->agg == AGG_LAST || n->emit == EMIT_CLOSE;
    const char *by = n->by;
    a->key_format = n->key_format;
    if (by == NULL && n->inputs_count > 0)
        graph_key(n->inputs[0], &by, &a->key_format);
    a->key_field = field_ref_of(slice_str(by == NULL ? "key" : by), NULL);
    a->as = field_ref_of(slice_str(n->as == NULL ? agg_kind_name(n->agg) : n->as), NULL);
    a->start = field_ref_of(slice_str("window_start"), NULL);
    a->end = field_ref_of(slice_str("window_end"), NULL);
    buf_init(&a->scratch);
    return 0;
}

void agg_release(struct agg *a)
{
    buf_release(&a->scratch);
}

static int number_of(struct agg *a, struct op_ctx *ctx, const struct value *v)
{
    if (v->type == VALUE_INT || (v->type == VALUE_DOUBLE && isfinite(v->d)))
        return 0;
    const char *what = v->type == VALUE_DOUBLE ? "not finite" : value_type_name(v->type);
    return err_set(ctx->err, ERR_INVALID,
                   "%s: %s of field '%.*s' needs a number; this record's is %s", a->where,
                   agg_kind_name(a->kind), (int)a->field.name.n, (const char *)a->field.name.p,
                   what);
}

// The new state from the old one (or init) and the record.
static int call_fn(struct agg *a, struct op_ctx *ctx, struct msg *m, const struct value *old,
                   struct agg_step *step)
{
    struct value item = step->value;
    struct fn_arg args[2] = {{.kind = FN_VALUE, .value = old}, {.kind = FN_MSG, .msg = m}};
    if (a->has_field)
        args[1] = (struct fn_arg){.kind = FN_VALUE, .value = &item};
    if (a->fn->call(a->fn, args, 2, ctx->arena, &step->value, NULL, ctx->err) != 0)
        return -1;
    if (step->value.type == VALUE_NULL)
        return err_set(ctx->err, ERR_SCRIPT,
                       "%s: %s returned nothing; return the new value (forgot `return`?)",
                       a->fn->where, agg_kind_name(a->kind));
    return 1;
}

// last and the first reduce take the value as it is.
static int eval_value(struct agg *a, struct op_ctx *ctx, struct msg *m, const struct agg_cell *c,
                      struct agg_step *step)
{
    bool first = !c->present;
    struct value old = *a->init;
    if (!first && a->kind != AGG_LAST) {
        struct cur cur = cur_of(slice_of(c->value, c->value_n));
        old = value_decode(&cur, ctx->arena);
    }
    if (a->kind == AGG_FOLD || (a->kind == AGG_REDUCE && !first))
        return call_fn(a, ctx, m, &old, step);
    if (!a->has_field && doc_value(m->doc, &step->value, ctx->err) != 0)
        return -1;
    return 1;
}

int agg_eval(struct agg *a, struct op *o, struct op_ctx *ctx, struct msg *m,
             const struct agg_cell *c, struct agg_step *step)
{
    step->value = value_null();
    if (a->has_field) {
        if (doc_get(m->doc, &a->field, &step->value, ctx->err) != 0)
            return -1;
        if (step->value.type == VALUE_NULL) {
            ctx->drop(ctx, o, DROP_NULL_VALUE, m);
            return 0;
        }
    }
    if (keeps_value(a->kind))
        return eval_value(a, ctx, m, c, step);
    if (a->kind != AGG_COUNT && number_of(a, ctx, &step->value) != 0)
        return -1;
    return 1;
}

static int compare(const struct value *x, const struct value *y)
{
    if (x->type == VALUE_INT && y->type == VALUE_INT)
        return (x->i > y->i) - (x->i < y->i);
    double p = x->type == VALUE_INT ? (double)x->i : x->d;
    double q = y->type == VALUE_INT ? (double)y->i : y->d;
    if (p != q)
        return p < q ? -1 : 1;
    // Equal as numbers: the integer counts as less, so that the answer does not depend on order.
    return (x->type == VALUE_DOUBLE) - (y->type == VALUE_DOUBLE);
}

static void keep_value(struct agg *a, struct agg_cell *c, const struct value *v)
{
    buf_clear(&a->scratch);
    value_encode(v, &a->scratch);
    if (c->value_size < a->scratch.n) {
        uint32_t size = c->value_size == 0 ? a->scratch.n : c->value_size;
        while (size < a->scratch.n)
            size *= 2;
        c->value = check_alloc(realloc(c->value, size));
        c->value_size = size;
    }
    memcpy(c->value, a->scratch.p, a->scratch.n);
    c->value_n = a->scratch.n;
}

// Most sums are of integers: a cell gets the room for decimals with the first one.
static void want_decimals(struct agg_cell *c)
{
    if (c->decimals)
        return;
    if (c->sum == NULL)
        c->sum = check_alloc(malloc(sizeof(*c->sum)));
    exact_sum_init(c->sum);
    c->decimals = true;
}

static void add_number(struct agg_cell *c, const struct value *v)
{
    if (v->type == VALUE_INT) {
        c->ints += v->i;
        return;
    }
    want_decimals(c);
    exact_sum_add(c->sum, v->d);
}

static void clear_cell(struct agg_cell *c)
{
    *c = (struct agg_cell){.sum = c->sum, .value = c->value, .value_size = c->value_size};
}

void agg_apply(struct agg *a, struct agg_cell *c, const struct msg *m, const struct agg_step *step)
{
    bool first = !c->present;
    if (first)
        clear_cell(c);
    c->present = true;
    bool latest = first || m->time > c->time ||
                  (m->time == c->time && origin_cmp(&m->origin, &c->origin) >= 0);
    if (latest) {
        c->time = m->time;
        c->origin = m->origin;
    }
    c->count++;
    const struct value *v = &step->value;
    if (keeps_sum(a->kind))
        add_number(c, v);
    else if (a->kind == AGG_MIN && (first || compare(v, &c->number) < 0))
        c->number = *v;
    else if (a->kind == AGG_MAX && (first || compare(v, &c->number) > 0))
        c->number = *v;
    else if (keeps_value(a->kind) && (latest || a->kind != AGG_LAST))
        keep_value(a, c, v);
}

void agg_remove(struct agg_cell *c)
{
    c->present = false;
}

// Integers and decimals together, rounded once.
static double decimal_sum(const struct agg_cell *c)
{
    struct exact_sum all;
    if (c->decimals)
        all = *c->sum;
    else
        exact_sum_init(&all);
    if (c->ints != 0)
        exact_sum_add_int128(&all, c->ints, 0);
    return exact_sum_get(&all);
}

static struct value sum_of(const struct agg_cell *c)
{
    if (!c->decimals && c->ints >= INT64_MIN && c->ints <= INT64_MAX)
        return value_int((int64_t)c->ints);
    return value_double(decimal_sum(c));
}

static struct value result_of(const struct agg *a, const struct agg_cell *c, struct arena *arena)
{
    struct cur cur = cur_of(slice_of(c->value, c->value_n));
    switch (a->kind) {
    case AGG_COUNT:
        return value_int((int64_t)c->count);
    case AGG_SUM:
        return sum_of(c);
    case AGG_MEAN:
        return value_double(decimal_sum(c) / (double)c->count);
    case AGG_MIN:
    case AGG_MAX:
        return c->number;
    default:
        return value_decode(&cur, arena);
    }
}

struct doc *agg_doc(const struct agg *a, struct op_ctx *ctx, const struct agg_cell *c,
                    struct slice key, const int64_t *window)
{
    struct value v = result_of(a, c, ctx->arena);
    bool whole = v.type == VALUE_MAP && (a->kind == AGG_REDUCE || a->kind == AGG_FOLD);
    struct doc *d = arena_new(ctx->arena, struct doc);
    if (whole) {
        doc_from_value(d, ctx->doc_ctx, ctx->arena, &v);
    } else {
        doc_empty(d, ctx->doc_ctx, ctx->arena);
        struct value k = opdoc_key(key, a->key_format);
        doc_set(d, &a->key_field, &k);
    }
    if (window != NULL) {
        struct value start = value_int(window[0]), end = value_int(window[1]);
        doc_set(d, &a->start, &start);
        doc_set(d, &a->end, &end);
    }
    if (!whole)
        doc_set(d, &a->as, &v);
    return d;
}

static void *cell_create(void *arg, struct slice key)
{
    (void)arg;
    (void)key;
    return check_alloc(calloc(1, sizeof(struct agg_cell)));
}

static void cell_destroy(void *arg, void *state)
{
    (void)arg;
    struct agg_cell *c = state;
    free(c->value);
    free(c->sum);
    free(c);
}

static size_t cell_bytes(void *arg, const void *state)
{
    (void)arg;
    const struct agg_cell *c = state;
    return sizeof(*c) + c->value_size + (c->sum == NULL ? 0 : sizeof(*c->sum));
}

static void put_origin(struct buf *b, const struct origin *o)
{
    buf_u32(b, o->topic);
    buf_varint(b, o->partition);
    buf_varint(b, o->offset);
    buf_uvarint(b, o->sequence);
}

static struct origin get_origin(struct cur *c)
{
    struct origin o;
    o.topic = cur_u32(c);
    o.partition = (int32_t)cur_varint(c);
    o.offset = cur_varint(c);
    o.sequence = (uint32_t)cur_uvarint(c);
    return o;
}

static void cell_encode(void *arg, void *state,
                        void (*row)(void *row_arg, struct slice sub_key, struct slice value),
                        void *row_arg)
{
    struct agg *a = arg;
    struct agg_cell *c = state;
    if (!c->present) {
        row(row_arg, slice_of("", 0), (struct slice){NULL, 0});
        return;
    }
    struct buf *b = &a->scratch;
    buf_clear(b);
    buf_u8(b, (uint8_t)((a->keep_origin ? ROW_ORIGIN : 0) | (c->decimals ? ROW_DECIMALS : 0)));
    buf_varint(b, c->time);
    if (a->keep_origin)
        put_origin(b, &c->origin);
    if (a->kind == AGG_COUNT || a->kind == AGG_MEAN)
        buf_uvarint(b, c->count);
    if (keeps_sum(a->kind)) {
        buf_varint(b, (int64_t)(c->ints >> 64));
        buf_u64(b, (uint64_t)c->ints);
        if (c->decimals)
            exact_sum_encode(c->sum, b);
    } else if (a->kind == AGG_MIN || a->kind == AGG_MAX) {
        value_encode(&c->number, b);
    } else if (keeps_value(a->kind)) {
        buf_put(b, c->value, c->value_n);
    }
    row(row_arg, slice_of("", 0), buf_slice(b));
}

static void load_sum(struct agg_cell *c, struct cur *cur, bool decimals)
{
    int64_t high = cur_varint(cur);
    uint64_t low = cur_u64(cur);
    c->ints = (__int128)(((unsigned __int128)(uint64_t)high << 64) | low);
    if (!decimals)
        return;
    want_decimals(c);
    if (exact_sum_decode(c->sum, cur) != 0)
        cur->failed = true;
}

static void load_value(struct agg_cell *c, struct cur *cur)
{
    uint32_t n = cur_left(cur);
    c->value = check_alloc(realloc(c->value, n == 0 ? 1 : n));
    c->value_n = c->value_size = n;
    const uint8_t *p = cur_take(cur, n);
    if (p != NULL && n != 0)
        memcpy(c->value, p, n);
    cur->failed = cur->failed || n == 0;
}

static int cell_load(void *arg, void *state, struct slice sub_key, struct slice value,
                     struct err *e)
{
    struct agg *a = arg;
    struct agg_cell *c = state;
    struct cur cur = cur_of(value);
    clear_cell(c);
    uint8_t flags = cur_u8(&cur);
    c->present = true;
    c->time = cur_varint(&cur);
    if ((flags & ROW_ORIGIN) != 0)
        c->origin = get_origin(&cur);
    if (a->kind == AGG_COUNT || a->kind == AGG_MEAN)
        c->count = cur_uvarint(&cur);
    if (keeps_sum(a->kind))
        load_sum(c, &cur, (flags & ROW_DECIMALS) != 0);
    else if (a->kind == AGG_MIN || a->kind == AGG_MAX)
        c->number = value_decode(&cur, NULL);
    else if (keeps_value(a->kind))
        load_value(c, &cur);
    if (cur.failed || cur.p != cur.end || sub_key.n != 0)
        return err_set(e, ERR_CORRUPT,
                       "a row of '%s' (%s, %u bytes) cannot be decoded; if the aggregate was "
                       "changed, give it a new name",
                       a->name, agg_kind_name(a->kind), value.n);
    return 0;
}

const struct cell_ops agg_cell_ops = {
    .kind = "aggregate",
    .version = AGG_VERSION,
    .create = cell_create,
    .destroy = cell_destroy,
    .load = cell_load,
    .encode = cell_encode,
    .bytes = cell_bytes,
};
