// SPDX-License-Identifier: Apache-2.0
#include "connectors/line_reader.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

enum kind { KIND_UNDECIDED, KIND_PLAIN, KIND_GZIP };

struct line_reader {
    char *path;
    int fd;
    enum kind kind;
    int64_t raw;      // bytes read from the descriptor
    int64_t position; // of window byte `begin`
    uint8_t *buf;
    uint32_t begin, end, size; // window = buf[begin, end); size leaves room for the padding

    // gzip only
    z_stream z;
    bool z_ready;
    bool inside; // a member has begun and has not ended
    bool torn;
    uint8_t *in; // compressed bytes not yet inflated: z.next_in, z.avail_in
};

int line_reader_open(const char *path, struct line_reader **out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "cannot open \"%s\"", path);
    struct line_reader *r = check_alloc(calloc(1, sizeof *r));
    r->path = check_alloc(strdup(path));
    r->fd = fd;
    r->size = LINE_READER_CHUNK;
    r->buf = check_alloc(calloc(1, r->size + LINE_READER_PADDING));
    *out = r;
    return 0;
}

void line_reader_close(struct line_reader *r)
{
    if (r == NULL)
        return;
    if (r->z_ready)
        inflateEnd(&r->z);
    close(r->fd);
    free(r->in);
    free(r->buf);
    free(r->path);
    free(r);
}

// Room for a chunk behind the window: moves the window to the front, doubles when it is large.
static void make_room(struct line_reader *r)
{
    uint32_t used = r->end - r->begin;
    if (r->size - r->end >= LINE_READER_CHUNK / 2)
        return;
    if (r->begin != 0) {
        memmove(r->buf, r->buf + r->begin, used);
        r->begin = 0;
        r->end = used;
    }
    if (r->size - r->end < LINE_READER_CHUNK / 2) {
        CHECK(r->size < UINT32_MAX / 2 - LINE_READER_PADDING);
        r->size *= 2;
        r->buf = check_alloc(realloc(r->buf, r->size + LINE_READER_PADDING));
    }
}

static ssize_t read_raw(struct line_reader *r, void *p, size_t n, struct err *e)
{
    for (;;) {
        ssize_t got = read(r->fd, p, n);
        if (got >= 0) {
            r->raw += got;
            return got;
        }
        if (errno != EINTR)
            return err_io(e, "cannot read \"%s\" at byte %lld", r->path, (long long)r->raw);
    }
}

// The first two bytes say what the file is. A file with one byte so far is plain unless it may
// still become a gzip.
static int decide(struct line_reader *r, struct err *e)
{
    uint8_t magic[2] = {0, 0};
    ssize_t n = pread(r->fd, magic, 2, 0);
    if (n < 0)
        return err_io(e, "cannot read \"%s\"", r->path);
    if (n == 0 || (n == 1 && magic[0] == 0x1f)) {
        r->torn = n == 1;
        return 0;
    }
    r->torn = false;
    if (n == 1 || magic[0] != 0x1f || magic[1] != 0x8b) {
        r->kind = KIND_PLAIN;
        return 0;
    }
    r->kind = KIND_GZIP;
    CHECK(inflateInit2(&r->z, 15 + 16) == Z_OK);
    r->z_ready = true;
    r->in = check_alloc(malloc(LINE_READER_CHUNK));
    return 0;
}

static int fill_plain(struct line_reader *r, struct err *e)
{
    ssize_t n = read_raw(r, r->buf + r->end, r->size - r->end, e);
    if (n <= 0)
        return (int)n;
    r->end += (uint32_t)n;
    return 1;
}

static int bad_gzip(struct line_reader *r, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "\"%s\": damaged gzip near byte %lld (uncompressed byte %lld): %s; rows before "
                   "it were read; repair or replace the file",
                   r->path, (long long)(r->raw - r->z.avail_in),
                   (long long)(r->position + (r->end - r->begin)),
                   r->z.msg == NULL ? "not a gzip member" : r->z.msg);
}

// Between members: skips zero padding. True when there is a byte to inflate.
static bool next_member(struct line_reader *r)
{
    while (r->z.avail_in > 0 && *r->z.next_in == 0) {
        r->z.next_in++;
        r->z.avail_in--;
    }
    if (r->z.avail_in == 0)
        return false;
    CHECK(inflateReset2(&r->z, 15 + 16) == Z_OK);
    r->inside = true;
    return true;
}

static int fill_gzip(struct line_reader *r, struct err *e)
{
    for (;;) {
        if (r->z.avail_in == 0) {
            ssize_t n = read_raw(r, r->in, LINE_READER_CHUNK, e);
            if (n <= 0) {
                r->torn = r->inside;
                return (int)n;
            }
            r->z.next_in = r->in;
            r->z.avail_in = (uInt)n;
        }
        if (!r->inside && !next_member(r))
            continue;
        r->z.next_out = r->buf + r->end;
        r->z.avail_out = r->size - r->end;
        int rc = inflate(&r->z, Z_NO_FLUSH);
        uint32_t made = r->size - r->end - r->z.avail_out;
        r->end += made;
        if (rc == Z_STREAM_END)
            r->inside = false;
        else if (rc != Z_OK && rc != Z_BUF_ERROR && made == 0)
            return bad_gzip(r, e); // with bytes made before the damage, at the next call
        if (made > 0) {
            r->torn = false;
            return 1;
        }
    }
}

int line_reader_fill(struct line_reader *r, struct err *e)
{
    if (r->kind == KIND_UNDECIDED && decide(r, e) != 0)
        return -1;
    if (r->kind == KIND_UNDECIDED)
        return 0;
    make_room(r);
    int rc = r->kind == KIND_PLAIN ? fill_plain(r, e) : fill_gzip(r, e);
    if (rc == 1)
        memset(r->buf + r->end, 0, LINE_READER_PADDING);
    return rc;
}

struct slice line_reader_window(const struct line_reader *r)
{
    return slice_of(r->buf + r->begin, r->end - r->begin);
}

void line_reader_take(struct line_reader *r, uint32_t n)
{
    CHECK(n <= r->end - r->begin);
    r->begin += n;
    r->position += n;
}

int64_t line_reader_position(const struct line_reader *r)
{
    return r->position;
}

// Back to byte 0 of the uncompressed text.
static int rewind_all(struct line_reader *r, struct err *e)
{
    if (lseek(r->fd, 0, SEEK_SET) < 0)
        return err_io(e, "cannot seek in \"%s\"", r->path);
    r->begin = r->end = 0;
    r->position = r->raw = 0;
    r->inside = r->torn = false;
    r->z.avail_in = 0;
    return 0;
}

int line_reader_seek(struct line_reader *r, int64_t position, struct err *e)
{
    if (r->kind == KIND_UNDECIDED && decide(r, e) != 0)
        return -1;
    if (r->kind == KIND_PLAIN) {
        off_t size = lseek(r->fd, 0, SEEK_END);
        if (size < 0 || (size >= position && lseek(r->fd, (off_t)position, SEEK_SET) < 0))
            return err_io(e, "cannot seek in \"%s\"", r->path);
        if (size < position)
            return err_set(e, ERR_RANGE, "\"%s\" has %lld bytes, fewer than the %lld already read",
                           r->path, (long long)size, (long long)position);
        r->begin = r->end = 0;
        r->position = r->raw = position;
        return 0;
    }
    if (position < r->position && rewind_all(r, e) != 0)
        return -1;
    while (r->position < position) {
        uint32_t have = r->end - r->begin;
        int64_t want = position - r->position;
        line_reader_take(r, want < have ? (uint32_t)want : have);
        if (r->position == position)
            break;
        int rc = line_reader_fill(r, e);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return err_set(e, ERR_RANGE,
                           "\"%s\" ends at uncompressed byte %lld, before the %lld already read",
                           r->path, (long long)r->position, (long long)position);
    }
    return 0;
}

bool line_reader_torn(const struct line_reader *r)
{
    return r->torn;
}

bool line_reader_gzip(const struct line_reader *r)
{
    return r->kind == KIND_GZIP;
}

int64_t line_reader_raw(const struct line_reader *r)
{
    return r->raw;
}

int line_reader_fd(const struct line_reader *r)
{
    return r->fd;
}

const char *line_reader_path(const struct line_reader *r)
{
    return r->path;
}
