// SPDX-License-Identifier: Apache-2.0
//
// Err: what went wrong, in words for people, with a class that decides what the caller does.
//
// Functions that can fail return 0 or -1 (or NULL) and take `struct err *` as the last parameter;
// it may not be NULL. A good text says what happened, where (file:line or topic/partition/offset),
// why it is likely, and what to do next.
#pragma once

#include "base/check.h"

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,     // bad argument, option, script or request: fix the input
    ERR_CORRUPT,     // bytes that fail their checksum or cannot be decoded
    ERR_IO,          // the operating system refused; the text holds strerror
    ERR_NOT_FOUND,   // no such topic, file, key …
    ERR_EXISTS,      // already there
    ERR_FENCED,      // a newer owner took over: stop, do not retry
    ERR_UNKNOWN,     // outcome unknown: it may or may not have happened
    ERR_RANGE,       // offset outside the log
    ERR_LIMIT,       // a configured bound was exceeded
    ERR_SCRIPT,      // a user function raised
    ERR_AGAIN,       // not now; retry
    ERR_UNSUPPORTED, // a feature this build or peer lacks
    ERR_CLOSED,      // shutting down
};

struct err {
    enum err_code code;
    char text[1024];
};

// Sets code and text; returns -1 so that callers can `return err_set(…)`.
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
// As err_set with ERR_IO, and ": <strerror(errno)>" appended.
int err_io(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Puts context in front: "<fmt>: <old text>". Keeps the code. Returns -1.
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *err_code_name(enum err_code code);
