// SPDX-License-Identifier: Apache-2.0
//
// Open_windows: which windows of a windowed aggregate are open, in order of their starts, and which
// keys each has, so that closing one asks for its cells by name instead of searching for them.
//
// The lists of keys are bounded (per window and together): a window with more is `unlisted`, and is
// searched for in the store when it closes; that is work in proportion to its size anyway.
#pragma once

#include "base/buf.h"

struct open_window {
    int64_t start;
    bool unlisted;   // keys is empty and does not say anything
    struct buf keys; // u32 length, bytes, for each key, in order of arrival
};

struct open_windows {
    struct open_window *at; // sorted; used: [first, end)
    uint32_t first, end, size;
    size_t bytes; // of all lists
};

void open_windows_release(struct open_windows *);
void open_windows_clear(struct open_windows *);
struct open_window *open_windows_find(struct open_windows *, int64_t start); // made if missing
void open_windows_note(struct open_windows *, struct open_window *, struct slice key);
void open_windows_pop(struct open_windows *); // the lowest

static inline struct open_window *open_windows_lowest(struct open_windows *w)
{
    return w->first == w->end ? NULL : &w->at[w->first];
}

// The window, valid until the next call that may make one.
static inline struct open_window *open_windows_get(struct open_windows *w, int64_t start)
{
    if (w->first != w->end && w->at[w->end - 1].start == start)
        return &w->at[w->end - 1];
    return open_windows_find(w, start);
}
