// SPDX-License-Identifier: Apache-2.0
//
// What the tests of formats/ share: one arena and document context, padded records, shorthands.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "formats/doc.h"
#include "log/rec.h"

static struct arena arena;
static struct doc_ctx *ctx;
static struct err err;

static int formats_setup(void **state)
{
    (void)state;
    arena_init(&arena);
    ctx = doc_ctx_new();
    return 0;
}

static int formats_teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    doc_ctx_free(ctx);
    return 0;
}

// A copy with the padding that records have; what lies in it must not matter.
__attribute__((unused)) static struct slice padded(struct slice s)
{
    uint8_t *p = arena_alloc(&arena, (size_t)s.n + REC_PADDING);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    memset(p + s.n, '"', REC_PADDING);
    return slice_of(p, s.n);
}

__attribute__((unused)) static struct slice padded_str(const char *s)
{
    return padded(slice_str(s));
}

__attribute__((unused)) static struct field_ref ref(const char *name)
{
    return field_ref_of(slice_str(name), NULL);
}

__attribute__((unused)) static struct value get(struct doc *d, const char *name)
{
    struct field_ref r = ref(name);
    struct value v;
    if (doc_get(d, &r, &v, &err) != 0)
        fail_msg("doc_get(%s): %s", name, err.text);
    return v;
}

__attribute__((unused)) static void set(struct doc *d, const char *name, struct value v)
{
    struct field_ref r = ref(name);
    doc_set(d, &r, &v);
}

__attribute__((unused)) static void assert_slice(struct slice s, const char *want)
{
    if (!slice_eq_str(s, want))
        fail_msg("found '%.*s', wanted '%s'", (int)s.n, (const char *)s.p, want);
}

__attribute__((unused)) static void assert_encodes(struct doc *d, const struct codec *to,
                                                   const char *want)
{
    struct buf b;
    buf_init(&b);
    if (doc_encode(d, to, &b, &err) != 0)
        fail_msg("doc_encode: %s", err.text);
    if (!slice_eq_str(buf_slice(&b), want))
        fail_msg("encoded '%.*s', wanted '%s'", (int)b.n, (const char *)b.p, want);
    buf_release(&b);
}

__attribute__((unused)) static void assert_json(const struct value *v, const char *want)
{
    struct buf b;
    buf_init(&b);
    value_to_json(v, &b);
    assert_slice(buf_slice(&b), want);
    buf_release(&b);
}
