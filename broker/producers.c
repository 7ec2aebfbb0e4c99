// SPDX-License-Identifier: Apache-2.0
#include "broker/producers.h"

#include "broker/core.h"

void producers_init(struct producers *s)
{
    *s = (struct producers){.next_id = 1, .ids_below = 1};
    pthread_mutex_init(&s->mutex, NULL);
    pthread_mutex_init(&s->making, NULL);
}

void producer_clear_txn(struct producer *p)
{
    for (uint32_t i = 0; i < p->offsets_count; i++) {
        free(p->offsets[i].group);
        free(p->offsets[i].topic);
        free(p->offsets[i].metadata);
    }
    p->offsets_count = p->partitions_count = 0;
}

void producers_release(struct producers *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct producer *p = s->all[i];
        producer_clear_txn(p);
        free(p->partitions);
        free(p->offsets);
        free(p->commit_offsets);
        free(p->name);
        pthread_mutex_destroy(&p->mutex);
        free(p);
    }
    free(s->all);
    pthread_mutex_destroy(&s->mutex);
    pthread_mutex_destroy(&s->making);
}

struct producer *producers_by_id(struct producers *s, int64_t id)
{
    struct producer *found = NULL;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->count && found == NULL; i++)
        if (s->all[i]->id == id)
            found = s->all[i];
    pthread_mutex_unlock(&s->mutex);
    return found;
}

struct producer *producers_by_name(struct producers *s, const char *name)
{
    struct producer *found = NULL;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->count && found == NULL; i++)
        if (s->all[i]->name != NULL && strcmp(s->all[i]->name, name) == 0)
            found = s->all[i];
    pthread_mutex_unlock(&s->mutex);
    return found;
}

struct producer *producers_add(struct producers *s, const char *name, int64_t id, int16_t epoch)
{
    struct producer *p = check_alloc(calloc(1, sizeof(*p)));
    pthread_mutex_init(&p->mutex, NULL);
    p->name = name == NULL ? NULL : check_alloc(strdup(name));
    p->id = id;
    p->epoch = epoch;
    pthread_mutex_lock(&s->mutex);
    if (s->count == s->size) {
        s->size = s->size == 0 ? 16 : 2 * s->size;
        s->all = check_alloc(realloc(s->all, s->size * sizeof(s->all[0])));
    }
    s->all[s->count++] = p;
    pthread_mutex_unlock(&s->mutex);
    return p;
}

struct producer *producers_at(struct producers *s, uint32_t i)
{
    pthread_mutex_lock(&s->mutex);
    struct producer *p = i < s->count ? s->all[i] : NULL;
    pthread_mutex_unlock(&s->mutex);
    return p;
}

bool producer_has_partition(const struct producer *p, const struct broker_partition *part)
{
    for (uint32_t i = 0; i < p->partitions_count; i++)
        if (p->partitions[i] == part)
            return true;
    return false;
}

void producer_add_partition(struct producer *p, struct broker_partition *part)
{
    if (producer_has_partition(p, part))
        return;
    if (p->partitions_count == p->partitions_size) {
        p->partitions_size = p->partitions_size == 0 ? 8 : 2 * p->partitions_size;
        p->partitions =
            check_alloc(realloc(p->partitions, p->partitions_size * sizeof(p->partitions[0])));
    }
    p->partitions[p->partitions_count++] = part;
}

static char *text_of(struct slice s)
{
    return s.p == NULL ? NULL : check_alloc(strndup((const char *)s.p, s.n));
}

void producer_add_offset(struct producer *p, struct slice group, struct slice topic, int32_t number,
                         int64_t offset, struct slice metadata)
{
    if (p->offsets_count == p->offsets_size) {
        p->offsets_size = p->offsets_size == 0 ? 8 : 2 * p->offsets_size;
        p->offsets = check_alloc(realloc(p->offsets, p->offsets_size * sizeof(p->offsets[0])));
    }
    p->offsets[p->offsets_count++] =
        (struct producer_offset){text_of(group), text_of(topic), text_of(metadata), number, offset};
}

void producer_set_commit(struct producer *p, uint64_t sequence, const int64_t *offsets, uint32_t n)
{
    if (n > p->commit_count || p->commit_offsets == NULL)
        p->commit_offsets = check_alloc(realloc(p->commit_offsets, (n + 1) * sizeof(offsets[0])));
    if (n != 0)
        memcpy(p->commit_offsets, offsets, n * sizeof(offsets[0]));
    p->commit_count = n;
    p->commit_sequence = sequence;
    p->has_commit = true;
}

static void save_txn(const struct producer *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->partitions_count; i++)
        entry_put_txn_add(out, p->id, p->partitions[i]->id);
    for (uint32_t i = 0; i < p->offsets_count; i++) {
        const struct producer_offset *o = &p->offsets[i];
        struct broker_group_offset b = {o->topic, o->partition, o->offset, o->metadata};
        entry_put_txn_offset(out, p->id, o->group, &b);
    }
}

void producers_save(struct producers *s, struct buf *out)
{
    entry_put_ids(out, s->ids_below);
    struct producer *p;
    for (uint32_t i = 0; (p = producers_at(s, i)) != NULL; i++) {
        entry_put_producer(out, p->name, p->id, p->epoch, p->timeout_ms, (uint8_t)p->state);
        if (p->state == PRODUCER_OPEN)
            save_txn(p, out);
        if (p->has_commit)
            entry_put_commit(out, p->id, p->epoch, p->commit_sequence, p->commit_offsets,
                             p->commit_count);
    }
}
