// SPDX-License-Identifier: Apache-2.0
//
// Sink encoder: one record's value into the bytes of a row: a CSV line, a line of JSON, an Avro
// record without container. Shared by all partitions of a sink.
//
// One thread. Failure: ERR_CORRUPT with the field and the reason; nothing of the row is left in
// `out`.
#pragma once

#include "connectors/sink_conf.h"
#include "log/rec.h"

struct sink_encoder;

// `conf` and `codec` are borrowed for its life.
int sink_encoder_new(const struct sink_conf *, const struct codec *, struct sink_encoder **out,
                     struct err *);
void sink_encoder_free(struct sink_encoder *);
// What a file begins with: the CSV header row, nothing for JSON lines, the schema as Avro JSON.
struct slice sink_encoder_header(const struct sink_encoder *);
// Appends the row of `value` (REC_PADDING readable bytes follow it).
int sink_encoder_row(struct sink_encoder *, struct slice value, struct buf *out, struct err *);
