// SPDX-License-Identifier: Apache-2.0
//
// Starts: the ordered set of a windowed aggregate's open window starts. Few (size of the disorder
// plus grace, over the window's size), added mostly at the end, taken from the front.
#pragma once

#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>

struct starts {
    int64_t *at; // sorted; used: [first, end)
    uint32_t first, end, size;
};

void starts_release(struct starts *);
void starts_clear(struct starts *);
void starts_insert(struct starts *, int64_t start); // the slow path of starts_add

static inline bool starts_empty(const struct starts *s)
{
    return s->first == s->end;
}
static inline int64_t starts_lowest(const struct starts *s)
{
    return s->at[s->first];
}
static inline void starts_pop(struct starts *s) // the lowest
{
    s->first++;
}
static inline void starts_add(struct starts *s, int64_t start)
{
    if (!starts_empty(s) && s->at[s->end - 1] == start)
        return;
    starts_insert(s, start);
}
