// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdarg.h>

void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

void buf_release(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

void buf_grow(struct buf *b, uint32_t more)
{
    uint64_t size = b->size < 64 ? 64 : b->size;
    while (size - b->n < more)
        size *= 2;
    CHECK(size <= UINT32_MAX);
    b->p = check_alloc(realloc(b->p, size));
    b->size = (uint32_t)size;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint8_t *at = buf_reserve(b, 128);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf((char *)at, b->size - b->n, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    if ((uint32_t)n >= b->size - b->n) {
        at = buf_reserve(b, (uint32_t)n + 1);
        vsnprintf((char *)at, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    b->n += (uint32_t)n;
}
