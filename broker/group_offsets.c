// SPDX-License-Identifier: Apache-2.0
#include "broker/group_offsets.h"

#include "base/hash.h"
#include "broker/core.h"

enum { SLOTS_FIRST = 64 };

void group_offsets_init(struct group_offsets *o)
{
    *o = (struct group_offsets){.slots = NULL};
    pthread_mutex_init(&o->mutex, NULL);
}

void group_offsets_release(struct group_offsets *o)
{
    for (uint32_t i = 0; i < o->size; i++) {
        if (o->slots[i] == NULL)
            continue;
        free(o->slots[i]->group);
        free(o->slots[i]->topic);
        free(o->slots[i]->metadata);
        free(o->slots[i]);
    }
    free(o->slots);
    pthread_mutex_destroy(&o->mutex);
}

static uint64_t hash_of(struct slice group, struct slice topic, int32_t partition)
{
    uint64_t h = hash_bytes(group);
    return hash_mix(h * 31 + hash_bytes(topic) * 7 + (uint64_t)(uint32_t)partition);
}

static bool is(const struct group_offset *g, struct slice group, struct slice topic,
               int32_t partition)
{
    return g->partition == partition && slice_eq_str(topic, g->topic) &&
           slice_eq_str(group, g->group);
}

static struct group_offset **slot_of(struct group_offset **slots, uint32_t size, struct slice group,
                                     struct slice topic, int32_t partition)
{
    uint32_t i = (uint32_t)hash_of(group, topic, partition) & (size - 1);
    while (slots[i] != NULL && !is(slots[i], group, topic, partition))
        i = (i + 1) & (size - 1);
    return &slots[i];
}

static void grow(struct group_offsets *o)
{
    uint32_t size = o->size == 0 ? SLOTS_FIRST : 2 * o->size;
    struct group_offset **slots = check_alloc(calloc(size, sizeof(slots[0])));
    for (uint32_t i = 0; i < o->size; i++) {
        struct group_offset *g = o->slots[i];
        if (g != NULL)
            *slot_of(slots, size, slice_str(g->group), slice_str(g->topic), g->partition) = g;
    }
    free(o->slots);
    o->slots = slots;
    o->size = size;
}

static char *text_of(struct slice s)
{
    return s.p == NULL ? NULL : check_alloc(strndup((const char *)s.p, s.n));
}

static struct group_offset *get(struct group_offsets *o, struct slice group, struct slice topic,
                                int32_t partition)
{
    if (2 * (o->count + 1) > o->size)
        grow(o);
    struct group_offset **slot = slot_of(o->slots, o->size, group, topic, partition);
    if (*slot == NULL) {
        *slot = check_alloc(calloc(1, sizeof(**slot)));
        **slot = (struct group_offset){
            .group = text_of(group), .topic = text_of(topic), .partition = partition, .offset = -1};
        o->count++;
    }
    return *slot;
}

void group_offsets_put(struct group_offsets *o, const struct entry *e)
{
    pthread_mutex_lock(&o->mutex);
    struct group_offset *g = get(o, e->group, e->topic, e->number);
    g->offset = e->offset;
    bool same = (g->metadata == NULL) == (e->metadata.p == NULL) &&
                (g->metadata == NULL || slice_eq_str(e->metadata, g->metadata));
    if (!same) {
        free(g->metadata);
        g->metadata = text_of(e->metadata);
    }
    pthread_mutex_unlock(&o->mutex);
}

void group_offsets_pend(struct group_offsets *o, const char *group, const char *topic,
                        int32_t partition, int by)
{
    pthread_mutex_lock(&o->mutex);
    get(o, slice_str(group), slice_str(topic), partition)->pending += (uint32_t)by;
    pthread_mutex_unlock(&o->mutex);
}

void group_offsets_forget_topic(struct group_offsets *o, const char *topic)
{
    pthread_mutex_lock(&o->mutex);
    for (uint32_t i = 0; i < o->size; i++)
        if (o->slots[i] != NULL && strcmp(o->slots[i]->topic, topic) == 0)
            o->slots[i]->offset = -1;
    pthread_mutex_unlock(&o->mutex);
}

int64_t group_offsets_get(struct group_offsets *o, const char *group, const char *topic,
                          int32_t partition, bool *unstable)
{
    int64_t offset = -1;
    bool pending = false;
    pthread_mutex_lock(&o->mutex);
    if (o->size != 0) {
        struct group_offset *g =
            *slot_of(o->slots, o->size, slice_str(group), slice_str(topic), partition);
        if (g != NULL) {
            offset = g->offset;
            pending = g->pending != 0;
        }
    }
    pthread_mutex_unlock(&o->mutex);
    if (unstable != NULL)
        *unstable = pending;
    return offset;
}

void group_offsets_save(struct group_offsets *o, struct buf *out)
{
    pthread_mutex_lock(&o->mutex);
    for (uint32_t i = 0; i < o->size; i++) {
        const struct group_offset *g = o->slots[i];
        if (g == NULL || g->offset < 0)
            continue;
        struct broker_group_offset b = {g->topic, g->partition, g->offset, g->metadata};
        entry_put_offset(out, g->group, &b);
    }
    pthread_mutex_unlock(&o->mutex);
}

// --- broker.h -----------------------------------------------------------------------------------

enum broker_error broker_offsets_commit(struct broker *b, const char *group,
                                        const struct broker_group_offset *offsets, uint32_t n)
{
    struct buf entries;
    buf_init(&entries);
    for (uint32_t i = 0; i < n; i++)
        entry_put_offset(&entries, group, &offsets[i]);
    struct journal_wait w;
    journal_wait_init(&w);
    pthread_rwlock_rdlock(&b->gate);
    enum broker_error r = journal_submit(&b->journal, buf_slice(&entries), &w.done);
    pthread_rwlock_unlock(&b->gate);
    if (r == BROKER_OK)
        r = journal_wait_for(&w);
    buf_release(&entries);
    return r;
}

int64_t broker_offset_committed(struct broker *b, const char *group, const char *topic,
                                int32_t partition, bool *unstable)
{
    return group_offsets_get(&b->offsets, group, topic, partition, unstable);
}

void broker_offsets_each(struct broker *b, const char *group, broker_offset_each each, void *arg)
{
    struct group_offsets *o = &b->offsets;
    pthread_mutex_lock(&o->mutex);
    bool more = true;
    for (uint32_t i = 0; i < o->size && more; i++) {
        const struct group_offset *g = o->slots[i];
        if (g == NULL || (g->offset < 0 && g->pending == 0) ||
            (group != NULL && strcmp(g->group, group) != 0))
            continue;
        struct broker_group_offset found = {g->topic, g->partition, g->offset, g->metadata};
        more = each(arg, g->group, &found, g->pending != 0);
    }
    pthread_mutex_unlock(&o->mutex);
}
