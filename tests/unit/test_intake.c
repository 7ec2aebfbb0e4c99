// SPDX-License-Identifier: Apache-2.0
//
// Intake on a log in memory: order, positions across gaps and markers, fullness, giving back.
#include "runtime/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "log/marker.h"
#include "log/memory.h"

struct rig {
    struct memory_log *memory;
    struct log *log;
    struct log_tp tp;
    struct intake in;
};

static int setup(void **state)
{
    struct rig *r = check_alloc(calloc(1, sizeof(*r)));
    struct err err;
    struct log_topic_spec spec = {.name = "t", .partitions = 1};
    struct memory_options o = {.transactional_id = "x", .poll_records = 2};
    struct log_topic_info info;
    r->memory = memory_create();
    memory_gaps(r->memory, true);
    assert_int_equal(memory_topic_create(r->memory, &spec, &err), 0);
    r->log = memory_open(r->memory, &o);
    assert_int_equal(r->log->ops->topic_open(r->log, "t", &r->tp.topic, &info, &err), 0);
    assert_int_equal(r->log->ops->assign(r->log, r->tp, 0, &err), 0);
    intake_init(&r->in, r->log, 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    intake_clear(&r->in, 0);
    r->log->ops->close(r->log);
    memory_destroy(r->memory);
    free(r);
    return 0;
}

static void produce(struct rig *r, const char *value)
{
    struct log_record rec = {.time = 1, .value = slice_str(value)};
    memory_produce(r->memory, "t", 0, &rec);
}

// One transaction: with gaps on, it leaves an unused offset behind.
static void transact(struct rig *r, const char *value)
{
    struct err err;
    struct log_record rec = {.time = 1, .value = slice_str(value)};
    assert_int_equal(r->log->ops->begin(r->log, &err), 0);
    assert_int_equal(r->log->ops->append(r->log, r->tp, &rec, &err), 0);
    assert_int_equal(r->log->ops->commit(r->log, "g", NULL, 0, &err), LOG_COMMITTED);
}

static bool fetch(struct rig *r)
{
    struct rec_batch b;
    struct err err;
    int got = r->log->ops->poll(r->log, 0, &b, &err);
    assert_true(got >= 0);
    if (got == 1)
        intake_add(&r->in, &b);
    return got == 1;
}

static void expect_head(struct rig *r, const char *value, int64_t offset)
{
    const struct rec *head = intake_head(&r->in);
    assert_non_null(head);
    assert_true(slice_eq_str(head->value, value));
    assert_int_equal(head->offset, offset);
    assert_int_equal(r->in.position <= offset, 1);
}

static void test_order(void **state)
{
    struct rig *r = *state;
    static const char *const values[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++)
        produce(r, values[i]);
    assert_null(intake_head(&r->in));
    assert_false(intake_drained(&r->in)); // nothing is known yet
    assert_true(fetch(r));
    assert_false(intake_full(&r->in));
    assert_true(fetch(r));
    assert_true(intake_full(&r->in));
    for (int i = 0; i < 5; i++) {
        if (i == 2)
            assert_false(intake_full(&r->in)); // the first batch was given back
        if (i == 4) {
            assert_false(intake_drained(&r->in)); // the log told of a fifth
            assert_true(fetch(r));
        }
        expect_head(r, values[i], i);
        intake_pop(&r->in);
        assert_int_equal(r->in.position, i + 1);
    }
    assert_true(intake_drained(&r->in));
    assert_null(intake_head(&r->in));
}

static void test_gaps(void **state)
{
    struct rig *r = *state;
    transact(r, "a"); // offset 0; 1 is a gap
    transact(r, "b"); // 2; 3 is a gap
    while (fetch(r))
        ;
    expect_head(r, "a", 0);
    intake_pop(&r->in);
    expect_head(r, "b", 2);
    intake_pop(&r->in);
    assert_int_equal(r->in.position, 4);
    assert_true(intake_drained(&r->in));
    produce(r, "c");
    assert_true(intake_drained(&r->in)); // as far as is known
    assert_true(fetch(r));
    assert_false(intake_drained(&r->in));
    expect_head(r, "c", 4);
}

static void no_lease(struct log *log, struct rec_batch *b)
{
    (void)log;
    assert_int_equal(b->count, 0);
}

// A batch without records only moves the position, also behind one that is not used up.
static void test_empty_batches(void **state)
{
    struct rig *r = *state;
    struct log_ops ops = {.release = no_lease};
    struct log fake = {&ops};
    struct rec_batch empty = {.tp = r->tp, .next_offset = 7, .end_offset = 9};
    r->in.log = &fake;
    intake_add(&r->in, &empty);
    assert_int_equal(r->in.position, 7);
    assert_null(intake_head(&r->in));
    assert_false(intake_full(&r->in));
    assert_false(intake_drained(&r->in));
    empty.next_offset = 9;
    intake_add(&r->in, &empty);
    assert_true(intake_drained(&r->in));
}

static void test_clear(void **state)
{
    struct rig *r = *state;
    struct err err;
    produce(r, "a");
    produce(r, "b");
    produce(r, "c");
    assert_true(fetch(r));
    assert_true(fetch(r));
    intake_pop(&r->in);
    intake_clear(&r->in, 1);
    assert_int_equal(r->in.position, 1);
    assert_null(intake_head(&r->in));
    assert_false(intake_drained(&r->in));
    assert_int_equal(r->log->ops->seek(r->log, r->tp, 1, &err), 0);
    assert_true(fetch(r));
    expect_head(r, "b", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clear, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
