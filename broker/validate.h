// SPDX-License-Identifier: Apache-2.0
//
// Validate: what a batch must be to enter a partition, and our copy of its head. Pure; any thread,
// before any lock is taken.
#pragma once

#include "broker/broker.h"
#include "broker/head.h"

// A batch on its way into a partition.
struct staged {
    struct broker_batch *batch;
    struct head head;         // of our copy
    uint8_t bytes[HEAD_SIZE]; // our copy of the head
    struct slice body;        // borrowed from the caller
    struct broker_partition *partition;
    int64_t segment, position; // where it was written
    bool by_reference, written;
};

// Deep checks of a stranger's batch; fills s->head, bytes and body. Our own (`client_checked`) are
// only framed. `config`: the topic's. `now_ms`: for LogAppendTime.
enum broker_error validate_batch(struct staged *s, const struct broker_topic_config *config,
                                 bool client_checked, int64_t now_ms);
