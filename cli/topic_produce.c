// SPDX-License-Identifier: Apache-2.0
//
// weir topic produce: lines become records.
//
// Lines are collected into one batch per partition; batches are sent when they are large enough, at
// the end, and whenever the input has nothing more to read just now, so that a pipe that trickles
// is not held back. Each request waits until the broker has it on disk.
#include "cli/topic.h"

#include "base/clk.h"
#include "base/text.h"
#include "log/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

enum { SEND_BYTES = 256 * 1024, READ_BYTES = 64 * 1024, LINE_MAX_BYTES = 1 << 20 };

struct produce {
    struct transport_where where;
    const char *topic, *file, *separator, *time_text;
    int64_t partition; // -1: by key, or in turn
    struct option_list header_texts;
    bool tombstones, quiet;
    // running
    struct client client;
    struct log_header headers[OPTION_LIST_MAX];
    struct batch_builder *builders; // one per partition
    int32_t partitions;
    int64_t time; // of every record; INT64_MIN: now
    uint64_t sent, lines;
    int32_t turn;
};

static int prepare(struct produce *p, struct err *e)
{
    p->time = INT64_MIN;
    if (p->time_text != NULL && text_time_ms(slice_str(p->time_text), &p->time) != 0)
        return err_set(e, ERR_INVALID,
                       "--time \"%s\" is not a time; write 2024-05-01T12:00:00Z or milliseconds",
                       p->time_text);
    for (uint32_t i = 0; i < p->header_texts.count; i++) {
        const char *text = p->header_texts.items[i], *eq = strchr(text, '=');
        if (eq == NULL || eq == text)
            return err_set(e, ERR_INVALID, "--header \"%s\" has no name; write --header name=value",
                           text);
        p->headers[i].name = slice_of(text, (size_t)(eq - text));
        p->headers[i].value = slice_str(eq + 1);
    }
    if (p->separator != NULL && p->separator[0] == 0)
        return err_set(e, ERR_INVALID, "--key-separator is empty; give e.g. ':' or ','");
    return 0;
}

static int flush_partition(struct produce *p, int32_t partition, struct err *e)
{
    struct batch_builder *b = &p->builders[partition];
    if (batch_size(b) == 0)
        return 0;
    int64_t base;
    uint32_t count = (uint32_t)b->count;
    struct slice batch = batch_finish(b, NULL);
    if (client_produce(&p->client, p->topic, partition, batch, &base, e) != 0)
        return -1;
    batch_reset(b);
    p->sent += count;
    return 0;
}

static int flush_all(struct produce *p, struct err *e)
{
    for (int32_t i = 0; i < p->partitions; i++) {
        if (flush_partition(p, i, e) != 0)
            return -1;
    }
    return 0;
}

static int32_t choose(struct produce *p, struct slice key)
{
    if (p->partition >= 0)
        return (int32_t)p->partition;
    if (key.p != NULL)
        return log_partition_of(key, p->partitions);
    p->turn = (p->turn + 1) % p->partitions;
    return p->turn;
}

// Takes the key off the front of the line.
static int split(struct produce *p, struct slice *key, struct slice *value, struct err *e)
{
    size_t n = strlen(p->separator);
    const uint8_t *at = memmem(value->p, value->n, p->separator, n);
    if (at == NULL)
        return err_set(e, ERR_INVALID,
                       "line %" PRIu64 " has no \"%s\" between key and value; %" PRIu64
                       " records before it were written",
                       p->lines, p->separator, p->sent);
    *key = slice_of(value->p, (size_t)(at - value->p));
    uint32_t used = key->n + (uint32_t)n;
    *value = slice_of(value->p + used, value->n - used);
    return 0;
}

static int take_line(struct produce *p, struct slice line, struct err *e)
{
    struct log_record r = {
        .headers = p->headers, .headers_count = (uint16_t)p->header_texts.count, .value = line};
    p->lines++;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        r.value.n--;
    if (p->separator != NULL && split(p, &r.key, &r.value, e) != 0)
        return -1;
    if (p->tombstones && r.value.n == 0)
        r.value = (struct slice){NULL, 0};
    r.time = p->time != INT64_MIN ? p->time : clk_wall_ms(clk_real());
    int32_t partition = choose(p, r.key);
    struct batch_builder *b = &p->builders[partition];
    if (batch_size(b) == 0)
        batch_begin(b, r.time, 0);
    batch_append(b, &r);
    return batch_size(b) >= SEND_BYTES ? flush_partition(p, partition, e) : 0;
}

static bool more_now(int fd)
{
    struct pollfd f = {.fd = fd, .events = POLLIN};
    return poll(&f, 1, 0) > 0;
}

// Takes all whole lines out of `in`; at the end also an unfinished one.
static int take_lines(struct produce *p, struct buf *in, bool end, struct err *e)
{
    uint32_t at = 0;
    while (at < in->n) {
        const uint8_t *newline = memchr(in->p + at, '\n', in->n - at);
        if (newline == NULL && !end)
            break;
        uint32_t n = newline == NULL ? in->n - at : (uint32_t)(newline - in->p) - at;
        if (take_line(p, slice_of(in->p + at, n), e) != 0)
            return -1;
        at += n + (newline != NULL);
    }
    memmove(in->p, in->p + at, in->n - at);
    in->n -= at;
    if (in->n > LINE_MAX_BYTES)
        return err_set(e, ERR_LIMIT, "line %" PRIu64 " is longer than 1 MiB", p->lines + 1);
    return 0;
}

static int copy(struct produce *p, int fd, struct err *e)
{
    struct buf in;
    buf_init(&in);
    int result = 0;
    while (result == 0 && !transport_stopped()) {
        ssize_t n = read(fd, buf_reserve(&in, READ_BYTES), READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            result = err_io(e, "cannot read %s", p->file == NULL ? "standard input" : p->file);
        else
            in.n += (uint32_t)n;
        if (result == 0)
            result = take_lines(p, &in, n == 0, e);
        if (result == 0 && (n == 0 || !more_now(fd)))
            result = flush_all(p, e);
        if (n == 0)
            break;
    }
    buf_release(&in);
    return result;
}

static int run_open(struct produce *p, struct err *e)
{
    if (client_topic(&p->client, p->topic, &p->partitions, e) != 0)
        return -1;
    if (p->partition >= p->partitions || p->partition < -1)
        return err_set(e, ERR_INVALID, "topic %s has partitions 0 to %d, not %" PRId64, p->topic,
                       p->partitions - 1, p->partition);
    int fd = p->file == NULL || strcmp(p->file, "-") == 0 ? STDIN_FILENO
                                                          : open(p->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_io(e, "cannot open %s", p->file);
    p->builders = check_alloc(calloc((size_t)p->partitions, sizeof(*p->builders)));
    for (int32_t i = 0; i < p->partitions; i++)
        batch_builder_init(&p->builders[i]);
    int result = copy(p, fd, e);
    for (int32_t i = 0; i < p->partitions; i++)
        batch_builder_release(&p->builders[i]);
    free(p->builders);
    if (fd != STDIN_FILENO)
        close(fd);
    return result;
}

static int run(struct produce *p, struct err *e)
{
    p->where.create = false;
    if (prepare(p, e) != 0 || client_open(&p->client, &p->where, e) != 0)
        return -1;
    int result = run_open(p, e);
    client_close(&p->client);
    if (result == 0 && !p->quiet) {
        char count[32];
        fprintf(stderr, "%s %s written to %s\n", text_count((int64_t)p->sent, count),
                p->sent == 1 ? "record" : "records", p->topic);
    }
    return result;
}

int topic_produce(int argc, char **argv)
{
    struct produce p = {.where = {.data = TOPIC_DATA}, .partition = -1};
    const struct option table[] = {
        {"key-separator", 'k', OPTION_STRING, &p.separator, "TEXT",
         "lines are KEY TEXT VALUE; without it records have no key", NULL},
        {"partition", 'p', OPTION_INT, &p.partition, "N",
         "write to this partition (default: by key, without key in turn)", NULL},
        {"header", 'H', OPTION_LIST, &p.header_texts, "NAME=VALUE",
         "a header of every record; may be repeated", NULL},
        {"time", 't', OPTION_STRING, &p.time_text, "TIME",
         "event time of every record: ISO 8601 or milliseconds (default: now)", NULL},
        {"tombstones", 0, OPTION_FLAG, &p.tombstones, NULL,
         "an empty value becomes null, which deletes the key in a compacted topic", NULL},
        {"quiet", 'q', OPTION_FLAG, &p.quiet, NULL, "do not say how many were written", NULL},
        TOPIC_WHERE_OPTIONS(p.where),
        {0},
    };
    const struct options_usage usage = {
        "weir topic produce TOPIC [FILE] [options]",
        "Writes each line of FILE (or of standard input) as one record. Done when it is on disk.",
        "  echo '{\"user\":\"ann\",\"amount\":12}' | weir topic produce payments\n"
        "  weir topic produce payments --key-separator '|' < keyed.txt\n"
        "  weir topic produce payments day1.jsonl --time 2024-05-01 --header source=backfill",
        table,
        1,
        2};
    struct options_args args;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("produce", &e);
    case OPTIONS_RUN:
        break;
    }
    p.topic = args.items[0];
    p.file = args.count > 1 ? args.items[1] : NULL;
    topic_catch_signals();
    return run(&p, &e) == 0 ? 0 : topic_fail("produce", &e);
}
