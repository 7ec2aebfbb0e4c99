// SPDX-License-Identifier: Apache-2.0
//
// Watermark: see the header. Two levels of the same rule: writers make an input's watermark, inputs
// make the task's. `struct lowest` is that rule: the minimum of those waited for, else the maximum.
#include "runtime/watermark.h"

enum { WM_VERSION = 1, WM_GROUPS_MAX = 4096, WM_WRITERS_MAX = 1 << 20 };

struct lowest {
    int64_t min, max;
    bool waiting; // somebody is waited for
    bool alive;   // somebody has not ended
};

static struct lowest lowest_none(void)
{
    return (struct lowest){.min = INT64_MAX, .max = INT64_MIN};
}

static void lowest_add(struct lowest *l, int64_t watermark, bool idle, bool ended)
{
    if (watermark > l->max)
        l->max = watermark;
    if (ended)
        return;
    l->alive = true;
    if (idle)
        return;
    l->waiting = true;
    if (watermark < l->min)
        l->min = watermark;
}

static int64_t lowest_get(const struct lowest *l)
{
    return l->waiting ? l->min : l->max;
}

static int64_t add_sat(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static void task_update(struct wm *w)
{
    struct lowest l = lowest_none();
    for (uint32_t i = 0; i < w->inputs_count; i++) {
        const struct wm_input *in = &w->inputs[i];
        lowest_add(&l, in->watermark, in->idle || in->writers_idle, in->end || in->writers_end);
    }
    w->ended = w->inputs_count != 0 && !l.alive;
    int64_t now = lowest_get(&l);
    if (w->inputs_count != 0 && now > w->watermark)
        w->watermark = now;
}

static void writers_update(struct wm_input *in)
{
    struct lowest l = lowest_none();
    for (uint32_t g = 0; g < in->groups_count; g++)
        for (int32_t i = 0; i < in->groups[g].writers_count; i++) {
            const struct wm_writer *x = &in->groups[g].writers[i];
            lowest_add(&l, x->watermark, (x->flags & MARKER_IDLE) != 0,
                       (x->flags & MARKER_END) != 0);
        }
    in->writers_end = in->groups_count != 0 && !l.alive;
    in->writers_idle = in->marked && l.alive && !l.waiting;
    if (in->marked && in->groups_count != 0 && lowest_get(&l) > in->watermark)
        in->watermark = lowest_get(&l);
}

static void input_forget(struct wm_input *in)
{
    in->high = in->watermark = INT64_MIN;
    in->idle = in->end = in->marked = in->writers_idle = in->writers_end = false;
    for (uint32_t g = 0; g < in->groups_count; g++)
        for (int32_t i = 0; i < in->groups[g].writers_count; i++)
            in->groups[g].writers[i] = (struct wm_writer){.watermark = INT64_MIN};
}

void wm_init(struct wm *w, const struct wm_input *inputs, uint32_t count)
{
    *w = (struct wm){.inputs_count = count, .watermark = INT64_MIN};
    w->inputs = check_alloc(calloc(count == 0 ? 1 : count, sizeof(*w->inputs)));
    for (uint32_t i = 0; i < count; i++) {
        w->inputs[i] = (struct wm_input){.topic = inputs[i].topic,
                                         .partition = inputs[i].partition,
                                         .max_out_of_order_ms = inputs[i].max_out_of_order_ms,
                                         .max_future_ms = inputs[i].max_future_ms,
                                         .max_jump_ms = inputs[i].max_jump_ms};
        input_forget(&w->inputs[i]);
    }
}

void wm_release(struct wm *w)
{
    for (uint32_t i = 0; i < w->inputs_count; i++) {
        for (uint32_t g = 0; g < w->inputs[i].groups_count; g++)
            free(w->inputs[i].groups[g].writers);
        free(w->inputs[i].groups);
    }
    free(w->inputs);
    *w = (struct wm){0};
}

void wm_reset(struct wm *w)
{
    for (uint32_t i = 0; i < w->inputs_count; i++)
        input_forget(&w->inputs[i]);
    w->watermark = INT64_MIN;
    w->ended = false;
}

static struct wm_group *group_find(struct wm_input *in, uint32_t id)
{
    for (uint32_t i = 0; i < in->groups_count; i++)
        if (in->groups[i].id == id)
            return &in->groups[i];
    return NULL;
}

static struct wm_group *group_get(struct wm_input *in, uint32_t id, int32_t writers)
{
    struct wm_group *g = group_find(in, id);
    if (g == NULL) {
        in->groups = check_alloc(realloc(in->groups, (in->groups_count + 1) * sizeof(*in->groups)));
        g = &in->groups[in->groups_count++];
        *g = (struct wm_group){.id = id};
    }
    if (g->writers_count != writers) {
        g->writers = check_alloc(realloc(g->writers, (size_t)writers * sizeof(*g->writers)));
        for (int32_t i = g->writers_count; i < writers; i++)
            g->writers[i] = (struct wm_writer){.watermark = INT64_MIN};
        g->writers_count = writers;
    }
    return g;
}

void wm_expect(struct wm *w, uint32_t input, uint32_t group, int32_t writers)
{
    CHECK(input < w->inputs_count && writers > 0);
    group_get(&w->inputs[input], group, writers);
    writers_update(&w->inputs[input]);
    task_update(w);
}

void wm_marker(struct wm *w, uint32_t input, const struct marker *m)
{
    CHECK(input < w->inputs_count);
    struct wm_input *in = &w->inputs[input];
    // A marker is bytes from outside: one that makes no sense is no promise.
    if (m->writers <= 0 || m->writers > WM_WRITERS_MAX || m->writer < 0 || m->writer >= m->writers)
        return;
    struct wm_writer *x = &group_get(in, m->group, m->writers)->writers[m->writer];
    if (m->watermark > x->watermark && m->watermark != INT64_MAX)
        x->watermark = m->watermark;
    x->flags = m->flags;
    in->marked = true;
    in->idle = false;
    writers_update(in);
    task_update(w);
}

void wm_idle(struct wm *w, uint32_t input, bool idle)
{
    CHECK(input < w->inputs_count);
    if (w->inputs[input].idle == idle)
        return;
    w->inputs[input].idle = idle;
    task_update(w);
}

void wm_settle(struct wm *w, uint32_t input, int64_t time)
{
    CHECK(input < w->inputs_count);
    struct wm_input *in = &w->inputs[input];
    // INT64_MAX means the end and nothing else.
    time = time == INT64_MAX ? INT64_MAX - 1 : time;
    if (!in->idle || !in->writers_idle || time <= in->watermark)
        return;
    in->watermark = time;
    task_update(w);
}

void wm_end(struct wm *w, uint32_t input)
{
    CHECK(input < w->inputs_count);
    w->inputs[input].end = true;
    task_update(w);
}

enum wm_verdict wm_record_high(struct wm *w, uint32_t input, int64_t time, int64_t wall_ms)
{
    CHECK(input < w->inputs_count);
    struct wm_input *in = &w->inputs[input];
    if (in->max_future_ms >= 0 && time > add_sat(wall_ms, in->max_future_ms))
        return WM_FUTURE;
    // An input that was idle lags behind the task: the later of the two is where time stands.
    int64_t now = in->watermark > w->watermark ? in->watermark : w->watermark;
    if (in->max_jump_ms >= 0 && now != INT64_MIN && time > add_sat(now, in->max_jump_ms))
        return WM_JUMP;
    in->idle = false;
    if (time > in->high)
        in->high = time;
    if (!in->marked && in->max_out_of_order_ms >= 0) {
        int64_t seen = add_sat(in->high, -in->max_out_of_order_ms);
        // INT64_MAX means the end and nothing else.
        seen = seen == INT64_MAX ? INT64_MAX - 1 : seen;
        if (seen > in->watermark)
            in->watermark = seen;
    }
    task_update(w);
    return WM_TAKE;
}

bool wm_all_idle(const struct wm *w)
{
    bool alive = false;
    for (uint32_t i = 0; i < w->inputs_count; i++) {
        const struct wm_input *in = &w->inputs[i];
        if (in->end || in->writers_end)
            continue;
        alive = true;
        if (!in->idle && !in->writers_idle)
            return false;
    }
    return alive;
}

struct marker wm_task_marker(const struct wm *w, uint32_t group, int32_t writer, int32_t writers)
{
    return (struct marker){
        .group = group,
        .writer = writer,
        .writers = writers,
        .watermark = w->watermark,
        .flags = (uint8_t)((wm_all_idle(w) ? MARKER_IDLE : 0) | (w->ended ? MARKER_END : 0))};
}

void wm_encode(const struct wm *w, struct buf *out)
{
    buf_u8(out, WM_VERSION);
    buf_u64(out, (uint64_t)w->watermark);
    buf_uvarint(out, w->inputs_count);
    for (uint32_t i = 0; i < w->inputs_count; i++) {
        const struct wm_input *in = &w->inputs[i];
        buf_u32(out, in->topic);
        buf_u32(out, (uint32_t)in->partition);
        buf_u64(out, (uint64_t)in->high);
        buf_u64(out, (uint64_t)in->watermark);
        buf_u8(out, (uint8_t)((in->marked ? 1 : 0) | (in->end ? 2 : 0)));
        buf_uvarint(out, in->groups_count);
        for (uint32_t g = 0; g < in->groups_count; g++) {
            buf_u32(out, in->groups[g].id);
            buf_uvarint(out, (uint64_t)in->groups[g].writers_count);
            for (int32_t k = 0; k < in->groups[g].writers_count; k++) {
                buf_u64(out, (uint64_t)in->groups[g].writers[k].watermark);
                buf_u8(out, in->groups[g].writers[k].flags);
            }
        }
    }
}

// Reads one input's groups into `in`, or past them if it is NULL.
static void groups_decode(struct wm_input *in, struct cur *c, bool new_run)
{
    uint64_t groups = cur_uvarint(c);
    if (groups > WM_GROUPS_MAX)
        c->failed = true;
    for (uint64_t g = 0; g < groups && !c->failed; g++) {
        uint32_t id = cur_u32(c);
        uint64_t writers = cur_uvarint(c);
        // Nine bytes follow for each: checked before memory is asked for.
        if (c->failed || writers == 0 || writers > WM_WRITERS_MAX || writers * 9 > cur_left(c)) {
            c->failed = true;
            return;
        }
        // How many are expected now wins over how many there were.
        struct wm_group *to = in == NULL ? NULL : group_find(in, id);
        if (in != NULL && to == NULL)
            to = group_get(in, id, (int32_t)writers);
        for (uint64_t k = 0; k < writers; k++) {
            int64_t watermark = (int64_t)cur_u64(c);
            uint8_t flags = cur_u8(c);
            if (new_run)
                flags &= (uint8_t)~MARKER_END;
            if (to != NULL && k < (uint64_t)to->writers_count)
                to->writers[k] = (struct wm_writer){watermark, flags};
        }
    }
}

static void input_decode(struct wm *w, struct cur *c, bool new_run)
{
    uint32_t topic = cur_u32(c);
    int32_t partition = (int32_t)cur_u32(c);
    struct wm_input *in = NULL;
    for (uint32_t i = 0; i < w->inputs_count && in == NULL && !c->failed; i++)
        if (w->inputs[i].topic == topic && w->inputs[i].partition == partition)
            in = &w->inputs[i];
    int64_t high = (int64_t)cur_u64(c);
    int64_t watermark = (int64_t)cur_u64(c);
    uint8_t flags = cur_u8(c);
    groups_decode(in, c, new_run);
    if (in == NULL || c->failed)
        return;
    in->high = high;
    in->watermark = watermark;
    in->marked = (flags & 1) != 0;
    in->end = (flags & 2) != 0 && !new_run;
}

int wm_decode(struct wm *w, struct slice s, bool new_run, struct err *e)
{
    wm_reset(w);
    if (s.n == 0)
        return 0;
    struct cur c = cur_of(s);
    uint8_t version = cur_u8(&c);
    if (version != WM_VERSION)
        return err_set(e, ERR_CORRUPT, "saved watermarks have version %u; this program reads %d",
                       version, WM_VERSION);
    int64_t watermark = (int64_t)cur_u64(&c);
    uint64_t inputs = cur_uvarint(&c);
    for (uint64_t i = 0; i < inputs && !c.failed; i++)
        input_decode(w, &c, new_run);
    if (c.failed || c.p != c.end) {
        wm_reset(w);
        return err_set(e, ERR_CORRUPT, "saved watermarks (%u bytes) are damaged", s.n);
    }
    w->watermark = watermark;
    for (uint32_t i = 0; i < w->inputs_count; i++)
        writers_update(&w->inputs[i]);
    task_update(w);
    return 0;
}
