// SPDX-License-Identifier: Apache-2.0
//
// The native client on a real broker in a temporary directory: a transaction's way to a reader,
// fencing, classic transactions of other clients, waiting, and what is there after a reopen.
#include "log/batch.h"
#include "log/native.h"

#include <ftw.h>
#include <pthread.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct fixture {
    char dir[64];
    struct broker *b;
    struct log *l; // of transactional id "id"
    uint32_t t;    // topic "t", 2 partitions
};

static struct err e;

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *ftw)
{
    (void)s, (void)flag, (void)ftw;
    return remove(path);
}

static void broker_start(struct fixture *f)
{
    struct broker_config c = {.dir = f->dir, .durability = BROKER_OS, .housekeeping_ms = -1};
    if (broker_open(&c, &f->b, &e) != 0)
        fail_msg("%s", e.text);
}

static struct log *opened(struct fixture *f, const char *id, uint32_t *t)
{
    struct log *l;
    struct native_options o = {.transactional_id = id};
    if (native_open(f->b, &o, &l, &e) != 0 || l->ops->topic_open(l, "t", t, NULL, &e) != 0)
        fail_msg("%s", e.text);
    return l;
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(calloc(1, sizeof *f));
    strcpy(f->dir, "/tmp/weir-native-XXXXXX");
    CHECK(mkdtemp(f->dir) != NULL);
    broker_start(f);
    struct native_options o = {.transactional_id = "id"};
    struct log_topic_spec spec = {.name = "t", .partitions = 2};
    CHECK(native_open(f->b, &o, &f->l, &e) == 0);
    CHECK(f->l->ops->topic_create(f->l, &spec, &e) == 0);
    CHECK(f->l->ops->topic_open(f->l, "t", &f->t, NULL, &e) == 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->l->ops->close(f->l);
    broker_close(f->b);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void append(struct log *l, uint32_t t, int32_t partition, const char *value, bool marker)
{
    struct log_record r = {
        .time = 5, .key = slice_str("k"), .value = slice_str(value), .marker = marker};
    if (l->ops->append(l, (struct log_tp){t, partition}, &r, &e) != 0)
        fail_msg("%s", e.text);
}

static void commit_values(struct log *l, uint32_t t, int32_t partition, const char *values)
{
    assert_int_equal(l->ops->begin(l, &e), 0);
    for (; *values != 0; values++)
        append(l, t, partition, (char[]){*values, 0}, *values < 'a');
    if (l->ops->commit(l, NULL, NULL, 0, &e) != LOG_COMMITTED)
        fail_msg("%s", e.text);
}

// Reads a partition from `from` to its end: the values' first letters.
static void expect(struct log *l, uint32_t t, int32_t partition, int64_t from, const char *want)
{
    char got[128] = {0};
    uint32_t n = 0;
    struct log_tp tp = {t, partition};
    struct rec_batch b;
    int r;
    assert_int_equal(l->ops->assign(l, tp, from, &e), 0);
    while ((r = l->ops->poll(l, 0, &b, &e)) == 1) {
        for (uint32_t i = 0; i < b.count; i++) {
            got[n++] = (char)b.recs[i].value.p[0];
            assert_int_equal(b.recs[i].flags == REC_MARKER, b.recs[i].value.p[0] < 'a');
            assert_true(b.recs[i].offset >= from && b.recs[i].offset < b.next_offset);
        }
        l->ops->release(l, &b);
    }
    if (r != 0)
        fail_msg("%s", e.text);
    assert_string_equal(got, want);
    assert_int_equal(l->ops->unassign(l, tp, &e), 0);
}

static void written_is_read(void **state)
{
    struct fixture *f = *state;
    struct log_offset offset = {{f->t, 1}, 33};
    assert_int_equal(f->l->ops->begin(f->l, &e), 0);
    append(f->l, f->t, 0, "a", false);
    append(f->l, f->t, 0, "b", false);
    append(f->l, f->t, 0, "M", true);
    append(f->l, f->t, 1, "c", false);
    expect(f->l, f->t, 0, 0, "");
    assert_int_equal(f->l->ops->commit(f->l, "g", &offset, 1, &e), LOG_COMMITTED);
    commit_values(f->l, f->t, 0, "de");
    expect(f->l, f->t, 0, 0, "abMde");
    expect(f->l, f->t, 0, 1, "bMde");
    expect(f->l, f->t, 0, 3, "de");
    expect(f->l, f->t, 1, 0, "c");
    offset.offset = 0;
    assert_int_equal(f->l->ops->committed(f->l, "g", &offset, 1, &e), 0);
    assert_int_equal(offset.offset, 33);
    assert_int_equal(f->l->ops->committed(f->l, "h", &offset, 1, &e), 0);
    assert_int_equal(offset.offset, -1);
    int64_t at;
    assert_int_equal(f->l->ops->offset(f->l, (struct log_tp){f->t, 0}, LOG_END_COMMITTED, &at, &e),
                     0);
    assert_int_equal(at, 5);
}

static void it_is_there_after_a_reopen(void **state)
{
    struct fixture *f = *state;
    commit_values(f->l, f->t, 0, "abM");
    f->l->ops->close(f->l);
    broker_close(f->b);
    broker_start(f);
    f->l = opened(f, "id", &f->t);
    expect(f->l, f->t, 0, 0, "abM");
    commit_values(f->l, f->t, 0, "c");
    expect(f->l, f->t, 0, 0, "abMc");
}

static void large_transactions(void **state)
{
    struct fixture *f = *state;
    enum { N = 6000, SIZE = 1000 };
    uint8_t value[SIZE] = {0};
    assert_int_equal(f->l->ops->begin(f->l, &e), 0);
    for (uint32_t i = 0; i < N; i++) {
        bytes_put32(value, i);
        struct log_record r = {.time = i, .value = slice_of(value, SIZE)};
        assert_int_equal(f->l->ops->append(f->l, (struct log_tp){f->t, 0}, &r, &e), 0);
    }
    assert_true(f->l->ops->pending_bytes(f->l) > (size_t)N * SIZE);
    assert_int_equal(f->l->ops->commit(f->l, NULL, NULL, 0, &e), LOG_COMMITTED);
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 0}, 0, &e), 0);
    uint32_t n = 0, polls = 0;
    struct rec_batch b;
    for (; f->l->ops->poll(f->l, 0, &b, &e) == 1; polls++) {
        for (uint32_t i = 0; i < b.count; i++, n++) {
            assert_int_equal(b.recs[i].offset, n);
            assert_int_equal(bytes_get32(b.recs[i].value.p), n);
        }
        f->l->ops->release(f->l, &b);
    }
    assert_int_equal(n, N);
    assert_true(polls >= 5); // about 1 MiB each
}

static void a_new_client_fences_the_old(void **state)
{
    struct fixture *f = *state;
    uint32_t t;
    assert_int_equal(f->l->ops->begin(f->l, &e), 0);
    append(f->l, f->t, 0, "x", false);
    struct log *now = opened(f, "id", &t);
    assert_int_equal(f->l->ops->commit(f->l, NULL, NULL, 0, &e), LOG_FENCED);
    assert_int_equal(f->l->ops->begin(f->l, &e), -1);
    commit_values(now, t, 0, "a");
    expect(now, t, 0, 0, "a");
    now->ops->close(now);
}

static void clients_without_an_id_write_too(void **state)
{
    struct fixture *f = *state;
    uint32_t t, u;
    struct log *a = opened(f, NULL, &t), *b = opened(f, NULL, &u);
    commit_values(a, t, 0, "a");
    commit_values(b, u, 0, "b");
    commit_values(a, t, 0, "c");
    expect(f->l, f->t, 0, 0, "abc");
    a->ops->close(a);
    b->ops->close(b);
}

// One transactional batch of a classic producer.
static void classic_append(struct fixture *f, int64_t id, int16_t epoch, int32_t sequence,
                           const char *value)
{
    struct broker_partition *p = broker_partition_find(f->b, "t", 0);
    struct batch_builder b;
    batch_builder_init(&b);
    batch_begin(&b, 5, BATCH_TRANSACTIONAL);
    batch_append(&b, &(struct log_record){.time = 5, .value = slice_str(value)});
    struct broker_batch one = {
        .partition = p, .bytes = batch_finish(&b, &(struct batch_producer){id, epoch, sequence})};
    assert_int_equal(broker_txn_add(f->b, id, epoch, p), BROKER_OK);
    assert_int_equal(broker_append_wait(f->b, &one, 1, false), BROKER_OK);
    batch_builder_release(&b);
}

static void classic_transactions_of_others(void **state)
{
    struct fixture *f = *state;
    int64_t id;
    int16_t epoch;
    assert_int_equal(broker_producer_init(f->b, "classic", 60000, &id, &epoch), BROKER_OK);
    commit_values(f->l, f->t, 0, "a");
    classic_append(f, id, epoch, 0, "x");
    commit_values(f->l, f->t, 0, "b");
    expect(f->l, f->t, 0, 0, "a"); // the open transaction holds the rest back
    assert_int_equal(broker_txn_end(f->b, id, epoch, false), BROKER_OK);
    expect(f->l, f->t, 0, 0, "ab");
    expect(f->l, f->t, 0, 1, "b");
    classic_append(f, id, epoch, 1, "y");
    assert_int_equal(broker_txn_end(f->b, id, epoch, true), BROKER_OK);
    expect(f->l, f->t, 0, 0, "aby");
}

static void offsets_out_of_range(void **state)
{
    struct fixture *f = *state;
    struct rec_batch b;
    commit_values(f->l, f->t, 0, "ab");
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 0}, 3, &e), 0);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), -1);
    assert_int_equal(e.code, ERR_RANGE);
    assert_int_equal(b.tp.partition, 0);
    assert_int_equal(f->l->ops->seek(f->l, (struct log_tp){f->t, 0}, 1, &e), 0);
    assert_int_equal(f->l->ops->poll(f->l, 0, &b, &e), 1);
    assert_int_equal(b.count, 1);
    f->l->ops->release(f->l, &b);
}

struct writer {
    struct fixture *f;
    struct log *reader;
    int64_t producer;
    int16_t epoch;
};

static void *write_later(void *arg)
{
    struct writer *w = arg;
    uint32_t t;
    usleep(20000);
    struct log *l = opened(w->f, "writer", &t);
    commit_values(l, t, 1, "z");
    l->ops->close(l);
    return NULL;
}

static void *wake_later(void *arg)
{
    struct writer *w = arg;
    usleep(20000);
    w->reader->ops->wake(w->reader);
    return NULL;
}

static void *end_later(void *arg)
{
    struct writer *w = arg;
    usleep(20000);
    CHECK(broker_txn_end(w->f->b, w->producer, w->epoch, true) == BROKER_OK);
    return NULL;
}

static void polls_wait_for_data_and_for_wake(void **state)
{
    struct fixture *f = *state;
    struct writer w = {.f = f, .reader = f->l};
    struct rec_batch b;
    pthread_t thread;
    assert_int_equal(f->l->ops->assign(f->l, (struct log_tp){f->t, 1}, 0, &e), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_later, &w), 0);
    int got;
    while ((got = f->l->ops->poll(f->l, 60000, &b, &e)) == 0)
        ; // may be empty: opening the writer is progress too
    assert_int_equal(got, 1);
    assert_int_equal(b.recs[0].value.p[0], 'z');
    f->l->ops->release(f->l, &b);
    pthread_join(thread, NULL);
    assert_int_equal(pthread_create(&thread, NULL, wake_later, &w), 0);
    assert_int_equal(f->l->ops->poll(f->l, 60000, &b, &e), 0);
    pthread_join(thread, NULL);
}

static void committed_waits_for_a_pending_transaction(void **state)
{
    struct fixture *f = *state;
    struct writer w = {.f = f};
    struct broker_group_offset o = {"t", 0, 21, NULL};
    pthread_t thread;
    assert_int_equal(broker_producer_init(f->b, "classic", 60000, &w.producer, &w.epoch),
                     BROKER_OK);
    assert_int_equal(broker_txn_offsets(f->b, w.producer, w.epoch, "g", &o, 1), BROKER_OK);
    assert_int_equal(pthread_create(&thread, NULL, end_later, &w), 0);
    struct log_offset io = {{f->t, 0}, 0};
    assert_int_equal(f->l->ops->committed(f->l, "g", &io, 1, &e), 0);
    assert_int_equal(io.offset, 21);
    pthread_join(thread, NULL);
}

// A record of 2 MiB: too much by default, taken by a topic without a bound.
static void test_large_record(void **state)
{
    struct fixture *f = *state;
    const struct log_ops *ops = f->l->ops;
    struct log_topic_spec spec = {.name = "large", .partitions = 1, .max_message_bytes = -1};
    struct log_tp tp = {f->t, 0};
    uint8_t *bytes = check_alloc(calloc(2, 1 << 20));
    struct log_record r = {.time = 5, .value = slice_of(bytes, 2 << 20)};
    struct rec_batch b;
    assert_int_equal(ops->begin(f->l, &e), 0);
    assert_int_equal(ops->append(f->l, tp, &r, &e), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(ops->topic_create(f->l, &spec, &e), 0);
    assert_int_equal(ops->topic_open(f->l, "large", &tp.topic, NULL, &e), 0);
    assert_int_equal(ops->append(f->l, tp, &r, &e), 0);
    assert_int_equal(ops->commit(f->l, NULL, NULL, 0, &e), LOG_COMMITTED);
    assert_int_equal(ops->assign(f->l, tp, 0, &e), 0);
    assert_int_equal(ops->poll(f->l, 0, &b, &e), 1);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.recs[0].value.n, 2 << 20);
    ops->release(f->l, &b);
    assert_int_equal(ops->unassign(f->l, tp, &e), 0);
    free(bytes);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_large_record),
        CASE(written_is_read),
        CASE(it_is_there_after_a_reopen),
        CASE(large_transactions),
        CASE(a_new_client_fences_the_old),
        CASE(clients_without_an_id_write_too),
        CASE(classic_transactions_of_others),
        CASE(offsets_out_of_range),
        CASE(polls_wait_for_data_and_for_wake),
        CASE(committed_waits_for_a_pending_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
