// SPDX-License-Identifier: Apache-2.0
#include "base/prng.h"

#include <math.h>

// Box-Muller; the second number is thrown away so that the state stays one word.
double prng_normal(struct prng *r, double mean, double sd)
{
    double u = 1.0 - prng_uniform(r);
    double v = prng_uniform(r);
    return mean + sd * sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

// Knuth's multiplication method.
uint32_t prng_poisson(struct prng *r, double mean)
{
    double limit = exp(-mean), product = 1.0;
    uint32_t n = 0;
    for (;;) {
        product *= 1.0 - prng_uniform(r);
        if (product <= limit)
            return n;
        n++;
    }
}
