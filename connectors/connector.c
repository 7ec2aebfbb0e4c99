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
