// SPDX-License-Identifier: Apache-2.0
//
// Opdoc: see the header.
#include "operators/opdoc.h"

// The two share the list of raw fields, in which a doc notes which patch replaces which field. So
// neither keeps its notes: whoever is asked next takes them again. Records go depth first, hence
// the copy is done with when the original is asked again.
struct doc *opdoc_clone(struct op_ctx *ctx, struct doc *from)
{
    from->merged = false;
    struct doc *d = arena_alloc(ctx->arena, sizeof(*d));
    *d = *from;
    d->arena = ctx->arena;
    d->patches_size = from->patches_count;
    if (from->patches_count != 0) {
        size_t n = from->patches_count * sizeof(*d->patches);
        d->patches = memcpy(arena_alloc(ctx->arena, n), from->patches, n);
    } else {
        d->patches = NULL;
    }
    return d;
}

struct doc *opdoc_empty(struct op_ctx *ctx)
{
    struct doc *d = arena_new(ctx->arena, struct doc);
    doc_empty(d, ctx->doc_ctx, ctx->arena);
    return d;
}

int opdoc_result(struct op_ctx *ctx, const struct value *v, const char *what, const struct fn *fn,
                 struct doc **out)
{
    if (v->type == VALUE_NULL)
        return err_set(ctx->err, ERR_SCRIPT,
                       "%s: %s returned nothing; return a record, and use filter to drop records",
                       fn->where, what);
    // An empty table of a script may come as an empty list: an empty record.
    if (v->type == VALUE_LIST && v->count != 0)
        return err_set(ctx->err, ERR_SCRIPT,
                       "%s: %s returned a list; return one record (a table with named fields)",
                       fn->where, what);
    if (v->type == VALUE_LIST) {
        *out = opdoc_empty(ctx);
        return 0;
    }
    struct doc *d = arena_new(ctx->arena, struct doc);
    doc_from_value(d, ctx->doc_ctx, ctx->arena, v);
    *out = d;
    return 0;
}

struct value opdoc_key(struct slice key, enum format format)
{
    if (format == FORMAT_LONG && key.n == 8)
        return value_int((int64_t)bytes_get64(key.p));
    if (format == FORMAT_INT && key.n == 4)
        return value_int((int32_t)bytes_get32(key.p));
    if (format == FORMAT_DOUBLE && key.n == 8) {
        uint64_t bits = bytes_get64(key.p);
        double d;
        memcpy(&d, &bits, sizeof(d));
        return value_double(d);
    }
    return value_string(key);
}
