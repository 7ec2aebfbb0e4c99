// SPDX-License-Identifier: Apache-2.0
//
// weir topic consume: shows records: from an offset or a time, up to the end or for ever.
//
// Without --follow it reads up to the end as it was at the start, so that it ends even while others
// write. Reads committed records only; control records (end markers, watermark markers) and records
// of aborted transactions are never shown.
#include "cli/topic.h"

#include "base/text.h"
#include "cli/render.h"
#include "log/batch.h"

#include <inttypes.h>
#include <unistd.h>

enum { FOLLOW_WAIT_MS = 1000, UNPACK_MAX = 64 << 20, FLUSH_BYTES = 256 * 1024 };

struct consume {
    struct transport_where where;
    const char *topic, *from, *schema;
    int64_t partition, limit; // -1: all
    bool follow, json;
    int key_format, value_format; // enum render_format
    // running
    struct client client;
    struct render render;
    struct client_part *parts; // those still read
    int64_t *ends;             // parallel: where to stop
    uint32_t count;
    int64_t shown;
    struct buf out, scratch;
    struct arena arena, fetch_arena;
};

static bool enough(const struct consume *c)
{
    return c->limit >= 0 && c->shown >= c->limit;
}

static int flush(struct consume *c, struct err *e)
{
    bool good = fwrite(c->out.p, 1, c->out.n, stdout) == c->out.n && fflush(stdout) == 0;
    buf_clear(&c->out);
    return good ? 0 : err_io(e, "cannot write to standard output");
}

// Where a partition begins, as --from says.
static int find_start(struct consume *c, int32_t partition, int64_t *out, struct err *e)
{
    const char *from = c->from;
    if (strcmp(from, "beginning") == 0)
        return client_offset(&c->client, c->topic, partition, CLIENT_START, out, e);
    if (strcmp(from, "end") == 0)
        return client_offset(&c->client, c->topic, partition, CLIENT_END, out, e);
    if (strspn(from, "0123456789") == strlen(from) && strlen(from) < 12) {
        *out = strtoll(from, NULL, 10);
        return 0;
    }
    int64_t time;
    if (text_time_ms(slice_str(from), &time) != 0 || time < 0)
        return err_set(e, ERR_INVALID,
                       "--from \"%s\" is neither beginning, end, an offset nor a time like "
                       "2024-05-01T12:00:00Z",
                       from);
    if (client_offset(&c->client, c->topic, partition, time, out, e) != 0)
        return -1;
    if (*out < 0) // nothing that new yet
        return client_offset(&c->client, c->topic, partition, CLIENT_END, out, e);
    return 0;
}

static int add_part(struct consume *c, int32_t partition, struct err *e)
{
    int64_t start, first, end;
    if (find_start(c, partition, &start, e) != 0 ||
        client_offset(&c->client, c->topic, partition, CLIENT_START, &first, e) != 0 ||
        client_offset(&c->client, c->topic, partition, CLIENT_END, &end, e) != 0)
        return -1;
    if (start < first) // an offset that retention has taken: begin with what is left
        start = first;
    if (!c->follow && start >= end)
        return 0;
    if (start > end)
        return err_set(e, ERR_RANGE, "%s, partition %d ends at offset %" PRId64 ", before %" PRId64,
                       c->topic, partition, end, start);
    c->parts[c->count] = (struct client_part){.partition = partition, .offset = start};
    c->ends[c->count++] = c->follow ? INT64_MAX : end;
    return 0;
}

static int plan(struct consume *c, struct err *e)
{
    int32_t partitions;
    if (client_topic(&c->client, c->topic, &partitions, e) != 0)
        return -1;
    if (c->partition >= partitions || c->partition < -1)
        return err_set(e, ERR_INVALID, "topic %s has partitions 0 to %d, not %" PRId64, c->topic,
                       partitions - 1, c->partition);
    c->parts = arena_alloc(&c->arena, (size_t)partitions * sizeof(*c->parts));
    c->ends = arena_alloc(&c->arena, (size_t)partitions * sizeof(*c->ends));
    if (c->partition >= 0)
        return add_part(c, (int32_t)c->partition, e);
    for (int32_t i = 0; i < partitions; i++) {
        if (add_part(c, i, e) != 0)
            return -1;
    }
    return 0;
}

// Is this batch's transaction aborted? `ended`: per entry, its end marker has passed.
static bool aborted(const struct client_part *p, const bool *ended, const struct batch_header *h)
{
    if (!batch_is_transactional(h))
        return false;
    for (uint32_t i = 0; i < p->aborted_count; i++) {
        if (!ended[i] && p->aborted[i].producer_id == h->producer_id &&
            p->aborted[i].first_offset <= batch_last_offset(h))
            return true;
    }
    return false;
}

static void pass_control(const struct client_part *p, bool *ended, const struct batch_header *h)
{
    for (uint32_t i = 0; i < p->aborted_count; i++) {
        if (!ended[i] && p->aborted[i].producer_id == h->producer_id &&
            p->aborted[i].first_offset <= h->base_offset) {
            ended[i] = true;
            return;
        }
    }
}

static int show_batch(struct consume *c, uint32_t part, const struct batch_header *h,
                      struct slice batch, struct err *e)
{
    struct client_part *p = &c->parts[part];
    struct slice records;
    struct batch_iter it;
    struct rec rec;
    int r;
    buf_clear(&c->scratch);
    if (batch_records(batch, h, UNPACK_MAX, &c->scratch, &records, e) != 0)
        return err_wrap(e, "%s, partition %d, offset %" PRId64, c->topic, p->partition,
                        h->base_offset);
    batch_iter_init(&it, h, records);
    while ((r = batch_next(&it, &rec)) == 1) {
        if (rec.offset < p->offset || rec.offset >= c->ends[part] || enough(c))
            continue;
        render_record(&c->render, p->partition, &rec, &c->out);
        c->shown++;
        if (c->out.n >= FLUSH_BYTES && flush(c, e) != 0)
            return -1;
    }
    if (r < 0)
        return err_set(e, ERR_CORRUPT,
                       "%s, partition %d: the batch at offset %" PRId64 " holds a malformed record",
                       c->topic, p->partition, h->base_offset);
    return 0;
}

static int show_part(struct consume *c, uint32_t part, struct err *e)
{
    struct client_part *p = &c->parts[part];
    struct slice left = p->records;
    bool *ended = arena_alloc(&c->fetch_arena, p->aborted_count + 1); // never an empty array
    memset(ended, 0, p->aborted_count + 1);
    struct batch_header h;
    while (left.n > 0 && batch_header_parse(left, &h) == 1 && !enough(c)) {
        if (batch_is_control(&h))
            pass_control(p, ended, &h);
        else if (!aborted(p, ended, &h) &&
                 show_batch(c, part, &h, slice_of(left.p, h.size), e) != 0)
            return -1;
        p->offset = batch_last_offset(&h) + 1 > p->offset ? batch_last_offset(&h) + 1 : p->offset;
        left = slice_of(left.p + h.size, left.n - h.size);
    }
    return 0;
}

// Drops partitions that have reached their end.
static void drop_finished(struct consume *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->parts[i].offset >= c->ends[i])
            continue;
        c->parts[kept] = c->parts[i];
        c->ends[kept++] = c->ends[i];
    }
    c->count = kept;
}

static int copy(struct consume *c, struct err *e)
{
    while (c->count > 0 && !enough(c) && !transport_stopped()) {
        arena_reset(&c->fetch_arena);
        if (client_fetch(&c->client, c->topic, c->parts, c->count, FOLLOW_WAIT_MS, &c->fetch_arena,
                         e) != 0)
            return e->code == ERR_CLOSED && transport_stopped() ? 0 : -1;
        for (uint32_t i = 0; i < c->count && !enough(c); i++) {
            if (show_part(c, i, e) != 0)
                return -1;
        }
        if (flush(c, e) != 0)
            return -1;
        drop_finished(c);
    }
    return 0;
}

static int run(struct consume *c, struct err *e)
{
    if (client_open(&c->client, &c->where, e) != 0)
        return -1;
    arena_init(&c->arena);
    arena_init(&c->fetch_arena);
    int result = render_init(&c->render, (enum render_format)c->key_format,
                             (enum render_format)c->value_format, c->schema, e);
    c->render.json = c->json;
    if (result == 0)
        result = plan(c, e);
    if (result == 0)
        result = copy(c, e);
    render_release(&c->render);
    client_close(&c->client);
    buf_release(&c->out);
    buf_release(&c->scratch);
    arena_release(&c->fetch_arena);
    arena_release(&c->arena);
    return result;
}

int topic_consume(int argc, char **argv)
{
    struct consume c = {
        .where = {.data = TOPIC_DATA}, .from = "beginning", .partition = -1, .limit = -1};
    const struct option table[] = {
        {"from", 0, OPTION_STRING, &c.from, "WHERE",
         "beginning (default), end, an offset, or a time (ISO 8601 or milliseconds)", NULL},
        {"follow", 'f', OPTION_FLAG, &c.follow, NULL, "wait for new records until Ctrl-C", NULL},
        {"limit", 'n', OPTION_INT, &c.limit, "N", "stop after N records", NULL},
        {"partition", 'p', OPTION_INT, &c.partition, "N", "only this partition", NULL},
        {"json", 'j', OPTION_FLAG, &c.json, NULL,
         "one JSON object a line: partition, offset, timestamp, time, key, headers, value", NULL},
        {"value-format", 0, OPTION_CHOICE, &c.value_format, "FORMAT",
         "auto (default), json, avro, string, long, int, double or bytes", render_format_names},
        {"key-format", 0, OPTION_CHOICE, &c.key_format, "FORMAT", "the same for keys",
         render_format_names},
        {"schema", 0, OPTION_STRING, &c.schema, "FILE", "Avro schema (JSON), for avro", NULL},
        TOPIC_WHERE_OPTIONS(c.where),
        {0},
    };
    const struct options_usage usage = {
        "weir topic consume TOPIC [options]",
        "Shows a topic's records, then stops at the end. Each line: partition:offset, time, key,\n"
        "value, [headers].",
        "  weir topic consume payments --limit 10\n"
        "  weir topic consume payments --follow --from end\n"
        "  weir topic consume payments --from 2024-05-01T12:00:00Z --json | jq .value\n"
        "  weir topic consume totals --value-format avro --schema total.avsc",
        table,
        1,
        1};
    struct options_args args;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("consume", &e);
    case OPTIONS_RUN:
        break;
    }
    c.topic = args.items[0];
    topic_catch_signals();
    return run(&c, &e) == 0 ? 0 : topic_fail("consume", &e);
}
