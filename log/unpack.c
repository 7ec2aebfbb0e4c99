// SPDX-License-Identifier: Apache-2.0
//
// One function per codec, all of one shape: they append to `out` and keep to `limit`. The streaming
// libraries get room for one byte beyond the limit, so that output of exactly `limit` bytes can be
// told from too much.
#include "log/unpack.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { CHUNK = 64 * 1024 };

struct sink {
    struct buf *out;
    uint32_t before, limit;
};

static int too_big(const struct sink *s, struct err *e)
{
    return err_set(e, ERR_LIMIT, "compressed records unpack to more than %u bytes", s->limit);
}

static int damaged(const char *codec, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "compressed records are damaged: not valid %s", codec);
}

// Room for the next piece; at least one byte, since callers stop once beyond the limit.
static uint8_t *sink_room(struct sink *s, size_t *room)
{
    uint64_t left = (uint64_t)s->limit + 1 - (s->out->n - s->before);
    uint32_t grow = s->out->n - s->before < CHUNK ? CHUNK : s->out->n - s->before;
    *room = left < grow ? (size_t)left : grow;
    return buf_reserve(s->out, (uint32_t)*room);
}

static bool sink_over(const struct sink *s)
{
    return s->out->n - s->before > s->limit;
}

static int unpack_gzip(struct slice in, struct sink *s, struct err *e)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = in.n};
    if (inflateInit2(&z, 15 + 32) != Z_OK)
        return err_set(e, ERR_LIMIT, "no memory to unpack gzip");
    int got = 0;
    for (bool more = true; more;) {
        size_t room;
        z.next_out = sink_room(s, &room);
        z.avail_out = (uInt)room;
        int rc = inflate(&z, Z_NO_FLUSH);
        s->out->n += (uint32_t)(room - z.avail_out);
        if (sink_over(s))
            got = too_big(s, e);
        else if (rc == Z_STREAM_END && z.avail_in != 0)
            rc = inflateReset(&z); // another member follows
        else if (rc != Z_OK && rc != Z_STREAM_END)
            got = damaged("gzip", e);
        more = got == 0 && rc == Z_OK;
    }
    inflateEnd(&z);
    return got;
}

static int snappy_block(struct slice in, struct sink *s, struct err *e)
{
    size_t n;
    if (snappy_uncompressed_length((const char *)in.p, in.n, &n) != SNAPPY_OK)
        return damaged("snappy", e);
    if (n > s->limit - (s->out->n - s->before))
        return too_big(s, e);
    // A length that no input of this size can reach is refused before memory is taken for it.
    if (n / 64 > (size_t)in.n + 1)
        return damaged("snappy", e);
    uint8_t *p = buf_reserve(s->out, (uint32_t)n + 1);
    if (snappy_uncompress((const char *)in.p, in.n, (char *)p, &n) != SNAPPY_OK)
        return damaged("snappy", e);
    s->out->n += (uint32_t)n;
    return 0;
}

// xerial's framing, which Java clients write: a magic, two versions, then sized blocks.
static int unpack_snappy(struct slice in, struct sink *s, struct err *e)
{
    static const uint8_t magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    if (in.n < 16 || memcmp(in.p, magic, sizeof magic) != 0)
        return snappy_block(in, s, e);
    struct cur c = cur_of(slice_of(in.p + 16, in.n - 16));
    while (cur_left(&c) != 0) {
        uint32_t n = cur_u32(&c);
        const uint8_t *p = cur_take(&c, n);
        if (p == NULL)
            return damaged("snappy (framed)", e);
        if (snappy_block(slice_of(p, n), s, e) != 0)
            return -1;
    }
    return 0;
}

static int unpack_lz4(struct slice in, struct sink *s, struct err *e)
{
    LZ4F_dctx *ctx;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return err_set(e, ERR_LIMIT, "no memory to unpack lz4");
    int got = 0;
    size_t hint = 1;
    uint32_t at = 0;
    while (got == 0 && (at < in.n || hint != 0)) {
        size_t room, taken = in.n - at;
        uint8_t *p = sink_room(s, &room);
        hint = LZ4F_decompress(ctx, p, &room, in.p + at, &taken, NULL);
        if (LZ4F_isError(hint)) {
            got = damaged("lz4", e);
            break;
        }
        at += (uint32_t)taken;
        s->out->n += (uint32_t)room;
        if (sink_over(s))
            got = too_big(s, e);
        else if (taken == 0 && room == 0)
            got = damaged("lz4", e); // cut short
    }
    LZ4F_freeDecompressionContext(ctx);
    return got;
}

static int unpack_zstd(struct slice in, struct sink *s, struct err *e)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (ctx == NULL)
        return err_set(e, ERR_LIMIT, "no memory to unpack zstd");
    ZSTD_inBuffer from = {in.p, in.n, 0};
    int got = 0;
    size_t hint = 1;
    while (got == 0 && (from.pos < from.size || hint != 0)) {
        ZSTD_outBuffer to = {NULL, 0, 0};
        to.dst = sink_room(s, &to.size);
        size_t pos = from.pos;
        hint = ZSTD_decompressStream(ctx, &to, &from);
        if (ZSTD_isError(hint)) {
            got = damaged("zstd", e);
            break;
        }
        s->out->n += (uint32_t)to.pos;
        if (sink_over(s))
            got = too_big(s, e);
        else if (from.pos == pos && to.pos == 0)
            got = damaged("zstd", e); // cut short
    }
    ZSTD_freeDCtx(ctx);
    return got;
}

int unpack(enum batch_codec codec, struct slice in, uint32_t limit, struct buf *out, struct err *e)
{
    struct sink s = {out, out->n, limit};
    int got = -1;
    switch (codec) {
    case BATCH_NONE:
        if (in.n > limit) {
            got = too_big(&s, e);
            break;
        }
        buf_slice_put(out, in);
        got = 0;
        break;
    case BATCH_GZIP:
        got = unpack_gzip(in, &s, e);
        break;
    case BATCH_SNAPPY:
        got = unpack_snappy(in, &s, e);
        break;
    case BATCH_LZ4:
        got = unpack_lz4(in, &s, e);
        break;
    case BATCH_ZSTD:
        got = unpack_zstd(in, &s, e);
        break;
    default:
        got = err_set(e, ERR_UNSUPPORTED, "unknown compression %d", (int)codec);
    }
    if (got != 0)
        out->n = s.before;
    return got;
}
