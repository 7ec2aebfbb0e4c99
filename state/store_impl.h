// SPDX-License-Identifier: Apache-2.0
//
// Store_impl: what store.c (life of cells), store_cells.c (where they lie) and store_scan.c (each,
// sweep) share. Private to state/.
#pragma once

#include "base/hash.h"
#include "state/db.h"
#include "state/store.h"

enum cell_status { CELL_CLEAN, CELL_DIRTY, CELL_FLUSHED };

// Cells come from free lists by size, so that a full cache recycles instead of calling malloc.
enum { CELLS_STEP = 32, CELLS_CLASSES = 16, CELLS_BLOCK = 64 << 10 };

struct cells {
    struct cell **buckets;
    uint32_t mask, count;
    struct cell *free[CELLS_CLASSES]; // linked by hash_next
    void **blocks;
    uint32_t blocks_count;
    uint8_t *fresh, *fresh_end; // unused rest of the newest block
};

void cells_init(struct cells *);
void cells_release(struct cells *); // every cell was removed before
struct cell *cells_find(const struct cells *, struct slice key, uint64_t hash);
struct cell *cells_add(struct cells *, struct slice key, uint64_t hash);
void cells_remove(struct cells *, struct cell *);

enum rows_known { ROWS_UNKNOWN, ROWS_NONE, ROWS_SOME };

struct store {
    struct db *db;
    struct store_spec spec;
    char *name;
    uint32_t id;
    int32_t partition;
    size_t budget;
    struct cells cells;
    struct cell *dirty_first, *dirty_last; // in the order they became dirty
    uint32_t dirty_count;
    struct cell *lru_first, *lru_last; // clean cells, newest first
    size_t bytes, dirty_bytes;
    bool flushed;          // between store_flush and applied or dropped
    bool flushed_puts;     // … and that flush put a row
    enum rows_known rows;  // does the partition have rows below at all
    struct buf row_key;    // scratch: uvarint key length, key, sub-key
    struct buf sweep_from; // row key to go on at; empty: the beginning
    struct buf sweep_keys; // row keys to delete at the next flush, length-prefixed
    uint32_t visit;
    struct store_stats stats;
    struct err *broken; // db_register failed
};

// Starts `out` with the part that all rows of `key` share.
void store_row_prefix(struct buf *out, struct slice key);
// Splits a row key; false if it is malformed.
bool store_row_split(struct slice row_key, struct slice *key, struct slice *sub_key);
void store_forget(struct store *, struct cell *); // any status; unlinks and destroys
