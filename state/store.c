// SPDX-License-Identifier: Apache-2.0
//
// Store: the life of cells: found or loaded, made dirty, turned into rows, cleaned or forgotten,
// evicted. The table is in store_cells.c, walks over all keys are in store_scan.c.
//
// Clean cells hang in one list, newest first; eviction takes from its end and gives a cell that
// was used since it was last looked at a second round (clock). Dirty cells are in the dirty list
// only. The bytes of a cell are asked for again whenever it is about to change or was flushed, so
// the sum trails the truth by at most one change per dirty cell.
//
// A partition without rows (a first start) is noticed once and spares every miss its lookup.
#include "state/store_impl.h"

// What the allocator and the table add to a cell, roughly.
enum { CELL_OVERHEAD = 24, FLUSH_APART = 4 };

struct store *store_new(struct db *db, const struct store_spec *spec, int32_t partition,
                        size_t cache_bytes)
{
    struct store *s = check_alloc(calloc(1, sizeof *s));
    struct err e;
    s->db = db;
    s->spec = *spec;
    s->name = check_alloc(strdup(spec->name));
    s->spec.name = s->name;
    s->id = hash_id(s->name);
    s->partition = partition;
    s->budget = cache_bytes;
    cells_init(&s->cells);
    if (db_register(db, s->name, spec->ops->kind, spec->ops->version, &e) != 0) {
        s->broken = check_alloc(malloc(sizeof e));
        *s->broken = e;
    }
    return s;
}

void store_free(struct store *s)
{
    if (s == NULL)
        return;
    store_clear(s);
    cells_release(&s->cells);
    buf_release(&s->row_key);
    buf_release(&s->sweep_from);
    buf_release(&s->sweep_keys);
    free(s->broken);
    free(s->name);
    free(s);
}

int store_check(const struct store *s, struct err *e)
{
    if (s->broken == NULL)
        return 0;
    *e = *s->broken;
    return -1;
}

const char *store_name(const struct store *s)
{
    return s->name;
}

uint32_t store_id(const struct store *s)
{
    return s->id;
}

void store_row_prefix(struct buf *out, struct slice key)
{
    buf_clear(out);
    buf_uvarint(out, key.n);
    buf_slice_put(out, key);
}

bool store_row_split(struct slice row_key, struct slice *key, struct slice *sub_key)
{
    struct cur c = cur_of(row_key);
    uint64_t n = cur_uvarint(&c);
    const uint8_t *p = cur_take(&c, n);
    if (c.failed)
        return false;
    *key = slice_of(p, n);
    *sub_key = slice_of(c.p, cur_left(&c));
    return true;
}

static void lru_put(struct store *s, struct cell *c)
{
    c->lru_prev = NULL;
    c->lru_next = s->lru_first;
    if (s->lru_first != NULL)
        s->lru_first->lru_prev = c;
    else
        s->lru_last = c;
    s->lru_first = c;
}

static void lru_take(struct store *s, struct cell *c)
{
    if (c->lru_prev != NULL)
        c->lru_prev->lru_next = c->lru_next;
    else
        s->lru_first = c->lru_next;
    if (c->lru_next != NULL)
        c->lru_next->lru_prev = c->lru_prev;
    else
        s->lru_last = c->lru_prev;
    c->lru_prev = c->lru_next = NULL;
}

// Asks again how large the cell is.
static void measure(struct store *s, struct cell *c)
{
    size_t n = sizeof *c + c->key_n + CELL_OVERHEAD + s->spec.ops->bytes(s->spec.ops_arg, c->state);
    uint32_t bytes = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    s->bytes += bytes - (size_t)c->bytes;
    if (c->status != CELL_CLEAN)
        s->dirty_bytes += bytes - (size_t)c->bytes;
    c->bytes = bytes;
}

// Dirty cells are not unlinked from the dirty list: whoever forgets those forgets all.
void store_forget(struct store *s, struct cell *c)
{
    if (c->status == CELL_CLEAN)
        lru_take(s, c);
    else
        s->dirty_bytes -= c->bytes;
    s->bytes -= c->bytes;
    s->spec.ops->destroy(s->spec.ops_arg, c->state);
    cells_remove(&s->cells, c);
}

// Evicts clean cells but `keep` until the cache is within its budget.
static void evict(struct store *s, const struct cell *keep)
{
    while (s->bytes > s->budget && s->lru_last != NULL) {
        struct cell *c = s->lru_last;
        if (c == keep) {
            if (c->lru_prev == NULL)
                return;
            c->referenced = true;
        }
        if (c->referenced) {
            c->referenced = false;
            lru_take(s, c);
            lru_put(s, c);
            continue;
        }
        store_forget(s, c);
        s->stats.evictions++;
    }
}

struct load {
    struct store *store;
    void *state; // made at the first row
    struct slice key;
    uint32_t prefix_n;
    bool failed;
    struct err *err;
};

static bool load_row(void *arg, struct slice row_key, struct slice value)
{
    struct load *l = arg;
    const struct store_spec *spec = &l->store->spec;
    if (l->state == NULL)
        l->state = spec->ops->create(spec->ops_arg, l->key);
    struct slice sub = slice_of(row_key.p + l->prefix_n, row_key.n - l->prefix_n);
    l->failed = spec->ops->load(spec->ops_arg, l->state, sub, value, l->err) != 0;
    if (l->failed)
        l->err->code = ERR_IO; // the store's fault, not the record's: never a dead letter
    return !l->failed;
}

static bool any_row(void *arg, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    *(enum rows_known *)arg = ROWS_SOME;
    return false;
}

// The key's state from its rows; *state is NULL if it has none.
static int load(struct store *s, struct slice key, void **state, struct err *e)
{
    *state = NULL;
    if (s->rows == ROWS_UNKNOWN) {
        enum rows_known rows = ROWS_NONE;
        if (db_each(s->db, s->id, s->partition, slice_of("", 0), any_row, &rows, e) != 0)
            return -1;
        s->rows = rows;
    }
    if (s->rows == ROWS_NONE)
        return 0;
    store_row_prefix(&s->row_key, key);
    struct load l = {.store = s, .key = key, .prefix_n = s->row_key.n, .err = e};
    int rc = db_each(s->db, s->id, s->partition, buf_slice(&s->row_key), load_row, &l, e);
    if (rc == 0 && !l.failed) {
        *state = l.state;
        return 0;
    }
    if (l.state != NULL)
        s->spec.ops->destroy(s->spec.ops_arg, l.state);
    return err_wrap(e, "operator '%s', partition %d: rows of one key", s->name, s->partition);
}

void store_prefetch_bucket(const struct store *s, uint64_t hash)
{
    __builtin_prefetch(&s->cells.buckets[hash & s->cells.mask]);
}

void store_prefetch_cell(const struct store *s, uint64_t hash)
{
    const struct cell *c = s->cells.buckets[hash & s->cells.mask];
    if (c == NULL)
        return;
    __builtin_prefetch(c);
    __builtin_prefetch((const uint8_t *)c + sizeof *c);
}

const void *store_peek(const struct store *s, struct slice key, uint64_t hash)
{
    const struct cell *c = cells_find(&s->cells, key, hash);
    return c == NULL ? NULL : c->state;
}

int store_get(struct store *s, struct slice key, bool create, struct cell **out, struct err *e)
{
    return store_get_hashed(s, key, hash_bytes(key), create, out, e);
}

int store_get_hashed(struct store *s, struct slice key, uint64_t hash, bool create,
                     struct cell **out, struct err *e)
{
    struct cell *c = cells_find(&s->cells, key, hash);
    if (c != NULL) {
        c->referenced = true;
        s->stats.hits++;
        *out = c;
        return 0;
    }
    void *state;
    *out = NULL;
    s->stats.misses++;
    if (store_check(s, e) != 0 || load(s, key, &state, e) != 0)
        return -1;
    if (state == NULL) {
        if (!create)
            return 0;
        state = s->spec.ops->create(s->spec.ops_arg, key);
    }
    c = cells_add(&s->cells, key, hash);
    c->state = state;
    c->status = CELL_CLEAN;
    lru_put(s, c);
    measure(s, c);
    if (s->bytes > s->budget)
        evict(s, c);
    *out = c;
    return 0;
}

void store_dirty(struct store *s, struct cell *c)
{
    CHECK(!s->flushed); // I2
    measure(s, c);
    if (c->status != CELL_CLEAN)
        return;
    lru_take(s, c);
    c->status = CELL_DIRTY;
    c->dirty_next = NULL;
    if (s->dirty_last != NULL)
        s->dirty_last->dirty_next = c;
    else
        s->dirty_first = c;
    s->dirty_last = c;
    s->dirty_count++;
    s->dirty_bytes += c->bytes;
}

bool store_pressure(const struct store *s)
{
    return s->dirty_count != 0 && s->dirty_bytes >= s->budget;
}

uint32_t store_dirty_count(const struct store *s)
{
    return s->dirty_count;
}

// A dirty cell with the first bytes of its row key, which decide most comparisons.
struct flush_item {
    uint64_t head;
    struct cell *cell;
};

static int flush_order(const void *a, const void *b)
{
    const struct flush_item *x = a, *y = b;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    uint8_t xn[BYTES_VARINT_MAX], yn[BYTES_VARINT_MAX];
    int c = slice_cmp(slice_of(xn, bytes_put_uvarint(xn, x->cell->key_n)),
                      slice_of(yn, bytes_put_uvarint(yn, y->cell->key_n)));
    return c != 0 ? c : slice_cmp(cell_key(x->cell), cell_key(y->cell));
}

static uint64_t flush_head(const struct cell *c)
{
    uint8_t head[BYTES_VARINT_MAX + 8] = {0};
    uint32_t n = bytes_put_uvarint(head, c->key_n);
    if (c->key_n != 0)
        memcpy(head + n, c->key, c->key_n < 8 ? c->key_n : 8);
    return bytes_get64(head);
}

struct flush {
    struct store *store;
    struct row_sink *sink;
    uint32_t prefix_n;
};

static void flush_row(void *arg, struct slice sub_key, struct slice value)
{
    struct flush *f = arg;
    struct store *s = f->store;
    s->row_key.n = f->prefix_n;
    buf_slice_put(&s->row_key, sub_key);
    struct state_row row = {.store = s->id, .key = buf_slice(&s->row_key), .value = value};
    if (value.p == NULL) {
        s->stats.rows_deleted++;
    } else {
        s->stats.rows_put++;
        s->flushed_puts = true;
    }
    f->sink->put(f->sink->arg, &row);
}

// Deletes found by the sweep go first: a row that was written again since then wins.
static void flush_sweep(struct store *s, struct row_sink *sink)
{
    struct cur c = cur_of(buf_slice(&s->sweep_keys));
    while (cur_left(&c) != 0) {
        struct state_row row = {.store = s->id, .key = cur_lslice(&c)};
        s->stats.rows_deleted++;
        sink->put(sink->arg, &row);
    }
}

// Cells lie anywhere in memory: what encode will read is asked for some cells ahead.
static void flush_prefetch(const struct store *s, const struct flush_item *items, uint32_t n,
                           uint32_t at)
{
    const struct cell_ops *ops = s->spec.ops;
    if (at + 3 * FLUSH_APART < n)
        __builtin_prefetch(items[at + 3 * FLUSH_APART].cell, 1);
    if (ops->prefetch == NULL)
        return;
    for (uint32_t step = 0; step < 2; step++) {
        uint32_t i = at + (2 - step) * FLUSH_APART;
        if (i < n)
            ops->prefetch(s->spec.ops_arg, items[i].cell->state, step);
    }
}

void store_flush(struct store *s, struct row_sink *sink)
{
    CHECK(!s->flushed);
    s->flushed = true;
    flush_sweep(s, sink);
    if (s->dirty_count == 0)
        return;
    struct flush_item *items = check_alloc(malloc(s->dirty_count * sizeof *items));
    uint32_t n = 0;
    for (struct cell *c = s->dirty_first; c != NULL; c = c->dirty_next)
        items[n++] = (struct flush_item){flush_head(c), c};
    qsort(items, n, sizeof *items, flush_order);
    struct flush f = {.store = s, .sink = sink};
    for (uint32_t i = 0; i < n; i++) {
        struct cell *c = items[i].cell;
        flush_prefetch(s, items, n, i);
        store_row_prefix(&s->row_key, cell_key(c));
        f.prefix_n = s->row_key.n;
        s->spec.ops->encode(s->spec.ops_arg, c->state, flush_row, &f);
        c->status = CELL_FLUSHED;
        measure(s, c);
    }
    free(items);
}

static void end_flush(struct store *s)
{
    s->dirty_first = s->dirty_last = NULL;
    s->dirty_count = 0;
    s->flushed = s->flushed_puts = false;
    buf_clear(&s->sweep_keys);
}

void store_applied(struct store *s)
{
    CHECK(s->flushed);
    for (struct cell *c = s->dirty_first; c != NULL; c = c->dirty_next) {
        c->status = CELL_CLEAN;
        c->referenced = false;
        s->dirty_bytes -= c->bytes;
        lru_put(s, c);
    }
    if (s->flushed_puts)
        s->rows = ROWS_SOME;
    end_flush(s);
    evict(s, NULL);
}

void store_dropped(struct store *s)
{
    for (struct cell *c = s->dirty_first, *next; c != NULL; c = next) {
        next = c->dirty_next;
        store_forget(s, c);
    }
    end_flush(s);
    s->rows = ROWS_UNKNOWN;
}

void store_clear(struct store *s)
{
    store_dropped(s);
    while (s->lru_first != NULL)
        store_forget(s, s->lru_first);
    buf_clear(&s->sweep_from);
}

void store_stats(const struct store *s, struct store_stats *out)
{
    *out = s->stats;
    out->cells = s->cells.count;
    out->bytes = s->bytes;
}
