// SPDX-License-Identifier: Apache-2.0
//
// Marker: "nothing earlier than this will come from me". A writer (a task, a source connector) puts
// one into every partition of the topics it feeds, in the transaction whose data it follows, when
// its watermark has changed. A reader takes the minimum over the writers of a partition.
//
// In the log a marker is a control record (key: version 0, type MARKER_TYPE), which ordinary
// clients skip; so user topics may carry markers too.
#pragma once

#include "base/buf.h"

enum { MARKER_TYPE = 100 };

enum marker_flags {
    MARKER_IDLE = 1, // the writer waits for input; do not wait for it
    MARKER_END = 2,  // bounded run: nothing more will ever come from this writer
};

struct marker {
    uint32_t group;    // hash_id of the writers' common name, e.g. "<app>/<sub-topology>"
    int32_t writer;    // 0 … writers - 1
    int32_t writers;   // how many there are in the group
    int64_t watermark; // every later record has time >= watermark, ms; INT64_MIN: unknown yet
    uint8_t flags;
};

void marker_encode(const struct marker *m, struct buf *out);
int marker_decode(struct slice value, struct marker *out); // -1: not a marker
