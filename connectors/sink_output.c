// SPDX-License-Identifier: Apache-2.0
#include "connectors/sink_output.h"

#include "base/failpoint.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

enum { FLUSH_BYTES = 256 * 1024, BLOCK_BYTES = 64 * 1024 };

struct sink_output {
    int fd;
    char name[FILE_COMMIT_NAME];
    enum sink_format format;
    struct buf rows; // csv, jsonl: bytes to write; avro: the open block's records
    int64_t rows_count, bytes;
    uint32_t crc;

    // avro
    int64_t block_rows;
    uint8_t sync[16];
    struct buf packed;
};

static int write_out(struct sink_output *o, const uint8_t *p, uint32_t n, struct err *e)
{
    o->crc = (uint32_t)crc32(o->crc, p, n);
    o->bytes += n;
    while (n > 0) {
        ssize_t w = write(o->fd, p, n);
        if (w < 0 && errno != EINTR)
            return err_io(e, "cannot write \"%s\"", o->name);
        p += w > 0 ? w : 0;
        n -= w > 0 ? (uint32_t)w : 0;
    }
    return 0;
}

// --- Avro container (one block after another, deflate) -------------------------------------------

static void avro_text(struct buf *b, struct slice s)
{
    buf_varint(b, s.n);
    buf_slice_put(b, s);
}

static int avro_header(struct sink_output *o, struct slice schema, struct err *e)
{
    char seed[FILE_COMMIT_NAME + 8];
    for (int i = 0; i < 2; i++) {
        int n = snprintf(seed, sizeof seed, "sync%d %s", i, o->name);
        bytes_put64(o->sync + 8 * i, hash_bytes(slice_of(seed, (size_t)n)));
    }
    buf_clear(&o->packed);
    buf_put(&o->packed, "Obj\x01", 4);
    buf_varint(&o->packed, 2);
    avro_text(&o->packed, slice_str("avro.schema"));
    avro_text(&o->packed, schema);
    avro_text(&o->packed, slice_str("avro.codec"));
    avro_text(&o->packed, slice_str("deflate"));
    buf_varint(&o->packed, 0);
    buf_put(&o->packed, o->sync, 16);
    return write_out(o, o->packed.p, o->packed.n, e);
}

// Raw deflate (no zlib frame), as Avro wants it.
static void deflate_rows(struct sink_output *o, struct buf *out)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    uLong bound = deflateBound(&z, o->rows.n);
    z.next_in = o->rows.p;
    z.avail_in = o->rows.n;
    z.next_out = buf_reserve(out, (uint32_t)bound);
    z.avail_out = (uInt)bound;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->n += (uint32_t)z.total_out;
    deflateEnd(&z);
}

static int avro_block(struct sink_output *o, struct err *e)
{
    if (o->block_rows == 0)
        return 0;
    buf_clear(&o->packed);
    deflate_rows(o, &o->packed);
    struct buf head;
    buf_init(&head);
    buf_varint(&head, o->block_rows);
    buf_varint(&head, o->packed.n);
    buf_put(&o->packed, o->sync, 16);
    int rc = write_out(o, head.p, head.n, e);
    buf_release(&head);
    if (rc == 0)
        rc = write_out(o, o->packed.p, o->packed.n, e);
    buf_clear(&o->rows);
    o->block_rows = 0;
    return rc;
}

// --- output -------------------------------------------------------------------------------------

int sink_output_open(int dir, const char *tmp, const char *name, enum sink_format format,
                     struct slice header, struct sink_output **out, struct err *e)
{
    int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_io(e, "cannot create \"%s\"", tmp);
    struct sink_output *o = check_alloc(calloc(1, sizeof *o));
    o->fd = fd;
    o->format = format;
    snprintf(o->name, sizeof o->name, "%s", name);
    buf_init(&o->rows);
    buf_init(&o->packed);
    if (format == SINK_AVRO && avro_header(o, header, e) != 0) {
        sink_output_close(o);
        return -1;
    }
    if (format != SINK_AVRO)
        buf_slice_put(&o->rows, header);
    *out = o;
    return 0;
}

struct buf *sink_output_buf(struct sink_output *o)
{
    return &o->rows;
}

static int flush(struct sink_output *o, struct err *e)
{
    if (o->format == SINK_AVRO)
        return avro_block(o, e);
    int rc = write_out(o, o->rows.p, o->rows.n, e);
    buf_clear(&o->rows);
    return rc;
}

int sink_output_row(struct sink_output *o, struct err *e)
{
    o->rows_count++;
    o->block_rows++;
    uint32_t limit = o->format == SINK_AVRO ? BLOCK_BYTES : FLUSH_BYTES;
    return o->rows.n >= limit ? flush(o, e) : 0;
}

int sink_output_finish(struct sink_output *o, struct sink_file *file, struct err *e)
{
    if (flush(o, e) != 0)
        return -1;
    FAILPOINT("sink.before_fsync");
    if (fsync(o->fd) != 0)
        return err_io(e, "cannot sync \"%s\"", o->name);
    FAILPOINT("sink.after_fsync");
    snprintf(file->name, sizeof file->name, "%s", o->name);
    file->rows = o->rows_count;
    file->bytes = o->bytes;
    file->crc32 = o->crc;
    return 0;
}

void sink_output_close(struct sink_output *o)
{
    if (o == NULL)
        return;
    close(o->fd);
    buf_release(&o->rows);
    buf_release(&o->packed);
    free(o);
}
