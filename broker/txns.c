// SPDX-License-Identifier: Apache-2.0
//
// Txns: the coordinator of classic transactions: who a producer is, what its transaction holds, and
// its end. With everything on one node the end is one journal frame (markers, group offsets,
// state), so there is no "prepared" state to be caught in.
#include "base/logline.h"
#include "broker/append.h"
#include "log/batch.h"

enum { TIMEOUT_MAX_MS = 3600000 };

// --- ids ----------------------------------------------------------------------------------------

static enum broker_error submit_and_wait(struct broker *b, const struct buf *entries)
{
    struct journal_wait w;
    journal_wait_init(&w);
    enum broker_error r = journal_submit(&b->journal, buf_slice(entries), &w.done);
    return r == BROKER_OK ? journal_wait_for(&w) : r;
}

// Gate and `making` held: a fresh id, from a block that is durably taken.
static enum broker_error take_id(struct broker *b, int64_t *id)
{
    struct producers *s = &b->producers;
    if (s->next_id >= s->ids_below) {
        struct buf entries;
        buf_init(&entries);
        entry_put_ids(&entries, s->next_id + PRODUCER_IDS_BLOCK);
        enum broker_error r = submit_and_wait(b, &entries);
        buf_release(&entries);
        if (r != BROKER_OK)
            return r;
        s->ids_below = s->next_id + PRODUCER_IDS_BLOCK;
    }
    *id = s->next_id++;
    return BROKER_OK;
}

// --- the end of a transaction -------------------------------------------------------------------

struct ending {
    struct append append;
    struct producer *producer;
    bool commit, bump;
    struct batch_builder marker;
};

static void stage_markers(struct ending *end)
{
    struct producer *p = end->producer;
    struct batch_producer by = {p->id, (int16_t)(p->epoch + (end->bump ? 1 : 0)), -1};
    batch_builder_init(&end->marker);
    batch_begin(&end->marker, end->append.now_ms, BATCH_CONTROL | BATCH_TRANSACTIONAL);
    batch_append_end(&end->marker, end->append.now_ms, end->commit ? BATCH_COMMIT : BATCH_ABORT, 0);
    struct slice bytes = batch_finish(&end->marker, &by);
    for (uint32_t i = 0; i < p->partitions_count; i++) {
        if (atomic_load(&p->partitions[i]->deleted))
            continue;
        struct staged *s = &end->append.items[end->append.n++];
        *s = (struct staged){.partition = p->partitions[i]};
        memcpy(s->bytes, bytes.p, HEAD_SIZE);
        s->body = slice_of(bytes.p + HEAD_SIZE, bytes.n - HEAD_SIZE);
        CHECK(head_parse(s->bytes, &s->head));
    }
    append_sort(&end->append);
}

static void put_end(struct ending *end, struct buf *out)
{
    struct producer *p = end->producer;
    if (end->append.broker != NULL && end->append.n != 0)
        append_entries(&end->append, out, 0);
    for (uint32_t i = 0; i < p->offsets_count && end->commit; i++) {
        const struct producer_offset *o = &p->offsets[i];
        struct broker_group_offset g = {o->topic, o->partition, o->offset, o->metadata};
        entry_put_offset(out, o->group, &g);
    }
    entry_put_txn_end(out, p->id, p->epoch, (uint8_t)p->state);
    if (end->bump)
        entry_put_producer(out, p->name, p->id, p->epoch, p->timeout_ms, (uint8_t)p->state);
}

static int64_t end_bytes(const struct producer *p)
{
    int64_t bytes = 128 + (p->name == NULL ? 0 : (int64_t)strlen(p->name));
    for (uint32_t i = 0; i < p->offsets_count; i++) {
        const struct producer_offset *o = &p->offsets[i];
        bytes += 48 + (int64_t)(strlen(o->group) + strlen(o->topic));
        bytes += o->metadata == NULL ? 0 : (int64_t)strlen(o->metadata);
    }
    return bytes;
}

// Gate, producer and append locks held.
static enum broker_error queue_end(struct ending *end, struct broker_done *done)
{
    struct append *a = &end->append;
    struct producer *p = end->producer;
    struct err e;
    if (append_reserve(a, end_bytes(p), &e) < 0) {
        logline(LOG_ERROR, "broker", "end of a transaction refused: %s", e.text);
        return BROKER_STORAGE_ERROR;
    }
    enum broker_error r = append_write_all(a);
    if (r != BROKER_OK) {
        journal_give_back(&a->broker->journal, a->reserved);
        return r;
    }
    for (uint32_t i = 0; i < a->n; i++)
        partition_note_producer(a->items[i].partition, &a->items[i].head, a->now_ms);
    p->state = end->commit ? PRODUCER_COMMITTED : PRODUCER_ABORTED;
    p->epoch = (int16_t)(p->epoch + (end->bump ? 1 : 0));
    put_end(end, journal_begin(&a->broker->journal));
    journal_end(&a->broker->journal, a->reserved, done);
    return BROKER_OK;
}

static void forget(struct broker *b, struct producer *p)
{
    for (uint32_t i = 0; i < p->offsets_count; i++)
        group_offsets_pend(&b->offsets, p->offsets[i].group, p->offsets[i].topic,
                           p->offsets[i].partition, -1);
    producer_clear_txn(p);
}

// Ends the open transaction of `p`, whose lock is held. Waits.
static enum broker_error end_txn(struct broker *b, struct producer *p, bool commit, bool bump)
{
    struct ending end = {.producer = p, .commit = commit, .bump = bump};
    struct journal_wait w;
    append_init(&end.append, b, p->partitions_count);
    stage_markers(&end);
    journal_wait_init(&w);
    append_lock(&end.append);
    enum broker_error r = queue_end(&end, &w.done);
    append_unlock(&end.append);
    if (r == BROKER_OK)
        r = journal_wait_for(&w);
    if (r == BROKER_OK)
        forget(b, p);
    append_release(&end.append);
    batch_builder_release(&end.marker);
    return r;
}

// --- broker.h -----------------------------------------------------------------------------------

static enum broker_error make_named(struct broker *b, const char *name, int32_t timeout_ms,
                                    int64_t *id, int16_t *epoch)
{
    enum broker_error r = take_id(b, id);
    if (r != BROKER_OK)
        return r;
    struct buf entries;
    buf_init(&entries);
    entry_put_producer(&entries, name, *id, 0, timeout_ms, PRODUCER_EMPTY);
    r = submit_and_wait(b, &entries);
    buf_release(&entries);
    if (r == BROKER_OK) {
        producers_add(&b->producers, name, *id, 0)->timeout_ms = timeout_ms;
        *epoch = 0;
    }
    return r;
}

// A newer owner of the name: the epoch grows, or the id changes when epochs are used up.
static enum broker_error take_over(struct broker *b, struct producer *p, int32_t timeout_ms)
{
    enum broker_error r = BROKER_OK;
    if (p->state == PRODUCER_OPEN)
        r = end_txn(b, p, false, true);
    if (r != BROKER_OK)
        return r;
    int64_t id = p->id;
    int16_t epoch = (int16_t)(p->epoch + 1);
    if (p->epoch >= PRODUCER_EPOCH_MAX) {
        epoch = 0;
        r = take_id(b, &id);
    }
    struct buf entries;
    buf_init(&entries);
    entry_put_producer(&entries, p->name, id, epoch, timeout_ms, PRODUCER_EMPTY);
    if (r == BROKER_OK)
        r = submit_and_wait(b, &entries);
    buf_release(&entries);
    if (r != BROKER_OK)
        return r;
    pthread_mutex_lock(&b->producers.mutex);
    p->id = id;
    pthread_mutex_unlock(&b->producers.mutex);
    p->epoch = epoch;
    p->timeout_ms = timeout_ms;
    p->state = PRODUCER_EMPTY;
    p->has_commit = false;
    return BROKER_OK;
}

static enum broker_error init_named(struct broker *b, const char *name, int32_t timeout_ms,
                                    int64_t *id, int16_t *epoch)
{
    struct producer *p = producers_by_name(&b->producers, name);
    if (p == NULL)
        return make_named(b, name, timeout_ms, id, epoch);
    pthread_mutex_lock(&p->mutex);
    enum broker_error r = take_over(b, p, timeout_ms);
    *id = p->id;
    *epoch = p->epoch;
    pthread_mutex_unlock(&p->mutex);
    return r;
}

enum broker_error broker_producer_init(struct broker *b, const char *transactional_id,
                                       int32_t timeout_ms, int64_t *producer_id, int16_t *epoch)
{
    if (transactional_id != NULL && *transactional_id == 0)
        return BROKER_INVALID_REQUEST;
    if (transactional_id != NULL && (timeout_ms <= 0 || timeout_ms > TIMEOUT_MAX_MS))
        return BROKER_INVALID_TRANSACTION_TIMEOUT;
    enum broker_error r;
    // The same order everywhere: making, gate, producer.
    pthread_mutex_lock(&b->producers.making);
    pthread_rwlock_rdlock(&b->gate);
    if (transactional_id == NULL) {
        *epoch = 0;
        r = take_id(b, producer_id);
    } else {
        r = init_named(b, transactional_id, timeout_ms, producer_id, epoch);
    }
    pthread_rwlock_unlock(&b->gate);
    pthread_mutex_unlock(&b->producers.making);
    return r;
}

// Finds and locks the producer; on error nothing is locked.
static enum broker_error enter(struct broker *b, int64_t id, int16_t epoch, struct producer **out)
{
    struct producer *p = producers_by_id(&b->producers, id);
    if (p == NULL)
        return BROKER_INVALID_PRODUCER_ID_MAPPING;
    pthread_mutex_lock(&p->mutex);
    if (p->id == id && p->epoch == epoch && p->name != NULL) {
        *out = p;
        return BROKER_OK;
    }
    pthread_mutex_unlock(&p->mutex);
    return BROKER_PRODUCER_FENCED;
}

static void open_txn(struct broker *b, struct producer *p)
{
    if (p->state != PRODUCER_OPEN)
        p->opened_ms = clk_mono_ms(b->clk);
    p->state = PRODUCER_OPEN;
}

static enum broker_error add(struct broker *b, struct producer *p, struct broker_partition *part)
{
    if (atomic_load(&part->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    if (p->state == PRODUCER_OPEN && producer_has_partition(p, part))
        return BROKER_OK;
    struct buf entries;
    buf_init(&entries);
    entry_put_txn_add(&entries, p->id, part->id);
    pthread_mutex_lock(&part->append);
    enum broker_error r = journal_submit(&b->journal, buf_slice(&entries), NULL);
    if (r == BROKER_OK) {
        struct sequence *q = sequences_get(&part->sequences, p->id);
        sequence_set_epoch(q, p->epoch);
        q->in_txn = true;
        q->used_ms = clk_wall_ms(b->clk);
        open_txn(b, p);
        producer_add_partition(p, part);
    }
    pthread_mutex_unlock(&part->append);
    buf_release(&entries);
    return r;
}

enum broker_error broker_txn_add(struct broker *b, int64_t producer_id, int16_t epoch,
                                 struct broker_partition *partition)
{
    struct producer *p;
    pthread_rwlock_rdlock(&b->gate);
    enum broker_error r = enter(b, producer_id, epoch, &p);
    if (r == BROKER_OK) {
        r = add(b, p, partition);
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_rwlock_unlock(&b->gate);
    return r;
}

static enum broker_error add_offsets(struct broker *b, struct producer *p, const char *group,
                                     const struct broker_group_offset *offsets, uint32_t n)
{
    struct buf entries;
    buf_init(&entries);
    for (uint32_t i = 0; i < n; i++)
        entry_put_txn_offset(&entries, p->id, group, &offsets[i]);
    // Waits: after a crash the transaction might go on without them, and be committed.
    enum broker_error r = submit_and_wait(b, &entries);
    buf_release(&entries);
    if (r != BROKER_OK)
        return r;
    open_txn(b, p);
    for (uint32_t i = 0; i < n; i++) {
        struct slice metadata = {NULL, 0};
        if (offsets[i].metadata != NULL)
            metadata = slice_str(offsets[i].metadata);
        producer_add_offset(p, slice_str(group), slice_str(offsets[i].topic), offsets[i].partition,
                            offsets[i].offset, metadata);
        group_offsets_pend(&b->offsets, group, offsets[i].topic, offsets[i].partition, 1);
    }
    return BROKER_OK;
}

enum broker_error broker_txn_offsets(struct broker *b, int64_t producer_id, int16_t epoch,
                                     const char *group, const struct broker_group_offset *offsets,
                                     uint32_t n)
{
    struct producer *p;
    pthread_rwlock_rdlock(&b->gate);
    enum broker_error r = enter(b, producer_id, epoch, &p);
    if (r == BROKER_OK) {
        r = add_offsets(b, p, group, offsets, n);
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_rwlock_unlock(&b->gate);
    return r;
}

enum broker_error broker_txn_end(struct broker *b, int64_t producer_id, int16_t epoch, bool commit)
{
    struct producer *p;
    pthread_rwlock_rdlock(&b->gate);
    enum broker_error r = enter(b, producer_id, epoch, &p);
    if (r == BROKER_OK) {
        if (p->state == PRODUCER_OPEN)
            r = end_txn(b, p, commit, false);
        else if (p->state != (commit ? PRODUCER_COMMITTED : PRODUCER_ABORTED))
            r = BROKER_INVALID_TXN_STATE;
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_rwlock_unlock(&b->gate);
    return r;
}

void producers_time_out(struct broker *b)
{
    int64_t now = clk_mono_ms(b->clk);
    struct producer *p;
    for (uint32_t i = 0; (p = producers_at(&b->producers, i)) != NULL; i++) {
        pthread_rwlock_rdlock(&b->gate);
        pthread_mutex_lock(&p->mutex);
        if (p->state == PRODUCER_OPEN && now - p->opened_ms > p->timeout_ms) {
            logline(LOG_WARN, "broker", "transaction of %s timed out after %d ms: aborted", p->name,
                    p->timeout_ms);
            if (end_txn(b, p, false, true) != BROKER_OK)
                logline(LOG_ERROR, "broker", "could not abort the transaction of %s", p->name);
        }
        pthread_mutex_unlock(&p->mutex);
        pthread_rwlock_unlock(&b->gate);
    }
}
