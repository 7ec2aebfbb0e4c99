// SPDX-License-Identifier: Apache-2.0
//
// The container's reader: header, then block by block; records have no length of their own, so the
// plan's steps say where each ends. Nothing in the file is trusted: sizes are bounded and the sync
// marker is checked behind every block.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/avro.h"
#include "formats/avro_container.h"

enum { SYNC = 16, CHUNK = 256 * 1024, BLOCK_MAX = 64 << 20, META_MAX = 4 << 20 };

struct avro_scan {
    int fd;
    char *path;
    struct codec *codec;
    bool deflate, end;
    uint8_t sync[SYNC];
    struct buf schema, in, unpacked;
    uint32_t at;        // read up to here in `in`
    uint64_t offset;    // of in.p in the file
    struct slice block; // what is left of the block's records
    uint64_t records;   // left in the block
};

static int corrupt(const struct avro_scan *r, const char *what, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "Avro file %s is damaged at byte %llu: %s", r->path,
                   (unsigned long long)(r->offset + r->at), what);
}

// Makes n unread bytes available, or fewer at the end of the file.
static int fill(struct avro_scan *r, uint32_t n, struct err *e)
{
    if (r->in.n - r->at >= n)
        return 0;
    memmove(r->in.p, r->in.p + r->at, r->in.n - r->at);
    r->in.n -= r->at;
    r->offset += r->at;
    r->at = 0;
    while (r->in.n < n && !r->end) {
        uint8_t *to = buf_reserve(&r->in, CHUNK);
        ssize_t got = read(r->fd, to, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_io(e, "cannot read Avro file %s", r->path);
        r->end = got == 0;
        r->in.n += (uint32_t)got;
    }
    return 0;
}

static int take_long(struct avro_scan *r, int64_t *out, struct err *e)
{
    if (fill(r, BYTES_VARINT_MAX, e) != 0)
        return -1;
    uint32_t n = bytes_get_varint(r->in.p + r->at, r->in.n - r->at, out);
    if (n == 0)
        return corrupt(r, "a number breaks off", e);
    r->at += n;
    return 0;
}

static int take_bytes(struct avro_scan *r, int64_t n, struct slice *out, struct err *e)
{
    if (n < 0 || n > BLOCK_MAX)
        return corrupt(r, "a size that cannot be", e);
    if (fill(r, (uint32_t)n, e) != 0)
        return -1;
    if (r->in.n - r->at < n)
        return corrupt(r, "the file breaks off", e);
    *out = slice_of(r->in.p + r->at, (size_t)n);
    r->at += (uint32_t)n;
    return 0;
}

static int take_pair(struct avro_scan *r, struct err *e)
{
    char key[32];
    int64_t n;
    struct slice s;
    if (take_long(r, &n, e) != 0 || take_bytes(r, n, &s, e) != 0)
        return -1;
    snprintf(key, sizeof(key), "%.*s", (int)s.n, (const char *)s.p);
    if (take_long(r, &n, e) != 0 || take_bytes(r, n, &s, e) != 0)
        return -1;
    if (strcmp(key, "avro.schema") == 0) {
        buf_clear(&r->schema);
        buf_slice_put(&r->schema, s);
    } else if (strcmp(key, "avro.codec") == 0) {
        r->deflate = slice_eq_str(s, "deflate");
        if (!r->deflate && !slice_eq_str(s, "null"))
            return err_set(e, ERR_UNSUPPORTED,
                           "Avro file %s is compressed with %.*s; only deflate and null are read",
                           r->path, (int)(s.n < 32 ? s.n : 32), (const char *)s.p);
    }
    return 0;
}

static int take_header(struct avro_scan *r, struct err *e)
{
    struct slice s;
    if (take_bytes(r, 4, &s, e) != 0 || !slice_eq(s, slice_of("Obj\x01", 4)))
        return err_set(e, ERR_CORRUPT, "%s is not an Avro container file", r->path);
    for (;;) {
        int64_t count, size;
        if (take_long(r, &count, e) != 0)
            return -1;
        if (count == 0)
            break;
        if (count < 0 && take_long(r, &size, e) != 0) // then the size in bytes follows
            return -1;
        for (count = count < 0 ? -count : count; count > 0; count--) {
            if (take_pair(r, e) != 0)
                return -1;
            if (r->offset + r->at > META_MAX)
                return corrupt(r, "its header is too long", e);
        }
    }
    if (take_bytes(r, SYNC, &s, e) != 0)
        return -1;
    memcpy(r->sync, s.p, SYNC);
    return 0;
}

int avro_scan_open(const char *path, const struct schema *schema, struct avro_scan **out,
                   struct err *e)
{
    struct avro_scan *r = check_alloc(calloc(1, sizeof(*r)));
    *out = NULL;
    r->path = check_alloc(strdup(path));
    buf_reserve(&r->in, CHUNK);
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = r->fd < 0 ? err_io(e, "cannot open Avro file %s", path) : take_header(r, e);
    if (result == 0)
        result = codec_new_avro(buf_slice(&r->schema), schema, &r->codec, e);
    if (result != 0) {
        avro_scan_close(r);
        return -1;
    }
    *out = r;
    return 0;
}

static int unpack(struct avro_scan *r, struct slice packed, struct err *e)
{
    z_stream z = {0};
    CHECK(inflateInit2(&z, -15) == Z_OK);
    buf_clear(&r->unpacked);
    z.next_in = (uint8_t *)packed.p;
    z.avail_in = packed.n;
    int result;
    do {
        z.next_out = buf_reserve(&r->unpacked, CHUNK);
        z.avail_out = CHUNK;
        result = inflate(&z, Z_NO_FLUSH);
        r->unpacked.n += CHUNK - z.avail_out;
    } while (result == Z_OK && r->unpacked.n <= BLOCK_MAX);
    inflateEnd(&z);
    if (result != Z_STREAM_END)
        return corrupt(r, "a block that cannot be decompressed", e);
    r->block = buf_slice(&r->unpacked);
    return 0;
}

// 1: a block with records; 0: the end of the file.
static int next_block(struct avro_scan *r, struct err *e)
{
    int64_t count, size;
    struct slice data;
    if (fill(r, 1, e) != 0)
        return -1;
    if (r->at == r->in.n)
        return 0;
    if (take_long(r, &count, e) != 0 || take_long(r, &size, e) != 0)
        return -1;
    if (count < 0 || size < 0 || size > BLOCK_MAX - SYNC)
        return corrupt(r, "a block size that cannot be", e);
    if (take_bytes(r, size + SYNC, &data, e) != 0)
        return -1;
    if (memcmp(data.p + size, r->sync, SYNC) != 0)
        return corrupt(r, "the sync marker behind a block is wrong", e);
    r->block = slice_of(data.p, (size_t)size);
    if (r->deflate && unpack(r, r->block, e) != 0)
        return -1;
    r->records = (uint64_t)count;
    return 1;
}

int avro_scan_next(struct avro_scan *r, struct slice *record, struct err *e)
{
    uint32_t n;
    while (r->records == 0) {
        if (r->block.n != 0)
            return corrupt(r, "bytes left over in a block", e);
        int got = next_block(r, e);
        if (got <= 0)
            return got;
    }
    if (avro_record_size(r->codec->plan, r->block, &n, e) != 0)
        return err_wrap(e, "Avro file %s", r->path);
    *record = slice_of(r->block.p, n);
    r->block = slice_of(r->block.p + n, r->block.n - n);
    r->records--;
    return 1;
}

const struct codec *avro_scan_codec(const struct avro_scan *r)
{
    return r->codec;
}

struct slice avro_scan_schema(const struct avro_scan *r)
{
    return buf_slice(&r->schema);
}

void avro_scan_close(struct avro_scan *r)
{
    if (r == NULL)
        return;
    if (r->fd >= 0)
        close(r->fd);
    codec_free(r->codec);
    buf_release(&r->schema);
    buf_release(&r->in);
    buf_release(&r->unpacked);
    free(r->path);
    free(r);
}
