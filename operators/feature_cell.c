// SPDX-License-Identifier: Apache-2.0
//
// Feature_cell: see the header. The order of a step: insert, move edges, move slots; a span is
// dropped after that, so that slots have let go of its events in the ordinary way.
#include "operators/feature_cell.h"

enum { PART_EVENTS = 128, SPAN_BYTES = 8, PART_BYTES = 4, ROW_VERSION = 2, CACHE_LINE = 64 };
enum { PREFETCH_BYTES = 512, PREFETCH_EDGES = 8, PREFETCH_TAIL = 4, WALK_EVENTS = 24 };

static size_t block_bytes(const struct feature_plan *p)
{
    return sizeof(struct feature_cell) + p->slots_count * (sizeof(union feature_slot) + 1) +
           p->edges_count * sizeof(uint32_t);
}

static void *cell_create(void *arg, struct slice key)
{
    const struct feature_plan *p = arg;
    (void)key;
    size_t size = (block_bytes(p) + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    struct feature_cell *c = check_alloc(aligned_alloc(CACHE_LINE, size));
    memset(c, 0, size);
    c->edges = (uint32_t *)&c->slots[p->slots_count];
    c->stale = (uint8_t *)(c->edges + p->edges_count);
    c->marks = c->first_marks;
    c->marks_size = ARRAY_COUNT(c->first_marks);
    feature_events_init(&c->events, p->fields_count);
    return c;
}

static void cell_destroy(void *arg, void *state)
{
    const struct feature_plan *p = arg;
    struct feature_cell *c = state;
    for (uint32_t i = 0; i < p->slots_count; i++)
        feature_slot_release(p->slots[i].kind, &c->slots[i]);
    feature_events_release(&c->events);
    if (c->marks != c->first_marks)
        free(c->marks);
    free(c);
}

static size_t cell_bytes(void *arg, const void *state)
{
    const struct feature_plan *p = arg;
    const struct feature_cell *c = state;
    size_t n = block_bytes(p) + feature_events_bytes(&c->events);
    if (c->marks != c->first_marks)
        n += c->marks_size * sizeof(*c->marks);
    for (uint32_t i = 0; i < p->slots_count && p->heap_slots; i++)
        n += feature_slot_bytes(p->slots[i].kind, &c->slots[i]);
    return n;
}

// --- moving

static struct feature_range range_of(const struct feature_cell *c, const struct feature_plan *p,
                                     uint32_t frame)
{
    return (struct feature_range){c->edges[p->frames[frame].lo], c->edges[p->frames[frame].hi]};
}

static uint32_t move_edge(const struct feature_events *ev, uint32_t at, int64_t t)
{
    while (at < ev->end && feature_time_at(ev, at) <= t)
        at++;
    while (at > ev->first && feature_time_at(ev, at - 1) > t)
        at--;
    return at;
}

static void move_to(struct feature_cell *c, const struct feature_plan *p, int64_t t)
{
    uint32_t was[2 * FEATURE_OUTPUTS_MAX];
    memcpy(was, c->edges, p->edges_count * sizeof(*was));
    for (uint32_t i = 0; i < p->edges_count; i++) {
        int64_t before = feature_before(t, p->edges[i]);
        c->edges[i] = c->valid ? move_edge(&c->events, was[i], before)
                               : feature_events_after(&c->events, before);
    }
    for (uint32_t i = 0; i < p->slots_count; i++) {
        const struct feature_frame *f = &p->frames[p->slots[i].frame];
        struct feature_range now = {c->edges[f->lo], c->edges[f->hi]};
        if (!c->valid || c->stale[i])
            feature_slot_rebuild(&p->slots[i], &c->slots[i], &c->events, now);
        else
            feature_slot_move(&p->slots[i], &c->slots[i], &c->events,
                              (struct feature_range){was[f->lo], was[f->hi]}, now);
        c->stale[i] = 0;
    }
    c->valid = true;
}

// Events moved down by n.
static void shift(struct feature_cell *c, const struct feature_plan *p, uint32_t n)
{
    for (uint32_t i = 0; i < p->edges_count; i++)
        c->edges[i] -= n;
    for (uint32_t i = 0; i < p->slots_count; i++)
        feature_slot_shift(p->slots[i].kind, &c->slots[i], n);
    for (uint32_t i = 0; i < c->marks_count; i++)
        c->marks[i].from -= c->marks[i].parts == 0 ? n : 0;
}

// An event came in between at `at`.
static void make_way(struct feature_cell *c, const struct feature_plan *p, uint32_t at)
{
    for (uint32_t i = 0; i < p->edges_count; i++)
        c->edges[i] += at < c->edges[i] ? 1 : 0;
    for (uint32_t i = 0; i < c->marks_count; i++)
        c->marks[i].from += c->marks[i].parts == 0 && at <= c->marks[i].from ? 1 : 0;
    for (uint32_t i = 0; i < p->slots_count; i++) {
        struct feature_range r = range_of(c, p, p->slots[i].frame);
        if (!c->stale[i])
            c->stale[i] = feature_slot_insert(&p->slots[i], &c->slots[i], &c->events, at,
                                              at >= r.lo && at < r.hi);
    }
}

// --- what is to be written

static struct feature_mark *mark_of(struct feature_cell *c, int64_t span)
{
    for (uint32_t i = c->marks_count; i > 0; i--)
        if (c->marks[i - 1].span == span)
            return &c->marks[i - 1];
    if (c->marks_count == c->marks_size) {
        bool first = c->marks == c->first_marks;
        c->marks_size *= 2;
        c->marks = check_alloc(realloc(first ? NULL : c->marks, c->marks_size * sizeof(*c->marks)));
        if (first)
            memcpy(c->marks, c->first_marks, sizeof(c->first_marks));
    }
    struct feature_mark *m = &c->marks[c->marks_count++];
    *m = (struct feature_mark){.span = span, .from = UINT32_MAX};
    return m;
}

void feature_cell_prefetch(const struct feature_cell *c, const struct feature_plan *p)
{
    size_t n = block_bytes(p);
    for (size_t at = 0; at < n && at < PREFETCH_BYTES; at += CACHE_LINE)
        __builtin_prefetch((const uint8_t *)c + at);
}

void feature_cell_prefetch_events(const struct feature_cell *c, const struct feature_plan *p)
{
    const struct feature_events *ev = &c->events;
    size_t row = ev->fields + (size_t)1;
    if (ev->rows == NULL)
        return;
    __builtin_prefetch(ev->rows + ev->end * row, 1);
    for (uint32_t i = 0; i < p->edges_count && i < PREFETCH_EDGES; i++)
        __builtin_prefetch(ev->rows + c->edges[i] * row);
}

void feature_cell_add(struct feature_cell *c, const struct feature_plan *p, int64_t t)
{
    uint32_t down;
    uint32_t at = feature_events_insert(&c->events, t, p->values, &down);
    if (down != 0)
        shift(c, p, down);
    if (at + 1 != c->events.end)
        make_way(c, p, at);
    struct feature_mark *m = mark_of(c, feature_span(t));
    CHECK(m->parts == 0); // nobody adds to a span that is out of reach
    m->from = at < m->from ? at : m->from;
    move_to(c, p, t);
}

static int64_t span_start(int64_t span)
{
    int64_t ms;
    if (__builtin_mul_overflow(span, (int64_t)FEATURE_SPAN_MS, &ms))
        return span < 0 ? INT64_MIN : INT64_MAX;
    return ms;
}

// The first event of the span or a later one.
static uint32_t span_begin(const struct feature_events *ev, int64_t span)
{
    int64_t start = span_start(span);
    return start == INT64_MIN ? ev->first : feature_events_after(ev, start - 1);
}

void feature_cell_prune(struct feature_cell *c, const struct feature_plan *p, int64_t span)
{
    struct feature_events *ev = &c->events;
    while (ev->first != ev->end && feature_span(feature_time_at(ev, ev->first)) < span) {
        int64_t gone = feature_span(feature_time_at(ev, ev->first));
        uint32_t end = ev->first + 1;
        while (end != ev->end && feature_time_at(ev, end) < span_start(gone + 1))
            end++;
        struct feature_mark *m = mark_of(c, gone);
        m->parts = (end - ev->first + PART_EVENTS - 1) / PART_EVENTS;
        feature_events_drop(ev, end);
        for (uint32_t i = 0; i < p->edges_count; i++)
            c->valid = c->valid && c->edges[i] >= end;
    }
}

struct value feature_cell_value(const struct feature_cell *c, const struct feature_plan *p,
                                const struct feature_output *o, struct arena *arena)
{
    static const struct feature_slot_plan none = {.kind = SLOT_NONE};
    struct feature_range r = range_of(c, p, o->frame);
    if (o->kind == AGG_COUNT)
        return feature_slot_value(&none, NULL, &c->events, r, o->kind, arena);
    return feature_slot_value(&p->slots[o->slot], &c->slots[o->slot], &c->events, r, o->kind,
                              arena);
}

// --- rows

static uint32_t put_sub_key(uint8_t out[SPAN_BYTES + PART_BYTES], int64_t span, uint32_t part)
{
    bytes_put64(out, bytes_ordered_i64(span));
    if (part == 0)
        return SPAN_BYTES;
    bytes_put32(out + SPAN_BYTES, part);
    return SPAN_BYTES + PART_BYTES;
}

static void put_events(const struct feature_cell *c, struct feature_plan *p, int64_t span,
                       struct feature_range r)
{
    struct buf *b = &p->scratch;
    int64_t last = span_start(span);
    buf_clear(b);
    buf_uvarint(b, p->fields_count);
    for (uint32_t f = 0; f < p->fields_count; f++)
        buf_u32(b, p->fields[f].id);
    for (uint32_t i = r.lo; i < r.hi; i++) {
        buf_uvarint(b, (uint64_t)feature_time_at(&c->events, i) - (uint64_t)last);
        last = feature_time_at(&c->events, i);
        for (uint32_t f = 0; f < p->fields_count; f++) {
            struct feature_value v = feature_events_value(&c->events, f, i);
            feature_value_put(&v, b);
        }
    }
}

typedef void (*row_fn)(void *row_arg, struct slice sub_key, struct slice value);

// Where the mark's span begins: most times a few events before the one that changed.
static uint32_t begin_before(const struct feature_events *ev, const struct feature_mark *m)
{
    int64_t start = span_start(m->span);
    uint32_t at = m->from;
    for (uint32_t i = 0; i < WALK_EVENTS && at != ev->first; i++, at--)
        if (feature_time_at(ev, at - 1) < start)
            return at;
    return at == ev->first ? at : span_begin(ev, m->span);
}

static void encode_span(struct feature_cell *c, struct feature_plan *p,
                        const struct feature_mark *m, row_fn row, void *row_arg)
{
    uint8_t sub[SPAN_BYTES + PART_BYTES];
    const struct feature_events *ev = &c->events;
    uint32_t begin = begin_before(ev, m), end = ev->end;
    if (feature_span(feature_time_at(ev, end - 1)) != m->span)
        end = span_begin(ev, m->span + 1);
    for (uint32_t part = (m->from - begin) / PART_EVENTS;; part++) {
        uint32_t lo = begin + part * PART_EVENTS;
        if (lo >= end)
            return;
        uint32_t hi = end - lo > PART_EVENTS ? lo + PART_EVENTS : end;
        put_events(c, p, m->span, (struct feature_range){lo, hi});
        row(row_arg, slice_of(sub, put_sub_key(sub, m->span, part)), buf_slice(&p->scratch));
    }
}

static void cell_prefetch(void *arg, const void *state, uint32_t step)
{
    const struct feature_cell *c = state;
    const struct feature_events *ev = &c->events;
    (void)arg;
    if (step == 0) { // events, marks; slots and edges are not needed
        __builtin_prefetch(c);
        __builtin_prefetch((const uint8_t *)c + CACHE_LINE);
        __builtin_prefetch((const uint8_t *)c + 2 * CACHE_LINE);
    } else if (ev->first != ev->end) {
        const uint8_t *end = (const uint8_t *)(ev->rows + (size_t)ev->end * (ev->fields + 1));
        const uint8_t *first = (const uint8_t *)(ev->rows + (size_t)ev->first * (ev->fields + 1));
        for (uint32_t i = 1; i <= PREFETCH_TAIL && end - first >= i * CACHE_LINE; i++)
            __builtin_prefetch(end - i * CACHE_LINE);
    }
}

static void cell_encode(void *arg, void *state, row_fn row, void *row_arg)
{
    struct feature_cell *c = state;
    for (uint32_t i = 0; i < c->marks_count; i++) {
        const struct feature_mark *m = &c->marks[i];
        if (m->parts == 0)
            encode_span(c, arg, m, row, row_arg);
        for (uint32_t part = 0; part < m->parts; part++) {
            uint8_t sub[SPAN_BYTES + PART_BYTES];
            row(row_arg, slice_of(sub, put_sub_key(sub, m->span, part)), (struct slice){NULL, 0});
        }
    }
    c->marks_count = 0;
}

struct stored_fields {
    uint32_t count;
    uint32_t index[FEATURE_FIELDS_MAX]; // the plan's; UINT32_MAX: no longer wanted
};

static void take_fields(const struct feature_plan *p, struct cur *c, struct stored_fields *out)
{
    uint64_t n = cur_uvarint(c);
    c->failed |= n > FEATURE_FIELDS_MAX;
    out->count = c->failed ? 0 : (uint32_t)n;
    for (uint32_t i = 0; i < out->count; i++) {
        uint32_t id = cur_u32(c), f = 0;
        while (f < p->fields_count && p->fields[f].id != id)
            f++;
        out->index[i] = f < p->fields_count ? f : UINT32_MAX;
    }
}

// One event behind `last`; returns its time.
static int64_t take_event(struct feature_cell *cell, struct feature_plan *p, struct cur *c,
                          struct stored_fields *stored, int64_t last)
{
    uint32_t down;
    int64_t time = (int64_t)((uint64_t)last + cur_uvarint(c));
    for (uint32_t f = 0; f < p->fields_count; f++)
        p->values[f] = (struct feature_value){.tag = FEATURE_NULL};
    for (uint32_t i = 0; i < stored->count; i++) {
        struct feature_value v = feature_value_take(c);
        if (stored->index[i] != UINT32_MAX)
            p->values[stored->index[i]] = v;
    }
    c->failed |= time < last || feature_span(time) != feature_span(last);
    if (!c->failed)
        feature_events_insert(&cell->events, time, p->values, &down);
    return time;
}

static int cell_load(void *arg, void *state, struct slice sub, struct slice value, struct err *e)
{
    struct feature_plan *p = arg;
    struct feature_cell *cell = state;
    struct stored_fields stored;
    struct cur c = cur_of(value), s = cur_of(sub);
    int64_t span = bytes_from_ordered_i64(cur_u64(&s)), last = span_start(span);
    s.failed |= feature_span(last) != span;
    const struct feature_events *ev = &cell->events;
    bool first = ev->first == ev->end || feature_span(feature_time_at(ev, ev->end - 1)) < span;
    if (!first) // a further part of the same span
        c.failed =
            feature_span(feature_time_at(ev, ev->end - 1)) != span || cur_left(&s) != PART_BYTES;
    take_fields(p, &c, &stored);
    while (!c.failed && cur_left(&c) != 0)
        last = take_event(cell, p, &c, &stored, last);
    cell->valid = false;
    if (!c.failed && !s.failed)
        return 0;
    return err_set(e, ERR_CORRUPT,
                   "features '%s': the stored events of one span of %u bytes are damaged near byte "
                   "%zu; remove the state directory and start again: state is rebuilt from "
                   "changelogs",
                   p->name, value.n, (size_t)(c.p - value.p));
}

static bool cell_expired(void *arg, struct slice sub, struct slice value, int64_t watermark)
{
    (void)value;
    if (sub.n < SPAN_BYTES || watermark == INT64_MAX) // the end of a bounded run is not a time
        return false;
    return bytes_from_ordered_i64(bytes_get64(sub.p)) < feature_plan_horizon(arg, watermark);
}

const struct cell_ops feature_cell_ops = {
    .kind = "features",
    .version = ROW_VERSION,
    .create = cell_create,
    .destroy = cell_destroy,
    .load = cell_load,
    .encode = cell_encode,
    .prefetch = cell_prefetch,
    .bytes = cell_bytes,
    .expired = cell_expired,
};
