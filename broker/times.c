// SPDX-License-Identifier: Apache-2.0
//
// Times: the first record at or after a point in time. Segments and marks know the highest time of
// what lies in and before them, so only one batch has to be opened.
#include <inttypes.h>

#include "base/logline.h"
#include "broker/core.h"
#include "log/batch.h"

struct search {
    int64_t time, end; // records at or beyond offset `end` do not count
    int64_t offset, timestamp;
    struct buf scratch;
    bool stop;
};

static int search_records(struct search *s, struct slice batch, struct err *e)
{
    struct batch_header h;
    struct batch_iter it;
    struct slice records;
    struct rec r;
    buf_clear(&s->scratch);
    if (batch_header_parse(batch, &h) != 1 ||
        batch_records(batch, &h, BATCH_UNPACK_LIMIT, &s->scratch, &records, e) < 0)
        return -1;
    batch_iter_init(&it, &h, records);
    while (batch_next(&it, &r) == 1) {
        if (r.time < s->time)
            continue;
        s->offset = r.offset;
        s->timestamp = r.time;
        s->stop = true;
        return 0;
    }
    return 0;
}

// Stops the scan (returns -1) once the record is found or the end is reached.
static int look(void *arg, const struct head *h, struct slice batch, int64_t position,
                struct err *e)
{
    (void)position;
    struct search *s = arg;
    s->stop = h->base_offset >= s->end;
    if (!s->stop && !head_is_control(h) && h->count != 0 && h->max_time >= s->time &&
        search_records(s, batch, e) < 0)
        return -1;
    return s->stop ? -1 : 0;
}

// The first segment that may hold such a record, from index `from` on; referenced, or NULL.
static struct segment *candidate(struct broker_partition *p, struct search *s, uint32_t *from,
                                 int64_t *position, int64_t *bound, struct err *e)
{
    struct segment *found = NULL;
    pthread_mutex_lock(&p->state);
    s->end = p->end;
    for (; *from < p->segments_count && found == NULL; ++*from) {
        struct segment *c = p->segments[*from];
        *bound = partition_readable(p, *from);
        if (*bound == 0 || c->max_time < s->time)
            continue;
        if (segment_index_need(c, e) < 0)
            break;
        *position = segment_seek_time(c, s->time);
        found = segment_ref(c);
    }
    pthread_mutex_unlock(&p->state);
    return found;
}

enum broker_error broker_offset_for_time(struct broker_partition *p, int64_t time_ms,
                                         int64_t *offset, int64_t *timestamp)
{
    struct search s = {.time = time_ms, .offset = -1, .timestamp = -1};
    struct err e = {.code = ERR_NONE};
    struct segment *seg;
    uint32_t from = 0;
    int64_t position, bound;
    if (atomic_load(&p->deleted))
        return BROKER_UNKNOWN_TOPIC_OR_PARTITION;
    bool failed = false;
    while (!s.stop && !failed && (seg = candidate(p, &s, &from, &position, &bound, &e)) != NULL) {
        if (position < bound)
            failed = segment_scan(seg, position, bound, look, &s, &e) < 0 && !s.stop;
        segment_unref(seg);
    }
    failed |= e.code != ERR_NONE && !s.stop;
    buf_release(&s.scratch);
    *offset = s.offset;
    *timestamp = s.timestamp;
    if (failed)
        logline(LOG_ERROR, "broker", "%s", e.text);
    return failed ? BROKER_CORRUPT_MESSAGE : BROKER_OK;
}
