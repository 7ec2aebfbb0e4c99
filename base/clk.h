// SPDX-License-Identifier: Apache-2.0
//
// Clk: the one source of time, injected, so that tests and the simulator own it. Nothing on the
// per-record path reads a clock; workers read it once per step.
#pragma once

#include <stdint.h>

struct clk {
    int64_t (*wall_ms)(struct clk *c); // milliseconds since 1970 UTC; may jump
    int64_t (*mono_ns)(struct clk *c); // never goes back
};

struct clk *clk_real(void); // borrowed, process-wide, any thread

struct clk_manual { // embed or own; set now_ms to advance
    struct clk clk;
    int64_t now_ms;
};
void clk_manual_init(struct clk_manual *c, int64_t now_ms);

static inline int64_t clk_wall_ms(struct clk *c)
{
    return c->wall_ms(c);
}
static inline int64_t clk_mono_ns(struct clk *c)
{
    return c->mono_ns(c);
}
static inline int64_t clk_mono_ms(struct clk *c)
{
    return c->mono_ns(c) / 1000000;
}
