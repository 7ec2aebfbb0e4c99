// SPDX-License-Identifier: Apache-2.0
//
// Assertions that stay on in every build. They guard our own invariants; bytes from outside
// (wire, disk, scripts) are never asserted on, they are errors.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            fprintf(stderr, "weir: bug: %s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// A malloc that must succeed: running out of memory after start is fatal by design.
static inline void *check_alloc(void *p)
{
    CHECK(p != NULL);
    return p;
}

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
