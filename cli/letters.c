// SPDX-License-Identifier: Apache-2.0
#include "cli/letters.h"

#include "log/batch.h"

#define SUFFIX "-dead-letters"
enum { UNPACK_MAX = 64 << 20, WAIT_MS = 200 };

static const char *text(struct arena *a, const struct rec *r, const char *name)
{
    struct slice v;
    if (!batch_headers_find(r, name, &v) || v.p == NULL)
        return "";
    return (const char *)arena_slice(a, v).p;
}

static void add(struct letters *out, struct arena *a, const char *topic, const struct rec *r)
{
    if ((out->count & (out->count + 1)) == 0) { // full at 2^n - 1
        struct letter *grown = arena_alloc(a, sizeof(*grown) * (out->count * 2 + 1));
        if (out->count != 0)
            memcpy(grown, out->items, sizeof(*grown) * out->count);
        out->items = grown;
    }
    struct letter *l = &out->items[out->count++];
    *l = (struct letter){.topic_name = topic,
                         .offset = r->offset,
                         .time = r->time,
                         .app = text(a, r, "weir.app"),
                         .stage = text(a, r, "weir.stage"),
                         .where = text(a, r, "weir.where"),
                         .error_class = text(a, r, "weir.class"),
                         .cause = text(a, r, "weir.cause"),
                         .topic = text(a, r, "weir.topic"),
                         .partition = (int32_t)strtol(text(a, r, "weir.partition"), NULL, 10),
                         .record_offset = strtoll(text(a, r, "weir.offset"), NULL, 10),
                         .key = arena_slice(a, r->key),
                         .value = arena_slice(a, r->value)};
}

static int take_batches(struct letters *out, struct arena *a, const char *topic,
                        struct client_part *part, struct buf *scratch, struct err *err)
{
    struct batch_header h;
    struct slice left = part->records;
    while (left.n > 0 && batch_header_parse(left, &h) == 1) {
        struct slice records;
        struct batch_iter it;
        struct rec r;
        buf_clear(scratch);
        if (batch_records(slice_of(left.p, h.size), &h, UNPACK_MAX, scratch, &records, err) != 0)
            return -1;
        batch_iter_init(&it, &h, records);
        while (!batch_is_control(&h) && batch_next(&it, &r) == 1) {
            if (r.offset >= part->offset)
                add(out, a, topic, &r);
        }
        part->offset = batch_last_offset(&h) + 1;
        left = slice_of(left.p + h.size, left.n - h.size);
    }
    return 0;
}

static int read_partition(struct client *c, const char *topic, int32_t partition, struct arena *a,
                          struct letters *out, struct err *err)
{
    struct client_part part = {.partition = partition};
    struct arena fetch;
    struct buf scratch;
    int64_t end;
    if (client_offset(c, topic, partition, CLIENT_START, &part.offset, err) != 0 ||
        client_offset(c, topic, partition, CLIENT_END, &end, err) != 0)
        return -1;
    arena_init(&fetch);
    buf_init(&scratch);
    int rc = 0;
    while (rc == 0 && part.offset < end) {
        int64_t before = part.offset;
        arena_reset(&fetch);
        rc = client_fetch(c, topic, &part, 1, WAIT_MS, &fetch, err);
        if (rc == 0)
            rc = take_batches(out, a, topic, &part, &scratch, err);
        if (part.offset == before)
            break;
    }
    arena_release(&fetch);
    buf_release(&scratch);
    return rc;
}

static bool is_letters_topic(const char *name, const char *app)
{
    size_t n = strlen(name), s = strlen(SUFFIX);
    if (n <= s || strcmp(name + n - s, SUFFIX) != 0)
        return false;
    return app == NULL || (strlen(app) == n - s && strncmp(name, app, n - s) == 0);
}

int letters_read(struct client *c, const char *app, struct arena *a, struct letters *out,
                 struct err *err)
{
    struct client_topic *topics;
    uint32_t n, found = 0;
    *out = (struct letters){0};
    if (client_topics(c, a, &topics, &n, err) != 0)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_letters_topic(topics[i].name, app))
            continue;
        found++;
        for (int32_t p = 0; p < topics[i].partitions; p++) {
            if (read_partition(c, topics[i].name, p, a, out, err) != 0)
                return -1;
        }
    }
    if (found == 0 && app != NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no topic %s%s: no app of that name has run here (weir topic list "
                       "shows what there is)",
                       app, SUFFIX);
    return 0;
}
