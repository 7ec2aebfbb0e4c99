// SPDX-License-Identifier: Apache-2.0
#include "broker/keeper.h"

#include <errno.h>
#include <time.h>

#include "base/logline.h"
#include "broker/core.h"
#include "broker/retention.h"

enum { TIMEOUTS_EVERY_MS = 1000 };

void keeper_init(struct keeper *k, struct broker *b)
{
    *k = (struct keeper){.broker = b};
    pthread_mutex_init(&k->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->cond, &attr);
    pthread_condattr_destroy(&attr);
}

// Waits for a wish or for the next tick; true: a checkpoint is wanted.
static bool wait_tick(struct keeper *k, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int r = 0;
    while (!k->stop && !k->checkpoint_wanted && r != ETIMEDOUT)
        r = ms < 0 ? pthread_cond_wait(&k->cond, &k->mutex)
                   : pthread_cond_timedwait(&k->cond, &k->mutex, &until);
    bool wanted = k->checkpoint_wanted;
    k->checkpoint_wanted = false;
    return wanted;
}

static void report(int r, const char *what, const struct err *e)
{
    if (r < 0)
        logline(LOG_ERROR, "broker", "%s failed: %s", what, e->text);
}

static void *keep(void *arg)
{
    struct keeper *k = arg;
    struct broker *b = k->broker;
    int64_t every = b->config.housekeeping_ms;
    int64_t tick = every < 0 ? -1 : every < TIMEOUTS_EVERY_MS ? every : TIMEOUTS_EVERY_MS;
    int64_t last = clk_mono_ms(clk_real());
    struct err e;
    pthread_mutex_lock(&k->mutex);
    while (!k->stop) {
        bool wanted = wait_tick(k, tick);
        if (k->stop)
            break;
        pthread_mutex_unlock(&k->mutex);
        if (wanted)
            report(broker_checkpoint(b, &e), "checkpoint", &e);
        if (every >= 0)
            producers_time_out(b);
        if (every >= 0 && clk_mono_ms(clk_real()) - last >= every) {
            report(retention_pass(b, &e), "housekeeping", &e);
            last = clk_mono_ms(clk_real());
        }
        pthread_mutex_lock(&k->mutex);
    }
    pthread_mutex_unlock(&k->mutex);
    return NULL;
}

int keeper_start(struct keeper *k, struct err *e)
{
    errno = pthread_create(&k->thread, NULL, keep, k);
    if (errno != 0)
        return err_io(e, "cannot start the keeper thread");
    k->running = true;
    return 0;
}

void keeper_stop(struct keeper *k)
{
    if (k->running) {
        pthread_mutex_lock(&k->mutex);
        k->stop = true;
        pthread_cond_signal(&k->cond);
        pthread_mutex_unlock(&k->mutex);
        pthread_join(k->thread, NULL);
        k->running = false;
    }
    pthread_mutex_destroy(&k->mutex);
    pthread_cond_destroy(&k->cond);
}

bool keeper_take_wish(struct keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    bool wanted = k->checkpoint_wanted;
    k->checkpoint_wanted = false;
    pthread_mutex_unlock(&k->mutex);
    return wanted;
}

void keeper_want_checkpoint(struct keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    k->checkpoint_wanted = true;
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->mutex);
}
