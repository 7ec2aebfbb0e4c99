// SPDX-License-Identifier: Apache-2.0
//
// Topics: creating, deleting, configuring and listing. One change at a time (catalog.admin); it is
// durable before the tables show it. The gate is held from the journal entry to the change of the
// tables, so that no snapshot falls between the two.
//
// Directories are made before the entry and removed after it: a crash leaves directories that
// belong to no topic, which the next open removes.
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/logline.h"
#include "base/text.h"
#include "broker/core.h"
#include "broker/disk.h"

enum { PARTITIONS_MAX = ENTRY_PARTITIONS_MAX, DEFAULT_RETENTION_DAYS = 7, DAY_MS = 86400000 };

static bool good_name(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 249 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int make_dirs(struct broker *b, const struct topic *t, struct err *e)
{
    char path[SEGMENT_PATH];
    for (int32_t i = 0; i < t->info.partitions; i++) {
        if (disk_remove_dir(t->partitions[i]->dir, e) < 0 ||
            disk_make_dir(t->partitions[i]->dir, e) < 0)
            return -1;
    }
    snprintf(path, sizeof(path), "%s/topics", b->dir);
    if (disk_sync_dir(path) < 0)
        return err_io(e, "cannot sync directory %s", path);
    return 0;
}

// Renames first, so that a crash in the middle leaves nothing that looks like a partition.
static void remove_dirs(struct broker *b, const struct topic *t)
{
    char gone[SEGMENT_PATH];
    struct err e;
    for (int32_t i = 0; i < t->info.partitions; i++) {
        snprintf(gone, sizeof(gone), "%s/topics/%u.deleted", b->dir, t->partitions[i]->id);
        FAILPOINT("topic.delete.rename");
        if (rename(t->partitions[i]->dir, gone) == 0 && disk_remove_dir(gone, &e) < 0)
            logline(LOG_WARN, "broker", "%s", e.text);
    }
}

static enum broker_error submit_and_wait(struct broker *b, const struct buf *entries, struct err *e)
{
    struct journal_wait w;
    journal_wait_init(&w);
    enum broker_error r = journal_submit(&b->journal, buf_slice(entries), &w.done);
    if (r == BROKER_OK)
        r = journal_wait_for(&w);
    if (r != BROKER_OK)
        err_set(e, ERR_IO, "the journal refused the change: %s",
                broker_has_failed(b) ? broker_failure(b) : "no space on the disk");
    return r;
}

static enum broker_error create(struct broker *b, struct broker_topic_info *info, struct err *e)
{
    struct topic *t = catalog_topic_new(b, info, b->catalog.next_partition);
    struct buf entries;
    buf_init(&entries);
    entry_put_topic(&entries, info, t->first_partition);
    enum broker_error r = BROKER_STORAGE_ERROR;
    if (make_dirs(b, t, e) == 0) {
        FAILPOINT("topic.create.dirs");
        r = submit_and_wait(b, &entries, e);
    }
    if (r == BROKER_OK && catalog_insert(&b->catalog, t, e) < 0)
        r = BROKER_INVALID_PARTITIONS;
    buf_release(&entries);
    if (r == BROKER_OK)
        return r;
    catalog_topic_free(t);
    return r;
}

static enum broker_error check_config(const struct broker_topic_config *c, struct err *e)
{
    if (c->segment_bytes >= 1024 && c->max_message_bytes >= 0 && c->retention_ms >= -1 &&
        c->retention_bytes >= -1)
        return BROKER_OK;
    err_set(e, ERR_INVALID,
            "a topic needs segment.bytes >= 1024, max.message.bytes >= 0, "
            "retention.ms and retention.bytes >= -1");
    return BROKER_INVALID_CONFIG;
}

enum broker_error broker_topic_create(struct broker *b, const char *name, int32_t partitions,
                                      const struct broker_topic_config *config, struct err *e)
{
    struct broker_topic_info info = {.partitions = partitions};
    info.config = config == NULL ? broker_topic_config_default(b) : *config;
    if (!good_name(name)) {
        err_set(e, ERR_INVALID, "\"%s\" is no topic name: 1 to 249 of a-z A-Z 0-9 . _ -", name);
        return BROKER_INVALID_TOPIC;
    }
    if (partitions < 1 || partitions > PARTITIONS_MAX) {
        err_set(e, ERR_INVALID, "topic %s: %d partitions; 1 to %d are possible", name, partitions,
                PARTITIONS_MAX);
        return BROKER_INVALID_PARTITIONS;
    }
    enum broker_error r = check_config(&info.config, e);
    if (r != BROKER_OK)
        return r;
    snprintf(info.name, sizeof(info.name), "%s", name);
    if (getrandom(info.id, sizeof(info.id), 0) != (ssize_t)sizeof(info.id)) {
        err_io(e, "no random numbers");
        return BROKER_UNKNOWN_SERVER_ERROR;
    }
    pthread_rwlock_rdlock(&b->gate);
    pthread_mutex_lock(&b->catalog.admin);
    if (catalog_find(&b->catalog, name) != NULL) {
        err_set(e, ERR_EXISTS, "topic %s exists already", name);
        r = BROKER_TOPIC_ALREADY_EXISTS;
    } else {
        r = create(b, &info, e);
    }
    pthread_mutex_unlock(&b->catalog.admin);
    pthread_rwlock_unlock(&b->gate);
    return r;
}

static enum broker_error unknown(const char *name, struct err *e)
{
    err_set(e, ERR_NOT_FOUND, "there is no topic %s", name);
    return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
}

enum broker_error broker_topic_delete(struct broker *b, const char *name, struct err *e)
{
    struct buf entries;
    buf_init(&entries);
    // A compaction of the topic must not be half-way.
    pthread_mutex_lock(&b->checkpointing);
    pthread_rwlock_rdlock(&b->gate);
    pthread_mutex_lock(&b->catalog.admin);
    struct topic *t = catalog_find(&b->catalog, name);
    enum broker_error r = t == NULL ? unknown(name, e) : BROKER_OK;
    if (r == BROKER_OK) {
        entry_put_topic_delete(&entries, name, t->first_partition, t->info.partitions);
        r = submit_and_wait(b, &entries, e);
    }
    if (r == BROKER_OK) {
        FAILPOINT("topic.delete.durable");
        catalog_remove(&b->catalog, t);
        group_offsets_forget_topic(&b->offsets, name);
        remove_dirs(b, t);
    }
    pthread_mutex_unlock(&b->catalog.admin);
    pthread_rwlock_unlock(&b->gate);
    pthread_mutex_unlock(&b->checkpointing);
    buf_release(&entries);
    return r;
}

enum broker_error broker_topic_configure(struct broker *b, const char *name,
                                         const struct broker_topic_config *config, struct err *e)
{
    enum broker_error r = check_config(config, e);
    if (r != BROKER_OK)
        return r;
    struct buf entries;
    buf_init(&entries);
    pthread_rwlock_rdlock(&b->gate);
    pthread_mutex_lock(&b->catalog.admin);
    struct topic *t = catalog_find(&b->catalog, name);
    r = t == NULL ? unknown(name, e) : BROKER_OK;
    if (r == BROKER_OK) {
        entry_put_topic_config(&entries, t->first_partition, config);
        r = submit_and_wait(b, &entries, e);
    }
    if (r == BROKER_OK)
        catalog_set_config(&b->catalog, t, config);
    pthread_mutex_unlock(&b->catalog.admin);
    pthread_rwlock_unlock(&b->gate);
    buf_release(&entries);
    return r;
}

static void copy_info(struct broker *b, const struct topic *t, struct broker_topic_info *out)
{
    pthread_mutex_lock(&b->catalog.mutex);
    *out = t->info;
    pthread_mutex_unlock(&b->catalog.mutex);
}

enum broker_error broker_topic_find(struct broker *b, const char *name,
                                    struct broker_topic_info *out)
{
    const struct topic *t = catalog_find(&b->catalog, name);
    if (t == NULL)
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    copy_info(b, t, out);
    return BROKER_OK;
}

void broker_topic_each(struct broker *b, bool (*each)(void *arg, const struct broker_topic_info *),
                       void *arg)
{
    struct catalog *c = &b->catalog;
    pthread_mutex_lock(&c->mutex);
    uint32_t n = c->count;
    struct topic **all = check_alloc(malloc((n + 1) * sizeof(all[0])));
    if (n != 0)
        memcpy(all, c->topics, n * sizeof(all[0]));
    pthread_mutex_unlock(&c->mutex);
    bool more = true;
    for (uint32_t i = 0; i < n && more; i++) { // unlocked: `each` may call the broker
        struct broker_topic_info info;
        copy_info(b, all[i], &info);
        more = each(arg, &info);
    }
    free(all);
}

struct broker_partition *broker_partition_find(struct broker *b, const char *topic,
                                               int32_t partition)
{
    const struct topic *t = catalog_find(&b->catalog, topic);
    return t == NULL || partition < 0 || partition >= t->info.partitions ? NULL
                                                                         : t->partitions[partition];
}

// --- configs by name ----------------------------------------------------------------------------

struct broker_topic_config broker_topic_config_default(const struct broker *b)
{
    return (struct broker_topic_config){.cleanup = BROKER_DELETE,
                                        .retention_ms = (int64_t)DEFAULT_RETENTION_DAYS * DAY_MS,
                                        .retention_bytes = -1,
                                        .segment_bytes = b->config.segment_bytes,
                                        .segment_ms = (int64_t)DEFAULT_RETENTION_DAYS * DAY_MS,
                                        .delete_retention_ms = DAY_MS,
                                        .min_compaction_lag_ms = 0,
                                        .max_message_bytes = 1048588};
}

static enum broker_error set_i64(int64_t *out, const char *value, int64_t least)
{
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno != 0 || *value == 0 || *end != 0 || v < least)
        return BROKER_INVALID_CONFIG;
    *out = v;
    return BROKER_OK;
}

static enum broker_error set_cleanup(struct broker_topic_config *c, const char *value)
{
    bool compact = strstr(value, "compact") != NULL, cut = strstr(value, "delete") != NULL;
    static const char *const known[] = {"compact", "delete", "compact,delete", "delete,compact",
                                        NULL};
    for (int i = 0; known[i] != NULL; i++) {
        if (strcmp(known[i], value) != 0)
            continue;
        c->cleanup = compact ? (cut ? BROKER_COMPACT_DELETE : BROKER_COMPACT) : BROKER_DELETE;
        return BROKER_OK;
    }
    return BROKER_INVALID_CONFIG;
}

static enum broker_error set_time_type(struct broker_topic_config *c, const char *value)
{
    if (strcmp(value, "CreateTime") != 0 && strcmp(value, "LogAppendTime") != 0)
        return BROKER_INVALID_CONFIG;
    c->append_time = value[0] == 'L';
    return BROKER_OK;
}

enum broker_error broker_topic_config_set(struct broker_topic_config *c, const char *name,
                                          const char *value)
{
    // Valid elsewhere, without meaning for one node that syncs before it answers.
    static const char *const ignored[] = {"min.insync.replicas",
                                          "flush.ms",
                                          "flush.messages",
                                          "segment.index.bytes",
                                          "segment.jitter.ms",
                                          "unclean.leader.election.enable",
                                          "index.interval.bytes",
                                          "preallocate",
                                          "file.delete.delay.ms",
                                          "compression.type",
                                          "max.compaction.lag.ms",
                                          "min.cleanable.dirty.ratio",
                                          NULL};
    struct {
        const char *name;
        int64_t *to;
        int64_t least;
    } numbers[] = {{"retention.ms", &c->retention_ms, -1},
                   {"retention.bytes", &c->retention_bytes, -1},
                   {"segment.bytes", &c->segment_bytes, 1024},
                   {"segment.ms", &c->segment_ms, 1},
                   {"delete.retention.ms", &c->delete_retention_ms, 0},
                   {"min.compaction.lag.ms", &c->min_compaction_lag_ms, 0}};
    if (strcmp(name, "cleanup.policy") == 0)
        return set_cleanup(c, value);
    if (strcmp(name, "message.timestamp.type") == 0)
        return set_time_type(c, value);
    if (strcmp(name, "max.message.bytes") == 0) {
        int64_t v;
        if (set_i64(&v, value, 0) != BROKER_OK || v > INT32_MAX)
            return BROKER_INVALID_CONFIG;
        c->max_message_bytes = (int32_t)v;
        return BROKER_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return set_i64(numbers[i].to, value, numbers[i].least);
    for (int i = 0; ignored[i] != NULL; i++)
        if (strcmp(name, ignored[i]) == 0)
            return BROKER_OK;
    return BROKER_INVALID_CONFIG;
}
