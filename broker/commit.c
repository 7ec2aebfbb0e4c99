// SPDX-License-Identifier: Apache-2.0
//
// Commit: broker_commit, a whole transaction in one call and one journal frame.
//
// The batches are plain: nothing uncommitted ever reaches a reader, so they need no transaction
// bits, no end markers and no sequences. The producer is known by id, epoch and the number of its
// last commit; its lock is held until the frame is durable, so a repeat that comes while the first
// is under way waits for it and then finds its result.
#include "base/logline.h"
#include "broker/append.h"

struct commit {
    struct append append;
    struct producer *producer;
    uint64_t sequence;
    struct broker_batch *batches;
    uint32_t n;
    const char *group;
    const struct broker_group_offset *offsets;
    uint32_t offsets_count;
};

static enum broker_error stage(struct commit *c)
{
    enum broker_error first = BROKER_OK;
    for (uint32_t i = 0; i < c->n; i++) {
        struct broker_batch *b = &c->batches[i];
        struct staged *s = &c->append.items[c->append.n++];
        s->batch = b;
        s->partition = b->partition;
        struct broker_topic_config config = partition_config(b->partition);
        b->error = atomic_load(&b->partition->deleted)
                       ? BROKER_UNKNOWN_TOPIC_OR_PARTITION
                       : validate_batch(s, &config, true, c->append.now_ms);
        if (b->error == BROKER_OK && head_is_transactional(&s->head))
            b->error = BROKER_INVALID_RECORD;
        first = first == BROKER_OK ? b->error : first;
    }
    if (first == BROKER_OK)
        append_sort(&c->append);
    return first;
}

static int64_t entry_bytes(const struct commit *c)
{
    int64_t bytes = 64 + 8 * (int64_t)c->n;
    for (uint32_t i = 0; i < c->offsets_count; i++) {
        const struct broker_group_offset *o = &c->offsets[i];
        size_t texts =
            strlen(c->group) + strlen(o->topic) + (o->metadata == NULL ? 0 : strlen(o->metadata));
        bytes += 48 + (int64_t)texts;
    }
    return bytes;
}

static void put_entries(struct commit *c, struct buf *out)
{
    struct producer *p = c->producer;
    append_entries(&c->append, out, ENTRY_PLAIN);
    for (uint32_t i = 0; i < c->offsets_count; i++)
        entry_put_offset(out, c->group, &c->offsets[i]);
    entry_put_commit(out, p->id, p->epoch, p->commit_sequence, p->commit_offsets, p->commit_count);
}

static void remember(struct commit *c)
{
    int64_t small[64];
    int64_t *offsets =
        c->n <= ARRAY_COUNT(small) ? small : check_alloc(malloc(c->n * sizeof(*offsets)));
    for (uint32_t i = 0; i < c->n; i++)
        offsets[i] = c->batches[i].base_offset;
    producer_set_commit(c->producer, c->sequence, offsets, c->n);
    if (offsets != small)
        free(offsets);
}

// Append locks held. On BROKER_OK the waiter is queued.
static enum broker_error queue(struct commit *c, struct broker_done *done)
{
    struct err e;
    struct append *a = &c->append;
    if (append_reserve(a, entry_bytes(c), &e) < 0) {
        broker_refused(a->broker, e.text);
        return BROKER_STORAGE_ERROR;
    }
    enum broker_error r = append_write_all(a);
    if (r != BROKER_OK) {
        journal_give_back(&a->broker->journal, a->reserved);
        return r;
    }
    remember(c);
    put_entries(c, journal_begin(&a->broker->journal));
    journal_end(&a->broker->journal, a->reserved, done);
    return BROKER_OK;
}

static enum broker_error run(struct broker *b, struct commit *c)
{
    struct journal_wait w;
    append_init(&c->append, b, c->n);
    enum broker_error r = stage(c);
    if (r == BROKER_OK) {
        journal_wait_init(&w);
        append_lock(&c->append);
        r = queue(c, &w.done);
        append_unlock(&c->append);
        if (r == BROKER_OK)
            r = journal_wait_for(&w);
    }
    append_release(&c->append);
    return r;
}

static void answer_repeat(const struct producer *p, struct broker_batch *batches, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        batches[i].error = BROKER_OK;
        batches[i].log_append_time = -1;
        batches[i].base_offset = i < p->commit_count ? p->commit_offsets[i] : -1;
    }
}

// The producer by id; one that was handed out without a name appears at its first commit.
static struct producer *find_producer(struct broker *b, int64_t id)
{
    struct producers *s = &b->producers;
    struct producer *p = producers_by_id(s, id);
    if (p != NULL)
        return p;
    pthread_mutex_lock(&s->making);
    p = producers_by_id(s, id);
    if (p == NULL && id > 0 && id < s->next_id)
        p = producers_add(s, NULL, id, 0);
    pthread_mutex_unlock(&s->making);
    return p;
}

enum broker_error broker_commit(struct broker *b, int64_t producer_id, int16_t epoch,
                                uint64_t sequence, struct broker_batch *batches, uint32_t n,
                                const char *group, const struct broker_group_offset *offsets,
                                uint32_t offsets_count)
{
    struct commit c = {.producer = find_producer(b, producer_id),
                       .sequence = sequence,
                       .batches = batches,
                       .n = n,
                       .group = group,
                       .offsets = offsets,
                       .offsets_count = offsets_count};
    if (c.producer == NULL)
        return BROKER_INVALID_PRODUCER_ID_MAPPING;
    struct producer *p = c.producer;
    enum broker_error r;
    pthread_rwlock_rdlock(&b->gate);
    pthread_mutex_lock(&p->mutex);
    if (p->id != producer_id || p->epoch != epoch) {
        r = BROKER_PRODUCER_FENCED;
    } else if (broker_has_failed(b)) {
        r = BROKER_STORAGE_ERROR;
    } else if (p->has_commit && sequence == p->commit_sequence) {
        answer_repeat(p, batches, n);
        r = BROKER_OK;
    } else if (p->has_commit && sequence < p->commit_sequence) {
        r = BROKER_OUT_OF_ORDER_SEQUENCE;
    } else {
        r = run(b, &c);
    }
    pthread_mutex_unlock(&p->mutex);
    pthread_rwlock_unlock(&b->gate);
    return r;
}
