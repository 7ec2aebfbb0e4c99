// SPDX-License-Identifier: Apache-2.0
//
// Fetch: whole batches from where the client stands; waits for min_bytes or max_wait.
//
// The request is parsed once into the call's arena. Each attempt first asks for offsets only (no
// bytes are read) and parks while nothing new is there; an attempt that finds something writes the
// whole response. Any partition's error answers at once. Sessions are declined (id 0), which every
// client accepts; a request inside a session we never gave out is refused.
#include "broker/api.h"

struct fetch_partition {
    struct broker_partition *partition; // NULL: unknown
    int32_t index;
    int32_t max_bytes;
    int64_t offset;
    int16_t error; // found when parsing
    bool more;     // there may be something to read
};

struct fetch_topic {
    struct slice name; // in the call's arena
    struct fetch_partition *partitions;
    int32_t count;
};

struct fetch {
    int32_t min_bytes, max_bytes, session_id, session_epoch;
    bool committed;
    struct fetch_topic *topics;
    int32_t topics_count;
};

static void parse_partition(struct api_call *call, const char *topic, struct fetch_partition *part)
{
    struct wire_in *in = &call->in;
    int32_t epoch = -1;
    part->index = wire_i32(in);
    if (call->version >= 9)
        epoch = wire_i32(in);
    part->offset = wire_i64(in);
    if (call->version >= 12)
        wire_i32(in); // last fetched epoch: there is only one
    if (call->version >= 5)
        wire_i64(in); // log start offset: of followers
    part->max_bytes = wire_i32(in);
    wire_tags(in);
    part->error = api_check_epoch(epoch);
    part->more = false;
    part->partition =
        topic == NULL ? NULL : broker_partition_find(call->api->broker, topic, part->index);
    if (part->partition == NULL)
        part->error = BROKER_UNKNOWN_TOPIC_OR_PARTITION;
}

static void parse_topic(struct api_call *call, struct fetch_topic *t)
{
    struct wire_in *in = &call->in;
    char name[API_NAME_SIZE];
    t->name = arena_slice(&call->arena, wire_string(in));
    bool named = wire_cstr(t->name, name, sizeof(name));
    t->count = wire_array(in, 16);
    t->count = t->count < 0 ? 0 : t->count;
    t->partitions = arena_alloc(&call->arena, (size_t)t->count * sizeof(*t->partitions));
    for (int32_t i = 0; i < t->count && !in->c.failed; i++)
        parse_partition(call, named ? name : NULL, &t->partitions[i]);
    wire_tags(in);
}

static void parse_forgotten(struct wire_in *in)
{
    int32_t topics = wire_array(in, 3);
    for (int32_t i = 0; i < topics && !in->c.failed; i++) {
        wire_string(in);
        int32_t partitions = wire_array(in, 4);
        for (int32_t j = 0; j < partitions; j++)
            wire_i32(in);
        wire_tags(in);
    }
}

static int parse(struct api_call *call, struct fetch *f)
{
    struct wire_in *in = &call->in;
    wire_i32(in); // replica id
    int32_t wait_ms = wire_i32(in);
    call->deadline_ms = call->now_ms + (wait_ms < 0 ? 0 : wait_ms);
    f->min_bytes = wire_i32(in);
    f->max_bytes = wire_i32(in);
    f->committed = wire_i8(in) == 1;
    if (call->version >= 7) {
        f->session_id = wire_i32(in);
        f->session_epoch = wire_i32(in);
    }
    f->topics_count = wire_array(in, 3);
    f->topics_count = f->topics_count < 0 ? 0 : f->topics_count;
    f->topics = arena_alloc(&call->arena, (size_t)f->topics_count * sizeof(*f->topics));
    for (int32_t i = 0; i < f->topics_count && !in->c.failed; i++)
        parse_topic(call, &f->topics[i]);
    if (call->version >= 7)
        parse_forgotten(in);
    if (call->version >= 11)
        wire_string(in); // rack
    wire_tags(in);
    if (f->max_bytes < 0 || f->max_bytes > API_FETCH_MAX_BYTES)
        f->max_bytes = API_FETCH_MAX_BYTES;
    return in->c.failed ? -1 : 0;
}

// Looks at offsets only. True: something to say now (new bytes, or an error).
static bool anything_new(struct fetch *f)
{
    bool any = f->topics_count == 0;
    for (int32_t i = 0; i < f->topics_count; i++) {
        for (int32_t j = 0; j < f->topics[i].count; j++) {
            struct fetch_partition *part = &f->topics[i].partitions[j];
            struct broker_offsets o;
            if (part->error == BROKER_OK &&
                broker_partition_offsets(part->partition, &o) == BROKER_OK) {
                int64_t limit = f->committed ? o.stable : o.end;
                bool outside = part->offset < o.start || part->offset > o.end;
                part->more = part->offset < limit && !outside;
                any = any || part->more || outside;
            } else {
                any = true;
            }
        }
    }
    return any;
}

static void put_aborted(struct api_call *call, bool committed, const struct broker_read *info)
{
    struct wire_out *out = &call->out;
    wire_put_array(out, committed ? (int32_t)info->aborted_count : -1);
    for (uint32_t i = 0; committed && i < info->aborted_count; i++) {
        wire_put_i64(out, info->aborted[i].producer_id);
        wire_put_i64(out, info->aborted[i].first_offset);
        wire_put_tags(out);
    }
}

static void put_partition(struct api_call *call, const struct fetch *f,
                          const struct fetch_partition *part, int16_t error,
                          const struct broker_read *info)
{
    struct wire_out *out = &call->out;
    bool known = error == BROKER_OK;
    wire_put_i32(out, part->index);
    wire_put_i16(out, error);
    wire_put_i64(out, known ? info->offsets.end : -1);
    wire_put_i64(out, known ? info->offsets.stable : -1);
    if (call->version >= 5)
        wire_put_i64(out, known ? info->offsets.start : -1);
    put_aborted(call, f->committed, info);
    if (call->version >= 11)
        wire_put_i32(out, -1); // no preferred replica
    struct slice records = buf_slice(&call->api->scratch);
    if (records.n == 0)
        records = slice_str("");
    wire_put_bytes(out, records);
    wire_put_tags(out);
}

// Reads one partition into the response. Returns the bytes read; *error is set when it has one.
static uint32_t serve_partition(struct api_call *call, const struct fetch *f,
                                const struct fetch_partition *part, uint32_t room, bool *error)
{
    struct broker_read info = {.next_offset = part->offset};
    struct buf *records = &call->api->scratch;
    int16_t r = part->error;
    buf_clear(records);
    if (r == BROKER_OK && room == 0) { // the response is full: offsets only
        r = (int16_t)broker_partition_offsets(part->partition, &info.offsets);
    } else if (r == BROKER_OK) {
        uint32_t max = part->max_bytes < 0 ? 0 : (uint32_t)part->max_bytes;
        max = max < room ? max : room;
        r = (int16_t)broker_read(part->partition, part->offset, max, f->committed, records, &info);
    }
    if (r != BROKER_OK)
        buf_clear(records);
    put_partition(call, f, part, r, &info);
    free(info.aborted);
    *error = *error || r != BROKER_OK;
    return records->n;
}

static void put_head(struct api_call *call, int16_t error, int32_t topics)
{
    wire_put_i32(&call->out, 0);
    if (call->version >= 7) {
        wire_put_i16(&call->out, error);
        wire_put_i32(&call->out, 0); // session: declined
    }
    wire_put_array(&call->out, topics);
}

// Writes a whole response. Returns the record bytes in it; *error: some partition has one.
static uint32_t serve(struct api_call *call, const struct fetch *f, bool *error)
{
    uint32_t total = 0, limit = (uint32_t)f->max_bytes;
    put_head(call, BROKER_OK, f->topics_count);
    for (int32_t i = 0; i < f->topics_count; i++) {
        const struct fetch_topic *t = &f->topics[i];
        wire_put_string(&call->out, t->name);
        wire_put_array(&call->out, t->count);
        for (int32_t j = 0; j < t->count; j++) {
            // The first data of a response may exceed every limit, so that a client with small
            // limits still moves on; later partitions only get what is left.
            uint32_t room = total == 0      ? (limit == 0 ? 1 : limit)
                            : limit > total ? limit - total
                                            : 0;
            total += serve_partition(call, f, &t->partitions[j], room, error);
        }
        wire_put_tags(&call->out);
    }
    wire_put_tags(&call->out);
    return total;
}

enum api_result api_fetch_start(struct api_call *call)
{
    struct fetch *f = arena_new(&call->arena, struct fetch);
    call->op = f;
    if (parse(call, f) != 0)
        return API_CLOSE;
    if (f->session_id != 0) {
        put_head(call, API_FETCH_SESSION_ID_NOT_FOUND, 0);
        wire_put_tags(&call->out);
        return API_ANSWERED;
    }
    return api_fetch_resume(call);
}

enum api_result api_fetch_resume(struct api_call *call)
{
    struct fetch *f = call->op;
    bool late = call->now_ms >= call->deadline_ms;
    if (!anything_new(f) && f->min_bytes > 0 && !late)
        return API_PARKED;
    bool error = false;
    uint32_t got = serve(call, f, &error);
    if (error || late || got >= (uint32_t)(f->min_bytes < 0 ? 0 : f->min_bytes))
        return API_ANSWERED;
    return API_PARKED; // api.c takes the half-full response back
}

bool api_fetch_cancel(struct api_call *call)
{
    (void)call;
    return true;
}
