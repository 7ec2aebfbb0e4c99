// SPDX-License-Identifier: Apache-2.0
//
// The reading half: assigned partitions in turn, leases, waiting. A partition in which nothing was
// found is not asked again before the broker has made progress; a poll of many idle partitions
// costs one load per partition.
#include "log/native_client.h"

enum { LEASE_KEEP = 8 << 20 }; // a lease that grew beyond this gives its memory back

int native_subscribe(struct log *l, const struct log_subscription *s, struct err *e)
{
    return handout_set(&native_of(l)->handout, s, e);
}

static int32_t partitions_of(void *arg, uint32_t topic)
{
    const struct native_client *c = arg;
    CHECK(topic < c->topics_count);
    return c->topics[topic]->info.partitions;
}

static struct native_reading *reading_of(struct native_client *c, struct log_tp tp)
{
    for (uint32_t i = 0; i < c->readings_count; i++) {
        if (c->readings[i].tp.topic == tp.topic && c->readings[i].tp.partition == tp.partition)
            return &c->readings[i];
    }
    return NULL;
}

static int not_assigned(struct native_client *c, struct log_tp tp, struct err *e)
{
    CHECK(tp.topic < c->topics_count);
    return err_set(e, ERR_NOT_FOUND, "%s/%d is not assigned", c->topics[tp.topic]->info.name,
                   tp.partition);
}

int native_assign(struct log *l, struct log_tp tp, int64_t offset, struct err *e)
{
    struct native_client *c = native_of(l);
    struct native_topic *t = native_topic_at(c, tp, e);
    if (t == NULL)
        return -1;
    if (reading_of(c, tp) != NULL)
        return err_set(e, ERR_EXISTS, "%s/%d is assigned already", t->info.name, tp.partition);
    uint32_t n = c->readings_count++;
    c->readings = check_alloc(realloc(c->readings, (n + 1) * sizeof c->readings[0]));
    c->readings[n] = (struct native_reading){
        .tp = tp,
        .partition = t->partitions[tp.partition],
        .offset = offset,
        .drained = UINT64_MAX,
    };
    return 0;
}

int native_unassign(struct log *l, struct log_tp tp, struct err *e)
{
    struct native_client *c = native_of(l);
    struct native_reading *r = reading_of(c, tp);
    if (r == NULL)
        return not_assigned(c, tp, e);
    size_t after = (size_t)(&c->readings[c->readings_count] - (r + 1));
    memmove(r, r + 1, after * sizeof *r);
    c->readings_count--;
    return 0;
}

int native_seek(struct log *l, struct log_tp tp, int64_t offset, struct err *e)
{
    struct native_client *c = native_of(l);
    struct native_reading *r = reading_of(c, tp);
    if (r == NULL)
        return not_assigned(c, tp, e);
    r->offset = offset;
    r->drained = UINT64_MAX;
    return 0;
}

void native_pause(struct log *l, struct log_tp tp, bool paused)
{
    struct native_reading *r = reading_of(native_of(l), tp);
    if (r != NULL)
        r->paused = paused;
}

// --- leases -------------------------------------------------------------------------------------

static struct native_lease *lease_take(struct native_client *c)
{
    struct native_lease *lease = c->free_leases;
    if (lease == NULL) {
        lease = check_alloc(calloc(1, sizeof *lease));
        c->leases = check_alloc(realloc(c->leases, (c->leases_count + 1) * sizeof c->leases[0]));
        c->leases[c->leases_count++] = lease;
    } else {
        c->free_leases = lease->next;
    }
    lease->out = true;
    buf_clear(&lease->bytes);
    // Padding behind the last record, without moving what will be read.
    buf_reserve(&lease->bytes, c->poll_bytes + REC_PADDING);
    return lease;
}

static void unpacked_release(struct native_lease *lease)
{
    for (uint32_t i = 0; i < lease->unpacked_size; i++)
        buf_release(&lease->unpacked[i]);
    free(lease->unpacked);
    lease->unpacked = NULL;
    lease->unpacked_count = lease->unpacked_size = 0;
}

static void lease_back(struct native_client *c, struct native_lease *lease)
{
    CHECK(lease->out);
    size_t unpacked = 0;
    for (uint32_t i = 0; i < lease->unpacked_size; i++)
        unpacked += lease->unpacked[i].size;
    if (unpacked > LEASE_KEEP)
        unpacked_release(lease);
    if (lease->bytes.size > LEASE_KEEP)
        buf_release(&lease->bytes);
    lease->out = false;
    lease->next = c->free_leases;
    c->free_leases = lease;
}

void native_release(struct log *l, struct rec_batch *b)
{
    lease_back(native_of(l), b->lease);
    *b = (struct rec_batch){0};
}

void native_read_close(struct native_client *c)
{
    for (uint32_t i = 0; i < c->leases_count; i++) {
        struct native_lease *lease = c->leases[i];
        unpacked_release(lease);
        buf_release(&lease->bytes);
        free(lease->recs);
        free(lease);
    }
    free(c->leases);
    free(c->readings);
    handout_release(&c->handout);
}

// --- polling ------------------------------------------------------------------------------------

static int out_of_range(struct native_client *c, const struct native_reading *r,
                        const struct broker_offsets *o, struct err *e)
{
    return err_set(e, ERR_RANGE,
                   "%s/%d: offset %lld is outside the log (%lld to %lld): its records were deleted "
                   "by retention, or the topic was made anew",
                   c->topics[r->tp.topic]->info.name, r->tp.partition, (long long)r->offset,
                   (long long)o->start, (long long)o->end);
}

// Decodes what was read into the batch that is handed out.
static int lease_decode(struct native_client *c, struct native_reading *r,
                        struct native_lease *lease, struct broker_read *read, struct rec_batch *out,
                        struct err *e)
{
    memset(buf_reserve(&lease->bytes, REC_PADDING), 0, REC_PADDING);
    int64_t next = native_decode(lease, r->offset, read, &out->count, e);
    if (next < 0)
        return err_wrap(e, "%s/%d", c->topics[r->tp.topic]->info.name, r->tp.partition);
    if (next == r->offset)
        return 0;
    r->offset = next;
    out->recs = lease->recs;
    out->next_offset = next;
    out->end_offset = read->offsets.stable;
    out->lease = lease;
    return 1;
}

// As poll, for one partition; `progress` was read before.
static int read_one(struct native_client *c, struct native_reading *r, uint64_t progress,
                    struct rec_batch *out, struct err *e)
{
    struct native_lease *lease = lease_take(c);
    struct broker_read read = {.next_offset = r->offset};
    enum broker_error code =
        broker_read(r->partition, r->offset, c->poll_bytes, true, &lease->bytes, &read);
    int got;
    out->tp = r->tp;
    if (code == BROKER_OFFSET_OUT_OF_RANGE) {
        got = out_of_range(c, r, &read.offsets, e);
    } else if (code != BROKER_OK) {
        got = native_error(e, code, "read", c->topics[r->tp.topic]->info.name, r->tp.partition);
        err_wrap(e, "offset %lld", (long long)r->offset);
    } else if (lease->bytes.n == 0 && read.next_offset <= r->offset) {
        got = 0;
    } else {
        got = lease_decode(c, r, lease, &read, out, e);
    }
    if (got == 0)
        r->drained = progress;
    free(read.aborted);
    if (got != 1)
        lease_back(c, lease);
    return got;
}

static int scan(struct native_client *c, uint64_t progress, struct rec_batch *out, struct err *e)
{
    for (uint32_t i = 0; i < c->readings_count; i++) {
        uint32_t at = (c->turn + i) % c->readings_count;
        struct native_reading *r = &c->readings[at];
        if (r->paused || r->drained == progress)
            continue;
        int got = read_one(c, r, progress, out, e);
        if (got != 0) {
            c->turn = at + 1;
            return got;
        }
    }
    return 0;
}

int native_poll(struct log *l, int64_t wait_ms, struct rec_batch *out, struct err *e)
{
    struct native_client *c = native_of(l);
    *out = (struct rec_batch){0};
    if (c->handout.due)
        handout_tell(&c->handout, partitions_of, c);
    int64_t deadline = 0;
    for (;;) {
        uint64_t progress = broker_progress(c->broker); // before looking: nothing slips between
        int got = scan(c, progress, out, e);
        if (got != 0 || wait_ms <= 0)
            return got;
        if (atomic_exchange(&c->woken, false))
            return 0;
        int64_t now = clk_mono_ms(clk_real());
        if (deadline == 0)
            deadline = now + wait_ms;
        if (now >= deadline)
            return 0;
        if (broker_progress_wait(c->broker, progress, deadline - now) == progress) {
            atomic_store(&c->woken, false);
            return 0; // time is up, or somebody was woken; a poll may always be empty
        }
    }
}
