// SPDX-License-Identifier: Apache-2.0
//
// Plan: a graph cut into sub-topologies at its repartitions, with every topic and store named.
//
// A sub-topology reads its input topics partition by partition; one task per partition runs its
// steps. Steps form a tree below each input (a join hangs below its stream; it refers to its table
// step). Immutable once made, shared by all workers, lives in one arena.
//
// I1  The inputs of a sub-topology have the same number of partitions.
// I2  A step that holds records (features in event order) has only stateless steps above it.
#pragma once

#include "log/log.h"
#include "operators/graph.h"

enum plan_topic_role {
    PLAN_SOURCE,      // the user's, read
    PLAN_OUTPUT,      // the user's, written
    PLAN_REPARTITION, // ours, between sub-topologies
    PLAN_CHANGELOG,   // ours, rows of one store
    PLAN_TASKS,       // ours, task marks
    PLAN_DEAD_LETTERS,
};

struct plan_topic {
    const char *name;
    enum plan_topic_role role;
    int32_t partitions; // wanted; replaced by what exists (plan_partitions_fix)
    bool explicit_partitions;
    bool read, written;
    const struct codec *codec; // NULL: carried
};

enum plan_step_kind { STEP_NODE, STEP_REPARTITION };

struct plan_step {
    enum plan_step_kind kind;
    const struct node *node; // for a repartition: a key_by made by the planner
    struct plan_step **next;
    uint32_t next_count;
    struct plan_step *table; // joins: the step that keeps the table
    uint32_t output;         // NODE_TO, repartitions: index in the sub-topology's outputs
    uint32_t index;          // among the sub-topology's steps
};

struct plan_input {
    uint32_t topic;          // index in plan.topics
    const struct node *node; // its stream or table node; NULL for a repartition topic
    struct plan_step **roots;
    uint32_t roots_count;
    struct plan_sub **feeders; // sub-topologies of this app that write the topic
    uint32_t feeders_count;
    uint32_t *sources; // marker groups of this app's source connectors that write it
    uint32_t sources_count;
};

struct plan_output {
    uint32_t topic;
    const struct codec *codec; // NULL: carried
};

struct plan_sub {
    const char *name; // the name of its first input topic: stable while the script changes
    uint32_t id;      // index in plan.subs
    uint32_t group;   // hash_id("<app>/<name>"): its marker group
    struct plan_input *inputs;
    uint32_t inputs_count;
    struct plan_output *outputs;
    uint32_t outputs_count;
    struct plan_step **steps; // in the order they must be built
    uint32_t steps_count;
    int32_t partitions;
};

struct plan_note { // why a repartition was made or elided
    const char *where, *text;
};

struct plan {
    const struct graph *graph; // borrowed
    struct arena *arena;
    struct plan_topic *topics;
    uint32_t topics_count;
    struct plan_sub **subs;
    uint32_t subs_count;
    struct plan_note *notes;
    uint32_t notes_count;
    const struct codec **codecs; // every codec a carried record may name
    uint32_t codecs_count;
};

// Cuts the graph. -1: it cannot run (err has file:line).
int plan_make(const struct graph *, struct arena *, struct plan **out, struct err *);
// Refuses circles and topics written and read in different formats; plan_make ends with it.
int plan_check(const struct plan *, struct err *err);
// Sets partition counts from what exists (`lookup` returns 0 when a topic does not) and from
// wishes, and checks co-partitioning.
int plan_partitions_fix(struct plan *, int32_t (*lookup)(void *arg, const char *topic), void *arg,
                        struct err *);
int plan_topic_find(const struct plan *, const char *name); // index or -1
const char *plan_store_topic(const struct plan *, const char *store, struct arena *);
bool plan_node_stateful(const struct node *);
// For people: sub-topologies, tasks, stores, topics, notes. As JSON with `json`.
void plan_print(const struct plan *, bool json, struct buf *out);
