// SPDX-License-Identifier: Apache-2.0
//
// The writer. A block is: record count and byte count (zigzag varints), the records, maybe
// compressed (raw deflate), and the sync marker, 16 random bytes that the header announces.
//
// A failed write leaves the file with a torn block at its end; the writer then refuses everything
// but closing, and the caller throws the file away or truncates it to avro_container_bytes.
#include "formats/avro_container.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/avro.h"

enum { BLOCK_BYTES = 64 * 1024, SYNC = 16 };

struct avro_container {
    int fd;
    char *path;
    bool deflate, failed;
    uint8_t sync[SYNC];
    z_stream z;
    struct buf block, out; // records of the open block; bytes on their way to the file
    uint64_t block_records, records, bytes;
};

static int write_all(struct avro_container *w, struct err *e)
{
    for (uint32_t done = 0; done < w->out.n;) {
        ssize_t n = write(w->fd, w->out.p + done, w->out.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            w->failed = true;
            return err_io(e, "cannot write Avro file %s", w->path);
        }
        done += (uint32_t)n;
    }
    w->bytes += w->out.n;
    buf_clear(&w->out);
    return 0;
}

static void put_text(struct buf *b, struct slice s)
{
    buf_varint(b, s.n);
    buf_slice_put(b, s);
}

static int write_header(struct avro_container *w, const struct schema *s, struct err *e)
{
    struct buf json;
    buf_init(&json);
    if (schema_to_avro(s, &json, e) != 0) {
        buf_release(&json);
        return -1;
    }
    buf_put(&w->out, "Obj\x01", 4);
    buf_varint(&w->out, 2); // two pairs of metadata
    put_text(&w->out, slice_str("avro.schema"));
    put_text(&w->out, buf_slice(&json));
    put_text(&w->out, slice_str("avro.codec"));
    put_text(&w->out, slice_str(w->deflate ? "deflate" : "null"));
    buf_varint(&w->out, 0);
    buf_put(&w->out, w->sync, SYNC);
    buf_release(&json);
    return write_all(w, e);
}

static int set_up(struct avro_container *w, const struct schema *s, const char *codec,
                  struct err *e)
{
    w->deflate = codec == NULL || strcmp(codec, "deflate") == 0;
    if (!w->deflate && strcmp(codec, "null") != 0)
        return err_set(e, ERR_INVALID, "'%s' is not an Avro compression; use deflate or null",
                       codec);
    if (getrandom(w->sync, SYNC, 0) != SYNC)
        return err_io(e, "cannot draw a sync marker");
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w->fd < 0)
        return err_io(e, "cannot create Avro file %s", w->path);
    if (w->deflate)
        CHECK(deflateInit2(&w->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) ==
              Z_OK);
    return write_header(w, s, e);
}

int avro_container_open(const char *path, const struct schema *s, const char *codec,
                        struct avro_container **out, struct err *e)
{
    struct avro_container *w = check_alloc(calloc(1, sizeof(*w)));
    w->fd = -1;
    w->path = check_alloc(strdup(path));
    *out = NULL;
    if (set_up(w, s, codec, e) != 0) {
        avro_container_drop(w);
        return -1;
    }
    *out = w;
    return 0;
}

static void put_deflated(struct avro_container *w)
{
    struct buf packed;
    buf_init(&packed);
    CHECK(deflateReset(&w->z) == Z_OK);
    uint32_t bound = (uint32_t)deflateBound(&w->z, w->block.n);
    w->z.next_in = w->block.p;
    w->z.avail_in = w->block.n;
    w->z.next_out = buf_reserve(&packed, bound);
    w->z.avail_out = bound;
    CHECK(deflate(&w->z, Z_FINISH) == Z_STREAM_END);
    packed.n = bound - w->z.avail_out;
    put_text(&w->out, buf_slice(&packed));
    buf_release(&packed);
}

int avro_container_flush(struct avro_container *w, struct err *e)
{
    if (w->failed)
        return err_set(e, ERR_IO, "Avro file %s: an earlier write failed; write it anew", w->path);
    if (w->block_records == 0)
        return 0;
    buf_varint(&w->out, (int64_t)w->block_records);
    if (w->deflate)
        put_deflated(w);
    else
        put_text(&w->out, buf_slice(&w->block));
    buf_put(&w->out, w->sync, SYNC);
    buf_clear(&w->block);
    w->block_records = 0;
    return write_all(w, e);
}

int avro_container_append(struct avro_container *w, struct slice record, struct err *e)
{
    buf_slice_put(&w->block, record);
    w->block_records++;
    w->records++;
    return w->block.n < BLOCK_BYTES && !w->failed ? 0 : avro_container_flush(w, e);
}

int avro_container_sync(struct avro_container *w, struct err *e)
{
    if (avro_container_flush(w, e) != 0)
        return -1;
    return fdatasync(w->fd) == 0 ? 0 : err_io(e, "cannot sync Avro file %s", w->path);
}

int avro_container_fd(const struct avro_container *w)
{
    return w->fd;
}

uint64_t avro_container_bytes(const struct avro_container *w)
{
    return w->bytes;
}

uint64_t avro_container_records(const struct avro_container *w)
{
    return w->records;
}

static int release(struct avro_container *w)
{
    int r = w->fd < 0 ? 0 : close(w->fd);
    if (w->deflate && w->z.state != NULL)
        deflateEnd(&w->z);
    buf_release(&w->block);
    buf_release(&w->out);
    free(w->path);
    free(w);
    return r;
}

int avro_container_close(struct avro_container *w, struct err *e)
{
    int r = avro_container_flush(w, e);
    if (release(w) != 0 && r == 0)
        r = err_io(e, "cannot close the Avro file");
    return r;
}

void avro_container_drop(struct avro_container *w)
{
    if (w != NULL)
        release(w);
}
