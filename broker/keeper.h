// SPDX-License-Identifier: Apache-2.0
//
// Keeper: the thread for what nobody waits for: checkpoints when the journal has grown, and every
// housekeeping interval transaction timeouts, retention and compaction. A failing pass is logged
// and tried again at the next.
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct broker;

struct keeper {
    struct broker *broker;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_t thread;
    bool running, stop, checkpoint_wanted;
};

void keeper_init(struct keeper *, struct broker *);
int keeper_start(struct keeper *, struct err *);
void keeper_stop(struct keeper *);
void keeper_want_checkpoint(struct keeper *);
// Whether a checkpoint is wanted; the caller makes it (long passes ask in between).
bool keeper_take_wish(struct keeper *);
