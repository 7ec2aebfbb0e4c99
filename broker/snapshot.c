// SPDX-License-Identifier: Apache-2.0
#include "broker/snapshot.h"

#include "broker/core.h"
#include "log/crc32c.h"

// File: magic 8 | crc 4 | next partition 4 | journal 8 | sequence 8 | entries. The crc covers all
// that follows it.
static const uint8_t MAGIC[8] = {'w', 'e', 'i', 'r', 's', 'n', 'p', '1'};

enum { HEADER = 32, CRC_AT = 8, CRC_FROM = 12 };

static void save_sequences(const struct broker_partition *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->sequences.size; i++) {
        const struct sequence *q = &p->sequences.slots[i];
        if (q->producer_id == -1)
            continue;
        entry_put_sequence(out, q->in_txn ? ENTRY_IN_TXN : 0, p->id, q->producer_id, q->epoch,
                           q->used_ms, q->batches, q->count);
    }
}

static void save_partition(struct broker_partition *p, struct buf *out)
{
    pthread_mutex_lock(&p->state);
    CHECK(p->end == p->next);
    entry_put_partition(out, p->id, p->start, p->end, p->cleaned);
    for (uint32_t i = 0; i < p->segments_count; i++) {
        struct segment *s = p->segments[i];
        entry_put_segment(out, s->tombstones ? ENTRY_TOMBSTONES : 0, p->id, s->base, s->size,
                          s->cleaned_at);
        s->in_snapshot = s->sealed;
        s->snapshot = segment_point(s);
    }
    for (uint32_t i = 0; i < p->open.count; i++)
        entry_put_open(out, p->id, p->open.items[i].producer_id, p->open.items[i].first);
    for (uint32_t i = 0; i < p->aborted.count; i++) {
        const struct partition_txn *t = &p->aborted.items[i];
        entry_put_aborted(out, p->id, t->producer_id, t->first, t->last);
    }
    pthread_mutex_unlock(&p->state);
    save_sequences(p, out);
}

void snapshot_build(struct broker *b, const struct snapshot_head *head, struct buf *out)
{
    uint32_t start = out->n;
    memset(buf_reserve(out, HEADER), 0, HEADER);
    out->n += HEADER;
    for (uint32_t i = 0; i < b->catalog.count; i++) {
        struct topic *t = b->catalog.topics[i];
        entry_put_topic(out, &t->info, t->first_partition);
        for (int32_t k = 0; k < t->info.partitions; k++)
            save_partition(t->partitions[k], out);
    }
    producers_save(&b->producers, out);
    group_offsets_save(&b->offsets, out);
    uint8_t *p = out->p + start;
    memcpy(p, MAGIC, sizeof(MAGIC));
    bytes_put32(p + 12, head->next_partition);
    bytes_put64(p + 16, head->journal);
    bytes_put64(p + 24, head->sequence);
    bytes_put32(p + CRC_AT, crc32c(p + CRC_FROM, out->n - start - CRC_FROM));
}

int snapshot_parse(struct slice file, const char *path, struct snapshot_head *head,
                   struct slice *entries, struct err *e)
{
    if (file.n < HEADER || memcmp(file.p, MAGIC, sizeof(MAGIC)) != 0)
        return err_set(e, ERR_CORRUPT, "%s is not a snapshot of this version", path);
    if (crc32c(file.p + CRC_FROM, file.n - CRC_FROM) != bytes_get32(file.p + CRC_AT))
        return err_set(e, ERR_CORRUPT,
                       "%s: checksum mismatch; the file was damaged after it was written; restore "
                       "the data directory from a copy",
                       path);
    head->next_partition = bytes_get32(file.p + 12);
    head->journal = bytes_get64(file.p + 16);
    head->sequence = bytes_get64(file.p + 24);
    *entries = slice_of(file.p + HEADER, file.n - HEADER);
    return 0;
}
