// SPDX-License-Identifier: Apache-2.0
//
// Testfile: runs a Lua file of test cases against an engine given by the host
// (runtime/test_driver). The file is trusted code of the developer's: it gets the standard
// libraries.
//
//   local test = require "weir.test"
//   test.app("fraud.lua", { partitions = 4, set = { out = "x" } })   -- relative to this file
//   test.case("a big amount alerts", function(t)
//     t:pipe("transactions", { tx_id = 1, ts = 0, amount = 300 })    -- one record, or a list
//     t:advance "1h"                                                 -- the simulated clock
//     t:finish()                                                     -- end of input: windows close
//     t:expect("alerts", { { tx_id = 1 } })                          -- in order; named fields only
//     t:expect_dead_letters{ { cause = "negative" } }                -- texts by substring
//   end)
//
// Each case gets an engine of its own.
#pragma once

#include "scripts/script.h"

struct testfile_record { // what came out of a topic
    struct slice key;
    int64_t time;
    int32_t partition;
    struct value value; // VALUE_NULL: a delete
};

struct testfile_pipe { // what goes in
    const char *topic;
    const struct value *value;
    struct slice key; // p == NULL: from the stream's key field
    bool has_key, has_time;
    int64_t time;
    int32_t partition; // -1: by the key
};

struct testfile_host {
    void *arg;
    int (*start)(void *arg, const char *app_path, const struct script_param *, uint32_t params,
                 int32_t partitions, struct err *);
    int (*pipe)(void *arg, const struct testfile_pipe *, struct err *);
    int (*advance)(void *arg, int64_t ms, struct err *);
    int (*finish)(void *arg, struct err *);
    // The next record of an output topic: 1, 0: no more, -1. `topic` NULL: of the dead letters, a
    // map of their headers (cause, stage, where, class, topic, partition, offset) and value.
    int (*take)(void *arg, const char *topic, struct arena *, struct testfile_record *,
                struct err *);
    void (*report)(void *arg, FILE *to); // after a failed case: what else may explain it; or NULL
    void (*stop)(void *arg);
};

struct testfile_result {
    uint32_t passed, failed;
};

// Runs every case whose name contains `only` (NULL: all) and prints to `to` as it goes. -1: the
// file itself cannot be run.
int testfile_run(const char *path, const char *only, const struct testfile_host *, FILE *to,
                 struct testfile_result *, struct err *);
