// SPDX-License-Identifier: Apache-2.0
//
// The worker on a log in memory: when it commits, what it makes of every outcome of a commit, and
// what it finds again after a restart.
#include "tests/unit/worker_rig.h"

#define HEAD                                                                                       \
    "local weir = require 'weir'\n"                                                                \
    "local app = weir.app 'app'\n"                                                                 \
    "local T = weir.schema { {'id','long'}, {'ts','timestamp'}, {'a','string'} }\n"

static const char counts[] =
    HEAD "app:stream('in',{value=weir.json(T),time='ts',key='a'}):count('n',{by='a'}):to('out')\n";

static void feed_some(struct wrig *r, int from, int to)
{
    char value[128];
    for (int i = from; i < to; i++) {
        snprintf(value, sizeof(value), "{\"id\":%d,\"ts\":%d,\"a\":\"k\"}", i, 1000 + i);
        wrig_feed(r, "in", "k", 1, value);
    }
}

// Updates come once each and in order, up to `last`.
static void counted_to(struct wrig *r, uint32_t last)
{
    struct buf b;
    buf_init(&b);
    for (uint32_t i = 1; i <= last; i++)
        buf_printf(&b, "%s{\"a\":\"k\",\"count\":%u}", i == 1 ? "" : "\n", i);
    buf_u8(&b, 0);
    const char *got = wrig_values(r, "out");
    if (strcmp(got, (const char *)b.p) != 0)
        fail_msg("expected\n%s\ngot\n%s", (const char *)b.p, got);
    buf_release(&b);
}

// --- when ---------------------------------------------------------------------------------------

static void test_commits_when_idle(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 5);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 5); // the clock stood still
    assert_int_equal(memory_committed(r.memory, "app", "in", 0), 5);
    uint64_t commits = atomic_load(&r.worker->commits);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(atomic_load(&r.worker->commits), commits); // nothing new, no commit
    wrig_close(&r);
}

static void test_commits_by_time(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    r.env.step_records = 1;
    r.env.commit_ms = 50;
    feed_some(&r, 0, 20);
    wrig_start(&r);
    for (int i = 0; i < 5; i++)
        assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
    assert_int_equal(wrig_count(&r, "out"), 0);
    r.clk.now_ms += 49;
    assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
    assert_int_equal(wrig_count(&r, "out"), 0);
    r.clk.now_ms += 1;
    assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
    assert_int_equal(atomic_load(&r.worker->commits), 1);
    uint32_t first = wrig_count(&r, "out");
    assert_true(first >= 5 && first < 20);
    // The time runs from the first change after it.
    assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
    r.clk.now_ms += 49;
    assert_int_equal(worker_step(r.worker, 0, &r.err), 1);
    assert_int_equal(atomic_load(&r.worker->commits), 1);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 20);
    wrig_close(&r);
}

static void test_commits_by_bytes(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    r.env.step_records = 2;
    r.env.txn_bytes = 40;
    feed_some(&r, 0, 10);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 10);
    assert_true(atomic_load(&r.worker->commits) >= 5);
    wrig_close(&r);
}

// --- outcomes -----------------------------------------------------------------------------------

static void with_faults(struct wrig *r, uint32_t n, const enum memory_fault *faults)
{
    memcpy(r->faults, faults, n * sizeof(*faults));
    r->faults_count = n;
    r->faults_at = 0;
}
#define FAULTS(r, ...)                                                                             \
    do {                                                                                           \
        const enum memory_fault list_[] = {__VA_ARGS__};                                           \
        with_faults(r, ARRAY_COUNT(list_), list_);                                                 \
    } while (0)

static void test_unknown_is_asked_again(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 3);
    FAULTS(&r, MEMORY_UNKNOWN_APPLIED);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 3);
    feed_some(&r, 3, 6);
    FAULTS(&r, MEMORY_UNKNOWN_LOST, MEMORY_UNKNOWN_LOST);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 6);
    assert_int_equal(r.faults_at, 2);
    wrig_close(&r);
}

static void test_unknown_for_good(void **state)
{
    struct wrig r;
    (void)state;
    for (int applied = 0; applied < 2; applied++) {
        enum memory_fault f = applied ? MEMORY_UNKNOWN_APPLIED : MEMORY_UNKNOWN_LOST;
        wrig_open(&r, counts, 1);
        feed_some(&r, 0, 2);
        assert_int_equal(wrig_run(&r), 0);
        feed_some(&r, 2, 5);
        FAULTS(&r, f, f, f, f, f);
        wrig_fails(&r, ERR_UNKNOWN,
                   "the outcome of a commit stays unknown (what the log holds decides): the outcome of the "
                   "commit is unknown (injected fault)");
        assert_int_equal(wrig_count(&r, "out"), applied ? 5 : 2);
        feed_some(&r, 5, 6);
        assert_int_equal(wrig_run(&r), 0);
        counted_to(&r, 6);
        wrig_close(&r);
    }
}

static void test_abort(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 2);
    FAULTS(&r, MEMORY_NORMAL, MEMORY_ABORT, MEMORY_ABORT);
    assert_int_equal(wrig_run(&r), 0);
    feed_some(&r, 2, 5);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 5);
    assert_int_equal(r.faults_at, 3);
    assert_int_equal(r.worker->commit.aborts, 2);
    wrig_close(&r);
}

static void test_fence(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 2);
    FAULTS(&r, MEMORY_FENCE);
    wrig_fails(&r, ERR_FENCED, "another instance took over this one's transactional id: stopping");
    assert_int_equal(wrig_count(&r, "out"), 0);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 2);
    wrig_close(&r);
}

// --- restart ------------------------------------------------------------------------------------

static void test_restart(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 4);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    assert_int_equal(db_crash(r.db, &r.err), 0); // nothing was flushed: all of it is replayed
    feed_some(&r, 4, 6);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 6);
    assert_int_equal(wrig_logged(&r, "rebuilding"), 0);
    wrig_close(&r);
}

static void test_lost_db(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 4);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    db_close(r.db);
    wrig_new_db(&r);
    feed_some(&r, 4, 5);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 5);
    assert_int_equal(wrig_logged(&r, "in/0: n: 1 rows from the changelog"), 1);
    wrig_close(&r);
}

// The database has seen more than the log tells of: its rows would count what never was.
static void test_db_ahead(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    for (int i = 0; i < 3; i++) {
        feed_some(&r, i * 5, i * 5 + 5);
        assert_int_equal(wrig_run(&r), 0);
    }
    wrig_stop(&r);
    struct db *ahead = r.db;
    wrig_drop_log(&r);
    wrig_new_log(&r);
    wrig_new_db(&r);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    db_close(r.db);
    r.db = ahead;
    feed_some(&r, 2, 3);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 3);
    assert_int_equal(wrig_logged(&r,
                                 "in/0: rebuilding its state from the changelogs: the state is "
                                 "ahead of the log (the log lost its tail, or was restored from "
                                 "an older copy)"),
                     1);
    // Once: the mark in the database is right again.
    wrig_stop(&r);
    feed_some(&r, 3, 4);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 4);
    assert_int_equal(wrig_logged(&r, "rebuilding"), 1);
    wrig_close(&r);
}

// As many commits, but other ones.
static void test_db_of_another_log(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 5);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    struct db *other = r.db;
    wrig_drop_log(&r);
    wrig_new_log(&r);
    wrig_new_db(&r);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    db_close(r.db);
    r.db = other;
    feed_some(&r, 2, 3);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 3);
    assert_int_equal(wrig_logged(&r, "the state is that of another log"), 1);
    wrig_close(&r);
}

static void test_db_without_log(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 5);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    wrig_drop_log(&r);
    wrig_new_log(&r);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 2);
    assert_int_equal(wrig_logged(&r, "the log has no mark of this task"), 1);
    wrig_close(&r);
}

static void move_offset(struct wrig *r, const char *topic, int64_t offset)
{
    struct log_offset to = {.offset = offset};
    struct log_topic_info info;
    const struct log_ops *ops = r->feeder->ops;
    assert_int_equal(ops->topic_open(r->feeder, topic, &to.tp.topic, &info, &r->err), 0);
    assert_int_equal(ops->begin(r->feeder, &r->err), 0);
    assert_int_equal(ops->commit(r->feeder, "app", &to, 1, &r->err), LOG_COMMITTED);
}

static void test_moved_offset(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 5);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    move_offset(&r, "in", 1);
    wrig_fails(
        &r, ERR_INVALID,
        "in/0: group 'app' stands at offset 1 of in/0, but the state was made up to 5: somebody "
        "moved the offset. Set it back to 5 with a Kafka client, or delete the app's state "
        "directory and internal topics (app-*) to start over");
    counted_to(&r, 5);
    move_offset(&r, "in", 5);
    feed_some(&r, 5, 6);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 6);
    wrig_close(&r);
}

static void recreate(struct wrig *r, const char *topic)
{
    assert_int_equal(r->feeder->ops->topic_delete(r->feeder, topic, &r->err), 0);
    wrig_topic(r, topic, 1);
}

static void test_recreated_changelog(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 3);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    recreate(&r, "app-n-changelog");
    feed_some(&r, 3, 4);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_logged(&r, "in/0: rebuilding its state from the changelogs: a changelog "
                                     "topic was deleted and created again"),
                     1);
    // The changelog is the truth, and it is empty: counting starts anew.
    assert_non_null(strstr(wrig_values(&r, "out"), "\"count\":3}\n{\"a\":\"k\",\"count\":1}"));
    wrig_close(&r);
}

static void test_recreated_input(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, counts, 1);
    feed_some(&r, 0, 3);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    recreate(&r, "in");
    move_offset(&r, "in", 3);
    wrig_fails(
        &r, ERR_INVALID,
        "in/0: topic in was deleted and created again since the last run; its old offsets mean "
        "nothing now. Delete the app's state and internal topics (app-*) to start over");
    wrig_close(&r);
}

// --- held records -------------------------------------------------------------------------------

static const char held[] =
    HEAD "app:stream('in',{value=weir.json(T),time='ts',key='a',max_out_of_order='1h'})\n"
         "  :peek(function(t) print('peeked ' .. t.id) end)\n"
         "  :filter(function(t) if t.id == 1 then error('bad') end return true end)\n"
         "  :features('f',{by='a',windows={'1d'},compute={n=weir.count()}})\n"
         "  :to('out')\n";

// All three are held: the watermark lies an hour back. The restart reads them again, but for the
// world it does nothing twice.
static void test_replay(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, held, 1);
    feed_some(&r, 0, 3);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 0);
    assert_int_equal(memory_committed(r.memory, "app", "in", 0), 0);
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 1);
    for (int i = 0; i < 2; i++) {
        wrig_stop(&r);
        assert_int_equal(db_crash(r.db, &r.err), 0);
        assert_int_equal(wrig_run(&r), 0);
    }
    assert_int_equal(wrig_logged(&r, "peeked 0"), 1);
    assert_int_equal(wrig_logged(&r, "peeked 2"), 1);
    assert_int_equal(wrig_count(&r, "app-dead-letters"), 1);
    assert_int_equal(atomic_load(&r.stats.dead), 1);
    // Two hours later: they come out once, in order, and the offset moves on.
    wrig_feed(&r, "in", "k", 1, "{\"id\":9,\"ts\":7200000,\"a\":\"k\"}");
    assert_int_equal(wrig_run(&r), 0);
    assert_string_equal(wrig_values(&r, "out"), "{\"id\":0,\"ts\":1000,\"a\":\"k\",\"f_n_1d\":1}\n"
                                                "{\"id\":2,\"ts\":1002,\"a\":\"k\",\"f_n_1d\":2}");
    assert_int_equal(memory_committed(r.memory, "app", "in", 0), 3);
    wrig_stop(&r);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(wrig_count(&r, "out"), 2);
    wrig_close(&r);
}

// --- event time ---------------------------------------------------------------------------------

static const char joined[] =
    HEAD "local t = app:table('limits',{value=weir.json(T),time='ts',key='a',idle_after='5s'})\n"
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
              HEAD "app:stream('in',{value=weir.json(T),time='ts',max_future='1m',max_jump='7d'})"
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

static void test_drops_by_reason(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r,
              HEAD "app:stream('in',{value=weir.json(T),time='ts'})"
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
              HEAD "app:stream('in',{value=weir.json(T),time='ts',key='a'})\n"
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
    wrig_open(&r, counts, 1);
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
    wrig_open(&r, counts, 1);
    r.env.bounded = true;
    assert_int_equal(worker_open(&r.env, 1, 2, &second, &r.err), 0);
    assert_int_equal(worker_step(second, 0, &r.err), 2);
    worker_close(second);
    wrig_close(&r);
}

#define W(f) cmocka_unit_test_teardown(f, wrig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        W(test_commits_when_idle),
        W(test_commits_by_time),
        W(test_commits_by_bytes),
        W(test_unknown_is_asked_again),
        W(test_unknown_for_good),
        W(test_abort),
        W(test_fence),
        W(test_restart),
        W(test_lost_db),
        W(test_db_ahead),
        W(test_db_of_another_log),
        W(test_db_without_log),
        W(test_moved_offset),
        W(test_recreated_changelog),
        W(test_recreated_input),
        W(test_replay),
        W(test_idle_input),
        W(test_idle_beside_a_busy_one),
        W(test_future_and_jumps),
        W(test_drops_by_reason),
        W(test_dead_letters),
        W(test_stop),
        W(test_failure_behind_a_window),
        W(test_stop_behind_a_window),
        W(test_flush_fails_for_good),
        W(test_bounded),
        W(test_no_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
