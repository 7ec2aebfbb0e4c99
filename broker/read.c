// SPDX-License-Identifier: Apache-2.0
//
// Read: fetching batches and looking up times. Under the state lock a reader finds out where to
// look and how far it may, and takes a reference to the segment; the bytes are read without a lock.
// Every batch is checked before it is handed out: its crc, and that its offsets fit where it lies.
#include <errno.h>
#include <inttypes.h>

#include "base/logline.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "log/batch.h"
#include "log/crc32c.h"

enum {
    WALK_CHUNK = 8192, // bytes read at once when looking for a batch
    PADDING = REC_PADDING,
};

// Where to read: a position at or before the wanted batch, and where readable bytes end.
struct place {
    struct segment *segment; // referenced
    uint32_t index;          // in the partition's list, at that moment
    int64_t position, bound;
};

static enum broker_error damaged(const struct segment *s, int64_t at, const char *why)
{
    logline(LOG_ERROR, "broker",
            "segment %s/%020" PRId64 ".log, position %" PRId64 ": %s; restore the file from a copy",
            s->dir, s->base, at, why);
    return BROKER_CORRUPT_MESSAGE;
}

static int64_t hinted(const struct broker_partition *p, int64_t offset, int64_t base)
{
    for (int i = 0; i < PARTITION_HINTS; i++)
        if (p->hints[i].offset == offset && p->hints[i].base == base)
            return p->hints[i].position;
    return -1;
}

static void remember(struct broker_partition *p, const struct place *at, int64_t offset)
{
    pthread_mutex_lock(&p->state);
    // The segment may have been replaced meanwhile, then positions in it mean nothing.
    if (at->index < p->segments_count && p->segments[at->index] == at->segment) {
        p->hints[p->hint_next] = (struct partition_hint){offset, at->segment->base, at->position};
        p->hint_next = (p->hint_next + 1) % PARTITION_HINTS;
    }
    pthread_mutex_unlock(&p->state);
}

// Segment i at or before `offset`; state lock held.
static enum broker_error place_in(struct broker_partition *p, uint32_t i, int64_t offset,
                                  struct place *out)
{
    struct segment *s = p->segments[i];
    struct err e;
    *out = (struct place){NULL, i, 0, partition_readable(p, i)};
    if (out->bound == 0)
        return BROKER_OK;
    int64_t hint = hinted(p, offset, s->base);
    if (hint < 0 && segment_index_need(s, &e) < 0) {
        logline(LOG_ERROR, "broker", "%s", e.text);
        return BROKER_CORRUPT_MESSAGE;
    }
    out->position = hint >= 0 ? hint : segment_seek(s, offset);
    out->segment = segment_ref(s);
    return BROKER_OK;
}

// Moves place->position to the first batch that ends at or after `offset`.
static enum broker_error walk_to(struct place *at, int64_t offset)
{
    uint8_t chunk[WALK_CHUNK];
    while (at->position < at->bound) {
        int64_t left = at->bound - at->position;
        int64_t got = disk_read(at->segment->fd, chunk,
                                left < WALK_CHUNK ? (size_t)left : WALK_CHUNK, at->position);
        if (got < HEAD_SIZE)
            return damaged(at->segment, at->position, "the file is too short");
        int64_t used = 0;
        while (used + HEAD_SIZE <= got) {
            struct head h;
            if (!head_parse(chunk + used, &h) || h.size > left - used)
                return damaged(at->segment, at->position + used, "not a record batch");
            if (head_last_offset(&h) >= offset) {
                at->position += used;
                return BROKER_OK;
            }
            used += h.size;
        }
        at->position += used;
    }
    return BROKER_OK;
}

// Offsets follow each other; only compaction leaves gaps, and none makes them go back.
static bool fits(const struct segment *s, const struct head *h, int64_t expected)
{
    return s->cleaned_at == 0 ? h->base_offset == expected : h->base_offset >= expected;
}

// How many bytes at `p` are whole, good batches below `limit`; *next is the offset behind them.
static enum broker_error take_batches(const struct place *at, struct slice bytes, int64_t limit,
                                      uint32_t *taken, int64_t *next)
{
    const char *why = NULL;
    int64_t expected = (int64_t)bytes_get64(bytes.p);
    *taken = 0;
    while (why == NULL && bytes.n - *taken >= HEAD_SIZE) {
        struct head h;
        const uint8_t *p = bytes.p + *taken;
        if (!head_parse(p, &h) || !fits(at->segment, &h, expected)) {
            why = "not the expected record batch";
        } else if (h.size > bytes.n - *taken || h.base_offset >= limit) {
            break;
        } else if (crc32c(p + HEAD_OUTSIDE_CRC, h.size - HEAD_OUTSIDE_CRC) != h.crc) {
            why = "checksum mismatch";
        } else {
            *taken += h.size;
            expected = *next = head_last_offset(&h) + 1;
        }
    }
    // What is good before the damage is handed out; the next read meets the damage first.
    return why != NULL && *taken == 0 ? damaged(at->segment, at->position, why) : BROKER_OK;
}

static enum broker_error read_bytes(const struct place *at, int64_t n, struct buf *out)
{
    if (disk_read(at->segment->fd, buf_reserve(out, (uint32_t)n + PADDING), (size_t)n,
                  at->position) != n)
        return damaged(at->segment, at->position, "the file is too short");
    return BROKER_OK;
}

// Reads whole batches from at->position on; at least one.
static enum broker_error read_batches(struct place *at, int64_t offset, uint32_t max_bytes,
                                      int64_t limit, struct buf *out, int64_t *next)
{
    int64_t left = at->bound - at->position;
    int64_t n = max_bytes < HEAD_SIZE ? HEAD_SIZE : max_bytes;
    n = n < left ? n : left;
    enum broker_error r = read_bytes(at, n, out);
    struct head h;
    if (r != BROKER_OK)
        return r;
    if (n < HEAD_SIZE || !head_parse(out->p + out->n, &h) || h.size > left)
        return damaged(at->segment, at->position, "not a record batch");
    if (at->segment->cleaned_at == 0 && h.base_offset > offset)
        return damaged(at->segment, at->position, "an offset is missing");
    if (h.size > n) { // the first batch comes whole, however large
        n = h.size;
        r = read_bytes(at, n, out);
    }
    uint32_t taken = 0;
    if (r == BROKER_OK)
        r = take_batches(at, slice_of(out->p + out->n, (size_t)n), limit, &taken, next);
    if (r != BROKER_OK)
        return r;
    out->n += taken;
    at->position += taken;
    return BROKER_OK;
}

static int by_first(const void *a, const void *b)
{
    const struct broker_aborted *x = a, *y = b;
    return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

// The aborted transactions that reach into [from, to).
static void find_aborted(struct broker_partition *p, int64_t from, int64_t to,
                         struct broker_read *info)
{
    pthread_mutex_lock(&p->state);
    const struct partition_txns *t = &p->aborted;
    uint32_t low = 0, high = t->count; // those before `low` ended before `from`
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (t->items[mid].last < from)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < t->count)
        info->aborted = check_alloc(malloc((t->count - low) * sizeof(info->aborted[0])));
    for (uint32_t i = low; i < t->count; i++)
        if (t->items[i].first < to)
            info->aborted[info->aborted_count++] =
                (struct broker_aborted){t->items[i].producer_id, t->items[i].first};
    pthread_mutex_unlock(&p->state);
    if (info->aborted_count > 1)
        qsort(info->aborted, info->aborted_count, sizeof(info->aborted[0]), by_first);
}

// The segment that holds `offset` or what follows it; place->segment NULL when nothing does.
static enum broker_error find_place(struct broker_partition *p, int64_t offset, struct place *at)
{
    *at = (struct place){NULL, 0, 0, 0};
    pthread_mutex_lock(&p->state);
    int32_t i = partition_segment_of(p, offset);
    enum broker_error r = offset < p->start ? BROKER_OFFSET_OUT_OF_RANGE
                          : i < 0           ? BROKER_OK
                                            : place_in(p, (uint32_t)i, offset, at);
    pthread_mutex_unlock(&p->state);
    return r;
}

// `at` ends before `offset`: where does the next segment begin? The same offset again when
// compaction has replaced the segment meanwhile; -1: there is none.
static int64_t skip_segment(struct broker_partition *p, const struct place *at, int64_t offset)
{
    pthread_mutex_lock(&p->state);
    int64_t next = offset;
    if (at->index < p->segments_count && p->segments[at->index] == at->segment)
        next = at->index + 1 < p->segments_count ? p->segments[at->index + 1]->base : -1;
    pthread_mutex_unlock(&p->state);
    return next;
}

static enum broker_error read_from(struct broker_partition *p, int64_t offset, uint32_t max_bytes,
                                   int64_t limit, struct buf *out, struct broker_read *info)
{
    struct place at;
    enum broker_error r;
    for (;;) {
        info->next_offset = limit; // what stays when only a gap left by compaction follows
        r = find_place(p, offset, &at);
        if (r != BROKER_OK || at.segment == NULL)
            return r;
        r = walk_to(&at, offset);
        if (r != BROKER_OK || at.position < at.bound)
            break;
        if (at.segment->cleaned_at == 0) { // without compaction every offset is somewhere
            r = damaged(at.segment, at.position, "an offset is missing");
            break;
        }
        offset = skip_segment(p, &at, offset);
        segment_unref(at.segment);
        if (offset < 0 || offset >= limit)
            return BROKER_OK;
    }
    if (r == BROKER_OK)
        r = read_batches(&at, offset, max_bytes, limit, out, &info->next_offset);
    if (r == BROKER_OK)
        remember(p, &at, info->next_offset);
    segment_unref(at.segment);
    return r;
}

enum broker_error broker_read(struct broker_partition *p, int64_t offset, uint32_t max_bytes,
                              bool committed, struct buf *out, struct broker_read *info)
{
    *info = (struct broker_read){.next_offset = offset};
    if (atomic_load(&p->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    pthread_mutex_lock(&p->state);
    partition_offsets(p, &info->offsets);
    pthread_mutex_unlock(&p->state);
    if (offset < info->offsets.start || offset > info->offsets.end)
        return BROKER_OFFSET_OUT_OF_RANGE;
    int64_t limit = committed ? info->offsets.stable : info->offsets.end;
    if (offset >= limit)
        return BROKER_OK;
    enum broker_error r = read_from(p, offset, max_bytes, limit, out, info);
    if (r == BROKER_OK && committed)
        find_aborted(p, offset, info->next_offset, info);
    return r;
}

enum broker_error broker_partition_offsets(struct broker_partition *p, struct broker_offsets *out)
{
    *out = (struct broker_offsets){0, 0, 0};
    if (atomic_load(&p->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    pthread_mutex_lock(&p->state);
    partition_offsets(p, out);
    pthread_mutex_unlock(&p->state);
    return BROKER_OK;
}
