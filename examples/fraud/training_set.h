// SPDX-License-Identifier: Apache-2.0
//
// Training set: reads the CSV files that the example's sink wrote, row by row, with columns found
// by name. Shared by the example's two tools.
#pragma once

#include "base/err.h"
#include "formats/csv.h"

struct training_row {
    const struct slice *cells; // borrowed during the call
    uint32_t count;
    const char *file; // its path
};

struct training_reader {
    // Called once per file with its header, then for each row. -1 stops.
    int (*header)(void *arg, const struct training_row *, struct err *);
    int (*row)(void *arg, const struct training_row *, struct err *);
    void *arg;
};

// One file, plain or gzip.
int training_read_file(const char *path, const struct training_reader *, struct err *);
// All `<prefix>*.csv` of a directory in name order; *files counts them.
int training_read_all(const char *dir, const char *prefix, const struct training_reader *,
                      uint32_t *files, struct err *);
// The column's place in a header, or -1.
int training_column(const struct training_row *header, const char *name);
