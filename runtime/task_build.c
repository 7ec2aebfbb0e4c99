// SPDX-License-Identifier: Apache-2.0
//
// Task building: operators, stores, inputs and outputs from the plan's steps.
#include "base/hash.h"
#include "runtime/task.h"

static struct fn *task_fn(void *arg, uint32_t index)
{
    return script_fn(((struct task *)arg)->script, index);
}

static int open_topic(struct task *t, const char *name, uint32_t *handle,
                      struct log_topic_info *info, struct err *err)
{
    if (t->env->log->ops->topic_open(t->env->log, name, handle, info, err) != 0)
        return err_wrap(err, "task %s", t->name);
    return 0;
}

static int build_outputs(struct task *t, struct err *err)
{
    const struct plan_sub *s = t->sub;
    t->outputs_count = s->outputs_count;
    t->outputs = arena_alloc(&t->life, sizeof(*t->outputs) * (s->outputs_count + 1));
    for (uint32_t i = 0; i < s->outputs_count; i++) {
        struct log_topic_info info;
        const struct plan_topic *pt = &t->env->plan->topics[s->outputs[i].topic];
        if (open_topic(t, pt->name, &t->outputs[i].topic, &info, err) != 0)
            return -1;
        t->outputs[i].partitions = info.partitions;
        t->outputs[i].carried = pt->role == PLAN_REPARTITION;
    }
    return 0;
}

static int add_store(struct task *t, struct store *store, struct err *err)
{
    struct task_store *ts = &t->stores[t->stores_count++];
    *ts = (struct task_store){.store = store, .floor = 0};
    const char *topic = plan_store_topic(t->env->plan, store_name(store), &t->life);
    ts->changelog.partition = t->partition;
    return open_topic(t, topic, &ts->changelog.topic, &ts->info, err);
}

static uint32_t stateful_count(const struct plan_sub *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->steps_count; i++)
        n += s->steps[i]->kind == STEP_NODE && plan_node_stateful(s->steps[i]->node);
    return n;
}

static int build_step(struct task *t, const struct plan_step *st, size_t cache_bytes,
                      struct err *err)
{
    struct build_ctx b = {.node = st->node,
                          .fn = task_fn,
                          .fn_arg = t,
                          .db = t->env->db,
                          .partition = t->partition,
                          .cache_bytes = cache_bytes,
                          .output = st->output};
    struct store *store = NULL;
    struct op *op = NULL;
    int rc;
    if (st->kind == STEP_REPARTITION) {
        b.carried = true;
        rc = op_to_new(&b, &op, err);
    } else {
        b.table = st->table == NULL ? NULL : t->ops[st->table->index];
        if (st->node->kind == NODE_TO)
            b.output_codec = st->node->codec; // two streams may write one topic
        rc = op_build(&b, &op, &store, err);
    }
    if (rc != 0)
        return err_wrap(err, "%s", st->node->where);
    t->ops[st->index] = op;
    return store == NULL ? 0 : add_store(t, store, err);
}

static struct op **ops_of(struct task *t, struct plan_step *const *steps, uint32_t n)
{
    struct op **ops = arena_alloc(&t->life, sizeof(*ops) * (n + 1));
    for (uint32_t i = 0; i < n; i++)
        ops[i] = t->ops[steps[i]->index];
    return ops;
}

static int build_steps(struct task *t, struct err *err)
{
    const struct plan_sub *s = t->sub;
    uint32_t stateful = stateful_count(s);
    size_t cache = t->env->cache_bytes / (stateful == 0 ? 1 : stateful);
    t->ops = arena_alloc(&t->life, sizeof(*t->ops) * (s->steps_count + 1));
    memset(t->ops, 0, sizeof(*t->ops) * (s->steps_count + 1));
    t->stores = arena_alloc(&t->life, sizeof(*t->stores) * (stateful + 1));
    t->ops_count = s->steps_count;
    for (uint32_t i = 0; i < s->steps_count; i++) {
        if (build_step(t, s->steps[i], cache, err) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < s->steps_count; i++) {
        for (uint32_t k = 0; k < s->steps[i]->next_count; k++)
            op_link(t->ops[i], t->ops[s->steps[i]->next[k]->index]);
    }
    return 0;
}

static void input_fields(struct task_input *in)
{
    const struct node *n = in->plan->node;
    if (n == NULL)
        return;
    in->codec = n->codec;
    if (n->time_field != NULL) {
        in->has_time = true;
        in->time_ref = field_ref_of(slice_str(n->time_field), n->codec->schema);
    }
    if (n->key_field != NULL) {
        in->has_key = true;
        in->key_ref = field_ref_of(slice_str(n->key_field), n->codec->schema);
    }
}

static int build_input(struct task *t, uint32_t i, struct err *err)
{
    struct task_input *in = &t->inputs[i];
    in->plan = &t->sub->inputs[i];
    in->topic_name = t->env->plan->topics[in->plan->topic].name;
    in->topic_hash = hash_id(in->topic_name);
    in->tp.partition = t->partition;
    in->stop_at = -1;
    if (open_topic(t, in->topic_name, &in->tp.topic, &in->info, err) != 0)
        return -1;
    input_fields(in);
    in->roots = ops_of(t, in->plan->roots, in->plan->roots_count);
    in->roots_count = in->plan->roots_count;
    in->drained_since_ms = -1;
    in->foreign_high = INT64_MIN;
    in->idle_after_ms = in->plan->node == NULL ? -1 : in->plan->node->idle_after_ms;
    return 0;
}

// Topics that this app feeds itself move by markers only; others by what their stream says.
static void build_watermarks(struct task *t)
{
    struct wm_input *w = arena_alloc(&t->arena, sizeof(*w) * t->inputs_count);
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        const struct node *n = t->inputs[i].plan->node;
        bool fed = n == NULL || t->inputs[i].plan->sources_count != 0 ||
                   t->inputs[i].plan->feeders_count != 0;
        w[i] = (struct wm_input){
            .topic = t->inputs[i].topic_hash,
            .partition = t->partition,
            .max_out_of_order_ms = fed ? -1 : n->max_out_of_order_ms,
            .max_future_ms = n == NULL ? -1 : n->max_future_ms,
            .max_jump_ms = n == NULL ? -1 : n->max_jump_ms,
        };
    }
    wm_init(&t->wm, w, t->inputs_count);
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        const struct plan_input *in = t->inputs[i].plan;
        for (uint32_t f = 0; f < in->feeders_count; f++)
            wm_expect(&t->wm, i, in->feeders[f]->group, in->feeders[f]->partitions);
        for (uint32_t f = 0; f < in->sources_count; f++)
            wm_expect(&t->wm, i, in->sources[f], 1);
    }
}

int task_build(struct task *t, struct err *err)
{
    const struct plan *p = t->env->plan;
    t->codecs = (struct codec_set){p->codecs, p->codecs_count};
    t->inputs_count = t->sub->inputs_count;
    t->inputs = arena_alloc(&t->life, sizeof(*t->inputs) * t->inputs_count);
    memset(t->inputs, 0, sizeof(*t->inputs) * t->inputs_count);
    if (build_outputs(t, err) != 0 || build_steps(t, err) != 0)
        return -1;
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        if (build_input(t, i, err) != 0)
            return -1;
    }
    build_watermarks(t);
    return 0;
}
