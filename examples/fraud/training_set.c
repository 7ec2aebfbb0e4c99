// SPDX-License-Identifier: Apache-2.0
#include "examples/fraud/training_set.h"

#include "connectors/line_reader.h"

#include <glob.h>
#include <limits.h>

// Gives every whole row of the window to the reader; 1: more bytes are needed; -1.
static int give_rows(struct line_reader *r, struct csv *csv, bool last, bool *header,
                     const struct training_reader *to, struct err *e)
{
    for (;;) {
        struct csv_row cells;
        struct slice window = line_reader_window(r);
        int rc = csv_next(csv, window, last, &cells, e);
        if (rc <= 0)
            return rc < 0 ? err_wrap(e, "%s", line_reader_path(r)) : 1;
        struct training_row row = {cells.fields, cells.count, line_reader_path(r)};
        bool blank = cells.count == 1 && cells.fields[0].n == 0;
        rc = blank ? 0 : *header ? to->header(to->arg, &row, e) : to->row(to->arg, &row, e);
        *header = false;
        if (rc != 0)
            return -1;
        line_reader_take(r, (uint32_t)(cells.end - window.p));
    }
}

int training_read_file(const char *path, const struct training_reader *to, struct err *e)
{
    struct line_reader *r;
    if (line_reader_open(path, &r, e) != 0)
        return -1;
    struct csv *csv = csv_new(',');
    bool header = true;
    int rc;
    while ((rc = line_reader_fill(r, e)) == 1 &&
           (rc = give_rows(r, csv, false, &header, to, e)) == 1) {
    }
    if (rc == 0)
        rc = give_rows(r, csv, true, &header, to, e) < 0 ? -1 : 0;
    if (rc == 0 && line_reader_torn(r))
        rc = err_set(e, ERR_INVALID, "\"%s\": the gzip ends in the middle", path);
    csv_free(csv);
    line_reader_close(r);
    return rc;
}

int training_read_all(const char *dir, const char *prefix, const struct training_reader *to,
                      uint32_t *files, struct err *e)
{
    char pattern[PATH_MAX];
    glob_t g;
    snprintf(pattern, sizeof pattern, "%s/%s*.csv", dir, prefix);
    int rc = glob(pattern, 0, NULL, &g);
    *files = 0;
    if (rc == GLOB_NOMATCH)
        return err_set(e, ERR_NOT_FOUND, "there is no file \"%s\"; did the sink write CSV there?",
                       pattern);
    if (rc != 0)
        return err_set(e, ERR_IO, "cannot list \"%s\"", pattern);
    for (size_t i = 0; i < g.gl_pathc && rc == 0; i++) {
        rc = training_read_file(g.gl_pathv[i], to, e);
        *files += rc == 0;
    }
    globfree(&g);
    return rc;
}

int training_column(const struct training_row *header, const char *name)
{
    for (uint32_t i = 0; i < header->count; i++)
        if (slice_eq_str(header->cells[i], name))
            return (int)i;
    return -1;
}
