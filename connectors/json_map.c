// SPDX-License-Identifier: Apache-2.0
#include "connectors/json_map.h"

int json_map_parse(struct slice json, struct arena *a, struct value *out, struct err *e)
{
    // The parser may read behind the text, so it gets a copy with room.
    uint8_t *copy = arena_alloc(a, (size_t)json.n + 64);
    memset(copy + json.n, 0, 64);
    if (json.n != 0)
        memcpy(copy, json.p, json.n);
    return value_from_json(slice_of(copy, json.n), a, out, e);
}

const struct value *json_map_get(const struct value *map, const char *name)
{
    if (map == NULL || map->type != VALUE_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->count; i++)
        if (slice_eq_str(map->keys[i], name))
            return &map->items[i];
    return NULL;
}

bool json_map_int(const struct value *map, const char *name, int64_t *out)
{
    const struct value *v = json_map_get(map, name);
    if (v == NULL || v->type != VALUE_INT)
        return false;
    *out = v->i;
    return true;
}

bool json_map_text(const struct value *map, const char *name, char *out, size_t size)
{
    const struct value *v = json_map_get(map, name);
    if (v == NULL || v->type != VALUE_STRING || v->s.n >= size)
        return false;
    memcpy(out, v->s.p, v->s.n);
    out[v->s.n] = 0;
    return true;
}

bool json_map_hex(const struct value *map, const char *name, uint64_t *out)
{
    char text[17];
    if (!json_map_text(map, name, text, sizeof text) || text[0] == 0)
        return false;
    *out = 0;
    for (const char *c = text; *c != 0; c++) {
        if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f')))
            return false;
        *out = *out << 4 | (uint64_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
    }
    return true;
}
