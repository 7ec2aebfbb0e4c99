// SPDX-License-Identifier: Apache-2.0
//
// A broker that answers as a test tells it to and remembers what it was asked: all of
// broker/broker.h that the native client calls. Included by one test, after cmocka.h.
#pragma once

#include "broker/broker.h"

enum { PARTITIONS = 3, SENT_MAX = 64 };

struct broker_partition {
    const char *topic;
    int32_t number;
    struct buf stored; // batches at the offsets they got
    int64_t end;
    uint32_t reads;
};

struct broker {
    struct broker_partition partitions[PARTITIONS];
    int32_t max_message_bytes;
    enum broker_error init_answer, answer; // of producer_init and commit
    int bad_batch;                         // index of the batch that `answer` is about; -1: none
    uint64_t progress;
    int unstable; // so many times an offset is not decided yet
    uint32_t commits, waits, wakes;
    void (*while_waiting)(struct broker *);
    // The last commit.
    uint64_t sequence;
    int16_t epoch;
    struct buf sent[SENT_MAX];
    const uint8_t *sent_at[SENT_MAX];
    int32_t sent_to[SENT_MAX];
    uint32_t sent_count, offsets_count;
    int64_t offset;
};

const char *broker_error_name(enum broker_error code)
{
    return code == BROKER_MESSAGE_TOO_LARGE ? "MESSAGE_TOO_LARGE" : "SOME_ERROR";
}

void broker_refusal(struct broker *b, char *out, size_t size)
{
    (void)b;
    snprintf(out, size, "no space left (scripted)");
}

const char *broker_failure(struct broker *b)
{
    return b->answer == BROKER_STORAGE_ERROR ? "the disk is full" : NULL;
}

enum broker_error broker_topic_find(struct broker *b, const char *name,
                                    struct broker_topic_info *out)
{
    if (strcmp(name, "t") != 0)
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    *out = (struct broker_topic_info){.name = "t", .id = {1}, .partitions = PARTITIONS};
    out->config.max_message_bytes = b->max_message_bytes;
    return BROKER_OK;
}

struct broker_topic_config broker_topic_config_default(const struct broker *b)
{
    return (struct broker_topic_config){.max_message_bytes = b->max_message_bytes};
}

enum broker_error broker_topic_create(struct broker *b, const char *name, int32_t partitions,
                                      const struct broker_topic_config *config, struct err *e)
{
    (void)b, (void)partitions, (void)config;
    if (strcmp(name, "t") != 0)
        return BROKER_INVALID_TOPIC; // says nothing itself
    err_set(e, ERR_INVALID, "topic t is there already");
    return BROKER_TOPIC_ALREADY_EXISTS;
}

enum broker_error broker_topic_delete(struct broker *b, const char *name, struct err *e)
{
    (void)b, (void)name, (void)e;
    return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
}

struct broker_partition *broker_partition_find(struct broker *b, const char *topic, int32_t number)
{
    (void)topic;
    return &b->partitions[number];
}

enum broker_error broker_producer_init(struct broker *b, const char *id, int32_t timeout_ms,
                                       int64_t *producer_id, int16_t *epoch)
{
    (void)id, (void)timeout_ms;
    *producer_id = 42;
    *epoch = ++b->epoch;
    return b->init_answer;
}

enum broker_error broker_commit(struct broker *b, int64_t producer_id, int16_t epoch,
                                uint64_t sequence, struct broker_batch *batches, uint32_t n,
                                const char *group, const struct broker_group_offset *offsets,
                                uint32_t offsets_count)
{
    assert_int_equal(producer_id, 42);
    assert_int_equal(epoch, b->epoch);
    assert_true(n <= SENT_MAX);
    b->commits++;
    b->sequence = sequence;
    b->sent_count = n;
    b->offsets_count = offsets_count;
    if (offsets_count != 0) {
        assert_string_equal(group, "g");
        assert_string_equal(offsets[0].topic, "t");
        b->offset = offsets[0].offset;
    }
    for (uint32_t i = 0; i < n; i++) {
        buf_clear(&b->sent[i]);
        buf_slice_put(&b->sent[i], batches[i].bytes);
        b->sent_at[i] = batches[i].bytes.p;
        b->sent_to[i] = batches[i].partition->number;
        batches[i].error = (int)i == b->bad_batch ? b->answer : BROKER_OK;
    }
    return b->answer;
}

enum broker_error broker_partition_offsets(struct broker_partition *p, struct broker_offsets *out)
{
    *out = (struct broker_offsets){0, p->end, p->end + 5};
    return BROKER_OK;
}

enum broker_error broker_offset_for_time(struct broker_partition *p, int64_t time_ms,
                                         int64_t *offset, int64_t *timestamp)
{
    (void)p;
    *offset = *timestamp = time_ms < 1000 ? time_ms : -1;
    return BROKER_OK;
}

int64_t broker_offset_committed(struct broker *b, const char *group, const char *topic,
                                int32_t partition, bool *unstable)
{
    (void)group, (void)topic, (void)partition;
    *unstable = b->unstable-- > 0;
    return *unstable ? 3 : 9;
}

enum broker_error broker_read(struct broker_partition *p, int64_t offset, uint32_t max_bytes,
                              bool committed, struct buf *out, struct broker_read *info)
{
    (void)max_bytes;
    assert_true(committed);
    p->reads++;
    info->offsets = (struct broker_offsets){0, p->end, p->end};
    info->next_offset = offset;
    if (offset > p->end)
        return BROKER_OFFSET_OUT_OF_RANGE;
    if (offset == p->end)
        return BROKER_OK;
    buf_slice_put(out, buf_slice(&p->stored));
    info->next_offset = p->end;
    return BROKER_OK;
}

uint64_t broker_progress(const struct broker *b)
{
    return b->progress;
}

uint64_t broker_progress_wait(struct broker *b, uint64_t seen, int64_t wait_ms)
{
    (void)seen;
    assert_true(wait_ms > 0);
    b->waits++;
    if (b->while_waiting != NULL)
        b->while_waiting(b);
    return b->progress;
}

void broker_wake(struct broker *b)
{
    b->wakes++;
}
