// SPDX-License-Identifier: Apache-2.0
//
// Everything at once: commits, appends, classic transactions, readers, checkpoints, housekeeping,
// topics that come and go. Made for the thread sanitizer; checks that readers see every value of
// their writer in order, whatever the others do.
#include "broker_util.h"

#include <pthread.h>
#include <stdatomic.h>

enum { STEPS = 150 };

struct shared {
    struct broker *b;
    atomic_bool stop;
    atomic_int failed; // line of the first failure
};

#define NEED(s, c)                                                                                 \
    do {                                                                                           \
        int zero = 0;                                                                              \
        if (!(c)) {                                                                                \
            atomic_compare_exchange_strong(&(s)->failed, &zero, __LINE__);                         \
            return NULL;                                                                           \
        }                                                                                          \
    } while (0)

// Writes 1, 2, 3 … to both partitions of "plain", in one-call transactions.
static void *commits(void *arg)
{
    struct shared *s = arg;
    int64_t id;
    int16_t epoch;
    NEED(s, broker_producer_init(s->b, "committer", 60000, &id, &epoch) == BROKER_OK);
    for (int n = 1; n <= STEPS; n++) {
        struct util_batch u;
        char value[16];
        snprintf(value, sizeof(value), "%d", n);
        util_batch_init(&u);
        util_add(&u, "k", value);
        struct slice bytes = util_finish(&u);
        struct broker_batch batches[2];
        for (int i = 0; i < 2; i++)
            batches[i] = (struct broker_batch){
                .partition = broker_partition_find(s->b, "plain", 1 - i), .bytes = bytes};
        struct broker_group_offset g = {"plain", 0, n, NULL};
        enum broker_error r = broker_commit(s->b, id, epoch, (uint64_t)n, batches, 2, "g", &g, 1);
        util_batch_free(&u);
        NEED(s, r == BROKER_OK);
    }
    return NULL;
}

static void *transactions(void *arg)
{
    struct shared *s = arg;
    struct broker_partition *p = broker_partition_find(s->b, "compact", 0);
    int64_t id;
    int16_t epoch;
    for (int n = 0; n < STEPS / 2; n++) {
        if (n % 10 == 0)
            NEED(s, broker_producer_init(s->b, "txn", 60000, &id, &epoch) == BROKER_OK);
        struct batch_producer by = {id, epoch, n % 10 * 2};
        NEED(s, broker_txn_add(s->b, id, epoch, p) == BROKER_OK);
        NEED(s, util_produce(s->b, p, by, BATCH_TRANSACTIONAL, "0123456789", 2, NULL) == BROKER_OK);
        struct broker_group_offset g = {"compact", 0, n, NULL};
        NEED(s, broker_txn_offsets(s->b, id, epoch, "h", &g, 1) == BROKER_OK);
        NEED(s, n % 10 == 9 || broker_txn_end(s->b, id, epoch, n % 2 == 0) == BROKER_OK);
    }
    return NULL;
}

static void *topics(void *arg)
{
    struct shared *s = arg;
    struct err e;
    for (int n = 0; n < STEPS / 5; n++) {
        NEED(s, broker_topic_create(s->b, "come-and-go", 2, NULL, &e) == BROKER_OK);
        struct broker_partition *p = broker_partition_find(s->b, "come-and-go", 1);
        NEED(s, util_append(s->b, p, 1, "k", "v", NULL) == BROKER_OK);
        NEED(s, broker_topic_delete(s->b, "come-and-go", &e) == BROKER_OK);
        NEED(s, util_append(s->b, p, 1, "k", "v", NULL) == BROKER_UNKNOWN_TOPIC_OR_PARTITION);
    }
    return NULL;
}

static void *keeping(void *arg)
{
    struct shared *s = arg;
    struct err e;
    while (!atomic_load(&s->stop)) {
        NEED(s, broker_housekeep(s->b, &e) == 0);
        NEED(s, broker_checkpoint(s->b, &e) == 0);
        usleep(500);
    }
    return NULL;
}

struct follow {
    int expected;
    bool wrong;
};

static void follow(void *arg, const struct batch_header *h, const struct rec *r)
{
    struct follow *f = arg;
    char value[16];
    (void)h;
    snprintf(value, sizeof(value), "%.*s", (int)r->value.n, (const char *)r->value.p);
    f->wrong |= atoi(value) != f->expected++;
}

// Follows partition 0 of "plain" to its end; looks at the others on the way.
static void *reader(void *arg)
{
    struct shared *s = arg;
    struct broker_partition *p = broker_partition_find(s->b, "plain", 0);
    struct broker_partition *c = broker_partition_find(s->b, "compact", 0);
    struct follow f = {1, false};
    struct buf out;
    buf_init(&out);
    uint64_t seen = 0;
    for (int64_t at = 0; at < STEPS && !f.wrong && atomic_load(&s->failed) == 0;) {
        struct broker_read info;
        int64_t offset, time;
        buf_clear(&out);
        enum broker_error r = broker_read(p, at, 300, true, &out, &info);
        free(info.aborted);
        if (r != BROKER_OK)
            break;
        util_walk(buf_slice(&out), follow, &f);
        // What is committed for the group is readable.
        int64_t committed = broker_offset_committed(s->b, "g", "plain", 0, NULL);
        at = info.next_offset;
        if (committed > 0 && broker_offset_for_time(p, 1000, &offset, &time) != BROKER_OK)
            break;
        buf_clear(&out);
        r = broker_read(c, 0, 10000, true, &out, &info);
        free(info.aborted);
        if (r != BROKER_OK)
            break;
        if (at == info.offsets.end)
            seen = broker_progress_wait(s->b, seen, 5);
    }
    buf_release(&out);
    NEED(s, !f.wrong && f.expected == STEPS + 1);
    return NULL;
}

static void test_all_at_once(void **state)
{
    char dir[256];
    (void)state;
    util_mkdir(dir);
    struct broker_config config = {.dir = dir, .housekeeping_ms = 5, .checkpoint_bytes = 20000};
    struct shared s = {.b = util_open_with(&config)};
    struct broker_topic_config c = broker_topic_config_default(s.b);
    c.segment_bytes = 1500;
    c.retention_ms = -1;
    util_topic(s.b, "plain", 2, &c);
    c.cleanup = BROKER_COMPACT;
    util_topic(s.b, "compact", 1, &c);
    void *(*const jobs[])(void *) = {commits, transactions, topics, reader, reader};
    pthread_t t[ARRAY_COUNT(jobs)], keeper;
    assert_int_equal(pthread_create(&keeper, NULL, keeping, &s), 0);
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        assert_int_equal(pthread_create(&t[i], NULL, jobs[i], &s), 0);
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        pthread_join(t[i], NULL);
    atomic_store(&s.stop, true);
    pthread_join(keeper, NULL);
    assert_int_equal(atomic_load(&s.failed), 0);
    assert_null(broker_failure(s.b));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            struct follow f = {1, false};
            assert_int_equal(
                util_read_all(broker_partition_find(s.b, "plain", i), true, 100000, follow, &f),
                BROKER_OK);
            assert_false(f.wrong);
            assert_int_equal(f.expected, STEPS + 1);
        }
        assert_int_equal(broker_offset_committed(s.b, "g", "plain", 0, NULL), STEPS);
        broker_close(s.b);
        s.b = util_open_with(&config);
    }
    broker_close(s.b);
    util_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
