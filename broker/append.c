// SPDX-License-Identifier: Apache-2.0
#include "broker/append.h"

#include <fcntl.h>

#include "base/failpoint.h"
#include "base/logline.h"
#include "broker/disk.h"

void append_init(struct append *a, struct broker *b, uint32_t n)
{
    a->broker = b;
    a->n = 0;
    a->reserved = 0;
    a->now_ms = clk_wall_ms(b->clk);
    a->items = n <= ARRAY_COUNT(a->small) ? a->small : check_alloc(malloc(n * sizeof(*a->items)));
}

void append_release(struct append *a)
{
    if (a->items != a->small)
        free(a->items);
}

// Insertion sort: callers mostly come sorted, and the order within a partition must stay.
void append_sort(struct append *a)
{
    for (uint32_t i = 1; i < a->n; i++) {
        if (a->items[i].partition->id >= a->items[i - 1].partition->id)
            continue;
        struct staged item = a->items[i];
        uint32_t at = i;
        while (at > 0 && a->items[at - 1].partition->id > item.partition->id) {
            a->items[at] = a->items[at - 1];
            at--;
        }
        a->items[at] = item;
    }
    for (uint32_t i = 0; i < a->n;) { // how much for one partition?
        uint32_t end = i;
        int64_t bytes = 0;
        for (; end < a->n && a->items[end].partition == a->items[i].partition; end++)
            bytes += a->items[end].head.size;
        for (; i < end; i++)
            a->items[i].by_reference = bytes >= APPEND_BY_REFERENCE;
    }
}

static bool first_of_partition(const struct append *a, uint32_t i)
{
    return i == 0 || a->items[i - 1].partition != a->items[i].partition;
}

void append_lock(struct append *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (first_of_partition(a, i))
            pthread_mutex_lock(&a->items[i].partition->append);
}

void append_unlock(struct append *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (first_of_partition(a, i))
            pthread_mutex_unlock(&a->items[i].partition->append);
}

int append_reserve(struct append *a, int64_t more, struct err *e)
{
    int64_t bytes = more;
    for (uint32_t i = 0; i < a->n; i++)
        bytes += ENTRY_BATCH_OVERHEAD + (a->items[i].by_reference ? 0 : a->items[i].body.n);
    if (journal_reserve(&a->broker->journal, bytes, e) < 0)
        return -1;
    a->reserved = bytes;
    return 0;
}

// Bytes that the call brings for the partition of item i.
static int64_t partition_bytes(const struct append *a, uint32_t i)
{
    int64_t bytes = 0;
    for (uint32_t k = i; k < a->n && a->items[k].partition == a->items[i].partition; k++)
        bytes += a->items[k].head.size;
    return bytes;
}

enum broker_error append_write(struct append *a, uint32_t i)
{
    struct staged *s = &a->items[i];
    struct broker_partition *p = s->partition;
    struct err e;
    // Rolling happens before a call's first batch only, so that a call can be taken back.
    struct segment *seg = partition_active(p);
    if (seg == NULL || seg->sealed || first_of_partition(a, i))
        seg = partition_writable(p, partition_bytes(a, i), &e);
    if (seg == NULL) {
        broker_refused(p->broker, e.text);
        return BROKER_STORAGE_ERROR;
    }
    s->head.base_offset = p->next;
    bytes_put64(s->bytes, (uint64_t)p->next);
    s->segment = seg->base;
    s->position = seg->size;
    if (FAILPOINT_ERROR("append.write") ||
        disk_write2(seg->fd, slice_of(s->bytes, HEAD_SIZE), s->body, seg->size) < 0) {
        err_io(&e, "cannot write to %s", p->dir);
        broker_refused(p->broker, e.text);
        return BROKER_STORAGE_ERROR;
    }
    if (!s->by_reference)
        atomic_store(&seg->dirty, true);
    else // only a hint: the disk gets to work while the other partitions are being written
        (void)sync_file_range(seg->fd, seg->size, s->head.size, SYNC_FILE_RANGE_WRITE);
    if (seg->created_ms == 0)
        seg->created_ms = a->now_ms;
    partition_wrote(p, seg, &s->head);
    s->written = true;
    if (s->batch != NULL)
        s->batch->base_offset = s->head.base_offset;
    return BROKER_OK;
}

void append_entries(struct append *a, struct buf *out, uint8_t flags)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct staged *s = &a->items[i];
        if (!s->written)
            continue;
        uint8_t f = flags | (s->by_reference ? ENTRY_BY_REFERENCE : 0);
        entry_put_batch(out, f, s->partition->id, s->segment, s->position, s->bytes, s->body);
        if (s->by_reference)
            journal_sync_segment(&a->broker->journal, partition_active(s->partition), s->head.size);
    }
}

// What a partition was before the call, to go back to.
struct undo {
    struct segment *segment;
    struct segment_point point;
    int64_t next;
};

static struct undo undo_point(struct broker_partition *p)
{
    struct undo u = {partition_active(p), {0}, p->next};
    if (u.segment != NULL)
        u.point = segment_point(u.segment);
    return u;
}

// Takes back what was written to the partition of item i. A segment that the call has rolled to
// begins at the old next offset, so it may stay.
static void undo(struct append *a, uint32_t i, const struct undo *u)
{
    struct broker_partition *p = a->items[i].partition;
    struct segment *s = partition_active(p);
    pthread_mutex_lock(&p->state);
    if (s == u->segment && s != NULL)
        segment_rewind(s, u->point);
    else if (s != NULL)
        segment_rewind(s, (struct segment_point){0, s->base, INT64_MIN, 0});
    pthread_mutex_unlock(&p->state);
    p->next = u->next;
}

enum broker_error append_write_all(struct append *a)
{
    struct undo small[16];
    struct undo *points =
        a->n <= ARRAY_COUNT(small) ? small : check_alloc(malloc(a->n * sizeof(*points)));
    enum broker_error r = BROKER_OK;
    uint32_t i = 0;
    for (; i < a->n && r == BROKER_OK; i++) {
        points[i] = undo_point(a->items[i].partition);
        r = atomic_load(&a->items[i].partition->deleted) ? BROKER_UNKNOWN_TOPIC_OR_PARTITION
                                                         : append_write(a, i);
        if (a->items[i].batch != NULL)
            a->items[i].batch->error = r;
    }
    while (r != BROKER_OK && i-- > 0) // backwards, so that the first point of a partition wins
        undo(a, i, &points[i]);
    if (points != small)
        free(points);
    return r;
}

// --- broker_append ------------------------------------------------------------------------------

// Sequence and transaction rules. DUPLICATE_SEQUENCE: nothing to write, the batch has its answer.
static enum broker_error check_producer(struct staged *s)
{
    if (s->head.producer_id < 0)
        return BROKER_OK;
    struct sequence *q = sequences_find(&s->partition->sequences, s->head.producer_id);
    if (q != NULL && s->head.epoch < q->epoch)
        return BROKER_INVALID_PRODUCER_EPOCH;
    bool in_txn = q != NULL && q->in_txn;
    if (head_is_transactional(&s->head) != in_txn)
        return BROKER_INVALID_TXN_STATE;
    struct entry_sequence_batch repeat;
    enum broker_error r = sequence_check(q, &s->head, &repeat);
    if (r == BROKER_DUPLICATE_SEQUENCE) {
        s->batch->base_offset = repeat.offset;
        s->batch->log_append_time = repeat.time;
    }
    return r;
}

static enum broker_error append_one(struct append *a, uint32_t i)
{
    struct staged *s = &a->items[i];
    if (atomic_load(&s->partition->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    enum broker_error r = check_producer(s);
    if (r != BROKER_OK)
        return r == BROKER_DUPLICATE_SEQUENCE ? BROKER_OK : r;
    r = append_write(a, i);
    if (r == BROKER_OK)
        partition_note_producer(s->partition, &s->head, a->now_ms);
    return r;
}

// Stages the batches that pass their own checks.
static void stage(struct append *a, struct broker_batch *batches, uint32_t n, bool client_checked)
{
    for (uint32_t i = 0; i < n; i++) {
        struct broker_batch *b = &batches[i];
        struct staged *s = &a->items[a->n];
        s->batch = b;
        s->partition = b->partition;
        struct broker_topic_config config = partition_config(b->partition);
        b->error = atomic_load(&b->partition->deleted)
                       ? BROKER_UNKNOWN_TOPIC_OR_PARTITION
                       : validate_batch(s, &config, client_checked, a->now_ms);
        if (b->error == BROKER_OK)
            a->n++;
    }
    append_sort(a);
}

// Writes and queues; true when `done` is in the journal's hands. Good repeats wait for the group
// too: the first one may still be on its way to the disk.
static bool append_all(struct append *a, struct broker_done *done)
{
    struct err e;
    bool good = false;
    if (append_reserve(a, 0, &e) < 0) {
        broker_refused(a->broker, e.text);
        for (uint32_t i = 0; i < a->n; i++)
            a->items[i].batch->error = BROKER_STORAGE_ERROR;
        return false;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        a->items[i].batch->error = append_one(a, i);
        good |= a->items[i].batch->error == BROKER_OK;
    }
    if (!good) {
        journal_give_back(&a->broker->journal, a->reserved);
        return false;
    }
    append_entries(a, journal_begin(&a->broker->journal), 0);
    journal_end(&a->broker->journal, a->reserved, done);
    return true;
}

void broker_append(struct broker *b, struct broker_batch *batches, uint32_t n, bool client_checked,
                   struct broker_done *done)
{
    struct append a;
    append_init(&a, b, n);
    stage(&a, batches, n, client_checked);
    bool queued = false;
    if (a.n != 0) {
        pthread_rwlock_rdlock(&b->gate);
        append_lock(&a);
        queued = append_all(&a, done);
        append_unlock(&a);
        pthread_rwlock_unlock(&b->gate);
    }
    append_release(&a);
    if (!queued)
        done->fn(done, BROKER_OK);
}

enum broker_error broker_append_wait(struct broker *b, struct broker_batch *batches, uint32_t n,
                                     bool client_checked)
{
    struct journal_wait w;
    journal_wait_init(&w);
    broker_append(b, batches, n, client_checked, &w.done);
    enum broker_error r = journal_wait_for(&w);
    for (uint32_t i = 0; i < n; i++) {
        if (r != BROKER_OK && batches[i].error == BROKER_OK)
            batches[i].error = r;
    }
    for (uint32_t i = 0; i < n; i++)
        if (batches[i].error != BROKER_OK)
            return batches[i].error;
    return BROKER_OK;
}
