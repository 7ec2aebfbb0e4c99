// SPDX-License-Identifier: Apache-2.0
//
// Client: see client.h. Each request is built into `request`, its answer parsed from `response`.
#include "cli/client.h"

#include "base/text.h"
#include "broker/api.h"

#include <inttypes.h>

enum { // none of them flexible
    METADATA_VERSION = 4,
    PRODUCE_VERSION = 7,
    FETCH_VERSION = 11,
    OFFSETS_VERSION = 5,
    CREATE_VERSION = 4,
    DELETE_VERSION = 3,
    CONFIGS_VERSION = 1,
};
enum { WAIT_MS = 30000, FETCH_BYTES = 4 << 20, CONFIG_DEFAULT = 5, RESOURCE_TOPIC = 2 };

int client_open(struct client *c, const struct transport_where *where, struct err *e)
{
    memset(c, 0, sizeof(*c));
    buf_init(&c->request);
    buf_init(&c->response);
    return transport_open(where, &c->transport, e);
}

void client_close(struct client *c)
{
    transport_close(c->transport);
    buf_release(&c->request);
    buf_release(&c->response);
}

static struct wire_out begin(struct client *c, int16_t key, int16_t version)
{
    buf_clear(&c->request);
    struct wire_out out = {&c->request, false};
    wire_hold_i32(&out);
    wire_put_i16(&out, key);
    wire_put_i16(&out, version);
    wire_put_i32(&out, ++c->correlation);
    wire_put_cstr(&out, "weir");
    return out;
}

static int exchange(struct client *c, struct wire_out *out, int64_t wait_ms, struct wire_in *in,
                    struct err *e)
{
    wire_fill_i32(out, 0, (int32_t)c->request.n - 4);
    if (transport_exchange(c->transport, buf_slice(&c->request), wait_ms, &c->response, e) != 0)
        return -1;
    *in = wire_in_of(buf_slice(&c->response), false);
    if (wire_i32(in) != c->correlation)
        return err_set(e, ERR_CORRUPT,
                       "%s answered another request than ours; is it a Kafka "
                       "broker?",
                       transport_name(c->transport));
    return 0;
}

static int malformed(struct client *c, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "%s sent a response that cannot be read; is it a Kafka broker?",
                   transport_name(c->transport));
}

static enum err_code code_of(int16_t error)
{
    switch (error) {
    case BROKER_UNKNOWN_TOPIC_OR_PARTITION:
        return ERR_NOT_FOUND;
    case BROKER_TOPIC_ALREADY_EXISTS:
        return ERR_EXISTS;
    case BROKER_OFFSET_OUT_OF_RANGE:
        return ERR_RANGE;
    case BROKER_STORAGE_ERROR:
        return ERR_IO;
    default:
        return ERR_INVALID;
    }
}

static int refused(int16_t error, const char *what, const char *topic, int32_t partition,
                   struct err *e)
{
    if (partition < 0)
        return err_set(e, code_of(error), "cannot %s %s: %s", what, topic,
                       broker_error_name((enum broker_error)error));
    return err_set(e, code_of(error), "cannot %s %s, partition %d: %s", what, topic, partition,
                   broker_error_name((enum broker_error)error));
}

static const char *keep(struct arena *a, struct slice s)
{
    return (const char *)arena_slice(a, s.p == NULL ? slice_str("") : s).p;
}

static int compare_topics(const void *a, const void *b)
{
    return strcmp(((const struct client_topic *)a)->name, ((const struct client_topic *)b)->name);
}

static void parse_topic(struct wire_in *in, struct arena *a, struct client_topic *t)
{
    wire_i16(in);
    t->name = keep(a, wire_string(in));
    wire_bool(in);
    t->partitions = wire_array(in, 18);
    for (int32_t i = 0; i < t->partitions && !in->c.failed; i++) {
        wire_i16(in);
        wire_i32(in);
        wire_i32(in);
        for (int k = 0; k < 2; k++) {
            int32_t n = wire_array(in, 4);
            cur_take(&in->c, n < 0 ? 0 : (uint64_t)n * 4);
        }
    }
}

int client_topics(struct client *c, struct arena *a, struct client_topic **out, uint32_t *n,
                  struct err *e)
{
    struct wire_out req = begin(c, API_METADATA, METADATA_VERSION);
    struct wire_in in;
    wire_put_array(&req, -1);
    wire_put_bool(&req, false);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_i32(&in);
    int32_t brokers = wire_array(&in, 10);
    for (int32_t i = 0; i < brokers && !in.c.failed; i++) {
        wire_i32(&in);
        wire_string(&in);
        wire_i32(&in);
        wire_string(&in);
    }
    wire_string(&in);
    wire_i32(&in);
    int32_t count = wire_array(&in, 9);
    count = count < 0 ? 0 : count;
    *out = arena_alloc(a, (size_t)count * sizeof(**out));
    for (int32_t i = 0; i < count && !in.c.failed; i++)
        parse_topic(&in, a, &(*out)[i]);
    if (in.c.failed)
        return malformed(c, e);
    *n = (uint32_t)count;
    if (count > 0)
        qsort(*out, (size_t)count, sizeof(**out), compare_topics);
    return 0;
}

struct names {
    const struct client_topic *topics;
    uint32_t count;
};

static const char *name_at(void *arg, int i)
{
    const struct names *names = arg;
    return (uint32_t)i < names->count ? names->topics[i].name : NULL;
}

static int find_topic(const struct names *names, const char *name, int32_t *partitions,
                      struct err *e)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (strcmp(names->topics[i].name, name) == 0) {
            *partitions = names->topics[i].partitions;
            return 0;
        }
    }
    const char *near = text_nearest(name, name_at, (void *)names);
    if (near != NULL)
        return err_set(e, ERR_NOT_FOUND, "there is no topic \"%s\"; did you mean \"%s\"?", name,
                       near);
    if (names->count == 0)
        return err_set(e, ERR_NOT_FOUND,
                       "there is no topic \"%s\", nor any other yet; make it with "
                       "`weir topic create %s`",
                       name, name);
    return err_set(e, ERR_NOT_FOUND,
                   "there is no topic \"%s\"; `weir topic list` shows what there is, "
                   "`weir topic create %s` makes it",
                   name, name);
}

int client_topic(struct client *c, const char *name, int32_t *partitions, struct err *e)
{
    struct arena a;
    struct client_topic *topics;
    struct names names = {0};
    arena_init(&a);
    int r = client_topics(c, &a, &topics, &names.count, e);
    names.topics = topics;
    if (r == 0)
        r = find_topic(&names, name, partitions, e);
    arena_release(&a);
    return r;
}

int client_create(struct client *c, const char *name, int32_t partitions,
                  const struct client_config *configs, uint32_t n, struct err *e)
{
    struct wire_out req = begin(c, API_CREATE_TOPICS, CREATE_VERSION);
    struct wire_in in;
    wire_put_array(&req, 1);
    wire_put_cstr(&req, name);
    wire_put_i32(&req, partitions);
    wire_put_i16(&req, -1);
    wire_put_array(&req, 0);
    wire_put_array(&req, (int32_t)n);
    for (uint32_t i = 0; i < n; i++) {
        wire_put_cstr(&req, configs[i].name);
        wire_put_cstr(&req, configs[i].value);
    }
    wire_put_i32(&req, WAIT_MS);
    wire_put_bool(&req, false);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_i32(&in);
    wire_array(&in, 4);
    wire_string(&in);
    int16_t error = wire_i16(&in);
    struct slice why = wire_string(&in);
    if (in.c.failed)
        return malformed(c, e);
    if (error == BROKER_OK)
        return 0;
    if (why.n == 0)
        return refused(error, "create topic", name, -1, e);
    return err_set(e, code_of(error), "cannot create topic %s: %.*s", name, (int)why.n, why.p);
}

int client_delete(struct client *c, const char *name, struct err *e)
{
    struct wire_out req = begin(c, API_DELETE_TOPICS, DELETE_VERSION);
    struct wire_in in;
    wire_put_array(&req, 1);
    wire_put_cstr(&req, name);
    wire_put_i32(&req, WAIT_MS);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_i32(&in);
    wire_array(&in, 4);
    wire_string(&in);
    int16_t error = wire_i16(&in);
    if (in.c.failed)
        return malformed(c, e);
    return error == BROKER_OK ? 0 : refused(error, "delete topic", name, -1, e);
}

static void parse_config(struct wire_in *in, struct arena *a, struct client_config *config)
{
    config->name = keep(a, wire_string(in));
    config->value = keep(a, wire_string(in));
    wire_bool(in);
    config->is_default = wire_i8(in) == CONFIG_DEFAULT;
    wire_bool(in);
    int32_t synonyms = wire_array(in, 5);
    for (int32_t i = 0; i < synonyms && !in->c.failed; i++) {
        wire_string(in);
        wire_string(in);
        wire_i8(in);
    }
}

int client_configs(struct client *c, const char *topic, struct arena *a, struct client_config **out,
                   uint32_t *n, struct err *e)
{
    struct wire_out req = begin(c, API_DESCRIBE_CONFIGS, CONFIGS_VERSION);
    struct wire_in in;
    wire_put_array(&req, 1);
    wire_put_i8(&req, RESOURCE_TOPIC);
    wire_put_cstr(&req, topic);
    wire_put_array(&req, -1);
    wire_put_bool(&req, false);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_i32(&in);
    wire_array(&in, 4);
    int16_t error = wire_i16(&in);
    wire_string(&in);
    wire_i8(&in);
    wire_string(&in);
    int32_t count = wire_array(&in, 9);
    count = count < 0 ? 0 : count;
    *out = arena_alloc(a, (size_t)count * sizeof(**out));
    for (int32_t i = 0; i < count && !in.c.failed; i++)
        parse_config(&in, a, &(*out)[i]);
    if (in.c.failed)
        return malformed(c, e);
    *n = (uint32_t)count;
    return error == BROKER_OK ? 0 : refused(error, "describe topic", topic, -1, e);
}

int client_offset(struct client *c, const char *topic, int32_t partition, int64_t time,
                  int64_t *offset, struct err *e)
{
    struct wire_out req = begin(c, API_LIST_OFFSETS, OFFSETS_VERSION);
    struct wire_in in;
    wire_put_i32(&req, -1);
    wire_put_i8(&req, 1); // read committed
    wire_put_array(&req, 1);
    wire_put_cstr(&req, topic);
    wire_put_array(&req, 1);
    wire_put_i32(&req, partition);
    wire_put_i32(&req, -1);
    wire_put_i64(&req, time);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_i32(&in);
    wire_array(&in, 6);
    wire_string(&in);
    wire_array(&in, 26);
    wire_i32(&in);
    int16_t error = wire_i16(&in);
    wire_i64(&in);
    *offset = wire_i64(&in);
    if (in.c.failed)
        return malformed(c, e);
    return error == BROKER_OK ? 0 : refused(error, "find offsets of", topic, partition, e);
}

int client_produce(struct client *c, const char *topic, int32_t partition, struct slice batch,
                   int64_t *base_offset, struct err *e)
{
    struct wire_out req = begin(c, API_PRODUCE, PRODUCE_VERSION);
    struct wire_in in;
    wire_put_cstr(&req, NULL);
    wire_put_i16(&req, -1);
    wire_put_i32(&req, WAIT_MS);
    wire_put_array(&req, 1);
    wire_put_cstr(&req, topic);
    wire_put_array(&req, 1);
    wire_put_i32(&req, partition);
    wire_put_bytes(&req, batch);
    if (exchange(c, &req, WAIT_MS, &in, e) != 0)
        return -1;
    wire_array(&in, 6);
    wire_string(&in);
    wire_array(&in, 30);
    wire_i32(&in);
    int16_t error = wire_i16(&in);
    *base_offset = wire_i64(&in);
    if (in.c.failed)
        return malformed(c, e);
    return error == BROKER_OK ? 0 : refused(error, "write to", topic, partition, e);
}

static void put_fetch(struct wire_out *req, const char *topic, const struct client_part *parts,
                      uint32_t n, int64_t wait_ms)
{
    wire_put_i32(req, -1);
    wire_put_i32(req, (int32_t)wait_ms);
    wire_put_i32(req, 1); // min bytes
    wire_put_i32(req, FETCH_BYTES);
    wire_put_i8(req, 1); // read committed
    wire_put_i32(req, 0);
    wire_put_i32(req, -1); // no session
    wire_put_array(req, 1);
    wire_put_cstr(req, topic);
    wire_put_array(req, (int32_t)n);
    for (uint32_t i = 0; i < n; i++) {
        wire_put_i32(req, parts[i].partition);
        wire_put_i32(req, -1);
        wire_put_i64(req, parts[i].offset);
        wire_put_i64(req, -1);
        wire_put_i32(req, FETCH_BYTES / 4);
    }
    wire_put_array(req, 0); // forgotten
    wire_put_cstr(req, ""); // rack
}

static struct client_part *part_of(struct client_part *parts, uint32_t n, int32_t partition)
{
    for (uint32_t i = 0; i < n; i++) {
        if (parts[i].partition == partition)
            return &parts[i];
    }
    return NULL;
}

// One partition of a fetch response. Returns its error code.
static int16_t parse_part(struct wire_in *in, struct client_part *parts, uint32_t n,
                          struct arena *a, struct client_part **out)
{
    struct client_part ignored;
    *out = part_of(parts, n, wire_i32(in));
    struct client_part *p = *out == NULL ? &ignored : *out;
    int16_t error = wire_i16(in);
    wire_i64(in);
    p->stable = wire_i64(in);
    wire_i64(in);
    int32_t aborted = wire_array(in, 16);
    p->aborted_count = aborted < 0 ? 0 : (uint32_t)aborted;
    p->aborted = arena_alloc(a, p->aborted_count * sizeof(*p->aborted));
    for (uint32_t i = 0; i < p->aborted_count; i++) {
        p->aborted[i].producer_id = wire_i64(in);
        p->aborted[i].first_offset = wire_i64(in);
    }
    wire_i32(in);
    p->records = wire_bytes(in);
    return error;
}

int client_fetch(struct client *c, const char *topic, struct client_part *parts, uint32_t n,
                 int64_t wait_ms, struct arena *a, struct err *e)
{
    struct wire_out req = begin(c, API_FETCH, FETCH_VERSION);
    struct wire_in in;
    for (uint32_t i = 0; i < n; i++) {
        parts[i].records = (struct slice){NULL, 0};
        parts[i].aborted_count = 0;
    }
    put_fetch(&req, topic, parts, n, wait_ms);
    if (exchange(c, &req, wait_ms, &in, e) != 0)
        return -1;
    wire_i32(&in);
    int16_t error = wire_i16(&in);
    wire_i32(&in);
    if (error != BROKER_OK)
        return refused(error, "read", topic, -1, e);
    int32_t topics = wire_array(&in, 6);
    for (int32_t t = 0; t < topics && !in.c.failed; t++) {
        wire_string(&in);
        int32_t count = wire_array(&in, 42);
        for (int32_t i = 0; i < count && !in.c.failed; i++) {
            struct client_part *p;
            error = parse_part(&in, parts, n, a, &p);
            if (error != BROKER_OK && p != NULL && !in.c.failed)
                return refused(error, "read", topic, p->partition, e);
        }
    }
    return in.c.failed ? malformed(c, e) : 0;
}
