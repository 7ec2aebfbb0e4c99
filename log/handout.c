// SPDX-License-Identifier: Apache-2.0
#include "log/handout.h"

int handout_set(struct handout *h, const struct log_subscription *s, struct err *e)
{
    if (s->members == 0 || s->member >= s->members)
        return err_set(e, ERR_INVALID, "member %u of %u", s->member, s->members);
    size_t n = s->topics_count * sizeof s->topics[0];
    free(h->topics);
    h->topics = check_alloc(malloc(n + 1));
    if (n != 0)
        memcpy(h->topics, s->topics, n);
    h->subscription = *s;
    h->subscription.topics = h->topics;
    h->due = true;
    return 0;
}

void handout_tell(struct handout *h, int32_t (*partitions)(void *arg, uint32_t topic), void *arg)
{
    const struct log_subscription *s = &h->subscription;
    struct log_tp *tps = NULL;
    uint32_t n = 0;
    h->due = false;
    for (uint32_t t = 0; t < s->topics_count; t++) {
        int32_t count = partitions(arg, s->topics[t]);
        tps = check_alloc(realloc(tps, (n + (size_t)count + 1) * sizeof tps[0]));
        for (int32_t p = 0; p < count; p++) {
            if ((t + (uint32_t)p) % s->members == s->member)
                tps[n++] = (struct log_tp){s->topics[t], p};
        }
    }
    if (s->listener.assigned != NULL)
        s->listener.assigned(s->listener.arg, tps, n);
    free(tps);
}

void handout_release(struct handout *h)
{
    free(h->topics);
    *h = (struct handout){0};
}
