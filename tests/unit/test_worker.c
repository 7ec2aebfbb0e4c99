// SPDX-License-Identifier: Apache-2.0
//
// The worker on a log in memory: when it commits, what it makes of every outcome of a commit, and
// what it finds again after a restart.
#include "base/hash.h"
#include "tests/unit/worker_rig.h"

// --- when ---------------------------------------------------------------------------------------

static void test_commits_when_idle(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
        wrig_open(&r, wrig_counts, 1);
        feed_some(&r, 0, 2);
        assert_int_equal(wrig_run(&r), 0);
        feed_some(&r, 2, 5);
        FAULTS(&r, f, f, f, f, f);
        wrig_fails(&r, ERR_UNKNOWN,
                   "the outcome of a commit stays unknown (what the log holds decides): the "
                   "outcome of the "
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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

// RocksDB is far behind the log: deletions may be gone from the changelog, so old rows cannot be
// trusted. `stray` is such a row. The truth about rows without a mark is the changelog, too.
static void test_old_db(void **state)
{
    struct wrig r;
    const struct state_row stray = {hash_id("n"), slice_str("stray"), slice_str("row")};
    (void)state;
    for (int days = 6; days <= 8; days += 2) {
        struct db_batch *b = db_batch_new();
        struct buf got;
        buf_init(&got);
        wrig_open(&r, wrig_counts, 1);
        feed_some(&r, 0, 2);
        assert_int_equal(wrig_run(&r), 0);
        wrig_stop(&r);
        db_batch_row(b, 0, &stray);
        assert_int_equal(db_write(r.db, b, &r.err), 0);
        assert_int_equal(db_flush(r.db, &r.err), 0);
        feed_some(&r, 2, 4);
        assert_int_equal(wrig_run(&r), 0);
        wrig_stop(&r);
        assert_int_equal(db_crash(r.db, &r.err), 0);
        r.clk.now_ms += INT64_C(86400000) * days;
        feed_some(&r, 4, 6);
        assert_int_equal(wrig_run(&r), 0);
        counted_to(&r, 6);
        assert_int_equal(wrig_logged(&r, "rebuilding its state from the changelogs: it is older"),
                         days == 8);
        assert_int_equal(db_get(r.db, stray.store, 0, stray.key, &got, &r.err), days == 8 ? 0 : 1);
        wrig_close(&r);
        buf_release(&got);
        db_batch_free(b);
    }
}

// A state that is up to date is trusted, however old.
static void test_old_db_up_to_date(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    wrig_stop(&r);
    r.clk.now_ms += INT64_C(86400000) * 100;
    feed_some(&r, 2, 3);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 3);
    assert_int_equal(wrig_logged(&r, "rebuilding"), 0);
    wrig_close(&r);
}

static void test_rows_without_mark(void **state)
{
    struct wrig r;
    const struct state_row stray = {hash_id("n"), slice_str("stray"), slice_str("row")};
    struct db_batch *b = db_batch_new();
    struct buf got;
    (void)state;
    buf_init(&got);
    wrig_open(&r, wrig_counts, 1);
    db_batch_row(b, 0, &stray);
    assert_int_equal(db_write(r.db, b, &r.err), 0);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(db_get(r.db, stray.store, 0, stray.key, &got, &r.err), 0);
    assert_int_equal(wrig_logged(&r, "rebuilding"), 0);
    wrig_close(&r);
    buf_release(&got);
    db_batch_free(b);
}

static void test_trimmed_changelog(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
    feed_some(&r, 0, 2);
    assert_int_equal(wrig_run(&r), 0);
    assert_int_equal(db_flush(r.db, &r.err), 0);
    for (int i = 2; i < 6; i++) {
        feed_some(&r, i, i + 1);
        assert_int_equal(wrig_run(&r), 0);
    }
    wrig_stop(&r);
    assert_int_equal(db_crash(r.db, &r.err), 0);
    memory_trim(r.memory, "app-n-changelog", 0, 3);
    feed_some(&r, 6, 7);
    assert_int_equal(wrig_run(&r), 0);
    counted_to(&r, 7);
    assert_int_equal(wrig_logged(&r, "rows that it has not seen were deleted"), 1);
    wrig_close(&r);
}

// The database has seen more than the log tells of: its rows would count what never was.
static void test_db_ahead(void **state)
{
    struct wrig r;
    (void)state;
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    wrig_open(&r, wrig_counts, 1);
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
    WRIG_HEAD "app:stream('in',{value=weir.json(T),time='ts',key='a',max_out_of_order='1h'})\n"
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
        W(test_old_db),
        W(test_old_db_up_to_date),
        W(test_rows_without_mark),
        W(test_trimmed_changelog),
        W(test_db_ahead),
        W(test_db_of_another_log),
        W(test_db_without_log),
        W(test_moved_offset),
        W(test_recreated_changelog),
        W(test_recreated_input),
        W(test_replay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
