// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan.h"

#include <stdarg.h>

#include "base/hash.h"

// While cutting, a flow is what comes out of a node: where it runs and how it is keyed.
struct flow {
    struct plan_sub *sub;
    struct plan_step *step;   // NULL: directly below an input
    struct plan_input *input; // when step is NULL
    const char *keyed_by;     // field that the key is made of; NULL: unknown
    enum format key_format;   // of the key, if keyed_by is known
    bool key_moved;           // the key changed since the last repartition
    bool stateful;            // a stateful step is above
};

struct cutter {
    struct plan *plan;
    struct arena *arena;
    struct flow *flows; // by node id
    struct err *err;
};

static char *format(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
static char *format(struct arena *a, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return arena_str(a, text);
}

bool plan_node_stateful(const struct node *n)
{
    return n->kind == NODE_TABLE || n->kind == NODE_FEATURES || n->kind == NODE_AGGREGATE;
}

// Arrays in the arena grow by copying; plans are small.
static void *append(struct arena *a, void *array, uint32_t *count, size_t size)
{
    uint8_t *p = arena_alloc(a, (*count + 1) * size);
    if (*count != 0)
        memcpy(p, array, *count * size);
    memset(p + *count * size, 0, size);
    *count += 1;
    return p;
}

#define APPEND(c, array, count)                                                                    \
    ((array) = append((c)->arena, (array), &(count), sizeof(*(array))), &(array)[(count)-1])

int plan_topic_find(const struct plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->topics_count; i++) {
        if (strcmp(p->topics[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static uint32_t topic_use(struct cutter *c, const char *name, enum plan_topic_role role,
                          int32_t partitions, const struct codec *codec)
{
    int i = plan_topic_find(c->plan, name);
    if (i < 0) {
        struct plan_topic *t = APPEND(c, c->plan->topics, c->plan->topics_count);
        *t = (struct plan_topic){.name = name, .role = role, .codec = codec};
        i = (int)c->plan->topics_count - 1;
    }
    struct plan_topic *t = &c->plan->topics[i];
    if (partitions > 0) {
        t->partitions = partitions;
        t->explicit_partitions = true;
    }
    return (uint32_t)i;
}

static void note(struct cutter *c, const char *where, const char *text)
{
    *APPEND(c, c->plan->notes, c->plan->notes_count) = (struct plan_note){where, text};
}

static struct plan_sub *sub_new(struct cutter *c, const char *name)
{
    struct plan_sub *s = arena_new(c->arena, struct plan_sub);
    s->name = name;
    s->group = hash_id(format(c->arena, "%s/%s", c->plan->graph->app, name));
    *APPEND(c, c->plan->subs, c->plan->subs_count) = s;
    return s;
}

// The sub-topology that reads `topic`, made if there is none; *input is its index there.
static struct plan_sub *sub_reading(struct cutter *c, uint32_t topic, const struct node *node,
                                    uint32_t *input)
{
    struct plan *p = c->plan;
    for (uint32_t i = 0; i < p->subs_count; i++) {
        for (uint32_t k = 0; k < p->subs[i]->inputs_count; k++) {
            if (p->subs[i]->inputs[k].topic == topic) {
                *input = k;
                return p->subs[i];
            }
        }
    }
    struct plan_sub *s = sub_new(c, p->topics[topic].name);
    struct plan_input *in = APPEND(c, s->inputs, s->inputs_count);
    in->topic = topic;
    in->node = node;
    *input = 0;
    p->topics[topic].read = true;
    return s;
}

static struct plan_step *step_below(struct cutter *c, const struct flow *f,
                                    enum plan_step_kind kind, const struct node *node)
{
    struct plan_step *s = arena_new(c->arena, struct plan_step);
    s->kind = kind;
    s->node = node;
    s->index = f->sub->steps_count;
    *APPEND(c, f->sub->steps, f->sub->steps_count) = s;
    if (f->step != NULL)
        *APPEND(c, f->step->next, f->step->next_count) = s;
    else
        *APPEND(c, f->input->roots, f->input->roots_count) = s;
    return s;
}

static uint32_t output_use(struct cutter *c, struct plan_sub *s, uint32_t topic,
                           const struct codec *codec)
{
    for (uint32_t i = 0; i < s->outputs_count; i++) {
        if (s->outputs[i].topic == topic)
            return i;
    }
    struct plan_output *o = APPEND(c, s->outputs, s->outputs_count);
    o->topic = topic;
    o->codec = codec;
    c->plan->topics[topic].written = true;
    return s->outputs_count - 1;
}

static bool is_keyed(const struct flow *f, const char *by, enum format format)
{
    return f->keyed_by != NULL && strcmp(f->keyed_by, by) == 0 && f->key_format == format;
}

// Sends the flow through an internal topic named after `n`, keyed by `by` (NULL: as it is).
static struct flow repartition(struct cutter *c, struct flow f, const struct node *n,
                               const char *by)
{
    struct plan *p = c->plan;
    if (by != NULL && !is_keyed(&f, by, n->key_format)) {
        struct node *key = arena_new(c->arena, struct node);
        *key = *n;
        key->kind = NODE_KEY_BY;
        key->by = by;
        key->fn = UINT32_MAX;
        key->name = format(c->arena, "%s-key", n->name);
        f.step = step_below(c, &f, STEP_NODE, key);
    }
    const char *name = format(c->arena, "%s-%s-repartition", p->graph->app, n->name);
    uint32_t topic = topic_use(c, name, PLAN_REPARTITION, 0, NULL);
    struct plan_step *out = step_below(c, &f, STEP_REPARTITION, n);
    out->output = output_use(c, f.sub, topic, NULL);
    uint32_t input;
    struct plan_sub *s = sub_reading(c, topic, NULL, &input);
    return (struct flow){.sub = s,
                         .input = &s->inputs[input],
                         .keyed_by = by != NULL ? by : f.keyed_by,
                         .key_format = by != NULL ? n->key_format : f.key_format};
}

// Makes sure the flow is keyed by `by` (NULL: whatever its key is) before node `n`.
static struct flow keyed(struct cutter *c, struct flow f, const struct node *n, const char *by)
{
    bool same = by == NULL || is_keyed(&f, by, n->key_format);
    if (same && !f.key_moved) {
        note(c, n->where,
             by == NULL
                 ? format(c->arena, "%s: no repartition, it uses the key as it comes", n->name)
                 : format(c->arena, "%s: no repartition, the records are already keyed by %s",
                          n->name, by));
        return f;
    }
    note(c, n->where,
         same ? format(c->arena, "%s: repartitioned, because key_by changed the key", n->name)
              : format(c->arena, "%s: repartitioned by %s (%s)", n->name, by,
                       f.keyed_by == NULL ? "the stream does not say what it is keyed by"
                       : strcmp(f.keyed_by, by) == 0
                           ? "its keys have another format"
                           : format(c->arena, "the stream is keyed by %s", f.keyed_by)));
    return repartition(c, f, n, by);
}

// Moves everything of `from` into `into`: a join needs both sides in one task.
static void sub_merge(struct cutter *c, struct plan_sub *into, struct plan_sub *from)
{
    struct plan *p = c->plan;
    if (into == from)
        return;
    struct plan_input *old_into = into->inputs;
    uint32_t old_count = into->inputs_count;
    for (uint32_t i = 0; i < from->inputs_count; i++)
        *APPEND(c, into->inputs, into->inputs_count) = from->inputs[i];
    for (uint32_t i = 0; i < from->steps_count; i++) {
        from->steps[i]->index = into->steps_count;
        *APPEND(c, into->steps, into->steps_count) = from->steps[i];
    }
    uint32_t *moved = arena_alloc(c->arena, sizeof(uint32_t) * (from->outputs_count + 1));
    for (uint32_t i = 0; i < from->outputs_count; i++)
        moved[i] = output_use(c, into, from->outputs[i].topic, from->outputs[i].codec);
    for (uint32_t i = 0; i < from->steps_count; i++) {
        struct plan_step *s = from->steps[i];
        if (s->kind == STEP_REPARTITION || s->node->kind == NODE_TO)
            s->output = moved[s->output];
    }
    for (uint32_t i = 0; i < p->graph->nodes_count; i++) {
        struct flow *f = &c->flows[i];
        if (f->sub == from) {
            if (f->input != NULL)
                f->input = &into->inputs[old_count + (f->input - from->inputs)];
            f->sub = into;
        } else if (f->sub == into && f->input != NULL) {
            f->input = &into->inputs[f->input - old_into];
        }
    }
    uint32_t keep = 0;
    for (uint32_t i = 0; i < p->subs_count; i++) {
        if (p->subs[i] != from)
            p->subs[keep++] = p->subs[i];
    }
    p->subs_count = keep;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// Two streams of one topic share its input, and so its options.
static bool same_input(const struct node *a, const struct node *b)
{
    return a->codec->id == b->codec->id && a->key_format == b->key_format &&
           same_text(a->time_field, b->time_field) && same_text(a->key_field, b->key_field) &&
           a->max_out_of_order_ms == b->max_out_of_order_ms &&
           a->idle_after_ms == b->idle_after_ms && a->max_future_ms == b->max_future_ms &&
           a->max_jump_ms == b->max_jump_ms;
}

static int cut_source(struct cutter *c, const struct node *n, struct flow *f)
{
    uint32_t topic = topic_use(c, n->topic, PLAN_SOURCE, n->partitions, n->codec), input;
    f->sub = sub_reading(c, topic, n, &input);
    f->input = &f->sub->inputs[input];
    if (!same_input(f->input->node, n))
        return err_set(
            c->err, ERR_INVALID,
            "%s: topic '%s' is read at %s already, with other options (value, time, key, "
            "max_out_of_order …); both must be the same",
            n->where, n->topic, f->input->node->where);
    f->keyed_by = n->key_field;
    f->key_format = n->key_format;
    if (n->kind == NODE_TABLE) {
        f->step = step_below(c, f, STEP_NODE, n);
        f->stateful = true;
    }
    return 0;
}

static bool sets_field(const struct node *n, const char *field)
{
    for (uint32_t i = 0; i < n->with_count; i++) {
        if (slice_eq_str(n->with[i].field.name, field))
            return true;
    }
    return false;
}

static void cut_stateless(struct cutter *c, const struct node *n, struct flow *f)
{
    f->step = step_below(c, f, STEP_NODE, n);
    if (n->kind == NODE_MAP || (f->keyed_by != NULL && sets_field(n, f->keyed_by)))
        f->keyed_by = NULL; // the key bytes stay, but the field may now say something else
    if (n->kind == NODE_KEY_BY && (n->fn != UINT32_MAX || !is_keyed(f, n->by, n->key_format))) {
        f->keyed_by = n->fn == UINT32_MAX ? n->by : NULL;
        f->key_format = n->key_format;
        f->key_moved = true;
    }
}

// Features in event order let go at a watermark what the next ones let go at the same one, so the
// latter never hold anything across a commit and need no cut between them.
static bool holds(const struct node *n)
{
    return n->kind == NODE_FEATURES && n->emit == EMIT_EVENT;
}

static void cut_stateful(struct cutter *c, const struct node *n, struct flow *f)
{
    *f = keyed(c, *f, n, n->by);
    if (holds(n) && f->stateful && !holds(f->step->node)) {
        note(c, n->where,
             format(c->arena,
                    "%s: cut by an internal topic, because it holds records and stands behind a "
                    "stateful operator",
                    n->name));
        *f = repartition(c, *f, n, NULL);
    }
    f->step = step_below(c, f, STEP_NODE, n);
    f->stateful = true;
    if (n->kind == NODE_AGGREGATE)
        f->keyed_by = n->by;
}

static void cut_join(struct cutter *c, const struct node *n, struct flow *f)
{
    const struct node *table_node = n->inputs[1];
    *f = keyed(c, *f, n, n->by);
    struct plan_sub *table_sub = c->flows[table_node->id].sub;
    c->flows[n->id] = *f; // so that a merge moves it, too
    sub_merge(c, f->sub, table_sub);
    *f = c->flows[n->id];
    struct plan_step *table_step = c->flows[table_node->id].step;
    f->step = step_below(c, f, STEP_NODE, n);
    f->step->table = table_step;
    f->stateful = true;
}

static void cut_to(struct cutter *c, const struct node *n, struct flow *f)
{
    uint32_t topic = topic_use(c, n->topic, PLAN_OUTPUT, n->partitions, n->codec);
    if (n->key_field != NULL && !is_keyed(f, n->key_field, n->key_format)) {
        struct node *key = arena_new(c->arena, struct node);
        *key = *n;
        key->kind = NODE_KEY_BY;
        key->by = n->key_field;
        key->fn = UINT32_MAX;
        key->name = format(c->arena, "%s-key", n->name);
        struct flow below = *f;
        below.step = step_below(c, f, STEP_NODE, key);
        struct plan_step *to = step_below(c, &below, STEP_NODE, n);
        to->output = output_use(c, f->sub, topic, n->codec);
        return;
    }
    struct plan_step *to = step_below(c, f, STEP_NODE, n);
    to->output = output_use(c, f->sub, topic, n->codec);
}

static int cut_node(struct cutter *c, const struct node *n)
{
    struct flow f = {0};
    if (n->inputs_count > 0)
        f = c->flows[n->inputs[0]->id];
    switch (n->kind) {
    case NODE_STREAM:
    case NODE_TABLE:
        if (cut_source(c, n, &f) != 0)
            return -1;
        break;
    case NODE_FILTER:
    case NODE_MAP:
    case NODE_WITH:
    case NODE_KEY_BY:
    case NODE_PEEK:
        cut_stateless(c, n, &f);
        break;
    case NODE_FEATURES:
    case NODE_AGGREGATE:
        cut_stateful(c, n, &f);
        break;
    case NODE_JOIN:
        cut_join(c, n, &f);
        break;
    case NODE_TO:
        cut_to(c, n, &f); // f itself goes on unchanged
        break;
    }
    c->flows[n->id] = f;
    return 0;
}

static void codec_use(struct cutter *c, const struct codec *codec)
{
    if (codec != NULL)
        *APPEND(c, c->plan->codecs, c->plan->codecs_count) = codec;
}

// Who writes each input: sub-topologies and source connectors of this app.
static void link_input(struct cutter *c, struct plan_input *in)
{
    struct plan *p = c->plan;
    for (uint32_t j = 0; j < p->subs_count; j++) {
        for (uint32_t o = 0; o < p->subs[j]->outputs_count; o++) {
            if (p->subs[j]->outputs[o].topic == in->topic)
                *APPEND(c, in->feeders, in->feeders_count) = p->subs[j];
        }
    }
    for (uint32_t j = 0; j < p->graph->connectors_count; j++) {
        const struct connector_spec *cs = &p->graph->connectors[j];
        if (!cs->is_sink && strcmp(cs->topic, p->topics[in->topic].name) == 0)
            *APPEND(c, in->sources, in->sources_count) =
                hash_id(format(c->arena, "%s/%s", p->graph->app, cs->name));
    }
}

static void link_feeders(struct cutter *c)
{
    struct plan *p = c->plan;
    for (uint32_t i = 0; i < p->subs_count; i++) {
        p->subs[i]->id = i;
        for (uint32_t k = 0; k < p->subs[i]->inputs_count; k++)
            link_input(c, &p->subs[i]->inputs[k]);
    }
}

const char *plan_store_topic(const struct plan *p, const char *store, struct arena *a)
{
    return format(a, "%s-%s-changelog", p->graph->app, store);
}

// A topic that connectors name but no operator touches is created, too.
static void add_connector_topics(struct cutter *c)
{
    const struct graph *g = c->plan->graph;
    for (uint32_t i = 0; i < g->connectors_count; i++) {
        const struct connector_spec *s = &g->connectors[i];
        uint32_t t =
            topic_use(c, s->topic, s->is_sink ? PLAN_OUTPUT : PLAN_SOURCE, s->partitions, s->codec);
        if (s->is_sink)
            c->plan->topics[t].read = true;
        else
            c->plan->topics[t].written = true;
        codec_use(c, s->codec);
    }
}

int plan_make(const struct graph *g, struct arena *arena, struct plan **out, struct err *err)
{
    struct plan *p = arena_new(arena, struct plan);
    p->graph = g;
    p->arena = arena;
    struct cutter c = {.plan = p, .arena = arena, .err = err};
    c.flows = arena_alloc(arena, sizeof(struct flow) * (g->nodes_count + 1));
    memset(c.flows, 0, sizeof(struct flow) * (g->nodes_count + 1));
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        if (cut_node(&c, g->nodes[i]) != 0)
            return -1;
        codec_use(&c, g->nodes[i]->codec);
    }
    add_connector_topics(&c);
    link_feeders(&c);
    if (plan_check(p, err) != 0)
        return -1;
    *out = p;
    return 0;
}
