// SPDX-License-Identifier: Apache-2.0
//
// ListOffsets: start, end, by time, and the record with the highest timestamp.
#include "broker/api.h"

enum { AT_END = -1, AT_START = -2, AT_MAX_TIME = -3, AT_LOCAL_START = -4 };

struct answer {
    int16_t error;
    int64_t timestamp, offset;
};

struct question {
    int32_t index, epoch;
    int64_t time;
};

struct topic {
    struct slice name; // borrowed: the request
    struct question *questions;
    int32_t count;
};

static void parse_topic(struct api_call *call, struct topic *t)
{
    struct wire_in *in = &call->in;
    t->name = wire_string(in);
    t->count = wire_array(in, 12);
    t->count = t->count < 0 ? 0 : t->count;
    t->questions = arena_alloc(&call->arena, (size_t)t->count * sizeof(*t->questions));
    for (int32_t i = 0; i < t->count && !in->c.failed; i++) {
        struct question *q = &t->questions[i];
        q->index = wire_i32(in);
        q->epoch = call->version >= 4 ? wire_i32(in) : -1;
        q->time = wire_i64(in);
        wire_tags(in);
    }
    wire_tags(in);
}

// The first record with the highest timestamp: bisects the answers to "first record at or after t",
// at most 64 of them.
static enum broker_error find_max_time(struct broker_partition *p, struct answer *a)
{
    a->offset = a->timestamp = -1;
    int64_t low = INT64_MIN / 2, high = INT64_MAX / 2; // so that high - low fits
    while (low <= high) {
        int64_t offset, time, middle = low + (high - low) / 2;
        enum broker_error r = broker_offset_for_time(p, middle, &offset, &time);
        if (r != BROKER_OK)
            return r;
        if (offset < 0) {
            high = middle - 1;
        } else {
            a->offset = offset;
            a->timestamp = time;
            low = (time > middle && time < high ? time : middle) + 1;
        }
    }
    return BROKER_OK;
}

static enum broker_error ask(struct broker_partition *p, int64_t time, bool committed,
                             struct answer *a)
{
    struct broker_offsets o;
    enum broker_error r = broker_partition_offsets(p, &o);
    if (r != BROKER_OK)
        return r;
    switch (time) {
    case AT_END:
        a->offset = committed ? o.stable : o.end;
        return BROKER_OK;
    case AT_START:
    case AT_LOCAL_START:
        a->offset = o.start;
        return BROKER_OK;
    case AT_MAX_TIME:
        return find_max_time(p, a);
    default:
        if (time < 0)
            return BROKER_INVALID_REQUEST;
        return broker_offset_for_time(p, time, &a->offset, &a->timestamp);
    }
}

static struct answer answer_question(struct api_call *call, const char *topic,
                                     const struct question *q, bool committed)
{
    struct answer a = {api_check_epoch(q->epoch), -1, -1};
    struct broker_partition *p =
        topic == NULL ? NULL : broker_partition_find(call->api->broker, topic, q->index);
    if (p == NULL)
        a.error = BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    else if (a.error == BROKER_OK)
        a.error = (int16_t)ask(p, q->time, committed, &a);
    if (a.error != BROKER_OK)
        a.timestamp = a.offset = -1;
    return a;
}

static void put_topic(struct api_call *call, const struct topic *t, bool committed)
{
    struct wire_out *out = &call->out;
    char name[API_NAME_SIZE];
    bool named = wire_cstr(t->name, name, sizeof(name));
    wire_put_string(out, t->name.p == NULL ? slice_str("") : t->name);
    wire_put_array(out, t->count);
    for (int32_t i = 0; i < t->count; i++) {
        struct answer a = answer_question(call, named ? name : NULL, &t->questions[i], committed);
        wire_put_i32(out, t->questions[i].index);
        wire_put_i16(out, a.error);
        wire_put_i64(out, a.timestamp);
        wire_put_i64(out, a.offset);
        if (call->version >= 4)
            wire_put_i32(out, a.offset < 0 ? -1 : API_LEADER_EPOCH);
        wire_put_tags(out);
    }
    wire_put_tags(out);
}

enum api_result api_offsets_start(struct api_call *call)
{
    struct wire_in *in = &call->in;
    wire_i32(in); // replica id
    bool committed = call->version >= 2 && wire_i8(in) == 1;
    int32_t n = wire_array(in, 3);
    n = n < 0 ? 0 : n;
    struct topic *topics = arena_alloc(&call->arena, (size_t)n * sizeof(*topics));
    for (int32_t i = 0; i < n && !in->c.failed; i++)
        parse_topic(call, &topics[i]);
    wire_tags(in);
    if (in->c.failed)
        return API_CLOSE;
    if (call->version >= 2)
        wire_put_i32(&call->out, 0);
    wire_put_array(&call->out, n);
    for (int32_t i = 0; i < n; i++)
        put_topic(call, &topics[i], committed);
    wire_put_tags(&call->out);
    return API_ANSWERED;
}
