// SPDX-License-Identifier: Apache-2.0
//
// What the broker's tests share: a broker in a temporary directory, batches of small records, and
// reading a partition back as "offset key=value" lines.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clk.h"
#include "broker/broker.h"
#include "log/batch.h"
#include "log/crc32c.h"

static inline int util_unlink(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static inline void util_remove(const char *path)
{
    nftw(path, util_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void util_mkdir(char path[256])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 256, "%s/weir-broker-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(path));
}

static inline void util_copy_file(const char *from, const char *to)
{
    uint8_t b[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0666);
    assert_true(in >= 0 && out >= 0);
    ssize_t n;
    while ((n = read(in, b, sizeof(b))) > 0)
        assert_int_equal(write(out, b, (size_t)n), n);
    close(in);
    close(out);
}

// Copies a data directory (without its lock).
static inline void util_copy(const char *from, const char *to)
{
    char a[1024], b[1024];
    DIR *d = opendir(from);
    struct dirent *f;
    struct stat st;
    assert_non_null(d);
    mkdir(to, 0777);
    while ((f = readdir(d)) != NULL) {
        if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0 ||
            strcmp(f->d_name, ".lock") == 0)
            continue;
        snprintf(a, sizeof(a), "%s/%s", from, f->d_name);
        snprintf(b, sizeof(b), "%s/%s", to, f->d_name);
        assert_int_equal(stat(a, &st), 0);
        if (S_ISDIR(st.st_mode))
            util_copy(a, b);
        else
            util_copy_file(a, b);
    }
    closedir(d);
}

static inline struct broker *util_open_with(const struct broker_config *c)
{
    struct broker *b;
    struct err e;
    if (broker_open(c, &b, &e) < 0)
        fail_msg("%s", e.text);
    return b;
}

static inline struct broker *util_open(const char *dir)
{
    struct broker_config c = {.dir = dir, .housekeeping_ms = -1};
    return util_open_with(&c);
}

static inline struct broker_partition *util_topic(struct broker *b, const char *name,
                                                  int32_t partitions,
                                                  const struct broker_topic_config *c)
{
    struct err e;
    if (broker_topic_create(b, name, partitions, c, &e) != BROKER_OK)
        fail_msg("%s", e.text);
    return broker_partition_find(b, name, 0);
}

struct util_batch {
    struct batch_builder builder;
    struct batch_producer producer;
    uint16_t attributes;
    int64_t time;
};

static inline void util_batch_init(struct util_batch *u)
{
    *u = (struct util_batch){.producer = {-1, -1, -1}, .time = 1000};
    batch_builder_init(&u->builder);
}

static inline void util_batch_free(struct util_batch *u)
{
    batch_builder_release(&u->builder);
}

static inline void util_add(struct util_batch *u, const char *key, const char *value)
{
    if (!u->builder.open)
        batch_begin(&u->builder, u->time, u->attributes);
    struct log_record r = {.time = u->time};
    if (key != NULL)
        r.key = slice_str(key);
    if (value != NULL)
        r.value = slice_str(value);
    batch_append(&u->builder, &r);
}

// Borrowed until the builder is used again.
static inline struct slice util_finish(struct util_batch *u)
{
    return batch_finish(&u->builder, &u->producer);
}

// Appends one batch of one record; returns its error, *offset its place.
static inline enum broker_error util_append(struct broker *b, struct broker_partition *p,
                                            int64_t time, const char *key, const char *value,
                                            int64_t *offset)
{
    struct util_batch u;
    util_batch_init(&u);
    u.time = time;
    util_add(&u, key, value);
    struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
    enum broker_error r = broker_append_wait(b, &batch, 1, false);
    if (offset != NULL)
        *offset = batch.base_offset;
    util_batch_free(&u);
    return r;
}

// One batch with producer fields.
static inline enum broker_error util_produce(struct broker *b, struct broker_partition *p,
                                             struct batch_producer producer, uint16_t attributes,
                                             const char *value, int records, int64_t *offset)
{
    struct util_batch u;
    util_batch_init(&u);
    u.producer = producer;
    u.attributes = attributes;
    for (int i = 0; i < records; i++)
        util_add(&u, "k", value);
    struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
    enum broker_error r = broker_append_wait(b, &batch, 1, false);
    if (offset != NULL)
        *offset = batch.base_offset;
    util_batch_free(&u);
    return r;
}

typedef void (*util_each)(void *arg, const struct batch_header *h, const struct rec *r);

static inline void util_walk(struct slice bytes, util_each each, void *arg)
{
    struct buf scratch;
    struct err e;
    buf_init(&scratch);
    while (bytes.n != 0) {
        struct batch_header h;
        struct batch_iter it;
        struct slice records;
        struct rec r;
        assert_int_equal(batch_check(bytes, &h, &e), 0);
        buf_clear(&scratch);
        assert_int_equal(batch_records(bytes, &h, BATCH_UNPACK_LIMIT, &scratch, &records, &e), 0);
        batch_iter_init(&it, &h, records);
        while (batch_next(&it, &r) == 1)
            each(arg, &h, &r);
        bytes = slice_of(bytes.p + h.size, bytes.n - h.size);
    }
    buf_release(&scratch);
}

// Calls `each` for every record from the start to the end; returns the first read error.
static inline enum broker_error util_read_all(struct broker_partition *p, bool committed,
                                              uint32_t max_bytes, util_each each, void *arg)
{
    struct broker_offsets o;
    struct buf out;
    enum broker_error r = broker_partition_offsets(p, &o);
    buf_init(&out);
    int64_t end = committed ? o.stable : o.end;
    for (int64_t at = o.start; r == BROKER_OK && at < end;) {
        struct broker_read info;
        buf_clear(&out);
        r = broker_read(p, at, max_bytes, committed, &out, &info);
        free(info.aborted);
        if (r != BROKER_OK)
            break;
        assert_true(info.next_offset > at);
        util_walk(buf_slice(&out), each, arg);
        at = info.next_offset;
    }
    buf_release(&out);
    return r;
}

static inline void util_line(void *arg, const struct batch_header *h, const struct rec *r)
{
    if (batch_is_control(h)) {
        buf_printf(arg, "%lld control\n", (long long)r->offset);
        return;
    }
    buf_printf(arg, "%lld %.*s=%.*s\n", (long long)r->offset, r->key.p == NULL ? 4 : (int)r->key.n,
               r->key.p == NULL ? "null" : (const char *)r->key.p,
               r->value.p == NULL ? 4 : (int)r->value.n,
               r->value.p == NULL ? "null" : (const char *)r->value.p);
}

static inline void util_expect(struct broker_partition *p, bool committed, const char *lines)
{
    struct buf text;
    buf_init(&text);
    assert_int_equal(util_read_all(p, committed, 1 << 20, util_line, &text), BROKER_OK);
    buf_u8(&text, 0);
    assert_string_equal((char *)text.p, lines);
    buf_release(&text);
}
