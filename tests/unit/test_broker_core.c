// SPDX-License-Identifier: Apache-2.0
//
// The broker's basics: append, read, offsets, times, topics, group offsets, one-call transactions,
// reopening.
#include "broker_util.h"

#include <pthread.h>
#include <sys/eventfd.h>

struct env {
    char dir[256];
    struct broker *b;
};

static int setup(void **state)
{
    struct env *v = check_alloc(calloc(1, sizeof(*v)));
    util_mkdir(v->dir);
    v->b = util_open(v->dir);
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
    v->b = util_open(v->dir);
}

static void test_append_read(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 2, NULL);
    int64_t offset;
    assert_int_equal(util_append(v->b, p, 1000, "a", "1", &offset), BROKER_OK);
    assert_int_equal(offset, 0);
    assert_int_equal(util_append(v->b, p, 1001, "b", "2", &offset), BROKER_OK);
    assert_int_equal(offset, 1);
    assert_int_equal(util_append(v->b, p, 1002, NULL, NULL, &offset), BROKER_OK);
    util_expect(p, true, "0 a=1\n1 b=2\n2 null=null\n");
    struct broker_offsets o;
    assert_int_equal(broker_partition_offsets(p, &o), BROKER_OK);
    assert_true(o.start == 0 && o.stable == 3 && o.end == 3);
    assert_int_equal(broker_partition_offsets(broker_partition_find(v->b, "t", 1), &o), BROKER_OK);
    assert_int_equal(o.end, 0);
    assert_null(broker_partition_find(v->b, "t", 2));
    assert_null(broker_partition_find(v->b, "u", 0));

    struct buf out;
    struct broker_read info;
    buf_init(&out);
    assert_int_equal(broker_read(p, 4, 100, true, &out, &info), BROKER_OFFSET_OUT_OF_RANGE);
    assert_int_equal(info.offsets.end, 3);
    assert_int_equal(broker_read(p, 3, 100, true, &out, &info), BROKER_OK);
    assert_true(out.n == 0 && info.next_offset == 3);
    assert_int_equal(broker_read(p, 1, 1, true, &out, &info), BROKER_OK); // at least one batch
    assert_int_equal(info.next_offset, 2);
    assert_int_equal(bytes_get64(out.p), 1);
    buf_release(&out);
}

static void test_reopen(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 1, NULL);
    char id[32];
    snprintf(id, sizeof(id), "%s", broker_cluster_id(v->b));
    assert_int_equal(strlen(id), 22);
    for (int i = 0; i < 10; i++)
        assert_int_equal(util_append(v->b, p, i, "k", "v", NULL), BROKER_OK);
    struct broker_group_offset g = {"t", 0, 7, "note"};
    assert_int_equal(broker_offsets_commit(v->b, "g", &g, 1), BROKER_OK);
    reopen(v);
    assert_string_equal(broker_cluster_id(v->b), id);
    p = broker_partition_find(v->b, "t", 0);
    assert_non_null(p);
    struct broker_offsets o;
    broker_partition_offsets(p, &o);
    assert_int_equal(o.end, 10);
    bool unstable;
    assert_int_equal(broker_offset_committed(v->b, "g", "t", 0, &unstable), 7);
    assert_false(unstable);
    assert_int_equal(broker_offset_committed(v->b, "g", "t", 1, &unstable), -1);
    int64_t offset;
    assert_int_equal(util_append(v->b, p, 1, "k", "v", &offset), BROKER_OK);
    assert_int_equal(offset, 10);
}

static void test_lock(void **state)
{
    struct env *v = *state;
    struct broker_config c = {.dir = v->dir};
    struct broker *second;
    struct err e;
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    assert_int_equal(broker_open(&c, &second, &e), -1);
    assert_non_null(strstr(e.text, pid));
    assert_int_equal(e.code, ERR_EXISTS);
}

static bool count_topic(void *arg, const struct broker_topic_info *info)
{
    buf_printf(arg, "%s/%d ", info->name, info->partitions);
    return true;
}

static void test_topics(void **state)
{
    struct env *v = *state;
    struct err e;
    struct broker_topic_config c = broker_topic_config_default(v->b);
    assert_int_equal(broker_topic_config_set(&c, "cleanup.policy", "compact"), BROKER_OK);
    assert_int_equal(broker_topic_config_set(&c, "retention.ms", "-1"), BROKER_OK);
    assert_int_equal(broker_topic_config_set(&c, "retention.ms", "x"), BROKER_INVALID_CONFIG);
    assert_int_equal(broker_topic_config_set(&c, "max.message.bytes", "77"), BROKER_OK);
    assert_int_equal(broker_topic_config_set(&c, "no.such", "1"), BROKER_INVALID_CONFIG);
    util_topic(v->b, "b", 3, &c);
    util_topic(v->b, "a", 1, NULL);
    util_topic(v->b, "a-1", 1, NULL);
    assert_int_equal(broker_topic_create(v->b, "a", 1, NULL, &e), BROKER_TOPIC_ALREADY_EXISTS);
    assert_int_equal(broker_topic_create(v->b, "a/b", 1, NULL, &e), BROKER_INVALID_TOPIC);
    assert_int_equal(broker_topic_create(v->b, "..", 1, NULL, &e), BROKER_INVALID_TOPIC);
    assert_int_equal(broker_topic_create(v->b, "c", 0, NULL, &e), BROKER_INVALID_PARTITIONS);
    struct broker_partition *p = broker_partition_find(v->b, "a", 0);
    assert_int_equal(util_append(v->b, p, 1, "k", "v", NULL), BROKER_OK);
    struct broker_group_offset g = {"a", 0, 1, NULL};
    assert_int_equal(broker_offsets_commit(v->b, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_topic_delete(v->b, "a", &e), BROKER_OK);
    assert_int_equal(broker_topic_delete(v->b, "a", &e), BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(broker_offset_committed(v->b, "g", "a", 0, NULL), -1);
    struct broker_offsets o;
    assert_int_equal(broker_partition_offsets(p, &o), BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(util_append(v->b, p, 1, "k", "v", NULL), BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    p = util_topic(v->b, "a", 2, NULL);
    util_expect(p, true, "");
    assert_int_equal(util_append(v->b, p, 1, "new", "v", NULL), BROKER_OK);
    c.retention_ms = 5;
    assert_int_equal(broker_topic_configure(v->b, "b", &c, &e), BROKER_OK);
    reopen(v);
    struct buf text;
    buf_init(&text);
    broker_topic_each(v->b, count_topic, &text);
    buf_u8(&text, 0);
    assert_string_equal((char *)text.p, "a/2 a-1/1 b/3 ");
    buf_release(&text);
    util_expect(broker_partition_find(v->b, "a", 0), true, "0 new=v\n");
    struct broker_topic_info info;
    assert_int_equal(broker_topic_find(v->b, "b", &info), BROKER_OK);
    assert_int_equal(info.config.cleanup, BROKER_COMPACT);
    assert_int_equal(info.config.max_message_bytes, 77);
    assert_int_equal(info.config.retention_ms, 5);
}

// Big batches go by reference, small ones ride in the journal; segments roll between.
static void test_sizes_and_rolls(void **state)
{
    struct env *v = *state;
    struct broker_topic_config c = broker_topic_config_default(v->b);
    c.segment_bytes = 300000;
    struct broker_partition *p = util_topic(v->b, "t", 1, &c);
    char *value = check_alloc(malloc(100001));
    memset(value, 'x', 100000);
    value[100000] = 0;
    for (int i = 0; i < 30; i++) {
        value[i % 3 == 0 ? 100000 : 50 * i] = 0; // of many sizes
        assert_int_equal(util_append(v->b, p, 1000 + i, "k", value, NULL), BROKER_OK);
        value[50 * i] = 'x';
        value[100000] = 0;
    }
    free(value);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t sizes[] = {1, 1000, 250000, 10000000};
        for (size_t k = 0; k < ARRAY_COUNT(sizes); k++) {
            struct buf out;
            buf_init(&out);
            int n = 0;
            for (int64_t at = 0; at < 30; n++) {
                struct broker_read info;
                buf_clear(&out);
                assert_int_equal(broker_read(p, at, sizes[k], true, &out, &info), BROKER_OK);
                assert_int_equal(bytes_get64(out.p), at);
                assert_true(info.next_offset > at);
                at = info.next_offset;
            }
            if (k == 0)
                assert_int_equal(n, 30);
            buf_release(&out);
        }
        for (int64_t t = 990; t < 1030; t++) {
            int64_t offset, time;
            assert_int_equal(broker_offset_for_time(p, t, &offset, &time), BROKER_OK);
            assert_int_equal(offset, t < 1000 ? 0 : t - 1000);
            assert_int_equal(time, t < 1000 ? 1000 : t);
        }
        int64_t offset, time;
        assert_int_equal(broker_offset_for_time(p, 1030, &offset, &time), BROKER_OK);
        assert_true(offset == -1 && time == -1);
        reopen(v);
        p = broker_partition_find(v->b, "t", 0);
    }
}

static void test_time_inside_batch(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 1, NULL);
    struct util_batch u;
    util_batch_init(&u);
    int64_t times[] = {50, 10, 70, 60};
    for (int i = 0; i < 4; i++) {
        u.time = times[i];
        util_add(&u, "k", "v");
    }
    struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
    assert_int_equal(broker_append_wait(v->b, &batch, 1, false), BROKER_OK);
    util_batch_free(&u);
    int64_t offset, time;
    broker_offset_for_time(p, 51, &offset, &time);
    assert_true(offset == 2 && time == 70);
    broker_offset_for_time(p, 0, &offset, &time);
    assert_true(offset == 0 && time == 50);
}

static void test_refused_batches(void **state)
{
    struct env *v = *state;
    struct broker_topic_config c = broker_topic_config_default(v->b);
    c.max_message_bytes = 200;
    c.cleanup = BROKER_COMPACT;
    struct broker_partition *p = util_topic(v->b, "t", 1, &c);
    char big[300];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    assert_int_equal(util_append(v->b, p, 1, "k", big, NULL), BROKER_MESSAGE_TOO_LARGE);
    assert_int_equal(util_append(v->b, p, 1, NULL, "v", NULL), BROKER_INVALID_RECORD);
    struct util_batch u;
    util_batch_init(&u);
    util_add(&u, "k", "v");
    struct slice s = util_finish(&u);
    uint8_t copy[200];
    memcpy(copy, s.p, s.n);
    copy[s.n - 1] ^= 1;
    struct broker_batch batches[2] = {{.partition = p, .bytes = slice_of(copy, s.n)},
                                      {.partition = p, .bytes = s}};
    // Each on its own: the good one is written although the other is not.
    assert_int_equal(broker_append_wait(v->b, batches, 2, false), BROKER_CORRUPT_MESSAGE);
    assert_int_equal(batches[1].error, BROKER_OK);
    assert_int_equal(batches[1].base_offset, 0);
    batch_reset(&u.builder);
    u.attributes = BATCH_CONTROL;
    batch_begin(&u.builder, 0, BATCH_CONTROL);
    batch_append_end(&u.builder, 0, BATCH_COMMIT, 0);
    batches[0].bytes = batch_finish(&u.builder, NULL);
    assert_int_equal(broker_append_wait(v->b, batches, 1, false), BROKER_INVALID_RECORD);
    batches[0].bytes.n = 40;
    assert_int_equal(broker_append_wait(v->b, batches, 1, false), BROKER_CORRUPT_MESSAGE);
    util_batch_free(&u);
    util_expect(p, true, "0 k=v\n");
}

// The broker does not take the producer's word for the highest time.
static void test_max_time_is_computed(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 1, NULL);
    struct util_batch u;
    util_batch_init(&u);
    u.time = 500;
    util_add(&u, "k", "v");
    struct slice s = util_finish(&u);
    uint8_t *w = (uint8_t *)(uintptr_t)s.p;
    // Lower max time, with a right crc: built again by the codec's own patching.
    batch_set_append_time(w, 3);
    bytes_put16(w + 21, 0);
    uint8_t fixed[200];
    memcpy(fixed, w, s.n);
    bytes_put32(fixed + 17, 0);
    struct batch_header h;
    assert_int_equal(batch_header_parse(slice_of(w, s.n), &h), 1);
    bytes_put32(fixed + 17, crc32c(fixed + 21, s.n - 21));
    struct broker_batch batch = {.partition = p, .bytes = slice_of(fixed, s.n)};
    assert_int_equal(broker_append_wait(v->b, &batch, 1, false), BROKER_OK);
    util_batch_free(&u);
    int64_t offset, time;
    broker_offset_for_time(p, 400, &offset, &time);
    assert_true(offset == 0 && time == 500);
    util_expect(p, true, "0 k=v\n");
}

static void test_append_time(void **state)
{
    struct env *v = *state;
    struct broker_topic_config c = broker_topic_config_default(v->b);
    c.append_time = true;
    struct broker_partition *p = util_topic(v->b, "t", 1, &c);
    struct util_batch u;
    util_batch_init(&u);
    util_add(&u, "k", "v");
    struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
    assert_int_equal(broker_append_wait(v->b, &batch, 1, false), BROKER_OK);
    assert_true(batch.log_append_time > 1000000000000);
    util_batch_free(&u);
    int64_t offset, time;
    broker_offset_for_time(p, batch.log_append_time, &offset, &time);
    assert_true(offset == 0 && time == batch.log_append_time);
}

static void test_commit(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 2, NULL);
    struct broker_partition *q = broker_partition_find(v->b, "t", 1);
    int64_t id;
    int16_t epoch;
    assert_int_equal(broker_producer_init(v->b, "w", 60000, &id, &epoch), BROKER_OK);
    assert_int_equal(epoch, 0);
    struct util_batch u, w;
    util_batch_init(&u);
    util_batch_init(&w);
    util_add(&u, "a", "1");
    util_add(&u, "b", "2");
    util_add(&w, "c", "3");
    struct broker_batch batches[2] = {{.partition = q, .bytes = util_finish(&u)},
                                      {.partition = p, .bytes = util_finish(&w)}};
    struct broker_group_offset g = {"in", 3, 42, NULL};
    assert_int_equal(broker_commit(v->b, id, epoch, 1, batches, 2, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 3, NULL), 42);
    util_expect(q, true, "0 a=1\n1 b=2\n");
    util_expect(p, true, "0 c=3\n");
    // The same number again: the same answer, nothing written.
    batches[0].base_offset = batches[1].base_offset = 99;
    assert_int_equal(broker_commit(v->b, id, epoch, 1, batches, 2, "g", &g, 1), BROKER_OK);
    assert_true(batches[0].base_offset == 0 && batches[1].base_offset == 0);
    util_expect(p, true, "0 c=3\n");
    assert_int_equal(broker_commit(v->b, id, epoch, 2, batches, 2, "g", &g, 1), BROKER_OK);
    assert_true(batches[0].base_offset == 2 && batches[1].base_offset == 1);
    // It survives reopening.
    reopen(v);
    p = broker_partition_find(v->b, "t", 0);
    q = broker_partition_find(v->b, "t", 1);
    batches[0].partition = q;
    batches[1].partition = p;
    assert_int_equal(broker_commit(v->b, id, epoch, 2, batches, 2, "g", &g, 1), BROKER_OK);
    assert_int_equal(batches[0].base_offset, 2);
    util_expect(p, true, "0 c=3\n1 c=3\n");
    assert_int_equal(broker_commit(v->b, id, epoch, 1, batches, 2, "g", &g, 1),
                     BROKER_OUT_OF_ORDER_SEQUENCE);
    // A bad batch: nothing of the call is written.
    struct slice good = batches[0].bytes;
    batches[0].bytes.n -= 1;
    g.offset = 43;
    assert_int_equal(broker_commit(v->b, id, epoch, 3, batches, 2, "g", &g, 1),
                     BROKER_CORRUPT_MESSAGE);
    assert_int_equal(batches[0].error, BROKER_CORRUPT_MESSAGE);
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 3, NULL), 42);
    util_expect(p, true, "0 c=3\n1 c=3\n");
    batches[0].bytes = good;
    // A new owner fences the old one.
    int64_t id2;
    int16_t epoch2;
    assert_int_equal(broker_producer_init(v->b, "w", 60000, &id2, &epoch2), BROKER_OK);
    assert_true(id2 == id && epoch2 == 1);
    assert_int_equal(broker_commit(v->b, id, epoch, 3, batches, 2, "g", &g, 1),
                     BROKER_PRODUCER_FENCED);
    assert_int_equal(broker_commit(v->b, id, epoch2, 1, batches, 2, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_commit(v->b, 123456, 0, 1, batches, 2, "g", &g, 1),
                     BROKER_INVALID_PRODUCER_ID_MAPPING);
    // Only offsets, by a producer without a name.
    assert_int_equal(broker_producer_init(v->b, NULL, 0, &id2, &epoch2), BROKER_OK);
    g.offset = 44;
    assert_int_equal(broker_commit(v->b, id2, 0, 9, NULL, 0, "g", &g, 1), BROKER_OK);
    assert_int_equal(broker_offset_committed(v->b, "g", "in", 3, NULL), 44);
    util_batch_free(&u);
    util_batch_free(&w);
}

static void *wait_progress(void *arg)
{
    struct broker *b = arg;
    uint64_t seen = broker_progress(b);
    broker_progress_wait(b, seen, 60000);
    return NULL;
}

static void test_progress(void **state)
{
    struct env *v = *state;
    struct broker_partition *p = util_topic(v->b, "t", 1, NULL);
    uint64_t before = broker_progress(v->b);
    int fd = eventfd(0, EFD_NONBLOCK);
    broker_notify_fd(v->b, fd);
    assert_int_equal(util_append(v->b, p, 1, "k", "v", NULL), BROKER_OK);
    assert_true(broker_progress_wait(v->b, before, 60000) > before);
    uint64_t n;
    // The waiter may be answered a moment before the descriptor is written.
    while (read(fd, &n, sizeof(n)) < 0)
        usleep(100);
    broker_notify_fd(v->b, -1);
    close(fd);
    before = broker_progress(v->b);
    assert_int_equal(broker_progress_wait(v->b, before, 1), before);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, wait_progress, v->b), 0);
    while (pthread_tryjoin_np(t, NULL) != 0) { // some wake comes after its look
        broker_wake(v->b);
        usleep(100);
    }
}

struct writer {
    struct broker *b;
    struct broker_partition *p;
    int n;
};

static void *write_many(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < w->n; i++)
        if (util_append(w->b, w->p, i, "k", "v", NULL) != BROKER_OK)
            return arg;
    return NULL;
}

// Four threads, two partitions, checkpoints in between: nothing lost, offsets dense.
static void test_threads(void **state)
{
    struct env *v = *state;
    util_topic(v->b, "t", 2, NULL);
    struct writer w[4];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (struct writer){v->b, broker_partition_find(v->b, "t", i % 2), 50};
        assert_int_equal(pthread_create(&t[i], NULL, write_many, &w[i]), 0);
    }
    struct err e;
    for (int i = 0; i < 5; i++)
        assert_int_equal(broker_checkpoint(v->b, &e), 0);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        assert_null(r);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            struct broker_offsets o;
            broker_partition_offsets(broker_partition_find(v->b, "t", i), &o);
            assert_int_equal(o.end, 100);
        }
        reopen(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_topics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes_and_rolls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_inside_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_max_time_is_computed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_append_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
