// SPDX-License-Identifier: Apache-2.0
#include "connectors/source_log.h"

#include "base/hash.h"

enum { COMMIT_ATTEMPTS = 5 };

static int open_or_create(struct log *log, const struct log_topic_spec *spec, uint32_t *handle,
                          struct log_topic_info *info, struct err *e)
{
    int rc = log->ops->topic_open(log, spec->name, handle, info, e);
    if (rc == 0 || e->code != ERR_NOT_FOUND)
        return rc;
    if (log->ops->topic_create(log, spec, e) != 0 && e->code != ERR_EXISTS)
        return err_wrap(e, "cannot create topic %s", spec->name);
    return log->ops->topic_open(log, spec->name, handle, info, e);
}

int source_log_open(struct source_log *s, struct connector_ctx *ctx, struct err *e)
{
    char name[250];
    struct log_topic_info info;
    memset(s, 0, sizeof *s);
    s->ctx = ctx;
    buf_init(&s->scratch);
    snprintf(name, sizeof name, "%s/%s", ctx->app, ctx->spec->name);
    s->group = hash_id(name);
    // Event times may be years old, so the default retention (by time) would delete them at once.
    struct log_topic_spec data = {.name = ctx->spec->topic,
                                  .partitions =
                                      ctx->spec->partitions > 0 ? ctx->spec->partitions : 1,
                                  .cleanup = LOG_CLEANUP_DELETE,
                                  .retention_ms = -1,
                                  .retention_bytes = -1};
    if (open_or_create(ctx->log, &data, &s->topic, &info, e) != 0)
        return -1;
    s->partitions = info.partitions;
    snprintf(name, sizeof name, "%s-sources", ctx->app);
    struct log_topic_spec offsets = {.name = name,
                                     .partitions = 1,
                                     .cleanup = LOG_CLEANUP_COMPACT,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
    return open_or_create(ctx->log, &offsets, &s->offsets, &info, e);
}

void source_log_close(struct source_log *s)
{
    struct err ignored;
    if (s->open)
        (void)s->ctx->log->ops->abort(s->ctx->log, &ignored);
    s->open = false;
    buf_release(&s->scratch);
}

// Keeps the newest value under our key; a null value (a reset) means none.
static void scan_batch(struct source_log *s, const struct rec_batch *b, struct buf *out, int *found)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct rec *r = &b->recs[i];
        if ((r->flags & REC_MARKER) != 0 || r->key.p == NULL ||
            !slice_eq_str(r->key, s->ctx->spec->name))
            continue;
        buf_clear(out);
        *found = r->value.p != NULL;
        if (*found)
            buf_slice_put(out, r->value);
    }
}

static int read_positions(struct source_log *s, int64_t at, int64_t end, struct buf *out,
                          int *found, struct err *e)
{
    struct log *log = s->ctx->log;
    while (at < end) {
        struct rec_batch b;
        int rc = log->ops->poll(log, 100, &b, e);
        if (rc < 0)
            return -1;
        if (rc == 0)
            continue;
        scan_batch(s, &b, out, found);
        at = b.next_offset;
        log->ops->release(log, &b);
    }
    return 0;
}

int source_log_load(struct source_log *s, struct buf *out, struct err *e)
{
    struct log *log = s->ctx->log;
    struct log_tp tp = {s->offsets, 0};
    int64_t at, end;
    int found = 0;
    if (log->ops->offset(log, tp, LOG_START, &at, e) != 0 ||
        log->ops->offset(log, tp, LOG_END_COMMITTED, &end, e) != 0)
        return err_wrap(e, "source \"%s\": reading its stored position", s->ctx->spec->name);
    if (at >= end)
        return 0;
    if (log->ops->assign(log, tp, at, e) != 0)
        return -1;
    int rc = read_positions(s, at, end, out, &found, e);
    struct err ignored;
    (void)log->ops->unassign(log, tp, &ignored);
    if (rc != 0)
        return err_wrap(e, "source \"%s\": reading its stored position", s->ctx->spec->name);
    return found;
}

int source_log_begin(struct source_log *s, struct err *e)
{
    if (s->open)
        return 0;
    if (s->ctx->log->ops->begin(s->ctx->log, e) != 0)
        return -1;
    s->open = true;
    s->opened_ms = clk_mono_ms(s->ctx->clk);
    s->rows = 0;
    s->bytes = 0;
    return 0;
}

int source_log_append(struct source_log *s, const struct source_record *r, struct err *e)
{
    if (!s->open && source_log_begin(s, e) != 0)
        return -1;
    uint8_t bytes[ORIGIN_SIZE];
    struct origin origin = {.topic = s->group, .partition = 0, .offset = r->row, .sequence = 0};
    origin_encode(&origin, bytes);
    struct log_header header = origin_header(bytes);
    struct log_record record = {
        .time = r->time, .key = r->key, .value = r->value, .headers = &header, .headers_count = 1};
    struct log_tp tp = {s->topic, r->partition};
    s->rows++;
    s->bytes += r->key.n + r->value.n + 40;
    return s->ctx->log->ops->append(s->ctx->log, tp, &record, e);
}

int source_log_dead_letter(struct source_log *s, const char *cause, const char *where,
                           struct slice value, struct err *e)
{
    if (source_log_begin(s, e) != 0)
        return -1;
    s->rows++;
    s->bytes += value.n + 40;
    struct slice no_key = {NULL, 0};
    return s->ctx->dead_letter(s->ctx, cause, where, no_key, value, e);
}

// One marker into every partition, so that a reader of any of them learns the watermark.
static int append_markers(struct source_log *s, const struct source_mark *mark, struct err *e)
{
    struct marker m = {.group = s->group,
                       .writer = 0,
                       .writers = 1,
                       .watermark = mark->watermark,
                       .flags = mark->flags};
    buf_clear(&s->scratch);
    marker_encode(&m, &s->scratch);
    struct log_record record = {
        .time = mark->watermark == INT64_MIN ? 0 : mark->watermark,
        .value = buf_slice(&s->scratch),
        .marker = true,
    };
    for (int32_t p = 0; p < s->partitions; p++) {
        struct log_tp tp = {s->topic, p};
        if (s->ctx->log->ops->append(s->ctx->log, tp, &record, e) != 0)
            return -1;
    }
    return 0;
}

static int append_position(struct source_log *s, struct slice position, struct err *e)
{
    struct log_record record = {
        .time = clk_wall_ms(s->ctx->clk), .key = slice_str(s->ctx->spec->name), .value = position};
    struct log_tp tp = {s->offsets, 0};
    return s->ctx->log->ops->append(s->ctx->log, tp, &record, e);
}

int source_log_commit(struct source_log *s, const struct source_mark *mark, struct slice position,
                      struct err *e)
{
    struct log *log = s->ctx->log;
    if (source_log_begin(s, e) != 0 || (mark->announce && append_markers(s, mark, e) != 0) ||
        append_position(s, position, e) != 0)
        return -1;
    enum log_outcome outcome = LOG_UNKNOWN;
    for (int i = 0; i < COMMIT_ATTEMPTS && outcome == LOG_UNKNOWN; i++)
        outcome = log->ops->commit(log, NULL, NULL, 0, e);
    s->open = false;
    switch (outcome) {
    case LOG_COMMITTED:
        return 0;
    case LOG_ABORTED:
        return 1;
    case LOG_FENCED:
        return err_set(e, ERR_FENCED,
                       "source \"%s\": another process has taken over; this one stops",
                       s->ctx->spec->name);
    case LOG_UNKNOWN:
        break;
    }
    return err_wrap(e,
                    "source \"%s\": the outcome of a commit stayed unknown after %d attempts (the "
                    "stored position decides)",
                    s->ctx->spec->name, COMMIT_ATTEMPTS);
}
