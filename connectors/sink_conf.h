// SPDX-License-Identifier: Apache-2.0
//
// Sink conf: the file sink's options, checked and read into one struct.
#pragma once

#include "connectors/settings.h"

enum sink_format { SINK_CSV, SINK_JSONL, SINK_AVRO };

struct sink_conf { // texts live in the arena it was read with
    const char *path;
    enum sink_format format;
    int64_t roll_rows;
    int64_t roll_every;   // event time, ms; 0: off
    const char **columns; // csv
    uint32_t columns_count;
    char delimiter;
    bool booleans_01;
};

extern const struct setting sink_conf_table[];
int sink_conf_check(const struct connector_spec *, struct err *);
int sink_conf_read(const struct connector_spec *, struct arena *, struct sink_conf *, struct err *);
const char *sink_format_name(enum sink_format); // and the files' extension
