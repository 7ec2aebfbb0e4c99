// SPDX-License-Identifier: Apache-2.0
#include "broker/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "broker/keymap.h"
#include "log/batch.h"
#include "log/marker.h"

enum {
    KEYS_MAX = 128 << 20, // bytes of keys per pass
    WRITE_CHUNK = 1 << 20,
    MARKER_KEY = 8,
};

struct compact {
    struct broker_partition *partition;
    struct broker_topic_config config;
    int64_t now_ms;
    struct segment **segments; // candidates, referenced
    uint32_t count;
    int64_t *ends;  // offset at which the segment behind each begins
    uint32_t dirty; // first candidate that is not cleaned yet
    struct partition_txn *aborted;
    uint32_t aborted_count;
    struct keymap keys;
    struct buf scratch; // unpacked records
    // The segment being written:
    int fd;
    struct segment *from; // being read
    struct buf out;
    int64_t written;
    struct batch_builder builder;
    bool tombstones;
    struct head last; // the last batch seen
    bool last_kept;
};

// --- what stays ---------------------------------------------------------------------------------

static bool is_aborted(const struct compact *c, const struct head *h)
{
    if (!head_is_transactional(h))
        return false;
    for (uint32_t i = 0; i < c->aborted_count; i++) {
        const struct partition_txn *t = &c->aborted[i];
        if (t->producer_id == h->producer_id && h->base_offset >= t->first &&
            h->base_offset < t->last)
            return true;
    }
    return false;
}

// The key by which a record of this batch replaces older ones; false: it replaces nothing.
static bool key_of(const struct head *h, const struct rec *r, enum keymap_kind *kind,
                   struct slice *key, uint8_t space[MARKER_KEY])
{
    if (!head_is_control(h)) {
        *kind = KEYMAP_DATA;
        *key = r->key;
        return r->key.p != NULL;
    }
    struct marker m;
    if (batch_control_type(r->key) != MARKER_TYPE || marker_decode(r->value, &m) < 0)
        return false;
    bytes_put32(space, m.group);
    bytes_put32(space + 4, (uint32_t)m.writer);
    *kind = KEYMAP_MARKER;
    *key = slice_of(space, MARKER_KEY);
    return true;
}

static int open_records(struct compact *c, struct slice batch, struct batch_header *bh,
                        struct batch_iter *it, struct err *e)
{
    struct slice records;
    buf_clear(&c->scratch);
    if (batch_header_parse(batch, bh) != 1 ||
        batch_records(batch, bh, BATCH_UNPACK_LIMIT, &c->scratch, &records, e) < 0)
        return -1;
    batch_iter_init(it, bh, records);
    return 0;
}

static int add_keys(void *arg, const struct head *h, struct slice batch, int64_t position,
                    struct err *e)
{
    struct compact *c = arg;
    struct batch_header bh;
    struct batch_iter it;
    struct rec r;
    uint8_t space[MARKER_KEY];
    (void)position;
    if (h->count == 0 || is_aborted(c, h))
        return 0;
    if (open_records(c, batch, &bh, &it, e) < 0)
        return -1;
    while (batch_next(&it, &r) == 1) {
        enum keymap_kind kind;
        struct slice key;
        if (key_of(h, &r, &kind, &key, space))
            keymap_put(&c->keys, kind, key, r.offset);
    }
    return 0;
}

static bool stays(struct compact *c, const struct head *h, const struct rec *r)
{
    enum keymap_kind kind;
    struct slice key;
    uint8_t space[MARKER_KEY];
    if (!key_of(h, r, &kind, &key, space))
        return true;
    if (keymap_get(&c->keys, kind, key) > r->offset)
        return false;
    if (kind == KEYMAP_MARKER || r->value.p != NULL)
        return true;
    int64_t cleaned = c->from->cleaned_at;
    if (cleaned != 0 && c->now_ms - cleaned >= c->config.delete_retention_ms)
        return false;
    c->tombstones = true;
    return true;
}

// --- writing ------------------------------------------------------------------------------------

static int flush(struct compact *c, struct err *e)
{
    if (disk_write(c->fd, c->out.p, c->out.n, c->written) < 0)
        return err_io(e, "%s: cannot write a compacted segment", c->partition->dir);
    c->written += c->out.n;
    buf_clear(&c->out);
    return 0;
}

static int put(struct compact *c, struct slice batch, struct err *e)
{
    buf_slice_put(&c->out, batch);
    return c->out.n >= WRITE_CHUNK ? flush(c, e) : 0;
}

// The records of `batch` that stay, as a batch that covers the same offsets. An empty one when
// `none`, whose producer is forgotten.
static struct slice rebuild(struct compact *c, const struct head *h, struct batch_iter *it,
                            bool none)
{
    struct batch_producer producer = {h->producer_id, h->epoch, h->sequence};
    struct rec r;
    uint16_t attributes = h->attributes & (uint16_t)~BATCH_CODEC;
    if (none) {
        producer = (struct batch_producer){-1, -1, -1};
        attributes &= BATCH_APPEND_TIME;
    }
    batch_reset(&c->builder);
    batch_begin(&c->builder, h->base_time, attributes);
    while (!none && batch_next(it, &r) == 1)
        if (stays(c, h, &r))
            batch_append_rec(&c->builder, (int32_t)(r.offset - h->base_offset), &r);
    struct slice out = batch_finish_at(&c->builder, &producer, h->last_delta);
    batch_set_base_offset(c->builder.buf.p, h->base_offset);
    return out;
}

static int copy_batch(void *arg, const struct head *h, struct slice batch, int64_t position,
                      struct err *e)
{
    struct compact *c = arg;
    struct batch_header bh;
    struct batch_iter it;
    struct rec r;
    int32_t kept = 0;
    (void)position;
    c->last = *h;
    c->last_kept = false;
    if (h->count == 0 || is_aborted(c, h))
        return 0;
    if (open_records(c, batch, &bh, &it, e) < 0)
        return -1;
    struct batch_iter again = it;
    while (batch_next(&it, &r) == 1)
        kept += stays(c, h, &r);
    if (kept == 0)
        return 0;
    c->last_kept = true;
    return put(c, kept == h->count ? batch : rebuild(c, h, &again, false), e);
}

// The segments [at, at+n) into `<base>.cleaned`, durably.
static int write_cleaned(struct compact *c, uint32_t at, uint32_t n, struct err *e)
{
    char path[SEGMENT_PATH];
    segment_path(path, c->partition->dir, c->segments[at]->base, ".cleaned");
    c->fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (c->fd < 0)
        return err_io(e, "cannot create %s", path);
    c->written = 0;
    c->tombstones = false;
    c->last_kept = true;
    buf_clear(&c->out);
    int r = 0;
    for (uint32_t i = at; i < at + n && r == 0; i++) {
        c->from = c->segments[i];
        r = segment_scan(c->from, 0, c->from->size, copy_batch, c, e);
    }
    if (r == 0 && !c->last_kept)
        r = put(c, rebuild(c, &c->last, NULL, true), e);
    if (r == 0)
        r = flush(c, e);
    FAILPOINT("compact.written");
    if (r == 0 && (fsync(c->fd) < 0 || disk_sync_dir(c->partition->dir) < 0))
        r = err_io(e, "cannot sync %s", path);
    close(c->fd);
    if (r < 0)
        unlink(path);
    return r;
}

// --- the swap -----------------------------------------------------------------------------------

static int journal_swap(struct compact *c, uint32_t at, uint32_t n, int64_t cleaned_at,
                        struct err *e)
{
    struct broker *b = c->partition->broker;
    struct buf entries;
    struct journal_wait w;
    int64_t *bases = check_alloc(malloc(n * sizeof(*bases)));
    for (uint32_t i = 0; i < n; i++)
        bases[i] = c->segments[at + i]->base;
    buf_init(&entries);
    entry_put_compact(&entries, c->tombstones ? ENTRY_TOMBSTONES : 0, c->partition->id, c->written,
                      cleaned_at, bases, n);
    journal_wait_init(&w);
    enum broker_error r = journal_submit(&b->journal, buf_slice(&entries), &w.done);
    if (r == BROKER_OK)
        r = journal_wait_for(&w);
    buf_release(&entries);
    free(bases);
    return r == BROKER_OK
               ? 0
               : err_set(e, ERR_IO, "%s: the journal refused a compaction", c->partition->dir);
}

static struct segment *swap_files(struct compact *c, uint32_t at, uint32_t n, int64_t cleaned_at,
                                  struct err *e)
{
    const char *dir = c->partition->dir;
    char cleaned[SEGMENT_PATH], log[SEGMENT_PATH], index[SEGMENT_PATH];
    int64_t base = c->segments[at]->base;
    segment_path(cleaned, dir, base, ".cleaned");
    segment_path(log, dir, base, ".log");
    segment_path(index, dir, base, ".index");
    unlink(index);
    if (rename(cleaned, log) < 0 || disk_sync_dir(dir) < 0) {
        err_io(e, "cannot put %s in place", log);
        return NULL;
    }
    FAILPOINT("compact.renamed");
    struct segment *s = segment_expect(dir, base);
    s->size = c->written;
    s->cleaned_at = cleaned_at;
    s->tombstones = c->tombstones;
    s->sealed = s->checkpointed = true;
    if (segment_attach(s, e) < 0 || segment_index_load(s, 0, true, e) < 0) {
        segment_unref(s);
        return NULL;
    }
    segment_index_save(s, segment_point(s));
    for (uint32_t i = at + 1; i < at + n; i++) {
        segment_remove_files(c->segments[i]);
        FAILPOINT("compact.removed");
    }
    return s;
}

static int swap(struct compact *c, uint32_t at, uint32_t n, struct err *e)
{
    struct broker_partition *p = c->partition;
    int64_t cleaned_at = 0;
    for (uint32_t i = at; i < at + n; i++) {
        int64_t t = c->segments[i]->cleaned_at;
        t = t == 0 ? c->now_ms : t;
        cleaned_at = t > cleaned_at ? t : cleaned_at;
    }
    if (journal_swap(c, at, n, cleaned_at, e) < 0)
        return -1;
    FAILPOINT("compact.durable");
    struct segment *s = swap_files(c, at, n, cleaned_at, e);
    if (s == NULL) { // the journal says it is done
        broker_fail(p->broker, "%s", e->text);
        return -1;
    }
    pthread_mutex_lock(&p->state);
    int32_t i = partition_segment_of(p, s->base);
    CHECK(i >= 0 && p->segments[i] == c->segments[at]);
    partition_replace(p, (uint32_t)i, n, s);
    p->cleaned = c->ends[at + n - 1];
    pthread_mutex_unlock(&p->state);
    FAILPOINT("compact.swapped");
    return 0;
}

// --- a pass -------------------------------------------------------------------------------------

// Takes references to the candidates and a copy of the aborted transactions.
static void collect(struct compact *c)
{
    struct broker_partition *p = c->partition;
    pthread_mutex_lock(&p->state);
    c->config = p->config;
    int64_t stable = p->open.count == 0 ? p->end : p->open.items[0].first;
    uint32_t n = p->segments_count;
    c->segments = check_alloc(malloc((n + 1) * sizeof(c->segments[0])));
    c->ends = check_alloc(malloc((n + 1) * sizeof(c->ends[0])));
    for (uint32_t i = 0; i + 1 < n; i++) {
        struct segment *s = p->segments[i];
        int64_t end = p->segments[i + 1]->base;
        bool young = s->max_time != INT64_MIN && c->config.min_compaction_lag_ms > 0 &&
                     c->now_ms - s->max_time < c->config.min_compaction_lag_ms;
        if (!s->sealed || !s->checkpointed || end > stable || young)
            break;
        if (s->base < p->cleaned)
            c->dirty = c->count + 1;
        c->ends[c->count] = end;
        c->segments[c->count++] = segment_ref(s);
    }
    c->aborted_count = p->aborted.count;
    c->aborted = check_alloc(malloc((c->aborted_count + 1) * sizeof(c->aborted[0])));
    if (c->aborted_count != 0)
        memcpy(c->aborted, p->aborted.items, c->aborted_count * sizeof(c->aborted[0]));
    pthread_mutex_unlock(&p->state);
}

// Rewriting costs reading everything: wait until half of it is new, or tombstones are due.
static bool worth_it(const struct compact *c)
{
    int64_t total = 0, fresh = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct segment *s = c->segments[i];
        total += s->size;
        fresh += i >= c->dirty ? s->size : 0;
        if (s->tombstones && c->now_ms - s->cleaned_at >= c->config.delete_retention_ms)
            return true;
    }
    return fresh != 0 && 2 * fresh >= total;
}

static int build_map(struct compact *c, struct err *e)
{
    for (uint32_t i = c->dirty; i < c->count; i++) {
        if (i > c->dirty && c->keys.keys.n > KEYS_MAX) { // the rest waits for the next pass
            while (c->count > i)
                segment_unref(c->segments[--c->count]);
            break;
        }
        if (segment_scan(c->segments[i], 0, c->segments[i]->size, add_keys, c, e) < 0)
            return -1;
    }
    return 0;
}

// Neighbours that fit into one segment together.
static uint32_t group_at(const struct compact *c, uint32_t at)
{
    uint32_t n = 1;
    int64_t bytes = c->segments[at]->size;
    while (at + n < c->count && bytes + c->segments[at + n]->size <= c->config.segment_bytes)
        bytes += c->segments[at + n++]->size;
    return n;
}

// No snapshot and no deletion may come between the steps of a swap.
static int swap_locked(struct compact *c, uint32_t at, uint32_t n, struct err *e)
{
    struct broker *b = c->partition->broker;
    pthread_mutex_lock(&b->checkpointing);
    pthread_rwlock_rdlock(&b->gate);
    int r = atomic_load(&c->partition->deleted) ? 0 : swap(c, at, n, e);
    pthread_rwlock_unlock(&b->gate);
    pthread_mutex_unlock(&b->checkpointing);
    return r;
}

static int run(struct compact *c, struct err *e)
{
    struct broker *b = c->partition->broker;
    if (build_map(c, e) < 0)
        return -1;
    for (uint32_t at = 0; at < c->count;) {
        uint32_t n = group_at(c, at);
        int r = write_cleaned(c, at, n, e);
        if (atomic_load(&c->partition->deleted))
            return 0;
        if (r == 0)
            r = swap_locked(c, at, n, e);
        if (r == 0 && keeper_take_wish(&b->keeper))
            r = broker_checkpoint(b, e);
        if (r < 0)
            return -1;
        at += n;
    }
    return 0;
}

int compact_partition(struct broker_partition *p, struct err *e)
{
    struct compact c = {.partition = p, .now_ms = clk_wall_ms(p->broker->clk)};
    if (partition_config(p).cleanup == BROKER_DELETE)
        return 0;
    keymap_init(&c.keys);
    batch_builder_init(&c.builder);
    collect(&c);
    int r = worth_it(&c) ? run(&c, e) : 0;
    for (uint32_t i = 0; i < c.count; i++)
        segment_unref(c.segments[i]);
    free(c.segments);
    free(c.ends);
    free(c.aborted);
    keymap_release(&c.keys);
    buf_release(&c.scratch);
    buf_release(&c.out);
    batch_builder_release(&c.builder);
    return r;
}
