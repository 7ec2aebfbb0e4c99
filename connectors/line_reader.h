// SPDX-License-Identifier: Apache-2.0
//
// Line reader: a file's bytes through a sliding window, plain or gzip (told apart by the first two
// bytes), with positions counted in uncompressed bytes. It cuts no lines: the caller looks for them
// in the window and takes what it has used.
//
// The file may grow: the end is "nothing for now", never "closed". A gzip stream that stops in the
// middle is only an end too, with line_reader_torn() set: a follower waits for the rest, a bounded
// reader reports it. Several gzip members in a row are one text; zero bytes behind the last member
// are padding.
//
// Ownership: owns its descriptor and window. The window is valid until the next fill, seek or
// close; LINE_READER_PADDING readable bytes follow it. One thread.
//
// Failure: ERR_IO when the system refuses, ERR_INVALID for a damaged gzip (names file and place).
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum { LINE_READER_PADDING = 64, LINE_READER_CHUNK = 256 * 1024 };

struct line_reader;

// Moved out: free with line_reader_close. `path` is copied.
int line_reader_open(const char *path, struct line_reader **out, struct err *);
void line_reader_close(struct line_reader *);
// 1: the window has grown; 0: the end for now; -1: error.
int line_reader_fill(struct line_reader *, struct err *);
struct slice line_reader_window(const struct line_reader *);
void line_reader_take(struct line_reader *, uint32_t n); // n <= window
// Of the window's first byte.
int64_t line_reader_position(const struct line_reader *);
// To an absolute position; a gzip is read again from its start when it lies behind. ERR_RANGE: the
// file ends before it.
int line_reader_seek(struct line_reader *, int64_t position, struct err *);
bool line_reader_torn(const struct line_reader *); // the last fill ended inside a gzip member
bool line_reader_gzip(const struct line_reader *);
int64_t line_reader_raw(const struct line_reader *); // bytes of the file read so far
int line_reader_fd(const struct line_reader *);
const char *line_reader_path(const struct line_reader *);
