// SPDX-License-Identifier: Apache-2.0
//
// Open_windows: see the header.
#include "operators/open_windows.h"

enum { WINDOW_BYTES_MAX = 4 << 20, ALL_BYTES_MAX = 32 << 20 };

void open_windows_clear(struct open_windows *w)
{
    for (uint32_t i = w->first; i < w->end; i++)
        buf_release(&w->at[i].keys);
    w->first = w->end = 0;
    w->bytes = 0;
}

void open_windows_release(struct open_windows *w)
{
    open_windows_clear(w);
    free(w->at);
    *w = (struct open_windows){0};
}

static void make_room(struct open_windows *w)
{
    if (w->end < w->size)
        return;
    uint32_t n = w->end - w->first;
    if (w->first > w->size / 2) { // the front is free: slide down
        memmove(w->at, w->at + w->first, n * sizeof(*w->at));
        w->first = 0;
        w->end = n;
        return;
    }
    w->size = w->size == 0 ? 16 : w->size * 2;
    w->at = check_alloc(realloc(w->at, w->size * sizeof(*w->at)));
}

struct open_window *open_windows_find(struct open_windows *w, int64_t start)
{
    uint32_t low = w->first, high = w->end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (w->at[mid].start < start)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < w->end && w->at[low].start == start)
        return &w->at[low];
    uint32_t from_first = low - w->first;
    make_room(w);
    low = w->first + from_first;
    memmove(w->at + low + 1, w->at + low, (w->end - low) * sizeof(*w->at));
    w->at[low] = (struct open_window){.start = start};
    w->end++;
    return &w->at[low];
}

void open_windows_note(struct open_windows *w, struct open_window *o, struct slice key)
{
    if (o->unlisted)
        return;
    size_t more = (size_t)key.n + 4;
    if (o->keys.n + more > WINDOW_BYTES_MAX || w->bytes + more > ALL_BYTES_MAX) {
        w->bytes -= o->keys.n;
        buf_release(&o->keys);
        o->unlisted = true;
        return;
    }
    buf_u32(&o->keys, key.n);
    buf_slice_put(&o->keys, key);
    w->bytes += more;
}

void open_windows_pop(struct open_windows *w)
{
    struct open_window *o = &w->at[w->first++];
    w->bytes -= o->keys.n;
    buf_release(&o->keys);
}
