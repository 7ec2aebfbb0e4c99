// SPDX-License-Identifier: Apache-2.0
//
// The native client against a scripted broker: what it sends in a commit and how it takes each
// answer, which partitions it asks when, and what it does with its memory. The scripted broker is
// in scripted_broker.h; test_native_broker runs the same client on the real one.
#include "log/batch.h"
#include "log/native.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/unit/scripted_broker.h"

// --- helpers ------------------------------------------------------------------------------------

struct fixture {
    struct broker b;
    struct log *l;
    uint32_t t; // handle
};

static struct err e;

static int setup(void **state)
{
    struct fixture *f = check_alloc(calloc(1, sizeof *f));
    f->b.max_message_bytes = 1 << 20;
    f->b.bad_batch = -1;
    for (int32_t p = 0; p < PARTITIONS; p++)
        f->b.partitions[p].number = p;
    struct native_options o = {.transactional_id = "id"};
    CHECK(native_open(&f->b, &o, &f->l, &e) == 0);
    CHECK(f->l->ops->topic_open(f->l, "t", &f->t, NULL, &e) == 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->l->ops->close(f->l);
    for (int32_t p = 0; p < PARTITIONS; p++)
        buf_release(&f->b.partitions[p].stored);
    for (int i = 0; i < SENT_MAX; i++)
        buf_release(&f->b.sent[i]);
    free(f);
    return 0;
}

static void append(struct fixture *f, int32_t partition, const char *value, bool marker)
{
    struct log_record r = {.time = 5, .value = slice_str(value), .marker = marker};
    assert_int_equal(f->l->ops->append(f->l, (struct log_tp){f->t, partition}, &r, &e), 0);
}

static enum log_outcome commit(struct fixture *f)
{
    struct log_offset o = {{f->t, 2}, 17};
    return f->l->ops->commit(f->l, "g", &o, 1, &e);
}

static void begin(struct fixture *f)
{
    assert_int_equal(f->l->ops->begin(f->l, &e), 0);
}

// The values in sent batch i.
static void expect_sent(struct fixture *f, uint32_t i, int32_t partition, bool control,
                        const char *want)
{
    struct batch_header h;
    struct batch_iter it;
    struct rec r;
    struct slice s = buf_slice(&f->b.sent[i]);
    assert_int_equal(batch_check(s, &h, &e), 0);
    assert_int_equal(h.size, s.n);
    assert_int_equal(f->b.sent_to[i], partition);
    assert_int_equal(batch_is_control(&h), control);
    assert_int_equal(h.producer_id, -1);
    batch_iter_init(&it, &h, slice_of(s.p + BATCH_HEADER, s.n - BATCH_HEADER));
    for (; *want != 0; want++) {
        assert_int_equal(batch_next(&it, &r), 1);
        assert_int_equal(r.value.p[0], *want);
    }
    assert_int_equal(batch_next(&it, &r), 0);
}

static void store(struct fixture *f, int32_t partition, uint32_t records)
{
    struct broker_partition *p = &f->b.partitions[partition];
    struct batch_builder b;
    batch_builder_init(&b);
    batch_begin(&b, 0, 0);
    for (uint32_t i = 0; i < records; i++)
        batch_append(&b, &(struct log_record){.time = i, .value = slice_str("v")});
    buf_slice_put(&p->stored, batch_finish(&b, NULL));
    batch_set_base_offset(p->stored.p + p->stored.n - b.buf.n, p->end);
    batch_builder_release(&b);
    p->end += records;
    f->b.progress++;
}

// --- writing ------------------------------------------------------------------------------------

static void one_call_per_transaction(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 1; round <= 3; round++) {
        begin(f);
        append(f, 1, "a", false);
        append(f, 0, "b", false);
        append(f, 1, "c", false);
        append(f, 1, "M", true);
        append(f, 1, "d", false);
        assert_true(f->l->ops->pending_bytes(f->l) > 4 * BATCH_HEADER);
        assert_int_equal(commit(f), LOG_COMMITTED);
        assert_int_equal(f->l->ops->pending_bytes(f->l), 0);
        assert_true(f->b.commits == round && f->b.sequence == round);
        assert_true(f->b.sent_count == 4 && f->b.offsets_count == 1 && f->b.offset == 17);
        expect_sent(f, 0, 1, false, "ac");
        expect_sent(f, 1, 1, true, "M");
        expect_sent(f, 2, 1, false, "d");
        expect_sent(f, 3, 0, false, "b");
        static const uint8_t *first;
        if (round == 1)
            first = f->b.sent_at[0];
        assert_ptr_equal(f->b.sent_at[0], first); // the same memory again
    }
}

static void nothing_to_commit_asks_nobody(void **state)
{
    struct fixture *f = *state;
    begin(f);
    assert_int_equal(f->l->ops->commit(f->l, NULL, NULL, 0, &e), LOG_COMMITTED);
    begin(f);
    append(f, 0, "x", false);
    assert_int_equal(f->l->ops->abort(f->l, &e), 0);
    assert_int_equal(f->b.commits, 0);
    begin(f);
    append(f, 0, "y", false);
    assert_int_equal(commit(f), LOG_COMMITTED);
    assert_int_equal(f->b.sent_count, 1);
    expect_sent(f, 0, 0, false, "y");
}

static void unknown_asks_again_with_the_same_bytes(void **state)
{
    struct fixture *f = *state;
    begin(f);
    append(f, 0, "a", false);
    append(f, 2, "b", false);
    f->b.answer = BROKER_STORAGE_ERROR;
    assert_int_equal(commit(f), LOG_UNKNOWN);
    assert_int_equal(e.code, ERR_UNKNOWN);
    assert_non_null(strstr(e.text, "the disk is full"));
    assert_int_equal(f->l->ops->abort(f->l, &e), -1);
    f->b.answer = BROKER_OK;
    assert_int_equal(commit(f), LOG_COMMITTED);
    assert_true(f->b.commits == 2 && f->b.sequence == 1 && f->b.sent_count == 2);
    expect_sent(f, 0, 0, false, "a");
    expect_sent(f, 1, 2, false, "b");
    begin(f);
    append(f, 0, "c", false);
    assert_int_equal(commit(f), LOG_COMMITTED);
    assert_true(f->b.sequence == 2 && f->b.sent_count == 1);
}

static void a_refused_batch_aborts_with_its_place(void **state)
{
    struct fixture *f = *state;
    begin(f);
    append(f, 0, "a", false);
    append(f, 2, "b", false);
    f->b.answer = BROKER_MESSAGE_TOO_LARGE;
    f->b.bad_batch = 1;
    assert_int_equal(commit(f), LOG_ABORTED);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "t/2"));
    assert_non_null(strstr(e.text, "MESSAGE_TOO_LARGE"));
    f->b.answer = BROKER_OK;
    begin(f);
    append(f, 1, "c", false);
    assert_int_equal(commit(f), LOG_COMMITTED);
    assert_int_equal(f->b.sent_count, 1);
}

static void fenced_is_the_end(void **state)
{
    struct fixture *f = *state;
    static const enum broker_error answers[] = {BROKER_PRODUCER_FENCED,
                                                BROKER_INVALID_PRODUCER_EPOCH};
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        struct native_options o = {.transactional_id = "id"};
        struct log *l;
        assert_int_equal(native_open(&f->b, &o, &l, &e), 0);
        uint32_t t;
        assert_int_equal(l->ops->topic_open(l, "t", &t, NULL, &e), 0);
        assert_int_equal(l->ops->begin(l, &e), 0);
        struct log_record r = {.value = slice_str("x")};
        assert_int_equal(l->ops->append(l, (struct log_tp){t, 0}, &r, &e), 0);
        f->b.answer = answers[i];
        assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_FENCED);
        assert_int_equal(l->ops->begin(l, &e), -1);
        assert_int_equal(e.code, ERR_FENCED);
        l->ops->close(l);
    }
    f->b.init_answer = BROKER_STORAGE_ERROR;
    struct native_options o = {.transactional_id = "id"};
    struct log *l;
    assert_int_equal(native_open(&f->b, &o, &l, &e), -1);
    assert_int_equal(e.code, ERR_IO);
}

static void batches_keep_to_the_topics_limit(void **state)
{
    struct fixture *f = *state;
    f->b.max_message_bytes = 1000; // seen by a client that opens the topic now
    struct log *l;
    uint32_t t;
    assert_int_equal(native_open(&f->b, &(struct native_options){0}, &l, &e), 0);
    assert_int_equal(l->ops->topic_open(l, "t", &t, NULL, &e), 0);
    assert_int_equal(l->ops->begin(l, &e), 0);
    uint8_t bytes[2000] = {0};
    struct log_record r = {.value = slice_of(bytes, 300)};
    for (int i = 0; i < 9; i++)
        assert_int_equal(l->ops->append(l, (struct log_tp){t, 0}, &r, &e), 0);
    r.value.n = sizeof bytes;
    assert_int_equal(l->ops->append(l, (struct log_tp){t, 0}, &r, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(l->ops->append(l, (struct log_tp){t, PARTITIONS}, &r, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_COMMITTED);
    assert_true(f->b.sent_count >= 3);
    int32_t records = 0;
    for (uint32_t i = 0; i < f->b.sent_count; i++) {
        struct batch_header h;
        assert_int_equal(batch_check(buf_slice(&f->b.sent[i]), &h, &e), 0);
        assert_true(h.size <= 1000);
        records += h.count;
    }
    assert_int_equal(records, 9);
    l->ops->close(l);
}

static void topic_errors(void **state)
{
    struct fixture *f = *state;
    struct log *l = f->l;
    struct log_topic_info info;
    uint32_t h;
    assert_int_equal(l->ops->topic_open(l, "none", &h, &info, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(l->ops->topic_open(l, "t", &h, &info, &e), 0);
    assert_true(h == f->t && info.partitions == PARTITIONS && info.id[0] == 1);
    struct log_topic_spec spec = {.name = "t", .partitions = 1};
    assert_int_equal(l->ops->topic_create(l, &spec, &e), -1);
    assert_int_equal(e.code, ERR_EXISTS);
    assert_string_equal(e.text, "topic t is there already");
    spec.name = "bad/name";
    assert_int_equal(l->ops->topic_create(l, &spec, &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "bad/name"));
    assert_int_equal(l->ops->topic_delete(l, "none", &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

// --- reading ------------------------------------------------------------------------------------

static void offsets(void **state)
{
    struct fixture *f = *state;
    struct log_tp tp = {f->t, 0};
    int64_t at;
    store(f, 0, 4);
    assert_int_equal(f->l->ops->offset(f->l, tp, LOG_END_COMMITTED, &at, &e), 0);
    assert_int_equal(at, 4);
    assert_int_equal(f->l->ops->offset(f->l, tp, LOG_END_UNCOMMITTED, &at, &e), 0);
    assert_int_equal(at, 9);
    assert_int_equal(f->l->ops->offset_at(f->l, tp, 2, &at, &e), 0);
    assert_int_equal(at, 2);
    assert_int_equal(f->l->ops->offset_at(f->l, tp, 2000, &at, &e), 0);
    assert_int_equal(at, 4);
    struct log_offset io = {tp, 0};
    f->b.unstable = 3;
    assert_int_equal(f->l->ops->committed(f->l, "g", &io, 1, &e), 0);
    assert_int_equal(io.offset, 9);
    assert_int_equal(f->b.waits, 3);
}

static void idle_partitions_are_not_asked_again(void **state)
{
    struct fixture *f = *state;
    struct rec_batch b;
    for (int32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, p}, 0, &e), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 0);
    for (int32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(f->b.partitions[p].reads, 1);
    store(f, 2, 3);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 1);
    assert_true(b.tp.partition == 2 && b.count == 3 && b.next_offset == 3 && b.end_offset == 3);
    assert_int_equal(b.recs[2].value.p[REC_PADDING], 0); // readable
    f->l->ops->release(f->l, &b);
    assert_null(b.lease);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 0);
    assert_int_equal(f->b.partitions[0].reads, 2);
    f->l->ops->pause(f->l, (struct log_tp){f->t, 2}, true);
    store(f, 2, 1);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 0);
    f->l->ops->pause(f->l, (struct log_tp){f->t, 2}, false);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 1);
    assert_true(b.count == 1 && b.recs[0].offset == 3);
    f->l->ops->release(f->l, &b);
    assert_int_equal(f->l->ops->seek(f->l, (struct log_tp){f->t, 2}, 1, &e), 0);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 1);
    assert_true(b.count == 3 && b.recs[0].offset == 1);
    f->l->ops->release(f->l, &b);
    assert_int_equal(f->l->ops->unassign(f->l, (struct log_tp){f->t, 2}, &e), 0);
    assert_int_equal(f->l->ops->seek(f->l, (struct log_tp){f->t, 2}, 1, &e), -1);
    store(f, 2, 1);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 0);
}

static void leases_are_recycled(void **state)
{
    struct fixture *f = *state;
    struct rec_batch b[3];
    store(f, 0, 10);
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 0}, 0, &e), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(f->l->ops->seek(f->l, (struct log_tp){f->t, 0}, i, &e), 0);
        assert_int_equal(f->l->ops->poll(f->l, 0, &b[i], &e), 1);
    }
    assert_true(b[0].lease != b[1].lease && b[1].lease != b[2].lease);
    for (int i = 0; i < 3; i++)
        assert_true(b[i].count == 10 - (uint32_t)i && b[i].recs[0].offset == i);
    void *middle = b[1].lease;
    f->l->ops->release(f->l, &b[1]);
    assert_int_equal(f->l->ops->seek(f->l, (struct log_tp){f->t, 0}, 0, &e), 0);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b[1], &e), 1);
    assert_ptr_equal(b[1].lease, middle);
    f->l->ops->release(f->l, &b[0]);
    f->l->ops->release(f->l, &b[1]); // the third stays out: close takes it back
}

static void out_of_range(void **state)
{
    struct fixture *f = *state;
    struct rec_batch b;
    store(f, 1, 2);
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 1}, 7, &e), 0);
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 1}, 7, &e), -1);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), -1);
    assert_int_equal(e.code, ERR_RANGE);
    assert_true(b.tp.partition == 1 && b.lease == NULL);
    assert_non_null(strstr(e.text, "t/1"));
}

static struct fixture *waiting; // for while_waiting

static void data_comes(struct broker *b)
{
    (void)b;
    store(waiting, 0, 1);
}

static void others_progress_then_wake(struct broker *b)
{
    if (b->waits < 3)
        b->progress++;
    else
        waiting->l->ops->wake(waiting->l);
}

static void waiting_polls(void **state)
{
    struct fixture *f = waiting = *state;
    struct rec_batch b;
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 0}, 0, &e), 0);
    f->b.while_waiting = data_comes;
    assert_int_equal(f->l->ops->poll(f->l, 60000, &b, &e), 1);
    assert_int_equal(f->b.waits, 1);
    f->l->ops->release(f->l, &b);
    f->b.waits = 0;
    f->b.while_waiting = others_progress_then_wake;
    assert_int_equal(f->l->ops->poll(f->l, 60000, &b, &e), 0);
    assert_int_equal(f->b.waits, 3);
    assert_int_equal(f->b.wakes, 1);
    f->b.while_waiting = NULL;
    f->l->ops->wake(f->l); // before the poll: it does not wait at all
    assert_int_equal(f->l->ops->poll(f->l, 60000, &b, &e), 0);
    assert_int_equal(f->b.waits, 3);
    assert_int_equal(f->l->ops->poll(f->l, 60000, &b, &e), 0); // the broker's wait gives up
    assert_int_equal(f->b.waits, 4);
}

static uint32_t heard;

static void hear(void *arg, const struct log_tp *tps, uint32_t n)
{
    struct fixture *f = arg;
    heard += n;
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(f->l->ops->assign(f->l, tps[i], 0, &e), 0);
}

static void assigned_from_the_first_poll(void **state)
{
    struct fixture *f = *state;
    struct rec_batch b;
    struct log_subscription s = {&f->t, 1, 1, 2, {f, hear, NULL, NULL}};
    heard = 0;
    store(f, 1, 2);
    assert_int_equal(f->l->ops->subscribe(f->l, &s, &e), 0);
    assert_int_equal(heard, 0);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 1); // partition 1 is member 1's
    assert_int_equal(heard, 1);
    assert_int_equal(b.tp.partition, 1);
    f->l->ops->release(f->l, &b);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 0);
    assert_int_equal(heard, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_call_per_transaction),
        CASE(nothing_to_commit_asks_nobody),
        CASE(unknown_asks_again_with_the_same_bytes),
        CASE(a_refused_batch_aborts_with_its_place),
        CASE(fenced_is_the_end),
        CASE(batches_keep_to_the_topics_limit),
        CASE(topic_errors),
        CASE(offsets),
        CASE(idle_partitions_are_not_asked_again),
        CASE(leases_are_recycled),
        CASE(out_of_range),
        CASE(waiting_polls),
        CASE(assigned_from_the_first_poll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
