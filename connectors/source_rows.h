// SPDX-License-Identifier: Apache-2.0
//
// Source rows: a reader's bytes cut into rows, and each row made into a record's value, key and
// time: CSV (with its header) or JSON lines, into JSON or Avro. Knows no files' names and no log.
//
// One thread. Failure: a bad row is a result (ROW_BAD), not an error: its bytes are framed and the
// caller goes on behind them. Errors are a header that does not fit the schema, and the reader's.
#pragma once

#include "connectors/line_reader.h"
#include "formats/doc.h"

struct source_rows_options { // borrowed for its life
    bool jsonl, header;
    char delimiter;
    const char *time_field, *key_field; // NULL: none
    enum format key_format;
    const struct codec *codec; // of the topic's value: JSON or AVRO
    uint32_t max_row;          // bytes
};

enum row_kind {
    ROW_MORE, // no whole row in the window
    ROW_GOOD,
    ROW_BAD,   // cannot become a record: `reason`
    ROW_EMPTY, // a blank line, the header
};

struct source_row { // valid until the next call
    enum row_kind kind;
    uint32_t bytes, lines; // to take from the reader; newlines in it
    struct slice raw;      // without its line end
    int64_t time;          // INT64_MIN: none
    struct slice key, value;
    const char *reason;
};

struct source_rows;
int source_rows_new(const struct source_rows_options *, struct source_rows **out, struct err *);
void source_rows_free(struct source_rows *);
// A new file begins. The next row of a CSV with a header is the header.
void source_rows_restart(struct source_rows *);
bool source_rows_ready(const struct source_rows *);      // the header is known, or none is needed
uint64_t source_rows_header(const struct source_rows *); // its hash; 0: none
// Columns no field takes; p == NULL at the end.
struct slice source_rows_unused(const struct source_rows *, uint32_t i);
// The row at the front of the window. `last`: nothing will follow the window's bytes.
int source_rows_next(struct source_rows *, struct slice window, bool last, struct source_row *out,
                     struct err *);
