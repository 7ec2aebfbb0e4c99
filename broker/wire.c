// SPDX-License-Identifier: Apache-2.0
//
// Wire: see wire.h. Stateless; any thread.
#include "broker/wire.h"

static struct slice take(struct wire_in *in, uint64_t n)
{
    const uint8_t *p = cur_take(&in->c, n);
    return p == NULL ? (struct slice){NULL, 0} : slice_of(p, n);
}

// A compact length: 0 is null, else n + 1.
static struct slice take_compact(struct wire_in *in)
{
    uint64_t n = cur_uvarint(&in->c);
    return n == 0 ? (struct slice){NULL, 0} : take(in, n - 1);
}

struct slice wire_short_string(struct wire_in *in)
{
    int16_t n = wire_i16(in);
    if (n < -1)
        in->c.failed = true;
    return n < 0 || in->c.failed ? (struct slice){NULL, 0} : take(in, (uint64_t)n);
}

struct slice wire_string(struct wire_in *in)
{
    return in->flexible ? take_compact(in) : wire_short_string(in);
}

struct slice wire_bytes(struct wire_in *in)
{
    if (in->flexible)
        return take_compact(in);
    int32_t n = wire_i32(in);
    if (n < -1)
        in->c.failed = true;
    return n < 0 || in->c.failed ? (struct slice){NULL, 0} : take(in, (uint64_t)n);
}

void wire_uuid(struct wire_in *in, uint8_t out[16])
{
    const uint8_t *p = cur_take(&in->c, 16);
    if (p == NULL)
        memset(out, 0, 16);
    else
        memcpy(out, p, 16);
}

int32_t wire_array(struct wire_in *in, uint32_t element_bytes)
{
    int64_t n = in->flexible ? (int64_t)cur_uvarint(&in->c) - 1 : wire_i32(in);
    if (in->c.failed)
        return 0;
    if (n == -1)
        return -1;
    if (n < 0 || n > in->elements || n > cur_left(&in->c) / element_bytes) {
        in->c.failed = true;
        return 0;
    }
    in->elements -= (uint32_t)n;
    return (int32_t)n;
}

void wire_tags(struct wire_in *in)
{
    if (!in->flexible)
        return;
    uint64_t n = cur_uvarint(&in->c);
    if (n > WIRE_MAX_TAGS)
        in->c.failed = true;
    for (uint64_t i = 0; i < n && !in->c.failed; i++) {
        cur_uvarint(&in->c);
        uint64_t size = cur_uvarint(&in->c);
        cur_take(&in->c, size);
    }
}

bool wire_cstr(struct slice s, char *out, uint32_t size)
{
    out[0] = 0;
    if (s.p == NULL || s.n >= size || memchr(s.p, 0, s.n) != NULL)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

void wire_put_short_string(struct wire_out *out, struct slice s)
{
    CHECK(s.n <= INT16_MAX);
    wire_put_i16(out, s.p == NULL ? -1 : (int16_t)s.n);
    buf_put(out->b, s.p, s.p == NULL ? 0 : s.n);
}

static void put_compact(struct wire_out *out, struct slice s)
{
    buf_uvarint(out->b, s.p == NULL ? 0 : (uint64_t)s.n + 1);
    buf_put(out->b, s.p, s.p == NULL ? 0 : s.n);
}

void wire_put_string(struct wire_out *out, struct slice s)
{
    if (out->flexible)
        put_compact(out, s);
    else
        wire_put_short_string(out, s);
}

void wire_put_cstr(struct wire_out *out, const char *s)
{
    wire_put_string(out, s == NULL ? (struct slice){NULL, 0} : slice_str(s));
}

void wire_put_bytes(struct wire_out *out, struct slice s)
{
    if (out->flexible) {
        put_compact(out, s);
        return;
    }
    wire_put_i32(out, s.p == NULL ? -1 : (int32_t)s.n);
    buf_put(out->b, s.p, s.p == NULL ? 0 : s.n);
}

void wire_put_uuid(struct wire_out *out, const uint8_t id[16])
{
    buf_put(out->b, id, 16);
}

void wire_put_array(struct wire_out *out, int32_t count)
{
    if (out->flexible)
        buf_uvarint(out->b, (uint64_t)((int64_t)count + 1));
    else
        wire_put_i32(out, count);
}

void wire_put_tags(struct wire_out *out)
{
    if (out->flexible)
        buf_u8(out->b, 0);
}
