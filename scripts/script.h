// SPDX-License-Identifier: Apache-2.0
//
// Script: a topology script in one Lua interpreter: loads it, checks it, yields its graph, and
// afterwards runs its functions. Each task loads its own script (same file, same parameters), so
// function indices agree between the planner's and the tasks' interpreters.
//
// Sandbox: no io, os, package, debug, load; memory cap; a watchdog stops a call that runs longer
// than `call_ms`, pattern functions included; pcall cannot swallow that.
#pragma once

#include "operators/fn.h"
#include "operators/graph.h"

struct script_param {
    const char *name, *value; // from --set
};

struct script_options {
    const struct script_param *params;
    uint32_t params_count;
    size_t memory_bytes; // per interpreter; 0: 64 MiB
    int64_t call_ms;     // one call's time; 0: 1000
};

struct script;

// -1: err says file:line, what is wrong and the nearest valid name. `source` may be NULL (the file
// is read) or the text itself (tests); `path` is used in messages.
int script_load(const char *path, const char *source, const struct script_options *,
                struct script **out, struct err *);
void script_free(struct script *);
const struct graph *script_graph(const struct script *); // borrowed until script_free
struct fn *script_fn(struct script *, uint32_t index);   // borrowed until script_free
uint32_t script_fn_count(const struct script *);
// A hash of everything that shapes the graph, to check that two loads agree.
uint64_t script_graph_hash(const struct script *);
