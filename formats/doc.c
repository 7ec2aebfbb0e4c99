// SPDX-License-Identifier: Apache-2.0
#include "formats/doc_impl.h"

struct doc_ctx *doc_ctx_new(void)
{
    struct doc_ctx *c = check_alloc(calloc(1, sizeof(*c)));
    c->json = json_shim_new();
    c->csv = csv_new(',');
    return c;
}

void doc_ctx_free(struct doc_ctx *c)
{
    if (c == NULL)
        return;
    json_shim_free(c->json);
    csv_free(c->csv);
    free(c);
}

void doc_open(struct doc *d, struct doc_ctx *ctx, struct arena *a, const struct codec *codec,
              struct slice raw)
{
    *d = (struct doc){
        .codec = codec, .ctx = ctx, .arena = a, .raw = raw, .generation = ++ctx->generation};
}

void doc_empty(struct doc *d, struct doc_ctx *ctx, struct arena *a)
{
    doc_open(d, ctx, a, NULL, (struct slice){NULL, 0});
    d->indexed = true;
}

void doc_reserve_patches(struct doc *d, uint32_t size)
{
    struct doc_patch *p = arena_alloc(d->arena, size * sizeof(*p));
    if (d->patches_count != 0)
        memcpy(p, d->patches, d->patches_count * sizeof(*p));
    d->patches = p;
    d->patches_size = size;
}

struct doc_patch *doc_add_patch(struct doc *d, const struct field_ref *ref)
{
    if (d->patches_count == d->patches_size)
        doc_reserve_patches(d, d->patches_size == 0 ? 8 : d->patches_size * 2);
    struct doc_patch *p = &d->patches[d->patches_count++];
    d->carried.p = NULL;
    p->field = *ref;
    p->removed = false;
    p->at = -1;
    d->patched |= plan_bit(ref->hash);
    d->merged = false;
    return p;
}

void doc_from_value(struct doc *d, struct doc_ctx *ctx, struct arena *a, const struct value *v)
{
    doc_empty(d, ctx, a);
    if (v->type != VALUE_MAP) {
        d->whole = true;
        d->scalar = *v;
        return;
    }
    if (v->count != 0)
        doc_reserve_patches(d, v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        struct field_ref ref = field_ref_of(v->keys[i], NULL);
        struct doc_patch *p = doc_find_patch(d, ref.name, ref.hash);
        if (p == NULL)
            p = doc_add_patch(d, &ref);
        p->value = v->items[i];
    }
}

int doc_index(struct doc *d, struct err *e)
{
    if (d->indexed)
        return 0;
    int r = 0;
    if (d->raw.p != NULL) {
        switch (d->codec->format) {
        case FORMAT_JSON:
            r = doc_json_index(d, e);
            break;
        case FORMAT_CSV:
            r = doc_csv_index(d, e);
            break;
        case FORMAT_AVRO:
            r = doc_avro_index(d, e);
            break;
        case FORMAT_CARRIED:
            return err_set(e, ERR_INVALID, "a carried record must be opened with its codecs");
        default:
            d->whole = true;
        }
    }
    d->indexed = r == 0;
    return r;
}

static inline bool field_is(const struct doc_field *f, struct slice name, uint64_t hash)
{
    return f->hash == hash && plan_same(f->name, name);
}

struct doc_field *doc_search_field(struct doc *d, struct slice name, uint64_t hash)
{
    uint16_t *hint = &d->ctx->fields[doc_hint(hash)];
    if (*hint < d->fields_count && field_is(&d->fields[*hint], name, hash))
        return &d->fields[*hint];
    for (uint32_t i = 0; i < d->fields_count; i++) {
        if (field_is(&d->fields[i], name, hash)) {
            *hint = (uint16_t)i;
            return &d->fields[i];
        }
    }
    return NULL;
}

static inline bool patch_is(const struct doc_patch *p, struct slice name, uint64_t hash)
{
    return p->field.hash == hash && plan_same(p->field.name, name);
}

struct doc_patch *doc_search_patch(struct doc *d, struct slice name, uint64_t hash)
{
    uint16_t *hint = &d->ctx->patches[doc_hint(hash)];
    if (*hint < d->patches_count && patch_is(&d->patches[*hint], name, hash))
        return &d->patches[*hint];
    for (uint32_t i = 0; i < d->patches_count; i++) {
        if (patch_is(&d->patches[i], name, hash)) {
            *hint = (uint16_t)i;
            return &d->patches[i];
        }
    }
    return NULL;
}

int doc_decode(struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    if (f->state == FIELD_DECODED) {
        *out = f->value;
        return 0;
    }
    int r = d->codec->format == FORMAT_JSON ? doc_json_decode(d, f, out, e)
                                            : doc_csv_decode(d, f, out, e);
    if (r == 0 && out->type >= VALUE_STRING) {
        f->value = *out;
        f->state = FIELD_DECODED;
    }
    return r;
}

int doc_get(struct doc *d, const struct field_ref *ref, struct value *out, struct err *e)
{
    struct doc_patch *p = doc_find_patch(d, ref->name, ref->hash);
    if (p != NULL) {
        *out = p->removed ? value_null() : p->value;
        return 0;
    }
    if (!d->indexed && doc_index(d, e) != 0)
        return -1;
    struct doc_field *f = doc_find_field(d, ref->name, ref->hash);
    if (f == NULL) {
        *out = value_null();
        return 0;
    }
    return doc_decode(d, f, out, e);
}

bool doc_has(struct doc *d, const struct field_ref *ref, struct err *e)
{
    struct doc_patch *p = doc_find_patch(d, ref->name, ref->hash);
    if (p != NULL)
        return !p->removed;
    return doc_index(d, e) == 0 && doc_find_field(d, ref->name, ref->hash) != NULL;
}

void doc_set(struct doc *d, const struct field_ref *ref, const struct value *v)
{
    struct doc_patch *p = doc_find_patch(d, ref->name, ref->hash);
    d->carried.p = NULL;
    if (p == NULL) {
        p = doc_add_patch(d, ref);
    } else if (p->removed) {
        p->removed = false;
        d->merged = false;
    }
    if (v->type <= VALUE_DOUBLE)
        doc_copy_scalar(&p->value, v);
    else
        p->value = value_copy(v, d->arena);
}

void doc_remove(struct doc *d, const struct field_ref *ref)
{
    struct doc_patch *p = doc_find_patch(d, ref->name, ref->hash);
    d->carried.p = NULL;
    if (p == NULL)
        p = doc_add_patch(d, ref);
    p->removed = true;
    p->value = value_null();
    d->merged = false;
}

// Joins each patch with the raw field it stands for.
static void join_patches(struct doc *d)
{
    d->overrides = 0;
    for (uint32_t i = 0; i < d->fields_count; i++) {
        d->fields[i].patch = -1;
        d->rebuild |= d->fields[i].state == FIELD_DEAD;
    }
    for (uint32_t i = 0; i < d->patches_count; i++) {
        struct doc_patch *p = &d->patches[i];
        struct doc_field *f = doc_find_field(d, p->field.name, p->field.hash);
        p->at = f == NULL ? -1 : (int32_t)(f - d->fields);
        if (f == NULL)
            continue;
        f->patch = (int32_t)i;
        d->overrides++;
        d->rebuild |= p->removed;
    }
}

int doc_merge(struct doc *d, struct err *e)
{
    if (d->merged)
        return 0;
    if (doc_index(d, e) != 0)
        return -1;
    if (d->whole && d->patches_count != 0)
        return err_set(e, ERR_INVALID,
                       "field '%.*s' was set on a value that is not a record; build a new record "
                       "from it instead",
                       (int)d->patches[0].field.name.n, (const char *)d->patches[0].field.name.p);
    d->rebuild = false;
    d->order = NULL;
    join_patches(d);
    d->merged = true;
    return 0;
}

// The merged view as a list of field indices and, with DOC_ORDER_PATCH, patch indices.
static void build_order(struct doc *d)
{
    uint32_t n = 0, *order;
    order = arena_alloc(d->arena, (d->fields_count + d->patches_count) * sizeof(*order));
    for (uint32_t i = 0; i < d->fields_count; i++) {
        const struct doc_field *f = &d->fields[i];
        if (f->state == FIELD_DEAD || (f->patch >= 0 && d->patches[f->patch].removed))
            continue;
        order[n++] = f->patch >= 0 ? (uint32_t)f->patch | (uint32_t)DOC_ORDER_PATCH : i;
    }
    for (uint32_t i = 0; i < d->patches_count; i++) {
        if (d->patches[i].at < 0 && !d->patches[i].removed)
            order[n++] = i | (uint32_t)DOC_ORDER_PATCH;
    }
    d->order = order;
    d->order_count = n;
}

int doc_field_at(struct doc *d, uint32_t i, struct slice *name, struct value *out, struct err *e)
{
    if (!d->merged && doc_merge(d, e) != 0)
        return -1;
    uint32_t at = i;
    if (d->patches_count != 0 || d->rebuild) {
        if (d->order == NULL)
            build_order(d);
        if (i >= d->order_count)
            return 0;
        at = d->order[i];
    } else if (i >= d->fields_count) {
        return 0;
    }
    if (at & (uint32_t)DOC_ORDER_PATCH) {
        const struct doc_patch *p = &d->patches[at & ~(uint32_t)DOC_ORDER_PATCH];
        *name = p->field.name;
        *out = p->value;
        return 1;
    }
    struct doc_field *f = &d->fields[at];
    if (doc_decode(d, f, out, e) != 0)
        return -1;
    *name = f->name;
    return 1;
}
