// SPDX-License-Identifier: Apache-2.0
//
// The Kafka protocol on bytes: each API's requests against a broker in a temporary directory, no
// sockets. Every version in the table is asked once with a well-formed request, cut short at every
// byte, and must never be answered partly.
#include "broker/api.h"
#include "log/batch.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include <ftw.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bench {
    char dir[64];
    struct broker *broker;
    struct api api;
    struct api_call call;
    int wake;
    struct buf request, answer;
    struct wire_out out; // the request being built
    int64_t now_ms;
    enum api_result result;
};

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

static int setup(void **state)
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

static int teardown(void **state)
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

static struct wire_out *begin(struct bench *b, int16_t key, int16_t version)
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
static struct wire_in send_request(struct bench *b)
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

static void assert_read_whole(const struct wire_in *in)
{
    assert_false(in->c.failed);
    assert_int_equal(cur_left(&in->c), 0);
}

static void make_topic(struct bench *b, const char *name, int32_t partitions)
{
    struct broker_topic_config config = broker_topic_config_default(b->broker);
    struct err e;
    assert_int_equal(broker_topic_create(b->broker, name, partitions, &config, &e), BROKER_OK);
}

// --- requests -----------------------------------------------------------------------------------

static void ask_versions(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_VERSIONS, v);
    if (v >= 3) {
        wire_put_cstr(out, "tester");
        wire_put_cstr(out, "1.0");
        wire_put_tags(out);
    }
}

static void ask_metadata(struct bench *b, int16_t v, const char *topic, bool create)
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

static void ask_produce(struct bench *b, int16_t v, int16_t acks, const char *topic,
                        struct slice batch)
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

static void ask_fetch(struct bench *b, int16_t v, const char *topic, int64_t offset,
                      int32_t wait_ms)
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

static void ask_offsets(struct bench *b, int16_t v, const char *topic, int64_t time)
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

static void ask_coordinator(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_FIND_COORDINATOR, v);
    wire_put_cstr(out, "group");
    if (v >= 1)
        wire_put_i8(out, 0);
    wire_put_tags(out);
}

static void ask_producer(struct bench *b, int16_t v, const char *id)
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

static void ask_create(struct bench *b, int16_t v, const char *topic, const char *config,
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

static void ask_delete(struct bench *b, int16_t v, const char *topic)
{
    struct wire_out *out = begin(b, API_DELETE_TOPICS, v);
    wire_put_array(out, 1);
    wire_put_cstr(out, topic);
    wire_put_i32(out, 1000);
    wire_put_tags(out);
}

static void ask_configs(struct bench *b, int16_t v, int8_t type, const char *name)
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

static void ask_cluster(struct bench *b, int16_t v)
{
    struct wire_out *out = begin(b, API_DESCRIBE_CLUSTER, v);
    wire_put_bool(out, false);
    if (v >= 1)
        wire_put_i8(out, 1);
    wire_put_tags(out);
}

static struct slice one_batch(struct batch_builder *builder, int64_t time, int count)
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

struct produced {
    int16_t error;
    int64_t base;
};

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

static struct produced produce(struct bench *b, int16_t v, int16_t acks, const char *topic,
                               struct slice batch)
{
    ask_produce(b, v, acks, topic, batch);
    return read_produce(b, v, send_request(b));
}

struct fetched {
    int16_t error;
    int64_t end, start;
    struct slice records;
};

static struct fetched read_fetch(struct bench *b, int16_t v, struct wire_in in)
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

static struct fetched fetch(struct bench *b, int16_t v, const char *topic, int64_t offset)
{
    ask_fetch(b, v, topic, offset, 0);
    return read_fetch(b, v, send_request(b));
}

struct listed {
    int16_t error;
    int64_t time, offset;
};

static struct listed list_offset(struct bench *b, int16_t v, const char *topic, int64_t time)
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

// --- tests --------------------------------------------------------------------------------------

static void lists_versions_from_its_table(void **state)
{
    struct bench *b = *state;
    for (int16_t v = 0; v <= 4; v++) {
        ask_versions(b, v);
        struct wire_in in = send_request(b);
        assert_int_equal(wire_i16(&in), BROKER_OK);
        int32_t n = wire_array(&in, 6);
        bool produce = false, fetch_seen = false;
        for (int32_t i = 0; i < n; i++) {
            int16_t key = wire_i16(&in), min = wire_i16(&in), max = wire_i16(&in);
            wire_tags(&in);
            // What librdkafka 2.0.2 looks for before it compresses and writes version 2 batches.
            produce = produce || (key == API_PRODUCE && min == 0 && max >= 7);
            fetch_seen = fetch_seen || (key == API_FETCH && min <= 4 && max >= 10);
        }
        if (v >= 1)
            assert_int_equal(wire_i32(&in), 0);
        wire_tags(&in);
        assert_read_whole(&in);
        assert_true(produce && fetch_seen);
    }
}

static void answers_unknown_versions_request_in_version_0(void **state)
{
    struct bench *b = *state;
    ask_versions(b, 4);
    bytes_put16(b->request.p + 2, 99);
    b->out.flexible = false;
    struct wire_in in = send_request(b);
    assert_int_equal(b->result, API_ANSWERED);
    assert_int_equal(wire_i16(&in), BROKER_UNSUPPORTED_VERSION);
    assert_int_equal(wire_array(&in, 6), 1);
    assert_int_equal(wire_i16(&in), API_VERSIONS);
    assert_int_equal(wire_i16(&in), 0);
    assert_int_equal(wire_i16(&in), 4);
    assert_read_whole(&in);
}

static void refuses_strange_software_names(void **state)
{
    struct bench *b = *state;
    struct wire_out *out = begin(b, API_VERSIONS, 3);
    wire_put_cstr(out, "-bad name-");
    wire_put_cstr(out, "1");
    wire_put_tags(out);
    struct wire_in in = send_request(b);
    assert_int_equal(wire_i16(&in), BROKER_INVALID_REQUEST);
}

static void closes_on_what_it_does_not_know(void **state)
{
    struct bench *b = *state;
    begin(b, 9999, 0);
    send_request(b);
    assert_int_equal(b->result, API_CLOSE);
    ask_metadata(b, 12, NULL, false);
    bytes_put16(b->request.p + 2, 13);
    send_request(b);
    assert_int_equal(b->result, API_CLOSE);
    buf_clear(&b->request);
    buf_u32(&b->request, 0);
    send_request(b);
    assert_int_equal(b->result, API_CLOSE);
}

static int16_t metadata_error(struct bench *b, int16_t v, const char *topic, bool create,
                              int32_t *partitions)
{
    ask_metadata(b, v, topic, create);
    struct wire_in in = send_request(b);
    assert_int_equal(b->result, API_ANSWERED);
    if (v >= 3)
        wire_i32(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    assert_int_equal(wire_i32(&in), API_NODE_ID);
    assert_true(slice_eq_str(wire_string(&in), "127.0.0.1"));
    assert_int_equal(wire_i32(&in), 9092);
    if (v >= 1)
        wire_string(&in);
    wire_tags(&in);
    if (v >= 2)
        assert_true(wire_string(&in).n > 0);
    if (v >= 1)
        assert_int_equal(wire_i32(&in), API_NODE_ID);
    assert_int_equal(wire_array(&in, 1), 1);
    int16_t error = wire_i16(&in);
    assert_true(slice_eq_str(wire_string(&in), topic));
    if (v >= 10)
        cur_take(&in.c, 16);
    if (v >= 1)
        assert_false(wire_bool(&in));
    *partitions = wire_array(&in, 1);
    assert_false(in.c.failed);
    return error;
}

static void metadata_creates_topics_when_allowed(void **state)
{
    struct bench *b = *state;
    int32_t partitions;
    assert_int_equal(metadata_error(b, 4, "fresh", false, &partitions),
                     BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(partitions, 0);
    assert_int_equal(metadata_error(b, 12, "fresh", true, &partitions), BROKER_OK);
    assert_int_equal(partitions, 2);
    assert_int_equal(metadata_error(b, 0, "older", false, &partitions), BROKER_OK);
    assert_int_equal(metadata_error(b, 9, "bad name!", true, &partitions), BROKER_INVALID_TOPIC);
    b->api.auto_create = false;
    assert_int_equal(metadata_error(b, 1, "other", true, &partitions),
                     BROKER_UNKNOWN_TOPIC_OR_PARTITION);
}

static void metadata_finds_topics_by_id(void **state)
{
    struct bench *b = *state;
    struct broker_topic_info info;
    make_topic(b, "t", 1);
    assert_int_equal(broker_topic_find(b->broker, "t", &info), BROKER_OK);
    for (int known = 0; known < 2; known++) {
        struct wire_out *out = begin(b, API_METADATA, 12);
        wire_put_array(out, 1);
        info.id[0] ^= (uint8_t)(known == 0 ? 1 : 0);
        wire_put_uuid(out, info.id);
        info.id[0] ^= (uint8_t)(known == 0 ? 1 : 0);
        wire_put_cstr(out, NULL);
        wire_put_tags(out);
        wire_put_bool(out, true);
        wire_put_bool(out, false);
        wire_put_tags(out);
        struct wire_in in = send_request(b);
        wire_i32(&in);
        wire_array(&in, 1);
        wire_i32(&in);
        wire_string(&in);
        wire_i32(&in);
        wire_string(&in);
        wire_tags(&in);
        wire_string(&in);
        wire_i32(&in);
        assert_int_equal(wire_array(&in, 1), 1);
        assert_int_equal(wire_i16(&in), known ? BROKER_OK : API_UNKNOWN_TOPIC_ID);
        struct slice name = wire_string(&in);
        assert_true(known ? slice_eq_str(name, "t") : name.p == NULL);
    }
}

static void produces_and_fetches_in_every_version(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    int64_t offset = 0;
    for (int16_t v = 3; v <= 11; v++) {
        struct produced p = produce(b, v, v % 2 == 0 ? 1 : -1, "t", one_batch(&builder, 5000, 2));
        assert_int_equal(p.error, BROKER_OK);
        assert_int_equal(p.base, offset);
        offset += 2;
    }
    for (int16_t v = 4; v <= 12; v++) {
        struct fetched f = fetch(b, v, "t", 3);
        struct batch_header h;
        assert_int_equal(f.error, BROKER_OK);
        assert_int_equal(f.end, offset);
        if (v >= 5)
            assert_int_equal(f.start, 0);
        assert_int_equal(batch_header_parse(f.records, &h), 1);
        assert_int_equal(h.base_offset, 2); // the whole batch that holds 3
        assert_int_equal(h.leader_epoch, API_LEADER_EPOCH);
    }
    batch_builder_release(&builder);
}

static void refuses_bad_produce_requests(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    struct slice batch = one_batch(&builder, 5000, 1);
    for (int16_t v = 0; v < 3; v++)
        assert_int_equal(produce(b, v, 1, "t", batch).error, BROKER_UNSUPPORTED_VERSION);
    assert_int_equal(produce(b, 7, 2, "t", batch).error, BROKER_INVALID_REQUIRED_ACKS);
    assert_int_equal(produce(b, 7, 1, "bad name", batch).error, BROKER_INVALID_TOPIC);
    assert_int_equal(produce(b, 7, 1, "t", (struct slice){NULL, 0}).error, BROKER_CORRUPT_MESSAGE);
    assert_int_equal(produce(b, 7, 1, "t", slice_of(batch.p, batch.n - 1)).error,
                     BROKER_CORRUPT_MESSAGE);
    uint8_t twice[512];
    memcpy(twice, batch.p, batch.n);
    memcpy(twice + batch.n, batch.p, batch.n);
    assert_int_equal(produce(b, 7, 1, "t", slice_of(twice, 2 * batch.n)).error,
                     BROKER_INVALID_RECORD);
    twice[16] = 1; // message format 1
    assert_int_equal(produce(b, 7, 1, "t", slice_of(twice, batch.n)).error,
                     API_UNSUPPORTED_FOR_MESSAGE_FORMAT);
    twice[16] = 2;
    twice[batch.n - 1] ^= 1;
    assert_int_equal(produce(b, 7, 1, "t", slice_of(twice, batch.n)).error, BROKER_CORRUPT_MESSAGE);
    twice[22] |= 4; // zstd needs version 7
    assert_int_equal(produce(b, 6, 1, "t", slice_of(twice, batch.n)).error,
                     BROKER_UNSUPPORTED_COMPRESSION);
    assert_int_equal(fetch(b, 11, "t", 0).end, 0);
    batch_builder_release(&builder);
}

static void acks_0_is_silent_or_closes(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    ask_produce(b, 7, 0, "t", one_batch(&builder, 5000, 1));
    send_request(b);
    assert_int_equal(b->result, API_SILENT);
    assert_int_equal(fetch(b, 11, "t", 0).end, 1);
    ask_produce(b, 7, 0, "t", slice_str("not a batch, but long enough"));
    send_request(b);
    assert_int_equal(b->result, API_CLOSE);
    batch_builder_release(&builder);
}

static void produce_creates_topics(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    assert_int_equal(produce(b, 9, 1, "new", one_batch(&builder, 1, 1)).error, BROKER_OK);
    b->api.auto_create = false;
    assert_int_equal(produce(b, 9, 1, "newer", one_batch(&builder, 1, 1)).error,
                     BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    batch_builder_release(&builder);
}

static void fetch_waits_until_data_or_deadline(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    ask_fetch(b, 11, "t", 0, 500);
    send_request(b);
    assert_int_equal(b->result, API_PARKED);
    assert_int_equal(b->call.deadline_ms, b->now_ms + 500);
    assert_int_equal(api_resume(&b->call, b->now_ms + 499, &b->answer), API_PARKED);
    struct slice batch = one_batch(&builder, 5000, 1);
    struct broker_batch append = {.partition = broker_partition_find(b->broker, "t", 0),
                                  .bytes = batch};
    assert_int_equal(broker_append_wait(b->broker, &append, 1, false), BROKER_OK);
    b->result = api_resume(&b->call, b->now_ms + 499, &b->answer);
    assert_int_equal(b->result, API_ANSWERED);
    struct wire_in in = wire_in_of(slice_of(b->answer.p + 8, b->answer.n - 8), false);
    assert_int_equal(read_fetch(b, 11, in).records.n, batch.n);

    ask_fetch(b, 11, "t", 1, 500);
    send_request(b);
    assert_int_equal(b->result, API_PARKED);
    b->result = api_resume(&b->call, b->now_ms + 500, &b->answer); // too late: empty
    in = wire_in_of(slice_of(b->answer.p + 8, b->answer.n - 8), false);
    assert_int_equal(read_fetch(b, 11, in).records.n, 0);

    ask_fetch(b, 11, "t", 1, 500);
    send_request(b);
    assert_true(api_cancel(&b->call));
    batch_builder_release(&builder);
}

static void parked_fetch_notices_deletion(void **state)
{
    struct bench *b = *state;
    struct err e;
    make_topic(b, "t", 1);
    ask_fetch(b, 11, "t", 0, 60000);
    send_request(b);
    assert_int_equal(b->result, API_PARKED);
    assert_int_equal(broker_topic_delete(b->broker, "t", &e), BROKER_OK);
    b->result = api_resume(&b->call, b->now_ms, &b->answer);
    struct wire_in in = wire_in_of(slice_of(b->answer.p + 8, b->answer.n - 8), false);
    assert_int_equal(read_fetch(b, 11, in).error, BROKER_UNKNOWN_TOPIC_OR_PARTITION);
}

static void fetch_says_what_is_wrong(void **state)
{
    struct bench *b = *state;
    make_topic(b, "t", 1);
    ask_fetch(b, 11, "t", 5, 60000); // answers at once, in spite of the wait
    struct fetched f = read_fetch(b, 11, send_request(b));
    assert_int_equal(f.error, BROKER_OFFSET_OUT_OF_RANGE);
    assert_int_equal(f.end, -1);
    assert_int_equal(fetch(b, 12, "nothing", 0).error, BROKER_UNKNOWN_TOPIC_OR_PARTITION);
}

static void declines_sessions(void **state)
{
    struct bench *b = *state;
    struct wire_out *out = begin(b, API_FETCH, 7);
    wire_put_i32(out, -1);
    wire_put_i32(out, 0);
    wire_put_i32(out, 1);
    wire_put_i32(out, 1000);
    wire_put_i8(out, 0);
    wire_put_i32(out, 12345); // a session we never gave out
    wire_put_i32(out, 1);
    wire_put_array(out, 0);
    wire_put_array(out, 0);
    struct wire_in in = send_request(b);
    wire_i32(&in);
    assert_int_equal(wire_i16(&in), API_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(wire_i32(&in), 0);
    assert_int_equal(wire_array(&in, 1), 0);
    assert_read_whole(&in);
}

static void finds_offsets(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    assert_int_equal(list_offset(b, 7, "t", -3).offset, -1);
    produce(b, 7, 1, "t", one_batch(&builder, 1000, 3)); // 1000, 1010, 1020
    produce(b, 7, 1, "t", one_batch(&builder, 900, 2));  // 900, 910
    for (int16_t v = 1; v <= 8; v++) {
        assert_int_equal(list_offset(b, v, "t", -2).offset, 0);
        assert_int_equal(list_offset(b, v, "t", -1).offset, 5);
        struct listed l = list_offset(b, v, "t", 1005);
        assert_int_equal(l.offset, 1);
        assert_int_equal(l.time, 1010);
        l = list_offset(b, v, "t", 2000);
        assert_int_equal(l.error, BROKER_OK);
        assert_int_equal(l.offset, -1);
        l = list_offset(b, v, "t", -3); // the highest timestamp
        assert_int_equal(l.offset, 2);
        assert_int_equal(l.time, 1020);
        assert_int_equal(list_offset(b, v, "none", -1).error, BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    }
    assert_int_equal(list_offset(b, 8, "t", -4).offset, 0);
    batch_builder_release(&builder);
}

static void checks_leader_epochs(void **state)
{
    struct bench *b = *state;
    make_topic(b, "t", 1);
    ask_offsets(b, 4, "t", -1);
    bytes_put32(b->request.p + b->request.n - 12, 7); // an epoch that never was
    struct wire_in in = send_request(b);
    cur_take(&in.c, 4 + 4 + 3 + 4 + 4); // throttle, topics, "t", partitions, index
    assert_int_equal(wire_i16(&in), API_UNKNOWN_LEADER_EPOCH);
}

static void points_at_itself(void **state)
{
    struct bench *b = *state;
    for (int16_t v = 0; v <= 3; v++) {
        ask_coordinator(b, v);
        struct wire_in in = send_request(b);
        if (v >= 1)
            wire_i32(&in);
        assert_int_equal(wire_i16(&in), BROKER_OK);
        if (v >= 1)
            wire_string(&in);
        assert_int_equal(wire_i32(&in), API_NODE_ID);
        assert_true(slice_eq_str(wire_string(&in), "127.0.0.1"));
        assert_int_equal(wire_i32(&in), 9092);
        wire_tags(&in);
        assert_read_whole(&in);
    }
    for (int16_t v = 0; v <= 1; v++) {
        ask_cluster(b, v);
        struct wire_in in = send_request(b);
        wire_i32(&in);
        assert_int_equal(wire_i16(&in), BROKER_OK);
    }
}

static void hands_out_producers(void **state)
{
    struct bench *b = *state;
    int64_t last = -1;
    for (int16_t v = 0; v <= 4; v++) {
        ask_producer(b, v, NULL);
        struct wire_in in = send_request(b);
        wire_i32(&in);
        assert_int_equal(wire_i16(&in), BROKER_OK);
        int64_t id = wire_i64(&in);
        assert_true(id != last && id >= 0);
        last = id;
        assert_int_equal(wire_i16(&in), 0);
        wire_tags(&in);
        assert_read_whole(&in);
    }
    for (int16_t epoch = 0; epoch < 2; epoch++) {
        ask_producer(b, 4, "transactional");
        struct wire_in in = send_request(b);
        wire_i32(&in);
        assert_int_equal(wire_i16(&in), BROKER_OK);
        wire_i64(&in);
        assert_int_equal(wire_i16(&in), epoch);
    }
    ask_producer(b, 4, "");
    struct wire_in in = send_request(b);
    wire_i32(&in);
    assert_int_equal(wire_i16(&in), BROKER_INVALID_REQUEST);
}

static int16_t create(struct bench *b, int16_t v, const char *topic, const char *config,
                      const char *value)
{
    ask_create(b, v, topic, config, value);
    struct wire_in in = send_request(b);
    assert_int_equal(b->result, API_ANSWERED);
    wire_i32(&in);
    assert_int_equal(wire_array(&in, 1), 1);
    assert_true(slice_eq_str(wire_string(&in), topic));
    if (v >= 7)
        cur_take(&in.c, 16);
    int16_t error = wire_i16(&in);
    assert_int_equal(wire_string(&in).p == NULL, error == BROKER_OK);
    if (v >= 5 && error == BROKER_OK) {
        assert_int_equal(wire_i32(&in), 3);
        assert_int_equal(wire_i16(&in), 1); // asked for 3, got 1
        assert_true(wire_array(&in, 1) >= 9);
    }
    assert_false(in.c.failed);
    return error;
}

static void creates_and_deletes_topics(void **state)
{
    struct bench *b = *state;
    struct broker_topic_info info;
    for (int16_t v = 2; v <= 7; v++) {
        char name[16];
        snprintf(name, sizeof(name), "topic-%d", v);
        assert_int_equal(create(b, v, name, "cleanup.policy", "compact"), BROKER_OK);
        assert_int_equal(broker_topic_find(b->broker, name, &info), BROKER_OK);
        assert_int_equal(info.partitions, 3);
        assert_int_equal(info.config.cleanup, BROKER_COMPACT);
        assert_int_equal(create(b, v, name, NULL, NULL), BROKER_TOPIC_ALREADY_EXISTS);
    }
    assert_int_equal(create(b, 7, "x", "no.such.config", "1"), BROKER_INVALID_CONFIG);
    assert_int_equal(create(b, 7, "x", "retention.ms", "soon"), BROKER_INVALID_CONFIG);
    assert_int_equal(create(b, 7, "a/b", NULL, NULL), BROKER_INVALID_TOPIC);
    for (int16_t v = 1; v <= 5; v++) {
        char name[16];
        snprintf(name, sizeof(name), "topic-%d", v + 1);
        for (int twice = 0; twice < 2; twice++) {
            ask_delete(b, v, name);
            struct wire_in in = send_request(b);
            wire_i32(&in);
            assert_int_equal(wire_array(&in, 1), 1);
            wire_string(&in);
            assert_int_equal(wire_i16(&in), twice ? BROKER_UNKNOWN_TOPIC_OR_PARTITION : BROKER_OK);
        }
    }
}

static void describes_configs(void **state)
{
    struct bench *b = *state;
    assert_int_equal(create(b, 7, "t", "cleanup.policy", "compact"), BROKER_OK);
    for (int16_t v = 1; v <= 4; v++) {
        ask_configs(b, v, 2, "t");
        struct wire_in in = send_request(b);
        wire_i32(&in);
        assert_int_equal(wire_array(&in, 1), 1);
        assert_int_equal(wire_i16(&in), BROKER_OK);
        wire_string(&in);
        assert_int_equal(wire_i8(&in), 2);
        assert_true(slice_eq_str(wire_string(&in), "t"));
        int32_t n = wire_array(&in, 1);
        bool seen = false;
        for (int32_t i = 0; i < n; i++) {
            struct slice name = wire_string(&in), value = wire_string(&in);
            wire_bool(&in);
            int8_t source = wire_i8(&in);
            wire_bool(&in);
            int32_t synonyms = wire_array(&in, 1);
            bool cleanup = slice_eq_str(name, "cleanup.policy");
            assert_int_equal(source, cleanup ? 1 : 5);
            assert_int_equal(synonyms, cleanup ? 2 : 1);
            for (int32_t k = 0; k < synonyms; k++) {
                wire_string(&in);
                wire_string(&in);
                wire_i8(&in);
                wire_tags(&in);
            }
            if (v >= 3) {
                wire_i8(&in);
                assert_non_null(wire_string(&in).p);
            }
            wire_tags(&in);
            seen = seen || (cleanup && slice_eq_str(value, "compact"));
        }
        wire_tags(&in);
        wire_tags(&in);
        assert_read_whole(&in);
        assert_true(seen);
    }
    ask_configs(b, 1, 4, "1"); // the broker
    struct wire_in in = send_request(b);
    cur_take(&in.c, 8);
    assert_int_equal(wire_i16(&in), BROKER_OK);
    ask_configs(b, 1, 2, "none");
    in = send_request(b);
    cur_take(&in.c, 8);
    assert_int_equal(wire_i16(&in), BROKER_UNKNOWN_TOPIC_OR_PARTITION);
}

// A request cut anywhere closes, and nothing of it happens (A4).
static void refuses_cut_requests(void **state)
{
    struct bench *b = *state;
    struct batch_builder builder;
    batch_builder_init(&builder);
    make_topic(b, "t", 1);
    struct slice batch = one_batch(&builder, 1, 1);
    struct buf whole;
    buf_init(&whole);
    for (int kind = 0; kind < 9; kind++) {
        switch (kind) {
        case 0:
            ask_versions(b, 3);
            break;
        case 1:
            ask_metadata(b, 12, "cut", true);
            break;
        case 2:
            ask_produce(b, 9, 1, "t", batch);
            break;
        case 3:
            ask_fetch(b, 12, "t", 0, 1000);
            break;
        case 4:
            ask_offsets(b, 7, "t", -1);
            break;
        case 5:
            ask_create(b, 7, "cut", "cleanup.policy", "compact");
            break;
        case 6:
            ask_delete(b, 5, "t");
            break;
        case 7:
            ask_configs(b, 4, 2, "t");
            break;
        case 8:
            ask_producer(b, 4, "cut");
            break;
        }
        buf_clear(&whole);
        buf_slice_put(&whole, buf_slice(&b->request));
        for (uint32_t n = 0; n < whole.n; n++) {
            b->answer.n = 0;
            assert_int_equal(api_start(&b->call, slice_of(whole.p, n), 0, &b->answer), API_CLOSE);
            assert_int_equal(b->answer.n, 0);
        }
    }
    struct broker_topic_info info;
    assert_int_equal(broker_topic_find(b->broker, "cut", &info), BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(broker_topic_find(b->broker, "t", &info), BROKER_OK);
    assert_int_equal(fetch(b, 11, "t", 0).end, 0);
    buf_release(&whole);
    batch_builder_release(&builder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_versions_from_its_table),
        TEST(answers_unknown_versions_request_in_version_0),
        TEST(refuses_strange_software_names),
        TEST(closes_on_what_it_does_not_know),
        TEST(metadata_creates_topics_when_allowed),
        TEST(metadata_finds_topics_by_id),
        TEST(produces_and_fetches_in_every_version),
        TEST(refuses_bad_produce_requests),
        TEST(acks_0_is_silent_or_closes),
        TEST(produce_creates_topics),
        TEST(fetch_waits_until_data_or_deadline),
        TEST(parked_fetch_notices_deletion),
        TEST(fetch_says_what_is_wrong),
        TEST(declines_sessions),
        TEST(finds_offsets),
        TEST(checks_leader_epochs),
        TEST(points_at_itself),
        TEST(hands_out_producers),
        TEST(creates_and_deletes_topics),
        TEST(describes_configs),
        TEST(refuses_cut_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
