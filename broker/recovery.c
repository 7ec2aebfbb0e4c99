// SPDX-License-Identifier: Apache-2.0
#include "broker/recovery.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logline.h"
#include "broker/core.h"
#include "broker/disk.h"
#include "broker/replay.h"

// --- journals -----------------------------------------------------------------------------------

struct pass {
    struct replay *replay;
    bool apply; // else only look for deleted topics
    bool synced, cut;
};

static int one_frame(void *arg, const struct journal_frame *f, struct err *e)
{
    struct pass *pass = arg;
    if (!pass->apply)
        return replay_note_deleted(pass->replay, f->payload, e);
    if (!pass->synced && !replay_is_whole(pass->replay, f->payload)) {
        logline(LOG_WARN, "broker",
                "frame %" PRIu64 " refers to data that never reached the disk "
                "(durability \"os\"): the log ends before it",
                f->sequence);
        pass->cut = true;
        return 1;
    }
    pass->replay->frames++;
    return replay_entries(pass->replay, f->payload, e);
}

// Reads the journal files from *number on; leaves the last one's number and the next sequence.
static int read_journals(struct broker *b, struct pass *pass, uint64_t *number, uint64_t *sequence,
                         struct err *e)
{
    char path[SEGMENT_PATH], next[SEGMENT_PATH];
    for (;; ++*number) {
        journal_path(path, b->journal.dir, *number);
        journal_path(next, b->journal.dir, *number + 1);
        bool last = access(next, F_OK) < 0;
        struct journal_source j = {path, *number, last, pass->synced};
        if (journal_read(&j, sequence, one_frame, pass, e) < 0) {
            if (e->code == ERR_NOT_FOUND)
                err_set(e, ERR_CORRUPT,
                        "journal %s is missing; it may hold acknowledged data; "
                        "restore the data directory from a copy",
                        path);
            return -1;
        }
        if (last || pass->cut)
            return 0;
    }
}

// Journals that a checkpoint was about to delete.
static void remove_old_journals(struct broker *b, uint64_t first)
{
    DIR *d = opendir(b->journal.dir);
    struct dirent *f;
    while (d != NULL && (f = readdir(d)) != NULL) {
        uint64_t number;
        int end = 0;
        if (sscanf(f->d_name, "%20" SCNu64 ".wal%n", &number, &end) == 1 && end != 0 &&
            number < first)
            unlinkat(dirfd(d), f->d_name, 0);
    }
    if (d != NULL)
        closedir(d);
}

// --- partitions ---------------------------------------------------------------------------------

static bool known_segment(const struct broker_partition *p, int64_t base)
{
    int32_t i = partition_segment_of(p, base);
    return i >= 0 && p->segments[i]->base == base;
}

// Files of segments that were never acknowledged or are gone, half-made compactions.
static int remove_strays(const struct broker_partition *p, struct err *e)
{
    DIR *d = opendir(p->dir);
    if (d == NULL && errno == ENOENT && p->segments_count == 0)
        return disk_make_dir(p->dir, e);
    if (d == NULL)
        return err_io(e, "cannot list %s", p->dir);
    struct dirent *f;
    while ((f = readdir(d)) != NULL) {
        int64_t base;
        int end = 0;
        bool mine = sscanf(f->d_name, "%20" SCNd64 "%n", &base, &end) == 1 && end == 20;
        const char *suffix = f->d_name + end;
        bool keep = !mine || (known_segment(p, base) && strcmp(suffix, ".cleaned") != 0);
        if (!keep)
            unlinkat(dirfd(d), f->d_name, 0);
    }
    closedir(d);
    return 0;
}

// Cuts the file to what is known of it.
static int fit(struct segment *s, struct err *e)
{
    struct stat st;
    if (segment_attach(s, e) < 0) {
        if (e->code == ERR_NOT_FOUND) {
            e->code = ERR_CORRUPT;
            err_wrap(e, "acknowledged data is missing");
        }
        return -1;
    }
    if (fstat(s->fd, &st) < 0)
        return err_io(e, "cannot read segment %s/%020" PRId64 ".log", s->dir, s->base);
    if (st.st_size < s->size)
        return err_set(e, ERR_CORRUPT,
                       "segment %s/%020" PRId64 ".log ends at position %lld, but %" PRId64
                       " bytes were acknowledged; restore the file from a copy",
                       s->dir, s->base, (long long)st.st_size, s->size);
    if (st.st_size > s->size) {
        if (ftruncate(s->fd, s->size) < 0)
            return err_io(e, "cannot cut segment %s/%020" PRId64 ".log", s->dir, s->base);
        atomic_store(&s->dirty, true);
    }
    return 0;
}

// When the file was written last, as far as the file system knows.
static int64_t written_ms(const struct segment *s)
{
    struct stat st;
    return fstat(s->fd, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000 : 0;
}

static int finish_partition(struct broker_partition *p, struct err *e)
{
    partition_replace(p, 0, partition_obsolete(p), NULL); // a trim before a roll
    if (remove_strays(p, e) < 0)
        return -1;
    for (uint32_t i = 0; i < p->segments_count; i++) {
        struct segment *s = p->segments[i];
        bool active = i + 1 == p->segments_count;
        // The index of a segment that grew behind the snapshot may be of bytes that were lost.
        int64_t trusted = s->sealed && s->checkpointed ? s->size : s->snapshot.size;
        if (fit(s, e) < 0 || segment_index_load(s, trusted, active, e) < 0)
            return -1;
        if (s->sealed && s->indexed)
            segment_index_save(s, segment_point(s));
        s->created_ms = active && s->size != 0 ? clk_wall_ms(p->broker->clk) : written_ms(s);
    }
    return 0;
}

static bool belongs(struct broker *b, const char *dir)
{
    uint32_t n;
    struct broker_partition **all = catalog_partitions(&b->catalog, &n);
    bool found = false;
    for (uint32_t i = 0; i < n && !found; i++)
        found = strcmp(strrchr(all[i]->dir, '/') + 1, dir) == 0;
    free(all);
    return found;
}

// Directories of topics whose creation or deletion was cut short.
static int remove_stray_dirs(struct broker *b, struct err *e)
{
    char topics[SEGMENT_PATH - 300], path[SEGMENT_PATH];
    snprintf(topics, sizeof(topics), "%s/topics", b->dir);
    DIR *d = opendir(topics);
    if (d == NULL)
        return err_io(e, "cannot list %s", topics);
    struct dirent *f;
    int r = 0;
    while (r == 0 && (f = readdir(d)) != NULL) {
        if (f->d_name[0] == '.' && (f->d_name[1] == 0 || strcmp(f->d_name, "..") == 0))
            continue;
        if (belongs(b, f->d_name))
            continue;
        logline(LOG_INFO, "broker", "removing %s/%s: no topic owns it", topics, f->d_name);
        snprintf(path, sizeof(path), "%s/%s", topics, f->d_name);
        r = disk_remove_dir(path, e);
    }
    closedir(d);
    return r;
}

static int finish(struct broker *b, struct err *e)
{
    uint32_t n;
    struct broker_partition **all = catalog_partitions(&b->catalog, &n);
    int r = remove_stray_dirs(b, e);
    for (uint32_t i = 0; i < n && r == 0; i++)
        r = finish_partition(all[i], e);
    free(all);
    return r;
}

// --- all ----------------------------------------------------------------------------------------

static int run(struct broker *b, struct replay *replay, struct slice snapshot,
               const struct snapshot_head *head, struct recovered *out, struct err *e)
{
    struct pass pass = {.replay = replay, .synced = b->config.durability == BROKER_FSYNC};
    uint64_t number = head->journal, sequence = head->sequence;
    if (read_journals(b, &pass, &number, &sequence, e) < 0)
        return -1;
    b->catalog.next_partition = head->next_partition;
    if (replay_entries(replay, snapshot, e) < 0)
        return err_wrap(e, "snapshot in %s", b->dir);
    pass.apply = true;
    number = head->journal;
    sequence = head->sequence;
    if (read_journals(b, &pass, &number, &sequence, e) < 0)
        return -1;
    *out = (struct recovered){number, sequence, replay->frames != 0 || pass.cut};
    return finish(b, e);
}

int recovery_run(struct broker *b, struct recovered *out, struct err *e)
{
    char path[SEGMENT_PATH];
    struct buf file;
    struct snapshot_head head;
    struct slice entries;
    struct replay replay;
    buf_init(&file);
    replay_init(&replay, b);
    snprintf(path, sizeof(path), "%s/snapshot", b->dir);
    int r = disk_load(path, &file, e);
    if (r < 0 && e->code == ERR_NOT_FOUND)
        err_set(e, ERR_CORRUPT, "%s is missing; restore the data directory from a copy", path);
    if (r == 0)
        r = snapshot_parse(buf_slice(&file), path, &head, &entries, e);
    if (r == 0) {
        remove_old_journals(b, head.journal);
        r = run(b, &replay, entries, &head, out, e);
    }
    replay_release(&replay);
    buf_release(&file);
    return r;
}
