// SPDX-License-Identifier: Apache-2.0
//
// Join: each record of a stream with the table's record of the same key, as the table stands when
// the stream's record comes (latest by arrival; a task takes its inputs in time order). The table's
// updates trigger nothing. Inner: without a match nothing comes out. Left: the record comes out
// alone, the table's fields null.
//
// Merging: the table's fields are set on the stream's record under `prefix` + name, or a function
// (left, right) returns the record; right is nil without a match. The result keeps the stream
// record's key, time and origin.
//
// Null value → DROP_NULL_VALUE. Null key: inner → DROP_NULL_KEY, left → no match.
#include "operators/op_table.h"
#include "operators/opdoc.h"

enum { JOIN_NAMES_MAX = 512 };

struct joined_name { // a field of the table and what it is called in the result
    struct slice name;
    struct field_ref field;
};

struct op_join {
    struct op op;
    struct op *table; // borrowed
    const struct node *table_node;
    bool left;
    struct fn *fn; // NULL: prefix
    const char *prefix;
    // Names seen, in the order of the table's first record: position i usually hits at once.
    struct joined_name *names;
    uint32_t names_count;
    struct arena names_arena;
};

static struct slice prefixed(const struct op_join *j, struct slice name, struct arena *a)
{
    size_t n = strlen(j->prefix);
    uint8_t *p = arena_alloc(a, n + name.n + 1);
    memcpy(p, j->prefix, n);
    if (name.n != 0)
        memcpy(p + n, name.p, name.n);
    p[n + name.n] = 0;
    return slice_of(p, n + name.n);
}

// The result's field for the table's field `name`, expected at position `at`.
static struct field_ref field_for(struct op_join *j, struct slice name, uint32_t at,
                                  struct arena *scratch)
{
    if (at < j->names_count && slice_eq(j->names[at].name, name))
        return j->names[at].field;
    for (uint32_t i = 0; i < j->names_count; i++)
        if (slice_eq(j->names[i].name, name))
            return j->names[i].field;
    // Names come from data: past the bound they are made each time.
    if (j->names_count == JOIN_NAMES_MAX)
        return field_ref_of(prefixed(j, name, scratch), NULL);
    if (j->names == NULL)
        j->names = check_alloc(calloc(JOIN_NAMES_MAX, sizeof(*j->names)));
    struct joined_name *to = &j->names[j->names_count++];
    to->name = arena_slice(&j->names_arena, name);
    to->field = field_ref_of(prefixed(j, name, &j->names_arena), NULL);
    return to->field;
}

static int merge_fields(struct op_join *j, struct op_ctx *ctx, struct doc *to, struct doc *right)
{
    struct slice name;
    struct value v;
    for (uint32_t i = 0;; i++) {
        int rc = doc_field_at(right, i, &name, &v, ctx->err);
        if (rc <= 0)
            return rc;
        struct field_ref field = field_for(j, name, i, ctx->arena);
        doc_set(to, &field, &v);
    }
}

// Without a match the table's fields are null. Without a schema they are not known, and a missing
// field reads as null all the same.
static void merge_nulls(struct op_join *j, struct op_ctx *ctx, struct doc *to)
{
    const struct schema *s = j->table_node->schema;
    struct value null = value_null();
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        struct field_ref field = field_for(j, slice_str(s->fields[i].name), i, ctx->arena);
        doc_set(to, &field, &null);
    }
}

static int merge_fn(struct op_join *j, struct op_ctx *ctx, struct msg *to, struct msg *right)
{
    struct value null = value_null();
    struct fn_arg args[2] = {{.kind = FN_MSG, .msg = to}, {.kind = FN_VALUE, .value = &null}};
    if (right->doc != NULL)
        args[1] = (struct fn_arg){.kind = FN_MSG, .msg = right};
    struct value result;
    // Two records are at hand: one returned as such comes as its fields.
    if (j->fn->call(j->fn, args, 2, ctx->arena, &result, NULL, ctx->err) != 0)
        return -1;
    return opdoc_result(ctx, &result, "join", j->fn, &to->doc);
}

static int join_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_join *j = (struct op_join *)o;
    if (m->doc == NULL || (m->key.p == NULL && !j->left)) {
        ctx->drop(ctx, o, m->doc == NULL ? DROP_NULL_VALUE : DROP_NULL_KEY, m);
        return 0;
    }
    struct doc found;
    struct msg right = {.key = m->key, .topic = j->table_node->topic, .partition = m->partition};
    int hit = 0;
    if (m->key.p != NULL)
        hit = op_table_get(j->table, ctx, m->key, &found, &right.time);
    if (hit < 0)
        return op_fail(o, ctx);
    if (hit == 0 && !j->left)
        return 0;
    right.doc = hit == 1 ? &found : NULL;
    struct msg to = *m;
    to.doc = opdoc_clone(ctx, m->doc);
    int rc = 0;
    if (j->fn != NULL)
        rc = merge_fn(j, ctx, &to, &right);
    else if (hit == 1)
        rc = merge_fields(j, ctx, to.doc, &found);
    else
        merge_nulls(j, ctx, to.doc);
    return rc != 0 ? op_fail(o, ctx) : op_push(o, ctx, &to);
}

static void join_free(struct op *o)
{
    struct op_join *j = (struct op_join *)o;
    free(j->names);
    arena_release(&j->names_arena);
    free(j);
}

static const struct op_ops join_ops = {
    .kind = "join",
    .process = join_process,
    .free = join_free,
};

int op_join_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    const struct node *n = b->node;
    if (b->table == NULL || !op_is_table(b->table) || n->inputs_count != 2)
        return err_set(e, ERR_INVALID,
                       "%s: join %s needs a table on its right side, in the same task", n->where,
                       n->name);
    struct fn *fn = NULL;
    if (n->prefix == NULL && build_fn(b, n->fn, &fn, e) != 0)
        return -1;
    struct op_join *j = check_alloc(calloc(1, sizeof(*j)));
    op_init(&j->op, &join_ops, n, true);
    j->table = b->table;
    j->table_node = n->inputs[1];
    j->left = n->left;
    j->fn = fn;
    j->prefix = n->prefix;
    arena_init(&j->names_arena);
    *out = &j->op;
    return 0;
}
