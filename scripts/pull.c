// SPDX-License-Identifier: Apache-2.0
//
// Pull: what Lua made, as a value. A table whose keys are 1 … n is a list, any other a map whose
// keys are sorted (Lua's own order differs from run to run, and results must not); an empty table
// is a map. Records are taken with all their fields. Strings are text if they are UTF-8, else
// bytes. Everything is copied into the arena: nothing points into Lua afterwards.
//
// Raises for what no format can write: functions, cycles, nesting deeper than SCRIPT_DEPTH.
#include "scripts/internal.h"

struct pull {
    lua_State *L;
    struct arena *arena;
    uint32_t depth, values;
    const void *path[SCRIPT_DEPTH]; // tables being read
};

struct entry {
    struct slice key;
    struct value value;
};

static void pull_any(struct pull *p, int index, struct value *out);

static bool is_utf8(const uint8_t *s, size_t n)
{
    const uint8_t *end = s + n;
    while (s < end) {
        uint8_t c = *s++;
        if (c < 0x80)
            continue;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - s < more)
            return false;
        uint32_t code = c & (0x3f >> more);
        for (int i = 0; i < more; i++, s++) {
            if ((*s & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*s & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        if (surrogate || code > 0x10ffff || (more == 2 && code < 0x800) ||
            (more == 3 && code < 0x10000))
            return false;
    }
    return true;
}

static void pull_string(struct pull *p, int index, struct value *out)
{
    size_t n;
    const char *s = lua_tolstring(p->L, index, &n);
    out->type = is_utf8((const uint8_t *)s, n) ? VALUE_STRING : VALUE_BYTES;
    out->s = arena_slice(p->arena, slice_of(s, n));
}

static struct slice pull_key(struct pull *p, int index)
{
    char number[32];
    size_t n;
    const char *s;
    switch (lua_type(p->L, index)) {
    case LUA_TSTRING:
        s = lua_tolstring(p->L, index, &n);
        return arena_slice(p->arena, slice_of(s, n));
    case LUA_TNUMBER:
        if (lua_isinteger(p->L, index)) {
            n = value_format_int(lua_tointeger(p->L, index), number);
            return arena_slice(p->arena, slice_of(number, n));
        }
        // fall through
    default:
        luaL_error(p->L, "a key of a table is %s; keys must be strings",
                   lua_type(p->L, index) == LUA_TNUMBER ? "a fraction"
                                                        : luaL_typename(p->L, index));
        return (struct slice){NULL, 0};
    }
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static void pull_map(struct pull *p, int index, uint32_t n, struct value *out)
{
    lua_State *L = p->L;
    struct entry *entries = arena_alloc(p->arena, (n + 1) * sizeof(*entries));
    uint32_t i = 0;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), i++) {
        entries[i].key = pull_key(p, -2);
        pull_any(p, lua_gettop(L), &entries[i].value);
    }
    qsort(entries, n, sizeof(*entries), by_key);
    *out = (struct value){.type = VALUE_MAP, .count = n};
    out->items = arena_alloc(p->arena, (n + 1) * sizeof(*out->items));
    out->keys = arena_alloc(p->arena, (n + 1) * sizeof(*out->keys));
    for (i = 0; i < n; i++) {
        if (i > 0 && slice_eq(entries[i].key, entries[i - 1].key))
            luaL_error(L, "a table has the key %s twice, as a number and as text",
                       (const char *)entries[i].key.p);
        out->keys[i] = entries[i].key;
        out->items[i] = entries[i].value;
    }
}

static void pull_table(struct pull *p, int index, struct value *out)
{
    lua_State *L = p->L;
    const void *self = lua_topointer(L, index);
    for (uint32_t i = 0; i < p->depth; i++) {
        if (p->path[i] == self)
            luaL_error(L, "a table contains itself");
    }
    if (p->depth == SCRIPT_DEPTH)
        luaL_error(L, "tables are nested more than %d deep", SCRIPT_DEPTH);
    luaL_checkstack(L, 8, "nested table");
    p->path[p->depth++] = self;
    uint32_t n = 0, positions = 0, length = (uint32_t)lua_rawlen(L, index);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1), n++)
        positions +=
            lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= length;
    if (n > SCRIPT_VALUES)
        luaL_error(L, "a value has more than %d parts", SCRIPT_VALUES);
    if (n > 0 && n == length && n == positions) { // the keys are 1 … n
        *out = (struct value){.type = VALUE_LIST, .count = n};
        out->items = arena_alloc(p->arena, n * sizeof(*out->items));
        for (uint32_t i = 0; i < n; i++) {
            lua_rawgeti(L, index, i + 1);
            pull_any(p, lua_gettop(L), &out->items[i]);
            lua_pop(L, 1);
        }
    } else {
        pull_map(p, index, n, out);
    }
    p->depth--;
}

static void pull_record(struct pull *p, int index, struct value *out)
{
    struct view *v = view_at(p->L, index); // raises if it was kept too long
    struct err e;
    struct value whole;
    if (v == NULL)
        luaL_error(p->L, "a value of type %s cannot be part of a record",
                   luaL_typename(p->L, index));
    if (doc_value(v->doc, &whole, &e) != 0)
        luaL_error(p->L, "%s", e.text);
    *out = value_copy(&whole, p->arena);
}

static void pull_any(struct pull *p, int index, struct value *out)
{
    lua_State *L = p->L;
    if (p->values++ > SCRIPT_VALUES)
        luaL_error(L, "a value has more than %d parts", SCRIPT_VALUES);
    *out = value_null();
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return;
    case LUA_TBOOLEAN:
        *out = value_bool(lua_toboolean(L, index));
        return;
    case LUA_TNUMBER:
        *out = lua_isinteger(L, index) ? value_int(lua_tointeger(L, index))
                                       : value_double(lua_tonumber(L, index));
        return;
    case LUA_TSTRING:
        pull_string(p, index, out);
        return;
    case LUA_TLIGHTUSERDATA: // weir.null is the only one
        return;
    case LUA_TUSERDATA:
        pull_record(p, index, out);
        return;
    case LUA_TTABLE:
        break;
    default:
        luaL_error(L, "a %s cannot be part of a record", luaL_typename(L, index));
    }
    const char *kind = dsl_kind(L, index);
    if (kind == NULL) {
        pull_table(p, index, out);
    } else if (strcmp(kind, "const") == 0) {
        luaL_getmetafield(L, index, "__index");
        pull_table(p, lua_gettop(L), out);
        lua_pop(L, 1);
    } else {
        luaL_error(L, "a weir %s cannot be part of a record", kind);
    }
}

void pull_value(lua_State *L, int index, struct arena *arena, struct value *out)
{
    struct pull p = {.L = L, .arena = arena};
    luaL_checkstack(L, 8, "value");
    pull_any(&p, lua_absindex(L, index), out);
}
