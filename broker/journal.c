// SPDX-License-Identifier: Apache-2.0
#include "broker/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "broker/segment.h"

enum {
    ZERO_STEP = 1 << 20,        // journal space made at once
    SLACK = 128,                // for a frame's header, padding and a seal
    PROMISED_MAX = 64 << 20,    // callers wait when this much is queued
    REPLAY_PER_CHECKPOINT = 16, // × checkpoint_bytes of data read by a recovery
    FILE_MAX = 1 << 30,         // refused beyond: checkpoints must be failing
};

void journal_path(char *out, const char *dir, uint64_t number)
{
    snprintf(out, SEGMENT_PATH, "%s/%020" PRIu64 ".wal", dir, number);
}

int journal_init(struct journal *j, struct broker *b, struct err *e)
{
    *j = (struct journal){.broker = b, .fd = -1};
    pthread_mutex_init(&j->mutex, NULL);
    pthread_cond_init(&j->work, NULL);
    pthread_cond_init(&j->idle, NULL);
    j->filling = &j->groups[0];
    if (asprintf(&j->dir, "%s/journal", b->dir) < 0)
        return err_set(e, ERR_LIMIT, "out of memory");
    return disk_make_dir(j->dir, e);
}

int journal_new_file(struct journal *j, uint64_t number, uint64_t sequence, struct err *e)
{
    char path[SEGMENT_PATH];
    journal_path(path, j->dir, number);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_io(e, "cannot create journal %s", path);
    uint8_t header[JOURNAL_HEADER];
    journal_header_put(header, number, sequence);
    if (disk_write(fd, header, sizeof(header), 0) < 0 ||
        disk_zero(fd, JOURNAL_HEADER, ZERO_STEP - JOURNAL_HEADER) < 0 || fsync(fd) < 0 ||
        disk_sync_dir(j->dir) < 0) {
        err_io(e, "cannot write journal %s", path);
        close(fd);
        unlink(path);
        return -1;
    }
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->number = number;
    j->sequence = sequence;
    j->position = JOURNAL_HEADER;
    j->zeroed = ZERO_STEP;
    j->replay = 0;
    return 0;
}

// --- callers ------------------------------------------------------------------------------------

static int make_room(struct journal *j, int64_t bytes, struct err *e)
{
    int64_t need = j->position + j->promised + bytes + 2 * SLACK;
    if (need <= j->zeroed)
        return 0;
    if (need > FILE_MAX)
        return err_set(e, ERR_LIMIT, "the journal in %s is full: checkpoints have been failing",
                       j->dir);
    int64_t to = (need + ZERO_STEP - 1) / ZERO_STEP * ZERO_STEP;
    if (FAILPOINT_ERROR("journal.no_space"))
        errno = ENOSPC;
    else if (disk_zero(j->fd, j->zeroed, to - j->zeroed) == 0) {
        j->zeroed = to;
        return 0;
    }
    return err_io(e,
                  "cannot extend the journal in %s by %lld bytes; nothing was written; make room "
                  "on the disk",
                  j->dir, (long long)(to - j->zeroed));
}

int journal_reserve(struct journal *j, int64_t bytes, struct err *e)
{
    pthread_mutex_lock(&j->mutex);
    while (j->promised > PROMISED_MAX && !broker_has_failed(j->broker))
        pthread_cond_wait(&j->idle, &j->mutex);
    int r = broker_has_failed(j->broker)
                ? err_set(e, ERR_IO, "the broker has failed: %s", broker_failure(j->broker))
                : make_room(j, bytes, e);
    if (r == 0)
        j->promised += bytes;
    pthread_mutex_unlock(&j->mutex);
    return r;
}

void journal_give_back(struct journal *j, int64_t bytes)
{
    pthread_mutex_lock(&j->mutex);
    j->promised -= bytes;
    pthread_mutex_unlock(&j->mutex);
}

struct buf *journal_begin(struct journal *j)
{
    pthread_mutex_lock(&j->mutex);
    return &j->filling->payload;
}

void journal_sync_segment(struct journal *j, struct segment *s, int64_t bytes)
{
    struct journal_group *g = j->filling;
    g->referenced += bytes;
    for (uint32_t i = 0; i < g->syncs_count; i++)
        if (g->syncs[i] == s)
            return;
    if (g->syncs_count == g->syncs_size) {
        g->syncs_size = g->syncs_size == 0 ? 16 : 2 * g->syncs_size;
        g->syncs = check_alloc(realloc(g->syncs, g->syncs_size * sizeof(g->syncs[0])));
    }
    g->syncs[g->syncs_count++] = segment_ref(s);
}

void journal_end(struct journal *j, int64_t reserved, struct broker_done *done)
{
    struct journal_group *g = j->filling;
    g->promised += reserved;
    if (done != NULL && g->dones_count == g->dones_size) {
        g->dones_size = g->dones_size == 0 ? 16 : 2 * g->dones_size;
        g->dones = check_alloc(realloc(g->dones, g->dones_size * sizeof(g->dones[0])));
    }
    if (done != NULL)
        g->dones[g->dones_count++] = done;
    if (!j->busy)
        pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->mutex);
}

enum broker_error journal_submit(struct journal *j, struct slice entries, struct broker_done *done)
{
    struct err e;
    if (journal_reserve(j, entries.n, &e) < 0)
        return BROKER_STORAGE_ERROR;
    buf_slice_put(journal_begin(j), entries);
    journal_end(j, entries.n, done);
    return BROKER_OK;
}

void journal_drain(struct journal *j)
{
    pthread_mutex_lock(&j->mutex);
    while (j->busy || j->filling->dones_count != 0 || j->filling->payload.n != 0)
        pthread_cond_wait(&j->idle, &j->mutex);
    pthread_mutex_unlock(&j->mutex);
}

static void wait_fired(struct broker_done *done, enum broker_error error)
{
    struct journal_wait *w = (struct journal_wait *)done;
    pthread_mutex_lock(&w->mutex);
    w->fired = true;
    w->error = error;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

void journal_wait_init(struct journal_wait *w)
{
    w->done.fn = wait_fired;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    w->fired = false;
    w->error = BROKER_OK;
}

enum broker_error journal_wait_for(struct journal_wait *w)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->fired)
        pthread_cond_wait(&w->cond, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->cond);
    return w->error;
}

// --- the committer ------------------------------------------------------------------------------

static bool durable(const struct journal *j)
{
    return j->broker->config.durability == BROKER_FSYNC;
}

static int sync_segments(struct journal *j, struct journal_group *g)
{
    for (uint32_t i = 0; i < g->syncs_count && durable(j); i++) {
        struct segment *s = g->syncs[i];
        if (fdatasync(s->fd) < 0 || FAILPOINT_ERROR("journal.segment_sync")) {
            broker_fail(j->broker, "cannot sync segment %s/%020" PRId64 ".log: %s", s->dir, s->base,
                        strerror(errno));
            return -1;
        }
    }
    return 0;
}

// Writes the frame at j->position; only the committer moves it.
static int write_frame(struct journal *j, struct journal_group *g)
{
    uint8_t head[JOURNAL_FRAME];
    journal_frame_put(head, buf_slice(&g->payload), j->sequence);
    FAILPOINT("journal.before_write");
    if (disk_write2(j->fd, slice_of(head, sizeof(head)), buf_slice(&g->payload), j->position) < 0) {
        broker_fail(j->broker, "cannot write the journal in %s: %s", j->dir, strerror(errno));
        return -1;
    }
    FAILPOINT("journal.before_sync");
    if (durable(j) && (fdatasync(j->fd) < 0 || FAILPOINT_ERROR("journal.sync"))) {
        broker_fail(j->broker, "cannot sync the journal in %s: %s", j->dir, strerror(errno));
        return -1;
    }
    FAILPOINT("journal.after_sync");
    return 0;
}

// Unsynced on purpose: it only helps to tell damage from a torn write.
static void write_seal(struct journal *j)
{
    uint8_t seal[JOURNAL_FRAME];
    journal_frame_put(seal, (struct slice){NULL, 0}, j->sequence);
    if (disk_write(j->fd, seal, sizeof(seal), j->position) < 0)
        broker_fail(j->broker, "cannot write the journal in %s: %s", j->dir, strerror(errno));
}

static int commit_group(struct journal *j, struct journal_group *g)
{
    if (broker_has_failed(j->broker))
        return -1;
    if (g->payload.n == 0)
        return 0; // only waiters for what an earlier group made durable
    if (sync_segments(j, g) < 0 || write_frame(j, g) < 0)
        return -1;
    int64_t size = journal_frame_size(g->payload.n);
    broker_publish(j->broker, buf_slice(&g->payload));
    pthread_mutex_lock(&j->mutex);
    j->position += size;
    j->sequence++;
    j->replay += size + g->referenced;
    pthread_mutex_unlock(&j->mutex);
    return 0;
}

static void finish_group(struct journal_group *g, enum broker_error error)
{
    for (uint32_t i = 0; i < g->dones_count; i++)
        g->dones[i]->fn(g->dones[i], error);
    for (uint32_t i = 0; i < g->syncs_count; i++)
        segment_unref(g->syncs[i]);
    buf_clear(&g->payload);
    g->dones_count = g->syncs_count = 0;
    g->promised = g->referenced = 0;
}

static bool wants_checkpoint(const struct journal *j)
{
    int64_t limit = j->broker->config.checkpoint_bytes;
    return j->position > limit || j->replay > REPLAY_PER_CHECKPOINT * limit;
}

static bool has_work(const struct journal *j)
{
    return j->filling->dones_count != 0 || j->filling->payload.n != 0;
}

static void *committer(void *arg)
{
    struct journal *j = arg;
    pthread_mutex_lock(&j->mutex);
    for (;;) {
        while (!j->stop && !has_work(j))
            pthread_cond_wait(&j->work, &j->mutex);
        if (!has_work(j))
            break;
        struct journal_group *g = j->filling;
        j->filling = g == &j->groups[0] ? &j->groups[1] : &j->groups[0];
        j->busy = true;
        pthread_mutex_unlock(&j->mutex);
        int r = commit_group(j, g);
        int64_t promised = g->promised;
        finish_group(g, r == 0 ? BROKER_OK : BROKER_STORAGE_ERROR);
        broker_progressed(j->broker);
        pthread_mutex_lock(&j->mutex);
        j->promised -= promised;
        if (!has_work(j) && r == 0)
            write_seal(j);
        j->busy = false;
        if (wants_checkpoint(j))
            keeper_want_checkpoint(&j->broker->keeper);
        pthread_cond_broadcast(&j->idle);
    }
    pthread_mutex_unlock(&j->mutex);
    return NULL;
}

int journal_start(struct journal *j, struct err *e)
{
    j->stop = false;
    errno = pthread_create(&j->thread, NULL, committer, j);
    if (errno != 0)
        return err_io(e, "cannot start the committer thread");
    j->running = true;
    return 0;
}

void journal_stop(struct journal *j)
{
    if (!j->running)
        return;
    pthread_mutex_lock(&j->mutex);
    j->stop = true;
    pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->mutex);
    pthread_join(j->thread, NULL);
    j->running = false;
}

void journal_release(struct journal *j)
{
    journal_stop(j);
    for (int i = 0; i < 2; i++) {
        buf_release(&j->groups[i].payload);
        free(j->groups[i].dones);
        free(j->groups[i].syncs);
    }
    if (j->fd >= 0)
        close(j->fd);
    free(j->dir);
    pthread_mutex_destroy(&j->mutex);
    pthread_cond_destroy(&j->work);
    pthread_cond_destroy(&j->idle);
}
