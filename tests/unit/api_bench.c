// SPDX-License-Identifier: Apache-2.0
//
// Api bench: see api_bench.h.
#include "tests/unit/api_bench.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <ftw.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void on_wake(void *arg)
{
    struct bench *b = arg;
    uint64_t one = 1;
    assert_int_equal(write(b->wake, &one, 8), 8);
}

int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct err e;
    strcpy(b->dir, "/tmp/weir-api-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    struct broker_config config = {.dir = b->dir,
                                   .durability = BROKER_OS,
                                   .housekeeping_ms = -1,
                                   .auto_create = true,
                                   .auto_partitions = 2};
    if (broker_open(&config, &b->broker, &e) != 0)
        fail_msg("%s", e.text);
    b->wake = eventfd(0, EFD_CLOEXEC);
    api_init(&b->api, b->broker, "127.0.0.1", 9092);
    b->api.wake = on_wake;
    b->api.wake_arg = b;
    api_call_init(&b->call, &b->api);
    b->now_ms = 1000;
    *state = b;
    return 0;
}

int teardown(void **state)
{
    struct bench *b = *state;
    while (!api_cancel(&b->call)) {
        b->now_ms++;
        api_resume(&b->call, b->now_ms, &b->answer);
    }
    api_release(&b->api);
    api_call_release(&b->call);
    broker_close(b->broker);
    nftw(b->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    close(b->wake);
    buf_release(&b->request);
    buf_release(&b->answer);
    free(b);
    return 0;
}

static int16_t first_flexible(int16_t key)
{
    uint32_t n;
    const struct api_entry *entries = api_entries(&n);
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i].key == key)
            return entries[i].flexible;
    }
    return INT16_MAX;
}

struct wire_out *begin(struct bench *b, int16_t key, int16_t version)
{
    buf_clear(&b->request);
    b->out = (struct wire_out){&b->request, version >= first_flexible(key)};
    wire_put_i16(&b->out, key);
    wire_put_i16(&b->out, version);
    wire_put_i32(&b->out, 77);
    wire_put_short_string(&b->out, slice_str("test"));
    wire_put_tags(&b->out);
    return &b->out;
}

// Waits (really) for the committer until a parked Produce is done.
static void wait_done(struct bench *b)
{
    uint64_t count;
    while (b->result == API_PARKED) {
        assert_int_equal(read(b->wake, &count, 8), 8);
        b->result = api_resume(&b->call, b->now_ms, &b->answer);
    }
}

// Sends what was begun; the answer behind its header.
struct wire_in send_request(struct bench *b)
{
    int16_t key = (int16_t)bytes_get16(b->request.p);
    buf_clear(&b->answer);
    b->result = api_start(&b->call, buf_slice(&b->request), b->now_ms, &b->answer);
    if (key == API_PRODUCE)
        wait_done(b);
    struct wire_in in = wire_in_of(buf_slice(&b->answer), b->out.flexible);
    if (b->result != API_ANSWERED) {
        assert_int_equal(b->answer.n, 0);
        return in;
    }
    assert_int_equal(wire_i32(&in), b->answer.n - 4);
    assert_int_equal(wire_i32(&in), 77);
    if (key != API_VERSIONS)
        wire_tags(&in);
    return in;
}

void assert_read_whole(const struct wire_in *in)
{
    assert_false(in->c.failed);
    assert_int_equal(cur_left(&in->c), 0);
}

void make_topic(struct bench *b, const char *name, int32_t partitions)
{
    struct broker_topic_config config = broker_topic_config_default(b->broker);
    struct err e;
    assert_int_equal(broker_topic_create(b->broker, name, partitions, &config, &e), BROKER_OK);
}

// --- requests -----------------------------------------------------------------------------------

void ask_versions(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_VERSIONS, v);
    if (v >= 3) {
        wire_put_cstr(out, "tester");
        wire_put_cstr(out, "1.0");
        wire_put_tags(out);
    }
}

void ask_metadata(struct bench *b, int16_t v, const char *topic, bool create)
{
    static const uint8_t no_id[16];
    struct wire_out *out = begin(b, API_METADATA, v);
    wire_put_array(out, topic != NULL ? 1 : v == 0 ? 0 : -1);
    if (topic != NULL) {
        if (v >= 10)
            wire_put_uuid(out, no_id);
        wire_put_cstr(out, topic);
        wire_put_tags(out);
    }
    if (v >= 4)
        wire_put_bool(out, create);
    if (v >= 8 && v <= 10)
        wire_put_bool(out, false);
    if (v >= 8)
        wire_put_bool(out, false);
    wire_put_tags(out);
}

void ask_produce(struct bench *b, int16_t v, int16_t acks, const char *topic, struct slice batch)
{
    struct wire_out *out = begin(b, API_PRODUCE, v);
    if (v >= 3)
        wire_put_cstr(out, NULL);
    wire_put_i16(out, acks);
    wire_put_i32(out, 1000);
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_array(out, 1);
    wire_put_i32(out, 0);
    wire_put_bytes(out, batch);
    for (int i = 0; i < 3; i++)
        wire_put_tags(out);
}

void ask_fetch(struct bench *b, int16_t v, const char *topic, int64_t offset, int32_t wait_ms)
{
    struct wire_out *out = begin(b, API_FETCH, v);
    wire_put_i32(out, -1);
    wire_put_i32(out, wait_ms);
    wire_put_i32(out, 1);
    wire_put_i32(out, 1 << 20);
    wire_put_i8(out, 1);
    if (v >= 7) {
        wire_put_i32(out, 0);
        wire_put_i32(out, -1);
    }
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_array(out, 1);
    wire_put_i32(out, 0);
    if (v >= 9)
        wire_put_i32(out, -1);
    wire_put_i64(out, offset);
    if (v >= 12)
        wire_put_i32(out, -1);
    if (v >= 5)
        wire_put_i64(out, -1);
    wire_put_i32(out, 1 << 20);
    wire_put_tags(out);
    wire_put_tags(out);
    if (v >= 7)
        wire_put_array(out, 0);
    if (v >= 11)
        wire_put_cstr(out, "");
    wire_put_tags(out);
}

void ask_offsets(struct bench *b, int16_t v, const char *topic, int64_t time)
{
    struct wire_out *out = begin(b, API_LIST_OFFSETS, v);
    wire_put_i32(out, -1);
    if (v >= 2)
        wire_put_i8(out, 0);
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_array(out, 1);
    wire_put_i32(out, 0);
    if (v >= 4)
        wire_put_i32(out, 0);
    wire_put_i64(out, time);
    for (int i = 0; i < 3; i++)
        wire_put_tags(out);
}

void ask_coordinator(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_FIND_COORDINATOR, v);
    wire_put_cstr(out, "group");
    if (v >= 1)
        wire_put_i8(out, 0);
    wire_put_tags(out);
}

void ask_producer(struct bench *b, int16_t v, const char *id)
{
    struct wire_out *out = begin(b, API_INIT_PRODUCER_ID, v);
    wire_put_cstr(out, id);
    wire_put_i32(out, 60000);
    if (v >= 3) {
        wire_put_i64(out, -1);
        wire_put_i16(out, -1);
    }
    wire_put_tags(out);
}

void ask_create(struct bench *b, int16_t v, const char *topic, const char *config,
                const char *value)
{
    struct wire_out *out = begin(b, API_CREATE_TOPICS, v);
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_i32(out, 3);
    wire_put_i16(out, 3);
    wire_put_array(out, 0);
    wire_put_array(out, config == NULL ? 0 : 1);
    if (config != NULL) {
        wire_put_cstr(out, config);
        wire_put_cstr(out, value);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    wire_put_i32(out, 1000);
    wire_put_bool(out, false);
    wire_put_tags(out);
}

void ask_delete(struct bench *b, int16_t v, const char *topic)
{
    struct wire_out *out = begin(b, API_DELETE_TOPICS, v);
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_i32(out, 1000);
    wire_put_tags(out);
}

void ask_configs(struct bench *b, int16_t v, int8_t type, const char *name)
{
    struct wire_out *out = begin(b, API_DESCRIBE_CONFIGS, v);
    wire_put_array(out, 1);
    wire_put_i8(out, type);
    wire_put_cstr(out, name);
    wire_put_array(out, -1);
    wire_put_tags(out);
    wire_put_bool(out, true);
    if (v >= 3)
        wire_put_bool(out, true);
    wire_put_tags(out);
}

void ask_cluster(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_DESCRIBE_CLUSTER, v);
    wire_put_bool(out, false);
    if (v >= 1)
        wire_put_i8(out, 1);
    wire_put_tags(out);
}

struct slice one_batch(struct batch_builder *builder, int64_t time, int count)
{
    batch_reset(builder);
    batch_begin(builder, time, 0);
    for (int i = 0; i < count; i++) {
        struct log_record r = {
            .time = time + i * 10, .key = slice_str("k"), .value = slice_str("value")};
        batch_append(builder, &r);
    }
    return batch_finish(builder, NULL);
}

// --- answers ------------------------------------------------------------------------------------

static struct produced read_produce(struct bench *b, int16_t v, struct wire_in in)
{
    struct produced p;
    assert_int_equal(b->result, API_ANSWERED);
    assert_int_equal(wire_array(&in, 1), 1);
    wire_string(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    assert_int_equal(wire_i32(&in), 0);
    p.error = wire_i16(&in);
    p.base = wire_i64(&in);
    if (v >= 2)
        wire_i64(&in);
    if (v >= 5)
        wire_i64(&in);
    if (v >= 8) {
        wire_array(&in, 1);
        wire_string(&in);
    }
    wire_tags(&in);
    wire_tags(&in);
    if (v >= 1)
        wire_i32(&in);
    wire_tags(&in);
    assert_read_whole(&in);
    return p;
}

struct produced produce(struct bench *b, int16_t v, int16_t acks, const char *topic,
                        struct slice batch)
{
    ask_produce(b, v, acks, topic, batch);
    return read_produce(b, v, send_request(b));
}

struct fetched read_fetch(struct bench *b, int16_t v, struct wire_in in)
{
    struct fetched f = {.start = -1};
    assert_int_equal(b->result, API_ANSWERED);
    wire_i32(&in);
    if (v >= 7) {
        assert_int_equal(wire_i16(&in), 0);
        assert_int_equal(wire_i32(&in), 0);
    }
    assert_int_equal(wire_array(&in, 1), 1);
    wire_string(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    wire_i32(&in);
    f.error = wire_i16(&in);
    f.end = wire_i64(&in);
    wire_i64(&in);
    if (v >= 5)
        f.start = wire_i64(&in);
    assert_int_equal(wire_array(&in, 1), 0);
    if (v >= 11)
        assert_int_equal(wire_i32(&in), -1);
    f.records = wire_bytes(&in);
    assert_non_null(f.records.p);
    for (int i = 0; i < 3; i++)
        wire_tags(&in);
    assert_read_whole(&in);
    return f;
}

struct fetched fetch(struct bench *b, int16_t v, const char *topic, int64_t offset)
{
    ask_fetch(b, v, topic, offset, 0);
    return read_fetch(b, v, send_request(b));
}

struct listed list_offset(struct bench *b, int16_t v, const char *topic, int64_t time)
{
    ask_offsets(b, v, topic, time);
    struct wire_in in = send_request(b);
    assert_int_equal(b->result, API_ANSWERED);
    if (v >= 2)
        wire_i32(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    wire_string(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    wire_i32(&in);
    struct listed l;
    l.error = wire_i16(&in);
    l.time = wire_i64(&in);
    l.offset = wire_i64(&in);
    if (v >= 4)
        wire_i32(&in);
    for (int i = 0; i < 3; i++)
        wire_tags(&in);
    assert_read_whole(&in);
    return l;
}
