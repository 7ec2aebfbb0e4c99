// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include "base/check.h"

enum { ARENA_BLOCK_SIZE = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; // of data
    uint8_t data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_release(struct arena *a)
{
    for (struct arena_block *b = a->first; b != NULL;) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    *a = (struct arena){0};
}

static void enter(struct arena *a, struct arena_block *b)
{
    a->current = b;
    a->next = b->data;
    a->end = b->data + b->size;
}

void arena_reset(struct arena *a)
{
    a->used_before = 0;
    if (a->first != NULL)
        enter(a, a->first);
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->current, a->next, a->used_before};
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
    if (m.block == NULL) {
        arena_reset(a);
        return;
    }
    a->current = m.block;
    a->next = m.next;
    a->end = m.block->data + m.block->size;
    a->used_before = m.used_before;
}

size_t arena_used(const struct arena *a)
{
    return a->used_before + (a->current == NULL ? 0 : (size_t)(a->next - a->current->data));
}

void *arena_grow(struct arena *a, size_t size)
{
    if (a->current != NULL)
        a->used_before += (size_t)(a->next - a->current->data);
    struct arena_block **link = a->current == NULL ? &a->first : &a->current->next;
    // A kept block that is too small stays in the chain behind the new one.
    if (*link == NULL || (*link)->size < size) {
        size_t want = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
        struct arena_block *b = check_alloc(malloc(sizeof(*b) + want));
        b->size = want;
        b->next = *link;
        *link = b;
    }
    enter(a, *link);
    void *p = a->next;
    a->next += size;
    return p;
}
