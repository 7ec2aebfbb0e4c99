// SPDX-License-Identifier: Apache-2.0
//
// Retention: deleting whole segments from the front, by time, by size or on request.
//
// The new start is durable in the journal before a segment goes, and only segments that the last
// snapshot knows as sealed go, so no journal frame can refer to a deleted file.
#pragma once

#include "base/err.h"

struct broker;
struct broker_partition;

// All partitions: retention, then compaction.
int retention_pass(struct broker *, struct err *);
