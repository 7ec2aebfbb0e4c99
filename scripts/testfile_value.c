// SPDX-License-Identifier: Apache-2.0
#include "scripts/testfile_value.h"

#include <lauxlib.h>
#include <stdlib.h>

char testfile_null[1];

const struct value *testfile_field(const struct value *map, struct slice name)
{
    for (uint32_t i = 0; i < map->count; i++) {
        if (slice_eq(map->keys[i], name))
            return &map->items[i];
    }
    return NULL;
}

static void list(lua_State *l, int index, struct arena *a, struct value *out)
{
    uint32_t n = (uint32_t)lua_rawlen(l, index);
    *out = (struct value){.type = VALUE_LIST, .count = n};
    out->items = arena_alloc(a, sizeof(*out->items) * (n + 1));
    for (uint32_t i = 0; i < n; i++) {
        lua_rawgeti(l, index, (lua_Integer)i + 1);
        testfile_to_value(l, lua_gettop(l), a, &out->items[i]);
        lua_pop(l, 1);
    }
}

static int by_name(const void *x, const void *y)
{
    return slice_cmp(*(const struct slice *)x, *(const struct slice *)y);
}

static void map(lua_State *l, int index, struct arena *a, struct value *out)
{
    uint32_t n = 0, i = 0;
    for (lua_pushnil(l); lua_next(l, index) != 0; lua_pop(l, 1))
        n++;
    *out = (struct value){.type = VALUE_MAP, .count = n};
    out->items = arena_alloc(a, sizeof(*out->items) * (n + 1));
    out->keys = arena_alloc(a, sizeof(*out->keys) * (n + 1));
    for (lua_pushnil(l); lua_next(l, index) != 0; lua_pop(l, 1)) {
        size_t size;
        lua_pushvalue(l, -2);
        const char *s = lua_tolstring(l, -1, &size);
        if (s == NULL)
            luaL_error(l, "a record's field names must be strings");
        out->keys[i++] = arena_slice(a, slice_of(s, size));
        lua_pop(l, 1);
    }
    qsort(out->keys, n, sizeof(*out->keys), by_name);
    for (i = 0; i < n; i++) {
        lua_pushlstring(l, (const char *)out->keys[i].p, out->keys[i].n);
        lua_gettable(l, index);
        testfile_to_value(l, lua_gettop(l), a, &out->items[i]);
        lua_pop(l, 1);
    }
}

void testfile_to_value(lua_State *l, int index, struct arena *a, struct value *out)
{
    size_t n;
    luaL_checkstack(l, 4, "a value nested too deep");
    switch (lua_type(l, index)) {
    case LUA_TBOOLEAN:
        *out = value_bool(lua_toboolean(l, index) != 0);
        return;
    case LUA_TNUMBER:
        *out = lua_isinteger(l, index) ? value_int(lua_tointeger(l, index))
                                       : value_double(lua_tonumber(l, index));
        return;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(l, index, &n);
        *out = value_string(arena_slice(a, slice_of(s, n)));
        return;
    }
    case LUA_TTABLE:
        if (lua_rawlen(l, index) > 0)
            list(l, index, a, out);
        else
            map(l, index, a, out);
        return;
    case LUA_TNIL:
        *out = value_null();
        return;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(l, index) == testfile_null) {
            *out = value_null();
            return;
        }
        // fallthrough
    default:
        luaL_error(l, "a record cannot hold a %s", luaL_typename(l, index));
    }
}

void testfile_push_value(lua_State *l, const struct value *v)
{
    luaL_checkstack(l, 4, "a value nested too deep");
    switch (v->type) {
    case VALUE_NULL:
        lua_pushnil(l);
        return;
    case VALUE_BOOL:
        lua_pushboolean(l, v->b);
        return;
    case VALUE_INT:
        lua_pushinteger(l, v->i);
        return;
    case VALUE_DOUBLE:
        lua_pushnumber(l, v->d);
        return;
    case VALUE_STRING:
    case VALUE_BYTES:
        lua_pushlstring(l, (const char *)v->s.p, v->s.n);
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        lua_newtable(l);
        for (uint32_t i = 0; i < v->count; i++) {
            testfile_push_value(l, &v->items[i]);
            if (v->type == VALUE_LIST) {
                lua_rawseti(l, -2, (lua_Integer)i + 1);
            } else {
                lua_pushlstring(l, (const char *)v->keys[i].p, v->keys[i].n);
                lua_insert(l, -2);
                lua_settable(l, -3);
            }
        }
        return;
    }
}
