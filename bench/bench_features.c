// SPDX-License-Identifier: Apache-2.0
//
// What one features operator costs per record, without parsing: the fraud shape. 500,000 events of
// made-up cards and terminals, half a year; documents hold their fields already. A commit (flush,
// write, apply) every 10,000 records.
#include <time.h>

#include "../tests/unit/features_rig.h"
#include "base/prng.h"

#define DAY INT64_C(86400000)
enum { EVENTS = 500000, COMMIT = 10000 };

static struct window_spec windows[] = {{"1d", DAY}, {"7d", 7 * DAY}, {"30d", 30 * DAY}};
static const struct frig_entry customer[] = {{"nb", AGG_COUNT, NULL, 0},
                                             {"avg", AGG_MEAN, "amount", 0}};
static const struct frig_entry terminal[] = {{"nb", AGG_COUNT, NULL, 7 * DAY},
                                             {"risk", AGG_MEAN, "fraud", 7 * DAY}};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); // other processes do not count
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void count(struct frig *r, const struct msg *m)
{
    (void)m;
    ++*(uint64_t *)r->arg;
}

static void commit(struct frig *r)
{
    frig_flush(r);
    frig_apply(r);
}

static void run(const char *what, const struct frig_entry *entries, uint32_t keys,
                enum emit_mode emit, bool only_documents)
{
    struct frig r;
    struct prng rng;
    uint64_t out = 0;
    prng_init(&rng, 42);
    frig_init(&r, count, &out, (size_t)64 << 20);
    frig_node(&r, what, entries, 2, windows, 3);
    r.node.emit = emit;
    if (frig_build(&r) != 0) {
        fprintf(stderr, "%s\n", r.err.text);
        exit(1);
    }
    struct field_ref amount = field_ref_of(slice_str("amount"), NULL);
    struct field_ref fraud = field_ref_of(slice_str("fraud"), NULL);
    int64_t time = INT64_C(1530000000000);
    double begin = now_ns(), in_commit = 0;
    for (uint32_t i = 0; i < EVENTS; i++) {
        char key[16];
        struct doc doc;
        time += (int64_t)prng_below(&rng, 2 * 180 * (uint64_t)DAY / EVENTS);
        int key_n = snprintf(key, sizeof(key), "%u", (unsigned)prng_below(&rng, keys));
        struct value a = value_double((double)prng_below(&rng, 20000) / 100);
        struct value f = value_int(prng_below(&rng, 100) == 0);
        arena_reset(&r.arena);
        doc_empty(&doc, r.doc_ctx, &r.arena);
        doc_set(&doc, &amount, &a);
        doc_set(&doc, &fraud, &f);
        if (only_documents)
            continue;
        struct rec rec = {.time = time, .offset = i};
        struct msg m = {.time = time,
                        .key = slice_of(key, (size_t)key_n),
                        .doc = &doc,
                        .rec = &rec,
                        .topic = "tx",
                        .origin = {1, 0, i, 0}};
        if (r.op->ops->process(r.op, &r.ctx, &m) != 0)
            exit(1);
        frig_advance(&r, time);
        if (i % COMMIT == COMMIT - 1) {
            double start = now_ns();
            commit(&r);
            in_commit += now_ns() - start;
        }
    }
    double ns = now_ns() - begin;
    if (!only_documents)
        frig_advance(&r, INT64_MAX);
    struct store_stats st;
    store_stats(r.store, &st);
    printf("%-10s %-8s %6.0f ns per record, %6.0f in commits, %6.0f without; %llu out, %.1f MiB\n",
           what,
           only_documents       ? "-"
           : emit == EMIT_EVENT ? "event"
                                : "arrival",
           ns / EVENTS, in_commit / EVENTS, (ns - in_commit) / EVENTS, (unsigned long long)out,
           (double)st.bytes / (1 << 20));
    frig_release(&r);
}

int main(void)
{
    run("documents", customer, 5000, EMIT_EVENT, true);
    run("customer", customer, 5000, EMIT_EVENT, false);
    run("customer", customer, 5000, EMIT_ARRIVAL, false);
    run("terminal", terminal, 10000, EMIT_EVENT, false);
    run("terminal", terminal, 10000, EMIT_ARRIVAL, false);
    return 0;
}
