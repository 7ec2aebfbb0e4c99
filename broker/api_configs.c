// SPDX-License-Identifier: Apache-2.0
//
// DescribeConfigs: every config a topic has, with its value, whether it was set or is the default,
// and the name under which the default would be found on a broker. What cannot be changed here
// (one replica, bytes stored as they came) is listed read-only, since tools look for it.
#include "broker/api.h"

#include <inttypes.h>

enum { TYPE_BOOLEAN = 1, TYPE_STRING = 2, TYPE_INT = 3, TYPE_LONG = 5, TYPE_LIST = 7 };
enum { SOURCE_TOPIC = 1, SOURCE_DEFAULT = 5 };
enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { VALUE_SIZE = 32 };

struct config {
    const char *name;
    const char *broker_name; // of the default, broker-wide
    int8_t type;
    const char *fixed; // read-only value; NULL: `get`
    void (*get)(const struct broker_topic_config *, char out[VALUE_SIZE]);
    const char *doc;
};

static void number(char out[VALUE_SIZE], int64_t v)
{
    snprintf(out, VALUE_SIZE, "%" PRId64, v);
}

static void get_cleanup(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    static const char *const names[] = {"delete", "compact", "compact,delete"};
    snprintf(out, VALUE_SIZE, "%s", names[c->cleanup]);
}

static void get_retention_ms(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->retention_ms);
}

static void get_retention_bytes(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->retention_bytes);
}

static void get_segment_bytes(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->segment_bytes);
}

static void get_segment_ms(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->segment_ms);
}

static void get_delete_retention(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->delete_retention_ms);
}

static void get_min_lag(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->min_compaction_lag_ms);
}

static void get_max_message(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    number(out, c->max_message_bytes);
}

static void get_time_type(const struct broker_topic_config *c, char out[VALUE_SIZE])
{
    snprintf(out, VALUE_SIZE, "%s", c->append_time ? "LogAppendTime" : "CreateTime");
}

// clang-format off
static const struct config topic_configs[] = {
    {"cleanup.policy", "log.cleanup.policy", TYPE_LIST, NULL, get_cleanup,
     "delete: old segments go; compact: the newest record of each key stays"},
    {"compression.type", "compression.type", TYPE_STRING, "producer", NULL,
     "batches are kept as the producer sent them"},
    {"delete.retention.ms", "log.cleaner.delete.retention.ms", TYPE_LONG, NULL, get_delete_retention,
     "how long tombstones stay in a compacted topic"},
    {"max.message.bytes", "message.max.bytes", TYPE_INT, NULL, get_max_message,
     "largest batch that is accepted, as sent"},
    {"message.timestamp.type", "log.message.timestamp.type", TYPE_STRING, NULL, get_time_type,
     "CreateTime: the producer's; LogAppendTime: the broker's"},
    {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", TYPE_LONG, NULL, get_min_lag,
     "how long a record stays before compaction may drop it"},
    {"min.insync.replicas", "min.insync.replicas", TYPE_INT, "1", NULL,
     "there is one replica"},
    {"retention.bytes", "log.retention.bytes", TYPE_LONG, NULL, get_retention_bytes,
     "oldest segments go when a partition is larger; -1: unbounded"},
    {"retention.ms", "log.retention.ms", TYPE_LONG, NULL, get_retention_ms,
     "segments go when all their records are older; -1: for ever"},
    {"segment.bytes", "log.segment.bytes", TYPE_INT, NULL, get_segment_bytes,
     "size of a segment file"},
    {"segment.ms", "log.roll.ms", TYPE_LONG, NULL, get_segment_ms,
     "a segment is closed when it gets older than this"},
    {"unclean.leader.election.enable", "unclean.leader.election.enable", TYPE_BOOLEAN, "false", NULL,
     "there is nothing to elect"},
};
// clang-format on

struct ask { // what the client wants of one resource
    int8_t type;
    struct slice name;
    struct slice *keys;
    int32_t keys_count; // -1: all
};

struct options {
    bool synonyms, docs;
};

static bool wanted(const struct ask *ask, const char *name)
{
    for (int32_t i = 0; i < ask->keys_count; i++) {
        if (slice_eq_str(ask->keys[i], name))
            return true;
    }
    return ask->keys_count < 0;
}

static void put_synonym(struct wire_out *out, const char *name, const char *value, int8_t source)
{
    wire_put_cstr(out, name);
    wire_put_cstr(out, value);
    wire_put_i8(out, source);
    wire_put_tags(out);
}

static void put_config(struct api_call *call, const struct config *c, const char *value,
                       const char *standard, struct options o)
{
    struct wire_out *out = &call->out;
    bool set = strcmp(value, standard) != 0;
    wire_put_cstr(out, c->name);
    wire_put_cstr(out, value);
    wire_put_bool(out, c->fixed != NULL);
    wire_put_i8(out, set ? SOURCE_TOPIC : SOURCE_DEFAULT);
    wire_put_bool(out, false); // sensitive
    wire_put_array(out, o.synonyms ? (set ? 2 : 1) : 0);
    if (o.synonyms && set)
        put_synonym(out, c->name, value, SOURCE_TOPIC);
    if (o.synonyms)
        put_synonym(out, c->broker_name, standard, SOURCE_DEFAULT);
    if (call->version >= 3) {
        wire_put_i8(out, c->type);
        wire_put_cstr(out, o.docs ? c->doc : NULL);
    }
    wire_put_tags(out);
}

static void value_of(const struct config *c, const struct broker_topic_config *config,
                     char out[VALUE_SIZE])
{
    if (c->fixed != NULL)
        snprintf(out, VALUE_SIZE, "%s", c->fixed);
    else
        c->get(config, out);
}

static void put_topic(struct api_call *call, const struct broker_topic_config *config,
                      const struct ask *ask, struct options o)
{
    struct broker_topic_config standard = broker_topic_config_default(call->api->broker);
    int32_t n = 0;
    for (size_t i = 0; i < ARRAY_COUNT(topic_configs); i++)
        n += wanted(ask, topic_configs[i].name);
    wire_put_array(&call->out, n);
    for (size_t i = 0; i < ARRAY_COUNT(topic_configs); i++) {
        if (!wanted(ask, topic_configs[i].name))
            continue;
        char value[VALUE_SIZE], usual[VALUE_SIZE];
        value_of(&topic_configs[i], config, value);
        value_of(&topic_configs[i], &standard, usual);
        put_config(call, &topic_configs[i], value, usual, o);
    }
}

void api_configs_put(struct api_call *call, const struct broker_topic_config *config)
{
    struct broker_topic_config standard = broker_topic_config_default(call->api->broker);
    struct wire_out *out = &call->out;
    wire_put_array(out, ARRAY_COUNT(topic_configs));
    for (size_t i = 0; i < ARRAY_COUNT(topic_configs); i++) {
        char value[VALUE_SIZE], usual[VALUE_SIZE];
        value_of(&topic_configs[i], config, value);
        value_of(&topic_configs[i], &standard, usual);
        wire_put_cstr(out, topic_configs[i].name);
        wire_put_cstr(out, value);
        wire_put_bool(out, topic_configs[i].fixed != NULL);
        wire_put_i8(out, strcmp(value, usual) != 0 ? SOURCE_TOPIC : SOURCE_DEFAULT);
        wire_put_bool(out, false);
        wire_put_tags(out);
    }
}

// The broker's own settings that clients ask about; all read-only.
static void put_broker(struct api_call *call, const struct ask *ask, struct options o)
{
    char partitions[VALUE_SIZE], segment[VALUE_SIZE];
    number(partitions, call->api->auto_partitions);
    number(segment, broker_topic_config_default(call->api->broker).segment_bytes);
    const char *create = call->api->auto_create ? "true" : "false";
    const struct config configs[] = {
        {"auto.create.topics.enable", "auto.create.topics.enable", TYPE_BOOLEAN, create, NULL,
         "topics spring up when first used"},
        {"default.replication.factor", "default.replication.factor", TYPE_INT, "1", NULL,
         "there is one broker"},
        {"log.segment.bytes", "log.segment.bytes", TYPE_INT, segment, NULL, "size of a segment"},
        {"num.partitions", "num.partitions", TYPE_INT, partitions, NULL,
         "of topics that spring up"},
    };
    int32_t n = 0;
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++)
        n += wanted(ask, configs[i].name);
    wire_put_array(&call->out, n);
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
        if (wanted(ask, configs[i].name))
            put_config(call, &configs[i], configs[i].fixed, configs[i].fixed, o);
    }
}

static void put_resource(struct api_call *call, const struct ask *ask, struct options o)
{
    struct wire_out *out = &call->out;
    char name[API_NAME_SIZE], own[16];
    struct broker_topic_info info;
    int16_t error = BROKER_INVALID_REQUEST;
    bool named = wire_cstr(ask->name, name, sizeof(name));
    snprintf(own, sizeof(own), "%d", API_NODE_ID);
    if (ask->type == RESOURCE_TOPIC)
        error = named ? (int16_t)broker_topic_find(call->api->broker, name, &info)
                      : BROKER_INVALID_TOPIC;
    else if (ask->type == RESOURCE_BROKER && named && (name[0] == 0 || strcmp(name, own) == 0))
        error = BROKER_OK;
    wire_put_i16(out, error);
    wire_put_cstr(out, error == BROKER_OK ? NULL : "there is no such topic or broker here");
    wire_put_i8(out, ask->type);
    wire_put_string(out, ask->name.p == NULL ? slice_str("") : ask->name);
    if (error != BROKER_OK)
        wire_put_array(out, 0);
    else if (ask->type == RESOURCE_TOPIC)
        put_topic(call, &info.config, ask, o);
    else
        put_broker(call, ask, o);
    wire_put_tags(out);
}

static void parse_ask(struct api_call *call, struct ask *ask)
{
    struct wire_in *in = &call->in;
    ask->type = wire_i8(in);
    ask->name = wire_string(in);
    ask->keys_count = wire_array(in, call->version >= 4 ? 1 : 2);
    int32_t n = ask->keys_count < 0 ? 0 : ask->keys_count;
    ask->keys = arena_alloc(&call->arena, (size_t)n * sizeof(*ask->keys));
    for (int32_t i = 0; i < n; i++)
        ask->keys[i] = wire_string(in);
    wire_tags(in);
}

enum api_result api_configs_start(struct api_call *call)
{
    struct wire_in *in = &call->in;
    int32_t n = wire_array(in, 3);
    n = n < 0 ? 0 : n;
    struct ask *asks = arena_alloc(&call->arena, (size_t)n * sizeof(*asks));
    for (int32_t i = 0; i < n && !in->c.failed; i++)
        parse_ask(call, &asks[i]);
    struct options o = {.synonyms = wire_bool(in)};
    o.docs = call->version >= 3 && wire_bool(in);
    wire_tags(in);
    if (in->c.failed)
        return API_CLOSE;
    wire_put_i32(&call->out, 0);
    wire_put_array(&call->out, n);
    for (int32_t i = 0; i < n; i++) {
        put_resource(call, &asks[i], o);
        if (api_answer_too_large(call))
            return API_CLOSE;
    }
    wire_put_tags(&call->out);
    return API_ANSWERED;
}
