// SPDX-License-Identifier: Apache-2.0
//
// What a crash, a torn write or a flipped bit does to the files. A child appends and tells the
// parent through a pipe what was acknowledged; it is killed at random moments and at every
// failpoint. The parent opens the directory and checks: every acknowledged batch is there, in
// order, nothing is there twice, one-call transactions are whole.
#include "broker_util.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/prng.h"

// --- the child ----------------------------------------------------------------------------------

// One step writes value `n` to partitions 0 and 1 (one commit with group offset n), to partition 2
// (an append, sometimes big), and to the compact topic. Acknowledged steps go through the pipe.
struct worker {
    struct broker *b;
    struct broker_partition *parts[3], *compact;
    int64_t id;
    int16_t epoch;
    int pipe;
    struct util_batch u, w;
    char *big;
};

enum { BIG = 80000 };

static void must(enum broker_error r)
{
    if (r != BROKER_OK)
        _exit(3);
}

static struct slice one(struct util_batch *u, const char *key, int n, const char *big)
{
    char value[32];
    snprintf(value, sizeof(value), "%d", n);
    batch_reset(&u->builder);
    util_add(u, key, value);
    if (big != NULL)
        util_add(u, "big", big);
    return util_finish(u);
}

static void commit_step(struct worker *w, int n)
{
    bool big = n % 5 == 0;
    struct broker_batch batches[2] = {
        {.partition = w->parts[0], .bytes = one(&w->u, "c", n, big ? w->big : NULL)},
        {.partition = w->parts[1], .bytes = one(&w->w, "c", n, NULL)}};
    struct broker_group_offset g = {"in", 0, n, NULL};
    must(broker_commit(w->b, w->id, w->epoch, (uint64_t)n, batches, 2, "g", &g, 1));
}

static void append_step(struct worker *w, int n)
{
    struct broker_batch batches[2] = {
        {.partition = w->parts[2], .bytes = one(&w->u, "a", n, n % 7 == 0 ? w->big : NULL)},
        {.partition = w->compact, .bytes = one(&w->w, n % 3 == 0 ? "x" : "y", n, NULL)}};
    must(broker_append_wait(w->b, batches, 2, true));
}

static void txn_step(struct worker *w, int n)
{
    must(broker_txn_add(w->b, w->id, w->epoch, w->parts[2]));
    must(broker_txn_end(w->b, w->id, w->epoch, n % 2 == 0));
}

static void housekeeping_step(struct worker *w, int n)
{
    struct err e;
    if (n % 13 == 0 && broker_checkpoint(w->b, &e) < 0)
        _exit(4);
    if (n % 29 == 0 && broker_housekeep(w->b, &e) < 0)
        _exit(5);
    if (n % 31 == 0) {
        char name[32];
        snprintf(name, sizeof(name), "side%d", n % 2);
        broker_topic_delete(w->b, name, &e);
        must(broker_topic_create(w->b, name, 2, NULL, &e));
        must(util_append(w->b, broker_partition_find(w->b, name, 1), 1, "k", "v", NULL));
    }
}

static void child(const char *dir, int pipe, int from, int steps, const char *failpoints)
{
    struct worker w = {.pipe = pipe};
    setenv("WEIR_FAILPOINTS", failpoints, 1);
    failpoint_init();
    w.b = util_open(dir);
    for (int i = 0; i < 3; i++)
        w.parts[i] = broker_partition_find(w.b, "t", i);
    w.compact = broker_partition_find(w.b, "compact", 0);
    must(broker_producer_init(w.b, "w", 60000, &w.id, &w.epoch));
    util_batch_init(&w.u);
    util_batch_init(&w.w);
    w.big = check_alloc(malloc(BIG + 1));
    memset(w.big, 'b', BIG);
    w.big[BIG] = 0;
    for (int n = from; n < from + steps; n++) {
        commit_step(&w, n);
        append_step(&w, n);
        if (n % 6 == 0)
            txn_step(&w, n);
        if (write(pipe, &n, sizeof(n)) != sizeof(n))
            _exit(6);
        housekeeping_step(&w, n);
    }
    broker_close(w.b);
    _exit(0);
}

// --- the parent ---------------------------------------------------------------------------------

struct values {
    int n[100000];
    int count;
};

static void take_value(void *arg, const struct batch_header *h, const struct rec *r)
{
    struct values *v = arg;
    char s[32];
    if (batch_is_control(h) || slice_eq_str(r->key, "big"))
        return;
    snprintf(s, sizeof(s), "%.*s", (int)r->value.n, (const char *)r->value.p);
    assert_true(v->count < 100000);
    v->n[v->count++] = atoi(s);
}

static struct values *values_of(struct broker *b, const char *topic, int32_t partition)
{
    struct values *v = check_alloc(calloc(1, sizeof(*v)));
    struct broker_partition *p = broker_partition_find(b, topic, partition);
    assert_non_null(p);
    assert_int_equal(util_read_all(p, false, 50000, take_value, v), BROKER_OK);
    return v;
}

// Values 1 … n in order, each once; n at least `acked`, at most one more.
static int check_values(struct values *v, int acked)
{
    for (int i = 0; i < v->count; i++)
        assert_int_equal(v->n[i], i + 1);
    if (v->count < acked || v->count > acked + 1)
        fail_msg("%d values, %d acknowledged", v->count, acked);
    int n = v->count;
    free(v);
    return n;
}

// Checks the directory; returns the last step that is there in part, so that the next child goes on
// behind it. Steps 1 … acked are complete.
static int check_dir(const char *dir, int acked)
{
    struct broker *b = util_open(dir);
    int c0 = check_values(values_of(b, "t", 0), acked);
    int c1 = check_values(values_of(b, "t", 1), acked);
    assert_int_equal(c0, c1); // both or none
    int64_t offset = broker_offset_committed(b, "g", "in", 0, NULL);
    assert_int_equal(offset, c0 == 0 ? -1 : c0);
    int a = check_values(values_of(b, "t", 2), acked);
    assert_true(a == c0 || a == c0 - 1);
    struct values *k = values_of(b, "compact", 0);
    assert_true(a == 0 || k->count > 0);
    if (a > 0)
        assert_int_equal(k->n[k->count - 1], a);
    free(k);
    // Finish the step that was cut, so that the next begins whole.
    struct util_batch u;
    util_batch_init(&u);
    if (a < c0) {
        struct broker_batch batches[2] = {
            {.partition = broker_partition_find(b, "t", 2), .bytes = one(&u, "a", c0, NULL)},
            {.partition = broker_partition_find(b, "compact", 0)}};
        struct util_batch w;
        util_batch_init(&w);
        batches[1].bytes = one(&w, "x", c0, NULL);
        assert_int_equal(broker_append_wait(b, batches, 2, true), BROKER_OK);
        util_batch_free(&w);
    }
    util_batch_free(&u);
    broker_close(b);
    return c0;
}

static void make_dir(const char *dir)
{
    struct broker *b = util_open(dir);
    struct broker_topic_config c = broker_topic_config_default(b);
    c.segment_bytes = 100000;
    c.retention_ms = -1;
    util_topic(b, "t", 3, &c);
    c.cleanup = BROKER_COMPACT;
    c.segment_bytes = 1500;
    util_topic(b, "compact", 1, &c);
    broker_close(b);
}

// Runs a child until it is killed or done; returns the last acknowledged step.
static int run_child(const char *dir, int from, int steps, const char *failpoints,
                     int kill_after_us)
{
    int fds[2], acked = from - 1, n, status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        child(dir, fds[1], from, steps, failpoints);
    }
    close(fds[1]);
    if (kill_after_us >= 0) {
        usleep((useconds_t)kill_after_us);
        kill(pid, SIGKILL);
    }
    while (read(fds[0], &n, sizeof(n)) == sizeof(n)) {
        assert_int_equal(n, acked + 1);
        acked = n;
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    else
        assert_int_equal(WTERMSIG(status), SIGKILL);
    return acked;
}

static void test_random_kills(void **state)
{
    char dir[256];
    struct prng rnd;
    (void)state;
    util_mkdir(dir);
    make_dir(dir);
    prng_init(&rnd, 42);
    int done = 0;
    for (int i = 0; i < 25; i++) {
        int acked = run_child(dir, done + 1, 2000, "", 20000 + (int)prng_below(&rnd, 250000));
        done = check_dir(dir, acked);
    }
    assert_true(done > 0);
    util_remove(dir);
}

static void test_failpoints(void **state)
{
    static const char *const points[] = {
        "journal.before_write=kill", "journal.before_sync=kill",       "journal.after_sync=kill",
        "checkpoint.begin=kill",     "checkpoint.new_journal=kill",    "checkpoint.synced=kill",
        "checkpoint.snapshot=kill",  "checkpoint.delete_journal=kill", "checkpoint.done=kill",
        "compact.written=kill",      "compact.durable=kill",           "compact.renamed=kill",
        "compact.removed=kill",      "compact.swapped=kill",           "segment.roll=kill",
        "topic.create.dirs=kill",    "topic.delete.durable=kill",      "topic.delete.rename=kill",
    };
    char dir[256], spec[96];
    (void)state;
    util_mkdir(dir);
    make_dir(dir);
    int done = 0, killed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(points); i++) {
        for (int at = 1; at <= 3; at++) {
            snprintf(spec, sizeof(spec), "%s@%d", points[i], at * at);
            int acked = run_child(dir, done + 1, 70, spec, -1);
            killed += acked < done + 70;
            done = check_dir(dir, acked);
        }
    }
    assert_true(killed >= (int)ARRAY_COUNT(points)); // each place was met, most of them thrice
    util_remove(dir);
}

// --- damage -------------------------------------------------------------------------------------

struct image { // a directory with unchecked-in journal frames
    char dir[256];
    char journal[512];
    int64_t frame; // where the last frame begins
    int64_t end;   // and where it ends (a seal follows)
};

static struct buf load(const char *path)
{
    struct buf b;
    struct stat st;
    buf_init(&b);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *p = buf_reserve(&b, (uint32_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    b.n = (uint32_t)st.st_size;
    close(fd);
    return b;
}

static void store(const char *path, struct slice s)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, s.p, s.n), s.n);
    close(fd);
}

static void find_journal(const char *dir, char out[512])
{
    char path[300];
    snprintf(path, sizeof(path), "%s/journal", dir);
    DIR *d = opendir(path);
    struct dirent *f;
    out[0] = 0;
    while ((f = readdir(d)) != NULL)
        if (strstr(f->d_name, ".wal") != NULL &&
            strcmp(out + strlen(out) - (out[0] != 0 ? 24 : 0), f->d_name) < 0)
            snprintf(out, 512, "%s/%s", path, f->d_name);
    closedir(d);
    assert_true(out[0] != 0);
}

// Five appends after the last checkpoint, taken as a crash leaves them.
static void make_image(struct image *m)
{
    char live[256];
    util_mkdir(live);
    util_mkdir(m->dir);
    struct broker *b = util_open(live);
    struct err e;
    struct broker_partition *p = util_topic(b, "t", 1, NULL);
    assert_int_equal(util_append(b, p, 1, "k", "0", NULL), BROKER_OK);
    assert_int_equal(broker_checkpoint(b, &e), 0);
    for (int i = 1; i <= 5; i++) {
        char value[8];
        snprintf(value, sizeof(value), "%d", i);
        assert_int_equal(util_append(b, p, 1, "k", value, NULL), BROKER_OK);
    }
    util_copy(live, m->dir);
    broker_close(b);
    util_remove(live);
    find_journal(m->dir, m->journal);
    struct buf j = load(m->journal);
    int64_t frames[8];
    int n = 0;
    for (uint32_t at = 32; at + 24 <= j.n && memcmp(j.p + at, "wejf", 4) == 0;) {
        assert_true(n < 8);
        frames[n++] = at;
        at += 24 + ((bytes_get32(j.p + at + 8) + 7) & ~7u);
    }
    assert_true(n == 5 || n == 6); // the seal may not have been written yet
    m->frame = frames[4];
    m->end = frames[4] + 24 + ((bytes_get32(j.p + frames[4] + 8) + 7) & ~7u);
    buf_release(&j);
}

static int try_open(const char *dir, struct broker **b, struct err *e)
{
    struct broker_config c = {.dir = dir, .housekeeping_ms = -1};
    return broker_open(&c, b, e);
}

static const char *const PREFIX[] = {"0 k=0\n", "0 k=0\n1 k=1\n2 k=2\n3 k=3\n4 k=4\n",
                                     "0 k=0\n1 k=1\n2 k=2\n3 k=3\n4 k=4\n5 k=5\n"};

// The last frame cut off at every byte: by the file's end, or zeros where the sectors never came.
static void test_torn_tail(void **state)
{
    struct image m;
    (void)state;
    make_image(&m);
    struct buf j = load(m.journal);
    char work[256], path[512];
    util_mkdir(work);
    for (int64_t cut = m.frame; cut <= m.end; cut++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            util_remove(work);
            util_copy(m.dir, work);
            find_journal(work, path);
            struct buf torn;
            buf_init(&torn);
            buf_put(&torn, j.p, (uint32_t)cut);
            for (int64_t i = cut; zeros != 0 && i < cut + 4096; i++)
                buf_u8(&torn, 0);
            store(path, buf_slice(&torn));
            buf_release(&torn);
            struct broker *b = util_open(work);
            struct broker_partition *p = broker_partition_find(b, "t", 0);
            struct broker_offsets o;
            broker_partition_offsets(p, &o);
            // Padding that is missing is no loss; anything else loses the frame.
            assert_true(o.end == 5 || (o.end == 6 && cut > m.end - 8));
            util_expect(p, true, PREFIX[o.end == 5 ? 1 : 2]);
            // What was cut off is written anew at the same place.
            int64_t offset;
            assert_int_equal(util_append(b, p, 1, "k", "again", &offset), BROKER_OK);
            assert_int_equal(offset, o.end);
            broker_close(b);
        }
    }
    buf_release(&j);
    util_remove(work);
    util_remove(m.dir);
}

// One bit flipped in any acknowledged frame that another follows: an error that names the journal.
static void test_journal_bits(void **state)
{
    struct image m;
    (void)state;
    make_image(&m);
    struct buf j = load(m.journal);
    char work[256], path[512];
    util_mkdir(work);
    for (int64_t at = 0; at < m.frame; at += 3) {
        util_remove(work);
        util_copy(m.dir, work);
        find_journal(work, path);
        j.p[at] ^= 0x10;
        store(path, buf_slice(&j));
        j.p[at] ^= 0x10;
        struct broker *b;
        struct err e;
        if (try_open(work, &b, &e) == 0) { // padding between frames is nobody's
            util_expect(broker_partition_find(b, "t", 0), true, PREFIX[2]);
            broker_close(b);
            continue;
        }
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_non_null(strstr(e.text, ".wal"));
    }
    buf_release(&j);
    util_remove(work);
    util_remove(m.dir);
}

static void find_file(const char *dir, const char *suffix, char out[512])
{
    DIR *d = opendir(dir);
    struct dirent *f;
    out[0] = 0;
    while ((f = readdir(d)) != NULL)
        if (strlen(f->d_name) > strlen(suffix) &&
            strcmp(f->d_name + strlen(f->d_name) - strlen(suffix), suffix) == 0)
            snprintf(out, 512, "%s/%s", dir, f->d_name);
    closedir(d);
    assert_true(out[0] != 0);
}

// A cleanly closed directory with one segment.
static void make_closed(char dir[256], char segment[512])
{
    util_mkdir(dir);
    struct broker *b = util_open(dir);
    struct broker_partition *p = util_topic(b, "t", 1, NULL);
    for (int i = 0; i <= 5; i++) {
        char value[8];
        snprintf(value, sizeof(value), "%d", i);
        assert_int_equal(util_append(b, p, 1000 + i, "k", value, NULL), BROKER_OK);
    }
    broker_close(b);
    char topic[300];
    snprintf(topic, sizeof(topic), "%s/topics/t-0", dir);
    find_file(topic, ".log", segment);
}

// A flipped bit in a segment is an error at open or at reading, or the codec's checksum tells.
static void test_segment_bits(void **state)
{
    char dir[256], segment[512];
    (void)state;
    make_closed(dir, segment);
    struct buf s = load(segment);
    for (uint32_t at = 0; at < s.n; at++) {
        if (at % (s.n / 6) >= 12 && at % (s.n / 6) < 16)
            continue; // the leader epoch, which nothing depends on
        s.p[at] ^= 0x04;
        store(segment, buf_slice(&s));
        s.p[at] ^= 0x04;
        struct broker *b;
        struct err e;
        if (try_open(dir, &b, &e) < 0) {
            assert_int_equal(e.code, ERR_CORRUPT);
            assert_non_null(strstr(e.text, ".log"));
            continue;
        }
        struct buf text;
        buf_init(&text);
        if (util_read_all(broker_partition_find(b, "t", 0), true, 1000, util_line, &text) ==
            BROKER_OK)
            fail_msg("byte %u of %u: not noticed", at, s.n);
        buf_release(&text);
        broker_close(b);
    }
    buf_release(&s);
    util_remove(dir);
}

static void test_short_and_missing_files(void **state)
{
    char dir[256], segment[512], path[512];
    struct broker *b;
    struct err e;
    (void)state;
    make_closed(dir, segment);
    struct buf s = load(segment);
    store(segment, slice_of(s.p, s.n - 1));
    assert_int_equal(try_open(dir, &b, &e), -1);
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_non_null(strstr(e.text, "acknowledged"));
    unlink(segment);
    assert_int_equal(try_open(dir, &b, &e), -1);
    assert_int_equal(e.code, ERR_CORRUPT);
    // Bytes nobody acknowledged are cut off.
    buf_printf(&s, "garbage");
    store(segment, buf_slice(&s));
    b = util_open(dir);
    util_expect(broker_partition_find(b, "t", 0), true, PREFIX[2]);
    broker_close(b);
    find_journal(dir, path);
    struct buf j = load(path);
    unlink(path);
    assert_int_equal(try_open(dir, &b, &e), -1);
    assert_int_equal(e.code, ERR_CORRUPT);
    store(path, buf_slice(&j));
    snprintf(path, sizeof(path), "%s/snapshot", dir);
    struct buf snapshot = load(path);
    for (uint32_t at = 0; at < snapshot.n; at += 5) {
        snapshot.p[at] ^= 1;
        store(path, buf_slice(&snapshot));
        snapshot.p[at] ^= 1;
        assert_int_equal(try_open(dir, &b, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
    }
    unlink(path);
    assert_int_equal(try_open(dir, &b, &e), -1);
    assert_int_equal(e.code, ERR_CORRUPT);
    store(path, buf_slice(&snapshot));
    b = util_open(dir);
    broker_close(b);
    buf_release(&s);
    buf_release(&j);
    buf_release(&snapshot);
    util_remove(dir);
}

static void expect_times(struct broker_partition *p)
{
    for (int64_t t = 1000; t < 1400; t += 7) {
        int64_t offset, time;
        assert_int_equal(broker_offset_for_time(p, t, &offset, &time), BROKER_OK);
        assert_int_equal(offset, t - 1000);
        struct buf out;
        struct broker_read info;
        buf_init(&out);
        assert_int_equal(broker_read(p, offset, 1, true, &out, &info), BROKER_OK);
        assert_int_equal(bytes_get64(out.p), offset);
        buf_release(&out);
    }
}

// Index files deleted, shortened or damaged: the same answers.
static void test_index_is_a_cache(void **state)
{
    char dir[256], topic[300], path[700];
    (void)state;
    util_mkdir(dir);
    struct broker *b = util_open(dir);
    struct broker_topic_config c = broker_topic_config_default(b);
    c.segment_bytes = 9000;
    struct broker_partition *p = util_topic(b, "t", 1, &c);
    for (int i = 0; i < 400; i++)
        assert_int_equal(util_append(b, p, 1000 + i, "k", "0123456789", NULL), BROKER_OK);
    broker_close(b);
    snprintf(topic, sizeof(topic), "%s/topics/t-0", dir);
    for (int how = 0; how < 4; how++) {
        b = util_open(dir);
        expect_times(broker_partition_find(b, "t", 0));
        broker_close(b);
        DIR *d = opendir(topic);
        struct dirent *f;
        int found = 0;
        while ((f = readdir(d)) != NULL) {
            if (strstr(f->d_name, ".index") == NULL)
                continue;
            found++;
            snprintf(path, sizeof(path), "%s/%s", topic, f->d_name);
            struct buf s = load(path);
            if (how == 0)
                unlink(path);
            else if (how == 1)
                store(path, slice_of(s.p, s.n / 2));
            else {
                s.p[how == 2 ? 10 : s.n - 3] ^= 0x40;
                store(path, buf_slice(&s));
            }
            buf_release(&s);
        }
        closedir(d);
        assert_true(found >= 4);
    }
    b = util_open(dir);
    expect_times(broker_partition_find(b, "t", 0));
    broker_close(b);
    util_remove(dir);
}

// --- errors of the disk -------------------------------------------------------------------------

// In a child: failpoints are read once per process.
static int in_child(void (*body)(const char *dir), const char *dir, const char *failpoints)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        setenv("WEIR_FAILPOINTS", failpoints, 1);
        failpoint_init();
        body(dir);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define EXPECT(c)                                                                                  \
    do {                                                                                           \
        if (!(c))                                                                                  \
            _exit(__LINE__ & 0x7f ? __LINE__ & 0x7f : 1);                                          \
    } while (0)

// The journal's first sync fails at the second append: nothing is taken after that, reads go on.
static void body_sync_fails(const char *dir)
{
    struct broker *b = util_open(dir);
    struct broker_partition *p = broker_partition_find(b, "t", 0);
    EXPECT(util_append(b, p, 1, "k", "1", NULL) == BROKER_OK);
    EXPECT(broker_failure(b) == NULL);
    EXPECT(util_append(b, p, 1, "k", "2", NULL) == BROKER_STORAGE_ERROR);
    EXPECT(broker_failure(b) != NULL && strstr(broker_failure(b), "sync") != NULL);
    EXPECT(util_append(b, p, 1, "k", "3", NULL) == BROKER_STORAGE_ERROR);
    struct broker_group_offset g = {"t", 0, 1, NULL};
    EXPECT(broker_offsets_commit(b, "g", &g, 1) == BROKER_STORAGE_ERROR);
    struct broker_offsets o;
    EXPECT(broker_partition_offsets(p, &o) == BROKER_OK && o.end == 1);
    struct err e;
    EXPECT(broker_checkpoint(b, &e) < 0);
    broker_close(b);
}

// No room in the journal or the segment: that call is refused, the next is taken.
static void body_no_space(const char *dir)
{
    struct broker *b = util_open(dir);
    struct broker_partition *p = broker_partition_find(b, "t", 0);
    int64_t offset;
    char *big = check_alloc(malloc(900001));
    memset(big, 'x', 900000);
    big[900000] = 0;
    int64_t end = 0;
    struct broker_offsets o;
    broker_partition_offsets(p, &o);
    end = o.end;
    int refused = 0;
    for (int i = 0; i < 40; i++) {
        big[60000] = 0; // rides in the journal
        enum broker_error r = util_append(b, p, 1, "k", big, &offset);
        if (r == BROKER_STORAGE_ERROR) {
            refused++;
            continue;
        }
        EXPECT(r == BROKER_OK && offset == end);
        end++;
    }
    EXPECT(refused == 1);
    EXPECT(broker_failure(b) == NULL);
    broker_partition_offsets(p, &o);
    EXPECT(o.end == end);
    free(big);
    broker_close(b);
    b = util_open(dir);
    broker_partition_offsets(broker_partition_find(b, "t", 0), &o);
    EXPECT(o.end == end);
    broker_close(b);
}

// The second batch of a commit cannot be written: the first is taken back.
static void body_commit_no_space(const char *dir)
{
    struct broker *b = util_open(dir);
    struct broker_partition *p = broker_partition_find(b, "t", 0);
    struct broker_partition *q = broker_partition_find(b, "t", 1);
    struct util_batch u;
    int64_t id;
    int16_t epoch;
    EXPECT(broker_producer_init(b, "w", 1000, &id, &epoch) == BROKER_OK);
    util_batch_init(&u);
    util_add(&u, "k", "v");
    struct slice s = util_finish(&u);
    struct broker_batch batches[2] = {{.partition = p, .bytes = s}, {.partition = q, .bytes = s}};
    struct broker_offsets o;
    broker_partition_offsets(p, &o);
    int64_t end = o.end;
    EXPECT(broker_commit(b, id, epoch, 1, batches, 2, NULL, NULL, 0) == BROKER_STORAGE_ERROR);
    EXPECT(batches[1].error == BROKER_STORAGE_ERROR && broker_failure(b) == NULL);
    EXPECT(broker_commit(b, id, epoch, 1, batches, 2, NULL, NULL, 0) == BROKER_OK);
    EXPECT(batches[0].base_offset == end);
    broker_partition_offsets(p, &o);
    EXPECT(o.end == end + 1);
    broker_close(b);
    util_batch_free(&u);
    b = util_open(dir);
    broker_partition_offsets(broker_partition_find(b, "t", 0), &o);
    EXPECT(o.end == end + 1);
    broker_close(b);
}

static void test_disk_errors(void **state)
{
    char dir[256];
    (void)state;
    util_mkdir(dir);
    struct broker *b = util_open(dir);
    util_topic(b, "t", 2, NULL);
    broker_close(b);
    assert_int_equal(in_child(body_sync_fails, dir, "journal.sync=error@2"), 0);
    b = util_open(dir); // the second may be there or not: its outcome was unknown
    struct broker_offsets o;
    broker_partition_offsets(broker_partition_find(b, "t", 0), &o);
    assert_true(o.end == 1 || o.end == 2);
    broker_close(b);
    assert_int_equal(in_child(body_no_space, dir, "journal.no_space=error"), 0);
    assert_int_equal(in_child(body_no_space, dir, "append.write=error@7"), 0);
    assert_int_equal(in_child(body_commit_no_space, dir, "append.write=error@2"), 0);
    util_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_kills),     cmocka_unit_test(test_failpoints),
        cmocka_unit_test(test_torn_tail),        cmocka_unit_test(test_journal_bits),
        cmocka_unit_test(test_segment_bits),     cmocka_unit_test(test_short_and_missing_files),
        cmocka_unit_test(test_index_is_a_cache), cmocka_unit_test(test_disk_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
