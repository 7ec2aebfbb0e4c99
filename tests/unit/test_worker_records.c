// SPDX-License-Identifier: Apache-2.0
//
// What a worker makes of single records: idle inputs, records too early or too late, failures, the
// end of a bounded run.
#include "base/hash.h"
#include "log/marker.h"
#include "tests/unit/worker_rig.h"

// --- event time ---------------------------------------------------------------------------------

static const char joined[] = WRIG_HEAD
    "local t = app:table('limits',{value=weir.json(T),time='ts',key='a',idle_after='5s'})\n"
    "app:stream('in',{value=weir.json(T),time='ts',key='a'}):left_join(t,{prefix='l_'})\n"
    "  :count('n',{by='a',window='1s',emit='close'}):to('out')\n";

static void test_idle_input(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, joined, 1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":1000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":9000,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 0);
    r.clk.now_ms += 4999;
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 0); // the table may still say something
    r.clk.now_ms += 1;
    assert_int_equal(wrig_run(&r), 0);
    assert_string_equal(wrig_values(&r, "out"),
                        "{\"a\":\"k\",\"window_start\":1000,\"window_end\":2000,\"count\":1}");
    wrig_close(&r);
}

// A stream that never rests must not hide that the table is idle.
static void test_idle_beside_a_busy_one(void **state)
{
    struct wrig r;
    char value[128];
    (void)state;
    wrig_open(&r, joined, 1);
    r.env.step_records = 1;
    wrig_start(&r);
    for (int i = 0; i < 50; i++) {
        snprintf(value, sizeof(value), "{\"id\":%d,\"ts\":%d,\"a\":\"k\"}", i, i * 1000);
        wrig_feed(&r, "in", "k", 1, value);
        wrig_feed(&r, "in", "k", 1, value);
        assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
        r.clk.now_ms += 200;
    }
    assert_true(wrig_count(&r, "out") > 0);
    wrig_close(&r);
}

// Idle is who says nothing for 5 s, not who was read to his end 5 s ago for the first time.
static void test_slow_is_not_idle(void **state)
{
    struct wrig r;
    char value[128];
    (void)state;
    wrig_open(&r, joined, 1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":100000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":200000,\"a\":\"k\"}");
    for (int i = 0; i < 20; i++) {
        snprintf(value, sizeof(value), "{\"id\":%d,\"ts\":%d,\"a\":\"k\"}", i, 1000 + i);
        wrig_feed(&r, "limits", "k", 1, value);
        assert_int_equal(wrig_run(&r), 0);
        r.clk.now_ms += 1000;
    }
    assert_int_equal(wrig_count(&r, "out"), 0);
    r.clk.now_ms += 5000;
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 1);
    wrig_close(&r);
}

static uint64_t dropped(struct wrig *r, enum drop_reason why)
{
    return atomic_load(&r->stats.drops[why]);
}

static const char *header_of(struct wrig *r, uint32_t letter, const char *name)
{
    uint32_t n;
    const struct rec *recs = memory_records(r->memory, "app-dead-letters", 0, &n);
    assert_true(letter < n);
    struct cur c = cur_of(recs[letter].headers);
    for (uint32_t i = 0; i < recs[letter].header_count; i++) {
        int64_t key_n = cur_varint(&c);
        const uint8_t *key = cur_take(&c, (uint32_t)key_n);
        int64_t value_n = cur_varint(&c);
        const uint8_t *value = cur_take(&c, (uint32_t)value_n);
        assert_non_null(value);
        if (slice_eq_str(slice_of(key, (uint32_t)key_n), name)) {
            char *text = arena_alloc(&r->arena, (size_t)value_n + 1);
            memcpy(text, value, (size_t)value_n);
            text[value_n] = 0;
            return text;
        }
    }
    fail_msg("no header %s", name);
    return NULL;
}

static void test_future_and_jumps(void **state)
{
    struct wrig r;
    char value[128];
    (void)state;
    wrig_open(&r,
              WRIG_HEAD
              "app:stream('in',{value=weir.json(T),time='ts',max_future='1m',max_jump='7d'})"
              ":to('out')\n",
              1);
    int64_t now = r.clk.now_ms;
    const int64_t times[] = {now - 30 * INT64_C(86400000), now + 60001, now - 86400000,
                             now - 29 * INT64_C(86400000), now - 24 * INT64_C(86400000)};
    for (uint32_t i = 0; i < ARRAY_COUNT(times); i++) {
        snprintf(value, sizeof(value), "{\"id\":%u,\"ts\":%" PRId64 ",\"a\":\"k\"}", i, times[i]);
        wrig_feed(&r, "in", "k", 1, value);
    }
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 3);
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 2);
    assert_int_equal(dropped(&r, DROP_FUTURE), 2);
    assert_string_equal(header_of(&r, 0, "weir.offset"), "1");
    assert_string_equal(header_of(&r, 1, "weir.offset"), "2");
    assert_string_equal(header_of(&r, 0, "weir.stage"), "input");
    assert_non_null(strstr(header_of(&r, 0, "weir.cause"), "lies too far ahead"));
    wrig_close(&r);
}

static void say(struct wrig *r, int64_t watermark, uint8_t flags)
{
    struct buf b;
    struct marker m = {hash_id("app/src"), 0, 1, watermark, flags};
    buf_init(&b);
    marker_encode(&m, &b);
    struct log_record rec = {.time = 0, .value = buf_slice(&b), .marker = true};
    memory_produce(r->memory, "in", 0, &rec);
    buf_release(&b);
}

// Somebody else writes into a source's topic: while the source may speak, only the source moves
// time.
static void test_others_in_a_sources_topic(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r,
              WRIG_HEAD
              "app:source('src',{to='in',connector='file',path='x.csv',value=weir.json(T)})\n"
              "app:stream('in',{value=weir.json(T),time='ts',key='a',max_out_of_order='1s'})"
              ":count('n',{window='1s',emit='close'}):to('out')\n",
              1);
    say(&r, 0, 0);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":1000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":3000,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 0);
    r.clk.now_ms += 30000;
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 0);
    say(&r, 0, MARKER_IDLE);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 0);
    r.clk.now_ms += 30000;
    assert_int_equal(wrig_run(&r), 0);
    assert_string_equal(wrig_values(&r, "out"),
                        "{\"a\":\"k\",\"window_start\":1000,\"window_end\":2000,\"count\":1}");
    wrig_close(&r);
}

// What this app writes itself comes in lumps, each with its marker behind it: its records alone say
// nothing about time.
static void test_own_output_moves_by_markers(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(
        &r,
        WRIG_HEAD
        "app:stream('in',{value=weir.json(T),time='ts',max_out_of_order='1h'}):to('mid')\n"
        "app:stream('mid',{value=weir.json(T),time='ts',key='a'}):count('n',{by='a',window='1s'})"
        ":to('out')\n",
        1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":9000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":1000,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(dropped(&r, DROP_LATE), 0);
    assert_int_equal(wrig_count(&r, "out"), 2);
    wrig_close(&r);
}

static void test_drops_by_reason(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r,
              WRIG_HEAD "app:stream('in',{value=weir.json(T),time='ts'})"
                        ":count('n',{window='1s'}):to('out')\n",
              1);
    wrig_feed(&r, "in", NULL, 1, "{\"id\":0,\"ts\":5000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":5000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":3999,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":2,\"ts\":2000,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 5000, NULL);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 1);
    assert_int_equal(dropped(&r, DROP_LATE), 2);
    assert_int_equal(dropped(&r, DROP_NULL_KEY), 1);
    assert_int_equal(dropped(&r, DROP_NULL_VALUE), 1);
    assert_int_equal(wrig_logged(&r, "drop: late at n (app.lua:4): in/0 offset 2, time 3999"), 1);
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 0);
    wrig_close(&r);
}

// --- failures -----------------------------------------------------------------------------------

static void test_dead_letters(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r,
              WRIG_HEAD
              "app:stream('in',{value=weir.json(T),time='ts',key='a'})\n"
              ":filter(function(t) if t.id == 7 then error('seven') end return true end)\n"
              ":to('out')\n",
              1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":7,\"ts\":1,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":8,\"ts\":");
    wrig_feed(&r, "in", "other", 1, "{\"id\":9,\"ts\":1,\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":10,\"ts\":\"soon\",\"a\":\"k\"}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":11,\"ts\":1,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 1);
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 4);
    assert_string_equal(header_of(&r, 0, "weir.where"), "app.lua:5");
    assert_string_equal(header_of(&r, 0, "weir.stage"), "filter");
    assert_non_null(strstr(header_of(&r, 0, "weir.cause"), "seven"));
    assert_string_equal(header_of(&r, 1, "weir.class"), "decode");
    assert_non_null(strstr(header_of(&r, 2, "weir.cause"), "is not the field 'a'"));
    assert_non_null(strstr(header_of(&r, 3, "weir.cause"), "field 'ts'"));
    wrig_close(&r);
}

static void test_stop(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(
        &r,
        "local weir = require 'weir'\n"
        "local app = weir.app('app', {on_error='stop'})\n"
        "app:stream('in'):filter(function(t) if t.id == 1 then error('one') end return true end)"
        ":to('out')\n",
        1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0}");
    wrig_feed(&r, "in", "k", 1, "{\"id\":1}");
    assert_int_equal(wrig_try(&r), -1);
    assert_int_equal(r.err.code, ERR_SCRIPT);
    assert_non_null(strstr(r.err.text, "app.lua:3: in/0 offset 1: "));
    assert_non_null(strstr(r.err.text, "one"));
    assert_non_null(strstr(r.err.text, "The app stops because it says on_error = \"stop\""));
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 0);
    wrig_close(&r);
}

#define CLOSING                                                                                    \
    "app:stream('in'):count('n',{window='1s',emit='close'})\n"                                     \
    "  :filter(function(w) if w.key == 'bad' then error('no') end return true end):to('out')\n"

// A window's result belongs to no record; its failure is one dead letter, and the others come.
static void test_failure_behind_a_window(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, "local weir = require 'weir'\nlocal app = weir.app 'app'\n" CLOSING, 1);
    wrig_feed(&r, "in", "a", 1000, "{}");
    wrig_feed(&r, "in", "bad", 1000, "{}");
    wrig_feed(&r, "in", "c", 1000, "{}");
    wrig_feed(&r, "in", "c", 2000, "{}");
    assert_int_equal(wrig_run(&r), 0);
    assert_string_equal(wrig_values(&r, "out"),
                        "{\"key\":\"a\",\"window_start\":1000,\"window_end\":2000,\"count\":1}\n"
                        "{\"key\":\"c\",\"window_start\":1000,\"window_end\":2000,\"count\":1}");
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 1);
    assert_non_null(strstr(header_of(&r, 0, "weir.cause"), "window [1000, 2000) of key 'bad'"));
    assert_string_equal(header_of(&r, 0, "weir.where"), "app.lua:4");
    wrig_close(&r);
}

static void test_stop_behind_a_window(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(
        &r, "local weir = require 'weir'\nlocal app = weir.app('app',{on_error='stop'})\n" CLOSING,
        1);
    wrig_feed(&r, "in", "bad", 1000, "{}");
    wrig_feed(&r, "in", "c", 2000, "{}");
    assert_int_equal(wrig_try(&r), -1);
    const char *first = strstr(r.err.text, "The app stops");
    assert_non_null(first);
    assert_null(strstr(first + 1, "The app stops")); // said once
    wrig_close(&r);
}

static struct {
    struct log_ops ops;
    int (*append)(struct log *, struct log_tp, const struct log_record *, struct err *);
    uint32_t refused; // topic
} broken;

static int refuse(struct log *log, struct log_tp tp, const struct log_record *r, struct err *err)
{
    return tp.topic == broken.refused ? err_set(err, ERR_LIMIT, "the record is too large")
                                      : broken.append(log, tp, r, err);
}

// A row that the log never takes: the worker does not try for ever.
static void test_flush_fails_for_good(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    feed_some(&r, 0, 1);
    assert_int_equal(wrig_run(&r), 0);
    broken.ops = *r.worker->log->ops;
    broken.append = broken.ops.append;
    broken.ops.append = refuse;
    broken.refused = r.worker->tasks[0]->stores[0].changelog.topic;
    r.worker->log->ops = &broken.ops;
    feed_some(&r, 1, 2);
    wrig_fails(&r, ERR_LIMIT,
               "gave up after 10 attempts to commit: task in/0: changelog of n: the record is too "
               "large");
    assert_int_equal(wrig_run(&r), 0); // with a log that takes it
    counted_to(&r, 2);
    wrig_close(&r);
}

static enum log_outcome refuse_commit(struct log *log, const char *group,
                                      const struct log_offset *offsets, uint32_t n, struct err *err)
{
    (void)group;
    (void)offsets;
    (void)n;
    assert_int_equal(log->ops->abort(log, err), 0);
    err_set(err, ERR_NOT_FOUND, "a topic is gone");
    return LOG_ABORTED;
}

// Commits that the log always refuses: the worker does not try for ever either.
static void test_commit_refused_for_good(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    feed_some(&r, 0, 1);
    assert_int_equal(wrig_run(&r), 0);
    broken.ops = *r.worker->log->ops;
    broken.ops.commit = refuse_commit;
    r.worker->log->ops = &broken.ops;
    feed_some(&r, 1, 2);
    wrig_fails(&r, ERR_NOT_FOUND, "gave up after 20 attempts to commit: a topic is gone");
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 2);
    wrig_close(&r);
}

// --- the end ------------------------------------------------------------------------------------

static void test_bounded(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, joined, 1);
    wrig_feed(&r, "in", "k", 1, "{\"id\":0,\"ts\":1000,\"a\":\"k\"}");
    r.env.bounded = true;
    assert_int_equal(wrig_run(&r), 2);
    assert_int_equal(r.finished, 1);
    assert_int_equal(wrig_count(&r, "out"), 1);
    wrig_stop(&r);
    // A later run goes on where this one stopped.
    wrig_feed(&r, "in", "k", 1, "{\"id\":1,\"ts\":3000,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 2);
    assert_int_equal(wrig_count(&r, "out"), 2);
    wrig_close(&r);
}

// More workers than tasks: the one without any is done at once.
static void test_no_tasks(void **state)
{
    struct wrig r;
    struct worker *second;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    r.env.bounded = true;
    assert_int_equal(worker_open(&r.env, 1, 2, &second, &r.err), 0);
    assert_int_equal(worker_step(second, 0, &r.err), 2);
    worker_close(second);
    wrig_close(&r);
}

// A bounded run reads what was there when it began, though somebody goes on writing.
static void test_bounded_beside_a_writer(void **state)
{
    struct wrig r;
    int rc = 0, fed = 3;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    r.env.bounded = true;
    feed_some(&r, 0, fed);
    wrig_start(&r);
    for (; rc != 2 && fed < 300; fed++) {
        rc = worker_step(r.worker, 0, &r.err);
        assert_true(rc >= 0);
        feed_some(&r, fed, fed + 1);
    }
    assert_int_equal(rc, 2);
    counted_to(&r, 3);
    wrig_stop(&r);
    assert_int_equal(wrig_run(&r), 2); // the next run takes the rest
    counted_to(&r, (uint32_t)fed);
    wrig_close(&r);
}

#define W(f) cmocka_unit_test_teardown(f, wrig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        W(test_idle_input),
        W(test_idle_beside_a_busy_one),
        W(test_slow_is_not_idle),
        W(test_others_in_a_sources_topic),
        W(test_own_output_moves_by_markers),
        W(test_future_and_jumps),
        W(test_drops_by_reason),
        W(test_dead_letters),
        W(test_stop),
        W(test_failure_behind_a_window),
        W(test_stop_behind_a_window),
        W(test_flush_fails_for_good),
        W(test_commit_refused_for_good),
        W(test_bounded),
        W(test_bounded_beside_a_writer),
        W(test_no_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
