// SPDX-License-Identifier: Apache-2.0
//
// Source conf: the file source's options, checked and read into one struct.
#pragma once

#include "connectors/settings.h"
#include "connectors/source_rows.h"

enum spread { SPREAD_KEY, SPREAD_ROUND_ROBIN, SPREAD_BLOCKS };

struct source_conf { // texts live in the arena it was read with
    const char *pattern, *time_field;
    struct source_rows_options rows;
    enum spread spread;
    int64_t block; // rows in a block
    bool follow;
    int64_t max_out_of_order, commit_rows, poll_ms, idle_after_ms;
    int64_t commit_ms; // -1: the runtime's
};

extern const struct setting source_conf_table[];
int source_conf_check(const struct connector_spec *, struct err *);
int source_conf_read(const struct connector_spec *, struct arena *, struct source_conf *,
                     struct err *);
