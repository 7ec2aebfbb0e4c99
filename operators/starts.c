// SPDX-License-Identifier: Apache-2.0
//
// Starts: see the header.
#include "operators/starts.h"

#include <string.h>

void starts_release(struct starts *s)
{
    free(s->at);
    *s = (struct starts){0};
}

void starts_clear(struct starts *s)
{
    s->first = s->end = 0;
}

static void make_room(struct starts *s)
{
    if (s->end < s->size)
        return;
    uint32_t n = s->end - s->first;
    if (s->first > s->size / 2) { // the front is free: slide down
        memmove(s->at, s->at + s->first, n * sizeof(*s->at));
        s->first = 0;
        s->end = n;
        return;
    }
    s->size = s->size == 0 ? 16 : s->size * 2;
    s->at = check_alloc(realloc(s->at, s->size * sizeof(*s->at)));
}

void starts_insert(struct starts *s, int64_t start)
{
    uint32_t low = s->first, high = s->end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->at[mid] < start)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < s->end && s->at[low] == start)
        return;
    uint32_t from_first = low - s->first;
    make_room(s);
    low = s->first + from_first;
    memmove(s->at + low + 1, s->at + low, (s->end - low) * sizeof(*s->at));
    s->at[low] = start;
    s->end++;
}
