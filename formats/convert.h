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
int convert_to_field(const struct field *, enum convert_from, struct arena *, struct value *,
                     struct err *);
// Text of a CSV field (already unquoted) that is not null.
int convert_text(const struct field *, struct slice text, struct value *, struct err *);
