// SPDX-License-Identifier: Apache-2.0
//
// Sink output: one file being written, under its temporary name: buffered, counted, with a running
// CRC. Its bytes depend on the rows and its name alone: the Avro sync marker is made from the name,
// blocks are cut by size.
//
// One thread. Failure: ERR_IO; the file is then useless and deleted by the next opening.
#pragma once

#include "connectors/file_commit.h"
#include "connectors/sink_conf.h"

struct sink_output;

// Creates it in directory `dir`; `header` as from sink_encoder_header. Moved out.
int sink_output_open(int dir, const char *tmp, const char *name, enum sink_format,
                     struct slice header, struct sink_output **out, struct err *);
// Where the next row's bytes are appended; call sink_output_row after each.
struct buf *sink_output_buf(struct sink_output *);
int sink_output_row(struct sink_output *, struct err *);
// Writes what is left and syncs; fills rows, bytes and crc32. The output stays to be closed.
int sink_output_finish(struct sink_output *, struct sink_file *, struct err *);
void sink_output_close(struct sink_output *);
