// SPDX-License-Identifier: Apache-2.0
//
// Connector registry: every connector that is built in. A new one adds its ops here and nowhere
// else.
#include "connectors/connector.h"

#include "base/text.h"
#include "connectors/file_sink.h"
#include "connectors/file_source.h"

static const struct connector_ops *const all[] = {&file_source_ops, &file_sink_ops};

const struct connector_ops *connector_find(const char *name, bool is_sink, struct err *e)
{
    const char *names[ARRAY_COUNT(all) + 1];
    uint32_t n = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(all); i++) {
        if (all[i]->is_sink != is_sink)
            continue;
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
        names[n++] = all[i]->name;
    }
    names[n] = NULL;
    const char *near = text_nearest_of(name, names);
    if (near != NULL)
        err_set(e, ERR_INVALID, "there is no %s connector \"%s\"; did you mean \"%s\"?",
                is_sink ? "sink" : "source", name, near);
    else
        err_set(e, ERR_INVALID, "there is no %s connector \"%s\"; there is \"%s\"",
                is_sink ? "sink" : "source", name, names[0]);
    return NULL;
}

void connector_name(const struct connector_spec *s, struct err *e)
{
    char name[300];
    snprintf(name, sizeof name, "%s \"%s\"", s->is_sink ? "sink" : "source", s->name);
    if (strstr(e->text, name) == NULL)
        err_wrap(e, "%s", name);
    if (strncmp(e->text, s->where, strlen(s->where)) != 0)
        err_wrap(e, "%s", s->where);
}

// The option "path" without what does not matter in it; empty: there is none.
static struct slice path_of(const struct connector_spec *s)
{
    for (uint32_t i = 0; s->options.type == VALUE_MAP && i < s->options.count; i++) {
        struct slice p = s->options.items[i].s;
        if (!slice_eq_str(s->options.keys[i], "path") || s->options.items[i].type != VALUE_STRING)
            continue;
        while (p.n > 2 && p.p[0] == '.' && p.p[1] == '/')
            p = slice_of(p.p + 2, p.n - 2);
        while (p.n > 1 && p.p[p.n - 1] == '/')
            p.n--;
        return p;
    }
    return slice_of(NULL, 0);
}

static bool same_files(const struct connector_spec *a, const struct connector_spec *b)
{
    struct slice p = path_of(a), q = path_of(b);
    return a->is_sink && b->is_sink && strcmp(a->connector, b->connector) == 0 &&
           strcmp(a->topic, b->topic) == 0 && p.n != 0 && slice_eq(p, q);
}

int connectors_check(const struct graph *g, struct err *e)
{
    for (uint32_t i = 0; i < g->connectors_count; i++) {
        const struct connector_spec *s = &g->connectors[i];
        const struct connector_ops *ops = connector_find(s->connector, s->is_sink, e);
        if (ops == NULL || ops->check(s, e) != 0) {
            connector_name(s, e);
            return -1;
        }
        for (uint32_t k = 0; k < i; k++) {
            const struct connector_spec *other = &g->connectors[k];
            if (!same_files(other, s))
                continue;
            err_set(e, ERR_INVALID,
                    "it would write topic %s to the same path as sink \"%s\" (%s); give it "
                    "another path, or leave one of them out",
                    s->topic, other->name, other->where);
            connector_name(s, e);
            return -1;
        }
    }
    return 0;
}
