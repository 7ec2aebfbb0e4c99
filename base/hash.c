// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

// 8-byte lanes, each folded in by the 64-bit finaliser of MurmurHash3 (public domain, A. Appleby).
uint64_t hash_bytes(struct slice s)
{
    uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)s.n * UINT64_C(0x87c37b91114253d5));
    const uint8_t *p = s.p;
    uint32_t n = s.n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t lane;
        memcpy(&lane, p, 8);
        h = hash_mix(h ^ lane) + UINT64_C(0x52dce729);
    }
    if (n != 0) {
        uint64_t lane = 0;
        memcpy(&lane, p, n);
        h = hash_mix(h ^ lane ^ ((uint64_t)n << 56));
    }
    return hash_mix(h);
}
