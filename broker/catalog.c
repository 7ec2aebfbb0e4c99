// SPDX-License-Identifier: Apache-2.0
#include "broker/catalog.h"

#include "broker/core.h"

void catalog_init(struct catalog *c)
{
    pthread_mutex_init(&c->admin, NULL);
    pthread_mutex_init(&c->mutex, NULL);
    c->next_partition = 1;
}

void catalog_topic_free(struct topic *t)
{
    for (int32_t i = 0; i < t->info.partitions; i++)
        partition_free(t->partitions[i]);
    free(t->partitions);
    free(t);
}

void catalog_release(struct catalog *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        catalog_topic_free(c->topics[i]);
    for (uint32_t i = 0; i < c->dead_count; i++)
        catalog_topic_free(c->dead[i]);
    for (uint32_t i = 0; i < CATALOG_CHUNKS; i++)
        free(atomic_load(&c->chunks[i]));
    free(c->topics);
    free(c->dead);
    pthread_mutex_destroy(&c->admin);
    pthread_mutex_destroy(&c->mutex);
}

struct topic *catalog_topic_new(struct broker *b, const struct broker_topic_info *info,
                                uint32_t first_partition)
{
    struct topic *t = check_alloc(calloc(1, sizeof(*t)));
    t->info = *info;
    t->first_partition = first_partition;
    t->partitions = check_alloc(calloc((size_t)info->partitions, sizeof(t->partitions[0])));
    for (int32_t i = 0; i < info->partitions; i++)
        t->partitions[i] = partition_new(b, t, i, first_partition + (uint32_t)i, &info->config);
    return t;
}

// The place of `name` in the name order; *found says whether it is there.
static uint32_t place_of(const struct catalog *c, const char *name, bool *found)
{
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(c->topics[mid]->info.name, name);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found = false;
    return low;
}

static void push(struct topic ***list, uint32_t *count, uint32_t *size, struct topic *t)
{
    if (*count == *size) {
        *size = *size == 0 ? 16 : 2 * *size;
        *list = check_alloc(realloc(*list, *size * sizeof((*list)[0])));
    }
    (*list)[(*count)++] = t;
}

static int insert_partitions(struct catalog *c, struct topic *t, struct err *e)
{
    uint64_t end = (uint64_t)t->first_partition + (uint64_t)t->info.partitions;
    if (end > (uint64_t)CATALOG_CHUNK * CATALOG_CHUNKS)
        return err_set(e, ERR_LIMIT,
                       "topic %s: more than %d partitions were made in this data "
                       "directory's life",
                       t->info.name, CATALOG_CHUNK * CATALOG_CHUNKS);
    for (int32_t i = 0; i < t->info.partitions; i++) {
        uint32_t id = t->first_partition + (uint32_t)i;
        struct broker_partition **chunk = atomic_load(&c->chunks[id / CATALOG_CHUNK]);
        if (chunk == NULL) {
            chunk = check_alloc(calloc(CATALOG_CHUNK, sizeof(chunk[0])));
            atomic_store(&c->chunks[id / CATALOG_CHUNK], chunk);
        }
        chunk[id % CATALOG_CHUNK] = t->partitions[i];
    }
    if (end > c->next_partition)
        c->next_partition = (uint32_t)end;
    return 0;
}

int catalog_insert(struct catalog *c, struct topic *t, struct err *e)
{
    pthread_mutex_lock(&c->mutex);
    bool found;
    uint32_t at = place_of(c, t->info.name, &found);
    CHECK(!found);
    int r = insert_partitions(c, t, e);
    if (r == 0) {
        push(&c->topics, &c->count, &c->size, t);
        memmove(&c->topics[at + 1], &c->topics[at], (c->count - 1 - at) * sizeof(c->topics[0]));
        c->topics[at] = t;
    }
    pthread_mutex_unlock(&c->mutex);
    return r;
}

void catalog_remove(struct catalog *c, struct topic *t)
{
    pthread_mutex_lock(&c->mutex);
    bool found;
    uint32_t at = place_of(c, t->info.name, &found);
    CHECK(found && c->topics[at] == t);
    memmove(&c->topics[at], &c->topics[at + 1], (c->count - at - 1) * sizeof(c->topics[0]));
    c->count--;
    t->deleted = true;
    for (int32_t i = 0; i < t->info.partitions; i++)
        atomic_store(&t->partitions[i]->deleted, true);
    push(&c->dead, &c->dead_count, &c->dead_size, t);
    pthread_mutex_unlock(&c->mutex);
}

struct topic *catalog_find(struct catalog *c, const char *name)
{
    bool found;
    pthread_mutex_lock(&c->mutex);
    uint32_t at = place_of(c, name, &found);
    struct topic *t = found ? c->topics[at] : NULL;
    pthread_mutex_unlock(&c->mutex);
    return t;
}

struct topic *catalog_find_number(struct catalog *c, uint32_t first_partition)
{
    struct broker_partition *p = catalog_partition(c, first_partition);
    return p == NULL || p->topic->deleted ? NULL : p->topic;
}

struct broker_partition *catalog_partition(struct catalog *c, uint32_t id)
{
    if (id >= (uint32_t)CATALOG_CHUNK * CATALOG_CHUNKS)
        return NULL;
    struct broker_partition **chunk = atomic_load(&c->chunks[id / CATALOG_CHUNK]);
    return chunk == NULL ? NULL : chunk[id % CATALOG_CHUNK];
}

struct broker_partition **catalog_partitions(struct catalog *c, uint32_t *count)
{
    pthread_mutex_lock(&c->mutex);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->count; i++)
        n += (uint32_t)c->topics[i]->info.partitions;
    struct broker_partition **all = check_alloc(malloc((n + 1) * sizeof(all[0])));
    *count = 0;
    for (uint32_t i = 0; i < c->count; i++)
        for (int32_t k = 0; k < c->topics[i]->info.partitions; k++)
            all[(*count)++] = c->topics[i]->partitions[k];
    pthread_mutex_unlock(&c->mutex);
    return all;
}

void catalog_set_config(struct catalog *c, struct topic *t,
                        const struct broker_topic_config *config)
{
    pthread_mutex_lock(&c->mutex);
    t->info.config = *config;
    pthread_mutex_unlock(&c->mutex);
    for (int32_t i = 0; i < t->info.partitions; i++) {
        pthread_mutex_lock(&t->partitions[i]->append);
        pthread_mutex_lock(&t->partitions[i]->state);
        t->partitions[i]->config = *config;
        pthread_mutex_unlock(&t->partitions[i]->state);
        pthread_mutex_unlock(&t->partitions[i]->append);
    }
}
