// SPDX-License-Identifier: Apache-2.0
//
// From stored batches to records: checksums, aborted transactions, control batches, compression.
// Records are slices into the lease; only compressed batches are written anew, each into a buffer
// of its own, because a growing buffer would move what earlier records point to.
#include "log/native_client.h"

#include "log/marker.h"

enum {
    UNPACKED_MAX = 16 << 20, // a poll takes no further compressed batch beyond this
    DECIDED = -2,            // producer_id of an aborted transaction whose end was seen
};

static struct rec *rec_room(struct native_lease *lease, uint32_t count)
{
    if (count == lease->recs_size) {
        lease->recs_size = lease->recs_size == 0 ? 1024 : lease->recs_size * 2;
        lease->recs =
            check_alloc(realloc(lease->recs, (size_t)lease->recs_size * sizeof lease->recs[0]));
    }
    return &lease->recs[count];
}

static struct buf *unpacked_room(struct native_lease *lease)
{
    if (lease->unpacked_count == lease->unpacked_size) {
        uint32_t size = lease->unpacked_size == 0 ? 8 : lease->unpacked_size * 2;
        lease->unpacked = check_alloc(realloc(lease->unpacked, size * sizeof lease->unpacked[0]));
        for (uint32_t i = lease->unpacked_size; i < size; i++)
            buf_init(&lease->unpacked[i]);
        lease->unpacked_size = size;
    }
    struct buf *b = &lease->unpacked[lease->unpacked_count++];
    buf_clear(b);
    return b;
}

// Does this transactional batch belong to an aborted transaction?
static bool is_aborted(const struct broker_read *read, const struct batch_header *h)
{
    for (uint32_t i = 0; i < read->aborted_count; i++) {
        if (read->aborted[i].first_offset > h->base_offset)
            break; // sorted
        if (read->aborted[i].producer_id == h->producer_id)
            return true;
    }
    return false;
}

// An end marker was read: the producer's earlier aborted transactions are over.
static void aborted_end(struct broker_read *read, const struct batch_header *h)
{
    for (uint32_t i = 0; i < read->aborted_count; i++) {
        if (read->aborted[i].producer_id == h->producer_id &&
            read->aborted[i].first_offset <= h->base_offset)
            read->aborted[i].producer_id = DECIDED;
    }
}

struct walk {
    struct native_lease *lease;
    struct broker_read *read;
    int64_t from;
    uint32_t count;
    size_t unpacked;
};

static int malformed(const struct batch_header *h, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "record batch at offset %lld: a record is malformed",
                   (long long)h->base_offset);
}

// Adds one control batch's markers; other control records end transactions and are not data.
static int decode_control(struct walk *w, const struct batch_header *h, struct batch_iter *it,
                          struct err *e)
{
    struct rec r;
    int got;
    while ((got = batch_next(it, &r)) == 1) {
        int type = batch_control_type(r.key);
        if (batch_is_transactional(h) && type == BATCH_ABORT)
            aborted_end(w->read, h);
        if (type != MARKER_TYPE || r.offset < w->from)
            continue;
        r.flags = REC_MARKER;
        r.key = (struct slice){NULL, 0};
        *rec_room(w->lease, w->count) = r;
        w->count++;
    }
    return got < 0 ? malformed(h, e) : 0;
}

static int decode_data(struct walk *w, const struct batch_header *h, struct batch_iter *it,
                       struct err *e)
{
    int got;
    for (;;) {
        struct rec *r = rec_room(w->lease, w->count);
        got = batch_next(it, r);
        if (got != 1)
            return got < 0 ? malformed(h, e) : 0;
        w->count += r->offset >= w->from;
    }
}

static int decode_batch(struct walk *w, struct slice batch, const struct batch_header *h,
                        struct err *e)
{
    bool control = batch_is_control(h);
    if (!control && batch_last_offset(h) < w->from)
        return 0;
    if (!control && batch_is_transactional(h) && is_aborted(w->read, h))
        return 0;
    struct slice records;
    struct buf none = {0}, *scratch = &none;
    if ((h->attributes & BATCH_CODEC) != BATCH_NONE)
        scratch = unpacked_room(w->lease);
    if (batch_records(batch, h, BATCH_UNPACK_LIMIT, scratch, &records, e) != 0)
        return -1;
    w->unpacked += scratch->n;
    struct batch_iter it;
    batch_iter_init(&it, h, records);
    return control ? decode_control(w, h, &it, e) : decode_data(w, h, &it, e);
}

int64_t native_decode(struct native_lease *lease, int64_t from, struct broker_read *read,
                      uint32_t *count, struct err *e)
{
    struct walk w = {.lease = lease, .read = read, .from = from};
    struct slice left = buf_slice(&lease->bytes);
    int64_t next = from;
    lease->unpacked_count = 0;
    while (left.n != 0 && w.unpacked <= UNPACKED_MAX) {
        struct batch_header h;
        uint32_t before = w.count;
        if (batch_check(left, &h, e) != 0 || decode_batch(&w, left, &h, e) != 0) {
            if (next == from)
                return -1;
            w.count = before; // hand out what is good; the next poll meets the bad one first
            *count = w.count;
            return next;
        }
        if (batch_last_offset(&h) >= next)
            next = batch_last_offset(&h) + 1;
        left = slice_of(left.p + h.size, left.n - h.size);
    }
    if (left.n == 0 && read->next_offset > next)
        next = read->next_offset; // compaction may have left nothing of the last offsets
    *count = w.count;
    return next;
}
