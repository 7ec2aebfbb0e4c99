// SPDX-License-Identifier: Apache-2.0
//
// Graph: names, and questions asked of a finished graph. Pure reading; any thread.
#include "operators/graph.h"

const char *agg_kind_name(enum agg_kind kind)
{
    static const char *const names[] = {
        [AGG_COUNT] = "count",    [AGG_SUM] = "sum",           [AGG_MEAN] = "mean",
        [AGG_MIN] = "min",        [AGG_MAX] = "max",           [AGG_STDDEV] = "stddev",
        [AGG_LAST] = "last",      [AGG_DISTINCT] = "distinct", [AGG_REDUCE] = "reduce",
        [AGG_FOLD] = "aggregate",
    };
    CHECK((size_t)kind < ARRAY_COUNT(names));
    return names[kind];
}

const char *node_kind_name(enum node_kind kind)
{
    static const char *const names[] = {
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
    CHECK((size_t)kind < ARRAY_COUNT(names));
    return names[kind];
}

struct node *graph_find(const struct graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->nodes_count; i++)
        if (g->nodes[i]->name != NULL && strcmp(g->nodes[i]->name, name) == 0)
            return g->nodes[i];
    return NULL;
}

static bool sets_field(const struct node *n, const char *field)
{
    for (uint32_t i = 0; i < n->with_count; i++)
        if (slice_eq_str(n->with[i].field.name, field))
            return true;
    return false;
}

void graph_key(const struct node *n, const char **field, enum format *format)
{
    *field = NULL;
    *format = FORMAT_STRING;
    const struct node *source = n;
    while (source->inputs_count > 0 &&
           (source->kind == NODE_FILTER || source->kind == NODE_PEEK || source->kind == NODE_WITH))
        source = source->inputs[0];
    // The format is that of the key's bytes, whatever happens to the field on the way.
    *format = source->key_format;
    if (source->kind == NODE_KEY_BY)
        *field = source->by;
    else if (source->kind == NODE_STREAM || source->kind == NODE_TABLE)
        *field = source->key_field;
    for (const struct node *at = n; *field != NULL && at != source; at = at->inputs[0])
        if (at->kind == NODE_WITH && sets_field(at, *field))
            *field = NULL;
}

static uint32_t codec_add(const struct codec *c, const struct codec **out, uint32_t n, uint32_t max)
{
    for (uint32_t i = 0; i < n && i < max; i++)
        if (out[i] == c)
            return n;
    if (n < max)
        out[n] = c;
    return n + 1;
}

static uint32_t codecs_above(const struct node *n, const struct codec **out, uint32_t count,
                             uint32_t max)
{
    if (n->codec != NULL && (n->kind == NODE_STREAM || n->kind == NODE_TABLE))
        count = codec_add(n->codec, out, count, max);
    for (uint32_t i = 0; i < n->inputs_count; i++)
        count = codecs_above(n->inputs[i], out, count, max);
    return count;
}

uint32_t graph_codecs(const struct node *n, const struct codec **out, uint32_t max)
{
    return codecs_above(n, out, 0, max);
}
