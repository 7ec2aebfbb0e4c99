// SPDX-License-Identifier: Apache-2.0
//
// ApiVersions: what we speak, from the dispatch table; and FindCoordinator, which always points
// back at this one broker. No features are announced: clients then use
// the transaction protocol that works with every version of theirs.
#include "broker/api.h"

#include <ctype.h>

static void put_ranges(struct api_call *call)
{
    uint32_t n;
    const struct api_entry *entries = api_entries(&n);
    wire_put_array(&call->out, (int32_t)n);
    for (uint32_t i = 0; i < n; i++) {
        wire_put_i16(&call->out, entries[i].key);
        wire_put_i16(&call->out, entries[i].min);
        wire_put_i16(&call->out, entries[i].max);
        wire_put_tags(&call->out);
    }
}

void api_versions_refuse(struct api_call *call)
{
    wire_put_i16(&call->out, BROKER_UNSUPPORTED_VERSION);
    wire_put_array(&call->out, 1);
    wire_put_i16(&call->out, API_VERSIONS);
    wire_put_i16(&call->out, call->entry->min);
    wire_put_i16(&call->out, call->entry->max);
}

// [a-zA-Z0-9] with [-.] inside only.
static bool software_ok(struct slice s)
{
    if (s.n == 0 || !isalnum(s.p[0]) || !isalnum(s.p[s.n - 1]))
        return false;
    for (uint32_t i = 1; i + 1 < s.n; i++) {
        if (!isalnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    }
    return true;
}

enum api_result api_versions_start(struct api_call *call)
{
    int16_t error = BROKER_OK;
    if (call->version >= 3) {
        struct slice name = wire_string(&call->in), version = wire_string(&call->in);
        wire_tags(&call->in);
        if (call->in.c.failed)
            return API_CLOSE;
        if (!software_ok(name) || !software_ok(version))
            error = BROKER_INVALID_REQUEST;
    }
    wire_put_i16(&call->out, error);
    put_ranges(call);
    if (call->version >= 1)
        wire_put_i32(&call->out, 0);
    wire_put_tags(&call->out);
    return API_ANSWERED;
}

enum api_result api_find_coordinator_start(struct api_call *call)
{
    struct slice key = wire_string(&call->in);
    int8_t type = call->version >= 1 ? wire_i8(&call->in) : 0;
    wire_tags(&call->in);
    if (call->in.c.failed || key.p == NULL)
        return API_CLOSE;
    bool known = type == 0 || type == 1; // a group, a transactional id
    struct wire_out *out = &call->out;
    if (call->version >= 1)
        wire_put_i32(out, 0);
    wire_put_i16(out, known ? BROKER_OK : BROKER_INVALID_REQUEST);
    if (call->version >= 1)
        wire_put_cstr(out, known ? NULL : "a coordinator is for a group or a transactional id");
    wire_put_i32(out, known ? API_NODE_ID : -1);
    wire_put_cstr(out, known ? call->api->host : "");
    wire_put_i32(out, known ? call->api->port : -1);
    wire_put_tags(out);
    return API_ANSWERED;
}
