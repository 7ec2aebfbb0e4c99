// SPDX-License-Identifier: Apache-2.0
//
// Recovery: from the files of a data directory to the state of a broker.
//
// Snapshot first, then the journals' frames, each entry through the same function. Batches that
// rode in the journal are written to their segments again; those that lie in segments by reference
// are read and compared. Then every segment is cut to what is known of it; one that is shorter, or
// missing, or damaged is an error that names the file: it held acknowledged data.
#pragma once

#include "base/err.h"
#include "broker/snapshot.h"

struct recovered {
    uint64_t journal;  // number of the last journal file
    uint64_t sequence; // of the next frame
    bool replayed;     // there were frames: checkpoint before serving
};

int recovery_run(struct broker *, struct recovered *, struct err *);
