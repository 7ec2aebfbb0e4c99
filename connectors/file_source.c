// SPDX-License-Identifier: Apache-2.0
//
// File source: reads the files of a path or pattern in name order, cuts rows, appends records, and
// commits them together with its position (file_position.h). Follows the last file as it grows,
// through rotations by rename; in bounded mode it stops at the end and sends end markers.
//
// Invariants
// F1  `pos` describes the next unread row; `committed` is the newest position in the log; between
//     commits they differ by exactly the open transaction.
// F2  Row numbers grow by one per row over all files, bad rows included, so partition and origin of
//     a row depend on the files alone, never on commits or restarts.
// F3  Every byte is a record, a dead letter, a blank line or a header.
//
// One thread. Failure: a row that is no record becomes a dead letter; a file that is damaged or
// does not fit the schema stops the source with ERR_INVALID after what came before is committed.
#include "connectors/file_source.h"

#include "base/failpoint.h"
#include "base/logline.h"
#include "connectors/settings.h"
#include "connectors/source_conf.h"
#include "connectors/source_files.h"
#include "connectors/source_log.h"
#include "connectors/source_rows.h"

#include <errno.h>
#include <sys/stat.h>

enum { STEP_ROWS = 4096, COMMIT_BYTES = 4 << 20, REFUSED_MAX = 20 };

struct file_source {
    struct connector base;
    struct connector_ctx *ctx; // borrowed
    struct arena arena;        // of conf
    struct source_conf conf;
    bool follow;
    int64_t commit_ms;

    struct source_log log;
    struct source_rows *rows;
    struct line_reader *reader; // NULL: between files
    struct file_position pos, committed;
    bool resume;    // seek to pos.byte once the header is read
    bool last;      // nothing will follow what is in the window
    bool switching; // a next file was seen; the current one gets one more look
    bool told_waiting;
    bool finished;
    int refused;       // commits, in a row
    bool idle;         // no row for idle_after
    int told;          // flags of the last marker of this life; -1: none yet
    int64_t next_poll; // monotonic ms
    int64_t now_ms;    // monotonic, of this step
    int64_t active_ms; // when the last row came
    int64_t wall_ms;   // of this step, for sources without a time field
    uint64_t done_raw; // bytes of finished files, for progress
    struct buf scratch;
};

// --- files --------------------------------------------------------------------------------------

static void close_reader(struct file_source *s)
{
    line_reader_close(s->reader);
    s->reader = NULL;
    s->last = s->switching = s->resume = false;
}

static int open_reader(struct file_source *s, const char *path, struct err *e)
{
    close_reader(s);
    if (line_reader_open(path, &s->reader, e) != 0)
        return -1;
    source_rows_restart(s->rows);
    s->next_poll = 0;
    return 0;
}

// Begins a file at its start.
static int start_file(struct file_source *s, const char *path, struct err *e)
{
    if (open_reader(s, path, e) != 0)
        return -1;
    snprintf(s->pos.path, sizeof s->pos.path, "%s", path);
    s->pos.byte = s->pos.line = 0;
    s->pos.header = 0;
    return file_id_of(line_reader_fd(s->reader), &s->pos.id, e);
}

// Opens the file of `pos`, under whatever name and inode it has now, to read on.
static int reopen_file(struct file_source *s, const char *path, struct err *e)
{
    if (open_reader(s, path, e) != 0)
        return -1;
    s->resume = s->pos.byte > 0;
    return file_id_of(line_reader_fd(s->reader), &s->pos.id, e);
}

// Goes back to `pos`: the same file, wherever it is now.
static int resume_file(struct file_source *s, struct err *e)
{
    char found[PATH_MAX];
    const char *name = s->ctx->spec->name;
    switch (source_files_find(&s->pos, found)) {
    case FILE_SAME:
    case FILE_RENAMED:
        if (strcmp(found, s->pos.path) != 0)
            logline(LOG_INFO, "source", "%s: \"%s\" is now \"%s\"; reading on there", name,
                    s->pos.path, found);
        return reopen_file(s, found, e);
    case FILE_CHANGED:
        logline(LOG_WARN, "source",
                "%s: \"%s\" is not the file that was read to byte %lld (truncated, rewritten or "
                "replaced); reading it from the start as a new file",
                name, s->pos.path, (long long)s->pos.byte);
        snprintf(found, sizeof found, "%s", s->pos.path);
        return start_file(s, found, e);
    case FILE_GONE:
        logline(LOG_WARN, "source", "%s: \"%s\" is gone; going on with what comes after it", name,
                s->pos.path);
        memset(&s->pos.id, 0, sizeof s->pos.id); // whatever comes under its name is new
        break;
    }
    return 0;
}

// After the header: to the place where the last run stopped.
static int seek_resume(struct file_source *s, struct err *e)
{
    s->resume = false;
    if (s->pos.header != 0 && source_rows_header(s->rows) != s->pos.header)
        return err_set(e, ERR_INVALID,
                       "\"%s\": the header row has changed since byte %lld was read; give the file "
                       "another name, or reset the source",
                       s->pos.path, (long long)s->pos.byte);
    if (line_reader_position(s->reader) == s->pos.byte)
        return 0;
    if (line_reader_seek(s->reader, s->pos.byte, e) == 0)
        return 0;
    if (e->code != ERR_RANGE)
        return -1;
    logline(LOG_WARN, "source", "%s: %s: it was truncated; reading it again from the start",
            s->ctx->spec->name, e->text);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", line_reader_path(s->reader));
    return start_file(s, path, e);
}

// Was the open file cut or rewritten under us?
static bool was_rewritten(struct file_source *s)
{
    struct stat st;
    int fd = line_reader_fd(s->reader);
    if (fstat(fd, &st) != 0)
        return false;
    return st.st_size < line_reader_raw(s->reader) || file_id_begins(fd, &s->pos.id) == 0;
}

// --- commits ------------------------------------------------------------------------------------

static int rewind_source(struct file_source *s, struct err *e)
{
    logline(LOG_WARN, "source", "%s: a transaction was aborted; reading again from row %lld",
            s->ctx->spec->name, (long long)s->committed.row);
    s->pos = s->committed;
    close_reader(s);
    return s->pos.path[0] == 0 ? 0 : resume_file(s, e);
}

static void publish_stats(struct file_source *s)
{
    struct connector_stats *st = s->ctx->stats;
    if (st == NULL)
        return;
    uint64_t raw = s->reader == NULL ? 0 : (uint64_t)line_reader_raw(s->reader);
    atomic_store_explicit(&st->bytes, s->done_raw + raw, memory_order_relaxed);
    counter_add(&st->commits, 1);
    atomic_store_explicit(&st->event_time, s->pos.max_time, memory_order_relaxed);
}

static int commit_source(struct file_source *s, bool end, struct err *e)
{
    int64_t watermark = s->pos.max_time;
    if (watermark > INT64_MIN + s->conf.max_out_of_order)
        watermark -= s->conf.max_out_of_order;
    uint8_t flags = end ? MARKER_END : s->idle ? MARKER_IDLE : 0;
    struct source_mark mark = {
        .announce = end || s->pos.ended || watermark != s->pos.watermark ||
                    (s->told < 0 ? flags != 0 || s->log.open : flags != s->told),
        .watermark = watermark,
        .flags = flags,
    };
    if (!s->log.open && !mark.announce && memcmp(&s->pos, &s->committed, sizeof s->pos) == 0)
        return 0;
    if (s->reader != NULL && s->pos.id.covers < FILE_ID_BYTES &&
        file_id_of(line_reader_fd(s->reader), &s->pos.id, e) != 0)
        return -1;
    s->pos.watermark = watermark;
    s->pos.ended = end;
    buf_clear(&s->scratch);
    file_position_encode(&s->pos, &s->scratch);
    FAILPOINT("source.before_commit");
    int rc = source_log_commit(&s->log, &mark, buf_slice(&s->scratch), e);
    FAILPOINT("source.after_commit");
    if (rc < 0)
        return -1;
    if (rc == 1 && ++s->refused >= REFUSED_MAX) { // such as: somebody deleted the topic
        e->code = ERR_AGAIN;
        return err_wrap(e, "source \"%s\": gave up after %d attempts to commit", s->ctx->spec->name,
                        REFUSED_MAX);
    }
    if (rc == 1)
        return rewind_source(s, e) == 0 ? 1 : -1;
    s->refused = 0;
    s->committed = s->pos;
    if (mark.announce)
        s->told = flags;
    publish_stats(s);
    return 0;
}

static int finish(struct file_source *s, struct err *e)
{
    int rc = commit_source(s, true, e);
    if (rc != 0)
        return rc < 0 ? -1 : 1;
    s->finished = true;
    if (s->ctx->stats != NULL)
        atomic_store(&s->ctx->stats->finished, true);
    return 2;
}

// Makes what was read durable, then reports `e` (which is kept).
static int fail_after_commit(struct file_source *s, struct err *e)
{
    struct err why = *e;
    if (commit_source(s, false, e) < 0)
        return -1;
    *e = why;
    return -1;
}

// --- rows ---------------------------------------------------------------------------------------

static int32_t partition_of(const struct file_source *s, struct slice key)
{
    int32_t n = s->log.partitions;
    if (n == 1)
        return 0;
    if (s->conf.spread == SPREAD_KEY && key.p != NULL)
        return log_partition_of(key, n);
    int64_t turn = s->conf.spread == SPREAD_BLOCKS ? s->pos.row / s->conf.block : s->pos.row;
    return (int32_t)(turn % n);
}

static int set_aside(struct file_source *s, const struct source_row *row, struct err *e)
{
    char where[PATH_MAX + 32];
    snprintf(where, sizeof where, "%s:%lld", s->pos.path, (long long)s->pos.line + 1);
    if (s->ctx->stats != NULL)
        counter_add(&s->ctx->stats->bad, 1);
    return source_log_dead_letter(&s->log, row->reason, where, row->raw, e);
}

static int deliver(struct file_source *s, const struct source_row *row, struct err *e)
{
    struct source_record r = {.time = row->time,
                              .row = s->pos.row,
                              .partition = partition_of(s, row->key),
                              .key = row->key,
                              .value = row->value};
    if (s->conf.time_field == NULL)
        r.time = s->wall_ms;
    if (source_log_append(&s->log, &r, e) != 0)
        return -1;
    if (r.time > s->pos.max_time)
        s->pos.max_time = r.time;
    if (s->ctx->stats != NULL)
        counter_add(&s->ctx->stats->records, 1);
    return 0;
}

static void note_unused(struct file_source *s)
{
    struct slice name;
    for (uint32_t i = 0; (name = source_rows_unused(s->rows, i)).p != NULL; i++)
        logline(LOG_INFO, "source",
                "%s: \"%s\": column \"%.*s\" is not in the schema and is left out",
                s->ctx->spec->name, s->pos.path, (int)name.n, (const char *)name.p);
}

// The header (or the first row without one) is behind us: on a restart, jump to the old place.
static int after_header(struct file_source *s, struct err *e)
{
    if (s->resume)
        return seek_resume(s, e) == 0 ? 1 : -1;
    s->pos.header = source_rows_header(s->rows);
    note_unused(s);
    return 1;
}

// One row: 1: taken; 0: the window holds no whole one; -1.
static int take_row(struct file_source *s, struct err *e)
{
    bool ready = source_rows_ready(s->rows);
    if (s->resume && ready)
        return seek_resume(s, e) == 0 ? 1 : -1;
    struct source_row row;
    struct slice window = line_reader_window(s->reader);
    if (source_rows_next(s->rows, window, s->last, &row, e) != 0) {
        err_wrap(e, "\"%s\"", s->pos.path);
        return fail_after_commit(s, e);
    }
    if (row.kind == ROW_MORE)
        return 0;
    s->active_ms = s->now_ms;
    s->idle = false;
    // On a restart of a file without header the first row only made the plan.
    bool replay = s->resume;
    if (!replay && row.kind == ROW_BAD && set_aside(s, &row, e) != 0)
        return -1;
    if (!replay && row.kind == ROW_GOOD && deliver(s, &row, e) != 0)
        return -1;
    line_reader_take(s->reader, row.bytes);
    if (!replay) {
        s->pos.byte = line_reader_position(s->reader);
        s->pos.line += row.lines;
        s->pos.row += row.kind != ROW_EMPTY;
    }
    return !ready && source_rows_ready(s->rows) ? after_header(s, e) : 1;
}

// --- ends of files ------------------------------------------------------------------------------

static int torn(struct file_source *s, struct err *e)
{
    err_set(
        e, ERR_INVALID,
        "\"%s\": the gzip ends in the middle, at uncompressed byte %lld (row %lld): the file is "
        "incomplete; its complete rows were read. Replace it by the whole file and start again",
        line_reader_path(s->reader), (long long)s->pos.byte, (long long)s->pos.row);
    return fail_after_commit(s, e);
}

static int wait_for_more(struct file_source *s, int64_t now, struct err *e)
{
    s->next_poll = now + s->conf.poll_ms;
    s->idle = now - s->active_ms >= s->conf.idle_after_ms;
    int rc = commit_source(s, false, e);
    return rc < 0 ? -1 : rc == 1 ? 1 : 0;
}

static int restart_rewritten(struct file_source *s, struct err *e)
{
    int rc = commit_source(s, false, e);
    if (rc != 0)
        return rc;
    logline(LOG_WARN, "source",
            "%s: \"%s\" was truncated or rewritten after byte %lld; what was not read yet is lost; "
            "reading it from the start as a new file",
            s->ctx->spec->name, s->pos.path, (long long)s->pos.byte);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", line_reader_path(s->reader));
    return start_file(s, path, e) == 0 ? 1 : -1;
}

// The reader has no more for now: is that the end of the file? 1: go on reading; 0: wait; -1.
static int at_end(struct file_source *s, int64_t now, struct err *e)
{
    char next[PATH_MAX];
    if (!s->ctx->bounded && was_rewritten(s))
        return restart_rewritten(s, e);
    if (!s->follow && line_reader_torn(s->reader))
        return torn(s, e);
    int more = source_files_next(s->conf.pattern, &s->pos, next, e);
    if (more < 0)
        return -1;
    if (!s->follow || (more == 1 && s->switching && !line_reader_torn(s->reader))) {
        s->last = true;
        return 1;
    }
    s->switching = more == 1; // a writer may still hold the old file: look once more
    return wait_for_more(s, now, e);
}

// The file is read to its last byte.
static void finish_file(struct file_source *s)
{
    struct stat st;
    if (stat(s->pos.path, &st) != 0 || (uint64_t)st.st_ino != s->pos.id.inode)
        file_position_rotate(&s->pos, &s->pos.id);
    s->done_raw += (uint64_t)line_reader_raw(s->reader);
    close_reader(s);
}

// 1: a file was begun; 0: none now; 2: finished; -1.
static int next_file(struct file_source *s, int64_t now, struct err *e)
{
    char next[PATH_MAX];
    int more = source_files_next(s->conf.pattern, &s->pos, next, e);
    if (more < 0)
        return -1;
    if (more == 1) {
        bool copy = strcmp(next, s->pos.path) == 0 && source_files_copied(&s->pos);
        s->told_waiting = false;
        if ((copy ? reopen_file(s, next, e) : start_file(s, next, e)) == 0)
            return 1;
        return e->code == ERR_IO && errno == ENOENT ? 0 : -1;
    }
    if (s->follow) {
        if (!s->told_waiting)
            logline(LOG_INFO, "source", "%s: waiting for a file \"%s\"", s->ctx->spec->name,
                    s->conf.pattern);
        s->told_waiting = true;
        return wait_for_more(s, now, e);
    }
    struct stat st;
    if (s->pos.path[0] == 0 && stat(s->conf.pattern, &st) == 0)
        return settings_fail(
            s->ctx->spec, "path", e,
            S_ISDIR(st.st_mode)
                ? "\"%s\" is a directory; name the files in it, such as \"%s/*.csv\""
                : "\"%s\" is not a file that can be read again after a restart "
                  "(a pipe, a device?)",
            s->conf.pattern, s->conf.pattern);
    if (s->pos.path[0] == 0)
        return settings_fail(s->ctx->spec, "path", e, "there is no file \"%s\"", s->conf.pattern);
    return finish(s, e);
}

// The window holds no whole row: read on. As step's results, 1 also for "go on".
static int need_more(struct file_source *s, int64_t now, struct err *e)
{
    if (s->last) {
        finish_file(s);
        return next_file(s, now, e);
    }
    int rc = line_reader_fill(s->reader, e);
    if (rc < 0)
        return fail_after_commit(s, e);
    if (rc == 1) {
        s->switching = false;
        return 1;
    }
    return at_end(s, now, e);
}

// --- connector ----------------------------------------------------------------------------------

static void file_source_close(struct connector *c)
{
    struct file_source *s = (struct file_source *)c;
    close_reader(s);
    source_log_close(&s->log);
    source_rows_free(s->rows);
    buf_release(&s->scratch);
    arena_release(&s->arena);
    free(s);
}

static int load_position(struct file_source *s, struct err *e)
{
    file_position_init(&s->pos);
    buf_clear(&s->scratch);
    int rc = source_log_load(&s->log, &s->scratch, e);
    if (rc < 0)
        return -1;
    if (rc == 1 && file_position_decode(buf_slice(&s->scratch), &s->pos, e) != 0) {
        e->code = ERR_INVALID;
        return err_wrap(e, "source \"%s\": topic %s-sources", s->ctx->spec->name, s->ctx->app);
    }
    s->committed = s->pos;
    if (s->ctx->stats != NULL)
        atomic_store(&s->ctx->stats->total_bytes,
                     (uint64_t)source_files_bytes(s->conf.pattern, s->pos.path));
    if (s->pos.path[0] != 0 && resume_file(s, e) != 0)
        return -1;
    // The last run ended for good: take that back before anybody can believe it is this one's end.
    return s->pos.ended && commit_source(s, false, e) < 0 ? -1 : 0;
}

static int file_source_open(struct connector_ctx *ctx, struct connector **out, struct err *e)
{
    struct file_source *s = check_alloc(calloc(1, sizeof *s));
    s->base.ops = &file_source_ops;
    s->ctx = ctx;
    s->log.ctx = ctx;
    arena_init(&s->arena);
    buf_init(&s->scratch);
    if (source_conf_read(ctx->spec, &s->arena, &s->conf, e) != 0) {
        file_source_close(&s->base);
        return -1;
    }
    s->follow = s->conf.follow && !ctx->bounded;
    s->told = -1;
    s->active_ms = clk_mono_ms(ctx->clk);
    s->commit_ms = s->conf.commit_ms >= 0 ? s->conf.commit_ms : ctx->commit_ms;
    if (source_log_open(&s->log, ctx, e) != 0 || source_rows_new(&s->conf.rows, &s->rows, e) != 0 ||
        load_position(s, e) != 0) {
        file_source_close(&s->base);
        return -1;
    }
    *out = &s->base;
    return 0;
}

static bool is_full(const struct file_source *s)
{
    return s->log.open &&
           ((int64_t)s->log.rows >= s->conf.commit_rows || s->log.bytes >= COMMIT_BYTES);
}

static bool is_due(const struct file_source *s, int64_t now)
{
    return s->log.open && now - s->log.opened_ms >= s->commit_ms;
}

static int file_source_step(struct connector *c, struct err *e)
{
    struct file_source *s = (struct file_source *)c;
    if (s->finished)
        return 2;
    int64_t now = s->now_ms = clk_mono_ms(s->ctx->clk);
    if (now < s->next_poll)
        return 0;
    if (s->conf.time_field == NULL)
        s->wall_ms = clk_wall_ms(s->ctx->clk);
    for (uint32_t i = 0; i < STEP_ROWS; i++) {
        int rc = s->reader == NULL ? next_file(s, now, e) : take_row(s, e);
        if (rc == 0 && s->reader != NULL) {
            rc = need_more(s, now, e);
            if (rc != 1)
                return rc;
        } else if (rc != 1) {
            return rc;
        }
        if (is_full(s) && commit_source(s, false, e) < 0)
            return -1;
    }
    if (is_due(s, now) && commit_source(s, false, e) < 0)
        return -1;
    return 1;
}

static int file_source_commit(struct connector *c, struct err *e)
{
    struct file_source *s = (struct file_source *)c;
    return s->finished || commit_source(s, false, e) >= 0 ? 0 : -1;
}

const struct connector_ops file_source_ops = {
    .name = "file",
    .is_sink = false,
    .settings = source_conf_table,
    .check = source_conf_check,
    .open = file_source_open,
    .step = file_source_step,
    .commit = file_source_commit,
    .close = file_source_close,
};
