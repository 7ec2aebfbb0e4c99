// SPDX-License-Identifier: Apache-2.0
//
// Arena: bump allocation with one lifetime. Blocks are kept across resets, so a steady workload
// touches no fresh pages. Pointers are valid until arena_reset, or until arena_rewind to a mark
// taken before them. Alignment is 8. Not thread-safe.
#pragma once

#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *first, *current;
    uint8_t *next, *end;
    size_t used_before; // bytes in the blocks before `current`
};

struct arena_mark {
    struct arena_block *block;
    uint8_t *next;
    size_t used_before;
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
void arena_reset(struct arena *a);
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
size_t arena_used(const struct arena *a);
void *arena_grow(struct arena *a, size_t size); // the slow path of arena_alloc

static inline void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + 7 + (size == 0)) & ~(size_t)7; // even nothing gets a place of its own
    if (__builtin_expect((size_t)(a->end - a->next) < size, 0))
        return arena_grow(a, size);
    void *p = a->next;
    a->next += size;
    return p;
}

// Zeroed memory for one object of type T.
#define arena_new(a, T) ((T *)memset(arena_alloc((a), sizeof(T)), 0, sizeof(T)))

// A copy that ends with a NUL (not counted) so that it can also be read as a C string.
static inline struct slice arena_slice(struct arena *a, struct slice s)
{
    if (s.p == NULL)
        return s;
    uint8_t *p = arena_alloc(a, (size_t)s.n + 1);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return slice_of(p, s.n);
}

static inline char *arena_str(struct arena *a, const char *s)
{
    return (char *)arena_slice(a, slice_str(s)).p;
}
