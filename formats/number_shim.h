// SPDX-License-Identifier: Apache-2.0
//
// Number shim: the two things only the C++ library does well: shortest digits of a double and exact
// reading of any decimal. No state, no exceptions, any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The fewest digits that read back as `d` (finite, > 0), without point, into `out`; returns their
// number (at most 17); d = 0.DIGITS × 10^point.
uint32_t number_shim_digits(double d, char out[32], int *point);
// The same, laid out without exponent, for 1e-6 <= d < 2^53: at most 24 bytes. Returns the length.
uint32_t number_shim_fixed(double d, char out[28]);
// Reads decimal text that is already known to follow JSON's grammar. 0, or -1: out of range.
int number_shim_parse(const char *text, size_t n, double *out);

#ifdef __cplusplus
}
#endif
