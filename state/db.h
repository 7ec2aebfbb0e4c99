// SPDX-License-Identifier: Apache-2.0
//
// Db: the RocksDB database of one instance directory, shared by its workers.
//
// WAL off, atomic_flush on: after a crash all column families are at the same, earlier point; the
// gap is replayed from changelogs. The task mark is a row like any other, written in the same
// batch as the rows it vouches for. Any thread; a db_batch belongs to one thread.
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "state/store.h"

struct db_options {
    size_t block_cache_bytes;  // 0: 32 MiB
    size_t write_buffer_bytes; // 0: 32 MiB
    bool in_memory;            // RocksDB's memory environment: tests, weir test, the simulator
};

struct db;
int db_open(const char *dir, const struct db_options *, struct db **out, struct err *);
void db_close(struct db *);   // flushes
void db_abandon(struct db *); // closes without: the disk is full, say; the next start replays more
// Forgets everything not flushed and reopens: what a crash would leave. For tests and simulation.
int db_crash(struct db *, struct err *);
int db_flush(struct db *, struct err *);

struct db_batch;
struct db_batch *db_batch_new(void);
void db_batch_free(struct db_batch *);
void db_batch_clear(struct db_batch *);
// row->key as in state/store.h; `partition` is the task's.
void db_batch_row(struct db_batch *, int32_t partition, const struct state_row *);
int db_write(struct db *, struct db_batch *, struct err *); // atomic

// Reads one row into `out` (cleared first): 1 found, 0 not, -1 error.
int db_get(struct db *, uint32_t store, int32_t partition, struct slice key, struct buf *out,
           struct err *);
// Rows whose key begins with `prefix`, in key order, until `each` returns false.
int db_each(struct db *, uint32_t store, int32_t partition, struct slice prefix,
            bool (*each)(void *arg, struct slice key, struct slice value), void *arg, struct err *);
// As db_each, from the first row key >= from (full row key), without a prefix bound.
int db_each_from(struct db *, uint32_t store, int32_t partition, struct slice from,
                 bool (*each)(void *arg, struct slice key, struct slice value), void *arg,
                 struct err *);
// Deletes all rows of a store's partition (rebuild).
int db_wipe(struct db *, uint32_t store, int32_t partition, struct err *);
// Remembers which store owns an id and in which encoding: a store of another name with the same id,
// or rows of another kind or version, are an error that says what to do. Idempotent.
int db_register(struct db *, const char *store, const char *kind, uint16_t version, struct err *);
int64_t db_bytes(struct db *); // memory in use by RocksDB: block cache, write buffers, readers
