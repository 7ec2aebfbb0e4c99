// SPDX-License-Identifier: Apache-2.0
//
// The memory log through its log_ops: transactions, reading, offsets, fencing and every fault.
#include "log/batch.h"
#include "log/marker.h"
#include "log/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct err e;

struct fixture {
    struct memory_log *shared;
    enum memory_fault faults[8]; // given out in order, then MEMORY_NORMAL
    uint32_t faults_count, asked;
};

static enum memory_fault next_fault(void *arg)
{
    struct fixture *f = arg;
    return f->asked < f->faults_count ? f->faults[f->asked++] : MEMORY_NORMAL;
}

static int setup(void **state)
{
    struct fixture *f = check_alloc(calloc(1, sizeof *f));
    f->shared = memory_create();
    struct log_topic_spec in = {.name = "in", .partitions = 2},
                          out = {.name = "out", .partitions = 3};
    CHECK(memory_topic_create(f->shared, &in, &e) == 0 &&
          memory_topic_create(f->shared, &out, &e) == 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    memory_destroy(f->shared);
    free(f);
    return 0;
}

static struct log *opened(struct fixture *f, const char *id)
{
    struct memory_options o = {.transactional_id = id, .fault = next_fault, .fault_arg = f};
    return memory_open(f->shared, &o);
}

static uint32_t handle(struct log *l, const char *topic)
{
    uint32_t h;
    struct log_topic_info info;
    assert_int_equal(l->ops->topic_open(l, topic, &h, &info, &e), 0);
    assert_string_equal(info.name, topic);
    return h;
}

static void append(struct log *l, struct log_tp tp, int64_t time, const char *value)
{
    struct log_record r = {.time = time, .key = slice_str("k"), .value = slice_str(value)};
    assert_int_equal(l->ops->append(l, tp, &r, &e), 0);
}

static uint32_t count(struct fixture *f, const char *topic, int32_t partition)
{
    uint32_t n;
    memory_records(f->shared, topic, partition, &n);
    return n;
}

static void produce(struct fixture *f, const char *topic, int32_t partition, int n)
{
    for (int i = 0; i < n; i++) {
        struct log_record r = {.time = i, .value = slice_str("x")};
        memory_produce(f->shared, topic, partition, &r);
    }
}

static void commit_makes_all_visible_or_abort_nothing(void **state)
{
    struct fixture *f = *state;
    struct log *l = opened(f, "t");
    struct log_tp out = {handle(l, "out"), 1}, in = {handle(l, "in"), 0};
    struct log_offset offset = {in, 5};
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, out, 10, "a");
    append(l, (struct log_tp){out.topic, 2}, 11, "b");
    assert_true(l->ops->pending_bytes(l) > 0);
    assert_int_equal(count(f, "out", 1), 0);
    assert_int_equal(l->ops->commit(l, "g", &offset, 1, &e), LOG_COMMITTED);
    assert_int_equal(count(f, "out", 1), 1);
    assert_int_equal(count(f, "out", 2), 1);
    assert_int_equal(memory_committed(f->shared, "g", "in", 0), 5);
    assert_int_equal(memory_committed(f->shared, "h", "in", 0), -1);
    assert_int_equal(l->ops->pending_bytes(l), 0);
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, out, 12, "c");
    assert_int_equal(l->ops->abort(l, &e), 0);
    assert_int_equal(count(f, "out", 1), 1);
    struct log_offset io[2] = {{in, 0}, {{in.topic, 1}, 0}};
    assert_int_equal(l->ops->committed(l, "g", io, 2, &e), 0);
    assert_true(io[0].offset == 5 && io[1].offset == -1);
    l->ops->close(l);
}

static void polls_in_turn_with_leases(void **state)
{
    struct fixture *f = *state;
    struct log *l = opened(f, NULL);
    uint32_t in = handle(l, "in");
    produce(f, "in", 0, 5);
    produce(f, "in", 1, 3);
    memory_poll_records(l, 2);
    for (int32_t p = 0; p < 2; p++)
        assert_int_equal(l->ops->assign(l, (struct log_tp){in, p}, 0, &e), 0);
    assert_int_equal(l->ops->assign(l, (struct log_tp){in, 1}, 0, &e), -1);
    struct rec_batch b[8];
    static const struct {
        int32_t partition;
        uint32_t count;
        int64_t next;
    } want[] = {{0, 2, 2}, {1, 2, 2}, {0, 2, 4}, {1, 1, 3}, {0, 1, 5}};
    for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
        assert_int_equal(l->ops->poll(l, 0, &b[i], &e), 1);
        assert_int_equal(b[i].tp.partition, want[i].partition);
        assert_int_equal(b[i].count, want[i].count);
        assert_int_equal(b[i].next_offset, want[i].next);
        assert_int_equal(b[i].recs[0].offset, want[i].next - want[i].count);
        assert_int_equal(b[i].recs[0].value.p[REC_PADDING], 0); // readable
    }
    assert_int_equal(l->ops->poll(l, 100, &b[5], &e), 0);
    for (size_t i = 0; i < 4; i++) // the last stays out: close takes it back
        l->ops->release(l, &b[i]);
    l->ops->pause(l, (struct log_tp){in, 0}, true);
    produce(f, "in", 0, 1);
    assert_int_equal(l->ops->poll(l, 0, &b[5], &e), 0);
    l->ops->pause(l, (struct log_tp){in, 0}, false);
    assert_int_equal(l->ops->unassign(l, (struct log_tp){in, 1}, &e), 0);
    assert_int_equal(l->ops->poll(l, 0, &b[5], &e), 1);
    assert_int_equal(b[5].recs[0].offset, 5);
    assert_int_equal(b[5].end_offset, 6);
    l->ops->close(l);
}

static void ranges_times_and_gaps(void **state)
{
    struct fixture *f = *state;
    struct log *l = opened(f, "t");
    struct log_tp tp = {handle(l, "in"), 0};
    struct rec_batch b;
    produce(f, "in", 0, 10);
    memory_trim(f->shared, "in", 0, 4);
    int64_t at;
    assert_int_equal(l->ops->offset(l, tp, LOG_START, &at, &e), 0);
    assert_int_equal(at, 4);
    assert_int_equal(l->ops->offset(l, tp, LOG_END_COMMITTED, &at, &e), 0);
    assert_int_equal(at, 10);
    assert_int_equal(l->ops->offset_at(l, tp, 7, &at, &e), 0);
    assert_int_equal(at, 7);
    assert_int_equal(l->ops->offset_at(l, tp, 100, &at, &e), 0);
    assert_int_equal(at, 10);
    assert_int_equal(l->ops->assign(l, tp, 2, &e), 0);
    assert_int_equal(l->ops->poll(l, 0, &b, &e), -1);
    assert_int_equal(e.code, ERR_RANGE);
    assert_true(b.tp.topic == tp.topic && b.tp.partition == 0);
    memory_gaps(f->shared, true);
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, tp, 1, "a");
    append(l, tp, 1, "b");
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_COMMITTED);
    assert_int_equal(l->ops->offset(l, tp, LOG_END_COMMITTED, &at, &e), 0);
    assert_int_equal(at, 13);
    assert_int_equal(l->ops->seek(l, tp, 12, &e), 0); // in the gap
    assert_int_equal(l->ops->poll(l, 0, &b, &e), 1);
    assert_true(b.count == 0 && b.next_offset == 13);
    l->ops->release(l, &b);
    assert_int_equal(l->ops->poll(l, 0, &b, &e), 0);
    l->ops->close(l);
}

static void compaction(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = {"a", "b", "a", "c", "b"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        struct log_record r = {.key = slice_str(keys[i]), .value = slice_str(keys[i])};
        memory_produce(f->shared, "in", 1, &r);
    }
    memory_compact(f->shared, "in");
    uint32_t n;
    const struct rec *recs = memory_records(f->shared, "in", 1, &n);
    assert_int_equal(n, 3);
    assert_true(recs[0].offset == 2 && recs[1].offset == 3 && recs[2].offset == 4);
}

static void markers_and_headers_arrive(void **state)
{
    struct fixture *f = *state;
    struct log *l = opened(f, "t");
    struct log_tp tp = {handle(l, "out"), 0};
    struct log_header header = {slice_str("h"), slice_str("v")};
    struct log_record data = {.time = 1, .headers = &header, .headers_count = 1};
    struct buf value;
    buf_init(&value);
    marker_encode(&(struct marker){.group = 1, .writers = 1, .watermark = 99}, &value);
    struct log_record marker = {.value = buf_slice(&value), .marker = true};
    assert_int_equal(l->ops->begin(l, &e), 0);
    assert_int_equal(l->ops->append(l, tp, &data, &e), 0);
    assert_int_equal(l->ops->append(l, tp, &marker, &e), 0);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_COMMITTED);
    struct rec_batch b;
    struct slice v;
    struct marker m;
    assert_int_equal(l->ops->assign(l, tp, 0, &e), 0);
    assert_int_equal(l->ops->poll(l, 0, &b, &e), 1);
    assert_int_equal(b.count, 2);
    assert_true(b.recs[0].flags == 0 && b.recs[0].value.p == NULL);
    assert_true(batch_headers_find(&b.recs[0], "h", &v) && slice_eq_str(v, "v"));
    assert_int_equal(b.recs[1].flags, REC_MARKER);
    assert_true(b.recs[1].key.p == NULL && marker_decode(b.recs[1].value, &m) == 0 &&
                m.watermark == 99);
    l->ops->release(l, &b);
    l->ops->close(l);
    buf_release(&value);
}

struct heard {
    uint32_t calls, n;
    struct log_tp tps[16];
};

static void hear(void *arg, const struct log_tp *tps, uint32_t n)
{
    struct heard *h = arg;
    h->calls++;
    h->n = n;
    memcpy(h->tps, tps, n * sizeof tps[0]);
}

static void partitions_are_handed_out_once(void **state)
{
    struct fixture *f = *state;
    uint32_t total = 0;
    bool seen[2][3] = {{false}};
    for (uint32_t member = 0; member < 2; member++) {
        struct log *l = opened(f, NULL);
        uint32_t topics[2] = {handle(l, "in"), handle(l, "out")};
        struct heard h = {0};
        struct log_subscription s = {topics, 2, member, 2, {&h, hear, NULL, NULL}};
        struct rec_batch b;
        assert_int_equal(l->ops->subscribe(l, &s, &e), 0);
        assert_int_equal(h.calls, 0);
        assert_int_equal(l->ops->poll(l, 0, &b, &e), 0);
        assert_int_equal(l->ops->poll(l, 0, &b, &e), 0);
        assert_int_equal(h.calls, 1);
        for (uint32_t i = 0; i < h.n; i++) {
            uint32_t t = h.tps[i].topic == topics[0] ? 0 : 1;
            assert_false(seen[t][h.tps[i].partition]);
            seen[t][h.tps[i].partition] = true;
            assert_int_equal((t + (uint32_t)h.tps[i].partition) % 2, member);
            total++;
        }
        s.member = 2;
        assert_int_equal(l->ops->subscribe(l, &s, &e), -1);
        l->ops->close(l);
    }
    assert_int_equal(total, 5);
}

// --- faults -------------------------------------------------------------------------------------

// One transaction with one record and an offset; the first outcome is `first`, a repeat's `second`.
static void unsure(struct fixture *f, enum memory_fault fault, uint32_t visible_before_repeat)
{
    f->faults[0] = f->faults[1] = fault;
    f->faults_count = 2;
    struct log *l = opened(f, "t");
    struct log_tp out = {handle(l, "out"), 0};
    struct log_offset offset = {{handle(l, "in"), 0}, 7};
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, out, 1, "a");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(l->ops->commit(l, "g", &offset, 1, &e), LOG_UNKNOWN);
        assert_int_equal(e.code, ERR_UNKNOWN);
        assert_int_equal(count(f, "out", 0), visible_before_repeat);
    }
    assert_int_equal(l->ops->abort(l, &e), -1);
    assert_int_equal(l->ops->commit(l, "g", &offset, 1, &e), LOG_COMMITTED);
    assert_int_equal(count(f, "out", 0), 1);
    assert_int_equal(memory_committed(f->shared, "g", "in", 0), 7);
    assert_int_equal(l->ops->begin(l, &e), 0);
    assert_int_equal(l->ops->commit(l, "g", &offset, 1, &e), LOG_COMMITTED);
    assert_int_equal(count(f, "out", 0), 1);
    l->ops->close(l);
}

static void unknown_applied_is_applied_once(void **state)
{
    unsure(*state, MEMORY_UNKNOWN_APPLIED, 1);
}

static void unknown_lost_is_applied_by_the_repeat(void **state)
{
    unsure(*state, MEMORY_UNKNOWN_LOST, 0);
}

static void unknown_then_abort_tells_the_truth(void **state)
{
    struct fixture *f = *state;
    f->faults[0] = MEMORY_UNKNOWN_LOST;
    f->faults[1] = MEMORY_ABORT;
    f->faults[2] = MEMORY_UNKNOWN_APPLIED;
    f->faults[3] = MEMORY_ABORT;
    f->faults_count = 4;
    struct log *l = opened(f, "t");
    struct log_tp out = {handle(l, "out"), 0};
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, out, 1, "a");
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_UNKNOWN);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_ABORTED);
    assert_int_equal(count(f, "out", 0), 0);
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, out, 1, "b");
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_UNKNOWN);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_COMMITTED);
    assert_int_equal(count(f, "out", 0), 1);
    l->ops->close(l);
}

static void a_new_client_fences_the_old(void **state)
{
    struct fixture *f = *state;
    struct log *old = opened(f, "t"), *other = opened(f, "u");
    struct log_tp out = {handle(old, "out"), 0};
    handle(other, "out");
    assert_int_equal(old->ops->begin(old, &e), 0);
    append(old, out, 1, "old");
    struct log *now = opened(f, "t");
    handle(now, "out");
    assert_int_equal(old->ops->commit(old, NULL, NULL, 0, &e), LOG_FENCED);
    assert_int_equal(e.code, ERR_FENCED);
    assert_int_equal(old->ops->begin(old, &e), -1);
    assert_int_equal(count(f, "out", 0), 0);
    struct log *both[2] = {now, other};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i]->ops->begin(both[i], &e), 0);
        append(both[i], out, 1, "x");
        assert_int_equal(both[i]->ops->commit(both[i], NULL, NULL, 0, &e), LOG_COMMITTED);
        both[i]->ops->close(both[i]);
    }
    assert_int_equal(count(f, "out", 0), 2);
    old->ops->close(old);
}

static void a_crash_drops_what_was_pending(void **state)
{
    struct fixture *f = *state;
    for (int unsure_first = 0; unsure_first < 2; unsure_first++) {
        f->faults[0] = MEMORY_UNKNOWN_APPLIED;
        f->asked = 0;
        f->faults_count = (uint32_t)unsure_first;
        struct log *l = opened(f, "t");
        struct log_tp out = {handle(l, "out"), 0};
        assert_int_equal(l->ops->begin(l, &e), 0);
        append(l, out, 1, "a");
        if (unsure_first)
            assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_UNKNOWN);
        memory_crash(l);
        assert_int_equal(count(f, "out", 0), unsure_first);
    }
}

static void an_injected_fence(void **state)
{
    struct fixture *f = *state;
    f->faults[0] = MEMORY_FENCE;
    f->faults_count = 1;
    struct log *l = opened(f, "t");
    handle(l, "out");
    assert_int_equal(l->ops->begin(l, &e), 0);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_FENCED);
    assert_int_equal(l->ops->begin(l, &e), -1);
    l->ops->close(l);
}

static void topics_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct log *l = opened(f, "t");
    struct log_topic_spec spec = {.name = "new", .partitions = 1, .cleanup = LOG_CLEANUP_COMPACT};
    struct log_topic_info first, second;
    uint32_t h, again;
    assert_int_equal(l->ops->topic_open(l, "new", &h, &first, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(l->ops->topic_create(l, &spec, &e), 0);
    assert_int_equal(l->ops->topic_create(l, &spec, &e), -1);
    assert_int_equal(e.code, ERR_EXISTS);
    assert_int_equal(l->ops->topic_open(l, "new", &h, &first, &e), 0);
    assert_int_equal(l->ops->topic_open(l, "new", &again, &first, &e), 0);
    assert_true(h == again && first.cleanup == LOG_CLEANUP_COMPACT);
    assert_int_equal(l->ops->begin(l, &e), 0);
    append(l, (struct log_tp){h, 0}, 1, "a");
    assert_int_equal(l->ops->topic_delete(l, "new", &e), 0);
    assert_int_equal(l->ops->commit(l, NULL, NULL, 0, &e), LOG_ABORTED);
    assert_int_equal(l->ops->topic_create(l, &spec, &e), 0);
    assert_int_equal(l->ops->topic_open(l, "new", &again, &second, &e), 0);
    assert_true(again != h && memcmp(first.id, second.id, 16) != 0);
    assert_int_equal(l->ops->assign(l, (struct log_tp){again, 1}, 0, &e), -1);
    spec.partitions = 0;
    spec.name = "none";
    assert_int_equal(l->ops->topic_create(l, &spec, &e), -1);
    l->ops->close(l);
}

static void seeds_repeat(void **state)
{
    struct fixture *f = *state;
    produce(f, "in", 0, 100);
    produce(f, "in", 1, 100);
    uint64_t sums[3];
    for (int i = 0; i < 3; i++) {
        struct memory_options o = {.poll_records = 20, .seed = i < 2 ? 5 : 6};
        struct log *l = memory_open(f->shared, &o);
        uint32_t in = handle(l, "in"), seen = 0;
        struct rec_batch b;
        sums[i] = 0;
        for (int32_t p = 0; p < 2; p++)
            assert_int_equal(l->ops->assign(l, (struct log_tp){in, p}, 0, &e), 0);
        while (l->ops->poll(l, 0, &b, &e) == 1) {
            sums[i] = sums[i] * 31 + b.count * 2 + (uint32_t)b.tp.partition;
            seen += b.count;
            l->ops->release(l, &b);
        }
        assert_int_equal(seen, 200);
        l->ops->close(l);
    }
    assert_true(sums[0] == sums[1] && sums[1] != sums[2]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(commit_makes_all_visible_or_abort_nothing),
        CASE(polls_in_turn_with_leases),
        CASE(ranges_times_and_gaps),
        CASE(compaction),
        CASE(markers_and_headers_arrive),
        CASE(partitions_are_handed_out_once),
        CASE(unknown_applied_is_applied_once),
        CASE(unknown_lost_is_applied_by_the_repeat),
        CASE(unknown_then_abort_tells_the_truth),
        CASE(a_new_client_fences_the_old),
        CASE(a_crash_drops_what_was_pending),
        CASE(an_injected_fence),
        CASE(topics_come_and_go),
        CASE(seeds_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
