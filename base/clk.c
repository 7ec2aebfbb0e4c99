// SPDX-License-Identifier: Apache-2.0
#include "base/clk.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t real_wall_ms(struct clk *c)
{
    (void)c;
    return read_ns(CLOCK_REALTIME) / 1000000;
}

static int64_t real_mono_ns(struct clk *c)
{
    (void)c;
    return read_ns(CLOCK_MONOTONIC);
}

struct clk *clk_real(void)
{
    static struct clk real = {real_wall_ms, real_mono_ns};
    return &real;
}

static int64_t manual_wall_ms(struct clk *c)
{
    return ((struct clk_manual *)c)->now_ms;
}

static int64_t manual_mono_ns(struct clk *c)
{
    return ((struct clk_manual *)c)->now_ms * 1000000;
}

void clk_manual_init(struct clk_manual *c, int64_t now_ms)
{
    *c = (struct clk_manual){{manual_wall_ms, manual_mono_ns}, now_ms};
}
