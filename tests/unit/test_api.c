// SPDX-License-Identifier: Apache-2.0
//
// The Kafka protocol on bytes, data: Produce, Fetch, ListOffsets and InitProducerId in each of
// their versions, no sockets.
#include "tests/unit/api_bench.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(produces_and_fetches_in_every_version),
        API_TEST(refuses_bad_produce_requests),
        API_TEST(acks_0_is_silent_or_closes),
        API_TEST(produce_creates_topics),
        API_TEST(fetch_waits_until_data_or_deadline),
        API_TEST(parked_fetch_notices_deletion),
        API_TEST(fetch_says_what_is_wrong),
        API_TEST(declines_sessions),
        API_TEST(finds_offsets),
        API_TEST(checks_leader_epochs),
        API_TEST(hands_out_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
