// SPDX-License-Identifier: Apache-2.0
//
// Api: headers, dispatch and the table of what we speak. See api.h.
#include "broker/api.h"

#include <sched.h>

// clang-format off
static const struct api_entry entries[] = {
    {API_PRODUCE,          0, 11, 9, "Produce", api_produce_start, api_produce_resume, api_produce_cancel},
    {API_FETCH,            4, 12, 12, "Fetch", api_fetch_start, api_fetch_resume, api_fetch_cancel},
    {API_LIST_OFFSETS,     1, 8, 6, "ListOffsets", api_offsets_start, NULL, NULL},
    {API_METADATA,         0, 12, 9, "Metadata", api_metadata_start, NULL, NULL},
    {API_FIND_COORDINATOR, 0, 3, 3, "FindCoordinator", api_find_coordinator_start, NULL, NULL},
    {API_VERSIONS,         0, 4, 3, "ApiVersions", api_versions_start, NULL, NULL},
    {API_CREATE_TOPICS,    2, 7, 5, "CreateTopics", api_topics_create, NULL, NULL},
    {API_DELETE_TOPICS,    1, 5, 4, "DeleteTopics", api_topics_delete, NULL, NULL},
    {API_INIT_PRODUCER_ID, 0, 4, 2, "InitProducerId", api_producer_start, NULL, NULL},
    {API_DESCRIBE_CONFIGS, 1, 4, 4, "DescribeConfigs", api_configs_start, NULL, NULL},
    {API_DESCRIBE_CLUSTER, 0, 1, 0, "DescribeCluster", api_describe_cluster_start, NULL, NULL},
};
// clang-format on

const struct api_entry *api_entries(uint32_t *count)
{
    *count = ARRAY_COUNT(entries);
    return entries;
}

static const struct api_entry *find(int16_t key)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(entries); i++) {
        if (entries[i].key == key)
            return &entries[i];
    }
    return NULL;
}

void api_init(struct api *a, struct broker *broker, const char *host, int32_t port)
{
    const struct broker_config *settings = broker_settings(broker);
    *a = (struct api){.broker = broker,
                      .host = host,
                      .port = port,
                      .auto_create = settings->auto_create,
                      .auto_partitions =
                          settings->auto_partitions == 0 ? 4 : settings->auto_partitions};
    buf_init(&a->scratch);
}

void api_release(struct api *a)
{
    while (atomic_load_explicit(&a->pending, memory_order_acquire) != 0)
        sched_yield();
    buf_release(&a->scratch);
}

void api_call_init(struct api_call *call, struct api *a)
{
    *call = (struct api_call){.api = a};
    arena_init(&call->arena);
}

void api_call_release(struct api_call *call)
{
    CHECK(!call->parked);
    arena_release(&call->arena);
}

// The response's frame: size, correlation and, in flexible versions, the header's tagged fields
// (except for ApiVersions, whose answer must be readable before versions are agreed on).
static uint32_t begin_answer(struct api_call *call, struct buf *out)
{
    bool flexible = call->version >= call->entry->flexible;
    call->out = (struct wire_out){out, flexible};
    uint32_t at = wire_hold_i32(&call->out);
    wire_put_i32(&call->out, call->correlation);
    if (call->entry->key != API_VERSIONS)
        wire_put_tags(&call->out);
    return at;
}

static enum api_result end_answer(struct api_call *call, uint32_t at, enum api_result r)
{
    call->parked = r == API_PARKED;
    if (r == API_ANSWERED)
        wire_fill_i32(&call->out, at, (int32_t)(call->out.b->n - at - 4));
    else
        call->out.b->n = at;
    return r;
}

static enum api_result unsupported(struct api_call *call, struct buf *out)
{
    if (call->entry->key != API_VERSIONS)
        return API_CLOSE;
    call->version = 0;
    uint32_t at = begin_answer(call, out);
    api_versions_refuse(call);
    return end_answer(call, at, API_ANSWERED);
}

enum api_result api_start(struct api_call *call, struct slice request, int64_t now_ms,
                          struct buf *out)
{
    CHECK(!call->parked);
    arena_reset(&call->arena);
    call->op = NULL;
    call->now_ms = now_ms;
    call->in = wire_in_of(request, false);
    call->entry = find(wire_i16(&call->in));
    call->version = wire_i16(&call->in);
    call->correlation = wire_i32(&call->in);
    if (call->in.c.failed || call->entry == NULL)
        return API_CLOSE;
    if (call->version < call->entry->min || call->version > call->entry->max)
        return unsupported(call, out);
    wire_short_string(&call->in); // client id: nobody needs it
    call->in.flexible = call->version >= call->entry->flexible;
    wire_tags(&call->in);
    if (call->in.c.failed)
        return API_CLOSE;
    uint32_t at = begin_answer(call, out);
    return end_answer(call, at, call->entry->start(call));
}

enum api_result api_resume(struct api_call *call, int64_t now_ms, struct buf *out)
{
    CHECK(call->parked);
    call->now_ms = now_ms;
    uint32_t at = begin_answer(call, out);
    return end_answer(call, at, call->entry->resume(call));
}

bool api_cancel(struct api_call *call)
{
    if (call->parked && call->entry->cancel(call))
        call->parked = false;
    return !call->parked;
}

enum broker_error api_topic_get(struct api *a, const char *name, bool create,
                                struct broker_topic_info *info)
{
    enum broker_error r = broker_topic_find(a->broker, name, info);
    if (r != BROKER_UNKNOWN_TOPIC_OR_PARTITION || !create || !a->auto_create)
        return r;
    struct broker_topic_config config = broker_topic_config_default(a->broker);
    struct err e;
    r = broker_topic_create(a->broker, name, a->auto_partitions, &config, &e);
    if (r != BROKER_OK && r != BROKER_TOPIC_ALREADY_EXISTS)
        return r;
    return broker_topic_find(a->broker, name, info);
}

int16_t api_check_epoch(int32_t epoch)
{
    if (epoch < 0 || epoch == API_LEADER_EPOCH)
        return BROKER_OK;
    return epoch < API_LEADER_EPOCH ? API_FENCED_LEADER_EPOCH : API_UNKNOWN_LEADER_EPOCH;
}
