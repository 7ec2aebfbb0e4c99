// SPDX-License-Identifier: Apache-2.0
//
// Failpoint: named places where a test makes the process die or a call fail.
// WEIR_FAILPOINTS="commit.flushed=kill@3,sink.renamed=kill" kills the process (SIGKILL) at the
// third pass of `commit.flushed` and the first of `sink.renamed`. `=error` makes FAILPOINT_ERROR
// return true instead. Costs one predictable branch when the variable is unset. Any thread.
#pragma once

#include <stdbool.h>

extern bool failpoint_armed;
bool failpoint_hit(const char *name);

#define FAILPOINT(name)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(failpoint_armed, 0))                                                  \
            (void)failpoint_hit(name);                                                             \
    } while (0)
#define FAILPOINT_ERROR(name) (__builtin_expect(failpoint_armed, 0) && failpoint_hit(name))

// Leaves the function with ERR_CLOSED when the failpoint fires as an error: what a simulator takes
// for a crash at this place.
#define FAILPOINT_STOP(name, err)                                                                  \
    do {                                                                                           \
        if (FAILPOINT_ERROR(name))                                                                 \
            return err_set((err), ERR_CLOSED, "failpoint %s", name);                               \
    } while (0)

// Asked at every failpoint instead of the environment's list, when set (the simulator's seeded
// choice). Set before threads start.
extern bool (*failpoint_hook)(const char *name);

// Reads the environment; called once at the start of main.
void failpoint_init(void);
