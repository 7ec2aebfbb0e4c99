// SPDX-License-Identifier: Apache-2.0
//
// Schema: the named, typed fields of a value, in order. Immutable once built; lives in the arena it
// was made in. Avro schemas are derived from it.
#pragma once

#include "formats/value.h"

enum field_type {
    FIELD_ANY, // whatever comes; not for Avro
    FIELD_BOOLEAN,
    FIELD_INT, // 32 bits
    FIELD_LONG,
    FIELD_FLOAT,
    FIELD_DOUBLE,
    FIELD_STRING,
    FIELD_BYTES,
    FIELD_TIMESTAMP, // epoch ms as int64; text in ISO 8601 is accepted when decoding CSV and JSON
};

struct field {
    const char *name;
    enum field_type type;
    bool nullable;
    bool null_last;           // Avro: the union is [T, null], not [null, T]
    bool label;               // known only later …
    int64_t visible_after_ms; // … this long after the record's time
    bool has_default;
    struct value default_value;
};

struct schema {
    const char *name;
    struct field *fields;
    uint32_t count;
};

const char *field_type_name(enum field_type);
// "long", "timestamp", "string?" (nullable) …; -1 with the nearest valid name in the error.
int field_type_parse(const char *text, enum field_type *type, bool *nullable, struct err *);
int schema_find(const struct schema *, struct slice name); // index or -1
// The nearest field name, or NULL.
const char *schema_nearest(const struct schema *, const char *name);
// The schema as Avro JSON. FIELD_ANY is an error that names the field.
int schema_to_avro(const struct schema *, struct buf *out, struct err *);
// Records of primitives, nullable unions, logical timestamps, defaults.
int schema_from_avro(struct slice json, struct arena *, struct schema **out, struct err *);
