// SPDX-License-Identifier: Apache-2.0
//
// Feature_plan: see the header.
#include "operators/feature_plan.h"

#include <math.h>

#include "base/hash.h"
#include "operators/feature_events.h"

static uint32_t add_edge(struct feature_plan *p, int64_t offset)
{
    for (uint32_t i = 0; i < p->edges_count; i++)
        if (p->edges[i] == offset)
            return i;
    p->edges[p->edges_count] = offset;
    p->reach = offset > p->reach ? offset : p->reach;
    return p->edges_count++;
}

static uint32_t add_frame(struct feature_plan *p, int64_t delay, int64_t size)
{
    struct feature_frame f = {.lo = add_edge(p, delay + size), .hi = add_edge(p, delay)};
    for (uint32_t i = 0; i < p->frames_count; i++)
        if (p->frames[i].lo == f.lo && p->frames[i].hi == f.hi)
            return i;
    p->frames[p->frames_count] = f;
    return p->frames_count++;
}

static enum feature_slot_kind slot_kind(enum agg_kind kind)
{
    switch (kind) {
    case AGG_SUM:
    case AGG_MEAN:
        return SLOT_SUM;
    case AGG_STDDEV:
        return SLOT_SQUARES;
    case AGG_MIN:
        return SLOT_MIN;
    case AGG_MAX:
        return SLOT_MAX;
    case AGG_LAST:
        return SLOT_LAST;
    case AGG_DISTINCT:
        return SLOT_DISTINCT;
    default:
        return SLOT_NONE;
    }
}

static uint32_t add_field(struct feature_plan *p, const char *name, enum agg_kind kind,
                          const struct schema *schema)
{
    uint32_t i = 0;
    while (i < p->fields_count && strcmp(p->fields[i].name, name) != 0)
        i++;
    struct feature_field *f = &p->fields[i];
    if (i == p->fields_count) {
        *f = (struct feature_field){
            .ref = field_ref_of(slice_str(name), schema), .id = hash_id(name), .name = name};
        p->fields_count++;
    }
    if (kind != AGG_LAST && kind != AGG_DISTINCT && !f->numeric) {
        f->numeric = true;
        f->needed = kind;
    }
    return i;
}

static uint32_t add_slot(struct feature_plan *p, enum feature_slot_kind kind, uint32_t field,
                         uint32_t frame)
{
    if (kind == SLOT_NONE)
        return 0;
    for (uint32_t i = 0; i < p->slots_count; i++)
        if (p->slots[i].kind == kind && p->slots[i].field == field && p->slots[i].frame == frame)
            return i;
    p->slots[p->slots_count] = (struct feature_slot_plan){kind, field, frame};
    p->heap_slots |= kind != SLOT_SUM && kind != SLOT_LAST;
    return p->slots_count++;
}

static int check_entry(const struct node *n, const struct feature_spec *s, struct err *e)
{
    if (s->kind == AGG_REDUCE || s->kind == AGG_FOLD)
        return err_set(e, ERR_INVALID,
                       "%s: features '%s': entry '%s' asks for %s, which features cannot take back "
                       "when an event leaves its window; use count, sum, mean, min, max, stddev, "
                       "last or distinct, or an aggregate with a window",
                       n->where, n->name, s->name, agg_kind_name(s->kind));
    if (s->kind != AGG_COUNT && s->field == NULL)
        return err_set(e, ERR_INVALID, "%s: features '%s': entry '%s' (%s) names no field",
                       n->where, n->name, s->name, agg_kind_name(s->kind));
    for (uint32_t w = 0; w < n->windows_count; w++) {
        int64_t sum;
        if (s->delay_ms < 0 || n->windows[w].size_ms <= 0 ||
            __builtin_add_overflow(s->delay_ms, n->windows[w].size_ms, &sum))
            return err_set(e, ERR_INVALID,
                           "%s: features '%s': entry '%s' needs a window above 0 and a delay of 0 "
                           "or more",
                           n->where, n->name, s->name);
    }
    return 0;
}

static int add_entry(struct feature_plan *p, const struct node *n, const struct feature_spec *s,
                     struct err *e)
{
    if (check_entry(n, s, e) != 0)
        return -1;
    enum feature_slot_kind kind = slot_kind(s->kind);
    uint32_t field = kind == SLOT_NONE ? 0 : add_field(p, s->field, s->kind, n->schema);
    for (uint32_t w = 0; w < n->windows_count; w++) {
        struct feature_output *o = &p->outputs[p->outputs_count++];
        o->ref = s->outputs[w];
        o->kind = s->kind;
        o->frame = add_frame(p, s->delay_ms, n->windows[w].size_ms);
        o->slot = add_slot(p, kind, field, o->frame);
    }
    return 0;
}

// Rows name fields by id.
static int check_ids(const struct feature_plan *p, struct err *e)
{
    for (uint32_t i = 0; i < p->fields_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (p->fields[i].id == p->fields[k].id)
                return err_set(e, ERR_EXISTS,
                               "%s: features '%s': fields '%s' and '%s' get the same id in stored "
                               "rows; rename one of them",
                               p->where, p->name, p->fields[i].name, p->fields[k].name);
    return 0;
}

int feature_plan_init(struct feature_plan *p, const struct node *n, struct err *e)
{
    uint32_t outputs = n->features_count * n->windows_count;
    *p = (struct feature_plan){.name = n->name, .where = n->where};
    if (n->features_count > FEATURE_FIELDS_MAX || outputs > FEATURE_OUTPUTS_MAX)
        return err_set(e, ERR_LIMIT,
                       "%s: features '%s' has more than %d entries or %d outputs; split it in two",
                       n->where, n->name, FEATURE_FIELDS_MAX, FEATURE_OUTPUTS_MAX);
    if (outputs == 0)
        return err_set(e, ERR_INVALID, "%s: features '%s' needs at least one window and one entry",
                       n->where, n->name);
    p->fields = check_alloc(calloc(n->features_count, sizeof(*p->fields)));
    p->edges = check_alloc(calloc(2 * (size_t)outputs, sizeof(*p->edges)));
    p->frames = check_alloc(calloc(outputs, sizeof(*p->frames)));
    p->slots = check_alloc(calloc(outputs, sizeof(*p->slots)));
    p->outputs = check_alloc(calloc(outputs, sizeof(*p->outputs)));
    p->values = check_alloc(calloc(n->features_count, sizeof(*p->values)));
    int rc = 0;
    for (uint32_t i = 0; i < n->features_count && rc == 0; i++)
        rc = add_entry(p, n, &n->features[i], e);
    if (rc == 0)
        rc = check_ids(p, e);
    if (rc != 0)
        feature_plan_release(p);
    return rc;
}

void feature_plan_release(struct feature_plan *p)
{
    free(p->fields);
    free(p->edges);
    free(p->frames);
    free(p->slots);
    free(p->outputs);
    free(p->values);
    buf_release(&p->scratch);
}

static int not_a_number(const struct feature_plan *p, const struct feature_field *f,
                        const struct value *v, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "%s: features '%s': %s of field '%s' needs a number; this record's is %s",
                   p->where, p->name, agg_kind_name(f->needed), f->name,
                   v->type == VALUE_DOUBLE ? "not finite" : value_type_name(v->type));
}

// Strings and the like go into the scratch; until all are in, only their lengths are known.
static int read_value(struct feature_plan *p, const struct feature_field *f, const struct value *v,
                      struct feature_value *out, struct err *e)
{
    *out = (struct feature_value){.tag = FEATURE_NULL};
    switch (v->type) {
    case VALUE_NULL:
        return 0;
    case VALUE_INT:
    case VALUE_BOOL:
        out->tag = v->type == VALUE_INT ? FEATURE_INT : FEATURE_BOOL;
        out->payload = v->type == VALUE_INT ? (uint64_t)v->i : v->b;
        return 0;
    case VALUE_DOUBLE:
        if (f->numeric && !isfinite(v->d))
            return not_a_number(p, f, v, e);
        out->tag = FEATURE_DOUBLE;
        memcpy(&out->payload, &v->d, sizeof(out->payload));
        return 0;
    default:
        break;
    }
    if (f->numeric)
        return not_a_number(p, f, v, e);
    uint32_t before = p->scratch.n;
    out->tag = FEATURE_BLOB;
    value_encode(v, &p->scratch);
    out->bytes.n = p->scratch.n - before;
    return 0;
}

int feature_plan_read(struct feature_plan *p, struct doc *d, struct err *e)
{
    buf_clear(&p->scratch);
    for (uint32_t i = 0; i < p->fields_count; i++) {
        struct value v;
        if (doc_get(d, &p->fields[i].ref, &v, e) != 0 ||
            read_value(p, &p->fields[i], &v, &p->values[i], e) != 0)
            return -1;
    }
    const uint8_t *at = p->scratch.p;
    for (uint32_t i = 0; i < p->fields_count; i++) {
        if (p->values[i].tag == FEATURE_BLOB) {
            p->values[i].bytes.p = at;
            at += p->values[i].bytes.n;
        }
    }
    return 0;
}

void feature_plan_put(const struct feature_plan *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->fields_count; i++)
        feature_value_put(&p->values[i], out);
}

int feature_plan_take(struct feature_plan *p, struct slice bytes)
{
    struct cur c = cur_of(bytes);
    for (uint32_t i = 0; i < p->fields_count; i++)
        p->values[i] = feature_value_take(&c);
    return c.failed || cur_left(&c) != 0 ? -1 : 0;
}

// Span S ends at (S + 1) · its length - 1; that is too old for t if <= t - reach.
int64_t feature_plan_horizon(const struct feature_plan *p, int64_t t)
{
    int64_t oldest = feature_before(t, p->reach);
    return feature_span(oldest == INT64_MAX ? oldest : oldest + 1);
}
