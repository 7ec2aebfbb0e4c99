// SPDX-License-Identifier: Apache-2.0
//
// Reading what came out of an app under test: topics as values, dead letters as maps.
#include "base/text.h"
#include "runtime/test_driver_state.h"

// --- reading out -------------------------------------------------------------------------------

static struct out_topic *out_of(struct test_driver *d, const char *topic, int32_t partitions)
{
    for (uint32_t i = 0; i < d->outs_count; i++) {
        if (strcmp(d->outs[i].name, topic) == 0)
            return &d->outs[i];
    }
    d->outs = check_alloc(realloc(d->outs, (d->outs_count + 1) * sizeof(*d->outs)));
    struct out_topic *o = &d->outs[d->outs_count++];
    *o = (struct out_topic){.name = arena_str(&d->arena, topic)};
    o->next = check_alloc(calloc((size_t)partitions, sizeof(*o->next)));
    return o;
}

// The unread record with the lowest time over all partitions.
static const struct rec *next_record(struct test_driver *d, struct out_topic *o, int32_t partitions,
                                     int32_t *partition)
{
    const struct rec *best = NULL;
    for (int32_t p = 0; p < partitions; p++) {
        uint32_t n;
        const struct rec *r = memory_records(d->log, o->name, p, &n);
        while (o->next[p] < n && (r[o->next[p]].flags & REC_MARKER) != 0)
            o->next[p]++;
        if (o->next[p] < n && (best == NULL || r[o->next[p]].time < best->time)) {
            best = &r[o->next[p]];
            *partition = p;
        }
    }
    if (best != NULL)
        o->next[*partition]++;
    return best;
}

static int decode(struct test_driver *d, const struct codec *codec, const struct rec *r,
                  struct arena *arena, struct value *out, struct err *err)
{
    struct doc doc;
    if (r->value.p == NULL || codec == NULL) {
        *out = r->value.p == NULL ? value_null() : value_string(arena_slice(arena, r->value));
        return 0;
    }
    doc_open(&doc, d->doc_ctx, arena, codec, r->value);
    struct value v;
    if (doc_value(&doc, &v, err) != 0)
        return -1;
    *out = value_copy(&v, arena);
    return 0;
}

static const char *topic_name(void *arg, int i)
{
    const struct plan *p = arg;
    return i < (int)p->topics_count ? p->topics[i].name : NULL;
}

static int no_such_topic(struct test_driver *d, const char *topic, struct err *err)
{
    const char *near = text_nearest(topic, topic_name, d->plan);
    return err_set(err, ERR_NOT_FOUND, "the script knows no topic '%s'%s%s%s", topic,
                   near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                   near == NULL ? "" : "'?");
}

static struct value letter_field(struct slice name, struct slice text, struct arena *arena)
{
    struct value v;
    struct err ignored;
    bool number = slice_eq_str(name, "partition") || slice_eq_str(name, "offset");
    return number && value_from_json(text, arena, &v, &ignored) == 0 ? v : value_string(text);
}

// A dead letter as a map of its headers, without the prefix "weir.", and its value.
static int letter(const struct rec *r, struct arena *arena, struct value *out)
{
    struct cur c = cur_of(r->headers);
    *out = (struct value){.type = VALUE_MAP};
    out->items = arena_alloc(arena, (r->header_count + 1u) * sizeof(*out->items));
    out->keys = arena_alloc(arena, (r->header_count + 1u) * sizeof(*out->keys));
    for (uint32_t i = 0; i < r->header_count; i++) {
        uint32_t n = (uint32_t)cur_varint(&c);
        struct slice name = slice_of(cur_take(&c, n), n);
        n = (uint32_t)cur_varint(&c);
        struct slice text = arena_slice(arena, slice_of(cur_take(&c, n), n));
        if (c.failed || name.n < 5)
            continue;
        name = arena_slice(arena, slice_of(name.p + 5, name.n - 5));
        out->keys[out->count] = name;
        out->items[out->count++] = letter_field(name, text, arena);
    }
    out->keys[out->count] = slice_str("value");
    out->items[out->count++] =
        r->value.p == NULL ? value_null() : value_string(arena_slice(arena, r->value));
    return 0;
}

int test_driver_take(struct test_driver *d, const char *topic, struct arena *arena,
                     struct testfile_record *out, struct err *err)
{
    bool dead = topic == NULL || strcmp(topic, d->dead_letters) == 0;
    int i = dead ? -1 : plan_topic_find(d->plan, topic);
    if (i < 0 && !dead)
        return no_such_topic(d, topic, err);
    int32_t partition = 0, partitions = dead ? 1 : d->plan->topics[i].partitions;
    const struct rec *r = next_record(d, out_of(d, dead ? d->dead_letters : topic, partitions),
                                      partitions, &partition);
    if (r == NULL)
        return 0;
    *out = (struct testfile_record){
        .key = arena_slice(arena, r->key), .time = r->time, .partition = partition};
    int rc = dead ? letter(r, arena, &out->value)
                  : decode(d, d->plan->topics[i].codec, r, arena, &out->value, err);
    return rc != 0 ? -1 : 1;
}

void test_driver_report(struct test_driver *d, FILE *to)
{
    for (int i = 0; i < DROP_REASONS; i++) {
        uint64_t n = atomic_load(&d->stats.drops[i]);
        if (n != 0)
            fprintf(to, "      dropped: %llu %s\n", (unsigned long long)n, drop_reason_name(i));
    }
}
