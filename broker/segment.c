// SPDX-License-Identifier: Apache-2.0
#include "broker/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "broker/disk.h"
#include "log/crc32c.h"

enum {
    MARK_EVERY = 4096,    // bytes between marks
    SCAN_CHUNK = 1 << 20, // bytes read at once by a scan
    MARKS_FIRST = 16,
};

void segment_path(char out[SEGMENT_PATH], const char *dir, int64_t base, const char *suffix)
{
    snprintf(out, SEGMENT_PATH, "%s/%020" PRId64 "%s", dir, base, suffix);
}

static struct segment *make(const char *dir, int64_t base, int fd)
{
    struct segment *s = check_alloc(calloc(1, sizeof(*s)));
    s->dir = dir;
    s->base = s->end_offset = base;
    s->fd = fd;
    s->max_time = INT64_MIN;
    atomic_init(&s->refs, 1);
    atomic_init(&s->dirty, false);
    s->indexed = true;
    return s;
}

struct segment *segment_create(const char *dir, int64_t base, struct err *e)
{
    char path[SEGMENT_PATH];
    segment_path(path, dir, base, ".log");
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0666);
    if (fd < 0) {
        err_io(e, "cannot create segment %s", path);
        return NULL;
    }
    if (disk_sync_dir(dir) < 0) {
        err_io(e, "cannot sync directory %s", dir);
        close(fd);
        return NULL;
    }
    return make(dir, base, fd);
}

struct segment *segment_expect(const char *dir, int64_t base)
{
    return make(dir, base, -1);
}

int segment_attach(struct segment *s, struct err *e)
{
    if (s->fd >= 0)
        return 0;
    char path[SEGMENT_PATH];
    segment_path(path, s->dir, s->base, ".log");
    s->fd = open(path, O_RDWR | O_CLOEXEC);
    if (s->fd >= 0)
        return 0;
    bool missing = errno == ENOENT;
    err_io(e, "cannot open segment %s", path);
    e->code = missing ? ERR_NOT_FOUND : ERR_IO;
    return -1;
}

struct segment *segment_ref(struct segment *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void segment_unref(struct segment *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->marks);
    free(s);
}

void segment_remove_files(const struct segment *s)
{
    char path[SEGMENT_PATH];
    segment_path(path, s->dir, s->base, ".log");
    unlink(path);
    segment_path(path, s->dir, s->base, ".index");
    unlink(path);
}

void segment_note(struct segment *s, const struct head *h)
{
    int64_t last = s->marks_count == 0 ? -MARK_EVERY : s->marks[s->marks_count - 1].position;
    if (s->size - last >= MARK_EVERY) {
        if (s->marks_count == s->marks_size) {
            s->marks_size = s->marks_size == 0 ? MARKS_FIRST : 2 * s->marks_size;
            s->marks = check_alloc(realloc(s->marks, s->marks_size * sizeof(*s->marks)));
        }
        s->marks[s->marks_count++] = (struct segment_mark){h->base_offset, s->size, s->max_time};
    }
    s->size += h->size;
    s->end_offset = head_last_offset(h) + 1;
    if (!head_is_control(h) && h->count != 0 && h->max_time > s->max_time)
        s->max_time = h->max_time;
}

struct segment_point segment_point(const struct segment *s)
{
    return (struct segment_point){s->size, s->end_offset, s->max_time, s->marks_count};
}

void segment_rewind(struct segment *s, struct segment_point p)
{
    s->size = p.size;
    s->end_offset = p.end_offset;
    s->max_time = p.max_time;
    s->marks_count = p.marks_count;
}

int64_t segment_seek(const struct segment *s, int64_t offset)
{
    uint32_t low = 0, high = s->marks_count; // marks before `low` have offsets <= offset
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->marks[mid].offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? 0 : s->marks[low - 1].position;
}

int64_t segment_seek_time(const struct segment *s, int64_t time)
{
    uint32_t low = 0, high = s->marks_count; // everything before mark low - 1 is earlier than time
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (s->marks[mid].max_before < time)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? 0 : s->marks[low - 1].position;
}

static int bad(const struct segment *s, int64_t at, const char *why, struct err *e)
{
    return err_set(e, ERR_CORRUPT,
                   "segment %s/%020" PRId64 ".log, position %" PRId64
                   ": %s; the file was damaged after it was written; restore it from a copy, or "
                   "delete the topic",
                   s->dir, s->base, at, why);
}

// Makes at least `need` bytes from `at` on available in `b`, reading ahead.
static int fill(struct segment *s, struct buf *b, int64_t at, int64_t to, uint32_t need,
                struct err *e)
{
    int64_t want = to - at < SCAN_CHUNK ? to - at : SCAN_CHUNK;
    if (want < need)
        want = need;
    buf_clear(b);
    int64_t got = disk_read(s->fd, buf_reserve(b, (uint32_t)want), (size_t)want, at);
    if (got < 0)
        return err_io(e, "cannot read segment %s/%020" PRId64 ".log", s->dir, s->base);
    b->n = (uint32_t)got;
    return got < need ? bad(s, at + got, "the file ends inside a batch", e) : 0;
}

static int check_one(struct segment *s, const struct head *h, const uint8_t *p, int64_t at,
                     int64_t expected, struct err *e)
{
    // Only compaction leaves gaps; expected -1: a scan begins here, in the middle.
    bool gap = h->base_offset != expected && expected != -1 && s->cleaned_at == 0;
    if (h->base_offset < expected || gap)
        return bad(s, at, "offsets do not follow each other", e);
    if (crc32c(p + HEAD_OUTSIDE_CRC, h->size - HEAD_OUTSIDE_CRC) != h->crc)
        return bad(s, at, "checksum mismatch", e);
    return 0;
}

static int scan(struct segment *s, int64_t from, int64_t to, segment_each each, void *arg,
                struct buf *b, struct err *e)
{
    int64_t start = from, at = from; // b holds the bytes from `start`
    int64_t expected = from == 0 ? s->base : -1;
    while (at < to) {
        struct head h;
        if (at + HEAD_SIZE > start + b->n) {
            if (to - at < HEAD_SIZE)
                return bad(s, at, "the file ends inside a batch", e);
            if (fill(s, b, at, to, HEAD_SIZE, e) < 0)
                return -1;
            start = at;
        }
        if (!head_parse(b->p + (at - start), &h) || h.size > to - at)
            return bad(s, at, "not a record batch", e);
        if (at + h.size > start + b->n) {
            if (fill(s, b, at, to, h.size, e) < 0)
                return -1;
            start = at;
        }
        const uint8_t *p = b->p + (at - start);
        if (check_one(s, &h, p, at, expected, e) < 0 ||
            each(arg, &h, slice_of(p, h.size), at, e) < 0)
            return -1;
        expected = head_last_offset(&h) + 1;
        at += h.size;
    }
    return 0;
}

int segment_scan(struct segment *s, int64_t from, int64_t to, segment_each each, void *arg,
                 struct err *e)
{
    struct buf b;
    buf_init(&b);
    int r = scan(s, from, to, each, arg, &b, e);
    buf_release(&b);
    return r;
}
