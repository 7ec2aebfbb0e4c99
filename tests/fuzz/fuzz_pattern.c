// SPDX-License-Identifier: Apache-2.0
//
// Our pattern functions beside Lua's own. Input: subject, pattern and replacement, each behind its
// length. Lua's have no budget, so only what ours finish quickly is compared.
#include "tests/unit/pattern_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice take(struct cur *c, uint32_t most)
{
    uint32_t n = cur_u8(c) % (most + 1);
    n = n < cur_left(c) ? n : cur_left(c);
    const uint8_t *p = cur_take(c, n);
    return p == NULL ? slice_of("", 0) : slice_of(p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct oracle o;
    if (o.L == NULL)
        oracle_open(&o);
    struct cur c = cur_of(slice_of(data, size));
    struct slice s = take(&c, 40), p = take(&c, 40), r = take(&c, 10);
    int init = (int8_t)cur_u8(&c);
    // Tried at every place of the subject first, under a budget.
    uint64_t steps = 200000;
    struct pattern m = {
        .subject = s.p, .subject_end = s.p + s.n, .pattern_end = p.p + p.n, .steps = &steps};
    for (uint32_t i = 0; i <= s.n && m.error == NULL; i++)
        pattern_match(&m, s.p + i, p.p + (p.n > 0 && p.p[0] == '^'));
    if (steps == 0)
        return 0;
    const char *difference = oracle_compare(&o, s, p, r, init);
    if (difference != NULL) {
        fprintf(stderr, "%s\n", difference);
        abort();
    }
    return 0;
}
