// SPDX-License-Identifier: Apache-2.0
//
// What a plan must not have: a topic whose records come back to where they were made, and readers
// of one topic that want different things of it. Both would only show as an endless run or as wrong
// times; here they are errors with their lines.
#include <string.h>

#include "runtime/plan.h"

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// The option in which two readers of one topic differ, or NULL. A task reads a topic once, so its
// records can have one time, one key, one format.
static const char *differ_in(const struct node *a, const struct node *b)
{
    if (a->codec != NULL && b->codec != NULL && a->codec->id != b->codec->id)
        return "value";
    if (!same_text(a->time_field, b->time_field))
        return "time";
    if (!same_text(a->key_field, b->key_field))
        return "key";
    if (a->key_format != b->key_format)
        return "key_format";
    return a->max_out_of_order_ms != b->max_out_of_order_ms ? "max_out_of_order"
           : a->idle_after_ms != b->idle_after_ms           ? "idle_after"
           : a->max_future_ms != b->max_future_ms           ? "max_future"
           : a->max_jump_ms != b->max_jump_ms               ? "max_jump"
                                                            : NULL;
}

static int check_readers_agree(const struct plan *p, struct err *err)
{
    const struct graph *g = p->graph;
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        const struct node *a = g->nodes[i];
        for (uint32_t k = i + 1; k < g->nodes_count; k++) {
            const struct node *b = g->nodes[k];
            if (a->kind != b->kind || (a->kind != NODE_STREAM && a->kind != NODE_TABLE) ||
                strcmp(a->topic, b->topic) != 0)
                continue;
            const char *option = differ_in(a, b);
            if (option != NULL)
                return err_set(err, ERR_INVALID,
                               "%s: topic '%s' is read here with another '%s' than at %s; give "
                               "both the same options, or use one stream for both",
                               b->where, a->topic, option, a->where);
        }
    }
    return 0;
}

// The line that writes the topic.
static const char *writer_of(const struct graph *g, const char *topic)
{
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        if (g->nodes[i]->kind == NODE_TO && strcmp(g->nodes[i]->topic, topic) == 0)
            return g->nodes[i]->where;
    }
    return g->app;
}

// Does what `from` writes reach an input of `to`, through any sub-topologies?
static bool reaches(const struct plan *p, const struct plan_sub *from, const struct plan_sub *to,
                    bool *seen)
{
    if (seen[from->id])
        return false;
    seen[from->id] = true;
    for (uint32_t o = 0; o < from->outputs_count; o++) {
        for (uint32_t i = 0; i < p->subs_count; i++) {
            const struct plan_sub *s = p->subs[i];
            bool reads = false;
            for (uint32_t k = 0; k < s->inputs_count; k++)
                reads = reads || s->inputs[k].topic == from->outputs[o].topic;
            if (reads && (s == to || reaches(p, s, to, seen)))
                return true;
        }
    }
    return false;
}

static int round_trip(const struct plan *p, const struct plan_sub *s, uint32_t topic,
                      struct err *err)
{
    const char *name = p->topics[topic].name;
    return err_set(err, ERR_INVALID,
                   "%s: what is written to topic '%s' comes back to where it was made (the stream "
                   "of topic '%s'): records would go round for ever; write to another topic",
                   writer_of(p->graph, name), name, s->name);
}

// A part whose output comes back to it, at once or over other parts.
static int check_cycles(const struct plan *p, struct err *err)
{
    bool *seen = arena_alloc(p->arena, p->subs_count + 1);
    for (uint32_t i = 0; i < p->subs_count; i++) {
        const struct plan_sub *s = p->subs[i];
        memset(seen, 0, p->subs_count);
        if (!reaches(p, s, s, seen))
            continue;
        // Name a topic the user wrote: one that a part on the round writes and another reads.
        for (uint32_t k = 0; k < s->inputs_count; k++) {
            if (writer_of(p->graph, p->topics[s->inputs[k].topic].name) != p->graph->app)
                return round_trip(p, s, s->inputs[k].topic, err);
        }
    }
    return 0;
}

int plan_check(const struct plan *p, struct err *err)
{
    return check_cycles(p, err) != 0 ? -1 : check_readers_agree(p, err);
}
