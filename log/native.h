// SPDX-License-Identifier: Apache-2.0
//
// Native: the client of the broker in this process. A call instead of a request: append encodes
// into batches that the broker copies as they are, a poll reads stored batches and hands out
// slices into them.
//
// One client belongs to one thread; only wake may be called from others. The broker must outlive
// its clients. subscribe only tells the listener which partitions are this client's; reading
// starts where assign says.
#pragma once

#include "broker/broker.h"
#include "log/log.h"

struct native_options {
    const char *transactional_id; // copied; opening fences older clients of it. NULL: nobody is
    int32_t timeout_ms;           // of classic transactions of this id; 0: 60 s
    uint32_t poll_bytes;          // about so much per poll; 0: 1 MiB
};

// Moved out: give it back with log->ops->close.
int native_open(struct broker *, const struct native_options *, struct log **out, struct err *);
