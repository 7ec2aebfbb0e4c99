// SPDX-License-Identifier: Apache-2.0
//
// Handout: which partitions are whose when the log itself does not decide: partition p of the t-th
// lead topic belongs to member (t + p) mod members. Clients without group coordination (native,
// memory) share it, so that both hand out alike. Used by the client's thread.
#pragma once

#include "log/log.h"

struct handout {
    struct log_subscription subscription;
    uint32_t *topics; // owned: the lead topics' handles
    bool due;         // the listener has not been told yet
};

// Copies the subscription. -1: the member is not one of the members.
int handout_set(struct handout *h, const struct log_subscription *s, struct err *e);
// Tells the listener, once. `partitions` answers for a topic handle.
void handout_tell(struct handout *h, int32_t (*partitions)(void *arg, uint32_t topic), void *arg);
void handout_release(struct handout *h);
