// SPDX-License-Identifier: Apache-2.0
//
// Recovery of a journal that somebody has tampered with: it must open or refuse, and what it opened
// must be readable; nothing may crash. The first byte says how the rest is used: as the journal
// file itself, as bytes written over a good journal, or as entries in frames with right checksums.
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logline.h"
#include "broker/broker.h"
#include "broker/journal.h"
#include "log/batch.h"

static char base[128], work[160];
static struct buf good; // the journal of the base directory

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static void clean_up(void)
{
    nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    buf_release(&good);
}

static void load(const char *path, struct buf *out)
{
    uint8_t chunk[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n;
    CHECK(fd >= 0);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        buf_put(out, chunk, (uint32_t)n);
    close(fd);
}

static void store(const char *path, struct slice s)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
    CHECK(fd >= 0 && write(fd, s.p, s.n) == (ssize_t)s.n);
    close(fd);
}

static void append(struct broker *b, struct broker_partition *p, const char *value)
{
    struct batch_builder builder;
    struct log_record r = {.key = slice_str("k"), .value = slice_str(value)};
    batch_builder_init(&builder);
    batch_begin(&builder, 1, 0);
    batch_append(&builder, &r);
    struct broker_batch batch = {.partition = p, .bytes = batch_finish(&builder, NULL)};
    CHECK(broker_append_wait(b, &batch, 1, false) == BROKER_OK);
    batch_builder_release(&builder);
}

static struct buf snapshot, meta, segment;

// A directory with a snapshot and a few frames behind it, kept in memory.
static void make_base(void)
{
    char path[300];
    struct err e;
    struct broker *b;
    const char *tmp = getenv("TMPDIR");
    logline_level = LOG_ERROR + 1;
    snprintf(base, sizeof(base), "%s/weir-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
    CHECK(mkdtemp(base) != NULL);
    atexit(clean_up);
    snprintf(work, sizeof(work), "%s/work", base);
    struct broker_config c = {.dir = work, .housekeeping_ms = -1};
    CHECK(broker_open(&c, &b, &e) == 0);
    CHECK(broker_topic_create(b, "t", 2, NULL, &e) == BROKER_OK);
    append(b, broker_partition_find(b, "t", 0), "before");
    CHECK(broker_checkpoint(b, &e) == 0);
    append(b, broker_partition_find(b, "t", 0), "one");
    append(b, broker_partition_find(b, "t", 1), "two");
    struct broker_group_offset g = {"t", 0, 1, NULL};
    CHECK(broker_offsets_commit(b, "g", &g, 1) == BROKER_OK);
    snprintf(path, sizeof(path), "%s/journal/%020d.wal", work, 2);
    load(path, &good);
    good.n = 4096;
    snprintf(path, sizeof(path), "%s/snapshot", work);
    load(path, &snapshot);
    snprintf(path, sizeof(path), "%s/meta", work);
    load(path, &meta);
    snprintf(path, sizeof(path), "%s/topics/t-0/%020d.log", work, 0);
    load(path, &segment);
    broker_close(b);
}

static void make_work(struct slice journal)
{
    char path[300];
    nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    static const char *const dirs[] = {"", "/journal", "/topics", "/topics/t-0", "/topics/t-1"};
    for (size_t i = 0; i < ARRAY_COUNT(dirs); i++) {
        snprintf(path, sizeof(path), "%s%s", work, dirs[i]);
        CHECK(mkdir(path, 0777) == 0);
    }
    snprintf(path, sizeof(path), "%s/snapshot", work);
    store(path, buf_slice(&snapshot));
    snprintf(path, sizeof(path), "%s/meta", work);
    store(path, buf_slice(&meta));
    snprintf(path, sizeof(path), "%s/topics/t-0/%020d.log", work, 0);
    store(path, buf_slice(&segment));
    snprintf(path, sizeof(path), "%s/journal/%020d.wal", work, 2);
    store(path, journal);
}

static bool read_topic(void *arg, const struct broker_topic_info *info)
{
    struct buf out;
    buf_init(&out);
    for (int32_t i = 0; i < info->partitions && i < 3; i++) {
        struct broker_partition *p = broker_partition_find(arg, info->name, i);
        struct broker_offsets o;
        struct broker_read r;
        int64_t offset, time;
        if (broker_partition_offsets(p, &o) != BROKER_OK)
            continue;
        buf_clear(&out);
        broker_read(p, o.start, 10000, true, &out, &r);
        free(r.aborted);
        broker_offset_for_time(p, 0, &offset, &time);
    }
    buf_release(&out);
    return true;
}

// Frames with right checksums around what the fuzzer made: two bytes of length, then entries.
static void wrap(struct slice in, struct buf *out)
{
    uint64_t sequence = bytes_get64(good.p + 16);
    buf_put(out, good.p, JOURNAL_HEADER);
    while (in.n >= 2) {
        uint8_t head[JOURNAL_FRAME];
        uint32_t n = bytes_get16(in.p);
        n = n < in.n - 2 ? n : in.n - 2;
        struct slice payload = slice_of(in.p + 2, n);
        journal_frame_put(head, payload, sequence++);
        buf_put(out, head, sizeof(head));
        buf_slice_put(out, payload);
        while (out->n % 8 != 0)
            buf_u8(out, 0);
        in = slice_of(payload.p + n, in.n - 2 - n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf journal;
    struct broker *b;
    struct err e;
    if (base[0] == 0)
        make_base();
    if (size < 1 || size > 4000)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    buf_init(&journal);
    if (data[0] % 3 == 0) {
        buf_slice_put(&journal, in);
    } else if (data[0] % 3 == 1) { // pairs of place and value
        buf_slice_put(&journal, buf_slice(&good));
        for (uint32_t i = 0; i + 3 <= in.n; i += 3)
            journal.p[bytes_get16(in.p + i) % journal.n] ^= in.p[i + 2];
    } else {
        wrap(in, &journal);
    }
    make_work(buf_slice(&journal));
    buf_release(&journal);
    struct broker_config c = {.dir = work, .housekeeping_ms = -1};
    if (broker_open(&c, &b, &e) == 0) {
        broker_topic_each(b, read_topic, b);
        broker_close(b);
    } else {
        CHECK(e.text[0] != 0);
    }
    return 0;
}
