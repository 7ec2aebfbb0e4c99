// SPDX-License-Identifier: Apache-2.0
//
// Features against numbers computed elsewhere: 555,712 card transactions through two operators
// (customer: count and mean amount; terminal: count and mean fraud flag of a week ago; windows of
// 1, 7 and 30 days), compared with the published features of two days.
//
// The data is not part of the product: WEIR_SHARED_DATA names a directory with fraud/*.csv.gz.
// Without it the program says so and exits with 77 (skipped).
#include <errno.h>
#include <math.h>
#include <time.h>
#include <zlib.h>

#include "../unit/features_rig.h"

#define DAY INT64_C(86400000)
enum { IDS_MAX = 2000000, COLUMNS = 12, EXPECTED_ROWS = 19328, EXPECTED_EVENTS = 555712 };

struct truth {
    bool known;
    double want[COLUMNS], have[COLUMNS];
};

static struct truth *truths[IDS_MAX];

static struct window_spec windows[] = {{"1d", DAY}, {"7d", 7 * DAY}, {"30d", 30 * DAY}};
static const struct frig_entry customer[] = {{"nb", AGG_COUNT, NULL, 0},
                                             {"avg", AGG_MEAN, "amount", 0}};
static const struct frig_entry terminal[] = {{"nb", AGG_COUNT, NULL, 7 * DAY},
                                             {"risk", AGG_MEAN, "fraud", 7 * DAY}};

// Columns as the file has them: nb 1d, avg 1d, nb 7d, avg 7d, …; first the customer's.
static void take(struct frig *r, const struct msg *m)
{
    struct truth *t = truths[m->origin.offset];
    uint32_t base = *(uint32_t *)r->arg;
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < 6; i++) {
        struct value v;
        double d = NAN;
        if (doc_get(m->doc, &r->node.features[i % 2].outputs[i / 2], &v, &r->err) == 0)
            value_number(&v, &d);
        t->have[base + i] = d;
    }
}

static gzFile open_csv(const char *dir, const char *name, char *line, int size)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/fraud/%s", dir, name);
    gzFile f = gzopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "test_features_truth: SKIPPED, %s: %s\n", path, strerror(errno));
        exit(77);
    }
    gzgets(f, line, size); // header
    return f;
}

static uint32_t load_truth(const char *dir)
{
    char line[1024];
    uint32_t n = 0;
    gzFile f = open_csv(dir, "features_2018-07-25_26.csv.gz", line, sizeof(line));
    while (gzgets(f, line, sizeof(line)) != NULL) {
        char *at = line;
        long id = strtol(at, &at, 10);
        CHECK(id >= 0 && id < IDS_MAX && truths[id] == NULL);
        struct truth *t = truths[id] = check_alloc(calloc(1, sizeof(*t)));
        strtod(at + 1, &at); // weekend
        strtod(at + 1, &at); // night
        for (int i = 0; i < COLUMNS; i++)
            t->want[i] = strtod(at + 1, &at);
        n++;
    }
    gzclose(f);
    return n;
}

static void send(struct frig *r, int64_t id, int64_t time, const char *key, const char *json,
                 uint32_t n)
{
    struct doc doc;
    arena_reset(&r->arena);
    struct rec rec = {.time = time, .offset = id, .value = slice_of(json, n)};
    struct msg m = {.time = time,
                    .key = slice_str(key),
                    .doc = &doc,
                    .rec = &rec,
                    .topic = "tx",
                    .origin = {1, 0, id, 0}};
    doc_open(&doc, r->doc_ctx, &r->arena, r->json, rec.value);
    if (r->op->ops->process(r->op, &r->ctx, &m) != 0) {
        fprintf(stderr, "%s\n", r->err.text);
        exit(1);
    }
    frig_advance(r, time);
}

static uint32_t run(const char *dir, struct frig *c, struct frig *t)
{
    char line[256], json[512];
    uint32_t n = 0;
    gzFile f = open_csv(dir, "transactions.csv.gz", line, sizeof(line));
    while (gzgets(f, line, sizeof(line)) != NULL) {
        long long id, ts;
        char who[32], where[32], amount[32];
        int fraud;
        if (sscanf(line, "%lld,%lld,%31[^,],%31[^,],%31[^,],%d", &id, &ts, who, where, amount,
                   &fraud) != 6) {
            fprintf(stderr, "cannot read: %s", line);
            exit(1);
        }
        int len = snprintf(json, sizeof(json) - REC_PADDING, "{\"amount\":%s,\"fraud\":%d}", amount,
                           fraud);
        send(c, id, ts, who, json, (uint32_t)len);
        send(t, id, ts, where, json, (uint32_t)len);
        n++;
        if (n % 10000 == 0) {
            frig_flush(c);
            frig_apply(c);
            frig_flush(t);
            frig_apply(t);
        }
    }
    frig_advance(c, INT64_MAX);
    frig_advance(t, INT64_MAX);
    gzclose(f);
    return n;
}

// Counts and risks are exact (risks are printed with 10 digits), averages to 1e-9 of their size.
static uint32_t compare(void)
{
    uint32_t wrong = 0;
    double worst = 0;
    for (uint32_t id = 0; id < IDS_MAX; id++) {
        const struct truth *t = truths[id];
        for (int i = 0; t != NULL && i < COLUMNS; i++) {
            double off = fabs(t->have[i] - t->want[i]), size = fabs(t->want[i]);
            bool exact = i % 2 == 0, average = i % 2 == 1 && i < 6;
            worst = average && off > worst ? off : worst;
            if (exact ? off == 0 : off <= (average && size > 1 ? 1e-9 * size : 1e-10))
                continue;
            if (wrong++ < 10)
                fprintf(stderr, "transaction %u column %d: %.12g instead of %.12g\n", id, i,
                        t->have[i], t->want[i]);
        }
    }
    printf("largest difference of an average: %.3g\n", worst);
    return wrong;
}

int main(void)
{
    const char *dir = getenv("WEIR_SHARED_DATA");
    if (dir == NULL) {
        fprintf(stderr, "test_features_truth: SKIPPED, set WEIR_SHARED_DATA to the directory with "
                        "fraud/transactions.csv.gz\n");
        return 77;
    }
    uint32_t rows = load_truth(dir), base[2] = {0, 6};
    struct frig c, t;
    frig_init(&c, take, &base[0], 8 << 20);
    frig_node(&c, "customer", customer, 2, windows, 3);
    frig_init(&t, take, &base[1], 8 << 20);
    frig_node(&t, "terminal", terminal, 2, windows, 3);
    if (frig_build(&c) != 0 || frig_build(&t) != 0) {
        fprintf(stderr, "%s %s\n", c.err.text, t.err.text);
        return 1;
    }
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint32_t events = run(dir, &c, &t), wrong = compare();
    clock_gettime(CLOCK_MONOTONIC, &b);
    struct store_stats st;
    store_stats(t.store, &st);
    printf("%u transactions, %u rows with features, %u numbers differ; %.2f s (terminal: %llu "
           "cells, %llu evictions, %llu rows put, %llu deleted)\n",
           events, rows, wrong,
           (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9,
           (unsigned long long)st.cells, (unsigned long long)st.evictions,
           (unsigned long long)st.rows_put, (unsigned long long)st.rows_deleted);
    frig_release(&c);
    frig_release(&t);
    for (uint32_t id = 0; id < IDS_MAX; id++)
        free(truths[id]);
    return wrong == 0 && rows == EXPECTED_ROWS && events == EXPECTED_EVENTS ? 0 : 1;
}
