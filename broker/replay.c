// SPDX-License-Identifier: Apache-2.0
#include "broker/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "broker/core.h"
#include "broker/disk.h"
#include "log/crc32c.h"

void replay_init(struct replay *r, struct broker *b)
{
    *r = (struct replay){.broker = b};
}

void replay_release(struct replay *r)
{
    free(r->deleted);
    buf_release(&r->scratch);
}

int replay_note_deleted(struct replay *r, struct slice entries, struct err *e)
{
    struct cur c = cur_of(entries);
    struct entry entry;
    while (entry_next(&c, &entry)) {
        if (entry.type != ENTRY_TOPIC_DELETE)
            continue;
        if (r->deleted_count == r->deleted_size) {
            r->deleted_size = r->deleted_size == 0 ? 8 : 2 * r->deleted_size;
            r->deleted = check_alloc(realloc(r->deleted, r->deleted_size * sizeof(*r->deleted)));
        }
        r->deleted[r->deleted_count++] =
            (struct replay_range){entry.partition, entry.partition + (uint32_t)entry.number};
    }
    return c.failed ? err_set(e, ERR_CORRUPT, "an entry that this version cannot read") : 0;
}

bool replay_is_deleted(const struct replay *r, uint32_t partition)
{
    for (uint32_t i = 0; i < r->deleted_count; i++)
        if (partition >= r->deleted[i].first && partition < r->deleted[i].end)
            return true;
    return false;
}

static int unexpected(const struct broker_partition *p, const char *what, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "%s: %s", p->dir, what);
}

// --- batches ------------------------------------------------------------------------------------

// The segment that a batch was written to: the last one, or one that was rolled to.
static struct segment *segment_for(struct broker_partition *p, const struct entry *entry,
                                   struct err *e)
{
    struct segment *s = partition_active(p);
    if (s == NULL || s->base != entry->segment) {
        if (entry->segment != p->next || entry->position != 0) {
            unexpected(p, "a batch in a segment that does not follow the last one", e);
            return NULL;
        }
        if (s != NULL)
            s->sealed = true;
        s = segment_expect(p->dir, entry->segment);
        s->indexed = false;
        partition_add_segment(p, s);
    }
    if (entry->position != s->size) {
        unexpected(p, "a batch that does not begin where the one before it ended", e);
        return NULL;
    }
    return s;
}

static int open_or_create(struct segment *s, bool create, struct err *e)
{
    if (segment_attach(s, e) == 0)
        return 0;
    if (e->code != ERR_NOT_FOUND || !create) {
        e->code = e->code == ERR_NOT_FOUND ? ERR_CORRUPT : e->code;
        return -1;
    }
    struct segment *fresh = segment_create(s->dir, s->base, e);
    if (fresh == NULL)
        return -1;
    s->fd = fresh->fd;
    fresh->fd = -1;
    segment_unref(fresh);
    return 0;
}

// The bytes of a batch by reference must be those of the entry.
static int compare(struct replay *r, const struct segment *s, const struct entry *entry,
                   const struct head *h, struct err *e)
{
    buf_clear(&r->scratch);
    uint8_t *p = buf_reserve(&r->scratch, h->size);
    int64_t got = disk_read(s->fd, p, h->size, entry->position);
    if (got != (int64_t)h->size)
        return err_set(e, ERR_CORRUPT,
                       "segment %s/%020" PRId64 ".log, position %" PRId64
                       ": the file is too short; acknowledged data is missing",
                       s->dir, s->base, entry->position);
    if (memcmp(p, entry->head, HEAD_SIZE) != 0 ||
        crc32c(p + HEAD_OUTSIDE_CRC, h->size - HEAD_OUTSIDE_CRC) != h->crc)
        return err_set(e, ERR_CORRUPT,
                       "segment %s/%020" PRId64 ".log, position %" PRId64
                       ": the batch there is not the one that was acknowledged",
                       s->dir, s->base, entry->position);
    return 0;
}

static int apply_batch(struct replay *r, struct broker_partition *p, const struct entry *entry,
                       struct err *e)
{
    struct head h;
    bool inside = (entry->flags & ENTRY_BY_REFERENCE) == 0;
    CHECK(head_parse(entry->head, &h));
    if (h.base_offset != p->next)
        return unexpected(p, "a batch whose offset does not follow", e);
    struct segment *s = segment_for(p, entry, e);
    if (s == NULL || open_or_create(s, inside, e) < 0)
        return -1;
    if (!inside && compare(r, s, entry, &h, e) < 0)
        return -1;
    if (inside &&
        disk_write2(s->fd, slice_of(entry->head, HEAD_SIZE), entry->body, entry->position) < 0)
        return err_io(e, "cannot write segment %s/%020" PRId64 ".log", s->dir, s->base);
    atomic_store(&s->dirty, true);
    s->size += h.size;
    s->end_offset = p->next = head_last_offset(&h) + 1;
    if ((entry->flags & ENTRY_PLAIN) == 0)
        partition_note_producer(p, &h, clk_wall_ms(r->broker->clk));
    partition_publish(p, entry);
    return 0;
}

bool replay_is_whole(struct replay *r, struct slice entries)
{
    struct cur c = cur_of(entries);
    struct entry entry;
    while (entry_next(&c, &entry)) {
        if (entry.type != ENTRY_BATCH || (entry.flags & ENTRY_BY_REFERENCE) == 0 ||
            replay_is_deleted(r, entry.partition))
            continue;
        struct broker_partition *p = catalog_partition(&r->broker->catalog, entry.partition);
        struct head h;
        struct err e;
        if (p == NULL || !head_parse(entry.head, &h))
            continue;
        struct segment *s = segment_expect(p->dir, entry.segment);
        bool good = segment_attach(s, &e) == 0 && compare(r, s, &entry, &h, &e) == 0;
        segment_unref(s);
        if (!good)
            return false;
    }
    return true;
}

// --- topics and segments ------------------------------------------------------------------------

static int apply_topic(struct broker *b, const struct entry *entry, struct err *e)
{
    int r = 0;
    struct broker_topic_info info = {.partitions = entry->number, .config = entry->config};
    memcpy(info.name, entry->topic.p, entry->topic.n);
    memcpy(info.id, entry->topic_id, sizeof(info.id));
    if (strlen(info.name) != entry->topic.n || strchr(info.name, '/') != NULL ||
        info.partitions > CATALOG_CHUNK * CATALOG_CHUNKS ||
        catalog_find(&b->catalog, info.name) != NULL ||
        catalog_partition(&b->catalog, entry->partition) != NULL)
        return err_set(e, ERR_CORRUPT, "topic %s appears twice or has no proper name", info.name);
    struct topic *t = catalog_topic_new(b, &info, entry->partition);
    for (int32_t i = 0; i < info.partitions; i++)
        if (disk_make_dir(t->partitions[i]->dir, e) < 0)
            r = -1;
    if (r == 0)
        r = catalog_insert(&b->catalog, t, e);
    if (r < 0)
        catalog_topic_free(t);
    return r;
}

static int apply_segment(struct broker_partition *p, const struct entry *entry, struct err *e)
{
    struct segment *last = partition_active(p);
    if (last != NULL && last->base >= entry->segment)
        return unexpected(p, "segments out of order", e);
    if (last != NULL)
        last->sealed = last->checkpointed = true;
    struct segment *s = segment_expect(p->dir, entry->segment);
    s->size = s->snapshot.size = entry->size;
    s->cleaned_at = entry->time;
    s->tombstones = (entry->flags & ENTRY_TOMBSTONES) != 0;
    s->indexed = false;
    partition_add_segment(p, s);
    p->end_base = s->base;
    p->end_position = s->size;
    return 0;
}

// The rewritten file was synced before the entry; the swap may have happened or not.
static int swap_files(const struct broker_partition *p, int64_t base, struct err *e)
{
    char cleaned[SEGMENT_PATH], log[SEGMENT_PATH], index[SEGMENT_PATH];
    segment_path(cleaned, p->dir, base, ".cleaned");
    segment_path(log, p->dir, base, ".log");
    segment_path(index, p->dir, base, ".index");
    if (access(cleaned, F_OK) < 0)
        return 0;
    unlink(index);
    if (rename(cleaned, log) < 0 || disk_sync_dir(p->dir) < 0)
        return err_io(e, "cannot put %s in place", log);
    return 0;
}

static int apply_compact(struct broker_partition *p, struct entry *entry, struct err *e)
{
    int64_t base = entry_list_i64(entry);
    int32_t at = partition_segment_of(p, base);
    uint32_t n = entry->count;
    if (at < 0 || p->segments[at]->base != base || (uint32_t)at + n >= p->segments_count)
        return unexpected(p, "a compaction of segments that are not there", e);
    for (uint32_t i = 1; i < n; i++)
        if (p->segments[(uint32_t)at + i]->base != entry_list_i64(entry))
            return unexpected(p, "a compaction of segments that are not there", e);
    if (swap_files(p, base, e) < 0)
        return -1;
    struct segment *s = segment_expect(p->dir, base);
    s->size = entry->size;
    s->cleaned_at = entry->time;
    s->tombstones = (entry->flags & ENTRY_TOMBSTONES) != 0;
    s->indexed = false;
    s->sealed = s->checkpointed = true;
    for (uint32_t i = 1; i < n; i++)
        segment_remove_files(p->segments[(uint32_t)at + i]);
    p->cleaned = p->segments[(uint32_t)at + n]->base;
    partition_replace(p, (uint32_t)at, n, s);
    return 0;
}

static void apply_trim(struct broker_partition *p, int64_t start)
{
    if (start > p->start) // two requests may have been queued out of order
        p->start = start;
    partition_replace(p, 0, partition_obsolete(p), NULL);
}

static int apply_sequence(struct broker_partition *p, struct entry *entry, struct err *e)
{
    if (entry->producer_id < 0 || entry->count > SEQUENCE_KEPT)
        return unexpected(p, "a producer's sequence that this version cannot read", e);
    struct sequence *q = sequences_get(&p->sequences, entry->producer_id);
    q->epoch = entry->epoch;
    q->used_ms = entry->time;
    q->in_txn = (entry->flags & ENTRY_IN_TXN) != 0;
    q->count = (uint8_t)entry->count;
    for (uint8_t i = 0; i < q->count; i++)
        q->batches[i] = entry_list_batch(entry);
    return 0;
}

static int apply_partition(struct replay *r, struct entry *entry, struct err *e)
{
    struct broker_partition *p = catalog_partition(&r->broker->catalog, entry->partition);
    if (p == NULL)
        return err_set(e, ERR_CORRUPT, "an entry of partition number %u, which does not exist",
                       entry->partition);
    switch (entry->type) {
    case ENTRY_BATCH:
        return apply_batch(r, p, entry, e);
    case ENTRY_SEGMENT:
        return apply_segment(p, entry, e);
    case ENTRY_COMPACT:
        return apply_compact(p, entry, e);
    case ENTRY_SEQUENCE:
        return apply_sequence(p, entry, e);
    case ENTRY_TRIM:
        apply_trim(p, entry->offset);
        return 0;
    case ENTRY_PARTITION:
        p->start = entry->first;
        p->end = p->next = entry->last;
        p->cleaned = entry->offset;
        return 0;
    case ENTRY_OPEN:
        partition_txn_put(&p->open, (struct partition_txn){entry->producer_id, entry->first, -1});
        return 0;
    default: // ENTRY_ABORTED
        partition_txn_put(&p->aborted,
                          (struct partition_txn){entry->producer_id, entry->first, entry->last});
        return 0;
    }
}

// --- producers and groups -----------------------------------------------------------------------

static void apply_producer(struct producers *s, const struct entry *entry)
{
    char *name = NULL;
    if (entry->group.p != NULL)
        name = check_alloc(strndup((const char *)entry->group.p, entry->group.n));
    struct producer *p =
        name == NULL ? producers_by_id(s, entry->producer_id) : producers_by_name(s, name);
    if (p == NULL)
        p = producers_add(s, name, entry->producer_id, -1);
    free(name);
    if (p->epoch != entry->epoch || p->id != entry->producer_id)
        p->has_commit = false;
    p->id = entry->producer_id;
    p->epoch = entry->epoch;
    p->timeout_ms = entry->timeout_ms;
    p->state = (enum producer_state)entry->state;
}

static void apply_commit(struct producers *s, struct entry *entry)
{
    struct producer *p = producers_by_id(s, entry->producer_id);
    if (p == NULL)
        p = producers_add(s, NULL, entry->producer_id, entry->epoch);
    int64_t *offsets = check_alloc(malloc((entry->count + 1) * sizeof(offsets[0])));
    for (uint32_t i = 0; i < entry->count; i++)
        offsets[i] = entry_list_i64(entry);
    producer_set_commit(p, entry->sequence, offsets, entry->count);
    free(offsets);
}

static void apply_txn_add(struct replay *r, struct producer *p, const struct entry *entry)
{
    struct broker_partition *part = catalog_partition(&r->broker->catalog, entry->partition);
    p->state = PRODUCER_OPEN;
    p->opened_ms = clk_mono_ms(r->broker->clk); // the timeout starts anew
    if (part == NULL)
        return; // of a deleted topic
    producer_add_partition(p, part);
    struct sequence *q = sequences_get(&part->sequences, p->id);
    sequence_set_epoch(q, p->epoch);
    q->in_txn = true;
    q->used_ms = clk_wall_ms(r->broker->clk);
}

static void pend(struct replay *r, const struct producer_offset *o, int by)
{
    group_offsets_pend(&r->broker->offsets, o->group, o->topic, o->partition, by);
}

static int apply_txn(struct replay *r, const struct entry *entry, struct err *e)
{
    struct producer *p = producers_by_id(&r->broker->producers, entry->producer_id);
    if (p == NULL)
        return err_set(e, ERR_CORRUPT, "an entry of producer %" PRId64 ", which does not exist",
                       entry->producer_id);
    if (entry->type == ENTRY_TXN_ADD) {
        apply_txn_add(r, p, entry);
    } else if (entry->type == ENTRY_TXN_OFFSET) {
        p->state = PRODUCER_OPEN;
        p->opened_ms = clk_mono_ms(r->broker->clk);
        producer_add_offset(p, entry->group, entry->topic, entry->number, entry->offset,
                            entry->metadata);
        pend(r, &p->offsets[p->offsets_count - 1], 1);
    } else {
        for (uint32_t i = 0; i < p->offsets_count; i++)
            pend(r, &p->offsets[i], -1);
        producer_clear_txn(p);
        p->epoch = entry->epoch;
        p->state = (enum producer_state)entry->state;
    }
    return 0;
}

static void forget_offsets(struct broker *b, struct slice topic)
{
    char name[256];
    snprintf(name, sizeof(name), "%.*s", (int)topic.n, (const char *)topic.p);
    group_offsets_forget_topic(&b->offsets, name);
}

static bool of_partition(const struct entry *e)
{
    switch (e->type) {
    case ENTRY_BATCH:
    case ENTRY_TRIM:
    case ENTRY_COMPACT:
    case ENTRY_PARTITION:
    case ENTRY_SEGMENT:
    case ENTRY_SEQUENCE:
    case ENTRY_OPEN:
    case ENTRY_ABORTED:
        return true;
    default:
        return false;
    }
}

static bool names_partition(const struct entry *e)
{
    return of_partition(e) || e->type == ENTRY_TOPIC || e->type == ENTRY_TOPIC_CONFIG;
}

static int apply(struct replay *r, struct entry *entry, struct err *e)
{
    struct broker *b = r->broker;
    if (names_partition(entry) && replay_is_deleted(r, entry->partition))
        return 0;
    if (of_partition(entry))
        return apply_partition(r, entry, e);
    if ((entry->type == ENTRY_PRODUCER || entry->type == ENTRY_COMMIT) && entry->producer_id < 0)
        return err_set(e, ERR_CORRUPT, "a producer without an id");
    struct topic *t;
    switch (entry->type) {
    case ENTRY_TOPIC:
        return apply_topic(b, entry, e);
    case ENTRY_TOPIC_CONFIG:
        t = catalog_find_number(&b->catalog, entry->partition);
        if (t == NULL)
            return err_set(e, ERR_CORRUPT, "config of a topic that does not exist");
        catalog_set_config(&b->catalog, t, &entry->config);
        return 0;
    case ENTRY_TOPIC_DELETE:
        forget_offsets(b, entry->topic);
        if (entry->partition + (uint32_t)entry->number > b->catalog.next_partition)
            b->catalog.next_partition = entry->partition + (uint32_t)entry->number;
        return 0;
    case ENTRY_OFFSET:
        group_offsets_put(&b->offsets, entry);
        return 0;
    case ENTRY_IDS:
        b->producers.next_id = b->producers.ids_below = entry->offset;
        return 0;
    case ENTRY_PRODUCER:
        apply_producer(&b->producers, entry);
        return 0;
    case ENTRY_COMMIT:
        apply_commit(&b->producers, entry);
        return 0;
    default:
        return apply_txn(r, entry, e);
    }
}

int replay_entries(struct replay *r, struct slice entries, struct err *e)
{
    struct cur c = cur_of(entries);
    struct entry entry;
    while (entry_next(&c, &entry))
        if (apply(r, &entry, e) < 0)
            return -1;
    return c.failed ? err_set(e, ERR_CORRUPT, "an entry that this version cannot read") : 0;
}
