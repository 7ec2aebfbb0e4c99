// SPDX-License-Identifier: Apache-2.0
//
// sim [--seeds N] [--from SEED] [--seed SEED]: runs seeds one after the other; a failure prints its
// seed and the command that runs it alone.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = 200;
    bool one = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = n;
        else if (strcmp(argv[i], "--from") == 0 || strcmp(argv[i], "--seed") == 0)
            from = n;
        one = one || strcmp(argv[i], "--seed") == 0;
    }
    if (one)
        seeds = 1;
    struct sim totals = {0};
    double start = now();
    uint64_t failed = 0;
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        struct err err;
        if (sim_run(seed, one, &totals, &err) == 0)
            continue;
        failed++;
        printf("FAIL %s\n     again: sim --seed %" PRIu64 "\n", err.text, seed);
        fflush(stdout);
        if (failed == 10)
            break;
    }
    double s = now() - start;
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " failed, %.1f s (%.0f seeds/s), %u events, "
           "%u crashes, %u commit faults\n",
           seeds, failed, s, (double)seeds / s, totals.events_count, totals.crashes, totals.faults);
    return failed == 0 ? 0 : 1;
}
