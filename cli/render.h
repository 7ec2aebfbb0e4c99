// SPDX-License-Identifier: Apache-2.0
//
// Render: a record as a line for people, or as one JSON object a line for machines.
//
// Bytes are decoded by a format. "auto" guesses: JSON if it parses, text if it is printable UTF-8,
// else hexadecimal ("0x…").
#pragma once

#include "base/buf.h"
#include "formats/doc.h"
#include "log/rec.h"

enum render_format { // the order of render_format_names
    RENDER_AUTO,
    RENDER_JSON,
    RENDER_AVRO,
    RENDER_STRING,
    RENDER_LONG,
    RENDER_INT,
    RENDER_DOUBLE,
    RENDER_BYTES,
};
extern const char *const render_format_names[]; // NULL-terminated, for options

struct render {
    bool json; // one object a line
    enum render_format key_format, value_format;
    struct codec *key_codec, *value_codec; // NULL for AUTO and BYTES
    struct schema *schema;
    struct doc_ctx *ctx;
    struct arena schema_arena, arena;
};

// `schema_file`: Avro JSON, needed for RENDER_AVRO.
int render_init(struct render *, enum render_format key, enum render_format value,
                const char *schema_file, struct err *);
void render_release(struct render *);
// Appends the line to `out`. Values that cannot be decoded are shown as hexadecimal with the
// reason.
void render_record(struct render *, int32_t partition, const struct rec *, struct buf *out);
