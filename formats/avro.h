// SPDX-License-Identifier: Apache-2.0
//
// Avro: what the Avro files share with the codec. Schemas are checked with Avro-C (avro_schema.c);
// records are read and written by our own flat plan (avro_plan.c, doc_avro.c), since that is on the
// way of every record; containers are in avro_container.h.
#pragma once

#include "formats/plan.h"

// Completes a plan with the steps of the writer's bytes (NULL: the plan's own schema), matched by
// field name. `own` is the plan's schema. -1: says which field does not fit.
int avro_plan(struct plan *, const struct schema *own, const struct schema *writer, struct err *);

// The order of a nullable field's union: [T, null] if so declared, and always when it has a default
// other than null, since Avro's defaults belong to the first branch.
static inline bool avro_null_last(const struct field *f)
{
    return f->null_last || (f->has_default && f->default_value.type != VALUE_NULL);
}

// Reads one value of a step at p (null: VALUE_NULL); returns where it ends, or NULL if it is
// malformed or does not end before `end`. Strings and bytes point into the input.
const uint8_t *avro_take(const struct avro_step *, const uint8_t *p, const uint8_t *end,
                         struct value *out);
// The length of the record that `bytes` begin with; -1: malformed.
int avro_record_size(const struct plan *, struct slice bytes, uint32_t *size, struct err *);
