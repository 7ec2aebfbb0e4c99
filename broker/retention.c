// SPDX-License-Identifier: Apache-2.0
#include "broker/retention.h"

#include "base/failpoint.h"
#include "broker/compact.h"
#include "broker/core.h"

enum { PRODUCER_EXPIRY_MS = 86400000 };

// Segments at the front that are behind `start`, durable and known to the snapshot, go.
static void drop_obsolete(struct broker_partition *p)
{
    struct segment *gone[64];
    uint32_t n;
    do {
        pthread_mutex_lock(&p->state);
        uint32_t obsolete = partition_obsolete(p);
        for (n = 0; n < obsolete && n < ARRAY_COUNT(gone) && p->segments[n]->checkpointed; n++)
            gone[n] = segment_ref(p->segments[n]);
        partition_replace(p, 0, n, NULL);
        uint32_t old = 0;
        while (old < p->aborted.count && p->aborted.items[old].last < p->start)
            old++;
        if (old != 0)
            memmove(p->aborted.items, p->aborted.items + old,
                    (p->aborted.count - old) * sizeof(p->aborted.items[0]));
        p->aborted.count -= old;
        pthread_mutex_unlock(&p->state);
        for (uint32_t i = 0; i < n; i++) {
            FAILPOINT("retention.unlink");
            segment_remove_files(gone[i]);
            segment_unref(gone[i]);
        }
    } while (n == ARRAY_COUNT(gone));
}

// By its newest record, as Kafka does, but never sooner than retention after it was written: a
// backfill of years-old events must not vanish at the first housekeeping.
static bool expired(const struct segment *s, int64_t now, const struct broker_topic_config *c,
                    int64_t total)
{
    int64_t time = s->max_time > s->created_ms ? s->max_time : s->created_ms;
    if (c->retention_ms >= 0 && s->size != 0 && time != 0 && now - time > c->retention_ms)
        return true;
    return c->retention_bytes >= 0 && total - s->size >= c->retention_bytes;
}

// The offset that retention would start the partition at; append lock held. Rolls the active
// segment when all of it has expired by time.
static int64_t wanted_start(struct broker_partition *p, int64_t now)
{
    const struct broker_topic_config c = p->config;
    pthread_mutex_lock(&p->state);
    int64_t start = p->start, total = 0;
    for (uint32_t i = 0; i < p->segments_count; i++)
        total += p->segments[i]->size;
    for (uint32_t i = 0; c.cleanup != BROKER_COMPACT && i < p->segments_count; i++) {
        const struct segment *s = p->segments[i];
        bool active = i + 1 == p->segments_count;
        int64_t next = active ? p->next : p->segments[i + 1]->base;
        // Nothing undecided or undurable may go; by size the active segment stays.
        int64_t stable = p->open.count == 0 ? p->end : p->open.items[0].first;
        if (next > stable || !expired(s, now, &c, active ? 0 : total))
            break;
        start = next;
        total -= s->size;
    }
    pthread_mutex_unlock(&p->state);
    return start;
}

// Makes `start` the partition's first offset; append lock and gate held.
static enum broker_error queue_trim(struct broker_partition *p, int64_t start,
                                    struct broker_done *done)
{
    struct buf entries;
    struct err e;
    buf_init(&entries);
    entry_put_trim(&entries, p->id, start);
    // Everything before `start` is in sealed segments, so that whole files can go.
    enum broker_error r = BROKER_OK;
    struct segment *active = partition_active(p);
    if (start == p->next && active != NULL && active->size != 0 && !active->sealed) {
        pthread_mutex_lock(&p->state);
        active->sealed = true;
        pthread_mutex_unlock(&p->state);
        if (partition_writable(p, 0, &e) == NULL)
            r = BROKER_STORAGE_ERROR;
    }
    if (r == BROKER_OK)
        r = journal_submit(&p->broker->journal, buf_slice(&entries), done);
    buf_release(&entries);
    return r;
}

static int64_t start_of(struct broker_partition *p)
{
    pthread_mutex_lock(&p->state);
    int64_t start = p->start;
    pthread_mutex_unlock(&p->state);
    return start;
}

// Gate held. Waits until it is durable.
static enum broker_error trim(struct broker_partition *p, int64_t offset, bool by_retention)
{
    struct journal_wait w;
    journal_wait_init(&w);
    enum broker_error r = BROKER_OK;
    bool queued = false;
    pthread_mutex_lock(&p->append);
    if (by_retention)
        offset = wanted_start(p, clk_wall_ms(p->broker->clk));
    if (offset > start_of(p) && !atomic_load(&p->deleted)) {
        r = queue_trim(p, offset, &w.done);
        queued = r == BROKER_OK;
    }
    pthread_mutex_unlock(&p->append);
    if (queued)
        r = journal_wait_for(&w);
    if (!queued || r != BROKER_OK)
        return r;
    FAILPOINT("retention.durable");
    pthread_mutex_lock(&p->state);
    if (offset > p->start)
        p->start = offset;
    pthread_mutex_unlock(&p->state);
    return BROKER_OK;
}

enum broker_error broker_partition_trim(struct broker_partition *p, int64_t offset, int64_t *start)
{
    enum broker_error r = BROKER_OK;
    if (atomic_load(&p->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    pthread_rwlock_rdlock(&p->broker->gate);
    pthread_mutex_lock(&p->state);
    int64_t end = p->end;
    pthread_mutex_unlock(&p->state);
    offset = offset == -1 ? end : offset;
    if (offset < 0 || offset > end)
        r = BROKER_OFFSET_OUT_OF_RANGE;
    else
        r = trim(p, offset, false);
    *start = start_of(p);
    pthread_rwlock_unlock(&p->broker->gate);
    return r;
}

static bool has_unsettled(struct broker_partition *p)
{
    bool found = false;
    pthread_mutex_lock(&p->state);
    for (uint32_t i = 0; i < p->segments_count; i++)
        found |= p->segments[i]->sealed && !p->segments[i]->checkpointed;
    pthread_mutex_unlock(&p->state);
    return found;
}

static void expire_producers(struct broker_partition *p)
{
    pthread_mutex_lock(&p->append);
    sequences_expire(&p->sequences, clk_wall_ms(p->broker->clk) - PRODUCER_EXPIRY_MS);
    pthread_mutex_unlock(&p->append);
}

static int pass(struct broker *b, struct broker_partition **all, uint32_t n, struct err *e)
{
    bool unsettled = false;
    for (uint32_t i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&b->gate);
        enum broker_error r = trim(all[i], 0, true);
        expire_producers(all[i]);
        pthread_rwlock_unlock(&b->gate);
        if (r != BROKER_OK)
            return err_set(e, ERR_IO, "%s: retention was refused: %s", all[i]->dir,
                           broker_error_name(r));
        unsettled |= has_unsettled(all[i]);
    }
    if (unsettled && broker_checkpoint(b, e) < 0)
        return -1;
    int r = 0;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        // No snapshot may be on its way that still needs the files.
        pthread_mutex_lock(&b->checkpointing);
        bool deleted = atomic_load(&all[i]->deleted);
        if (!deleted)
            drop_obsolete(all[i]);
        pthread_mutex_unlock(&b->checkpointing);
        if (!deleted)
            r = compact_partition(all[i], e);
    }
    return r;
}

int retention_pass(struct broker *b, struct err *e)
{
    if (broker_has_failed(b))
        return 0;
    uint32_t n;
    struct broker_partition **all = catalog_partitions(&b->catalog, &n);
    pthread_mutex_lock(&b->housekeeping);
    int r = pass(b, all, n, e);
    pthread_mutex_unlock(&b->housekeeping);
    free(all);
    return r;
}

int broker_housekeep(struct broker *b, struct err *e)
{
    producers_time_out(b);
    return retention_pass(b, e);
}
