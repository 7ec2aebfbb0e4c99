// SPDX-License-Identifier: Apache-2.0
//
// Judge: what the scenarios' judges have in common: the schema of the events, reading what came
// out, and plain recomputations. Shares no code with operators, state or runtime.
#pragma once

#include "formats/value.h"
#include "tests/sim/sim.h"

enum { DAY_MS = 86400000, HOUR_MS = 3600000 };

#define TX_TYPES                                                                                   \
    "local weir = require 'weir'\n"                                                                \
    "local app = weir.app 'sim'\n"                                                                 \
    "local Tx = weir.schema { {'tx_id','long'}, {'ts','timestamp'}, {'customer_id','long'},\n"     \
    "  {'terminal_id','long'}, {'amount','double'},\n"                                             \
    "  {'fraud', weir.label {'boolean', visible_after='7d'}}, {'poison','boolean'} }\n"            \
    "local function good(t) if t.poison then error('poison') end return true end\n"
#define TX_SCHEMA                                                                                  \
    TX_TYPES                                                                                       \
    "app:source('feed', {connector='file', to='in', path='-', value=weir.json(Tx), time='ts'})\n"

struct judge_row {
    struct value value;
    struct slice key;
    int64_t time;
};

struct judge_rows {
    struct judge_row *items;
    uint32_t count;
};

// All data records of a topic, partition after partition.
int judge_read_rows(struct sim *s, const char *topic, struct judge_rows *out, struct err *err);
double judge_number(const struct value *v, const char *name); // a field; NaN: null or none
// The one row per event id, or an error: no event came out twice.
const struct judge_row **judge_by_id(struct sim *s, const struct judge_rows *rows, const char *id,
                                     struct err *err);
int judge_want(const struct judge_row *row, int64_t id, const char *name, double expected,
               struct err *err);
// One for each poisoned event of the stream, no more.
int judge_dead_letters(struct sim *s, struct err *err);

struct judge_sums {
    double n, total, high, low, frauds;
};
// Over events of the same customer (or terminal) with time in (t - delay - size, t - delay], up to
// the event itself in (time, id) order.
struct judge_sums judge_window(const struct sim *s, const struct sim_event *e, bool customer,
                               int64_t delay, int64_t size);
