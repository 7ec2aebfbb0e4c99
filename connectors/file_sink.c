// SPDX-License-Identifier: Apache-2.0
//
// File sink: reads every partition of a topic and writes each into its own sequence of files. A
// file becomes visible together with the offset behind it (file_commit.h); what was not finished is
// read and written again after a restart.
//
// Invariants
// K1  Which rows share a file, and every byte of it, follow from the partition's records alone (and
//     from where bounded runs ended): row number, event time, content. Not from commits, batches,
//     crashes or the clock.
// K2  Nothing of an open file is in the ledger; nothing in the ledger is written again.
// K3  A record is a row of one file, or a dead letter written before the ledger passes it.
//
// One thread. Failure: a record that cannot become a row is a dead letter and takes no row number.
// ERR_FENCED: another sink has taken the directory over. ERR_INVALID: records were deleted before
// they were read, the directory is somebody else's.
#include "connectors/file_sink.h"

#include "base/failpoint.h"
#include "base/logline.h"
#include "connectors/file_commit.h"
#include "connectors/sink_encoder.h"
#include "connectors/sink_output.h"
#include "log/marker.h"

enum { POLL_MS = 10, STEP_BATCHES = 8 };

struct sink_part { // one partition
    struct log_tp tp;
    struct file_commit ledger;
    int64_t position;        // next offset to read
    int64_t next_row;        // of the next good record
    struct sink_output *out; // NULL: no file is open
    struct sink_file file;   // its facts so far
    int64_t first_row;
    int64_t span; // event-time span of the open file
    bool assigned;
    bool *ended; // per writer of each group, in the groups' order
};

struct file_sink {
    struct connector base;
    struct connector_ctx *ctx; // borrowed
    struct arena arena;        // of conf
    struct sink_conf conf;
    struct sink_encoder *encoder;
    uint32_t topic;
    struct sink_part *parts;
    int32_t parts_count;
    uint32_t writers; // sum over the groups
    bool letters;     // a transaction with dead letters is open
    bool finished;
};

// --- files --------------------------------------------------------------------------------------

static int64_t span_of(const struct file_sink *s, int64_t time)
{
    if (s->conf.roll_every == 0)
        return 0;
    int64_t d = time / s->conf.roll_every;
    return time % s->conf.roll_every < 0 ? d - 1 : d;
}

static int in_directory(const struct file_sink *s, struct err *e)
{
    return err_wrap(e, "sink \"%s\": in \"%s\"", s->ctx->spec->name, s->conf.path);
}

static int begin_file(struct file_sink *s, struct sink_part *p, const struct rec *r, struct err *e)
{
    char name[FILE_COMMIT_NAME], tmp[FILE_COMMIT_NAME];
    file_commit_names(&p->ledger, p->next_row, name, tmp);
    if (sink_output_open(p->ledger.dir, tmp, name, s->conf.format, sink_encoder_header(s->encoder),
                         &p->out, e) != 0)
        return in_directory(s, e);
    memset(&p->file, 0, sizeof p->file);
    p->file.first_offset = r->offset;
    p->file.min_time = INT64_MAX;
    p->file.max_time = INT64_MIN;
    p->first_row = p->next_row;
    p->span = span_of(s, r->time);
    return 0;
}

// Dead letters must be durable before the ledger passes their records (K3).
static int commit_letters(struct file_sink *s, struct err *e)
{
    struct log *log = s->ctx->log;
    if (!s->letters)
        return 0;
    enum log_outcome outcome = LOG_UNKNOWN;
    for (int i = 0; i < 5 && outcome == LOG_UNKNOWN; i++)
        outcome = log->ops->commit(log, NULL, NULL, 0, e);
    s->letters = false;
    if (outcome == LOG_COMMITTED)
        return 0;
    if (outcome == LOG_FENCED)
        return err_set(e, ERR_FENCED, "sink \"%s\": another process has taken over",
                       s->ctx->spec->name);
    return err_set(e, ERR_AGAIN, "sink \"%s\": dead letters were not committed; reading again",
                   s->ctx->spec->name);
}

// The open file is complete: makes it visible, with `next_offset` to go on from.
static int end_file(struct file_sink *s, struct sink_part *p, int64_t next_offset, struct err *e)
{
    if (commit_letters(s, e) != 0)
        return -1;
    if (sink_output_finish(p->out, &p->file, e) != 0)
        return in_directory(s, e);
    if (file_commit_add(&p->ledger, &p->file, 1, next_offset, p->next_row, e) != 0)
        return err_wrap(e, "sink \"%s\"", s->ctx->spec->name);
    sink_output_close(p->out);
    p->out = NULL;
    if (s->ctx->stats != NULL) {
        counter_add(&s->ctx->stats->commits, 1);
        counter_add(&s->ctx->stats->bytes, (uint64_t)p->file.bytes);
    }
    return 0;
}

// --- records ------------------------------------------------------------------------------------

static int set_aside(struct file_sink *s, struct sink_part *p, const struct rec *r,
                     const struct err *why, struct err *e)
{
    char where[300];
    struct log *log = s->ctx->log;
    snprintf(where, sizeof where, "%s/%d/%lld", s->ctx->spec->topic, p->tp.partition,
             (long long)r->offset);
    if (!s->letters && log->ops->begin(log, e) != 0)
        return -1;
    s->letters = true;
    if (s->ctx->stats != NULL)
        counter_add(&s->ctx->stats->bad, 1);
    return s->ctx->dead_letter(s->ctx, why->text, where, r->key, r->value, e);
}

static int write_row(struct file_sink *s, struct sink_part *p, const struct rec *r, struct err *e)
{
    if (sink_output_row(p->out, e) != 0)
        return in_directory(s, e);
    p->file.last_offset = r->offset;
    if (r->time < p->file.min_time)
        p->file.min_time = r->time;
    if (r->time > p->file.max_time)
        p->file.max_time = r->time;
    p->next_row++;
    if (s->ctx->stats != NULL) {
        counter_add(&s->ctx->stats->records, 1);
        if (r->time > atomic_load_explicit(&s->ctx->stats->event_time, memory_order_relaxed))
            atomic_store_explicit(&s->ctx->stats->event_time, r->time, memory_order_relaxed);
    }
    return p->next_row - p->first_row >= s->conf.roll_rows ? end_file(s, p, r->offset + 1, e) : 0;
}

// The row goes to a scratch first when no file is open or a new one may have to begin: a bad record
// must neither begin nor end a file (K1).
static int put_record(struct file_sink *s, struct sink_part *p, const struct rec *r,
                      struct buf *scratch, struct err *e)
{
    struct err why;
    bool later = p->out != NULL && span_of(s, r->time) > p->span;
    bool direct = p->out != NULL && !later;
    struct buf *to = direct ? sink_output_buf(p->out) : scratch;
    if (!direct)
        buf_clear(scratch);
    if (sink_encoder_row(s->encoder, r->value, to, &why) != 0)
        return set_aside(s, p, r, &why, e);
    if (!direct) {
        if ((later && end_file(s, p, r->offset, e) != 0) || begin_file(s, p, r, e) != 0)
            return -1;
        buf_slice_put(sink_output_buf(p->out), buf_slice(scratch));
    }
    return write_row(s, p, r, e);
}

static void note_marker(struct file_sink *s, struct sink_part *p, const struct rec *r)
{
    struct marker m;
    if (marker_decode(r->value, &m) != 0)
        return;
    uint32_t base = 0;
    for (uint32_t g = 0; g < s->ctx->writers_count; g++) {
        const struct marker_writers *w = &s->ctx->writers[g];
        if (w->group == m.group && m.writer >= 0 && m.writer < w->writers)
            p->ended[base + (uint32_t)m.writer] = (m.flags & MARKER_END) != 0;
        base += (uint32_t)w->writers;
    }
}

static int put_batch(struct file_sink *s, const struct rec_batch *b, struct err *e)
{
    CHECK(b->tp.partition < s->parts_count);
    struct sink_part *p = &s->parts[b->tp.partition];
    struct buf scratch;
    buf_init(&scratch);
    int rc = 0;
    for (uint32_t i = 0; i < b->count && rc == 0; i++) {
        const struct rec *r = &b->recs[i];
        if ((r->flags & REC_MARKER) != 0)
            note_marker(s, p, r);
        else
            rc = put_record(s, p, r, &scratch, e);
    }
    p->position = b->next_offset;
    buf_release(&scratch);
    return rc == 0 ? commit_letters(s, e) : rc;
}

// --- the end of a bounded run -------------------------------------------------------------------

static bool all_ended(const struct file_sink *s, const struct sink_part *p)
{
    for (uint32_t i = 0; i < s->writers; i++)
        if (!p->ended[i])
            return false;
    return true;
}

// 1: everything that will come has been read; 0: not yet.
static int at_end(struct file_sink *s, struct err *e)
{
    if (s->ctx->upstream_done != NULL && !s->ctx->upstream_done(s->ctx->arg, s->ctx->spec->topic))
        return 0;
    for (int32_t i = 0; i < s->parts_count; i++) {
        struct sink_part *p = &s->parts[i];
        int64_t end;
        if (!all_ended(s, p))
            return 0;
        if (s->ctx->log->ops->offset(s->ctx->log, p->tp, LOG_END_COMMITTED, &end, e) != 0)
            return -1;
        if (p->position < end)
            return 0;
    }
    return 1;
}

static int finish(struct file_sink *s, struct err *e)
{
    for (int32_t i = 0; i < s->parts_count; i++) {
        struct sink_part *p = &s->parts[i];
        int rc = 0;
        if (p->out != NULL)
            rc = end_file(s, p, p->position, e);
        else if (p->position > p->ledger.next_offset) // markers, dead letters
            rc = file_commit_add(&p->ledger, NULL, 0, p->position, p->next_row, e);
        if (rc != 0)
            return -1;
    }
    s->finished = true;
    if (s->ctx->stats != NULL)
        atomic_store(&s->ctx->stats->finished, true);
    return 2;
}

// --- connector ----------------------------------------------------------------------------------

static void file_sink_close(struct connector *c)
{
    struct file_sink *s = (struct file_sink *)c;
    struct err ignored;
    if (s->letters)
        (void)s->ctx->log->ops->abort(s->ctx->log, &ignored);
    for (int32_t i = 0; i < s->parts_count; i++) {
        if (s->parts[i].assigned) // the client may serve a reopened sink
            (void)s->ctx->log->ops->unassign(s->ctx->log, s->parts[i].tp, &ignored);
        sink_output_close(s->parts[i].out);
        file_commit_close(&s->parts[i].ledger);
        free(s->parts[i].ended);
    }
    free(s->parts);
    sink_encoder_free(s->encoder);
    arena_release(&s->arena);
    free(s);
}

static int open_part(struct file_sink *s, const struct log_topic_info *info, int32_t i,
                     struct err *e)
{
    struct sink_part *p = &s->parts[i];
    struct log *log = s->ctx->log;
    p->tp = (struct log_tp){s->topic, i};
    p->ended = check_alloc(calloc(s->writers + 1, sizeof *p->ended));
    if (file_commit_open(&p->ledger, s->conf.path, info, i, sink_format_name(s->conf.format), e) !=
        0)
        return -1;
    int64_t end;
    if (log->ops->offset(log, p->tp, LOG_END_UNCOMMITTED, &end, e) != 0)
        return -1;
    if (p->ledger.next_offset > end)
        return err_set(e, ERR_INVALID,
                       "\"%s\" holds the records of %s/%d up to offset %lld, but the topic ends "
                       "at %lld: the log has lost its end, or was restored from an older copy. "
                       "Restore the newer log, or move the directory away to write everything "
                       "again",
                       s->conf.path, s->ctx->spec->topic, i, (long long)p->ledger.next_offset,
                       (long long)end);
    p->position = p->ledger.next_offset;
    p->next_row = p->ledger.next_row;
    if (p->position < 0 && log->ops->offset(log, p->tp, LOG_START, &p->position, e) != 0)
        return -1;
    p->assigned = log->ops->assign(log, p->tp, p->position, e) == 0;
    return p->assigned ? 0 : -1;
}

static int open_parts(struct file_sink *s, struct err *e)
{
    struct log_topic_info info;
    struct log *log = s->ctx->log;
    if (log->ops->topic_open(log, s->ctx->spec->topic, &s->topic, &info, e) != 0) {
        if (e->code == ERR_NOT_FOUND)
            e->code = ERR_AGAIN; // whoever writes it creates it
        return -1;
    }
    for (uint32_t g = 0; g < s->ctx->writers_count; g++)
        s->writers += (uint32_t)s->ctx->writers[g].writers;
    s->parts = check_alloc(calloc((size_t)info.partitions, sizeof *s->parts));
    for (int32_t i = 0; i < info.partitions; i++) {
        s->parts_count = i + 1;
        if (open_part(s, &info, i, e) != 0)
            return -1;
    }
    return 0;
}

static int file_sink_open(struct connector_ctx *ctx, struct connector **out, struct err *e)
{
    struct file_sink *s = check_alloc(calloc(1, sizeof *s));
    s->base.ops = &file_sink_ops;
    s->ctx = ctx;
    arena_init(&s->arena);
    if (sink_conf_read(ctx->spec, &s->arena, &s->conf, e) != 0 ||
        sink_encoder_new(&s->conf, ctx->spec->codec, &s->encoder, e) != 0 ||
        open_parts(s, e) != 0) {
        file_sink_close(&s->base);
        return err_wrap(e, "sink \"%s\"", ctx->spec->name);
    }
    *out = &s->base;
    return 0;
}

static int poll_failed(struct file_sink *s, const struct rec_batch *b, struct err *e)
{
    if (e->code != ERR_RANGE)
        return -1;
    e->code = ERR_INVALID;
    int32_t i = b->tp.partition >= 0 && b->tp.partition < s->parts_count ? b->tp.partition : 0;
    return err_wrap(e,
                    "sink \"%s\": records of %s/%d from offset %lld on were deleted before they "
                    "were written (retention too short?); give the sink another path to start anew",
                    s->ctx->spec->name, s->ctx->spec->topic, i, (long long)s->parts[i].position);
}

static int file_sink_step(struct connector *c, struct err *e)
{
    struct file_sink *s = (struct file_sink *)c;
    struct log *log = s->ctx->log;
    if (s->finished)
        return 2;
    for (int i = 0; i < STEP_BATCHES; i++) {
        struct rec_batch b = {0};
        int rc = log->ops->poll(log, i == 0 ? POLL_MS : 0, &b, e);
        if (rc < 0)
            return poll_failed(s, &b, e);
        if (rc == 0) {
            if (!s->ctx->bounded)
                return 0;
            rc = at_end(s, e);
            return rc <= 0 ? rc : finish(s, e);
        }
        rc = put_batch(s, &b, e);
        log->ops->release(log, &b);
        if (rc != 0)
            return -1;
    }
    return 1;
}

// Unfinished files are written again from the ledger's offset, so there is nothing to do.
static int file_sink_commit(struct connector *c, struct err *e)
{
    (void)c;
    (void)e;
    return 0;
}

const struct connector_ops file_sink_ops = {
    .name = "file",
    .is_sink = true,
    .settings = sink_conf_table,
    .check = sink_conf_check,
    .open = file_sink_open,
    .step = file_sink_step,
    .commit = file_sink_commit,
    .close = file_sink_close,
};
