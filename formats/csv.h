// SPDX-License-Identifier: Apache-2.0
//
// Csv: RFC 4180, incrementally: quoted fields, doubled quotes, newlines inside quotes, CRLF, a BOM
// at the start. Bytes in, rows out; keeps no file and does no I/O.
#pragma once

#include "base/err.h"
#include "base/buf.h"

struct csv_row {
    struct slice *fields; // unquoted; valid until the next call
    uint32_t count;
    const uint8_t *begin, *end; // the raw line in the input, end after its newline
};

struct csv;
struct csv *csv_new(char delimiter);
void csv_free(struct csv *);
// 1: a row was taken from the front of `in` (row->end says where it stopped); 0: needs more bytes
// (or, with `last`, there are none); -1: malformed (row->begin/end frame the bad line so that the
// caller can set it aside and go on after it).
int csv_next(struct csv *, struct slice in, bool last, struct csv_row *row, struct err *);
void csv_put_field(struct slice field, char delimiter, struct buf *out); // quotes when needed
