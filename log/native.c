// SPDX-License-Identifier: Apache-2.0
//
// The writing half, topics and offsets. Each partition that is written to has a builder that is
// kept from transaction to transaction; a commit hands all of them to the broker in one call. In
// steady state nothing is allocated.
//
// Invariants
// N1  Builders and the batch list do not change from a commit's first call until its outcome is
//     known, so that a repeat sends the same bytes under the same sequence number.
// N2  `sequence` grows by one per transaction, whatever came of the one before.
#include "log/native_client.h"

#include "base/failpoint.h"

enum {
    TIMEOUT_MS = 60000,
    POLL_BYTES = 1 << 20,
    RECORD_OVERHEAD = 64,   // more than the numbers of a record and its batch take
    UNSTABLE_STEP_MS = 100, // a pending transaction is asked for again at least this often
    UNSTABLE_MS = 120000,   // and given up on after this
};

// --- errors -------------------------------------------------------------------------------------

static enum err_code code_of(enum broker_error code)
{
    switch (code) {
    case BROKER_UNKNOWN_TOPIC_OR_PARTITION:
        return ERR_NOT_FOUND;
    case BROKER_TOPIC_ALREADY_EXISTS:
        return ERR_EXISTS;
    case BROKER_OFFSET_OUT_OF_RANGE:
        return ERR_RANGE;
    case BROKER_MESSAGE_TOO_LARGE:
        return ERR_LIMIT;
    case BROKER_CORRUPT_MESSAGE:
        return ERR_CORRUPT;
    case BROKER_STORAGE_ERROR:
        return ERR_IO;
    case BROKER_PRODUCER_FENCED:
    case BROKER_INVALID_PRODUCER_EPOCH:
    case BROKER_INVALID_PRODUCER_ID_MAPPING:
        return ERR_FENCED;
    case BROKER_CONCURRENT_TRANSACTIONS:
        return ERR_AGAIN;
    default:
        return ERR_INVALID;
    }
}

int native_error(struct err *e, enum broker_error code, const char *what, const char *topic,
                 int32_t partition)
{
    return err_set(e, code_of(code), "%s: %s/%d: the broker answers %s%s", what, topic, partition,
                   broker_error_name(code),
                   code == BROKER_CORRUPT_MESSAGE
                       ? ": the data on disk is damaged; its log line says where; restore that "
                         "file from a copy"
                       : "");
}

static int fenced(struct native_client *c, struct err *e)
{
    return err_set(e, ERR_FENCED,
                   "another client has taken over transactional id %s; stop this process, the "
                   "other one goes on",
                   c->transactional_id == NULL ? "(none)" : c->transactional_id);
}

// --- topics -------------------------------------------------------------------------------------

struct native_topic *native_topic_at(struct native_client *c, struct log_tp tp, struct err *e)
{
    CHECK(tp.topic < c->topics_count);
    struct native_topic *t = c->topics[tp.topic];
    if (tp.partition < 0 || tp.partition >= t->info.partitions) {
        err_set(e, ERR_NOT_FOUND, "topic %s has %d partitions, no partition %d", t->info.name,
                t->info.partitions, tp.partition);
        return NULL;
    }
    return t;
}

static int topic_add(struct native_client *c, const struct broker_topic_info *info, struct err *e)
{
    size_t n = (size_t)info->partitions;
    struct native_topic *t = check_alloc(calloc(1, sizeof *t));
    t->info = *info;
    t->partitions = check_alloc(calloc(n + 1, sizeof t->partitions[0]));
    t->writings = check_alloc(calloc(n + 1, sizeof t->writings[0]));
    c->topics = check_alloc(realloc(c->topics, (c->topics_count + 1) * sizeof c->topics[0]));
    c->topics[c->topics_count] = t;
    for (int32_t p = 0; p < info->partitions; p++) {
        t->partitions[p] = broker_partition_find(c->broker, info->name, p);
        if (t->partitions[p] != NULL)
            continue;
        free(t->partitions);
        free(t->writings);
        free(t);
        return err_set(e, ERR_NOT_FOUND, "topic %s was deleted while being opened", info->name);
    }
    c->topics_count++;
    return 0;
}

static int native_topic_open(struct log *l, const char *name, uint32_t *handle,
                             struct log_topic_info *out, struct err *e)
{
    struct native_client *c = native_of(l);
    struct broker_topic_info info;
    if (broker_topic_find(c->broker, name, &info) != BROKER_OK)
        return err_set(e, ERR_NOT_FOUND, "there is no topic %s", name);
    uint32_t h = 0;
    while (h < c->topics_count && memcmp(c->topics[h]->info.id, info.id, sizeof info.id) != 0)
        h++;
    if (h == c->topics_count && topic_add(c, &info, e) != 0)
        return -1;
    *handle = h;
    if (out == NULL)
        return 0;
    *out = (struct log_topic_info){.partitions = info.partitions,
                                   .cleanup = (enum log_cleanup)info.config.cleanup};
    memcpy(out->name, info.name, sizeof out->name);
    memcpy(out->id, info.id, sizeof out->id);
    return 0;
}

_Static_assert((int)LOG_CLEANUP_COMPACT == (int)BROKER_COMPACT &&
                   (int)LOG_CLEANUP_COMPACT_DELETE == (int)BROKER_COMPACT_DELETE,
               "cleanup policies have the same numbers on both sides");

// What a call of the broker left in `e`, or words of our own when it left none.
static int broker_said(struct err *e, enum broker_error code, const char *what, const char *topic)
{
    if (e->code == ERR_NONE)
        return err_set(e, code_of(code), "%s topic %s: the broker answers %s", what, topic,
                       broker_error_name(code));
    e->code = code_of(code);
    return -1;
}

static int native_topic_create(struct log *l, const struct log_topic_spec *s, struct err *e)
{
    struct native_client *c = native_of(l);
    struct broker_topic_config config = broker_topic_config_default(c->broker);
    config.cleanup = (enum broker_cleanup)s->cleanup;
    if (s->retention_ms != 0)
        config.retention_ms = s->retention_ms;
    if (s->retention_bytes != 0)
        config.retention_bytes = s->retention_bytes;
    if (s->segment_bytes != 0)
        config.segment_bytes = s->segment_bytes;
    if (s->delete_retention_ms != 0)
        config.delete_retention_ms = s->delete_retention_ms;
    if (s->max_message_bytes != 0)
        config.max_message_bytes = s->max_message_bytes < 0 ? 0 : s->max_message_bytes;
    e->code = ERR_NONE;
    enum broker_error code = broker_topic_create(c->broker, s->name, s->partitions, &config, e);
    return code == BROKER_OK ? 0 : broker_said(e, code, "create", s->name);
}

static int native_topic_delete(struct log *l, const char *name, struct err *e)
{
    e->code = ERR_NONE;
    enum broker_error code = broker_topic_delete(native_of(l)->broker, name, e);
    return code == BROKER_OK ? 0 : broker_said(e, code, "delete", name);
}

// --- offsets ------------------------------------------------------------------------------------

static int native_offset(struct log *l, struct log_tp tp, enum log_offset_kind kind, int64_t *out,
                         struct err *e)
{
    struct native_topic *t = native_topic_at(native_of(l), tp, e);
    if (t == NULL)
        return -1;
    struct broker_offsets o;
    enum broker_error code = broker_partition_offsets(t->partitions[tp.partition], &o);
    if (code != BROKER_OK)
        return native_error(e, code, "offsets", t->info.name, tp.partition);
    *out = kind == LOG_START ? o.start : kind == LOG_END_COMMITTED ? o.stable : o.end;
    return 0;
}

static int native_offset_at(struct log *l, struct log_tp tp, int64_t time_ms, int64_t *out,
                            struct err *e)
{
    struct native_topic *t = native_topic_at(native_of(l), tp, e);
    if (t == NULL)
        return -1;
    int64_t time;
    enum broker_error code =
        broker_offset_for_time(t->partitions[tp.partition], time_ms, out, &time);
    if (code != BROKER_OK)
        return native_error(e, code, "offset for a time", t->info.name, tp.partition);
    return *out >= 0 ? 0 : native_offset(l, tp, LOG_END_COMMITTED, out, e);
}

// One group offset, once no transaction holds it any more.
static int committed_one(struct native_client *c, const char *group, struct log_offset *io,
                         int64_t deadline_ms, struct err *e)
{
    struct native_topic *t = native_topic_at(c, io->tp, e);
    if (t == NULL)
        return -1;
    for (;;) {
        bool unstable = false;
        uint64_t seen = broker_progress(c->broker);
        io->offset =
            broker_offset_committed(c->broker, group, t->info.name, io->tp.partition, &unstable);
        if (!unstable)
            return 0;
        if (clk_mono_ms(clk_real()) >= deadline_ms)
            return err_set(e, ERR_AGAIN,
                           "offset of group %s for %s/%d: a transaction holds it and does not "
                           "end; wait for its timeout or abort it",
                           group, t->info.name, io->tp.partition);
        broker_progress_wait(c->broker, seen, UNSTABLE_STEP_MS);
    }
}

static int native_committed(struct log *l, const char *group, struct log_offset *io, uint32_t n,
                            struct err *e)
{
    int64_t deadline = clk_mono_ms(clk_real()) + UNSTABLE_MS;
    for (uint32_t i = 0; i < n; i++) {
        if (committed_one(native_of(l), group, &io[i], deadline, e) != 0)
            return -1;
    }
    return 0;
}

// --- transactions -------------------------------------------------------------------------------

// Fences older clients of the same id. Clients without an id get a producer of their own.
static int producer_init(struct native_client *c, struct err *e)
{
    enum broker_error code = broker_producer_init(c->broker, c->transactional_id, c->timeout_ms,
                                                  &c->producer_id, &c->producer_epoch);
    if (code != BROKER_OK)
        return err_set(e, code_of(code), "open transactional id %s: the broker answers %s",
                       c->transactional_id == NULL ? "(none)" : c->transactional_id,
                       broker_error_name(code));
    c->producer_known = true;
    return 0;
}

static int native_begin(struct log *l, struct err *e)
{
    struct native_client *c = native_of(l);
    if (c->state == NATIVE_DEAD)
        return fenced(c, e);
    CHECK(c->state == NATIVE_IDLE);
    if (!c->producer_known && producer_init(c, e) != 0)
        return -1;
    c->state = NATIVE_OPEN;
    c->sequence++;
    return 0;
}

static struct native_writing *writing_add(struct native_topic *t, struct log_tp tp)
{
    struct native_writing *w = check_alloc(calloc(1, sizeof *w));
    batch_builder_init(&w->builder);
    w->partition = t->partitions[tp.partition];
    w->tp = tp;
    int32_t most = t->info.config.max_message_bytes;
    w->target = most > 0 && most < BATCH_TARGET ? (uint32_t)most : BATCH_TARGET;
    t->writings[tp.partition] = w;
    return w;
}

static void touch(struct native_client *c, struct native_writing *w)
{
    if (c->touched_count == c->touched_size) {
        c->touched_size = c->touched_size == 0 ? 16 : c->touched_size * 2;
        c->touched = check_alloc(realloc(c->touched, c->touched_size * sizeof c->touched[0]));
    }
    c->touched[c->touched_count++] = w;
    w->touched = true;
}

// At most this many bytes in a batch, its numbers included.
static uint64_t size_bound(const struct log_record *r)
{
    uint64_t n = RECORD_OVERHEAD + (uint64_t)r->key.n + r->value.n;
    for (uint16_t i = 0; i < r->headers_count; i++)
        n += 10 + (uint64_t)r->headers[i].name.n + r->headers[i].value.n;
    return n;
}

static int too_large(const struct native_topic *t, struct log_tp tp, uint64_t bytes, struct err *e)
{
    return err_set(e, ERR_LIMIT,
                   "record of about %llu bytes for %s/%d is larger than the topic allows "
                   "(max.message.bytes = %d)",
                   (unsigned long long)bytes, t->info.name, tp.partition,
                   t->info.config.max_message_bytes);
}

static int native_append(struct log *l, struct log_tp tp, const struct log_record *r, struct err *e)
{
    struct native_client *c = native_of(l);
    CHECK(c->state == NATIVE_OPEN);
    struct native_topic *t = native_topic_at(c, tp, e);
    if (t == NULL)
        return -1;
    uint64_t bytes = size_bound(r);
    int32_t most = t->info.config.max_message_bytes;
    if (bytes + BATCH_HEADER > (uint64_t)(most > 0 ? most : INT32_MAX))
        return too_large(t, tp, bytes, e);
    struct native_writing *w = t->writings[tp.partition];
    if (w == NULL)
        w = writing_add(t, tp);
    if (!w->touched)
        touch(c, w);
    struct batch_builder *b = &w->builder;
    if (b->open &&
        (((b->attributes & BATCH_CONTROL) != 0) != r->marker || batch_size(b) + bytes > w->target))
        batch_finish(b, NULL);
    uint32_t before = b->buf.n;
    if (!b->open)
        batch_begin(b, r->time, r->marker ? BATCH_CONTROL : 0);
    batch_append(b, r);
    c->pending_bytes += b->buf.n - before;
    return 0;
}

static size_t native_pending_bytes(struct log *l)
{
    return native_of(l)->pending_bytes;
}

static void batch_add(struct native_client *c, struct broker_partition *p, struct slice bytes)
{
    if (c->batches_count == c->batches_size) {
        c->batches_size = c->batches_size == 0 ? 64 : c->batches_size * 2;
        c->batches = check_alloc(realloc(c->batches, c->batches_size * sizeof c->batches[0]));
    }
    c->batches[c->batches_count++] =
        (struct broker_batch){.partition = p, .bytes = bytes, .base_offset = -1};
}

// Finishes the open batches and lists all, in append order within a partition.
static void batches_collect(struct native_client *c)
{
    c->batches_count = 0;
    for (uint32_t i = 0; i < c->touched_count; i++) {
        struct native_writing *w = c->touched[i];
        if (w->builder.open)
            batch_finish(&w->builder, NULL);
        struct slice left = buf_slice(&w->builder.buf);
        while (left.n != 0) {
            uint32_t size = bytes_get32(left.p + 8) + BATCH_PREFIX;
            batch_add(c, w->partition, slice_of(left.p, size));
            left = slice_of(left.p + size, left.n - size);
        }
    }
}

static void transaction_end(struct native_client *c, enum native_state next)
{
    for (uint32_t i = 0; i < c->touched_count; i++) {
        batch_reset(&c->touched[i]->builder);
        c->touched[i]->touched = false;
    }
    c->touched_count = 0;
    c->batches_count = 0;
    c->pending_bytes = 0;
    c->state = next;
}

static void offsets_collect(struct native_client *c, const struct log_offset *offsets, uint32_t n)
{
    if (n > c->offsets_size) {
        c->offsets_size = n;
        c->offsets = check_alloc(realloc(c->offsets, n * sizeof c->offsets[0]));
    }
    for (uint32_t i = 0; i < n; i++) {
        CHECK(offsets[i].tp.topic < c->topics_count);
        c->offsets[i] = (struct broker_group_offset){
            .topic = c->topics[offsets[i].tp.topic]->info.name,
            .partition = offsets[i].tp.partition,
            .offset = offsets[i].offset,
        };
    }
}

// Nothing was written: which batch was refused, and why.
static void refused(struct native_client *c, enum broker_error code, struct err *e)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->touched_count; i++) {
        struct native_writing *w = c->touched[i];
        for (; at < c->batches_count && c->batches[at].partition == w->partition; at++) {
            if (c->batches[at].error == BROKER_OK)
                continue;
            native_error(e, c->batches[at].error, "transaction refused",
                         c->topics[w->tp.topic]->info.name, w->tp.partition);
            return;
        }
    }
    err_set(e, code_of(code), "transaction refused: the broker answers %s",
            broker_error_name(code));
}

static void unsure(struct native_client *c, enum broker_error code, struct err *e)
{
    char refusal[256];
    const char *why = broker_failure(c->broker);
    broker_refusal(c->broker, refusal, sizeof(refusal));
    if (why == NULL && refusal[0] != 0)
        err_set(e, ERR_UNKNOWN,
                "the broker cannot write: %s. Make room on the disk and start again: it goes on "
                "where it stopped",
                refusal);
    else
        err_set(e, ERR_UNKNOWN,
                "the broker could not say whether the transaction is on disk (%s): %s",
                broker_error_name(code), why == NULL ? "see its log lines" : why);
}

static enum log_outcome outcome_of(struct native_client *c, enum broker_error code, struct err *e)
{
    switch (code) {
    case BROKER_OK:
        transaction_end(c, NATIVE_IDLE);
        return LOG_COMMITTED;
    case BROKER_PRODUCER_FENCED:
    case BROKER_INVALID_PRODUCER_EPOCH:
    case BROKER_INVALID_PRODUCER_ID_MAPPING:
        fenced(c, e);
        transaction_end(c, NATIVE_DEAD);
        return LOG_FENCED;
    case BROKER_STORAGE_ERROR:
    case BROKER_UNKNOWN_SERVER_ERROR:
        unsure(c, code, e);
        c->state = NATIVE_UNSURE;
        return LOG_UNKNOWN;
    default:
        refused(c, code, e);
        transaction_end(c, NATIVE_IDLE);
        return LOG_ABORTED;
    }
}

static enum log_outcome native_commit(struct log *l, const char *group,
                                      const struct log_offset *offsets, uint32_t n, struct err *e)
{
    struct native_client *c = native_of(l);
    CHECK(c->state == NATIVE_OPEN || c->state == NATIVE_UNSURE);
    CHECK(n == 0 || group != NULL);
    if (c->state == NATIVE_OPEN)
        batches_collect(c);
    if (c->batches_count == 0 && n == 0) {
        transaction_end(c, NATIVE_IDLE);
        return LOG_COMMITTED;
    }
    offsets_collect(c, offsets, n);
    FAILPOINT("log.commit.before");
    enum broker_error code =
        broker_commit(c->broker, c->producer_id, c->producer_epoch, c->sequence, c->batches,
                      c->batches_count, n == 0 ? NULL : group, c->offsets, n);
    FAILPOINT("log.commit.after");
    return outcome_of(c, code, e);
}

static int native_abort(struct log *l, struct err *e)
{
    struct native_client *c = native_of(l);
    if (c->state == NATIVE_UNSURE)
        return err_set(e, ERR_UNKNOWN,
                       "a commit of unknown outcome cannot be aborted; repeat it "
                       "or close the client");
    CHECK(c->state == NATIVE_OPEN);
    transaction_end(c, NATIVE_IDLE);
    return 0;
}

// --- life ---------------------------------------------------------------------------------------

static void native_wake(struct log *l)
{
    struct native_client *c = native_of(l);
    atomic_store(&c->woken, true);
    broker_wake(c->broker);
}

static void native_close(struct log *l)
{
    struct native_client *c = native_of(l);
    native_read_close(c);
    for (uint32_t h = 0; h < c->topics_count; h++) {
        struct native_topic *t = c->topics[h];
        for (int32_t p = 0; p < t->info.partitions; p++) {
            if (t->writings[p] == NULL)
                continue;
            batch_builder_release(&t->writings[p]->builder);
            free(t->writings[p]);
        }
        free(t->partitions);
        free(t->writings);
        free(t);
    }
    free(c->topics);
    free(c->touched);
    free(c->batches);
    free(c->offsets);
    free(c->transactional_id);
    free(c);
}

static const struct log_ops ops = {
    .name = "native",
    .close = native_close,
    .topic_open = native_topic_open,
    .topic_create = native_topic_create,
    .topic_delete = native_topic_delete,
    .subscribe = native_subscribe,
    .assign = native_assign,
    .unassign = native_unassign,
    .seek = native_seek,
    .pause = native_pause,
    .poll = native_poll,
    .release = native_release,
    .offset = native_offset,
    .offset_at = native_offset_at,
    .committed = native_committed,
    .begin = native_begin,
    .append = native_append,
    .pending_bytes = native_pending_bytes,
    .commit = native_commit,
    .abort = native_abort,
    .wake = native_wake,
};

int native_open(struct broker *broker, const struct native_options *o, struct log **out,
                struct err *e)
{
    struct native_client *c = check_alloc(calloc(1, sizeof *c));
    c->log.ops = &ops;
    c->broker = broker;
    c->timeout_ms = o->timeout_ms == 0 ? TIMEOUT_MS : o->timeout_ms;
    c->poll_bytes = o->poll_bytes == 0 ? POLL_BYTES : o->poll_bytes;
    if (o->transactional_id != NULL) {
        c->transactional_id = check_alloc(strdup(o->transactional_id));
        if (producer_init(c, e) != 0) {
            native_close(&c->log);
            return -1;
        }
    }
    *out = &c->log;
    return 0;
}
