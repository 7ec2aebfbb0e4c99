// SPDX-License-Identifier: Apache-2.0
//
// Store: one operator's state in one task: a record cache of native cells in front of rows in
// RocksDB. It knows rows, not topics.
//
// A cell is one key's aggregate as a C object (`state`), made and encoded by its cell_ops. Cells
// are loaded from rows when first asked for, changed in memory, and turned into rows at commit:
//
//   CLEAN --store_dirty--> DIRTY --store_flush--> FLUSHED --store_applied--> CLEAN
//                            \__________________________/---store_dropped--> gone (reload)
//
// I1  A dirty or flushed cell is never evicted; a cache over its budget asks for an early commit.
// I2  Between flush and applied/dropped no cell of the store changes.
// I3  Rows reach RocksDB only after their transaction committed, in one batch with the task mark.
//
// A key may own several rows (sub-keys), e.g. one per day of events; a row holds absolute values,
// so replaying rows from any earlier point is safe. Row key on disk and in the changelog:
//   uvarint(key length) key sub-key          (RocksDB adds store id and partition in front)
//
// Thread: the task's worker. The database (state/db.h) is shared by all workers.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct state_row { // value.p == NULL deletes
    uint32_t store;
    struct slice key, value;
};

struct row_sink { // takes rows at flush; slices are borrowed during the call
    void *arg;
    void (*put)(void *arg, const struct state_row *);
};

struct cell;

struct cell_ops {
    const char *kind;
    uint16_t version; // of the row encoding; kept with the store, a mismatch is refused
    void *(*create)(void *arg, struct slice key);
    void (*destroy)(void *arg, void *state);
    // One stored row of the key, in sub-key order, while loading.
    int (*load)(void *arg, void *state, struct slice sub_key, struct slice value, struct err *);
    // Emits the rows that changed since the last flush: value.p == NULL deletes the sub-key.
    void (*encode)(void *arg, void *state,
                   void (*row)(void *row_arg, struct slice sub_key, struct slice value),
                   void *row_arg);
    // Brings what encode will read into the cache: step 0 the state itself, some cells later step 1
    // what hangs on it. NULL: nothing.
    void (*prefetch)(void *arg, const void *state, uint32_t step);
    size_t (*bytes)(void *arg, const void *state); // memory in use, for the cache's budget
    // Expiry: true if nothing in the row can matter once the watermark is `watermark`. NULL: never.
    bool (*expired)(void *arg, struct slice sub_key, struct slice value, int64_t watermark);
};

struct store_spec {
    const char *name; // the operator's: changelog, plan and messages use it
    const struct cell_ops *ops;
    void *ops_arg;
};

struct cell {
    struct cell *hash_next;
    struct cell *dirty_next;
    struct cell *lru_prev, *lru_next;
    uint64_t hash;
    uint32_t bytes;
    uint8_t status; // enum cell_status, private
    bool referenced;
    uint32_t key_n;
    uint32_t visit; // last store_each that saw it, private
    void *state;
    uint8_t key[];
};

static inline struct slice cell_key(const struct cell *c)
{
    return slice_of(c->key, c->key_n);
}

struct db;
struct store;

// `cache_bytes` bounds clean cells; dirty ones may exceed it (see store_pressure).
struct store *store_new(struct db *, const struct store_spec *, int32_t partition,
                        size_t cache_bytes);
void store_free(struct store *);
// What store_new could not say: the database holds rows of this store's id from another operator
// or in another encoding (db_register). store_get and store_each fail with the same words.
int store_check(const struct store *, struct err *);
const char *store_name(const struct store *);
uint32_t store_id(const struct store *); // hash_id(name)

// The key's cell, loaded from rows if needed. With `create` a missing one is made (clean), else
// *out is NULL. -1: rows cannot be decoded. Valid until the next store call that may evict
// (store_get) unless dirty.
int store_get(struct store *, struct slice key, bool create, struct cell **out, struct err *);
// For callers that know what they will ask for: each brings one more step of the way to the key's
// cell into the cache, some requests apart, and changes nothing. `hash` is hash_bytes(key);
// store_peek returns the state if the cell is there, good until the next call of the store.
void store_prefetch_bucket(const struct store *, uint64_t hash);
void store_prefetch_cell(const struct store *, uint64_t hash);
const void *store_peek(const struct store *, struct slice key, uint64_t hash);
// store_get with the hash at hand.
int store_get_hashed(struct store *, struct slice key, uint64_t hash, bool create,
                     struct cell **out, struct err *e);
// The cell's state is about to change.
void store_dirty(struct store *, struct cell *);
// Dirty cells alone fill the budget: commit soon.
bool store_pressure(const struct store *);
uint32_t store_dirty_count(const struct store *);

void store_flush(struct store *, struct row_sink *); // DIRTY → FLUSHED, emits their rows
void store_applied(struct store *);                  // FLUSHED → CLEAN, then evicts to the budget
void store_dropped(struct store *);                  // DIRTY and FLUSHED cells are forgotten
// Forgets every cell: the rows below were changed by somebody else (restore, wipe, reopen).
void store_clear(struct store *);

// Calls `each` for every key that has rows or a cached cell with prefix `prefix` of the key, in
// row-key order of the rows, cached-only ones last; `each` may dirty the cell. Stops on false.
int store_each(struct store *, struct slice prefix, bool (*each)(void *arg, struct cell *),
               void *arg, struct err *);
// Drops expired rows (cell_ops.expired) of at most `rows_max` rows, going on where it stopped.
// Emits deletes through the next flush. Call once per commit.
int store_sweep(struct store *, int64_t watermark, uint32_t rows_max, struct err *);

struct store_stats {
    uint64_t hits, misses, evictions, rows_put, rows_deleted;
    uint64_t cells, bytes;
};
void store_stats(const struct store *, struct store_stats *);
