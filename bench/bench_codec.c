// SPDX-License-Identifier: Apache-2.0
//
// What the record batch codec costs per record: encode (with headers as our topics carry), finish
// (header and checksum), check and decode, for records of 100 and 283 bytes. One thread, batches of
// 1000 records, the best of several rounds.
#include "base/clk.h"
#include "log/batch.h"
#include "log/crc32c.h"
#include "log/murmur2.h"
#include "log/origin.h"

enum { RECORDS = 1000, BATCHES = 300, ROUNDS = 7 };

struct times { // ns for RECORDS * BATCHES records
    int64_t encode, finish, crc, decode, partition;
};

struct work {
    struct batch_builder builder;
    uint8_t value[512];
    uint32_t value_size;
    struct slice batch;
    uint64_t sum; // printed, so that nothing is optimised away
};

static int64_t now(void)
{
    return clk_mono_ns(clk_real());
}

static void encode(struct work *w, int64_t offset)
{
    char key[16] = "key-00000000000";
    uint8_t origin[ORIGIN_SIZE];
    batch_reset(&w->builder);
    batch_begin(&w->builder, 1530000000000, 0);
    for (int i = 0; i < RECORDS; i++) {
        origin_encode(&(struct origin){1, 2, offset + i, 0}, origin);
        struct log_header header = origin_header(origin);
        bytes_put64(key + 7, (uint64_t)i);
        batch_append(&w->builder, &(struct log_record){.time = 1530000000000 + i,
                                                       .key = slice_of(key, 15),
                                                       .value = slice_of(w->value, w->value_size),
                                                       .headers = &header,
                                                       .headers_count = 1});
    }
}

static void decode(struct work *w)
{
    struct batch_header h;
    struct batch_iter it;
    struct rec r;
    CHECK(batch_header_parse(w->batch, &h) == 1);
    batch_iter_init(&it, &h, slice_of(w->batch.p + BATCH_HEADER, h.size - BATCH_HEADER));
    while (batch_next(&it, &r) == 1)
        w->sum += r.value.n + (uint64_t)r.time + r.key.p[14];
}

static void partitions(struct work *w)
{
    uint8_t key[15] = "key-00000000000";
    for (int i = 0; i < RECORDS; i++) {
        bytes_put64(key + 7, (uint64_t)i);
        w->sum += (uint32_t)log_partition_of(slice_of(key, 15), 12);
    }
}

static void best(int64_t *min, int64_t took)
{
    if (*min == 0 || took < *min)
        *min = took;
}

static void round_once(struct work *w, struct times *best_times)
{
    struct times t = {0};
    for (int b = 0; b < BATCHES; b++) {
        int64_t a = now();
        encode(w, (int64_t)b * RECORDS);
        int64_t c = now();
        w->batch = batch_finish(&w->builder, NULL);
        int64_t d = now();
        w->sum += crc32c(w->batch.p + 21, w->batch.n - 21);
        int64_t f = now();
        decode(w);
        int64_t g = now();
        partitions(w);
        t.partition += now() - g;
        t.encode += c - a;
        t.finish += d - c;
        t.crc += f - d;
        t.decode += g - f;
    }
    best(&best_times->encode, t.encode);
    best(&best_times->finish, t.finish);
    best(&best_times->crc, t.crc);
    best(&best_times->decode, t.decode);
    best(&best_times->partition, t.partition);
}

static double per_record(int64_t ns)
{
    return (double)ns / ((double)RECORDS * BATCHES);
}

int main(void)
{
    static const uint32_t sizes[] = {100, 283};
    struct work w = {0};
    batch_builder_init(&w.builder);
    memset(w.value, 'x', sizeof w.value);
    printf("ns per record        encode   finish      crc   decode  murmur2   bytes\n");
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct times t = {0};
        w.value_size = sizes[i];
        for (int round = 0; round < ROUNDS; round++)
            round_once(&w, &t);
        printf("value of %3u bytes  %7.1f  %7.1f  %7.1f  %7.1f  %7.1f  %6.1f\n", sizes[i],
               per_record(t.encode), per_record(t.finish), per_record(t.crc), per_record(t.decode),
               per_record(t.partition), (double)w.batch.n / RECORDS);
    }
    fprintf(stderr, "(checksum of the work: %llx)\n", (unsigned long long)w.sum);
    batch_builder_release(&w.builder);
    return 0;
}
