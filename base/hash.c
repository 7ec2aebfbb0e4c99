// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

// n bytes (1 to 7), lowest first, in overlapping pieces: a copy of that length would be a call.
static inline uint64_t short_lane(const uint8_t *p, uint32_t n)
{
    if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        return low | (uint64_t)high << (8 * (n - 4));
    }
    return p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
}

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
        h = hash_mix(h ^ short_lane(p, n) ^ ((uint64_t)n << 56));
    }
    return hash_mix(h);
}
