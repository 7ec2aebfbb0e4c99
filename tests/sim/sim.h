// SPDX-License-Identifier: Apache-2.0
//
// Sim: one seed's world: the production engine on one thread over a log in memory, fed little by
// little, crashing and failing at seeded moments, until the bounded run ends. Then a judge, which
// shares no code with the engine, looks at what came out.
#pragma once

#include "base/clk.h"
#include "base/prng.h"
#include "log/memory.h"
#include "runtime/worker.h"

enum { SIM_WORKERS = 2, SIM_PARTITIONS_MAX = 4 };

struct sim_event { // what goes in, in the order of event time
    int64_t time;
    int64_t id; // 0, 1, 2 …
    int64_t customer, terminal;
    double amount; // multiples of 0.25, so that sums are exact in any order
    bool fraud;
    bool poison; // the script raises on it
    bool table;  // goes to the scenario's table topic
};

struct sim;

struct sim_scenario {
    const char *name;
    const char *script;
    const char *topic;       // events go here
    const char *table_topic; // events with `table` go here; NULL: none
    bool keyed;              // by customer; else round robin
    bool feed_first;         // no source of the app's own: all is there before the run begins
    // 0: right; -1: err says what is wrong
    int (*judge)(struct sim *, struct err *);
};
extern const struct sim_scenario sim_scenarios[];
extern const uint32_t sim_scenarios_count;
extern const struct sim_scenario sim_scenarios_more[];
extern const uint32_t sim_scenarios_more_count;

struct sim {
    uint64_t seed;
    struct prng random;
    const struct sim_scenario *scenario;
    int32_t partitions;
    struct sim_event *events;
    uint32_t events_count, fed;
    uint32_t *order; // in which events are fed: nearly that of time
    bool fed_all;
    struct memory_log *log;
    struct log *feeder;
    struct db *db;
    struct clk_manual clk;
    struct script_options script_options;
    struct script *script;
    struct arena arena;
    struct plan *plan;
    struct worker_env env;
    struct worker *workers[SIM_WORKERS];
    uint32_t workers_count;
    bool worker_done[SIM_WORKERS];
    int32_t *unfinished;
    struct task_stats stats;
    uint32_t crash_per_mille, fault_per_mille;
    uint32_t crashes, faults; // that happened
    bool live;                // not told to end yet
    bool calm;                // no more faults: let it finish
};

// Runs one seed. -1: err says what is wrong.
int sim_run(uint64_t seed, bool verbose, struct sim *totals, struct err *err);
