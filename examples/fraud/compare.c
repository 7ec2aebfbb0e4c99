// SPDX-License-Identifier: Apache-2.0
//
// compare OUT_DIR TRUTH.csv[.gz]: joins the training set with known right answers on tx_id and
// reports every column that differs: counts and flags exactly, risks to the ten digits the truth is
// written with, averages to 1e-9. An empty cell (no transaction in the window) counts as 0, as the
// truth has it. Exit: 0 all equal, 1 differences or missing rows, 2 cannot compare.
#include "examples/fraud/training_set.h"

#include "base/check.h"

#include <math.h>

enum { COLUMNS = 14 };

static const struct column {
    const char *truth, *ours;
    double tolerance;
} columns[COLUMNS] = {
    {"tx_during_weekend", "weekend", 0},
    {"tx_during_night", "night", 0},
    {"customer_id_nb_tx_1day_window", "customer_nb_tx_1d", 0},
    {"customer_id_avg_amount_1day_window", "customer_avg_amount_1d", 1e-9},
    {"customer_id_nb_tx_7day_window", "customer_nb_tx_7d", 0},
    {"customer_id_avg_amount_7day_window", "customer_avg_amount_7d", 1e-9},
    {"customer_id_nb_tx_30day_window", "customer_nb_tx_30d", 0},
    {"customer_id_avg_amount_30day_window", "customer_avg_amount_30d", 1e-9},
    {"terminal_id_nb_tx_1day_window", "terminal_nb_tx_1d", 0},
    {"terminal_id_risk_1day_window", "terminal_risk_1d", 1e-10},
    {"terminal_id_nb_tx_7day_window", "terminal_nb_tx_7d", 0},
    {"terminal_id_risk_7day_window", "terminal_risk_7d", 1e-10},
    {"terminal_id_nb_tx_30day_window", "terminal_nb_tx_30d", 0},
    {"terminal_id_risk_30day_window", "terminal_risk_30d", 1e-10},
};

struct truth {
    int64_t tx_id;
    double values[COLUMNS];
    uint32_t seen; // rows of ours with this id
};

struct compare {
    struct truth *truths; // sorted by tx_id
    size_t count, size;
    int id_at, at[COLUMNS];
    uint64_t rows, compared, differences[COLUMNS];
    double worst[COLUMNS];
    char example[COLUMNS][160];
};

static bool parse(struct slice s, double *out)
{
    char text[64], *end;
    if (s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (s.n == 0 || strcmp(text, "false") == 0) {
        *out = 0;
        return true;
    }
    if (strcmp(text, "true") == 0) {
        *out = 1;
        return true;
    }
    *out = strtod(text, &end);
    return *end == 0;
}

static int bind(struct compare *c, const struct training_row *header, bool truth, struct err *e)
{
    c->id_at = training_column(header, "tx_id");
    if (c->id_at < 0)
        return err_set(e, ERR_INVALID, "%s: there is no column tx_id", header->file);
    for (int i = 0; i < COLUMNS; i++) {
        const char *name = truth ? columns[i].truth : columns[i].ours;
        c->at[i] = training_column(header, name);
        if (c->at[i] < 0)
            return err_set(e, ERR_INVALID, "%s: there is no column %s", header->file, name);
    }
    return 0;
}

static int read_row(struct compare *c, const struct training_row *row, struct truth *out,
                    struct err *e)
{
    double id = 0;
    bool ok = (uint32_t)c->id_at < row->count && parse(row->cells[c->id_at], &id);
    memset(out, 0, sizeof *out);
    for (int i = 0; i < COLUMNS && ok; i++)
        ok = (uint32_t)c->at[i] < row->count && parse(row->cells[c->at[i]], &out->values[i]);
    out->tx_id = (int64_t)id;
    return ok ? 0
              : err_set(e, ERR_CORRUPT, "%s: a row near tx_id %.0f is not readable", row->file, id);
}

static int truth_header(void *arg, const struct training_row *h, struct err *e)
{
    return bind(arg, h, true, e);
}

static int truth_row(void *arg, const struct training_row *row, struct err *e)
{
    struct compare *c = arg;
    if (c->count == c->size) {
        c->size = c->size == 0 ? 16384 : c->size * 2;
        c->truths = check_alloc(realloc(c->truths, c->size * sizeof *c->truths));
    }
    return read_row(c, row, &c->truths[c->count++], e);
}

static int ours_header(void *arg, const struct training_row *h, struct err *e)
{
    return bind(arg, h, false, e);
}

static int by_id(const void *a, const void *b)
{
    const struct truth *x = a, *y = b;
    return (x->tx_id > y->tx_id) - (x->tx_id < y->tx_id);
}

static void compare_values(struct compare *c, const struct truth *want, const struct truth *got)
{
    for (int i = 0; i < COLUMNS; i++) {
        double d = fabs(want->values[i] - got->values[i]);
        if (d <= columns[i].tolerance)
            continue;
        if (c->differences[i]++ == 0)
            snprintf(c->example[i], sizeof c->example[i], "tx_id %lld: %.12g, should be %.12g",
                     (long long)want->tx_id, got->values[i], want->values[i]);
        if (d > c->worst[i] || d != d)
            c->worst[i] = d;
    }
}

static int ours_row(void *arg, const struct training_row *row, struct err *e)
{
    struct compare *c = arg;
    struct truth got;
    if (read_row(c, row, &got, e) != 0)
        return -1;
    c->rows++;
    struct truth *want = bsearch(&got, c->truths, c->count, sizeof got, by_id);
    if (want == NULL || want->seen++ > 0)
        return 0;
    c->compared++;
    compare_values(c, want, &got);
    return 0;
}

static int report(const struct compare *c)
{
    uint64_t missing = 0, twice = 0, wrong = 0;
    for (size_t i = 0; i < c->count; i++) {
        missing += c->truths[i].seen == 0;
        twice += c->truths[i].seen > 1;
    }
    printf("%llu rows in the training set, %zu with known answers: %llu compared, %llu missing, "
           "%llu more than once\n",
           (unsigned long long)c->rows, c->count, (unsigned long long)c->compared,
           (unsigned long long)missing, (unsigned long long)twice);
    for (int i = 0; i < COLUMNS; i++) {
        wrong += c->differences[i];
        printf("  %-26s %8llu differences", columns[i].ours, (unsigned long long)c->differences[i]);
        if (c->differences[i] > 0)
            printf(", at most %.3g; first: %s", c->worst[i], c->example[i]);
        printf("\n");
    }
    bool equal = wrong == 0 && missing == 0 && twice == 0 && c->compared > 0;
    printf(equal ? "equal\n" : "NOT equal\n");
    return equal ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct compare c = {0};
    struct err e;
    uint32_t files;
    if (argc != 3) {
        fprintf(stderr, "usage: compare OUT_DIR TRUTH.csv[.gz]\n");
        return 2;
    }
    struct training_reader truth = {truth_header, truth_row, &c};
    struct training_reader ours = {ours_header, ours_row, &c};
    int rc = training_read_file(argv[2], &truth, &e);
    if (rc == 0 && c.count > 0)
        qsort(c.truths, c.count, sizeof *c.truths, by_id);
    if (rc == 0)
        rc = training_read_all(argv[1], "tx_features-", &ours, &files, &e);
    if (rc != 0)
        fprintf(stderr, "compare: %s\n", e.text);
    rc = rc != 0 ? 2 : report(&c);
    free(c.truths);
    return rc;
}
