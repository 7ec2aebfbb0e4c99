// SPDX-License-Identifier: Apache-2.0
//
// What the shared journal buys: prints the table of docs/adr/0001-journal.md.
//
//   bench_journal DIR      a directory on the disk in question, a few seconds, about 6 GB written
//
// "files" and "double" are plain system calls, as a broker without a journal, or one that puts
// every byte into it, would make them; "broker" is the real one through broker.h. CPU is of the
// whole process, user and system, the kernel's writeback not included.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clk.h"
#include "broker/broker.h"
#include "broker/disk.h"
#include "log/batch.h"

enum {
    PARTITIONS = 8,
    SMALL = 2000,
    BIG = 512 * 1024,
    BIG_BATCHES = 10, // per commit
    ROUNDS_SMALL = 400,
    ROUNDS_BIG = 100,
};

static uint8_t bytes[BIG];
static char dir[512];

struct meter {
    int64_t wall_ns, cpu_us;
};

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static struct meter start(void)
{
    sync(); // what earlier runs left must not be paid by this one
    return (struct meter){clk_mono_ns(clk_real()), cpu_us()};
}

static void report(const char *what, struct meter m, int rounds, int64_t bytes_per_round)
{
    double s = (double)(clk_mono_ns(clk_real()) - m.wall_ns) / 1e9;
    double cpu = (double)(cpu_us() - m.cpu_us);
    double mb = (double)rounds * (double)bytes_per_round / 1e6;
    printf("%-42s %8.0f groups/s %8.2f ms/group %8.1f MB/s %8.0f us CPU/group %8.0f us CPU/MB\n",
           what, rounds / s, s * 1e3 / rounds, mb / s, cpu / rounds, cpu / mb);
}

static int create(const char *name)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0666);
    CHECK(fd >= 0);
    return fd;
}

// One sync per partition file.
static void files(int partitions, uint32_t size, int per_partition, int rounds, const char *what)
{
    int fds[PARTITIONS];
    for (int i = 0; i < partitions; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file%d", i);
        fds[i] = create(name);
    }
    struct meter m = start();
    int64_t at = 0;
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < partitions; i++) {
            for (int k = 0; k < per_partition; k++)
                CHECK(disk_write(fds[i], bytes, size, at + (int64_t)k * size) == 0);
            CHECK(fdatasync(fds[i]) == 0);
        }
        at += (int64_t)size * per_partition;
    }
    report(what, m, rounds, (int64_t)size * partitions * per_partition);
    for (int i = 0; i < partitions; i++)
        close(fds[i]);
}

// Every byte into the journal, which is synced, and into the partition's file, which is not.
static void twice(uint32_t size, int batches, int rounds, bool zeroed, const char *what)
{
    int journal = create("raw"), fds[PARTITIONS];
    for (int i = 0; i < PARTITIONS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "file%d", i);
        fds[i] = create(name);
    }
    int64_t all = (int64_t)rounds * batches * size;
    if (zeroed)
        CHECK(disk_zero(journal, 0, all) == 0 && fsync(journal) == 0);
    struct meter m = start();
    int64_t at = 0;
    for (int r = 0; r < rounds; r++) {
        for (int k = 0; k < batches; k++, at += size) {
            CHECK(disk_write(fds[k % PARTITIONS], bytes, size, at / PARTITIONS) == 0);
            CHECK(disk_write(journal, bytes, size, at) == 0);
        }
        CHECK(fdatasync(journal) == 0);
    }
    for (int i = 0; i < PARTITIONS; i++) { // the checkpoint belongs to the price
        CHECK(fdatasync(fds[i]) == 0);
        close(fds[i]);
    }
    close(journal);
    report(what, m, rounds, (int64_t)size * batches);
}

static struct slice make_batch(struct batch_builder *b, uint32_t size)
{
    batch_begin(b, 0, 0);
    struct log_record r = {.value = slice_of(bytes, size - 100)};
    batch_append(b, &r);
    return batch_finish(b, NULL);
}

static void real(uint32_t size, int batches, int rounds, const char *what)
{
    struct broker_config c = {.dir = dir, .housekeeping_ms = -1};
    struct broker *b;
    struct err e;
    struct batch_builder builder;
    struct broker_batch all[16];
    int64_t id;
    int16_t epoch;
    char name[32];
    static int number;
    if (broker_open(&c, &b, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    snprintf(name, sizeof(name), "t%d", number++);
    CHECK(broker_topic_create(b, name, PARTITIONS, NULL, &e) == BROKER_OK);
    CHECK(broker_producer_init(b, NULL, 0, &id, &epoch) == BROKER_OK);
    batch_builder_init(&builder);
    struct slice s = make_batch(&builder, size);
    struct meter m = start();
    for (int r = 0; r < rounds; r++) {
        for (int k = 0; k < batches; k++)
            all[k] = (struct broker_batch){
                .partition = broker_partition_find(b, name, k % PARTITIONS), .bytes = s};
        CHECK(broker_commit(b, id, epoch, (uint64_t)r + 1, all, (uint32_t)batches, NULL, NULL, 0) ==
              BROKER_OK);
    }
    CHECK(broker_checkpoint(b, &e) == 0);
    report(what, m, rounds, (int64_t)s.n * batches);
    broker_close(b);
    batch_builder_release(&builder);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bench_journal DIR\n");
        return 2;
    }
    snprintf(dir, sizeof(dir), "%s", argv[1]);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    printf("(a) %d partitions, one batch of %d bytes each per group\n", PARTITIONS, SMALL);
    files(PARTITIONS, SMALL, 1, ROUNDS_SMALL, "files: one fdatasync per partition");
    twice(SMALL, PARTITIONS, ROUNDS_SMALL, false, "journal that grows: one fdatasync");
    twice(SMALL, PARTITIONS, ROUNDS_SMALL, true, "journal with zeros ahead: one fdatasync");
    real(SMALL, PARTITIONS, ROUNDS_SMALL, "broker: one commit");
    printf("(b) %d batches of %d bytes per group\n", BIG_BATCHES, BIG);
    twice(BIG, BIG_BATCHES, ROUNDS_BIG, false, "double: all bytes through the journal");
    files(PARTITIONS, BIG, 1, ROUNDS_BIG, "files: one fdatasync per partition (8 batches)");
    real(BIG, BIG_BATCHES, ROUNDS_BIG, "broker: one commit, by reference");
    return 0;
}
