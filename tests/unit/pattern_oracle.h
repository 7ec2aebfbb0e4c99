// SPDX-License-Identifier: Apache-2.0
//
// Pattern oracle: runs our string functions beside Lua's own and compares every result and every
// error. Both live in one interpreter: `string` has Lua's, `ours` has ours.
#pragma once

#include "scripts/internal.h"
#include "scripts/pattern.h"

struct oracle {
    lua_State *L;
    struct script script; // only what strlib.c looks at
};

static const char oracle_source[] =
    "local ours = ...\n"
    "local function collect(f) return function(...)\n"
    "  local out = {} for a, b, c in f(...) do\n"
    "    out[#out + 1] = tostring(a) .. '|' .. tostring(b) .. '|' .. tostring(c)\n"
    "    if #out > 100 then break end end\n"
    "  return table.concat(out, ';') end end\n"
    "local function compare(name, f, g, ...)\n"
    "  local a, b = table.pack(pcall(f, ...)), table.pack(pcall(g, ...))\n"
    "  local same = a.n == b.n\n"
    "  for i = 1, a.n do same = same and a[i] == b[i] end\n"
    "  if same then return end\n"
    "  local shown = {} for _, t in ipairs{ {...}, a, b } do\n"
    "    for i, v in ipairs(t) do t[i] = ('%q'):format(tostring(v)) end\n"
    "    shown[#shown + 1] = table.concat(t, ', ') end\n"
    "  error(name .. '(' .. shown[1] .. '): Lua gives ' .. shown[2] .. '; ours ' .. shown[3], 0)\n"
    "end\n"
    "return function(s, p, r, init, n)\n"
    "  compare('find', string.find, ours.find, s, p)\n"
    "  compare('find', string.find, ours.find, s, p, init)\n"
    "  compare('find', string.find, ours.find, s, p, init, true)\n"
    "  compare('match', string.match, ours.match, s, p, init)\n"
    "  compare('gmatch', collect(string.gmatch), collect(ours.gmatch), s, p)\n"
    "  compare('gmatch', collect(string.gmatch), collect(ours.gmatch), s, p, init)\n"
    "  compare('gsub', string.gsub, ours.gsub, s, p, r)\n"
    "  compare('gsub', string.gsub, ours.gsub, s, p, r, n)\n"
    "  compare('gsub', string.gsub, ours.gsub, s, p, { a = 'X', ab = 1, b = false, [1] = 'pos' })\n"
    "  compare('gsub', string.gsub, ours.gsub, s, p, function(a, b)\n"
    "    if a == 'a' then return nil end return tostring(b) .. '.' end)\n"
    "  compare('rep', string.rep, ours.rep, s, n, r)\n"
    "end\n";

static inline void oracle_open(struct oracle *o)
{
    memset(o, 0, sizeof(*o));
    o->script.memory_max = SCRIPT_MEMORY;
    o->L = luaL_newstate();
    *(struct script **)lua_getextraspace(o->L) = &o->script;
    luaL_openlibs(o->L);
    CHECK(luaL_loadstring(o->L, oracle_source) == LUA_OK);
    lua_newtable(o->L);
    luaL_setfuncs(o->L, strlib_functions, 0);
    CHECK(lua_pcall(o->L, 1, 1, 0) == LUA_OK); // leaves the comparison at place 1
}

static inline void oracle_close(struct oracle *o)
{
    lua_close(o->L);
}

// NULL if both agree, else what differs (until the next call).
static inline const char *oracle_compare(struct oracle *o, struct slice s, struct slice p,
                                         struct slice r, int init)
{
    lua_settop(o->L, 1);
    o->script.steps_left = UINT64_MAX;
    lua_pushvalue(o->L, 1);
    lua_pushlstring(o->L, (const char *)s.p, s.n);
    lua_pushlstring(o->L, (const char *)p.p, p.n);
    lua_pushlstring(o->L, (const char *)r.p, r.n);
    lua_pushinteger(o->L, init);
    lua_pushinteger(o->L, init);
    return lua_pcall(o->L, 5, 0, 0) == LUA_OK ? NULL : lua_tostring(o->L, -1);
}
