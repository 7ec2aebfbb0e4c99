// SPDX-License-Identifier: Apache-2.0
//
// Fn: a user function as operators see it. Scripts implement it (Lua); tests may in C. One fn
// belongs to one task's interpreter; calls are on its worker.
#pragma once

#include "operators/op.h"

enum fn_arg_kind {
    FN_MSG,   // the record: a lazy view and its rec (key, time, headers, topic, partition, offset)
    FN_VALUE, // a plain value
};

struct fn_arg {
    enum fn_arg_kind kind;
    struct msg *msg;
    const struct value *value;
};

struct fn {
    // Calls with n arguments; the result is in *out, memory from `arena`. A returned view of the
    // argument's record is given back as VALUE_MAP of its fields unless `same` is not NULL: then
    // *same = true says "the record itself, maybe with fields set" and *out is null.
    // -1: it raised, ran too long, used too much memory; err has the message with file:line.
    int (*call)(struct fn *, const struct fn_arg *args, uint32_t n, struct arena *arena,
                struct value *out, bool *same, struct err *);
    const char *where; // file:line of its definition
};

// Truth of a result: everything but null and false.
static inline bool fn_truth(const struct value *v)
{
    return v->type != VALUE_NULL && (v->type != VALUE_BOOL || v->b);
}
