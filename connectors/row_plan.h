// SPDX-License-Identifier: Apache-2.0
//
// Row plan: how a CSV row becomes a JSON record, worked out once per header: which column feeds
// which field, with every byte of punctuation prepared. Numbers that are already valid JSON are
// copied as they stand, so no digit changes; what is close to a number ("007", "+5", ".5") is
// normalised; booleans may be 0/1 or true/false; an empty cell is null, or the field's default, or
// an error.
//
// Without a schema every column becomes a field; numbers, true and false are recognised, the rest
// is text.
//
// One thread. Failure: convert returns -1 with the column, the cell and the reason; the outputs are
// then undefined.
#pragma once

#include "formats/codec.h"
#include "formats/csv.h"

struct row_plan;

struct row_plan_options {
    const struct schema *schema; // borrowed for the plan's life; NULL: none
    const char *time_field;      // NULL: no time
    const char *key_field;       // NULL: no key
    enum format key_format;
};

struct row_plan *row_plan_new(const struct row_plan_options *); // moved out
void row_plan_free(struct row_plan *);
// Columns by name. An error (ERR_INVALID) names the missing field and the nearest column.
int row_plan_bind(struct row_plan *, const struct slice *header, uint32_t n, struct err *);
// No header: columns are the schema's fields in their order.
int row_plan_bind_order(struct row_plan *, struct err *);
// Columns of the file that no field takes, for a notice; p == NULL at the end.
struct slice row_plan_unused(const struct row_plan *, uint32_t i);

struct row_out {
    struct buf json; // cleared first
    struct buf key;  // cleared first
    bool has_key;
    int64_t time; // INT64_MIN without a time field
};
int row_plan_convert(struct row_plan *, const struct csv_row *, struct row_out *, struct err *);
