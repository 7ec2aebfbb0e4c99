// SPDX-License-Identifier: Apache-2.0
//
// The Kafka protocol on bytes, everything else: versions, metadata, topics, configs; and requests
// cut short at every byte, which must close and change nothing.
#include "tests/unit/api_bench.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(lists_versions_from_its_table),
        API_TEST(answers_unknown_versions_request_in_version_0),
        API_TEST(refuses_strange_software_names),
        API_TEST(closes_on_what_it_does_not_know),
        API_TEST(metadata_creates_topics_when_allowed),
        API_TEST(metadata_finds_topics_by_id),
        API_TEST(points_at_itself),
        API_TEST(creates_and_deletes_topics),
        API_TEST(describes_configs),
        API_TEST(refuses_cut_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
