// SPDX-License-Identifier: Apache-2.0
//
// Codec: one format with its schema: bytes ⇄ values. Immutable and shareable between threads;
// scratch memory lives in struct doc_ctx (formats/doc.h), one per thread.
#pragma once

#include "formats/schema.h"

enum format {
    FORMAT_JSON,
    FORMAT_AVRO,   // one record, binary, no container; needs a schema
    FORMAT_CSV,    // one line; needs a schema (column order) unless a header is given
    FORMAT_STRING, // the whole value is one UTF-8 string
    FORMAT_LONG,   // 8 bytes big-endian, as Kafka's LongSerializer
    FORMAT_INT,    // 4 bytes big-endian, IntegerSerializer
    FORMAT_DOUBLE, // 8 bytes big-endian IEEE 754, DoubleSerializer
    FORMAT_BYTES,
    FORMAT_CARRIED, // internal: original bytes plus typed changes; between our own tasks
};

struct codec {
    enum format format;
    const struct schema *schema; // NULL: schemaless (JSON, CARRIED …)
    char delimiter;              // CSV; 0: ','
    uint32_t id;                 // stable hash of format and schema; names it in carried records
    void *plan;                  // the format's own precomputed data
};

const char *format_name(enum format);
int format_parse(const char *text, enum format *out, struct err *); // with nearest name
// Moved out: free with codec_free. The schema is borrowed for the codec's life. AVRO and CSV need
// one; STRING, LONG … and BYTES have no use for it.
int codec_new(enum format, const struct schema *, struct codec **out, struct err *);
// CSV with another delimiter (0: ',').
int codec_new_csv(const struct schema *, char delimiter, struct codec **out, struct err *);
// Avro whose bytes were written with another schema (`writer`, Avro JSON, e.g. of a container
// file): fields are matched by name, missing ones take the reader's default, numbers are promoted
// (int → long → float → double). Encoding uses `reader`; NULL: the writer's own schema, see
// codec->schema.
int codec_new_avro(struct slice writer, const struct schema *reader, struct codec **out,
                   struct err *);
void codec_free(struct codec *);
