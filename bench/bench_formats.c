// SPDX-License-Identifier: Apache-2.0
//
// Nanoseconds per record of what formats/ does on the way of every record. Prints the best of
// several rounds; run it on an idle machine in the release build. Also counts allocations after the
// warm-up: there must be none.
#include <dlfcn.h>
#include <malloc.h>

#include "base/clk.h"
#include "formats/doc.h"
#include "log/rec.h"

enum { ROUNDS = 15, PER_ROUND = 200000 };

static const char tx[] = "{\"tx_id\":748066,\"ts\":1529280015000,\"customer_id\":1263,"
                         "\"terminal_id\":145,\"amount\":32.27,\"fraud\":0}";
static const char *const feature_names[] = {"customer_count_1d", "customer_mean_1d",
                                            "customer_count_7d", "customer_mean_7d",
                                            "terminal_count_7d", "terminal_risk_7d"};

struct bench {
    struct doc_ctx *ctx;
    struct arena arena;
    const struct codec *json, *avro;
    struct slice raw;
    struct buf out, carried;
    struct field_ref amount, customer, ts, features[6];
    double values[6];
    struct codec_set codecs;
    struct doc twenty;
    uint64_t sink;
};

static uint64_t allocations;

// Counts what the process allocates; the real functions come from libc.
void *malloc(size_t n)
{
    static void *(*real)(size_t);
    if (real == NULL)
        real = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    allocations++;
    return real(n);
}

static void open_and_get(struct bench *b)
{
    struct doc d;
    struct value v;
    struct err e;
    doc_open(&d, b->ctx, &b->arena, b->json, b->raw);
    CHECK(doc_get(&d, &b->amount, &v, &e) == 0);
    b->sink += (uint64_t)v.d;
    CHECK(doc_get(&d, &b->customer, &v, &e) == 0);
    b->sink += (uint64_t)v.i;
    CHECK(doc_get(&d, &b->ts, &v, &e) == 0);
    b->sink += (uint64_t)v.i;
}

static void set_features(struct bench *b, struct doc *d)
{
    for (int i = 0; i < 6; i++) {
        struct value v = value_double(b->values[i] + (double)(b->sink & 7));
        doc_set(d, &b->features[i], &v);
    }
}

static void open_get_splice(struct bench *b)
{
    struct doc d;
    struct value v;
    struct err e;
    doc_open(&d, b->ctx, &b->arena, b->json, b->raw);
    CHECK(doc_get(&d, &b->amount, &v, &e) == 0);
    set_features(b, &d);
    buf_clear(&b->out);
    CHECK(doc_encode(&d, b->json, &b->out, &e) == 0);
    b->sink += b->out.n;
}

static void open_and_get_one(struct bench *b)
{
    struct doc d;
    struct value v;
    struct err e;
    doc_open(&d, b->ctx, &b->arena, b->json, b->raw);
    CHECK(doc_get(&d, &b->amount, &v, &e) == 0);
    b->sink += (uint64_t)v.d;
}

static void carry_and_open(struct bench *b)
{
    struct doc d, again;
    struct value v;
    struct err e;
    doc_open(&d, b->ctx, &b->arena, b->json, b->raw);
    v = value_double(2.5);
    doc_set(&d, &b->features[0], &v);
    v = value_int(7);
    doc_set(&d, &b->features[1], &v);
    buf_clear(&b->carried);
    doc_carry(&d, &b->carried);
    buf_reserve(&b->carried, REC_PADDING);
    CHECK(doc_open_carried(&again, b->ctx, &b->arena, &b->codecs, buf_slice(&b->carried), &e) == 0);
    b->sink += again.patches_count;
}

static void avro_encode(struct bench *b)
{
    struct err e;
    buf_clear(&b->out);
    CHECK(doc_encode(&b->twenty, b->avro, &b->out, &e) == 0);
    b->sink += b->out.n;
}

static double best_ns(struct bench *b, void (*run)(struct bench *))
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = clk_mono_ns(clk_real());
        for (int i = 0; i < PER_ROUND; i++) {
            struct arena_mark m = arena_mark(&b->arena);
            run(b);
            arena_rewind(&b->arena, m);
        }
        double ns = (double)(clk_mono_ns(clk_real()) - start) / PER_ROUND;
        best = ns < best ? ns : best;
    }
    return best;
}

static void report(struct bench *b, const char *what, void (*run)(struct bench *))
{
    run(b);
    uint64_t before = allocations;
    double ns = best_ns(b, run);
    printf("%-48s %7.1f ns  %llu allocations\n", what, ns,
           (unsigned long long)(allocations - before));
    fflush(stdout);
}

static struct schema *twenty_fields(struct bench *b)
{
    static struct field fields[20];
    static struct schema s = {"features", fields, 20};
    static const enum field_type types[] = {FIELD_LONG, FIELD_DOUBLE, FIELD_STRING, FIELD_TIMESTAMP,
                                            FIELD_DOUBLE};
    doc_empty(&b->twenty, b->ctx, &b->arena);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "feature_%d", i);
        fields[i] = (struct field){
            .name = arena_str(&b->arena, name), .type = types[i % 5], .nullable = i % 2 == 0};
        struct value v = value_int(INT64_C(1529280015000) + i);
        if (fields[i].type == FIELD_DOUBLE)
            v = value_double(32.27 + i);
        if (fields[i].type == FIELD_STRING)
            v = value_string(slice_str("some text"));
        struct field_ref r = field_ref_of(slice_str(fields[i].name), NULL);
        doc_set(&b->twenty, &r, &v);
    }
    return &s;
}

int main(void)
{
    struct bench b = {.ctx = doc_ctx_new()};
    struct err e;
    struct codec *json, *avro;
    arena_init(&b.arena);
    buf_init(&b.out);
    buf_init(&b.carried);
    CHECK(codec_new(FORMAT_JSON, NULL, &json, &e) == 0);
    CHECK(codec_new(FORMAT_AVRO, twenty_fields(&b), &avro, &e) == 0);
    b.json = json;
    b.avro = avro;
    b.codecs = (struct codec_set){&b.json, 1};
    uint8_t *raw = arena_alloc(&b.arena, sizeof(tx) + REC_PADDING);
    memset(raw, 0, sizeof(tx) + REC_PADDING);
    memcpy(raw, tx, sizeof(tx) - 1);
    b.raw = slice_of(raw, sizeof(tx) - 1);
    b.amount = field_ref_of(slice_str("amount"), NULL);
    b.customer = field_ref_of(slice_str("customer_id"), NULL);
    b.ts = field_ref_of(slice_str("ts"), NULL);
    static const double values[] = {3,   32.27666666666667,   17, 81.13294117647059,
                                    251, 0.011952191235059761};
    for (int i = 0; i < 6; i++) {
        b.features[i] = field_ref_of(slice_str(feature_names[i]), NULL);
        b.values[i] = values[i];
    }
    report(&b, "JSON: open, index, get 1 field", open_and_get_one);
    report(&b, "JSON: open, index, get 3 fields", open_and_get);
    report(&b, "JSON: open, index, add 6 doubles, splice", open_get_splice);
    report(&b, "carry with 2 changes, open again", carry_and_open);
    report(&b, "Avro: encode 20 fields", avro_encode);
    codec_free(json);
    codec_free(avro);
    doc_ctx_free(b.ctx);
    arena_release(&b.arena);
    buf_release(&b.out);
    buf_release(&b.carried);
    return b.sink == 0;
}
