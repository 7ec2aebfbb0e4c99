// SPDX-License-Identifier: Apache-2.0
//
// Progress: what the committer tells the world after each group: entries become visible, waiters of
// broker_progress_wait and the notify descriptor wake.
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "broker/core.h"

void broker_publish(struct broker *b, struct slice entries)
{
    struct cur c = cur_of(entries);
    struct entry e;
    while (entry_next(&c, &e)) {
        if (e.type == ENTRY_BATCH)
            partition_publish(catalog_partition(&b->catalog, e.partition), &e);
        else if (e.type == ENTRY_OFFSET)
            group_offsets_put(&b->offsets, &e);
    }
    CHECK(!c.failed);
}

static void moved(struct broker *b)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&b->progress_mutex);
    atomic_fetch_add(&b->progress, 1);
    pthread_cond_broadcast(&b->progress_cond);
    // A full counter has woken its reader already, so a short or failed write is no loss.
    if (b->notify_fd >= 0 && write(b->notify_fd, &one, sizeof(one)) < 0)
        errno = 0;
    pthread_mutex_unlock(&b->progress_mutex);
}

void broker_progressed(struct broker *b)
{
    moved(b);
}

// Counts as progress, so that a wake between a caller's look and its wait is not lost.
void broker_wake(struct broker *b)
{
    moved(b);
}

uint64_t broker_progress(const struct broker *b)
{
    return atomic_load(&b->progress);
}

uint64_t broker_progress_wait(struct broker *b, uint64_t seen, int64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int r = 0;
    pthread_mutex_lock(&b->progress_mutex);
    while (atomic_load(&b->progress) == seen && r == 0 && wait_ms > 0)
        r = pthread_cond_timedwait(&b->progress_cond, &b->progress_mutex, &until);
    uint64_t now = atomic_load(&b->progress);
    pthread_mutex_unlock(&b->progress_mutex);
    return now;
}

void broker_notify_fd(struct broker *b, int fd)
{
    pthread_mutex_lock(&b->progress_mutex);
    b->notify_fd = fd;
    pthread_mutex_unlock(&b->progress_mutex);
}
