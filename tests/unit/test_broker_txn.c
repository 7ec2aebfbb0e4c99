// SPDX-License-Identifier: Apache-2.0
//
// Producers: sequences of idempotent ones, epochs and fencing, classic transactions with the last
// stable offset and the list of aborted ones, staged group offsets, timeouts; all also after a
// reopen.
#include "broker_util.h"

struct env {
    char dir[256];
    struct broker *b;
    struct broker_partition *p, *q;
    struct clk_manual clk;
};

static void open_env(struct env *v)
{
    struct broker_config c = {.dir = v->dir, .housekeeping_ms = -1, .clk = &v->clk.clk};
    v->b = util_open_with(&c);
}

static int setup(void **state)
{
    struct env *v = check_alloc(calloc(1, sizeof(*v)));
    util_mkdir(v->dir);
    clk_manual_init(&v->clk, 1000000);
    open_env(v);
    v->p = util_topic(v->b, "t", 2, NULL);
    v->q = broker_partition_find(v->b, "t", 1);
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct env *v = *state;
    broker_close(v->b);
    util_remove(v->dir);
    free(v);
    return 0;
}

static void reopen(struct env *v)
{
    broker_close(v->b);
    open_env(v);
    v->p = broker_partition_find(v->b, "t", 0);
    v->q = broker_partition_find(v->b, "t", 1);
}

// As after a kill: a copy of the files as they are now, opened by another broker.
static void reopen_copy(struct env *v)
{
    char copy[256];
    util_mkdir(copy);
    util_copy(v->dir, copy);
    broker_close(v->b);
    util_remove(v->dir);
    memcpy(v->dir, copy, sizeof(copy));
    open_env(v);
    v->p = broker_partition_find(v->b, "t", 0);
    v->q = broker_partition_find(v->b, "t", 1);
}

static void test_idempotence(void **state)
{
    struct env *v = *state;
    int64_t id, other, offset;
    int16_t epoch;
    assert_int_equal(broker_producer_init(v->b, NULL, 0, &id, &epoch), BROKER_OK);
    assert_int_equal(broker_producer_init(v->b, NULL, 0, &other, &epoch), BROKER_OK);
    assert_true(id != other && epoch == 0);
    struct batch_producer p = {id, 0, 0};
    for (int i = 0; i < 7; i++) {
        p.base_sequence = 2 * i;
        assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 2, &offset), BROKER_OK);
        assert_int_equal(offset, 2 * i);
    }
    for (int pass = 0; pass < 3; pass++) {
        // The last five again: their first offsets.
        for (int i = 2; i < 7; i++) {
            p.base_sequence = 2 * i;
            assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 2, &offset), BROKER_OK);
            assert_int_equal(offset, 2 * i);
        }
        p.base_sequence = 2; // older than five
        assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 2, NULL),
                         BROKER_OUT_OF_ORDER_SEQUENCE);
        p.base_sequence = 15; // a gap
        assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 2, NULL),
                         BROKER_OUT_OF_ORDER_SEQUENCE);
        p.base_sequence = 12; // same first, other last
        assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL),
                         BROKER_OUT_OF_ORDER_SEQUENCE);
        struct broker_offsets o;
        broker_partition_offsets(v->p, &o);
        assert_int_equal(o.end, 14);
        if (pass == 0)
            reopen_copy(v);
        else
            reopen(v);
    }
    // A newer epoch starts at 0, the older is refused from then on.
    p = (struct batch_producer){id, 1, 3};
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL), BROKER_OUT_OF_ORDER_SEQUENCE);
    p.base_sequence = 0;
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL), BROKER_OK);
    p = (struct batch_producer){id, 0, 14};
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL), BROKER_INVALID_PRODUCER_EPOCH);
    // Unknown producers may begin anywhere; numbers wrap.
    p = (struct batch_producer){other, 0, INT32_MAX};
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 2, NULL), BROKER_OK);
    p.base_sequence = 1;
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL), BROKER_OK);
    p.base_sequence = -1;
    assert_int_equal(util_produce(v->b, v->p, p, 0, "v", 1, NULL), BROKER_INVALID_RECORD);
    // Ids are never handed out twice.
    int64_t fresh;
    assert_int_equal(broker_producer_init(v->b, NULL, 0, &fresh, &epoch), BROKER_OK);
    assert_true(fresh > other);
}

static enum broker_error txn_put(struct env *v, struct broker_partition *p, int64_t id,
                                 int16_t epoch, int32_t sequence, const char *value)
{
    struct batch_producer by = {id, epoch, sequence};
    return util_produce(v->b, p, by, BATCH_TRANSACTIONAL, value, 1, NULL);
}

static void expect_offsets(struct broker_partition *p, int64_t stable, int64_t end)
{
    struct broker_offsets o;
    assert_int_equal(broker_partition_offsets(p, &o), BROKER_OK);
    assert_int_equal(o.stable, stable);
    assert_int_equal(o.end, end);
}

static void test_transactions(void **state)
{
    struct env *v = *state;
    int64_t a, b;
    int16_t ea, eb;
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a, &ea), BROKER_OK);
    assert_int_equal(broker_producer_init(v->b, "b", 10000, &b, &eb), BROKER_OK);
    assert_int_equal(broker_txn_end(v->b, a, ea, true), BROKER_INVALID_TXN_STATE);
    assert_int_equal(txn_put(v, v->p, a, ea, 0, "no"), BROKER_INVALID_TXN_STATE);
    assert_int_equal(broker_txn_add(v->b, a, ea, v->p), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, a, ea, v->q), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, b, eb, v->p), BROKER_OK);
    struct batch_producer plain = {a, ea, 0};
    assert_int_equal(util_produce(v->b, v->p, plain, 0, "plain", 1, NULL),
                     BROKER_INVALID_TXN_STATE);
    assert_int_equal(txn_put(v, v->p, a, ea, 0, "a1"), BROKER_OK);           // p: 0
    assert_int_equal(txn_put(v, v->p, b, eb, 0, "b1"), BROKER_OK);           // p: 1
    assert_int_equal(txn_put(v, v->q, a, ea, 0, "a2"), BROKER_OK);           // q: 0
    assert_int_equal(util_append(v->b, v->p, 1, "k", "x", NULL), BROKER_OK); // p: 2
    expect_offsets(v->p, 0, 3);
    util_expect(v->p, true, "");
    struct broker_group_offset g = {"in", 0, 5, "m"};
    bool unstable;
    assert_int_equal(broker_txn_offsets(v->b, a, ea, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 0, &unstable), -1);
    assert_true(unstable);
    for (int pass = 0; pass < 2; pass++) { // from the journal, then from the snapshot
        if (pass == 0)
            reopen_copy(v);
        else
            reopen(v);
        expect_offsets(v->p, 0, 3);
        assert_int_equal(broker_offset_committed(v->b, "g", "in", 0, &unstable), -1);
        assert_true(unstable);
    }
    assert_int_equal(broker_txn_end(v->b, a, ea, false), BROKER_OK); // markers: p 3, q 1
    assert_int_equal(broker_txn_end(v->b, a, ea, false), BROKER_OK); // again: the same answer
    assert_int_equal(broker_txn_end(v->b, a, ea, true), BROKER_INVALID_TXN_STATE);
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 0, &unstable), -1);
    assert_false(unstable);
    expect_offsets(v->p, 1, 4);
    expect_offsets(v->q, 2, 2);
    assert_int_equal(broker_txn_offsets(v->b, b, eb, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_txn_end(v->b, b, eb, true), BROKER_OK); // p: 4
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 0, &unstable), 5);
    assert_false(unstable);
    for (int pass = 0; pass < 3; pass++) {
        expect_offsets(v->p, 5, 5);
        util_expect(v->p, true, "0 k=a1\n1 k=b1\n2 k=x\n3 control\n4 control\n");
        struct buf out;
        struct broker_read info;
        buf_init(&out);
        assert_int_equal(broker_read(v->p, 0, 1 << 20, true, &out, &info), BROKER_OK);
        assert_int_equal(info.aborted_count, 1);
        assert_int_equal(info.aborted[0].producer_id, a);
        assert_int_equal(info.aborted[0].first_offset, 0);
        free(info.aborted);
        assert_int_equal(broker_read(v->p, 4, 1 << 20, true, &out, &info), BROKER_OK);
        assert_int_equal(info.aborted_count, 0);
        free(info.aborted);
        buf_release(&out);
        if (pass == 0)
            reopen_copy(v);
        else
            reopen(v);
    }
}

static void test_fencing(void **state)
{
    struct env *v = *state;
    int64_t a, a2;
    int16_t e0, e1;
    assert_int_equal(broker_producer_init(v->b, "", 10, &a, &e0), BROKER_INVALID_REQUEST);
    assert_int_equal(broker_producer_init(v->b, "a", 0, &a, &e0),
                     BROKER_INVALID_TRANSACTION_TIMEOUT);
    assert_int_equal(broker_producer_init(v->b, "a", INT32_MAX, &a, &e0),
                     BROKER_INVALID_TRANSACTION_TIMEOUT);
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a, &e0), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, a, e0, v->p), BROKER_OK);
    assert_int_equal(txn_put(v, v->p, a, e0, 0, "old"), BROKER_OK);
    // A new owner: the open transaction is aborted, the old one is fenced everywhere.
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a2, &e1), BROKER_OK);
    assert_true(a2 == a && e1 > e0);
    expect_offsets(v->p, 2, 2);
    assert_int_equal(txn_put(v, v->p, a, e0, 1, "zombie"), BROKER_INVALID_PRODUCER_EPOCH);
    assert_int_equal(broker_txn_add(v->b, a, e0, v->p), BROKER_PRODUCER_FENCED);
    assert_int_equal(broker_txn_end(v->b, a, e0, true), BROKER_PRODUCER_FENCED);
    assert_int_equal(broker_txn_add(v->b, 999999, 0, v->p), BROKER_INVALID_PRODUCER_ID_MAPPING);
    assert_int_equal(broker_txn_add(v->b, a, e1, v->p), BROKER_OK);
    assert_int_equal(txn_put(v, v->p, a, e1, 0, "new"), BROKER_OK);
    assert_int_equal(broker_txn_end(v->b, a, e1, true), BROKER_OK);
    expect_offsets(v->p, 4, 4);
}

static void test_timeout(void **state)
{
    struct env *v = *state;
    int64_t a;
    int16_t epoch;
    struct err e;
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a, &epoch), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, a, epoch, v->p), BROKER_OK);
    assert_int_equal(txn_put(v, v->p, a, epoch, 0, "1"), BROKER_OK);
    v->clk.now_ms += 10000;
    assert_int_equal(broker_housekeep(v->b, &e), 0);
    expect_offsets(v->p, 0, 1);
    v->clk.now_ms += 1;
    assert_int_equal(broker_housekeep(v->b, &e), 0);
    expect_offsets(v->p, 2, 2);
    assert_int_equal(broker_txn_end(v->b, a, epoch, true), BROKER_PRODUCER_FENCED);
    assert_int_equal(txn_put(v, v->p, a, epoch, 1, "2"), BROKER_INVALID_PRODUCER_EPOCH);
}

static void test_epochs_run_out(void **state)
{
    struct env *v = *state;
    int64_t a, id;
    int16_t epoch;
    struct broker_config c = {.dir = v->dir, .housekeeping_ms = -1, .durability = BROKER_OS};
    broker_close(v->b);
    v->b = util_open_with(&c); // without syncs: this takes 32768 calls
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a, &epoch), BROKER_OK);
    id = a;
    for (int i = 1; i <= 32766; i++) {
        assert_int_equal(broker_producer_init(v->b, "a", 10000, &id, &epoch), BROKER_OK);
        assert_true(id == a && epoch == i);
    }
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &id, &epoch), BROKER_OK);
    assert_true(id > a && epoch == 0);
    assert_int_equal(broker_txn_add(v->b, a, 32766, broker_partition_find(v->b, "t", 0)),
                     BROKER_INVALID_PRODUCER_ID_MAPPING);
}

// A transaction may outlive a topic it wrote to.
static void test_topic_deleted_inside(void **state)
{
    struct env *v = *state;
    int64_t a;
    int16_t epoch;
    struct err e;
    struct broker_partition *d = util_topic(v->b, "d", 1, NULL);
    assert_int_equal(broker_producer_init(v->b, "a", 10000, &a, &epoch), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, a, epoch, v->p), BROKER_OK);
    assert_int_equal(broker_txn_add(v->b, a, epoch, d), BROKER_OK);
    assert_int_equal(txn_put(v, d, a, epoch, 0, "1"), BROKER_OK);
    assert_int_equal(txn_put(v, v->p, a, epoch, 0, "1"), BROKER_OK);
    assert_int_equal(broker_topic_delete(v->b, "d", &e), BROKER_OK);
    reopen_copy(v);
    assert_int_equal(broker_txn_end(v->b, a, epoch, true), BROKER_OK);
    expect_offsets(v->p, 2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idempotence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transactions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fencing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epochs_run_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_topic_deleted_inside, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
