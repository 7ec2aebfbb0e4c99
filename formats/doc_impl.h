// SPDX-License-Identifier: Apache-2.0
//
// What the files of the document share: doc.c owns the struct, doc_json.c, doc_csv.c and doc_avro.c
// know one format each, doc_encode.c and doc_carry.c write.
//
// 1. Field names in `fields` are unescaped; a dead field (its key came again later) has a hash that
//    no name has found.
// 2. A field's value is converted to the schema's type, if there is one.
// 3. `merged` holds as long as the set of patched names and their removed flags do not change.
#pragma once

#include "formats/csv.h"
#include "formats/json_shim.h"
#include "formats/plan.h"

enum field_state {
    FIELD_RAW,     // only its bytes are known
    FIELD_DECODED, // value is kept
    FIELD_DEAD,    // repeated later in the same record
};

struct doc_field {
    struct slice name, raw;
    uint64_t hash;
    struct value value;
    int32_t patch; // merged: the patch that replaces or removes it, or -1
    uint8_t state;
    bool quoted; // CSV: was in quotes, so that empty is not null
};

// Copies a null, boolean, integer or double part by part: a wide load right behind the narrow
// stores that made the value would stall.
static inline void doc_copy_scalar(struct value *to, const struct value *from)
{
    to->type = from->type;
    to->count = 0;
    to->i = from->i;
}

enum { DOC_HINTS = 256, DOC_ORDER_PATCH = INT32_MIN };

struct doc_ctx {
    struct json_shim *json;
    struct csv *csv;
    uint32_t generation;
    uint32_t codec_hint; // where doc_open_carried found the last one
    // Where a name was found last, by the top bits of its hash; verified at each use.
    uint16_t fields[DOC_HINTS], patches[DOC_HINTS];
};

static inline uint32_t doc_hint(uint64_t hash)
{
    return (uint32_t)(hash >> 56);
}

int doc_index(struct doc *, struct err *); // finds the fields, once
int doc_merge(struct doc *, struct err *); // index, and patches joined to fields, once
struct doc_field *doc_search_field(struct doc *, struct slice name, uint64_t hash);
struct doc_patch *doc_search_patch(struct doc *, struct slice name, uint64_t hash);
// The field's value. Numbers are converted each time, which is cheaper than to store and load them;
// what needs memory is kept in the field.
int doc_decode(struct doc *, struct doc_field *, struct value *out, struct err *);
int doc_scalar(struct doc *, struct value *out, struct err *); // of a doc that is `whole`
struct doc_patch *doc_add_patch(struct doc *, const struct field_ref *);
void doc_reserve_patches(struct doc *, uint32_t size);

static inline struct doc_field *doc_find_field(struct doc *d, struct slice name, uint64_t hash)
{
    return (d->named & plan_bit(hash)) == 0 ? NULL : doc_search_field(d, name, hash);
}

static inline struct doc_patch *doc_find_patch(struct doc *d, struct slice name, uint64_t hash)
{
    return (d->patched & plan_bit(hash)) == 0 ? NULL : doc_search_patch(d, name, hash);
}

int doc_json_index(struct doc *, struct err *);
int doc_json_decode(struct doc *, struct doc_field *, struct value *out, struct err *);
int doc_csv_index(struct doc *, struct err *);
int doc_csv_decode(struct doc *, struct doc_field *, struct value *out, struct err *);
int doc_avro_index(struct doc *, struct err *);

// The value for a field of the target's schema, converted, with its default: what every format with
// a schema writes.
int doc_take(struct doc *, const struct plan_field *, struct value *out, struct err *);
int doc_encode_avro(struct doc *, const struct plan *, struct buf *out, struct err *);
int doc_encode_csv(struct doc *, const struct codec *, struct buf *out, struct err *);
