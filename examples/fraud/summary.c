// SPDX-License-Identifier: Apache-2.0
//
// summary OUT_DIR: what the fraud example made: how many transactions, the features of a few, how
// the alerts did against the true frauds, and where the training set lies.
#include "examples/fraud/training_set.h"

#include "base/check.h"
#include "base/text.h"

#include <glob.h>
#include <limits.h>

enum { SHOWN = 3, SHOWN_COLUMNS = 20 };

struct summary {
    int id_at, fraud_at;
    uint32_t columns_count;
    char names[SHOWN_COLUMNS][48];
    int64_t rows, frauds;
    int64_t *fraud_ids; // sorted before the alerts are read
    size_t size;
    char shown[SHOWN][SHOWN_COLUMNS][32]; // the first frauds with something to see
    uint32_t shown_count;
    int64_t alerts, hits;
};

static int64_t number(struct slice s)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", s.n < 31 ? (int)s.n : 31, (const char *)s.p);
    return strcmp(text, "true") == 0 ? 1 : atoll(text);
}

static int on_header(void *arg, const struct training_row *h, struct err *e)
{
    struct summary *s = arg;
    s->id_at = training_column(h, "tx_id");
    s->fraud_at = training_column(h, "fraud");
    if (s->id_at < 0 || s->fraud_at < 0)
        return err_set(e, ERR_INVALID, "%s: there is no column tx_id or fraud", h->file);
    s->columns_count = h->count < SHOWN_COLUMNS ? h->count : SHOWN_COLUMNS;
    for (uint32_t i = 0; i < s->columns_count; i++)
        snprintf(s->names[i], sizeof s->names[i], "%.*s", (int)h->cells[i].n,
                 (const char *)h->cells[i].p);
    return 0;
}

static void add_fraud(struct summary *s, const struct training_row *row)
{
    if ((size_t)s->frauds == s->size) {
        s->size = s->size == 0 ? 4096 : s->size * 2;
        s->fraud_ids = check_alloc(realloc(s->fraud_ids, s->size * sizeof *s->fraud_ids));
    }
    s->fraud_ids[s->frauds++] = number(row->cells[s->id_at]);
}

// As a person would write it: a date for `ts`, two decimals for averages and shares.
static void show_cell(const char *name, struct slice cell, char out[32])
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)cell.n, (const char *)cell.p);
    if (strcmp(name, "ts") == 0)
        snprintf(out, 32, "%.16s", text_time(strtoll(text, NULL, 10), (char[32]){0}));
    else if (strchr(text, '.') != NULL)
        snprintf(out, 32, "%.2f", strtod(text, NULL));
    else
        snprintf(out, 32, "%s", text);
}

static void show(struct summary *s, const struct training_row *row)
{
    for (uint32_t i = 0; i < s->columns_count; i++)
        show_cell(s->names[i], row->cells[i], s->shown[s->shown_count][i]);
    s->shown_count++;
}

static int on_row(void *arg, const struct training_row *row, struct err *e)
{
    struct summary *s = arg;
    if ((uint32_t)s->id_at >= row->count || (uint32_t)s->fraud_at >= row->count)
        return err_set(e, ERR_CORRUPT, "%s: a row is too short", row->file);
    bool fraud = number(row->cells[s->fraud_at]) != 0;
    s->rows++;
    if (fraud)
        add_fraud(s, row);
    // A few from the later part, where all windows are full.
    if (fraud && s->shown_count < SHOWN && s->frauds % 400 == 0 && row->count >= s->columns_count)
        show(s, row);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Alerts are JSON lines that begin as the transactions do; only tx_id is needed of them.
static void count_alerts(struct summary *s, const char *path)
{
    char *line = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "r");
    while (f != NULL && getline(&line, &size, f) > 0) {
        const char *at = strstr(line, "\"tx_id\":");
        if (at == NULL)
            continue;
        int64_t id = atoll(at + 8);
        s->alerts++;
        s->hits += bsearch(&id, s->fraud_ids, (size_t)s->frauds, sizeof id, by_number) != NULL;
    }
    free(line);
    if (f != NULL)
        fclose(f);
}

static void read_alerts(struct summary *s, const char *dir)
{
    char pattern[PATH_MAX];
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/alerts-*.jsonl", dir);
    if (glob(pattern, 0, NULL, &g) != 0)
        return;
    for (size_t i = 0; i < g.gl_pathc; i++)
        count_alerts(s, g.gl_pathv[i]);
    globfree(&g);
}

static void print(const struct summary *s, const char *dir, uint32_t files)
{
    char a[32], b[32], c[32];
    printf("transactions   %s, of which %s are frauds (%.2f %%)\n", text_count(s->rows, a),
           text_count(s->frauds, b),
           s->rows == 0 ? 0 : 100.0 * (double)s->frauds / (double)s->rows);
    printf("alerts         %s, %s of them real frauds: precision %.1f %%, recall %.1f %%\n",
           text_count(s->alerts, a), text_count(s->hits, b),
           s->alerts == 0 ? 0 : 100.0 * (double)s->hits / (double)s->alerts,
           s->frauds == 0 ? 0 : 100.0 * (double)s->hits / (double)s->frauds);
    printf("training set   %s rows in %u files: %s/tx_features-*.csv\n", text_count(s->rows, c),
           files, dir);
    if (s->shown_count > 0)
        printf("\nfeatures of %u frauds:\n", s->shown_count);
    for (uint32_t i = 0; i < s->columns_count && s->shown_count > 0; i++) {
        printf("  %-26s", s->names[i]);
        for (uint32_t k = 0; k < s->shown_count; k++)
            printf(" %20s", s->shown[k][i]);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    static struct summary s;
    struct err e;
    uint32_t files;
    if (argc != 2) {
        fprintf(stderr, "usage: summary OUT_DIR\n");
        return 2;
    }
    struct training_reader reader = {on_header, on_row, &s};
    if (training_read_all(argv[1], "tx_features-", &reader, &files, &e) != 0) {
        fprintf(stderr, "summary: %s\n", e.text);
        free(s.fraud_ids);
        return 1;
    }
    if (s.frauds > 0)
        qsort(s.fraud_ids, (size_t)s.frauds, sizeof *s.fraud_ids, by_number);
    read_alerts(&s, argv[1]);
    print(&s, argv[1], files);
    free(s.fraud_ids);
    return 0;
}
