// SPDX-License-Identifier: Apache-2.0
//
// The shared half of the memory log: plain arrays, searched linearly where they are short.
// Whatever is asked of a topic that does not exist by the test's own functions is a CHECK: the
// test is wrong. Clients (memory_client.c) get errors instead.
#include "log/memory_log.h"

#include "base/hash.h"
#include "log/batch.h"

enum { PARTITIONS_MAX = 100000 };

static void *grown(void *p, uint32_t count, size_t one)
{
    // Doubles at powers of two, so that callers need not keep the capacity.
    if ((count & (count - 1)) != 0)
        return p;
    return check_alloc(realloc(p, (count == 0 ? 1 : (size_t)count * 2) * one));
}

struct memory_log *memory_create(void)
{
    return check_alloc(calloc(1, sizeof(struct memory_log)));
}

static void partition_clear(struct memory_partition *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        free(p->blocks[i]);
    free(p->blocks);
    free(p->recs);
    *p = (struct memory_partition){0};
}

void memory_destroy(struct memory_log *m)
{
    for (uint32_t t = 0; t < m->topics_count; t++) {
        struct memory_topic *topic = m->topics[t];
        for (int32_t i = 0; i < topic->info.partitions; i++)
            partition_clear(&topic->partitions[i]);
        free(topic->partitions);
        free(topic);
    }
    for (uint32_t i = 0; i < m->offsets_count; i++)
        free(m->offsets[i].group);
    for (uint32_t i = 0; i < m->ids_count; i++)
        free(m->ids[i].name);
    free(m->topics);
    free(m->offsets);
    free(m->ids);
    free(m);
}

// --- topics -------------------------------------------------------------------------------------

struct memory_topic *memory_topic_find(struct memory_log *m, const char *name)
{
    for (uint32_t i = 0; i < m->topics_count; i++) {
        if (!m->topics[i]->deleted && strcmp(m->topics[i]->info.name, name) == 0)
            return m->topics[i];
    }
    return NULL;
}

static struct memory_partition *partition_of(struct memory_log *m, const char *name, int32_t i)
{
    struct memory_topic *topic = memory_topic_find(m, name);
    CHECK(topic != NULL && i >= 0 && i < topic->info.partitions);
    return &topic->partitions[i];
}

int memory_topic_create(struct memory_log *m, const struct log_topic_spec *spec, struct err *e)
{
    size_t n = strlen(spec->name);
    if (n == 0 || n >= sizeof m->topics[0]->info.name)
        return err_set(e, ERR_INVALID, "topic name \"%s\" must have 1 to 249 characters",
                       spec->name);
    if (spec->partitions < 1 || spec->partitions > PARTITIONS_MAX)
        return err_set(e, ERR_INVALID, "topic %s: %d partitions, must be 1 to %d", spec->name,
                       spec->partitions, PARTITIONS_MAX);
    if (memory_topic_find(m, spec->name) != NULL)
        return err_set(e, ERR_EXISTS, "topic %s exists already", spec->name);
    struct memory_topic *topic = check_alloc(calloc(1, sizeof *topic));
    memcpy(topic->info.name, spec->name, n + 1);
    bytes_put64(topic->info.id, hash_bytes(slice_str(spec->name)));
    bytes_put64(topic->info.id + 8, m->topics_count + 1); // never the same twice
    topic->info.partitions = spec->partitions;
    topic->info.cleanup = spec->cleanup;
    topic->partitions = check_alloc(calloc((size_t)spec->partitions, sizeof topic->partitions[0]));
    m->topics = grown(m->topics, m->topics_count, sizeof m->topics[0]);
    m->topics[m->topics_count++] = topic;
    return 0;
}

int memory_topic_delete(struct memory_log *m, const char *name, struct err *e)
{
    struct memory_topic *topic = memory_topic_find(m, name);
    if (topic == NULL)
        return err_set(e, ERR_NOT_FOUND, "there is no topic %s", name);
    topic->deleted = true;
    for (int32_t i = 0; i < topic->info.partitions; i++)
        partition_clear(&topic->partitions[i]);
    return 0;
}

// --- records ------------------------------------------------------------------------------------

uint8_t *memory_record_copy(const struct log_record *r, struct rec *out)
{
    struct buf b;
    buf_init(&b);
    struct slice key = r->marker ? (struct slice){NULL, 0} : r->key;
    buf_slice_put(&b, key);
    buf_slice_put(&b, r->value);
    uint32_t headers = b.n;
    batch_headers_put(&b, r->headers, r->headers_count);
    memset(buf_reserve(&b, REC_PADDING), 0, REC_PADDING);
    *out = (struct rec){
        .time = r->time,
        .key = key.p == NULL ? key : slice_of(b.p, key.n),
        .value = r->value.p == NULL ? r->value : slice_of(b.p + key.n, r->value.n),
        .headers = slice_of(b.p + headers, b.n - headers),
        .header_count = r->headers_count,
        .flags = r->marker ? REC_MARKER : 0,
    };
    return b.p;
}

int64_t memory_partition_push(struct memory_partition *p, const struct rec *r, uint8_t *block)
{
    if (p->count == p->size) {
        p->size = p->size == 0 ? 16 : p->size * 2;
        p->recs = check_alloc(realloc(p->recs, p->size * sizeof p->recs[0]));
        p->blocks = check_alloc(realloc(p->blocks, p->size * sizeof p->blocks[0]));
    }
    p->recs[p->count] = *r;
    p->recs[p->count].offset = p->end;
    p->blocks[p->count++] = block;
    return p->end++;
}

uint32_t memory_partition_find(const struct memory_partition *p, int64_t offset)
{
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->recs[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t memory_produce(struct memory_log *m, const char *topic, int32_t partition,
                       const struct log_record *r)
{
    struct rec copy;
    uint8_t *block = memory_record_copy(r, &copy);
    return memory_partition_push(partition_of(m, topic, partition), &copy, block);
}

const struct rec *memory_records(struct memory_log *m, const char *topic, int32_t partition,
                                 uint32_t *count)
{
    struct memory_partition *p = partition_of(m, topic, partition);
    *count = p->count;
    return p->recs;
}

// Keeps the records for which keep[i]; the offsets of the others become gaps.
static void partition_filter(struct memory_partition *p, const bool *keep)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (!keep[i]) {
            free(p->blocks[i]);
            continue;
        }
        p->recs[n] = p->recs[i];
        p->blocks[n++] = p->blocks[i];
    }
    p->count = n;
}

void memory_trim(struct memory_log *m, const char *topic, int32_t partition, int64_t start)
{
    struct memory_partition *p = partition_of(m, topic, partition);
    CHECK(start >= p->start && start <= p->end);
    bool *keep = check_alloc(calloc((size_t)p->count + 1, sizeof *keep));
    for (uint32_t i = 0; i < p->count; i++)
        keep[i] = p->recs[i].offset >= start;
    partition_filter(p, keep);
    p->start = start;
    free(keep);
}

static bool superseded(const struct memory_partition *p, uint32_t i)
{
    if (p->recs[i].key.p == NULL || (p->recs[i].flags & REC_MARKER) != 0)
        return false;
    for (uint32_t j = i + 1; j < p->count; j++) {
        if (p->recs[j].key.p != NULL && (p->recs[j].flags & REC_MARKER) == 0 &&
            slice_eq(p->recs[i].key, p->recs[j].key))
            return true;
    }
    return false;
}

void memory_compact(struct memory_log *m, const char *name)
{
    struct memory_topic *topic = memory_topic_find(m, name);
    CHECK(topic != NULL);
    for (int32_t t = 0; t < topic->info.partitions; t++) {
        struct memory_partition *p = &topic->partitions[t];
        bool *keep = check_alloc(calloc((size_t)p->count + 1, sizeof *keep));
        for (uint32_t i = 0; i < p->count; i++)
            keep[i] = !superseded(p, i);
        partition_filter(p, keep);
        free(keep);
    }
}

void memory_gaps(struct memory_log *m, bool on)
{
    m->gaps = on;
}

// --- group offsets and transactional ids --------------------------------------------------------

static struct memory_offset *offset_find(const struct memory_log *m, const char *group,
                                         const struct memory_topic *topic, int32_t partition)
{
    for (uint32_t i = 0; i < m->offsets_count; i++) {
        struct memory_offset *o = &m->offsets[i];
        if (o->topic == topic && o->partition == partition && strcmp(o->group, group) == 0)
            return o;
    }
    return NULL;
}

int64_t memory_offset_get(const struct memory_log *m, const char *group,
                          const struct memory_topic *topic, int32_t partition)
{
    const struct memory_offset *o = offset_find(m, group, topic, partition);
    return o == NULL ? -1 : o->offset;
}

void memory_offset_set(struct memory_log *m, const char *group, const struct memory_topic *topic,
                       int32_t partition, int64_t offset)
{
    struct memory_offset *o = offset_find(m, group, topic, partition);
    if (o == NULL) {
        m->offsets = grown(m->offsets, m->offsets_count, sizeof m->offsets[0]);
        o = &m->offsets[m->offsets_count++];
        *o = (struct memory_offset){check_alloc(strdup(group)), topic, partition, -1};
    }
    o->offset = offset;
}

int64_t memory_committed(struct memory_log *m, const char *group, const char *topic,
                         int32_t partition)
{
    const struct memory_topic *t = memory_topic_find(m, topic);
    return t == NULL ? -1 : memory_offset_get(m, group, t, partition);
}

uint32_t memory_id_of(struct memory_log *m, const char *name)
{
    for (uint32_t i = 0; i < m->ids_count; i++) {
        if (strcmp(m->ids[i].name, name) == 0)
            return i;
    }
    m->ids = grown(m->ids, m->ids_count, sizeof m->ids[0]);
    m->ids[m->ids_count] = (struct memory_id){check_alloc(strdup(name)), 0};
    return m->ids_count++;
}
