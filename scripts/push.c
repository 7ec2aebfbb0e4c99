// SPDX-License-Identifier: Apache-2.0
//
// Push: plain values to Lua. Lists and maps become tables of their own; a null inside a list is
// weir.null (a nil would be a hole), a null in a map is an absent key. Raises when memory is out.
#include "scripts/internal.h"

static void push_deep(lua_State *L, const struct value *v, int depth);

static void push_list(lua_State *L, const struct value *v, int depth)
{
    lua_createtable(L, (int)v->count, 0);
    for (uint32_t i = 0; i < v->count; i++) {
        if (v->items[i].type == VALUE_NULL)
            lua_pushlightuserdata(L, NULL); // weir.null
        else
            push_deep(L, &v->items[i], depth + 1);
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_map(lua_State *L, const struct value *v, int depth)
{
    lua_createtable(L, 0, (int)v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        lua_pushlstring(L, (const char *)v->keys[i].p, v->keys[i].n);
        push_deep(L, &v->items[i], depth + 1);
        lua_rawset(L, -3);
    }
}

static void push_deep(lua_State *L, const struct value *v, int depth)
{
    switch (v->type) {
    case VALUE_NULL:
        lua_pushnil(L);
        return;
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        return;
    case VALUE_INT:
        lua_pushinteger(L, v->i);
        return;
    case VALUE_DOUBLE:
        lua_pushnumber(L, v->d);
        return;
    case VALUE_STRING:
    case VALUE_BYTES:
        lua_pushlstring(L, (const char *)v->s.p, v->s.n);
        return;
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    if (depth > 512)
        luaL_error(L, "a value is nested more than 512 deep");
    luaL_checkstack(L, 4, "nested value");
    if (v->type == VALUE_LIST)
        push_list(L, v, depth);
    else
        push_map(L, v, depth);
}

void push_value(lua_State *L, const struct value *v)
{
    push_deep(L, v, 0);
}
