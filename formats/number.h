// SPDX-License-Identifier: Apache-2.0
//
// Number: numbers as text, both ways, without locale and without allocation. Formatting is declared
// in value.h (value_format_int, value_format_double).
#pragma once

#include "formats/value.h"

enum { NUMBER_OK = 0, NUMBER_MALFORMED = -1, NUMBER_RANGE = -2 };

// Exactly one number in JSON's grammar. Integers that fit become VALUE_INT, everything else
// VALUE_DOUBLE; a double too large for its type is NUMBER_RANGE, one too small becomes 0.
int number_parse(struct slice text, struct value *out);
// As people write them in CSV: spaces around, a plus sign, leading zeros, ".5" and "5." are fine.
int number_parse_loose(struct slice text, struct value *out);
