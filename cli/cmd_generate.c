// SPDX-License-Identifier: Apache-2.0
//
// weir generate: seeded sample data for the examples, as CSV, plain or gzip.
#include "cli/cmd.h"

#include "base/buf.h"
#include "base/text.h"
#include "cli/fraud_generator.h"
#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <zlib.h>

enum { FLUSH_BYTES = 1 << 20 };

struct output {
    const char *path; // "-": standard output
    FILE *file;       // plain
    gzFile gzip;
    struct buf pending;
};

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), t = strlen(tail);
    return n >= t && strcmp(s + n - t, tail) == 0;
}

static int output_open(struct output *o, const char *path, struct err *e)
{
    memset(o, 0, sizeof *o);
    o->path = path;
    buf_init(&o->pending);
    if (strcmp(path, "-") == 0)
        o->file = stdout;
    else if (ends_with(path, ".gz"))
        o->gzip = gzopen(path, "wb6");
    else
        o->file = fopen(path, "wb");
    return o->file == NULL && o->gzip == NULL ? err_io(e, "cannot create \"%s\"", path) : 0;
}

static int output_flush(struct output *o, struct err *e)
{
    struct slice s = buf_slice(&o->pending);
    bool ok = s.n == 0 || (o->gzip != NULL ? gzwrite(o->gzip, s.p, s.n) == (int)s.n
                                           : fwrite(s.p, 1, s.n, o->file) == s.n);
    buf_clear(&o->pending);
    return ok ? 0 : err_io(e, "cannot write \"%s\"", o->path);
}

static int output_close(struct output *o, struct err *e)
{
    int rc = output_flush(o, e);
    buf_release(&o->pending);
    bool ok = o->gzip != NULL ? gzclose(o->gzip) == Z_OK
                              : (o->file == stdout ? fflush(stdout) : fclose(o->file)) == 0;
    return rc == 0 && !ok ? err_io(e, "cannot write \"%s\"", o->path) : rc;
}

static int write_csv(const struct fraud_tx *txs, size_t n, const char *path, struct err *e)
{
    struct output o;
    if (output_open(&o, path, e) != 0)
        return -1;
    int rc = 0;
    buf_str(&o.pending, "tx_id,ts,customer_id,terminal_id,amount,fraud\n");
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct fraud_tx *t = &txs[i];
        buf_printf(&o.pending, "%zu,%" PRId64 ",%u,%u,%u.%02u,%d\n", i, t->ts, t->customer,
                   t->terminal, t->cents / 100, t->cents % 100, t->scenario != FRAUD_NONE);
        if (o.pending.n >= FLUSH_BYTES)
            rc = output_flush(&o, e);
    }
    struct err closing;
    if (output_close(&o, &closing) != 0 && rc == 0) {
        *e = closing;
        rc = -1;
    }
    return rc;
}

static void report(const struct fraud_tx *txs, size_t n, const char *path)
{
    char count[32], frauds_text[32], first[32], last[32];
    int64_t frauds = 0;
    for (size_t i = 0; i < n; i++)
        frauds += txs[i].scenario != FRAUD_NONE;
    fprintf(stderr, "%s transactions (%s frauds, %.2f %%), %.10s to %.10s, in %s\n",
            text_count((int64_t)n, count), text_count(frauds, frauds_text),
            n == 0 ? 0.0 : 100.0 * (double)frauds / (double)n,
            text_time(n == 0 ? 0 : txs[0].ts, first), text_time(n == 0 ? 0 : txs[n - 1].ts, last),
            path);
}

static int in_range(const char *option, int64_t v, int64_t most, struct err *e)
{
    return v >= 1 && v <= most
               ? 0
               : err_set(e, ERR_INVALID, "--%s must be between 1 and %" PRId64, option, most);
}

struct request { // what the command line asks for
    int64_t seed, days, customers, terminals;
    const char *out, *from;
};

static enum options_outcome parse(int argc, char **argv, struct request *r, struct err *e)
{
    struct option table[] = {
        {"seed", 0, OPTION_INT, &r->seed, "N", "the same seed gives the same data (1)", NULL},
        {"days", 0, OPTION_INT, &r->days, "N", "how many days (60)", NULL},
        {"customers", 0, OPTION_INT, &r->customers, "N", "how many cards (5000)", NULL},
        {"terminals", 0, OPTION_INT, &r->terminals, "N", "how many terminals (10000)", NULL},
        {"from", 0, OPTION_STRING, &r->from, "DATE", "the first day (2018-04-01)", NULL},
        {"out", 'o', OPTION_STRING, &r->out, "FILE",
         ".csv or .csv.gz; \"-\": standard output (transactions.csv.gz)", NULL},
        {NULL, 0, OPTION_FLAG, NULL, NULL, NULL, NULL},
    };
    struct options_usage usage = {
        .usage = "weir generate fraud [options]",
        .about = "Writes card transactions with three kinds of fraud: sample data for "
                 "examples/fraud.",
        .examples = "  weir generate fraud --out transactions.csv.gz\n"
                    "  weir generate fraud --seed 7 --days 120 --out - | head\n",
        .table = table,
        .min_args = 1,
        .max_args = 1,
    };
    struct options_args args;
    enum options_outcome outcome = options_parse(&usage, argc, argv, &args, e);
    if (outcome == OPTIONS_RUN && strcmp(args.items[0], "fraud") != 0) {
        err_set(e, ERR_INVALID, "there is no data set \"%s\"; there is \"fraud\"", args.items[0]);
        return OPTIONS_ERROR;
    }
    return outcome;
}

static int check(const struct request *r, struct fraud_options *o, struct err *e)
{
    if (text_time_ms(slice_str(r->from), &o->start_ms) != 0)
        return err_set(e, ERR_INVALID, "--from \"%s\" is not a date; write 2018-04-01", r->from);
    if (in_range("days", r->days, 10000, e) != 0 ||
        in_range("customers", r->customers, 1000000, e) != 0 ||
        in_range("terminals", r->terminals, 1000000, e) != 0)
        return -1;
    o->seed = (uint64_t)r->seed;
    o->days = (uint32_t)r->days;
    o->customers = (uint32_t)r->customers;
    o->terminals = (uint32_t)r->terminals;
    return 0;
}

int cmd_generate(int argc, char **argv)
{
    struct request r = {.seed = 1,
                        .days = 60,
                        .customers = 5000,
                        .terminals = 10000,
                        .out = "transactions.csv.gz",
                        .from = "2018-04-01"};
    struct fraud_options o;
    struct err e;
    enum options_outcome outcome = parse(argc, argv, &r, &e);
    if (outcome == OPTIONS_HELP)
        return 0;
    if (outcome == OPTIONS_ERROR || check(&r, &o, &e) != 0)
        return options_fail("generate", &e, 2);
    size_t n;
    struct fraud_tx *txs = fraud_generate(&o, &n);
    int rc = write_csv(txs, n, r.out, &e);
    if (rc == 0)
        report(txs, n, strcmp(r.out, "-") == 0 ? "standard output" : r.out);
    free(txs);
    return rc == 0 ? 0 : options_fail("generate", &e, 1);
}
