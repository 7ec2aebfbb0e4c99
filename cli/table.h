// SPDX-License-Identifier: Apache-2.0
//
// Table: rows of text in aligned columns, for people. Numbers go to the right. Cells are copied.
#pragma once

#include "base/arena.h"

#include <stdio.h>

enum { TABLE_COLUMNS = 8 };

struct table {
    struct arena arena;
    const char *(*rows)[TABLE_COLUMNS];
    uint32_t count, size, columns;
    const char *titles[TABLE_COLUMNS];
    bool right[TABLE_COLUMNS];
};

// `titles`: NULL-terminated; a title that begins with '>' makes a column of numbers.
void table_init(struct table *, const char *const *titles);
void table_release(struct table *);
void table_row(struct table *, const char *const *cells); // as many as there are titles
void table_print(const struct table *, FILE *to);
