// SPDX-License-Identifier: Apache-2.0
//
// Keymap: key → last offset, for compaction. Keys are kept whole, so two keys are never taken for
// one. The memory is bounded by the caller, who stops adding at a segment's end.
#pragma once

#include "base/buf.h"

struct keymap_slot {
    uint64_t hash; // 0: free
    uint32_t key;  // place in `keys`: kind, length, bytes
    int64_t offset;
};

struct keymap {
    struct keymap_slot *slots;
    uint32_t size, count;
    struct buf keys;
};

enum keymap_kind { KEYMAP_DATA, KEYMAP_MARKER };

void keymap_init(struct keymap *);
void keymap_release(struct keymap *);
// Remembers the higher offset.
void keymap_put(struct keymap *, enum keymap_kind, struct slice key, int64_t offset);
// The last offset of the key, -1 when it is not there.
int64_t keymap_get(const struct keymap *, enum keymap_kind, struct slice key);
