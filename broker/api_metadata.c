// SPDX-License-Identifier: Apache-2.0
//
// Metadata and DescribeCluster: one broker, leader and only replica of everything. Asking for a
// topic creates it when the client and the settings allow: ordinary clients begin like that.
#include "broker/api.h"

enum { NO_OPERATIONS = INT32_MIN }; // authorized operations: "not asked for"

struct answer {
    struct broker_topic_info info; // name and id as asked when there is an error
    bool named;
    int16_t error;
};

struct request {
    struct answer *answers;
    uint32_t count, size;
    struct slice *names;
    uint8_t (*ids)[16];
    int32_t asked; // -1: all topics
    bool create;
};

static int parse(struct api_call *call, struct request *r)
{
    struct wire_in *in = &call->in;
    bool with_id = call->version >= 10;
    uint32_t least = with_id ? 18 : 2;
    r->asked = wire_array(in, least);
    if (call->version == 0 && r->asked == 0)
        r->asked = -1;
    uint32_t n = r->asked < 0 ? 0 : (uint32_t)r->asked;
    r->names = arena_alloc(&call->arena, n * sizeof(*r->names));
    r->ids = arena_alloc(&call->arena, n * sizeof(*r->ids));
    for (uint32_t i = 0; i < n; i++) {
        memset(r->ids[i], 0, sizeof(r->ids[i]));
        if (with_id)
            wire_uuid(in, r->ids[i]);
        r->names[i] = wire_string(in);
        wire_tags(in);
    }
    r->create = call->version >= 4 ? wire_bool(in) : true;
    if (call->version >= 8 && call->version <= 10)
        wire_bool(in);
    if (call->version >= 8)
        wire_bool(in);
    wire_tags(in);
    return in->c.failed ? -1 : 0;
}

struct collect {
    struct arena *arena;
    struct request *request;
    const uint8_t *id; // NULL: every topic
};

static bool collect_each(void *arg, const struct broker_topic_info *info)
{
    struct collect *c = arg;
    struct request *r = c->request;
    if (c->id != NULL && memcmp(info->id, c->id, 16) != 0)
        return true;
    if (r->count == r->size) {
        uint32_t size = r->size == 0 ? 16 : r->size * 2;
        struct answer *more = arena_alloc(c->arena, size * sizeof(*more));
        if (r->count != 0)
            memcpy(more, r->answers, r->count * sizeof(*more));
        r->answers = more;
        r->size = size;
    }
    r->answers[r->count++] = (struct answer){*info, true, BROKER_OK};
    return c->id == NULL;
}

static void put_partition(struct api_call *call, int32_t partition)
{
    struct wire_out *out = &call->out;
    wire_put_i16(out, BROKER_OK);
    wire_put_i32(out, partition);
    wire_put_i32(out, API_NODE_ID);
    if (call->version >= 7)
        wire_put_i32(out, API_LEADER_EPOCH);
    for (int i = 0; i < 2; i++) { // replicas, in-sync replicas
        wire_put_array(out, 1);
        wire_put_i32(out, API_NODE_ID);
    }
    if (call->version >= 5)
        wire_put_array(out, 0);
    wire_put_tags(out);
}

static void put_topic(struct api_call *call, const struct answer *a)
{
    struct wire_out *out = &call->out;
    int16_t v = call->version;
    wire_put_i16(out, a->error);
    wire_put_cstr(out, a->named ? a->info.name : v >= 12 ? NULL : "");
    if (v >= 10)
        wire_put_uuid(out, a->info.id);
    if (v >= 1)
        wire_put_bool(out, false);
    int32_t n = a->error == BROKER_OK ? a->info.partitions : 0;
    wire_put_array(out, n);
    for (int32_t i = 0; i < n; i++)
        put_partition(call, i);
    if (v >= 8)
        wire_put_i32(out, NO_OPERATIONS);
    wire_put_tags(out);
}

static void put_broker(struct api_call *call, bool rack)
{
    struct wire_out *out = &call->out;
    wire_put_array(out, 1);
    wire_put_i32(out, API_NODE_ID);
    wire_put_cstr(out, call->api->host);
    wire_put_i32(out, call->api->port);
    if (rack)
        wire_put_cstr(out, NULL);
    wire_put_tags(out);
}

// Looks up (or makes) the i-th topic that was asked for.
static void look_up(struct api_call *call, struct request *r, uint32_t i, struct answer *a)
{
    static const uint8_t no_id[16];
    memset(a, 0, sizeof(*a));
    if (r->names[i].p == NULL && memcmp(r->ids[i], no_id, 16) != 0) {
        struct request found = {0};
        struct collect c = {&call->arena, &found, r->ids[i]};
        broker_topic_each(call->api->broker, collect_each, &c);
        if (found.count == 1) {
            *a = found.answers[0];
            return;
        }
        memcpy(a->info.id, r->ids[i], 16);
        a->error = API_UNKNOWN_TOPIC_ID;
        return;
    }
    a->named = true;
    if (!wire_cstr(r->names[i], a->info.name, sizeof(a->info.name))) {
        a->error = BROKER_INVALID_TOPIC;
        return;
    }
    struct broker_topic_info info;
    a->error = (int16_t)api_topic_get(call->api, a->info.name, r->create, &info);
    if (a->error == BROKER_OK)
        a->info = info;
}

static bool put_topics(struct api_call *call, struct request *r)
{
    if (r->asked < 0) {
        struct collect c = {&call->arena, r, NULL};
        broker_topic_each(call->api->broker, collect_each, &c);
    }
    uint32_t n = r->asked < 0 ? r->count : (uint32_t)r->asked;
    wire_put_array(&call->out, (int32_t)n);
    for (uint32_t i = 0; i < n && !api_answer_too_large(call); i++) {
        struct answer a;
        if (r->asked < 0)
            a = r->answers[i];
        else
            look_up(call, r, i, &a);
        put_topic(call, &a);
    }
    return !api_answer_too_large(call);
}

enum api_result api_metadata_start(struct api_call *call)
{
    struct request r = {0};
    if (parse(call, &r) != 0)
        return API_CLOSE;
    struct wire_out *out = &call->out;
    int16_t v = call->version;
    if (v >= 3)
        wire_put_i32(out, 0);
    put_broker(call, v >= 1);
    if (v >= 2)
        wire_put_cstr(out, broker_cluster_id(call->api->broker));
    if (v >= 1)
        wire_put_i32(out, API_NODE_ID);
    if (!put_topics(call, &r))
        return API_CLOSE;
    if (v >= 8 && v <= 10)
        wire_put_i32(out, NO_OPERATIONS);
    wire_put_tags(out);
    return API_ANSWERED;
}

enum api_result api_describe_cluster_start(struct api_call *call)
{
    wire_bool(&call->in);
    int8_t kind = call->version >= 1 ? wire_i8(&call->in) : 1; // brokers, not controllers
    wire_tags(&call->in);
    if (call->in.c.failed)
        return API_CLOSE;
    struct wire_out *out = &call->out;
    wire_put_i32(out, 0);
    wire_put_i16(out, kind == 1 ? BROKER_OK : BROKER_INVALID_REQUEST);
    wire_put_cstr(out, kind == 1 ? NULL : "only brokers can be described");
    if (call->version >= 1)
        wire_put_i8(out, kind);
    wire_put_cstr(out, broker_cluster_id(call->api->broker));
    wire_put_i32(out, API_NODE_ID);
    put_broker(call, true);
    wire_put_i32(out, NO_OPERATIONS);
    wire_put_tags(out);
    return API_ANSWERED;
}
