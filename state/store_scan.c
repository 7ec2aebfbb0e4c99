// SPDX-License-Identifier: Apache-2.0
//
// Store_scan: walks over a store's keys: store_each for operators, store_sweep for expiry.
//
// Row keys begin with the length of the key, so the keys with a common prefix lie in one range per
// length. The walk jumps from range to range: each jump goes to a greater row key, and there are as
// many as there are different lengths. Keys are gathered in chunks before the caller sees any, so
// that it may load, change and evict cells without a database iterator open.
#include "state/store_impl.h"

enum { CHUNK_KEYS = 256 };

struct walk {
    struct store *store;
    struct slice prefix;
    struct buf from; // row key to start at
    struct buf keys; // found ones, length-prefixed
    struct buf last; // row prefix of the last key found
    uint32_t count;
    bool more; // start again at `from`
    bool malformed;
};

static void walk_release(struct walk *w)
{
    buf_release(&w->from);
    buf_release(&w->keys);
    buf_release(&w->last);
}

// The least byte string greater than everything that begins with `b`; false: there is none.
static bool successor(struct buf *b)
{
    while (b->n != 0 && b->p[b->n - 1] == 0xff)
        b->n--;
    if (b->n == 0)
        return false;
    b->p[b->n - 1]++;
    return true;
}

// `key` has not the prefix: where its like may begin next.
static void walk_jump(struct walk *w, struct slice row_key, struct slice key)
{
    buf_clear(&w->from);
    buf_put(&w->from, row_key.p, (uint32_t)(key.p - row_key.p)); // the length bytes
    w->more = true;
    if (key.n >= w->prefix.n && slice_cmp(key, w->prefix) < 0)
        buf_slice_put(&w->from, w->prefix);
    else
        w->more = successor(&w->from);
}

static bool walk_row(void *arg, struct slice row_key, struct slice value)
{
    struct walk *w = arg;
    struct slice key, sub;
    (void)value;
    if (w->last.n != 0 && row_key.n >= w->last.n && memcmp(row_key.p, w->last.p, w->last.n) == 0)
        return true; // another row of the same key
    if (!store_row_split(row_key, &key, &sub)) {
        w->malformed = true;
        return false;
    }
    if (key.n < w->prefix.n || memcmp(key.p, w->prefix.p, w->prefix.n) != 0) {
        walk_jump(w, row_key, key);
        return false;
    }
    if (w->count == CHUNK_KEYS) {
        buf_clear(&w->from);
        buf_slice_put(&w->from, row_key);
        w->more = true;
        return false;
    }
    store_row_prefix(&w->last, key);
    buf_lslice(&w->keys, key);
    w->count++;
    return true;
}

// Visits the gathered keys. 1: go on, 0: `each` wants no more, -1: error.
static int visit_keys(struct store *s, struct slice keys, bool (*each)(void *, struct cell *),
                      void *arg, struct err *e)
{
    struct cur c = cur_of(keys);
    while (cur_left(&c) != 0) {
        struct cell *cell;
        if (store_get(s, cur_lslice(&c), false, &cell, e) != 0)
            return -1;
        if (cell == NULL)
            continue;
        cell->visit = s->visit;
        if (!each(arg, cell))
            return 0;
    }
    return 1;
}

static int each_stored(struct store *s, struct walk *w, bool (*each)(void *, struct cell *),
                       void *arg, struct err *e)
{
    do {
        w->more = false;
        w->count = 0;
        buf_clear(&w->keys);
        if (db_each_from(s->db, s->id, s->partition, buf_slice(&w->from), walk_row, w, e) != 0)
            return -1;
        if (w->malformed)
            return err_set(e, ERR_CORRUPT,
                           "operator '%s', partition %d: a row key is damaged; remove the state "
                           "directory and start again: state is rebuilt from changelogs",
                           s->name, s->partition);
        int rc = visit_keys(s, buf_slice(&w->keys), each, arg, e);
        if (rc != 1)
            return rc;
    } while (w->more);
    return 1;
}

static bool found_row(void *arg, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    *(bool *)arg = true;
    return false;
}

static int key_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

// Cells that the walk over rows did not visit: those without rows, in key order. A cell may also
// lack the mark because it was evicted and loaded again by `each`; its rows tell.
static int each_cached(struct store *s, struct walk *w, bool (*each)(void *, struct cell *),
                       void *arg, struct err *e)
{
    struct slice *keys = check_alloc(malloc((s->cells.count + (size_t)1) * sizeof *keys));
    uint32_t n = 0;
    for (uint32_t i = 0; i <= s->cells.mask; i++) {
        for (struct cell *c = s->cells.buckets[i]; c != NULL; c = c->hash_next) {
            if (c->visit != s->visit && c->key_n >= w->prefix.n &&
                (w->prefix.n == 0 || memcmp(c->key, w->prefix.p, w->prefix.n) == 0))
                keys[n++] = cell_key(c);
        }
    }
    qsort(keys, n, sizeof *keys, key_order);
    buf_clear(&w->keys);
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        bool stored = false;
        store_row_prefix(&w->from, keys[i]);
        if (s->rows != ROWS_NONE)
            rc = db_each(s->db, s->id, s->partition, buf_slice(&w->from), found_row, &stored, e);
        if (!stored)
            buf_lslice(&w->keys, keys[i]);
    }
    free(keys);
    return rc != 0 ? -1 : visit_keys(s, buf_slice(&w->keys), each, arg, e);
}

int store_each(struct store *s, struct slice prefix, bool (*each)(void *arg, struct cell *),
               void *arg, struct err *e)
{
    if (store_check(s, e) != 0)
        return -1;
    struct walk w = {.store = s, .prefix = prefix};
    if (prefix.n != 0 &&
        prefix.n < 0x80) // the lengths below sort before; with more bytes that does not hold
        store_row_prefix(&w.from, prefix);
    s->visit++;
    int rc = each_stored(s, &w, each, arg, e);
    if (rc == 1)
        rc = each_cached(s, &w, each, arg, e);
    walk_release(&w);
    return rc < 0 ? -1 : 0;
}

struct sweep {
    struct store *store;
    int64_t watermark;
    uint32_t rows_left;
    bool stopped; // by rows_left: there is more
};

// A dirty cell looks after its rows itself; a clean one is forgotten so that it does not keep in
// memory what its rows no longer say.
static bool sweep_row(void *arg, struct slice row_key, struct slice value)
{
    struct sweep *w = arg;
    struct store *s = w->store;
    struct slice key, sub;
    if (w->rows_left == 0) {
        buf_clear(&s->sweep_from);
        buf_slice_put(&s->sweep_from, row_key);
        w->stopped = true;
        return false;
    }
    w->rows_left--;
    if (!store_row_split(row_key, &key, &sub) ||
        !s->spec.ops->expired(s->spec.ops_arg, sub, value, w->watermark))
        return true;
    struct cell *c = cells_find(&s->cells, key, hash_bytes(key));
    if (c != NULL && c->status != CELL_CLEAN)
        return true;
    if (c != NULL)
        store_forget(s, c);
    buf_lslice(&s->sweep_keys, row_key);
    return true;
}

int store_sweep(struct store *s, int64_t watermark, uint32_t rows_max, struct err *e)
{
    CHECK(!s->flushed);
    if (s->spec.ops->expired == NULL || s->rows == ROWS_NONE || rows_max == 0 ||
        s->sweep_keys.n != 0)
        return 0;
    struct sweep w = {.store = s, .watermark = watermark, .rows_left = rows_max};
    struct buf from; // the callback moves sweep_from
    buf_init(&from);
    buf_slice_put(&from, buf_slice(&s->sweep_from));
    int rc = db_each_from(s->db, s->id, s->partition, buf_slice(&from), sweep_row, &w, e);
    if (!w.stopped)
        buf_clear(&s->sweep_from);
    buf_release(&from);
    return rc;
}
