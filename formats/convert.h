// SPDX-License-Identifier: Apache-2.0
//
// Convert: a value to the type that a schema's field wants, where nothing is lost by it.
#pragma once

#include "formats/schema.h"

enum convert_from {
    CONVERT_VALUE, // any value, e.g. what a script gave
    CONVERT_JSON,  // a decoded JSON value: bytes are base64 text
};

// Null passes. -1: ERR_CORRUPT, "wanted double, found string \"abc\"".
int convert_slowly(const struct field *, enum convert_from, struct arena *, struct value *,
                   struct err *);

// Most values already have their field's type.
static inline int convert_to_field(const struct field *f, enum convert_from from, struct arena *a,
                                   struct value *v, struct err *e)
{
    static const uint8_t fits[] = {
        [FIELD_BOOLEAN] = 1 << VALUE_BOOL,  [FIELD_LONG] = 1 << VALUE_INT,
        [FIELD_FLOAT] = 1 << VALUE_DOUBLE,  [FIELD_DOUBLE] = 1 << VALUE_DOUBLE,
        [FIELD_STRING] = 1 << VALUE_STRING, [FIELD_TIMESTAMP] = 1 << VALUE_INT,
    };
    return (fits[f->type] >> v->type & 1) != 0 ? 0 : convert_slowly(f, from, a, v, e);
}

// Text of a CSV field (already unquoted) that is not null.
int convert_text(const struct field *, struct slice text, struct value *, struct err *);
