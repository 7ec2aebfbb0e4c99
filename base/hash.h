// SPDX-License-Identifier: Apache-2.0
//
// Hash: 64-bit hashes that are stable across runs, machines and versions: store and topic ids on
// disk are built from them. Not for untrusted keys where collisions could be forced.
#pragma once

#include "base/slice.h"

uint64_t hash_bytes(struct slice s);

static inline uint64_t hash_mix(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

// A stable 32-bit id of a name; never 0.
static inline uint32_t hash_id(const char *name)
{
    uint32_t id = (uint32_t)(hash_bytes(slice_str(name)) >> 32);
    return id == 0 ? 1 : id;
}
