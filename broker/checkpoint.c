// SPDX-License-Identifier: Apache-2.0
//
// Checkpoint: the steps are in snapshot.h. Only the copying of state and the turn to the new
// journal file keep callers waiting. A failure before the snapshot is in place leaves the old
// snapshot and all journals, which together say the same.
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "broker/snapshot.h"

struct work {
    struct segment **dirty; // referenced
    uint32_t count, size;
};

static void add_dirty(struct work *w, struct segment *s)
{
    if (w->count == w->size) {
        w->size = w->size == 0 ? 64 : 2 * w->size;
        w->dirty = check_alloc(realloc(w->dirty, w->size * sizeof(w->dirty[0])));
    }
    w->dirty[w->count++] = segment_ref(s);
}

static void collect(struct broker *b, struct work *w)
{
    uint32_t n;
    struct broker_partition **all = catalog_partitions(&b->catalog, &n);
    for (uint32_t i = 0; i < n; i++) {
        pthread_mutex_lock(&all[i]->state);
        for (uint32_t k = 0; k < all[i]->segments_count; k++)
            if (atomic_load(&all[i]->segments[k]->dirty))
                add_dirty(w, all[i]->segments[k]);
        pthread_mutex_unlock(&all[i]->state);
    }
    free(all);
}

// A failed sync is not tried again: the kernel may have dropped the pages.
static int sync_dirty(struct broker *b, struct work *w, struct err *e)
{
    int r = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        struct segment *s = w->dirty[i];
        if (r == 0) {
            atomic_store(&s->dirty, false);
            if (fdatasync(s->fd) < 0 || FAILPOINT_ERROR("checkpoint.segment_sync")) {
                r = err_io(e, "cannot sync segment %s/%020" PRId64 ".log", s->dir, s->base);
                broker_fail(b, "%s", e->text);
            }
        }
        segment_unref(s);
    }
    w->count = 0;
    return r;
}

// Gate held exclusively.
static int turn(struct broker *b, struct work *w, struct buf *snapshot, struct err *e)
{
    struct journal *j = &b->journal;
    journal_drain(j);
    if (broker_has_failed(b))
        return err_set(e, ERR_IO, "the broker has failed: %s", broker_failure(b));
    if (j->fd >= 0 && fdatasync(j->fd) < 0) {
        err_io(e, "cannot sync the journal in %s", j->dir);
        broker_fail(b, "%s", e->text);
        return -1;
    }
    if (journal_new_file(j, j->number + 1, j->sequence, e) < 0)
        return -1;
    FAILPOINT("checkpoint.new_journal");
    struct snapshot_head head = {j->number, j->sequence, b->catalog.next_partition};
    snapshot_build(b, &head, snapshot);
    collect(b, w);
    return 0;
}

static void delete_journals(struct journal *j)
{
    char path[SEGMENT_PATH];
    uint64_t number = j->number - 1;
    for (;; number--) { // newest first would leave gaps: find the oldest
        journal_path(path, j->dir, number);
        if (number == 0 || access(path, F_OK) < 0)
            break;
    }
    for (number++; number < j->number; number++) {
        journal_path(path, j->dir, number);
        unlink(path);
        FAILPOINT("checkpoint.delete_journal");
    }
}

// The snapshot is in place: what it holds may be compacted, and indexes up to it may be trusted.
static void settle(struct broker *b)
{
    uint32_t n;
    struct broker_partition **all = catalog_partitions(&b->catalog, &n);
    for (uint32_t i = 0; i < n; i++) {
        pthread_mutex_lock(&all[i]->state);
        for (uint32_t k = 0; k < all[i]->segments_count; k++) {
            struct segment *s = all[i]->segments[k];
            s->checkpointed = s->checkpointed || s->in_snapshot;
            if (k + 1 == all[i]->segments_count && s->snapshot.size != 0)
                segment_index_save(s, s->snapshot);
        }
        pthread_mutex_unlock(&all[i]->state);
    }
    free(all);
}

static int checkpoint(struct broker *b, struct work *w, struct buf *snapshot, struct err *e)
{
    collect(b, w);
    if (sync_dirty(b, w, e) < 0)
        return -1;
    FAILPOINT("checkpoint.begin");
    pthread_rwlock_wrlock(&b->gate);
    int r = turn(b, w, snapshot, e);
    pthread_rwlock_unlock(&b->gate);
    if (r < 0 || sync_dirty(b, w, e) < 0)
        return -1;
    FAILPOINT("checkpoint.synced");
    if (disk_replace(b->dir, "snapshot", buf_slice(snapshot), e) < 0)
        return -1;
    FAILPOINT("checkpoint.snapshot");
    delete_journals(&b->journal);
    settle(b);
    FAILPOINT("checkpoint.done");
    return 0;
}

int broker_checkpoint(struct broker *b, struct err *e)
{
    struct work w = {NULL, 0, 0};
    struct buf snapshot;
    buf_init(&snapshot);
    pthread_mutex_lock(&b->checkpointing);
    int r = broker_has_failed(b)
                ? err_set(e, ERR_IO, "the broker has failed: %s", broker_failure(b))
                : checkpoint(b, &w, &snapshot, e);
    pthread_mutex_unlock(&b->checkpointing);
    buf_release(&snapshot);
    free(w.dirty);
    return r;
}
