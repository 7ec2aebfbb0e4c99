// SPDX-License-Identifier: Apache-2.0
//
// Csv: RFC 4180, incrementally: quoted fields, doubled quotes, newlines inside quotes, CRLF, a BOM
// at the start. Bytes in, rows out; keeps no file and does no I/O.
#pragma once

#include "base/err.h"
#include "base/buf.h"

struct csv_row {
    struct slice *fields; // unquoted; valid until the next call
    const bool *quoted;   // of each field: was in quotes (so that "" can be told from nothing)
    uint32_t count;
    const uint8_t *begin, *end; // the raw line in the input, end after its newline
};

// A longer row is malformed: it bounds what an unclosed quote can swallow.
enum { CSV_ROW_MAX = 4 << 20 };

struct csv;
struct csv *csv_new(char delimiter);
void csv_free(struct csv *);
// 1: a row was taken from the front of `in` (row->end says where it stopped); 0: needs more bytes
// (or, with `last`, there are none); -1: malformed (row->begin/end frame the bad line so that the
// caller can set it aside and go on after it; for a quote that is never closed that is the first
// line only). After 0, the next call's `in` must begin with the same bytes. An empty line is a row
// with one empty field; whether it means anything is the caller's to say.
int csv_next(struct csv *, struct slice in, bool last, struct csv_row *row, struct err *);
// One line, with or without its newline, is one row; no BOM is taken off. The parser's state
// between calls of csv_next is lost.
int csv_line(struct csv *, char delimiter, struct slice line, struct csv_row *row, struct err *);
void csv_put_field(struct slice field, char delimiter, struct buf *out); // quotes when needed
