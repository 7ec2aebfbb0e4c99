// SPDX-License-Identifier: Apache-2.0
//
// The carried form, between our own tasks:
//   u8      version, 1
//   u32     the raw bytes' codec id, 0 if there are no raw bytes
//   lslice  raw bytes, null if there are none
//   uvarint number of patches, then for each:
//     lslice name, u8 flags, and unless removed an encoded value
// A value that is not a record and has no raw bytes is one patch with flag WHOLE and a null name.
//
// Carrying what was opened from carried bytes does not nest: the doc holds the original raw bytes
// and all patches, old and new, and those are written. If there is no new one, the bytes it was
// opened from are written again as they are.
#include "formats/doc_impl.h"

enum { CARRY_VERSION = 1, CARRY_RESERVE = 32, CARRY_SPARE = 8 };
enum carry_flags {
    CARRY_REMOVED = 1,
    CARRY_WHOLE = 2,
};

static void put_patch(const struct doc_patch *p, struct buf *out)
{
    struct slice name = p->field.name;
    uint8_t *at = buf_reserve(out, name.n + 2 * BYTES_VARINT_MAX), *o = at;
    o += bytes_put_uvarint(o, (uint64_t)name.n + 1);
    memcpy(o, name.p, name.n);
    o += name.n;
    *o++ = p->removed ? CARRY_REMOVED : 0;
    out->n += (uint32_t)(o - at);
    if (!p->removed)
        value_encode(&p->value, out);
}

void doc_carry(struct doc *d, struct buf *out)
{
    if (d->carried.p != NULL) {
        buf_slice_put(out, d->carried);
        return;
    }
    bool whole = d->whole && d->raw.p == NULL;
    uint8_t *p = buf_reserve(out, d->raw.n + 5 + 2 * BYTES_VARINT_MAX), *o = p;
    *o++ = CARRY_VERSION;
    bytes_put32(o, d->raw.p == NULL ? 0 : d->codec->id);
    o += 4;
    o += bytes_put_uvarint(o, d->raw.p == NULL ? 0 : (uint64_t)d->raw.n + 1);
    if (d->raw.p != NULL)
        memcpy(o, d->raw.p, d->raw.n);
    o += d->raw.p == NULL ? 0 : d->raw.n;
    o += bytes_put_uvarint(o, d->patches_count + (whole ? 1 : 0));
    out->n += (uint32_t)(o - p);
    if (whole) {
        buf_lslice(out, (struct slice){NULL, 0});
        buf_u8(out, CARRY_WHOLE);
        value_encode(&d->scalar, out);
    }
    for (uint32_t i = 0; i < d->patches_count; i++)
        put_patch(&d->patches[i], out);
}

static const struct codec *find_codec(struct doc_ctx *ctx, const struct codec_set *set, uint32_t id)
{
    if (ctx->codec_hint < set->count && set->codecs[ctx->codec_hint]->id == id)
        return set->codecs[ctx->codec_hint];
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->codecs[i]->id == id) {
            ctx->codec_hint = i;
            return set->codecs[i];
        }
    }
    return NULL;
}

static void take_patch(struct doc *d, struct cur *c)
{
    struct slice name = cur_lslice(c);
    uint8_t flags = cur_u8(c);
    if (flags == CARRY_WHOLE && name.p == NULL && !d->whole && d->raw.p == NULL) {
        d->whole = true;
        d->scalar = value_decode(c, d->arena);
        return;
    }
    if (c->failed || name.p == NULL || flags > CARRY_REMOVED) {
        c->failed = true;
        return;
    }
    struct field_ref ref = {name, plan_hash(name), -1};
    if (doc_find_patch(d, name, ref.hash) != NULL) {
        c->failed = true;
        return;
    }
    struct doc_patch *p = doc_add_patch(d, &ref);
    p->removed = flags == CARRY_REMOVED;
    if (p->removed)
        p->value = value_null();
    else
        value_decode_into(c, d->arena, &p->value);
}

static int corrupt(struct doc *d, const struct cur *c, struct slice carried, struct err *e)
{
    doc_empty(d, d->ctx, d->arena);
    return err_set(e, ERR_CORRUPT,
                   "carried record of %u bytes breaks off or is malformed near byte %zu", carried.n,
                   (size_t)(c->p - carried.p));
}

int doc_open_carried(struct doc *d, struct doc_ctx *ctx, struct arena *a,
                     const struct codec_set *set, struct slice carried, struct err *e)
{
    struct cur c = cur_of(carried);
    uint8_t version = cur_u8(&c);
    uint32_t id = cur_u32(&c);
    struct slice raw = cur_lslice(&c);
    uint64_t count = cur_uvarint(&c);
    doc_empty(d, ctx, a);
    if (!c.failed && version != CARRY_VERSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "carried record has version %u, this build reads %d; it was written by a "
                       "newer one",
                       version, CARRY_VERSION);
    // A patch takes two bytes at least.
    if (c.failed || count > cur_left(&c) / 2)
        return corrupt(d, &c, carried, e);
    if (raw.p != NULL) {
        const struct codec *codec = find_codec(ctx, set, id);
        if (codec == NULL)
            return err_set(e, ERR_NOT_FOUND,
                           "carried record names codec %08x, which this application does not have; "
                           "its topics' formats or schemas have changed since it was written",
                           id);
        d->codec = codec;
        d->raw = raw;
        d->indexed = false;
    }
    if (count != 0) // more will be added, most likely
        doc_reserve_patches(d, (count < CARRY_RESERVE ? (uint32_t)count : CARRY_RESERVE) +
                                   CARRY_SPARE);
    for (uint64_t i = 0; i < count && !c.failed; i++)
        take_patch(d, &c);
    if (c.failed || c.p != c.end)
        return corrupt(d, &c, carried, e);
    d->carried = carried;
    return 0;
}
