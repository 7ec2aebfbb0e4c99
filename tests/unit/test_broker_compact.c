// SPDX-License-Identifier: Apache-2.0
//
// Retention and compaction. Compaction is compared with a plain model: after any sequence of puts
// and tombstones, the last value per key is the same, offsets are, and nothing is left that should
// have gone.
#include "broker_util.h"

#include "base/prng.h"
#include "log/marker.h"

struct env {
    char dir[256];
    struct broker *b;
    struct clk_manual clk;
    struct broker_topic_config config;
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
    v->config = broker_topic_config_default(v->b);
    v->config.segment_bytes = 2000;
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

static void housekeep(struct env *v)
{
    struct err e;
    if (broker_housekeep(v->b, &e) < 0)
        fail_msg("%s", e.text);
}

static struct broker_offsets offsets_of(struct broker_partition *p)
{
    struct broker_offsets o;
    assert_int_equal(broker_partition_offsets(p, &o), BROKER_OK);
    return o;
}

static void fill(struct env *v, struct broker_partition *p, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(util_append(v->b, p, v->clk.now_ms, "key", "0123456789", NULL), BROKER_OK);
}

static void test_retention_time(void **state)
{
    struct env *v = *state;
    v->config.retention_ms = 1000;
    struct broker_partition *p = util_topic(v->b, "t", 1, &v->config);
    fill(v, p, 50);
    v->clk.now_ms += 500;
    fill(v, p, 50);
    housekeep(v);
    assert_int_equal(offsets_of(p).start, 0);
    v->clk.now_ms += 600;
    housekeep(v);
    int64_t start = offsets_of(p).start;
    assert_true(start > 0 && start <= 50);
    struct buf out;
    struct broker_read info;
    buf_init(&out);
    assert_int_equal(broker_read(p, start - 1, 100, true, &out, &info), BROKER_OFFSET_OUT_OF_RANGE);
    buf_release(&out);
    v->clk.now_ms += 10000; // all of it, the active segment too
    housekeep(v);
    assert_int_equal(offsets_of(p).start, 100);
    util_expect(p, true, "");
    fill(v, p, 1);
    util_expect(p, true, "100 key=0123456789\n");
    broker_close(v->b);
    open_env(v);
    p = broker_partition_find(v->b, "t", 0);
    assert_int_equal(offsets_of(p).start, 100);
    util_expect(p, true, "100 key=0123456789\n");
}

static void test_retention_size_and_trim(void **state)
{
    struct env *v = *state;
    v->config.retention_bytes = 4500;
    struct broker_partition *p = util_topic(v->b, "t", 1, &v->config);
    fill(v, p, 200); // of about 90 bytes
    housekeep(v);
    int64_t start = offsets_of(p).start;
    assert_true(start > 100 && start < 160);
    int64_t now;
    assert_int_equal(broker_partition_trim(p, 201, &now), BROKER_OFFSET_OUT_OF_RANGE);
    assert_int_equal(broker_partition_trim(p, 170, &now), BROKER_OK);
    assert_int_equal(now, 170);
    assert_int_equal(broker_partition_trim(p, 150, &now), BROKER_OK);
    assert_int_equal(now, 170);
    housekeep(v);
    broker_close(v->b);
    open_env(v);
    p = broker_partition_find(v->b, "t", 0);
    assert_int_equal(offsets_of(p).start, 170);
    struct buf out;
    struct broker_read info;
    buf_init(&out);
    assert_int_equal(broker_read(p, 170, 1, true, &out, &info), BROKER_OK);
    assert_int_equal(bytes_get64(out.p), 170);
    buf_release(&out);
    assert_int_equal(broker_partition_trim(p, -1, &now), BROKER_OK);
    assert_int_equal(now, 200);
    util_expect(p, true, "");
}

// --- compaction against a model -----------------------------------------------------------------

enum { KEYS = 40 };

struct model {
    int64_t last_offset[KEYS]; // -1: never written
    int last_value[KEYS];      // -1: tombstone
};

struct seen {
    struct model got;
    int64_t previous; // offset
    int records;
};

static void see(void *arg, const struct batch_header *h, const struct rec *r)
{
    struct seen *s = arg;
    assert_true(r->offset > s->previous);
    s->previous = r->offset;
    if (batch_is_control(h))
        return;
    char key[16], value[16];
    snprintf(key, sizeof(key), "%.*s", (int)r->key.n, (const char *)r->key.p);
    int k = atoi(key + 1);
    s->got.last_offset[k] = r->offset;
    s->got.last_value[k] = -1;
    if (r->value.p != NULL) {
        snprintf(value, sizeof(value), "%.*s", (int)r->value.n, (const char *)r->value.p);
        s->got.last_value[k] = atoi(value);
    }
    s->records++;
}

// Writes `n` batches of 1 to 5 records.
static void scribble(struct env *v, struct broker_partition *p, struct prng *rnd, int n,
                     struct model *m, int *value)
{
    for (int i = 0; i < n; i++) {
        struct util_batch u;
        util_batch_init(&u);
        int records = 1 + (int)prng_below(rnd, 5);
        int64_t offset = offsets_of(p).end;
        for (int k = 0; k < records; k++) {
            int key = (int)prng_below(rnd, KEYS);
            bool tombstone = prng_below(rnd, 5) == 0;
            char ks[16], vs[16];
            snprintf(ks, sizeof(ks), "k%d", key);
            snprintf(vs, sizeof(vs), "%d", ++*value);
            util_add(&u, ks, tombstone ? NULL : vs);
            m->last_offset[key] = offset + k;
            m->last_value[key] = tombstone ? -1 : *value;
        }
        struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
        assert_int_equal(broker_append_wait(v->b, &batch, 1, false), BROKER_OK);
        assert_int_equal(batch.base_offset, offset);
        util_batch_free(&u);
    }
}

// A key whose last record is a tombstone may be gone altogether.
static int compare(struct broker_partition *p, const struct model *m)
{
    struct seen s = {.previous = -1};
    for (int k = 0; k < KEYS; k++)
        s.got.last_offset[k] = s.got.last_value[k] = -1;
    assert_int_equal(util_read_all(p, true, 700, see, &s), BROKER_OK);
    for (int k = 0; k < KEYS; k++) {
        assert_int_equal(s.got.last_value[k], m->last_value[k]);
        if (m->last_value[k] != -1)
            assert_int_equal(s.got.last_offset[k], m->last_offset[k]);
    }
    return s.records;
}

static void test_compaction_model(void **state)
{
    struct env *v = *state;
    v->config.cleanup = BROKER_COMPACT;
    v->config.delete_retention_ms = 1000;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", (int)seed);
        struct broker_partition *p = util_topic(v->b, name, 1, &v->config);
        struct prng rnd;
        struct model m;
        int value = 0;
        prng_init(&rnd, seed);
        for (int k = 0; k < KEYS; k++)
            m.last_offset[k] = m.last_value[k] = -1;
        for (int round = 0; round < 6; round++) {
            scribble(v, p, &rnd, 60 + (int)prng_below(&rnd, 100), &m, &value);
            int before = compare(p, &m);
            struct broker_offsets o = offsets_of(p);
            housekeep(v);
            int after = compare(p, &m);
            assert_true(after < before);
            assert_int_equal(offsets_of(p).end, o.end);
            assert_int_equal(offsets_of(p).start, o.start);
            if (round % 2 == 1) {
                broker_close(v->b);
                open_env(v);
                p = broker_partition_find(v->b, name, 0);
                assert_int_equal(compare(p, &m), after);
            }
            v->clk.now_ms += (int64_t)prng_below(&rnd, 1500);
        }
        // With all in sealed segments, twice, late enough: one record per living key.
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < 40; k++) {
                assert_int_equal(util_append(v->b, p, 1, "k0", "7", &m.last_offset[0]), BROKER_OK);
                m.last_value[0] = 7;
            }
            v->clk.now_ms += 2000;
            housekeep(v);
        }
        int living = 0;
        for (int k = 0; k < KEYS; k++)
            living += m.last_value[k] != -1;
        int left = compare(p, &m);
        assert_true(left >= living && left <= living + 45); // the active segment's own
    }
}

// Reading at every offset gives the batch that holds it or the next one.
static void test_read_in_gaps(void **state)
{
    struct env *v = *state;
    v->config.cleanup = BROKER_COMPACT;
    struct broker_partition *p = util_topic(v->b, "t", 1, &v->config);
    fill(v, p, 120); // one key
    housekeep(v);
    int64_t end = offsets_of(p).end;
    struct buf out;
    buf_init(&out);
    for (int64_t at = 0; at < end; at++) {
        struct broker_read info;
        buf_clear(&out);
        assert_int_equal(broker_read(p, at, 1, true, &out, &info), BROKER_OK);
        assert_true(out.n != 0 && info.next_offset > at);
        struct batch_header h;
        assert_int_equal(batch_header_parse(buf_slice(&out), &h), 1);
        assert_true(batch_last_offset(&h) >= at);
        free(info.aborted);
    }
    buf_release(&out);
}

static void put_marker(struct env *v, struct broker_partition *p, int32_t writer, int64_t watermark)
{
    struct marker m = {.group = 7, .writer = writer, .writers = 2, .watermark = watermark};
    struct buf value;
    struct util_batch u;
    buf_init(&value);
    marker_encode(&m, &value);
    util_batch_init(&u);
    batch_begin(&u.builder, 0, BATCH_CONTROL);
    struct log_record r = {.marker = true, .value = buf_slice(&value)};
    batch_append(&u.builder, &r);
    struct broker_batch batch = {.partition = p, .bytes = util_finish(&u)};
    assert_int_equal(broker_append_wait(v->b, &batch, 1, true), BROKER_OK);
    util_batch_free(&u);
    buf_release(&value);
}

static void count_markers(void *arg, const struct batch_header *h, const struct rec *r)
{
    int64_t *last = arg; // [2]: watermark per writer, [2]: end markers
    struct marker m;
    if (!batch_is_control(h))
        return;
    if (batch_control_type(r->key) != MARKER_TYPE) {
        last[2]++;
        return;
    }
    assert_int_equal(marker_decode(r->value, &m), 0);
    last[m.writer] = m.watermark;
    last[3]++;
}

static void value_line(void *arg, const struct batch_header *h, const struct rec *r)
{
    if (!batch_is_control(h) && !slice_eq_str(r->value, "0123456789"))
        buf_printf(arg, "%.*s ", (int)r->value.n, (const char *)r->value.p);
}

// End markers stay, aborted data goes, of our markers the last per writer stays.
static void test_markers_and_transactions(void **state)
{
    struct env *v = *state;
    v->config.cleanup = BROKER_COMPACT;
    struct broker_partition *p = util_topic(v->b, "t", 1, &v->config);
    int64_t id;
    int16_t epoch;
    assert_int_equal(broker_producer_init(v->b, "a", 60000, &id, &epoch), BROKER_OK);
    for (int i = 0; i < 10; i++) {
        put_marker(v, p, i % 2, i);
        struct batch_producer by = {id, epoch, i};
        assert_int_equal(broker_txn_add(v->b, id, epoch, p), BROKER_OK);
        assert_int_equal(
            util_produce(v->b, p, by, BATCH_TRANSACTIONAL, i % 2 == 0 ? "good" : "bad", 1, NULL),
            BROKER_OK);
        assert_int_equal(broker_txn_end(v->b, id, epoch, i % 2 == 0), BROKER_OK);
    }
    fill(v, p, 60);
    housekeep(v);
    int64_t last[4] = {-1, -1, 0, 0};
    assert_int_equal(util_read_all(p, true, 1000, count_markers, last), BROKER_OK);
    assert_int_equal(last[0], 8);
    assert_int_equal(last[1], 9);
    assert_int_equal(last[2], 10);
    assert_int_equal(last[3], 2);
    // "k" was last written by a committed transaction; the aborted write after it never counts.
    struct buf text;
    buf_init(&text);
    assert_int_equal(util_read_all(p, true, 1000, value_line, &text), BROKER_OK);
    buf_u8(&text, 0);
    assert_string_equal((char *)text.p, "good ");
    buf_release(&text);
    // An open transaction holds compaction back.
    struct batch_producer by = {id, epoch, 10};
    assert_int_equal(broker_txn_add(v->b, id, epoch, p), BROKER_OK);
    assert_int_equal(util_produce(v->b, p, by, BATCH_TRANSACTIONAL, "open", 1, NULL), BROKER_OK);
    int64_t stable = offsets_of(p).stable;
    fill(v, p, 100);
    housekeep(v);
    struct buf out;
    struct broker_read info;
    buf_init(&out);
    for (int64_t at = stable; at < stable + 50; at++) {
        buf_clear(&out);
        assert_int_equal(broker_read(p, at, 1, false, &out, &info), BROKER_OK);
        assert_int_equal(bytes_get64(out.p), at);
    }
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_retention_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention_size_and_trim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compaction_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_in_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_markers_and_transactions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
