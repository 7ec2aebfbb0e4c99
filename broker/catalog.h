// SPDX-License-Identifier: Apache-2.0
//
// Catalog: the topics by name and the partitions by number. Topics and partitions are freed with
// the broker only, so pointers stay good; a deleted one is marked and out of the tables.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "broker/broker.h"

struct topic {
    struct broker_topic_info info; // config: under the catalog's lock
    uint32_t first_partition;
    struct broker_partition **partitions; // info.partitions of them
    bool deleted;
};

enum { CATALOG_CHUNK = 4096, CATALOG_CHUNKS = 1024 };

struct catalog {
    pthread_mutex_t admin; // topics are created, deleted and configured one by one
    pthread_mutex_t mutex; // the tables
    struct topic **topics; // live ones, in name order
    uint32_t count, size;
    struct topic **dead;
    uint32_t dead_count, dead_size;
    uint32_t next_partition; // number for the next topic's first
    // Partitions by number, read without a lock.
    _Atomic(struct broker_partition **) chunks[CATALOG_CHUNKS];
};

void catalog_init(struct catalog *);
void catalog_release(struct catalog *);
// A topic with its partitions, in no table yet.
struct topic *catalog_topic_new(struct broker *, const struct broker_topic_info *,
                                uint32_t first_partition);
void catalog_topic_free(struct topic *);
// -1: too many partitions were ever made.
int catalog_insert(struct catalog *, struct topic *, struct err *);
void catalog_remove(struct catalog *, struct topic *); // to the dead ones
struct topic *catalog_find(struct catalog *, const char *name);
struct topic *catalog_find_number(struct catalog *, uint32_t first_partition);
// Live or dead; NULL for a number never used.
struct broker_partition *catalog_partition(struct catalog *, uint32_t id);
// All live partitions at this moment; malloc'd.
struct broker_partition **catalog_partitions(struct catalog *, uint32_t *count);
void catalog_set_config(struct catalog *, struct topic *, const struct broker_topic_config *);
