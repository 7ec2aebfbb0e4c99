// SPDX-License-Identifier: Apache-2.0
//
// Plan printing: what `weir plan` shows, for people and as JSON.
#include <inttypes.h>

#include "runtime/plan.h"

static const char *const kinds[] = {
    [NODE_STREAM] = "stream",
    [NODE_TABLE] = "table",
    [NODE_FILTER] = "filter",
    [NODE_MAP] = "map",
    [NODE_WITH] = "with",
    [NODE_KEY_BY] = "key_by",
    [NODE_PEEK] = "peek",
    [NODE_FEATURES] = "features",
    [NODE_AGGREGATE] = "aggregate",
    [NODE_JOIN] = "join",
    [NODE_TO] = "to",
};

static const char *const roles[] = {
    [PLAN_SOURCE] = "source",       [PLAN_OUTPUT] = "output", [PLAN_REPARTITION] = "repartition",
    [PLAN_CHANGELOG] = "changelog", [PLAN_TASKS] = "tasks",   [PLAN_DEAD_LETTERS] = "dead letters",
};

static void print_step(const struct plan *p, const struct plan_sub *s, const struct plan_step *st,
                       int depth, struct buf *out)
{
    const struct node *n = st->node;
    buf_printf(out, "%*s", 6 + 2 * depth, "");
    if (st->kind == STEP_REPARTITION) {
        buf_printf(out, "-> %s\n", p->topics[s->outputs[st->output].topic].name);
    } else if (n->kind == NODE_TO) {
        buf_printf(out, "-> %s  (%s)\n", n->topic, n->where);
    } else {
        buf_printf(out, "%s %s  (%s)", kinds[n->kind], n->name, n->where);
        if (n->kind == NODE_KEY_BY && n->by != NULL)
            buf_printf(out, " by %s", n->by);
        if (plan_node_stateful(n))
            buf_printf(out, "  store and changelog %s-%s-changelog", p->graph->app, n->name);
        if (n->kind == NODE_JOIN)
            buf_printf(out, " with table %s", n->inputs[1]->name);
        buf_str(out, "\n");
    }
    for (uint32_t i = 0; i < st->next_count; i++)
        print_step(p, s, st->next[i], depth + 1, out);
}

static void print_sub(const struct plan *p, const struct plan_sub *s, struct buf *out)
{
    buf_printf(out, "  %u  %s: %d task%s\n", s->id, s->name, s->partitions,
               s->partitions == 1 ? "" : "s");
    for (uint32_t k = 0; k < s->inputs_count; k++) {
        buf_printf(out, "    <- %s\n", p->topics[s->inputs[k].topic].name);
        for (uint32_t r = 0; r < s->inputs[k].roots_count; r++)
            print_step(p, s, s->inputs[k].roots[r], 0, out);
    }
}

static void print_text(const struct plan *p, struct buf *out)
{
    buf_printf(out, "app %s\n\nsub-topologies\n", p->graph->app);
    for (uint32_t i = 0; i < p->subs_count; i++)
        print_sub(p, p->subs[i], out);
    buf_str(out, "\ntopics\n");
    for (uint32_t i = 0; i < p->topics_count; i++)
        buf_printf(out, "  %-40s %-12s %d partition%s\n", p->topics[i].name,
                   roles[p->topics[i].role], p->topics[i].partitions,
                   p->topics[i].partitions == 1 ? "" : "s");
    if (p->graph->connectors_count != 0)
        buf_str(out, "\nconnectors\n");
    for (uint32_t i = 0; i < p->graph->connectors_count; i++) {
        const struct connector_spec *c = &p->graph->connectors[i];
        buf_printf(out, "  %s %s: %s %s %s  (%s)\n", c->is_sink ? "sink" : "source", c->name,
                   c->connector, c->is_sink ? "from" : "to", c->topic, c->where);
    }
    if (p->notes_count != 0)
        buf_str(out, "\nnotes\n");
    for (uint32_t i = 0; i < p->notes_count; i++)
        buf_printf(out, "  %s  (%s)\n", p->notes[i].text, p->notes[i].where);
}

static void json_str(struct buf *out, const char *key, const char *s)
{
    buf_printf(out, "\"%s\":", key);
    value_json_string(slice_str(s), out);
}

static void json_sub(const struct plan *p, const struct plan_sub *s, struct buf *out)
{
    buf_str(out, "{");
    json_str(out, "name", s->name);
    buf_printf(out, ",\"tasks\":%d,\"inputs\":[", s->partitions);
    for (uint32_t k = 0; k < s->inputs_count; k++) {
        buf_str(out, k == 0 ? "" : ",");
        value_json_string(slice_str(p->topics[s->inputs[k].topic].name), out);
    }
    buf_str(out, "],\"outputs\":[");
    for (uint32_t k = 0; k < s->outputs_count; k++) {
        buf_str(out, k == 0 ? "" : ",");
        value_json_string(slice_str(p->topics[s->outputs[k].topic].name), out);
    }
    buf_str(out, "],\"operators\":[");
    bool first = true;
    for (uint32_t k = 0; k < s->steps_count; k++) {
        const struct plan_step *st = s->steps[k];
        if (st->kind != STEP_NODE)
            continue;
        buf_str(out, first ? "{" : ",{");
        first = false;
        json_str(out, "kind", kinds[st->node->kind]);
        buf_str(out, ",");
        json_str(out, "name", st->node->name);
        buf_str(out, ",");
        json_str(out, "where", st->node->where);
        buf_printf(out, ",\"stateful\":%s}", plan_node_stateful(st->node) ? "true" : "false");
    }
    buf_str(out, "]}");
}

static void print_json(const struct plan *p, struct buf *out)
{
    buf_str(out, "{");
    json_str(out, "app", p->graph->app);
    buf_str(out, ",\"sub_topologies\":[");
    for (uint32_t i = 0; i < p->subs_count; i++) {
        buf_str(out, i == 0 ? "" : ",");
        json_sub(p, p->subs[i], out);
    }
    buf_str(out, "],\"topics\":[");
    for (uint32_t i = 0; i < p->topics_count; i++) {
        buf_str(out, i == 0 ? "{" : ",{");
        json_str(out, "name", p->topics[i].name);
        buf_str(out, ",");
        json_str(out, "role", roles[p->topics[i].role]);
        buf_printf(out, ",\"partitions\":%d}", p->topics[i].partitions);
    }
    buf_str(out, "],\"notes\":[");
    for (uint32_t i = 0; i < p->notes_count; i++) {
        buf_str(out, i == 0 ? "{" : ",{");
        json_str(out, "where", p->notes[i].where);
        buf_str(out, ",");
        json_str(out, "text", p->notes[i].text);
        buf_str(out, "}");
    }
    buf_str(out, "]}\n");
}

void plan_print(const struct plan *p, bool json, struct buf *out)
{
    if (json)
        print_json(p, out);
    else
        print_text(p, out);
}
