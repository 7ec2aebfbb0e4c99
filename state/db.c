// SPDX-License-Identifier: Apache-2.0
//
// Db: the only place that knows RocksDB.
//
// One column family holds every store: stored key = store id u32 BE, partition u32 BE, row key, so
// one batch moves rows and task mark together and one flush takes all of them to the same point.
// Store id 0 is ours: row "format" names the layout, row "store" + id names the store's owner.
//
// Keys of one cell share a prefix of variable length (head, key length, key). A prefix extractor
// tells RocksDB so that a lookup of a key without rows is answered by the Bloom filters.
//
// The WAL is off. What is not in a table file is gone after a crash, and replayed from changelogs;
// therefore closing flushes by itself, and db_crash closes without it (RocksDB would otherwise
// flush at shutdown whenever the WAL is off).
//
// A range that is exactly one key's rows goes through the prefix filters; any other is a plain
// ordered scan. An iterator is a snapshot: writes made while it runs are not seen.
//
// Failure: every error names the directory; a lock that another process holds and a layout of
// another version say what to do.
#include "state/db.h"

#include <pthread.h>
#include <rocksdb/c.h>

#include "base/hash.h"
#include "base/logline.h"

#define DB_FORMAT "weir state 1"

enum { DB_KEY_HEAD = 8 }; // store id and partition in front of a row key

struct db {
    char *dir;
    struct db_options opts;
    rocksdb_t *rocks;
    rocksdb_env_t *env; // memory environment, or NULL
    rocksdb_cache_t *cache;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;        // points and ranges
    rocksdb_readoptions_t *read_prefix; // one key's rows: may use the prefix filters
    pthread_mutex_t register_lock;
};

struct db_batch {
    rocksdb_writebatch_t *rocks;
    struct buf key;
};

static void put_head(uint8_t *out, uint32_t store, int32_t partition)
{
    bytes_put32(out, store);
    bytes_put32(out + 4, (uint32_t)partition);
}

static size_t prefix_size(const char *key, size_t n)
{
    uint64_t key_n = 0;
    if (n <= DB_KEY_HEAD)
        return 0;
    uint32_t head = bytes_get_uvarint((const uint8_t *)key + DB_KEY_HEAD, n - DB_KEY_HEAD, &key_n);
    if (head == 0 || key_n > n - DB_KEY_HEAD - head)
        return 0;
    return DB_KEY_HEAD + head + key_n;
}

static char *prefix_transform(void *arg, const char *key, size_t n, size_t *out_n)
{
    (void)arg;
    *out_n = prefix_size(key, n);
    return (char *)(uintptr_t)key;
}

static unsigned char prefix_in_domain(void *arg, const char *key, size_t n)
{
    (void)arg;
    return prefix_size(key, n) != 0;
}

static unsigned char prefix_in_range(void *arg, const char *key, size_t n)
{
    (void)arg;
    (void)key;
    (void)n;
    return 0;
}

static const char *prefix_name(void *arg)
{
    (void)arg;
    return "weir.row.prefix";
}

static void prefix_destroy(void *arg)
{
    (void)arg;
}

static int rocks_err(const struct db *db, char *message, const char *what, struct err *e)
{
    bool locked = strstr(message, "lock file") != NULL || strstr(message, "LOCK") != NULL;
    bool corrupt = strncmp(message, "Corruption", 10) == 0;
    err_set(e, corrupt ? ERR_CORRUPT : ERR_IO, "state: cannot %s %s: %s%s", what, db->dir, message,
            locked    ? "; another weir process uses this directory: stop it first"
            : corrupt ? "; remove this directory and start again: state is rebuilt from changelogs"
                      : "");
    rocksdb_free(message);
    return -1;
}

// What the C interface has no setters for. Without the first, closing would flush, and db_crash
// could not leave what a crash leaves. The second lets an insert start where the last one of the
// same store and partition went; a batch brings its rows in order.
static int set_by_name(struct db *db, struct err *e)
{
    char *message = NULL;
    rocksdb_options_t *base = rocksdb_options_create();
    rocksdb_get_options_from_string(base,
                                    "avoid_flush_during_shutdown=true;"
                                    "memtable_insert_with_hint_prefix_extractor=fixed:8",
                                    db->options, &message);
    rocksdb_options_destroy(base);
    return message == NULL ? 0 : rocks_err(db, message, "configure", e);
}

static void set_table_options(struct db *db)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    db->cache = rocksdb_cache_create_lru(db->opts.block_cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, db->cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_options_set_block_based_table_factory(db->options, table);
    rocksdb_block_based_options_destroy(table);
}

static int make_options(struct db *db, struct err *e)
{
    db->options = rocksdb_options_create();
    if (set_by_name(db, e) != 0)
        return -1;
    rocksdb_options_t *o = db->options;
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_atomic_flush(o, 1);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0); // insert hints are not for that
    rocksdb_options_set_db_write_buffer_size(o, db->opts.write_buffer_bytes);
    rocksdb_options_set_write_buffer_size(o, db->opts.write_buffer_bytes / 2);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_prefix_extractor(
        o, rocksdb_slicetransform_create(NULL, prefix_destroy, prefix_transform, prefix_in_domain,
                                         prefix_in_range, prefix_name));
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.05);
    rocksdb_options_set_keep_log_file_num(o, 2);
    // Its own LOG file: headers only. On a full disk it would abort the process at the second line;
    // what matters comes back from the calls.
    rocksdb_options_set_info_log_level(o, 4);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    set_table_options(db);
    if (db->opts.in_memory) {
        db->env = rocksdb_create_mem_env();
        rocksdb_options_set_env(o, db->env);
    }
    db->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(db->write, 1);
    db->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(db->read, 1);
    db->read_prefix = rocksdb_readoptions_create();
    rocksdb_readoptions_set_prefix_same_as_start(db->read_prefix, 1);
    return 0;
}

static int open_rocks(struct db *db, struct err *e)
{
    char *message = NULL;
    db->rocks = rocksdb_open(db->options, db->dir, &message);
    return message == NULL ? 0 : rocks_err(db, message, "open", e);
}

// Writes one of our own rows (store id 0).
static int put_own(struct db *db, struct slice key, struct slice value, struct err *e)
{
    struct db_batch *b = db_batch_new();
    struct state_row row = {.store = 0, .key = key, .value = value};
    db_batch_row(b, 0, &row);
    int rc = db_write(db, b, e);
    db_batch_free(b);
    return rc;
}

static int check_format(struct db *db, struct err *e)
{
    struct buf have;
    buf_init(&have);
    int rc = db_get(db, 0, 0, slice_str("format"), &have, e);
    if (rc == 0)
        rc = put_own(db, slice_str("format"), slice_str(DB_FORMAT), e);
    else if (rc == 1 && !slice_eq_str(buf_slice(&have), DB_FORMAT))
        rc = err_set(e, ERR_UNSUPPORTED,
                     "state: %s has the layout \"%.*s\", this weir reads \"%s\"; remove the "
                     "directory and start again: state is rebuilt from changelogs",
                     db->dir, (int)have.n, have.p, DB_FORMAT);
    buf_release(&have);
    return rc < 0 ? -1 : 0;
}

static void free_all(struct db *db)
{
    if (db->rocks != NULL)
        rocksdb_close(db->rocks);
    if (db->write != NULL)
        rocksdb_writeoptions_destroy(db->write);
    if (db->read != NULL)
        rocksdb_readoptions_destroy(db->read);
    if (db->read_prefix != NULL)
        rocksdb_readoptions_destroy(db->read_prefix);
    if (db->options != NULL)
        rocksdb_options_destroy(db->options);
    if (db->cache != NULL)
        rocksdb_cache_destroy(db->cache);
    if (db->env != NULL)
        rocksdb_env_destroy(db->env);
    pthread_mutex_destroy(&db->register_lock);
    free(db->dir);
    free(db);
}

int db_open(const char *dir, const struct db_options *opts, struct db **out, struct err *e)
{
    struct db *db = check_alloc(calloc(1, sizeof *db));
    db->dir = check_alloc(strdup(dir));
    db->opts = *opts;
    if (db->opts.block_cache_bytes == 0)
        db->opts.block_cache_bytes = (size_t)32 << 20;
    if (db->opts.write_buffer_bytes == 0)
        db->opts.write_buffer_bytes = (size_t)32 << 20;
    pthread_mutex_init(&db->register_lock, NULL);
    if (make_options(db, e) != 0 || open_rocks(db, e) != 0 || check_format(db, e) != 0) {
        free_all(db);
        return -1;
    }
    *out = db;
    return 0;
}

int db_flush(struct db *db, struct err *e)
{
    char *message = NULL;
    rocksdb_flushoptions_t *fo = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(fo, 1);
    rocksdb_flush(db->rocks, fo, &message);
    rocksdb_flushoptions_destroy(fo);
    return message == NULL ? 0 : rocks_err(db, message, "flush", e);
}

void db_close(struct db *db)
{
    struct err e;
    if (db == NULL)
        return;
    if (db->rocks != NULL && db_flush(db, &e) != 0) // costs a replay at the next start, no data
        logline(LOG_WARN, "state", "%s", e.text);
    free_all(db);
}

void db_abandon(struct db *db)
{
    if (db != NULL)
        free_all(db);
}

int db_crash(struct db *db, struct err *e)
{
    rocksdb_close(db->rocks);
    db->rocks = NULL;
    return open_rocks(db, e) != 0 ? -1 : check_format(db, e);
}

static void put_register(struct buf *out, const char *store, const char *kind, uint16_t version)
{
    buf_lslice(out, slice_str(store));
    buf_lslice(out, slice_str(kind));
    buf_u16(out, version);
}

static int register_mismatch(const struct db *db, struct slice have, const char *store,
                             const char *kind_now, uint16_t version_now, struct err *e)
{
    struct cur c = cur_of(have);
    struct slice name = cur_lslice(&c), kind = cur_lslice(&c);
    uint16_t version = cur_u16(&c);
    if (c.failed)
        return err_set(e, ERR_CORRUPT,
                       "state: %s: the row that names store '%s' is damaged; remove the directory "
                       "and start again: state is rebuilt from changelogs",
                       db->dir, store);
    if (!slice_eq_str(name, store))
        return err_set(e, ERR_EXISTS,
                       "state: operators '%s' and '%.*s' get the same store id; rename one of them",
                       store, (int)name.n, name.p);
    return err_set(e, ERR_UNSUPPORTED,
                   "state: operator '%s' has rows of %.*s version %u, this topology makes %s "
                   "version %u; give the operator a new name, or reset the application so that it "
                   "is computed again from its input",
                   store, (int)kind.n, kind.p, version, kind_now, version_now);
}

int db_register(struct db *db, const char *store, const char *kind, uint16_t version, struct err *e)
{
    uint8_t key[9] = "store";
    bytes_put32(key + 5, hash_id(store));
    struct buf have, want;
    buf_init(&have);
    buf_init(&want);
    put_register(&want, store, kind, version);
    pthread_mutex_lock(&db->register_lock); // workers open stores at the same time
    int rc = db_get(db, 0, 0, slice_of(key, sizeof key), &have, e);
    if (rc == 0)
        rc = put_own(db, slice_of(key, sizeof key), buf_slice(&want), e);
    else if (rc == 1 && !slice_eq(buf_slice(&have), buf_slice(&want)))
        rc = register_mismatch(db, buf_slice(&have), store, kind, version, e);
    pthread_mutex_unlock(&db->register_lock);
    buf_release(&have);
    buf_release(&want);
    return rc < 0 ? -1 : 0;
}

struct db_batch *db_batch_new(void)
{
    struct db_batch *b = check_alloc(calloc(1, sizeof *b));
    b->rocks = rocksdb_writebatch_create();
    return b;
}

void db_batch_free(struct db_batch *b)
{
    if (b == NULL)
        return;
    rocksdb_writebatch_destroy(b->rocks);
    buf_release(&b->key);
    free(b);
}

void db_batch_clear(struct db_batch *b)
{
    rocksdb_writebatch_clear(b->rocks);
}

void db_batch_row(struct db_batch *b, int32_t partition, const struct state_row *row)
{
    buf_clear(&b->key);
    put_head(buf_reserve(&b->key, DB_KEY_HEAD + row->key.n), row->store, partition);
    b->key.n = DB_KEY_HEAD;
    buf_slice_put(&b->key, row->key);
    const char *key = (const char *)b->key.p;
    if (row->value.p == NULL)
        rocksdb_writebatch_delete(b->rocks, key, b->key.n);
    else
        rocksdb_writebatch_put(b->rocks, key, b->key.n, (const char *)row->value.p, row->value.n);
}

int db_write(struct db *db, struct db_batch *b, struct err *e)
{
    char *message = NULL;
    rocksdb_write(db->rocks, db->write, b->rocks, &message);
    return message == NULL ? 0 : rocks_err(db, message, "write to", e);
}

// A stored key on the stack when it is short.
struct full_key {
    uint8_t small[240];
    uint8_t *p;
    size_t n;
};

static void key_make(struct full_key *k, uint32_t store, int32_t partition, struct slice row_key)
{
    k->n = DB_KEY_HEAD + (size_t)row_key.n;
    k->p = k->n <= sizeof k->small ? k->small : check_alloc(malloc(k->n));
    put_head(k->p, store, partition);
    if (row_key.n != 0)
        memcpy(k->p + DB_KEY_HEAD, row_key.p, row_key.n);
}

static void key_free(struct full_key *k)
{
    if (k->p != k->small)
        free(k->p);
}

int db_get(struct db *db, uint32_t store, int32_t partition, struct slice key, struct buf *out,
           struct err *e)
{
    struct full_key k;
    char *message = NULL;
    buf_clear(out);
    key_make(&k, store, partition, key);
    rocksdb_pinnableslice_t *v =
        rocksdb_get_pinned(db->rocks, db->read, (char *)k.p, k.n, &message);
    key_free(&k);
    if (message != NULL)
        return rocks_err(db, message, "read", e);
    if (v == NULL)
        return 0;
    size_t n;
    const char *p = rocksdb_pinnableslice_value(v, &n);
    buf_reserve(out, 1); // an empty value is not a missing one
    buf_put(out, p, (uint32_t)n);
    rocksdb_pinnableslice_destroy(v);
    return 1;
}

typedef bool (*each_fn)(void *arg, struct slice key, struct slice value);

// From `k` while stored keys begin with its first `bound_n` bytes.
static int scan(struct db *db, const rocksdb_readoptions_t *ro, const struct full_key *k,
                size_t bound_n, each_fn each, void *arg, struct err *e)
{
    rocksdb_iterator_t *it = rocksdb_create_iterator(db->rocks, ro);
    rocksdb_iter_seek(it, (char *)k->p, k->n);
    for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t key_n, value_n;
        const char *key = rocksdb_iter_key(it, &key_n);
        if (key_n < bound_n || memcmp(key, k->p, bound_n) != 0)
            break;
        const char *value = rocksdb_iter_value(it, &value_n);
        if (!each(arg, slice_of(key + DB_KEY_HEAD, key_n - DB_KEY_HEAD), slice_of(value, value_n)))
            break;
    }
    char *message = NULL;
    rocksdb_iter_get_error(it, &message);
    rocksdb_iter_destroy(it);
    return message == NULL ? 0 : rocks_err(db, message, "read", e);
}

// As scan, with an upper bound for RocksDB, so that it does not step over deleted rows behind it.
static int scan_partition(struct db *db, const struct full_key *k, size_t bound_n, each_fn each,
                          void *arg, struct err *e)
{
    uint8_t end[DB_KEY_HEAD];
    bytes_put64(end, bytes_get64(k->p) + 1);
    rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(ro, 1);
    rocksdb_readoptions_set_iterate_upper_bound(ro, (char *)end, sizeof end);
    int rc = scan(db, ro, k, bound_n, each, arg, e);
    rocksdb_readoptions_destroy(ro);
    return rc;
}

int db_each(struct db *db, uint32_t store, int32_t partition, struct slice prefix, each_fn each,
            void *arg, struct err *e)
{
    struct full_key k;
    key_make(&k, store, partition, prefix);
    int rc;
    if (prefix_size((char *)k.p, k.n) == k.n)
        rc = scan(db, db->read_prefix, &k, k.n, each, arg, e);
    else
        rc = scan_partition(db, &k, k.n, each, arg, e);
    key_free(&k);
    return rc;
}

int db_each_from(struct db *db, uint32_t store, int32_t partition, struct slice from, each_fn each,
                 void *arg, struct err *e)
{
    struct full_key k;
    key_make(&k, store, partition, from);
    int rc = scan_partition(db, &k, DB_KEY_HEAD, each, arg, e);
    key_free(&k);
    return rc;
}

enum { WIPE_ROWS = 4096 };

struct wipe {
    struct db_batch *batch;
    uint32_t store, count;
    int32_t partition;
};

static bool wipe_row(void *arg, struct slice key, struct slice value)
{
    struct wipe *w = arg;
    (void)value;
    struct state_row row = {.store = w->store, .key = key};
    db_batch_row(w->batch, w->partition, &row);
    return ++w->count < WIPE_ROWS;
}

// Row by row: deleting a range would share the insert hints of ordinary rows, which RocksDB 7.8
// does not survive.
int db_wipe(struct db *db, uint32_t store, int32_t partition, struct err *e)
{
    struct wipe w = {db_batch_new(), store, WIPE_ROWS, partition};
    int rc = 0;
    while (rc == 0 && w.count == WIPE_ROWS) {
        w.count = 0;
        db_batch_clear(w.batch);
        rc = db_each(db, store, partition, slice_of("", 0), wipe_row, &w, e);
        if (rc == 0 && w.count != 0)
            rc = db_write(db, w.batch, e);
    }
    db_batch_free(w.batch);
    return rc;
}

int64_t db_bytes(struct db *db)
{
    static const char *const parts[] = {"rocksdb.cur-size-all-mem-tables",
                                        "rocksdb.estimate-table-readers-mem",
                                        "rocksdb.block-cache-usage"};
    uint64_t total = 0, n;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (rocksdb_property_int(db->rocks, parts[i], &n) == 0)
            total += n;
    }
    return total > INT64_MAX ? INT64_MAX : (int64_t)total;
}
