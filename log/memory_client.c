// SPDX-License-Identifier: Apache-2.0
//
// One client of the memory log. It owns what it has appended and not committed, its read positions
// and its leases; everything else belongs to the shared log.
//
// Invariants
// M1  A transaction is applied at most once: `applied` is set with the application and only
//     cleared when the transaction ends, so a repeated commit finds it.
// M2  A fenced client writes nothing: the epoch is compared before anything else in a commit.
// M3  Records handed out live in the lease only; nothing points into the shared log.
#include "log/handout.h"
#include "log/memory_log.h"

#include "base/hash.h"
#include "base/prng.h"

enum { POLL_RECORDS = 500, RECORD_OVERHEAD = 16 };

enum state { IDLE, OPEN, UNSURE, DEAD };

struct pending {
    const struct memory_topic *topic;
    struct memory_partition *partition;
    struct rec rec;
    uint8_t *block; // owned
};

struct reading { // an assigned partition
    struct log_tp tp;
    int64_t offset;
    bool paused;
};

struct lease {
    struct lease *next, **from; // in the client's list
    struct rec recs[];          // then their bytes
};

struct client {
    struct log log; // first: a struct log * is a struct client *
    struct memory_log *shared;
    struct memory_options options;
    uint32_t id, epoch; // of the transactional id, if there is one
    struct prng prng;
    struct memory_topic **topics; // by handle
    uint32_t topics_count;
    struct reading *readings;
    uint32_t readings_count, turn;
    struct handout handout;
    enum state state;
    struct pending *pending;
    uint32_t pending_count, pending_size;
    size_t pending_bytes;
    bool applied;
    uint64_t arguments; // hash of the unsure commit's
    struct lease *leases;
};

static struct client *of(struct log *l)
{
    return (struct client *)l;
}

static void pending_drop(struct client *c, bool free_blocks)
{
    for (uint32_t i = 0; free_blocks && i < c->pending_count; i++)
        free(c->pending[i].block);
    c->pending_count = 0;
    c->pending_bytes = 0;
    c->applied = false;
}

static void client_close(struct log *l)
{
    struct client *c = of(l);
    pending_drop(c, !c->applied);
    while (c->leases != NULL) {
        struct lease *next = c->leases->next;
        free(c->leases);
        c->leases = next;
    }
    free(c->topics);
    free(c->readings);
    handout_release(&c->handout);
    free(c->pending);
    free(c);
}

// A partition by handle; NULL with an error when handle, number or topic is wrong.
static struct memory_partition *partition_at(struct client *c, struct log_tp tp, struct err *e)
{
    CHECK(tp.topic < c->topics_count);
    struct memory_topic *topic = c->topics[tp.topic];
    if (topic->deleted) {
        err_set(e, ERR_NOT_FOUND, "topic %s has been deleted", topic->info.name);
        return NULL;
    }
    if (tp.partition < 0 || tp.partition >= topic->info.partitions) {
        err_set(e, ERR_NOT_FOUND, "topic %s has %d partitions, no partition %d", topic->info.name,
                topic->info.partitions, tp.partition);
        return NULL;
    }
    return &topic->partitions[tp.partition];
}

// --- topics -------------------------------------------------------------------------------------

static int client_topic_open(struct log *l, const char *name, uint32_t *handle,
                             struct log_topic_info *info, struct err *e)
{
    struct client *c = of(l);
    struct memory_topic *topic = memory_topic_find(c->shared, name);
    if (topic == NULL)
        return err_set(e, ERR_NOT_FOUND, "there is no topic %s", name);
    uint32_t h = 0;
    while (h < c->topics_count && c->topics[h] != topic)
        h++;
    if (h == c->topics_count) {
        c->topics = check_alloc(realloc(c->topics, (h + 1) * sizeof c->topics[0]));
        c->topics[c->topics_count++] = topic;
    }
    *handle = h;
    if (info != NULL)
        *info = topic->info;
    return 0;
}

static int client_topic_create(struct log *l, const struct log_topic_spec *spec, struct err *e)
{
    return memory_topic_create(of(l)->shared, spec, e);
}

static int client_topic_delete(struct log *l, const char *name, struct err *e)
{
    return memory_topic_delete(of(l)->shared, name, e);
}

// --- reading ------------------------------------------------------------------------------------

static int client_subscribe(struct log *l, const struct log_subscription *s, struct err *e)
{
    return handout_set(&of(l)->handout, s, e);
}

static int32_t partitions_of(void *arg, uint32_t topic)
{
    const struct client *c = arg;
    CHECK(topic < c->topics_count);
    return c->topics[topic]->info.partitions;
}

static struct reading *reading_of(struct client *c, struct log_tp tp)
{
    for (uint32_t i = 0; i < c->readings_count; i++) {
        if (c->readings[i].tp.topic == tp.topic && c->readings[i].tp.partition == tp.partition)
            return &c->readings[i];
    }
    return NULL;
}

static int client_assign(struct log *l, struct log_tp tp, int64_t offset, struct err *e)
{
    struct client *c = of(l);
    if (partition_at(c, tp, e) == NULL)
        return -1;
    if (reading_of(c, tp) != NULL)
        return err_set(e, ERR_EXISTS, "%s/%d is assigned already", c->topics[tp.topic]->info.name,
                       tp.partition);
    uint32_t n = c->readings_count++;
    c->readings = check_alloc(realloc(c->readings, (n + 1) * sizeof c->readings[0]));
    c->readings[n] = (struct reading){tp, offset, false};
    return 0;
}

static int client_unassign(struct log *l, struct log_tp tp, struct err *e)
{
    struct client *c = of(l);
    struct reading *r = reading_of(c, tp);
    if (r == NULL)
        return err_set(e, ERR_NOT_FOUND, "partition %d is not assigned", tp.partition);
    size_t after = (size_t)(&c->readings[c->readings_count] - (r + 1));
    memmove(r, r + 1, after * sizeof *r);
    c->readings_count--;
    return 0;
}

static int client_seek(struct log *l, struct log_tp tp, int64_t offset, struct err *e)
{
    struct reading *r = reading_of(of(l), tp);
    if (r == NULL)
        return err_set(e, ERR_NOT_FOUND, "partition %d is not assigned", tp.partition);
    r->offset = offset;
    return 0;
}

static void client_pause(struct log *l, struct log_tp tp, bool paused)
{
    struct reading *r = reading_of(of(l), tp);
    if (r != NULL)
        r->paused = paused;
}

static struct slice copied(uint8_t **at, struct slice s)
{
    if (s.p == NULL)
        return s;
    uint8_t *p = *at;
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return slice_of(p, s.n);
}

static void lease_fill(struct client *c, const struct rec *recs, uint32_t n, struct rec_batch *out)
{
    size_t bytes = sizeof(struct lease) + n * sizeof recs[0] + REC_PADDING;
    for (uint32_t i = 0; i < n; i++)
        bytes += (size_t)recs[i].key.n + recs[i].value.n + recs[i].headers.n;
    struct lease *lease = check_alloc(calloc(1, bytes));
    uint8_t *at = (uint8_t *)&lease->recs[n];
    for (uint32_t i = 0; i < n; i++) {
        lease->recs[i] = recs[i];
        lease->recs[i].key = copied(&at, recs[i].key);
        lease->recs[i].value = copied(&at, recs[i].value);
        lease->recs[i].headers = copied(&at, recs[i].headers);
    }
    lease->next = c->leases;
    lease->from = &c->leases;
    if (lease->next != NULL)
        lease->next->from = &lease->next;
    c->leases = lease;
    out->recs = lease->recs;
    out->count = n;
    out->lease = lease;
}

static void client_release(struct log *l, struct rec_batch *b)
{
    (void)l;
    struct lease *lease = b->lease;
    CHECK(lease != NULL);
    *lease->from = lease->next;
    if (lease->next != NULL)
        lease->next->from = lease->from;
    free(lease);
    *b = (struct rec_batch){0};
}

// 1, 0 or -1 as poll, for one partition.
static int read_one(struct client *c, struct reading *r, struct rec_batch *out, struct err *e)
{
    out->tp = r->tp;
    struct memory_partition *p = partition_at(c, r->tp, e);
    if (p == NULL)
        return -1;
    if (r->offset < p->start || r->offset > p->end)
        return err_set(e, ERR_RANGE, "%s/%d: offset %lld is outside the log (%lld to %lld)",
                       c->topics[r->tp.topic]->info.name, r->tp.partition, (long long)r->offset,
                       (long long)p->start, (long long)p->end);
    if (r->offset == p->end)
        return 0;
    uint32_t limit = c->options.poll_records;
    if (c->options.seed != 0)
        limit = 1 + (uint32_t)prng_below(&c->prng, limit);
    uint32_t first = memory_partition_find(p, r->offset);
    uint32_t n = p->count - first < limit ? p->count - first : limit;
    lease_fill(c, p->recs + first, n, out);
    bool rest = first + n < p->count; // else skip the gap at the end too
    r->offset = rest ? p->recs[first + n].offset : p->end;
    out->next_offset = r->offset;
    out->end_offset = p->end;
    return 1;
}

static int client_poll(struct log *l, int64_t wait_ms, struct rec_batch *out, struct err *e)
{
    (void)wait_ms;
    struct client *c = of(l);
    *out = (struct rec_batch){0};
    if (c->handout.due)
        handout_tell(&c->handout, partitions_of, c);
    if (c->readings_count == 0)
        return 0;
    uint32_t first = c->options.seed == 0 ? c->turn : (uint32_t)prng_below(&c->prng, UINT32_MAX);
    for (uint32_t i = 0; i < c->readings_count; i++) {
        uint32_t at = (uint32_t)(((uint64_t)first + i) % c->readings_count);
        if (c->readings[at].paused)
            continue;
        int got = read_one(c, &c->readings[at], out, e);
        if (got != 0) {
            c->turn = at + 1;
            return got;
        }
    }
    return 0;
}

static int client_offset(struct log *l, struct log_tp tp, enum log_offset_kind kind, int64_t *out,
                         struct err *e)
{
    struct memory_partition *p = partition_at(of(l), tp, e);
    if (p == NULL)
        return -1;
    *out = kind == LOG_START ? p->start : p->end;
    return 0;
}

static int client_offset_at(struct log *l, struct log_tp tp, int64_t time_ms, int64_t *out,
                            struct err *e)
{
    struct memory_partition *p = partition_at(of(l), tp, e);
    if (p == NULL)
        return -1;
    *out = p->end;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->recs[i].time >= time_ms && (p->recs[i].flags & REC_MARKER) == 0) {
            *out = p->recs[i].offset;
            break;
        }
    }
    return 0;
}

static int client_committed(struct log *l, const char *group, struct log_offset *io, uint32_t n,
                            struct err *e)
{
    struct client *c = of(l);
    for (uint32_t i = 0; i < n; i++) {
        if (partition_at(c, io[i].tp, e) == NULL)
            return -1;
        io[i].offset =
            memory_offset_get(c->shared, group, c->topics[io[i].tp.topic], io[i].tp.partition);
    }
    return 0;
}

// --- writing ------------------------------------------------------------------------------------

static int client_begin(struct log *l, struct err *e)
{
    struct client *c = of(l);
    if (c->state == DEAD)
        return err_set(e, ERR_FENCED, "another client has taken over transactional id %s",
                       c->options.transactional_id);
    CHECK(c->state == IDLE);
    c->state = OPEN;
    return 0;
}

static int client_append(struct log *l, struct log_tp tp, const struct log_record *r, struct err *e)
{
    struct client *c = of(l);
    CHECK(c->state == OPEN);
    struct memory_partition *p = partition_at(c, tp, e);
    if (p == NULL)
        return -1;
    if (c->pending_count == c->pending_size) {
        c->pending_size = c->pending_size == 0 ? 16 : c->pending_size * 2;
        c->pending = check_alloc(realloc(c->pending, c->pending_size * sizeof c->pending[0]));
    }
    struct pending *one = &c->pending[c->pending_count++];
    one->topic = c->topics[tp.topic];
    one->partition = p;
    one->block = memory_record_copy(r, &one->rec);
    c->pending_bytes +=
        RECORD_OVERHEAD + (size_t)one->rec.key.n + one->rec.value.n + one->rec.headers.n;
    return 0;
}

static size_t client_pending_bytes(struct log *l)
{
    return of(l)->pending_bytes;
}

static uint64_t hash_of_arguments(const char *group, const struct log_offset *offsets, uint32_t n)
{
    uint64_t h = group == NULL ? 0 : hash_bytes(slice_str(group));
    for (uint32_t i = 0; i < n; i++) {
        h = hash_mix(h ^ offsets[i].tp.topic);
        h = hash_mix(h ^ (uint32_t)offsets[i].tp.partition);
        h = hash_mix(h ^ (uint64_t)offsets[i].offset);
    }
    return hash_mix(h ^ n);
}

// Makes everything visible, or nothing: a deleted topic refuses the whole transaction.
static int apply(struct client *c, const char *group, const struct log_offset *offsets, uint32_t n,
                 struct err *e)
{
    for (uint32_t i = 0; i < c->pending_count; i++) {
        if (c->pending[i].topic->deleted)
            return err_set(e, ERR_NOT_FOUND, "topic %s was deleted while written to",
                           c->pending[i].topic->info.name);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (partition_at(c, offsets[i].tp, e) == NULL)
            return -1;
    }
    for (uint32_t i = 0; i < c->pending_count; i++) {
        struct pending *one = &c->pending[i];
        memory_partition_push(one->partition, &one->rec, one->block);
    }
    for (uint32_t i = 0; c->shared->gaps && i < c->pending_count; i++) {
        struct memory_partition *p = c->pending[i].partition;
        if (p->end == p->recs[p->count - 1].offset + 1)
            p->end++;
    }
    for (uint32_t i = 0; i < n; i++)
        memory_offset_set(c->shared, group, c->topics[offsets[i].tp.topic], offsets[i].tp.partition,
                          offsets[i].offset);
    c->applied = true;
    return 0;
}

static enum log_outcome ended(struct client *c, enum state next, enum log_outcome outcome)
{
    pending_drop(c, !c->applied);
    c->state = next;
    return outcome;
}

static enum log_outcome fenced(struct client *c, struct err *e)
{
    const char *id = c->options.transactional_id;
    err_set(e, ERR_FENCED, "another client has taken over transactional id %s",
            id == NULL ? "(none)" : id);
    return ended(c, DEAD, LOG_FENCED);
}

static enum log_outcome client_commit(struct log *l, const char *group,
                                      const struct log_offset *offsets, uint32_t n, struct err *e)
{
    struct client *c = of(l);
    uint64_t arguments = hash_of_arguments(group, offsets, n);
    CHECK(c->state == OPEN || (c->state == UNSURE && arguments == c->arguments));
    CHECK(n == 0 || group != NULL);
    c->arguments = arguments;
    bool named = c->options.transactional_id != NULL;
    if (named && c->shared->ids[c->id].epoch != c->epoch)
        return fenced(c, e);
    enum memory_fault fault =
        c->options.fault == NULL ? MEMORY_NORMAL : c->options.fault(c->options.fault_arg);
    if (fault == MEMORY_FENCE) {
        if (named)
            c->shared->ids[c->id].epoch++;
        return fenced(c, e);
    }
    if (fault == MEMORY_ABORT && !c->applied) {
        err_set(e, ERR_AGAIN, "the transaction was aborted by an injected fault");
        return ended(c, IDLE, LOG_ABORTED);
    }
    if (fault != MEMORY_UNKNOWN_LOST && !c->applied && apply(c, group, offsets, n, e) != 0)
        return ended(c, IDLE, LOG_ABORTED);
    if (fault == MEMORY_UNKNOWN_LOST || fault == MEMORY_UNKNOWN_APPLIED) {
        err_set(e, ERR_UNKNOWN, "the outcome of the commit is unknown (injected fault)");
        c->state = UNSURE;
        return LOG_UNKNOWN;
    }
    return ended(c, IDLE, LOG_COMMITTED);
}

static int client_abort(struct log *l, struct err *e)
{
    struct client *c = of(l);
    if (c->state == UNSURE)
        return err_set(e, ERR_UNKNOWN,
                       "a commit of unknown outcome cannot be aborted; repeat it "
                       "or close the client");
    CHECK(c->state == OPEN);
    ended(c, IDLE, LOG_ABORTED);
    return 0;
}

static void client_wake(struct log *l)
{
    (void)l; // nothing ever waits
}

static const struct log_ops ops = {
    .name = "memory",
    .close = client_close,
    .topic_open = client_topic_open,
    .topic_create = client_topic_create,
    .topic_delete = client_topic_delete,
    .subscribe = client_subscribe,
    .assign = client_assign,
    .unassign = client_unassign,
    .seek = client_seek,
    .pause = client_pause,
    .poll = client_poll,
    .release = client_release,
    .offset = client_offset,
    .offset_at = client_offset_at,
    .committed = client_committed,
    .begin = client_begin,
    .append = client_append,
    .pending_bytes = client_pending_bytes,
    .commit = client_commit,
    .abort = client_abort,
    .wake = client_wake,
};

struct log *memory_open(struct memory_log *shared, const struct memory_options *options)
{
    struct client *c = check_alloc(calloc(1, sizeof *c));
    c->log.ops = &ops;
    c->shared = shared;
    c->options = *options;
    if (c->options.poll_records == 0)
        c->options.poll_records = POLL_RECORDS;
    prng_init(&c->prng, options->seed);
    if (options->transactional_id != NULL) {
        c->id = memory_id_of(shared, options->transactional_id);
        c->options.transactional_id = shared->ids[c->id].name; // lives as long as the log
        c->epoch = ++shared->ids[c->id].epoch;
    }
    return &c->log;
}

void memory_crash(struct log *l)
{
    CHECK(l->ops == &ops);
    client_close(l);
}

void memory_poll_records(struct log *l, uint32_t at_most)
{
    CHECK(l->ops == &ops && at_most > 0);
    of(l)->options.poll_records = at_most;
}
