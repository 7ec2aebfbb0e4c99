// SPDX-License-Identifier: Apache-2.0
//
// Store_cells: the hash table of a store's cells and the memory they lie in. Chained buckets,
// twice as many as cells; growing relinks, so cells never move and pointers to them stay good.
// Large keys get their own malloc.
#include "state/store_impl.h"

enum { FIRST_BUCKETS = 64 };

void cells_init(struct cells *cs)
{
    *cs = (struct cells){.mask = FIRST_BUCKETS - 1};
    cs->buckets = check_alloc(calloc(FIRST_BUCKETS, sizeof *cs->buckets));
}

void cells_release(struct cells *cs)
{
    CHECK(cs->count == 0);
    for (uint32_t i = 0; i < cs->blocks_count; i++)
        free(cs->blocks[i]);
    free(cs->blocks);
    free(cs->buckets);
}

static uint32_t size_class(uint32_t key_n)
{
    return (uint32_t)((sizeof(struct cell) + key_n + CELLS_STEP - 1) / CELLS_STEP - 1);
}

static struct cell *cell_new(struct cells *cs, uint32_t key_n)
{
    uint32_t class = size_class(key_n);
    if (class >= CELLS_CLASSES)
        return check_alloc(malloc(sizeof(struct cell) + key_n));
    struct cell *c = cs->free[class];
    if (c != NULL) {
        cs->free[class] = c->hash_next;
        return c;
    }
    size_t size = (size_t)(class + 1) * CELLS_STEP;
    if ((size_t)(cs->fresh_end - cs->fresh) < size) {
        cs->blocks = check_alloc(realloc(cs->blocks, (cs->blocks_count + 1) * sizeof *cs->blocks));
        cs->fresh = check_alloc(malloc(CELLS_BLOCK));
        cs->fresh_end = cs->fresh + CELLS_BLOCK;
        cs->blocks[cs->blocks_count++] = cs->fresh;
    }
    c = (struct cell *)cs->fresh;
    cs->fresh += size;
    return c;
}

static void grow(struct cells *cs)
{
    uint32_t size = (cs->mask + 1) * 2;
    struct cell **to = check_alloc(calloc(size, sizeof *to));
    for (uint32_t i = 0; i <= cs->mask; i++) {
        for (struct cell *c = cs->buckets[i], *next; c != NULL; c = next) {
            next = c->hash_next;
            c->hash_next = to[c->hash & (size - 1)];
            to[c->hash & (size - 1)] = c;
        }
    }
    free(cs->buckets);
    cs->buckets = to;
    cs->mask = size - 1;
}

struct cell *cells_find(const struct cells *cs, struct slice key, uint64_t hash)
{
    struct cell *c = cs->buckets[hash & cs->mask];
    while (c != NULL && (c->hash != hash || !slice_eq(cell_key(c), key)))
        c = c->hash_next;
    return c;
}

struct cell *cells_add(struct cells *cs, struct slice key, uint64_t hash)
{
    if (cs->count > cs->mask / 2)
        grow(cs);
    struct cell *c = cell_new(cs, key.n);
    memset(c, 0, sizeof *c);
    c->hash = hash;
    c->key_n = key.n;
    if (key.n != 0)
        memcpy(c->key, key.p, key.n);
    c->hash_next = cs->buckets[hash & cs->mask];
    cs->buckets[hash & cs->mask] = c;
    cs->count++;
    return c;
}

void cells_remove(struct cells *cs, struct cell *c)
{
    struct cell **at = &cs->buckets[c->hash & cs->mask];
    while (*at != c)
        at = &(*at)->hash_next;
    *at = c->hash_next;
    cs->count--;
    uint32_t class = size_class(c->key_n);
    if (class >= CELLS_CLASSES) {
        free(c);
        return;
    }
    c->hash_next = cs->free[class];
    cs->free[class] = c;
}
