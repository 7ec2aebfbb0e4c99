// SPDX-License-Identifier: Apache-2.0
//
// Compact: rewriting the sealed segments of compact topics so that only the last record of a key
// stays.
//
// Candidates are sealed segments from the front that the snapshot knows, wholly below the last
// stable offset and older than min.compaction.lag. A map of the keys in the part not cleaned yet is
// built, then all candidates are rewritten against it; small neighbours become one segment.
//
// C1  Offsets never change. A batch that loses records keeps the offsets it covers; the last batch
//     of a new segment stays, empty if need be, so that the segment's end is known.
// C2  Records of aborted transactions go. End markers stay, whatever their keys: readers need them.
//     Of our watermark markers the last of each writer stays.
// C3  A tombstone goes when it was already cleaned once, delete.retention.ms ago.
// C4  Swap: `<base>.cleaned` is written and synced; the journal says so; it is renamed over the
//     first segment; the others are removed. Recovery finishes what the journal says and drops what
//     it does not.
#pragma once

#include "base/err.h"

struct broker_partition;

// Compacts when the topic is compacted and there is enough to gain. One call at a time (the caller
// holds broker->housekeeping). -1: read or write error; nothing was changed, or the broker has
// failed.
int compact_partition(struct broker_partition *, struct err *);
