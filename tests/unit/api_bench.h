// SPDX-License-Identifier: Apache-2.0
//
// Api bench: what the protocol tests share: a broker in a temporary directory, each API's request
// in every version, and readers of the answers. Answers are read to their last byte.
#pragma once

#include "broker/api.h"
#include "log/batch.h"

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

struct produced {
    int16_t error;
    int64_t base;
};

struct fetched {
    int16_t error;
    int64_t end, start;
    struct slice records;
};

struct listed {
    int16_t error;
    int64_t time, offset;
};

int setup(void **state);
int teardown(void **state);
struct wire_out *begin(struct bench *b, int16_t key, int16_t version);
struct wire_in send_request(struct bench *b);
void assert_read_whole(const struct wire_in *in);
void make_topic(struct bench *b, const char *name, int32_t partitions);
void ask_versions(struct bench *b, int16_t v);
void ask_metadata(struct bench *b, int16_t v, const char *topic, bool create);
void ask_produce(struct bench *b, int16_t v, int16_t acks, const char *topic, struct slice batch);
void ask_fetch(struct bench *b, int16_t v, const char *topic, int64_t offset, int32_t wait_ms);
void ask_offsets(struct bench *b, int16_t v, const char *topic, int64_t time);
void ask_coordinator(struct bench *b, int16_t v);
void ask_producer(struct bench *b, int16_t v, const char *id);
void ask_create(struct bench *b, int16_t v, const char *topic, const char *config,
                const char *value);
void ask_delete(struct bench *b, int16_t v, const char *topic);
void ask_configs(struct bench *b, int16_t v, int8_t type, const char *name);
void ask_cluster(struct bench *b, int16_t v);
struct slice one_batch(struct batch_builder *builder, int64_t time, int count);
struct produced produce(struct bench *b, int16_t v, int16_t acks, const char *topic,
                        struct slice batch);
struct fetched read_fetch(struct bench *b, int16_t v, struct wire_in in);
struct fetched fetch(struct bench *b, int16_t v, const char *topic, int64_t offset);
struct listed list_offset(struct bench *b, int16_t v, const char *topic, int64_t time);

#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
