// SPDX-License-Identifier: Apache-2.0
//
// Doc: a lazy view of one record's value. Opening is free; the first doc_get finds the top-level
// fields once, later gets convert on demand; doc_set keeps the change beside the untouched bytes;
// doc_encode splices: unchanged bytes are copied, never rebuilt, when the format stays the same.
//
// JSON: of equal keys the last one wins; the others are dropped once the record is changed. A value
// is checked when it is asked for: a record whose field is malformed can still give its other
// fields, and doc_validate finds what is wrong. With a schema the values are converted to its types
// (whole doubles to integers, integers to doubles, ISO text to timestamps, base64 to bytes); what
// cannot be converted is an error.
//
// CSV: an empty field is null if nullable; a string or bytes field that is not takes it as empty.
//
// Avro: null where a field has no value; doc_get never invents defaults except those of a reader
// schema (codec_new_avro).
//
// Ownership: a doc borrows its raw bytes (which need REC_PADDING readable bytes behind them) and
// allocates in its ctx's arena; it is valid until that arena is reset or rewound, or the bytes go.
// `generation` lets a holder (the Lua view) notice that the doc was reused.
#pragma once

#include "formats/codec.h"

// A field name prepared once (at plan time) for fast lookup.
struct field_ref {
    struct slice name; // lives as long as the ref
    uint64_t hash;
    int32_t index; // in the schema it was resolved against, or -1
};
struct field_ref field_ref_of(struct slice name, const struct schema *);

struct doc_ctx; // opaque: parser scratch; one per thread
struct doc_ctx *doc_ctx_new(void);
void doc_ctx_free(struct doc_ctx *);

struct doc_field; // opaque: where a field lies in raw, and its decoded value once asked for
struct doc_patch {
    struct field_ref field;
    struct value value;
    bool removed;
    int32_t at; // the raw field it replaces or removes, -1: none; known when merged
};

struct doc {
    const struct codec *codec;
    struct doc_ctx *ctx;
    struct arena *arena;  // of the batch
    struct slice raw;     // p == NULL: built from patches only
    struct slice carried; // what doc_open_carried read, while nothing was set or removed; or NULL
    struct doc_field *fields;
    uint32_t fields_count;
    struct doc_patch *patches;
    uint32_t patches_count, patches_size;
    uint32_t generation;
    bool indexed;       // fields are known
    bool whole;         // not a record but one scalar or list: in raw or, without raw, in `scalar`
    bool merged;        // patches know their raw fields, `order` is right
    bool rebuild;       // merged: a raw field goes away (removed or repeated)
    uint32_t overrides; // merged: raw fields replaced in place
    uint64_t patched;   // a bit for each patched name's hash: most lookups need no search
    uint64_t named;     // indexed: the same for the raw fields' names
    struct value scalar;
    uint32_t *order; // merged view; NULL: the raw fields as they are
    uint32_t order_count;
};

void doc_open(struct doc *, struct doc_ctx *, struct arena *, const struct codec *,
              struct slice raw);
// An empty record to fill with doc_set, e.g. the result of a map.
void doc_empty(struct doc *, struct doc_ctx *, struct arena *);
// From a whole value; maps become fields, anything else the whole value. Borrowed while the doc
// lives: the value's strings, keys and nested items (not `*value` itself nor its top items array).
void doc_from_value(struct doc *, struct doc_ctx *, struct arena *, const struct value *);
// A missing field is VALUE_NULL. -1: the bytes cannot be decoded (ERR_CORRUPT, position in text).
int doc_get(struct doc *, const struct field_ref *, struct value *out, struct err *);
bool doc_has(struct doc *, const struct field_ref *, struct err *);
// The value is copied into the doc's arena; the ref's name is borrowed. Setting a field of a value
// that is not a record is an error when it is encoded or read as a whole.
void doc_set(struct doc *, const struct field_ref *, const struct value *);
void doc_remove(struct doc *, const struct field_ref *);
// Field i of the merged view (raw fields in their order, then added ones): 1, 0 at the end, -1.
int doc_field_at(struct doc *, uint32_t i, struct slice *name, struct value *out, struct err *);
// The whole value (a map for records; a scalar for STRING, LONG …).
int doc_value(struct doc *, struct value *out, struct err *);
// Checks that the bytes decode fully and agree with the schema.
int doc_validate(struct doc *, struct err *);
// Appends the value in `to`'s format; on -1 `out` is as before. With a schema, fields are taken by
// name; a missing field without default or null is an error naming it. From a codec to itself, and
// from JSON to JSON without schema, bytes are spliced as they are, not checked.
int doc_encode(struct doc *, const struct codec *to, struct buf *out, struct err *);

// The carried form: raw bytes as they are plus typed patches; what tasks send each other.
// `codecs` resolves the id that names the original bytes' codec when it is opened again.
void doc_carry(struct doc *, struct buf *out);
struct codec_set {
    const struct codec *const *codecs;
    uint32_t count;
};
int doc_open_carried(struct doc *, struct doc_ctx *, struct arena *, const struct codec_set *,
                     struct slice carried, struct err *);

// Keys: the bytes of a field as a record key. Text form by default (decimal, shortest double,
// string itself); FORMAT_LONG/INT/DOUBLE: Kafka's serializers. Null gives p == NULL. The bytes live
// in `out`, which is cleared first.
int doc_key(struct doc *, const struct field_ref *, enum format, struct buf *out, struct err *);
