// SPDX-License-Identifier: Apache-2.0
#include "broker/keymap.h"

#include "base/hash.h"

enum { SLOTS_FIRST = 1024 };

void keymap_init(struct keymap *m)
{
    *m = (struct keymap){.slots = NULL};
    buf_init(&m->keys);
}

void keymap_release(struct keymap *m)
{
    free(m->slots);
    buf_release(&m->keys);
}

static uint64_t hash_of(enum keymap_kind kind, struct slice key)
{
    uint64_t h = hash_mix(hash_bytes(key) + (uint64_t)kind);
    return h == 0 ? 1 : h;
}

static bool is(const struct keymap *m, const struct keymap_slot *s, enum keymap_kind kind,
               struct slice key)
{
    const uint8_t *p = m->keys.p + s->key;
    return p[0] == (uint8_t)kind && slice_eq(slice_of(p + 5, bytes_get32(p + 1)), key);
}

static struct keymap_slot *slot_of(const struct keymap *m, uint64_t hash, enum keymap_kind kind,
                                   struct slice key)
{
    uint32_t i = (uint32_t)hash & (m->size - 1);
    while (m->slots[i].hash != 0 && (m->slots[i].hash != hash || !is(m, &m->slots[i], kind, key)))
        i = (i + 1) & (m->size - 1);
    return &m->slots[i];
}

static void grow(struct keymap *m)
{
    uint32_t size = m->size == 0 ? SLOTS_FIRST : 2 * m->size;
    struct keymap_slot *slots = check_alloc(calloc(size, sizeof(*slots)));
    for (uint32_t i = 0; i < m->size; i++) {
        if (m->slots[i].hash == 0)
            continue;
        uint32_t at = (uint32_t)m->slots[i].hash & (size - 1);
        while (slots[at].hash != 0)
            at = (at + 1) & (size - 1);
        slots[at] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->size = size;
}

void keymap_put(struct keymap *m, enum keymap_kind kind, struct slice key, int64_t offset)
{
    if (4 * (m->count + 1) > 3 * m->size)
        grow(m);
    uint64_t hash = hash_of(kind, key);
    struct keymap_slot *s = slot_of(m, hash, kind, key);
    if (s->hash == 0) {
        *s = (struct keymap_slot){hash, m->keys.n, offset};
        buf_u8(&m->keys, (uint8_t)kind);
        buf_u32(&m->keys, key.n);
        buf_slice_put(&m->keys, key);
        m->count++;
    }
    s->offset = offset > s->offset ? offset : s->offset;
}

int64_t keymap_get(const struct keymap *m, enum keymap_kind kind, struct slice key)
{
    if (m->size == 0)
        return -1;
    const struct keymap_slot *s = slot_of(m, hash_of(kind, key), kind, key);
    return s->hash == 0 ? -1 : s->offset;
}
