// SPDX-License-Identifier: Apache-2.0
//
// The watermark of a task: observed, from markers, idle, ended, refused, saved. The random test
// compares with a plain recomputation from the whole history.
#include "base/prng.h"
#include "runtime/watermark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct wm_input INPUTS[2] = {
    {.topic = 7, .partition = 0, .max_out_of_order_ms = 10, .max_future_ms = -1, .max_jump_ms = -1},
    {.topic = 8, .partition = 0, .max_out_of_order_ms = 0, .max_future_ms = -1, .max_jump_ms = -1},
};

static struct marker mark(uint32_t group, int32_t writer, int32_t writers, int64_t wm, uint8_t f)
{
    return (struct marker){group, writer, writers, wm, f};
}

static void test_observed_minimum(void **state)
{
    (void)state;
    struct wm w;
    wm_init(&w, INPUTS, 2);
    assert_int_equal(wm_watermark(&w), INT64_MIN);
    assert_int_equal(wm_record(&w, 0, 100, 0), WM_TAKE);
    assert_int_equal(wm_watermark(&w), INT64_MIN); // the other has said nothing
    assert_int_equal(wm_record(&w, 1, 50, 0), WM_TAKE);
    assert_int_equal(wm_watermark(&w), 50);
    wm_record(&w, 1, 95, 0);
    assert_int_equal(wm_watermark(&w), 90); // 100 - 10
    wm_record(&w, 1, 20, 0);                // disorder moves nothing back
    assert_int_equal(wm_watermark(&w), 90);
    wm_release(&w);
}

static void test_idle(void **state)
{
    (void)state;
    struct wm w;
    wm_init(&w, INPUTS, 2);
    wm_record(&w, 0, 100, 0);
    wm_idle(&w, 1, true);
    assert_int_equal(wm_watermark(&w), 90);
    wm_record(&w, 1, 30, 0); // awake again: the task does not go back
    assert_false(w.inputs[1].idle);
    assert_int_equal(wm_watermark(&w), 90);
    wm_record(&w, 0, 500, 0);
    assert_int_equal(wm_watermark(&w), 90); // waits for input 1
    wm_idle(&w, 0, true);
    assert_int_equal(wm_watermark(&w), 90);
    wm_idle(&w, 1, true); // nobody is waited for: the furthest counts
    assert_int_equal(wm_watermark(&w), 490);
    assert_true(wm_all_idle(&w));
    assert_int_equal(wm_task_marker(&w, 1, 0, 1).flags, MARKER_IDLE);
    wm_release(&w);
}

static void test_markers(void **state)
{
    (void)state;
    struct wm w;
    wm_init(&w, INPUTS, 1);
    wm_record(&w, 0, 100, 0);
    assert_int_equal(wm_watermark(&w), 90);
    struct marker m = mark(1, 0, 2, 300, 0);
    wm_marker(&w, 0, &m);
    wm_record(&w, 0, 1000, 0); // no longer observed
    assert_int_equal(wm_watermark(&w), 90);
    m = mark(1, 1, 2, 200, 0);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 200);
    m = mark(1, 1, 2, 150, 0); // an old one again
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 200);
    m = mark(1, 1, 2, 210, MARKER_IDLE);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 300);
    m = mark(2, 0, 1, INT64_MIN, 0); // a second group appears and holds time
    wm_marker(&w, 0, &m);
    m = mark(1, 0, 2, 400, 0);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 300);
    m = mark(9, 5, 2, 9999, 0); // nonsense is no promise
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 300);
    wm_release(&w);
}

static void test_end_waits_for_expected(void **state)
{
    (void)state;
    struct wm w;
    wm_init(&w, INPUTS, 2);
    wm_expect(&w, 0, 1, 2);
    wm_record(&w, 0, 100, 0);
    struct marker m = mark(1, 0, 2, 80, MARKER_END);
    wm_marker(&w, 0, &m);
    wm_end(&w, 1);
    assert_false(wm_ended(&w));
    m = mark(1, 1, 2, 60, MARKER_END);
    wm_marker(&w, 0, &m);
    assert_true(wm_ended(&w));
    assert_int_equal(wm_watermark(&w), INT64_MAX);
    struct marker t = wm_task_marker(&w, 5, 2, 3);
    assert_int_equal(t.flags, MARKER_END);
    assert_int_equal(t.watermark, 90); // what it was, not the end
    // A later run: the writers speak again.
    struct buf b;
    buf_init(&b);
    wm_encode(&w, &b);
    struct err e;
    assert_int_equal(wm_decode(&w, buf_slice(&b), false, &e), 0);
    assert_true(wm_ended(&w));
    assert_int_equal(wm_decode(&w, buf_slice(&b), true, &e), 0);
    assert_false(wm_ended(&w));
    assert_int_equal(wm_watermark(&w), 90);
    m = mark(1, 0, 2, 500, 0);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 90);
    buf_release(&b);
    wm_release(&w);
}

static void test_internal_topic_needs_all(void **state)
{
    (void)state;
    struct wm w;
    struct wm_input in = {
        .topic = 1, .max_out_of_order_ms = -1, .max_future_ms = -1, .max_jump_ms = -1};
    wm_init(&w, &in, 1);
    wm_expect(&w, 0, 1, 3);
    wm_record(&w, 0, 100, 0);
    struct marker m = mark(1, 0, 3, 80, 0);
    wm_marker(&w, 0, &m);
    m = mark(1, 1, 3, 70, 0);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), INT64_MIN);
    m = mark(1, 2, 3, 75, 0);
    wm_marker(&w, 0, &m);
    assert_int_equal(wm_watermark(&w), 70);
    wm_release(&w);
}

static void test_refused(void **state)
{
    (void)state;
    struct wm w;
    struct wm_input in = {.max_out_of_order_ms = 0, .max_future_ms = 100, .max_jump_ms = 50};
    wm_init(&w, &in, 1);
    assert_int_equal(wm_record(&w, 0, 1101, 1000), WM_FUTURE);
    assert_int_equal(wm_watermark(&w), INT64_MIN);
    assert_int_equal(wm_record(&w, 0, 1000, 1000), WM_TAKE); // the first may be anywhere
    assert_int_equal(wm_record(&w, 0, 1051, 1000), WM_JUMP);
    assert_int_equal(wm_watermark(&w), 1000);
    assert_int_equal(wm_record(&w, 0, 1050, 1000), WM_TAKE);
    assert_int_equal(wm_record(&w, 0, INT64_MAX, 1000), WM_FUTURE);
    wm_release(&w);
    wm_init(&w, INPUTS, 1); // unchecked: extreme times must not overflow, nor mean the end
    wm_record(&w, 0, INT64_MIN, 0);
    wm_record(&w, 0, INT64_MAX, 0);
    assert_false(wm_ended(&w));
    assert_int_equal(wm_watermark(&w), INT64_MAX - 10);
    wm_release(&w);
}

static void test_damaged_bytes(void **state)
{
    (void)state;
    struct wm w;
    struct err e;
    wm_init(&w, INPUTS, 2);
    struct marker m = mark(1, 0, 2, 80, 0);
    wm_marker(&w, 0, &m);
    struct buf b;
    buf_init(&b);
    wm_encode(&w, &b);
    for (uint32_t n = 1; n < b.n; n++) {
        uint8_t *copy = malloc(n); // exact size: reading past it is seen
        memcpy(copy, b.p, n);
        assert_int_equal(wm_decode(&w, slice_of(copy, n), true, &e), -1);
        free(copy);
    }
    struct prng r;
    prng_init(&r, 11);
    for (int i = 0; i < 20000; i++) {
        struct buf x;
        buf_init(&x);
        buf_slice_put(&x, buf_slice(&b));
        x.p[prng_below(&r, x.n)] = (uint8_t)prng_u64(&r);
        (void)wm_decode(&w, buf_slice(&x), true, &e);
        buf_release(&x);
    }
    buf_release(&b);
    wm_release(&w);
}

static void test_settle(void **state)
{
    (void)state;
    struct wm w;
    struct marker k = mark(1, 0, 1, 50, 0);
    wm_init(&w, INPUTS, 1);
    wm_marker(&w, 0, &k);
    wm_record(&w, 0, 500, 0);
    wm_idle(&w, 0, true);
    wm_settle(&w, 0, 400); // the writer may still bring older ones
    assert_int_equal(wm_watermark(&w), 50);
    k.flags = MARKER_IDLE;
    wm_marker(&w, 0, &k);
    wm_settle(&w, 0, 400); // not at the input's end yet
    assert_int_equal(wm_watermark(&w), 50);
    wm_idle(&w, 0, true);
    wm_settle(&w, 0, 400);
    assert_int_equal(wm_watermark(&w), 400);
    wm_settle(&w, 0, 300);
    assert_int_equal(wm_watermark(&w), 400);
    wm_settle(&w, 0, INT64_MAX);
    assert_int_equal(wm_watermark(&w), INT64_MAX - 1);
    wm_release(&w);
}

// --- random histories against a recomputation

enum { N_INPUTS = 3, N_WRITERS = 3 };

struct model {
    int64_t high[N_INPUTS], own[N_INPUTS]; // own: the partition's watermark, never back
    bool idle[N_INPUTS], marked[N_INPUTS];
    int64_t writer[N_INPUTS][N_WRITERS];
    uint8_t flags[N_INPUTS][N_WRITERS];
    int64_t task;
    bool ended;
};

static int64_t lowest_of(const int64_t *wm, const bool *idle, const bool *end, int n)
{
    int64_t low = INT64_MAX, high = INT64_MIN;
    bool any = false;
    for (int i = 0; i < n; i++) {
        high = wm[i] > high ? wm[i] : high;
        if (!idle[i] && !end[i]) {
            low = wm[i] < low ? wm[i] : low;
            any = true;
        }
    }
    return any ? low : high;
}

static void model_update(struct model *m)
{
    bool idle[N_INPUTS], end[N_INPUTS];
    m->ended = true;
    for (int i = 0; i < N_INPUTS; i++) {
        bool wi[N_WRITERS], we[N_WRITERS], all_end = true, all_idle = true;
        for (int k = 0; k < N_WRITERS; k++) {
            wi[k] = (m->flags[i][k] & MARKER_IDLE) != 0;
            we[k] = (m->flags[i][k] & MARKER_END) != 0;
            all_end = all_end && we[k];
            all_idle = all_idle && (wi[k] || we[k]);
        }
        int64_t now = INT64_MIN;
        if (m->marked[i])
            now = lowest_of(m->writer[i], wi, we, N_WRITERS);
        else if (m->high[i] != INT64_MIN)
            now = m->high[i] - 5;
        m->own[i] = now > m->own[i] ? now : m->own[i];
        end[i] = all_end;
        idle[i] = m->idle[i] || (m->marked[i] && all_idle && !all_end);
        m->ended = m->ended && all_end;
    }
    int64_t now = lowest_of(m->own, idle, end, N_INPUTS);
    m->task = now > m->task ? now : m->task;
}

static void random_step(struct prng *r, struct wm *w, struct model *m)
{
    uint32_t i = (uint32_t)prng_below(r, N_INPUTS);
    int64_t time = (int64_t)prng_below(r, 1000);
    switch (prng_below(r, 6)) {
    case 0:
        m->idle[i] = prng_below(r, 2) != 0;
        wm_idle(w, i, m->idle[i]);
        break;
    case 1: {
        struct marker k = mark(1, (int32_t)prng_below(r, N_WRITERS), N_WRITERS, time,
                               (uint8_t)(prng_below(r, 3) == 0 ? prng_below(r, 4) : 0));
        wm_marker(w, i, &k);
        m->marked[i] = true;
        m->idle[i] = false;
        m->flags[i][k.writer] = k.flags;
        if (time > m->writer[i][k.writer])
            m->writer[i][k.writer] = time;
        break;
    }
    default:
        assert_int_equal(wm_record(w, i, time, 0), WM_TAKE);
        m->high[i] = time > m->high[i] ? time : m->high[i];
        m->idle[i] = false;
    }
    model_update(m);
}

static void test_random(void **state)
{
    (void)state;
    struct buf saved;
    buf_init(&saved);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng r;
        prng_init(&r, seed);
        struct wm_input in[N_INPUTS];
        struct model m = {.task = INT64_MIN}, committed;
        struct wm w;
        for (int i = 0; i < N_INPUTS; i++) {
            in[i] = (struct wm_input){.topic = (uint32_t)i,
                                      .max_out_of_order_ms = 5,
                                      .max_future_ms = -1,
                                      .max_jump_ms = -1};
            m.high[i] = m.own[i] = INT64_MIN;
            for (int k = 0; k < N_WRITERS; k++)
                m.writer[i][k] = INT64_MIN;
        }
        wm_init(&w, in, N_INPUTS);
        for (uint32_t i = 0; i < N_INPUTS; i++)
            wm_expect(&w, i, 1, N_WRITERS);
        committed = m;
        buf_clear(&saved);
        wm_encode(&w, &saved);
        int64_t before = INT64_MIN;
        for (int step = 0; step < 60; step++) {
            random_step(&r, &w, &m);
            if (w.watermark != m.task || wm_ended(&w) != m.ended)
                fail_msg("seed %d step %d: %lld, expected %lld", (int)seed, step,
                         (long long)w.watermark, (long long)m.task);
            assert_true(w.watermark >= before);
            before = w.watermark;
            if (prng_below(&r, 10) == 0) { // commit
                committed = m;
                buf_clear(&saved);
                wm_encode(&w, &saved);
            } else if (prng_below(&r, 15) == 0) { // abort: back to the commit, inputs awake
                struct err e;
                assert_int_equal(wm_decode(&w, buf_slice(&saved), false, &e), 0);
                m = committed;
                for (int i = 0; i < N_INPUTS; i++)
                    m.idle[i] = false;
                model_update(&m);
                assert_int_equal(w.watermark, m.task);
                before = w.watermark;
            }
        }
        wm_release(&w);
    }
    buf_release(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observed_minimum),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_settle),
        cmocka_unit_test(test_markers),
        cmocka_unit_test(test_end_waits_for_expected),
        cmocka_unit_test(test_internal_topic_needs_all),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damaged_bytes),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
