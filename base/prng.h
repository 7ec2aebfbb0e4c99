// SPDX-License-Identifier: Apache-2.0
//
// Prng: seeded random numbers (splitmix64, Steele et al. 2014): same seed, same sequence, on every
// machine. Good enough for simulation and generators, not for secrets.
#pragma once

#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline void prng_init(struct prng *r, uint64_t seed)
{
    r->state = seed;
}

static inline uint64_t prng_u64(struct prng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// Uniform in [0, n), n > 0; the modulo bias (< n/2^64) is accepted.
static inline uint64_t prng_below(struct prng *r, uint64_t n)
{
    return prng_u64(r) % n;
}

static inline double prng_uniform(struct prng *r) // [0, 1)
{
    return (double)(prng_u64(r) >> 11) * 0x1.0p-53;
}

double prng_normal(struct prng *r, double mean, double sd);
uint32_t prng_poisson(struct prng *r, double mean); // mean below about 500
