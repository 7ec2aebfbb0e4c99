// SPDX-License-Identifier: Apache-2.0
#include "formats/plan.h"

struct field_ref field_ref_of(struct slice name, const struct schema *s)
{
    return (struct field_ref){name, plan_hash(name), s == NULL ? -1 : schema_find(s, name)};
}

static void build_table(struct plan *p)
{
    uint32_t size = 8;
    while (size < p->count * 2)
        size *= 2;
    p->mask = size - 1;
    p->table = arena_alloc(&p->arena, size * sizeof(*p->table));
    memset(p->table, 0, size * sizeof(*p->table));
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t at = (uint32_t)p->fields[i].ref.hash & p->mask;
        while (p->table[at] != 0)
            at = (at + 1) & p->mask;
        p->table[at] = i + 1;
    }
}

struct plan *plan_new(const struct schema *s)
{
    struct plan *p = check_alloc(calloc(1, sizeof(*p)));
    arena_init(&p->arena);
    p->count = s->count;
    p->fields = arena_alloc(&p->arena, s->count * sizeof(*p->fields));
    for (uint32_t i = 0; i < s->count; i++) {
        struct slice name = slice_str(s->fields[i].name);
        p->fields[i].ref = (struct field_ref){name, plan_hash(name), (int32_t)i};
        p->fields[i].field = &s->fields[i];
        p->names |= plan_bit(p->fields[i].ref.hash);
    }
    build_table(p);
    return p;
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    arena_release(&p->arena);
    arena_release(&p->writer);
    free(p);
}

static inline bool is(const struct plan_field *f, struct slice name, uint64_t hash)
{
    return f->ref.hash == hash && plan_same(f->ref.name, name);
}

int32_t plan_find(const struct plan *p, struct slice name, uint64_t hash, uint32_t hint)
{
    if (hint < p->count && is(&p->fields[hint], name, hash))
        return (int32_t)hint;
    for (uint32_t at = (uint32_t)hash & p->mask; p->table[at] != 0; at = (at + 1) & p->mask) {
        if (is(&p->fields[p->table[at] - 1], name, hash))
            return (int32_t)p->table[at] - 1;
    }
    return -1;
}
