// SPDX-License-Identifier: Apache-2.0
//
// Plan checks: what a cut graph must not be (a circle, two formats in one topic), and partition
// counts.
#include "runtime/plan.h"

// --- circles -----------------------------------------------------------------------------------

enum colour { WHITE, GREY, BLACK };

// The line that writes the topic.
static const char *writer_of(const struct graph *g, const char *topic)
{
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        if (g->nodes[i]->kind == NODE_TO && strcmp(g->nodes[i]->topic, topic) == 0)
            return g->nodes[i]->where;
    }
    return g->app;
}

// A topic of the user's on the circle: read by a part that is being visited, written by another.
static const struct plan_topic *topic_of(const struct plan *p, const enum colour *colours)
{
    for (uint32_t i = 0; i < p->subs_count; i++) {
        const struct plan_sub *s = p->subs[i];
        for (uint32_t k = 0; colours[i] == GREY && k < s->inputs_count; k++) {
            const struct plan_input *in = &s->inputs[k];
            for (uint32_t f = 0; f < in->feeders_count; f++) {
                if (p->topics[in->topic].role != PLAN_REPARTITION &&
                    colours[in->feeders[f]->id] == GREY)
                    return &p->topics[in->topic];
            }
        }
    }
    return NULL;
}

static int circle(const struct plan *p, const struct plan_sub *s, const struct plan_input *in,
                  const enum colour *colours, struct err *err)
{
    const struct plan_topic *t = &p->topics[in->topic];
    const struct plan_topic *of_user = t->role == PLAN_REPARTITION ? topic_of(p, colours) : NULL;
    t = of_user != NULL ? of_user : t;
    if (t->role != PLAN_REPARTITION)
        return err_set(
            err, ERR_INVALID,
            "%s: topic '%s' is read by app '%s' and written with what comes out of it: records "
            "would go round for ever; write to another topic",
            writer_of(p->graph, t->name), t->name, p->graph->app);
    const struct node *table = NULL;
    for (uint32_t i = 0; i < s->steps_count; i++) {
        if (s->steps[i]->node->kind == NODE_TABLE && s->steps[i]->kind == STEP_NODE)
            table = s->steps[i]->node;
    }
    return err_set(err, ERR_INVALID,
                   "%s: table '%s' is joined both before and behind a repartition (%s), so a task "
                   "would wait for itself. Write the stream to a topic with :to(…) and read it in "
                   "another app, or give the second join a table of another topic",
                   table == NULL ? p->graph->app : table->where, table == NULL ? "?" : table->name,
                   t->name);
}

static int visit(const struct plan *p, const struct plan_sub *s, enum colour *colours,
                 struct err *err)
{
    colours[s->id] = GREY;
    for (uint32_t k = 0; k < s->inputs_count; k++) {
        for (uint32_t f = 0; f < s->inputs[k].feeders_count; f++) {
            const struct plan_sub *from = s->inputs[k].feeders[f];
            if (colours[from->id] == GREY)
                return circle(p, s, &s->inputs[k], colours, err);
            if (colours[from->id] == WHITE && visit(p, from, colours, err) != 0)
                return -1;
        }
    }
    colours[s->id] = BLACK;
    return 0;
}

static int check_circles(const struct plan *p, struct err *err)
{
    enum colour *colours = arena_alloc(p->arena, sizeof(*colours) * (p->subs_count + 1));
    memset(colours, 0, sizeof(*colours) * (p->subs_count + 1));
    for (uint32_t i = 0; i < p->subs_count; i++) {
        if (colours[i] == WHITE && visit(p, p->subs[i], colours, err) != 0)
            return -1;
    }
    return 0;
}

// --- formats -----------------------------------------------------------------------------------

static int check_formats(const struct graph *g, struct err *err)
{
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        const struct node *w = g->nodes[i];
        for (uint32_t k = 0; w->kind == NODE_TO && k < g->nodes_count; k++) {
            const struct node *r = g->nodes[k];
            if ((r->kind != NODE_STREAM && r->kind != NODE_TABLE) ||
                strcmp(r->topic, w->topic) != 0 || r->codec->format == w->codec->format)
                continue;
            return err_set(err, ERR_INVALID, "%s: topic '%s' is read as %s, but %s writes %s to it",
                           r->where, r->topic, format_name(r->codec->format), w->where,
                           format_name(w->codec->format));
        }
    }
    return 0;
}

int plan_check(const struct plan *p, struct err *err)
{
    return check_circles(p, err) != 0 || check_formats(p->graph, err) != 0 ? -1 : 0;
}

// --- partitions --------------------------------------------------------------------------------

static bool read_by_sub(const struct plan *p, uint32_t topic)
{
    for (uint32_t i = 0; i < p->subs_count; i++) {
        for (uint32_t k = 0; k < p->subs[i]->inputs_count; k++) {
            if (p->subs[i]->inputs[k].topic == topic)
                return true;
        }
    }
    return false;
}

// Repartition topics get as many partitions as the widest sub-topology that feeds them.
static int32_t feeder_partitions(const struct plan *p, const struct plan_input *in)
{
    int32_t most = 1;
    for (uint32_t i = 0; i < in->feeders_count; i++) {
        const struct plan_sub *s = in->feeders[i];
        for (uint32_t k = 0; k < s->inputs_count; k++) {
            if (p->topics[s->inputs[k].topic].partitions > most)
                most = p->topics[s->inputs[k].topic].partitions;
        }
    }
    return most;
}

static int check_copartitioned(struct plan *p, struct plan_sub *s, struct err *err)
{
    const struct plan_topic *first = &p->topics[s->inputs[0].topic];
    s->partitions = first->partitions;
    for (uint32_t k = 1; k < s->inputs_count; k++) {
        const struct plan_topic *t = &p->topics[s->inputs[k].topic];
        if (t->partitions != first->partitions)
            return err_set(err, ERR_INVALID,
                           "%s: '%s' has %d partitions but '%s' has %d, and they are joined: a key "
                           "must lie in the same partition of both. Give them the same number "
                           "(partitions = …) or key_by one side first",
                           s->inputs[k].node != NULL ? s->inputs[k].node->where : p->graph->app,
                           first->name, first->partitions, t->name, t->partitions);
    }
    return 0;
}

// An output topic that nobody sized gets its writer's number, unless a part of this app reads it:
// that part's tasks are counted already.
static void widen_outputs(struct plan *p, int32_t (*lookup)(void *arg, const char *topic),
                          void *arg)
{
    for (uint32_t i = 0; i < p->subs_count; i++) {
        for (uint32_t o = 0; o < p->subs[i]->outputs_count; o++) {
            uint32_t topic = p->subs[i]->outputs[o].topic;
            struct plan_topic *t = &p->topics[topic];
            if (t->role == PLAN_OUTPUT && !t->explicit_partitions &&
                (lookup == NULL || lookup(arg, t->name) == 0) &&
                t->partitions < p->subs[i]->partitions && !read_by_sub(p, topic))
                t->partitions = p->subs[i]->partitions;
        }
    }
}

int plan_partitions_fix(struct plan *p, int32_t (*lookup)(void *arg, const char *topic), void *arg,
                        struct err *err)
{
    for (uint32_t i = 0; i < p->topics_count; i++) {
        int32_t n = lookup == NULL ? 0 : lookup(arg, p->topics[i].name);
        if (n > 0)
            p->topics[i].partitions = n;
        else if (p->topics[i].partitions == 0 && p->topics[i].role != PLAN_REPARTITION)
            p->topics[i].partitions = 1;
    }
    // Sub-topologies come in declaration order, so feeders are fixed before what they feed; a
    // repartition beside another input takes that one's number.
    for (uint32_t i = 0; i < p->subs_count; i++) {
        struct plan_sub *s = p->subs[i];
        int32_t beside = 0;
        for (uint32_t k = 0; k < s->inputs_count; k++) {
            if (p->topics[s->inputs[k].topic].role != PLAN_REPARTITION)
                beside = p->topics[s->inputs[k].topic].partitions;
        }
        for (uint32_t k = 0; k < s->inputs_count; k++) {
            struct plan_topic *t = &p->topics[s->inputs[k].topic];
            if (t->partitions == 0)
                t->partitions = beside != 0 ? beside : feeder_partitions(p, &s->inputs[k]);
        }
        if (check_copartitioned(p, s, err) != 0)
            return -1;
    }
    widen_outputs(p, lookup, arg);
    return 0;
}
