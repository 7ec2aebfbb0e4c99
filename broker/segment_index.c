// SPDX-License-Identifier: Apache-2.0
//
// The index file of a segment: a header (what it covers, the segment's highest time, checksums) and
// the marks, in this machine's byte order. It is written without a sync: a crash leaves a file
// whose checksum or covered size is wrong, and the log is scanned instead. A sealed segment's
// header is read at open, its marks at the first question.
#include "broker/segment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "broker/disk.h"
#include "log/crc32c.h"

static const char MAGIC[8] = "weirix01";

struct index_header {
    char magic[8];
    int64_t covers; // bytes of the segment
    int64_t end_offset, max_time;
    uint32_t count;     // marks
    uint32_t marks_crc; // of the marks
    uint32_t crc;       // of this header up to here
    uint32_t unused;
};

static int open_index(const struct segment *s, int flags)
{
    char path[SEGMENT_PATH];
    segment_path(path, s->dir, s->base, ".index");
    return open(path, flags | O_CLOEXEC, 0666);
}

static bool read_header(int fd, struct index_header *h)
{
    return disk_read(fd, h, sizeof(*h), 0) == (int64_t)sizeof(*h) &&
           memcmp(h->magic, MAGIC, sizeof(MAGIC)) == 0 &&
           h->crc == crc32c(h, offsetof(struct index_header, crc)) && h->covers >= 0;
}

static bool marks_make_sense(const struct segment_mark *m, uint32_t n, int64_t covers)
{
    for (uint32_t i = 0; i < n; i++) {
        if (m[i].position < 0 || m[i].position >= covers)
            return false;
        if (i != 0 && (m[i].position <= m[i - 1].position || m[i].offset <= m[i - 1].offset ||
                       m[i].max_before < m[i - 1].max_before))
            return false;
    }
    return true;
}

static bool read_marks(struct segment *s, int fd, const struct index_header *h)
{
    struct stat st;
    size_t bytes = (size_t)h->count * sizeof(struct segment_mark);
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < sizeof(*h) + bytes)
        return false;
    struct segment_mark *m = check_alloc(malloc(bytes == 0 ? 1 : bytes));
    if (disk_read(fd, m, bytes, sizeof(*h)) != (int64_t)bytes || crc32c(m, bytes) != h->marks_crc ||
        !marks_make_sense(m, h->count, h->covers)) {
        free(m);
        return false;
    }
    free(s->marks);
    s->marks = m;
    s->marks_count = s->marks_size = h->count;
    return true;
}

static int note(void *arg, const struct head *h, struct slice batch, int64_t position,
                struct err *e)
{
    (void)batch;
    (void)position;
    (void)e;
    segment_note(arg, h);
    return 0;
}

// Marks the bytes behind what the marks cover so far (s->size), up to `to`.
static int scan_rest(struct segment *s, int64_t to, struct err *e)
{
    int r = segment_scan(s, s->size, to, note, s, e);
    s->indexed = r == 0;
    return r;
}

static int rebuild(struct segment *s, struct err *e)
{
    int64_t to = s->size;
    s->size = 0;
    s->end_offset = s->base;
    s->max_time = INT64_MIN;
    s->marks_count = 0;
    int r = scan_rest(s, to, e);
    if (r < 0)
        s->size = to;
    return r;
}

int segment_index_load(struct segment *s, int64_t trusted, bool now, struct err *e)
{
    struct index_header h;
    int64_t size = s->size;
    int fd = open_index(s, O_RDONLY);
    bool good = fd >= 0 && read_header(fd, &h) && h.covers <= size && h.covers <= trusted;
    if (good && !now && h.covers == size) {
        s->end_offset = h.end_offset;
        s->max_time = h.max_time;
        s->indexed = false;
        close(fd);
        return 0;
    }
    good = good && read_marks(s, fd, &h);
    if (fd >= 0)
        close(fd);
    if (!good)
        return rebuild(s, e);
    s->size = h.covers;
    s->end_offset = h.end_offset;
    s->max_time = h.max_time;
    int r = scan_rest(s, size, e);
    if (r == 0)
        return 0;
    s->size = size; // the index may be of another life of this file: let the log alone decide
    return rebuild(s, e);
}

int segment_index_need(struct segment *s, struct err *e)
{
    if (s->indexed)
        return 0;
    struct index_header h;
    int fd = open_index(s, O_RDONLY);
    bool good = fd >= 0 && read_header(fd, &h) && h.covers == s->size && read_marks(s, fd, &h);
    if (fd >= 0)
        close(fd);
    if (!good && rebuild(s, e) < 0)
        return -1;
    s->indexed = true;
    return 0;
}

void segment_index_save(const struct segment *s, struct segment_point point)
{
    if (!s->indexed)
        return;
    size_t bytes = (size_t)point.marks_count * sizeof(struct segment_mark);
    struct index_header h = {.covers = point.size,
                             .end_offset = point.end_offset,
                             .max_time = point.max_time,
                             .count = point.marks_count,
                             .marks_crc = crc32c(s->marks, bytes)};
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    h.crc = crc32c(&h, offsetof(struct index_header, crc));
    int fd = open_index(s, O_CREAT | O_TRUNC | O_WRONLY);
    if (fd < 0)
        return;
    if (disk_write2(fd, slice_of(&h, sizeof(h)), slice_of(s->marks, bytes), 0) < 0 &&
        ftruncate(fd, 0) < 0)
        (void)0; // a wrong file is recognised by its checksum
    close(fd);
}
