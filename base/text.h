// SPDX-License-Identifier: Apache-2.0
//
// Text: small helpers for words people type and read.
#pragma once

#include "base/err.h"
#include "base/slice.h"

// The candidate nearest to `name` by edit distance (at most a third of its length, at least 2),
// or NULL. `get(arg, i)` returns candidate i or NULL at the end.
const char *text_nearest(const char *name, const char *(*get)(void *arg, int i), void *arg);
// The same over a NULL-terminated array.
const char *text_nearest_of(const char *name, const char *const *names);

// "1d", "30s", "250ms", "2h", "15m", "1w" → milliseconds. A bare number is refused.
int text_duration_ms(const char *s, int64_t *out, struct err *e);
// "64MB", "1GiB", "512KB", "123" → bytes (K, M, G are powers of 1024).
int text_bytes(const char *s, int64_t *out, struct err *e);
// ISO 8601 ("2018-07-25", "2018-07-25T10:00:00", "…T10:00:00.123Z", "… 10:00:00") or epoch
// milliseconds → epoch ms, UTC.
int text_time_ms(struct slice s, int64_t *out);
// epoch ms → "2018-07-25T10:00:00.000Z"; `out` holds 32 bytes.
char *text_time(int64_t ms, char out[32]);
// 1234567 → "1,234,567"; `out` holds 32 bytes.
char *text_count(int64_t n, char out[32]);
// 1536 → "1.5 KB"; `out` holds 32 bytes.
char *text_size(int64_t bytes, char out[32]);
// 7 days in ms → "7d"; `out` holds 32 bytes. The largest unit that divides it.
char *text_duration(int64_t ms, char out[32]);
