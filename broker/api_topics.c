// SPDX-License-Identifier: Apache-2.0
//
// CreateTopics and DeleteTopics. Each topic is its own little operation: one that fails does not
// keep the others from being made. Replication factors above 1 are accepted (clients and tools ask
// for 3 by habit) and 1 is what the answer says. Both wait for the group commit, topic by topic.
#include "broker/api.h"

enum { PARTITIONS_MAX = 10000 };

struct pair {
    struct slice name, value;
};

struct new_topic {
    struct slice name;
    int32_t partitions;
    int16_t replication;
    int32_t assigned; // partitions placed by hand; 0: none
    struct pair *configs;
    int32_t configs_count;
};

struct outcome { // of one topic: only ever one at a time, since it is large
    struct err why;
    struct broker_topic_info info;
};

static void parse_new(struct api_call *call, struct new_topic *t)
{
    struct wire_in *in = &call->in;
    memset(t, 0, sizeof(*t));
    t->name = wire_string(in);
    t->partitions = wire_i32(in);
    t->replication = wire_i16(in);
    t->assigned = wire_array(in, 5);
    for (int32_t i = 0; i < t->assigned && !in->c.failed; i++) {
        wire_i32(in);
        int32_t replicas = wire_array(in, 4);
        for (int32_t j = 0; j < replicas; j++)
            wire_i32(in);
        wire_tags(in);
    }
    t->configs_count = wire_array(in, 2);
    t->configs_count = t->configs_count < 0 ? 0 : t->configs_count;
    t->configs = arena_alloc(&call->arena, (size_t)t->configs_count * sizeof(*t->configs));
    for (int32_t i = 0; i < t->configs_count && !in->c.failed; i++) {
        t->configs[i].name = wire_string(in);
        t->configs[i].value = wire_string(in);
        wire_tags(in);
    }
    wire_tags(in);
}

static bool name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int16_t refuse(struct outcome *o, int16_t error, const char *why)
{
    err_set(&o->why, ERR_INVALID, "%s", why);
    return error;
}

static int16_t set_configs(const struct new_topic *t, struct broker_topic_config *config,
                           struct outcome *o)
{
    for (int32_t i = 0; i < t->configs_count; i++) {
        char name[128], value[128];
        if (t->configs[i].value.p == NULL)
            continue; // null: the default
        if (!wire_cstr(t->configs[i].name, name, sizeof(name)) ||
            !wire_cstr(t->configs[i].value, value, sizeof(value)))
            return refuse(o, BROKER_INVALID_CONFIG, "a config's name or value is too long");
        enum broker_error r = broker_topic_config_set(config, name, value);
        if (r != BROKER_OK) {
            err_set(&o->why, ERR_INVALID,
                    "config %s=%s: no such topic config, or its value is out of range", name,
                    value);
            return (int16_t)r;
        }
    }
    return BROKER_OK;
}

static int16_t create(struct api_call *call, const struct new_topic *t, bool only_check,
                      struct outcome *o)
{
    struct broker *broker = call->api->broker;
    char name[API_NAME_SIZE];
    if (!wire_cstr(t->name, name, sizeof(name)) || !name_ok(name))
        return refuse(o, BROKER_INVALID_TOPIC,
                      "a topic's name is 1 to 249 letters, digits, '.', '_' or '-'");
    int32_t partitions = t->assigned > 0       ? t->assigned
                         : t->partitions == -1 ? call->api->auto_partitions
                                               : t->partitions;
    if (partitions < 1 || partitions > PARTITIONS_MAX)
        return refuse(o, BROKER_INVALID_PARTITIONS, "a topic has 1 to 10000 partitions");
    if (t->replication == 0 || t->replication < -1)
        return refuse(o, BROKER_INVALID_REPLICATION_FACTOR, "the replication factor is at least 1");
    struct broker_topic_config config = broker_topic_config_default(broker);
    int16_t r = set_configs(t, &config, o);
    if (r != BROKER_OK)
        return r;
    if (broker_topic_find(broker, name, &o->info) == BROKER_OK) {
        err_set(&o->why, ERR_EXISTS, "topic %s exists already", name);
        return BROKER_TOPIC_ALREADY_EXISTS;
    }
    o->info = (struct broker_topic_info){.partitions = partitions, .config = config};
    if (only_check)
        return BROKER_OK;
    r = (int16_t)broker_topic_create(broker, name, partitions, &config, &o->why);
    return r != BROKER_OK ? r : (int16_t)broker_topic_find(broker, name, &o->info);
}

static void put_created(struct api_call *call, const struct new_topic *t, int16_t error,
                        const struct outcome *o)
{
    struct wire_out *out = &call->out;
    bool good = error == BROKER_OK;
    wire_put_string(out, t->name.p == NULL ? slice_str("") : t->name);
    if (call->version >= 7)
        wire_put_uuid(out, o->info.id);
    wire_put_i16(out, error);
    wire_put_cstr(out, good ? NULL : o->why.text);
    if (call->version >= 5) {
        wire_put_i32(out, good ? o->info.partitions : -1);
        wire_put_i16(out, good ? 1 : -1);
        if (good)
            api_configs_put(call, &o->info.config);
        else
            wire_put_array(out, -1);
    }
    wire_put_tags(out);
}

enum api_result api_topics_create(struct api_call *call)
{
    struct wire_in *in = &call->in;
    int32_t n = wire_array(in, 10);
    n = n < 0 ? 0 : n;
    struct new_topic *topics = arena_alloc(&call->arena, (size_t)n * sizeof(*topics));
    for (int32_t i = 0; i < n && !in->c.failed; i++)
        parse_new(call, &topics[i]);
    wire_i32(in); // timeout: we answer when it is done
    bool only_check = wire_bool(in);
    wire_tags(in);
    if (in->c.failed)
        return API_CLOSE;
    wire_put_i32(&call->out, 0);
    wire_put_array(&call->out, n);
    for (int32_t i = 0; i < n; i++) {
        struct outcome o = {0};
        int16_t error = create(call, &topics[i], only_check, &o);
        put_created(call, &topics[i], error, &o);
        if (api_answer_too_large(call))
            return API_CLOSE;
    }
    wire_put_tags(&call->out);
    return API_ANSWERED;
}

enum api_result api_topics_delete(struct api_call *call)
{
    struct wire_in *in = &call->in;
    struct wire_out *out = &call->out;
    int32_t n = wire_array(in, call->version >= 4 ? 1 : 2);
    n = n < 0 ? 0 : n;
    struct slice *names = arena_alloc(&call->arena, (size_t)n * sizeof(*names));
    for (int32_t i = 0; i < n; i++)
        names[i] = wire_string(in);
    wire_i32(in);
    wire_tags(in);
    if (in->c.failed)
        return API_CLOSE;
    wire_put_i32(out, 0);
    wire_put_array(out, n);
    for (int32_t i = 0; i < n; i++) {
        char name[API_NAME_SIZE];
        struct err why = {.text = "a topic's name is 1 to 249 characters"};
        enum broker_error r = BROKER_UNKNOWN_TOPIC_OR_PARTITION;
        if (wire_cstr(names[i], name, sizeof(name)))
            r = broker_topic_delete(call->api->broker, name, &why);
        wire_put_string(out, names[i].p == NULL ? slice_str("") : names[i]);
        wire_put_i16(out, (int16_t)r);
        if (call->version >= 5)
            wire_put_cstr(out, r == BROKER_OK ? NULL : why.text);
        wire_put_tags(out);
    }
    wire_put_tags(out);
    return API_ANSWERED;
}
