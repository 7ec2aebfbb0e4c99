// SPDX-License-Identifier: Apache-2.0
//
// Produce: hands a request's batches to the broker and answers when they are durable.
//
// Everything the answer needs (names, batches with their outcome) lies in the call's arena, since
// the request's bytes are gone by then. `done` is the only thing another thread touches: it stores
// the outcome, marks the call finished (release) and wakes the driver, in that order.
//
// acks 1 and -1 are the same with one replica; acks 0 waits as well (so that one connection cannot
// run ahead of the disk) and then says nothing, or closes the connection when something failed.
#include "broker/api.h"
#include "log/batch.h"

#include <stdatomic.h>

enum { MAGIC_AT = 16 };    // in every version of the message format
enum { FIRST_SERVED = 3 }; // versions below carry message formats nobody should write any more

struct produce_partition {
    int32_t index;
    int16_t error;              // ours; BROKER_OK: look at the batch
    struct broker_batch *batch; // NULL: never got that far
};

struct produce_topic {
    struct slice name; // in the call's arena
    struct produce_partition *partitions;
    int32_t count;
};

struct produce {
    struct broker_done done; // first: the committer hands it back
    struct api *api;
    atomic_bool finished;
    enum broker_error outcome;
    int16_t acks;
    struct produce_topic *topics;
    int32_t topics_count;
    struct broker_batch *batches;
    uint32_t batches_count, batches_size;
};

static void on_done(struct broker_done *done, enum broker_error outcome)
{
    struct produce *p = (struct produce *)done;
    struct api *a = p->api;
    p->outcome = outcome;
    atomic_store_explicit(&p->finished, true, memory_order_release); // p may be gone from here on
    if (a->wake != NULL)
        a->wake(a->wake_arg);
    atomic_fetch_sub_explicit(&a->pending, 1, memory_order_release); // and now a, too
}

static void parse_partition(struct api_call *call, struct produce_partition *part,
                            struct slice *records)
{
    part->index = wire_i32(&call->in);
    part->error = BROKER_OK;
    part->batch = NULL;
    *records = wire_bytes(&call->in);
    wire_tags(&call->in);
}

// What can be said without looking into the batch; the broker checks the rest.
static int16_t check_records(const struct api_call *call, struct slice records)
{
    if (call->version < FIRST_SERVED)
        return BROKER_UNSUPPORTED_VERSION;
    struct batch_header h;
    if (records.p == NULL || records.n <= MAGIC_AT)
        return BROKER_CORRUPT_MESSAGE;
    if (records.p[MAGIC_AT] < 2)
        return API_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    if (batch_header_parse(records, &h) != 1)
        return BROKER_CORRUPT_MESSAGE;
    if (h.size < records.n) // one batch per partition and request
        return BROKER_INVALID_RECORD;
    if ((h.attributes & BATCH_CODEC) == BATCH_ZSTD && call->version < 7)
        return BROKER_UNSUPPORTED_COMPRESSION;
    return BROKER_OK;
}

// Parses everything; `records` (one per partition, in order) is parallel to the partitions.
static int parse(struct api_call *call, struct produce *p, struct slice **records)
{
    struct wire_in *in = &call->in;
    uint32_t total = 0, size = 16;
    *records = arena_alloc(&call->arena, size * sizeof(**records));
    if (call->version >= FIRST_SERVED)
        wire_string(in); // transactional id: the batches carry the producer's
    p->acks = wire_i16(in);
    wire_i32(in); // timeout: there are no followers to wait for
    p->topics_count = wire_array(in, 3);
    p->topics = arena_alloc(&call->arena, (size_t)(p->topics_count < 0 ? 0 : p->topics_count) *
                                              sizeof(*p->topics));
    for (int32_t i = 0; i < p->topics_count && !in->c.failed; i++) {
        struct produce_topic *t = &p->topics[i];
        t->name = arena_slice(&call->arena, wire_string(in));
        t->count = wire_array(in, 5);
        t->count = t->count < 0 ? 0 : t->count;
        t->partitions = arena_alloc(&call->arena, (size_t)t->count * sizeof(*t->partitions));
        for (int32_t j = 0; j < t->count && !in->c.failed; j++) {
            if (total == size) {
                struct slice *more = arena_alloc(&call->arena, 2 * size * sizeof(*more));
                memcpy(more, *records, size * sizeof(*more));
                *records = more;
                size *= 2;
            }
            parse_partition(call, &t->partitions[j], &(*records)[total++]);
        }
        wire_tags(in);
    }
    wire_tags(in);
    p->batches_size = total;
    return in->c.failed ? -1 : 0;
}

static void find_partition(struct api_call *call, const char *topic, struct produce_partition *part)
{
    part->batch->partition = broker_partition_find(call->api->broker, topic, part->index);
    if (part->batch->partition != NULL)
        return;
    struct broker_topic_info info; // not there: maybe it may spring up
    int16_t r = (int16_t)api_topic_get(call->api, topic, true, &info);
    if (r == BROKER_OK)
        part->batch->partition = broker_partition_find(call->api->broker, topic, part->index);
    if (part->batch->partition == NULL)
        part->error = r != BROKER_OK ? r : BROKER_UNKNOWN_TOPIC_OR_PARTITION;
}

static void collect(struct api_call *call, struct produce *p, const struct slice *records)
{
    p->batches = arena_alloc(&call->arena, p->batches_size * sizeof(*p->batches));
    for (int32_t i = 0; i < p->topics_count; i++) {
        char name[API_NAME_SIZE];
        bool named = wire_cstr(p->topics[i].name, name, sizeof(name));
        for (int32_t j = 0; j < p->topics[i].count; j++, records++) {
            struct produce_partition *part = &p->topics[i].partitions[j];
            part->error = named ? check_records(call, *records) : BROKER_INVALID_TOPIC;
            if (part->error != BROKER_OK)
                continue;
            part->batch = &p->batches[p->batches_count];
            *part->batch =
                (struct broker_batch){.bytes = *records, .base_offset = -1, .log_append_time = -1};
            find_partition(call, name, part);
            if (part->error == BROKER_OK)
                p->batches_count++;
            else
                part->batch = NULL;
        }
    }
}

static int16_t error_of(const struct produce *p, const struct produce_partition *part)
{
    if (part->batch == NULL)
        return part->error;
    return (int16_t)(part->batch->error != BROKER_OK ? part->batch->error : p->outcome);
}

static void put_partition(struct api_call *call, const struct produce *p,
                          const struct produce_partition *part)
{
    struct wire_out *out = &call->out;
    int16_t v = call->version, error = error_of(p, part);
    bool good = error == BROKER_OK;
    wire_put_i32(out, part->index);
    wire_put_i16(out, error);
    wire_put_i64(out, good ? part->batch->base_offset : -1);
    if (v >= 2)
        wire_put_i64(out, good ? part->batch->log_append_time : -1);
    if (v >= 5) {
        struct broker_offsets offsets = {.start = -1};
        if (good && broker_partition_offsets(part->batch->partition, &offsets) != BROKER_OK)
            offsets.start = -1;
        wire_put_i64(out, offsets.start);
    }
    if (v >= 8) {
        wire_put_array(out, 0);
        wire_put_cstr(out, good ? NULL : broker_error_name((enum broker_error)error));
    }
    wire_put_tags(out);
}

static enum api_result answer(struct api_call *call, const struct produce *p)
{
    struct wire_out *out = &call->out;
    bool failed = false;
    wire_put_array(out, p->topics_count < 0 ? 0 : p->topics_count);
    for (int32_t i = 0; i < p->topics_count; i++) {
        const struct produce_topic *t = &p->topics[i];
        wire_put_string(out, t->name);
        wire_put_array(out, t->count);
        for (int32_t j = 0; j < t->count; j++) {
            put_partition(call, p, &t->partitions[j]);
            failed = failed || error_of(p, &t->partitions[j]) != BROKER_OK;
        }
        wire_put_tags(out);
    }
    if (call->version >= 1)
        wire_put_i32(out, 0);
    wire_put_tags(out);
    if (p->acks == 0)
        return failed ? API_CLOSE : API_SILENT;
    return API_ANSWERED;
}

static void refuse_acks(struct produce *p)
{
    for (int32_t i = 0; i < p->topics_count; i++) {
        for (int32_t j = 0; j < p->topics[i].count; j++)
            p->topics[i].partitions[j].error = BROKER_INVALID_REQUIRED_ACKS;
    }
}

enum api_result api_produce_start(struct api_call *call)
{
    struct produce *p = arena_new(&call->arena, struct produce);
    struct slice *records;
    call->op = p;
    if (parse(call, p, &records) != 0)
        return API_CLOSE;
    if (p->acks < -1 || p->acks > 1) {
        refuse_acks(p);
        return answer(call, p);
    }
    collect(call, p, records);
    if (p->batches_count == 0)
        return answer(call, p);
    p->api = call->api;
    p->done.fn = on_done;
    atomic_fetch_add_explicit(&call->api->pending, 1, memory_order_relaxed);
    broker_append(call->api->broker, p->batches, p->batches_count, false, &p->done);
    call->deadline_ms = INT64_MAX; // the committer always calls back
    return api_produce_resume(call);
}

enum api_result api_produce_resume(struct api_call *call)
{
    struct produce *p = call->op;
    if (!atomic_load_explicit(&p->finished, memory_order_acquire))
        return API_PARKED;
    return answer(call, p);
}

bool api_produce_cancel(struct api_call *call)
{
    struct produce *p = call->op;
    return atomic_load_explicit(&p->finished, memory_order_acquire);
}
