// SPDX-License-Identifier: Apache-2.0
//
// Counter: a number that one thread writes and others read. No locked instruction is needed; what
// readers see may be a moment old.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

// Returns the number before.
static inline uint64_t counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_relaxed);
    return now;
}
