// SPDX-License-Identifier: Apache-2.0
//
// Pattern: Lua's patterns with a budget. The language is exactly that of Lua 5.4's reference manual
// (6.4.1); what differs is that every comparison counts, so that a pattern cannot run for hours
// inside one call. Backtracking over the pattern, recursion where a choice is left open.
//
// Pure: no Lua, no allocation; borrows subject and pattern. Errors are returned in `error`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_CAPTURES = 32,
    PATTERN_DEPTH = 200, // choices left open at a time
    PATTERN_OPEN = -1,   // capture.n: not closed yet
    PATTERN_POSITION = -2,
};

struct pattern_capture {
    const uint8_t *at;
    ptrdiff_t n; // or PATTERN_OPEN, PATTERN_POSITION
};

struct pattern {
    const uint8_t *subject, *subject_end, *pattern_end;
    uint64_t *steps;   // left; 0 after "took too long"
    const char *error; // NULL: none; then nothing matched
    int argument;      // of the error: "%d" in it
    int depth;
    int captures_count;
    struct pattern_capture captures[PATTERN_CAPTURES];
};

extern const char pattern_too_long[]; // the error of a spent budget

// Matches `p` (without a leading "^") at `at`; the end of the match, or NULL. Captures are begun
// anew. Check `error` afterwards.
const uint8_t *pattern_match(struct pattern *, const uint8_t *at, const uint8_t *p);
