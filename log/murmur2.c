// SPDX-License-Identifier: Apache-2.0
#include "log/murmur2.h"

#include "log/log.h"

#include <endian.h>

// MurmurHash2 (public domain, A. Appleby) with the seed that Kafka's partitioner uses.
int32_t murmur2(struct slice s)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = UINT32_C(0x9747b28c) ^ s.n;
    const uint8_t *p = s.p;
    uint32_t n = s.n;
    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k;
        memcpy(&k, p, 4);
        k = le32toh(k) * m;
        k ^= k >> 24;
        h = (h * m) ^ (k * m);
    }
    if (n == 3)
        h ^= (uint32_t)p[2] << 16;
    if (n >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (n >= 1)
        h = (h ^ p[0]) * m;
    h = (h ^ (h >> 13)) * m;
    return (int32_t)(h ^ (h >> 15));
}

int32_t log_partition_of(struct slice key, int32_t partitions)
{
    return (murmur2(key) & 0x7fffffff) % partitions;
}
