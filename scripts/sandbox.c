// SPDX-License-Identifier: Apache-2.0
//
// Sandbox: what a script can reach. Its globals are an empty table in front of a fixed set of
// functions: nothing that touches files, processes, clocks, other modules or bytecode, and nothing
// that could keep state between records unseen. Memory is bounded by the allocator.
//
// Functions of Lua's library whose C loops can be made endless are bounded or replaced here and in
// strlib.c, since the watchdog's hook fires between instructions only. pcall and xpcall pass on
// what the script must not catch: the end of its time, memory or pattern steps.
#include "scripts/internal.h"

#include "base/logline.h"
#include "base/text.h"

enum { MOVE_MAX = 10 * 1000 * 1000 };

static char key_functions, key_own; // registry

// --- memory

static void *allocate(void *arg, void *p, size_t old, size_t size)
{
    struct script *s = arg;
    if (p == NULL)
        old = 0; // Lua passes the kind of object
    if (size == 0) {
        free(p);
        s->memory_used -= old;
        return NULL;
    }
    if (size > old && s->memory_used + (size - old) > s->memory_max)
        return NULL;
    void *q = realloc(p, size);
    if (q != NULL)
        s->memory_used += size - old;
    return q;
}

static int on_panic(lua_State *L)
{
    fprintf(stderr, "weir: bug: unprotected error in a script: %s\n", lua_tostring(L, -1));
    abort();
}

lua_State *sandbox_state(struct script *s)
{
    lua_State *L = lua_newstate(allocate, s);
    if (L == NULL)
        return NULL;
    *(struct script **)lua_getextraspace(L) = s;
    lua_atpanic(L, on_panic);
    return L;
}

static bool out_of_time(const struct script *s)
{
    return watch_expired(&s->watch);
}

// What no pcall may catch.
static bool is_fatal(const struct script *s, int status)
{
    return status == LUA_ERRMEM || s->steps_left == 0 || out_of_time(s);
}

int sandbox_error(struct script *s, int status, struct err *e)
{
    lua_State *L = s->L;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    const char *where = s->running != NULL ? s->running->fn.where : s->name;
    char size[32];
    if (status == LUA_ERRMEM)
        err_set(e, ERR_SCRIPT,
                "%s: used more than %s of memory; keep less per record, or split the work", where,
                text_size((int64_t)s->memory_max, size));
    else if (out_of_time(s) && (text == NULL || strstr(text, "ran longer than") == NULL))
        err_set(e, ERR_SCRIPT, "%s: ran longer than %d ms", where,
                (int)(s->watch.budget_ns / 1000000));
    else if (text == NULL)
        err_set(e, ERR_SCRIPT, "%s: an error that is not text (%s) was raised", where,
                lua_typename(L, lua_type(L, -1)));
    else if (strncmp(text, s->name, strlen(s->name)) == 0)
        err_set(e, ERR_SCRIPT, "%s", text);
    else
        err_set(e, ERR_SCRIPT, "%s: %s", where, text);
    lua_pop(L, 1);
    return -1;
}

// --- protected calls

static int safe_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    if (status == LUA_OK)
        return lua_gettop(L);
    if (is_fatal(script_of(L), status))
        return lua_error(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

// The handler is called after the call has ended, not while it fails: Lua runs its own message
// handlers without hooks, so that one could run for ever.
static int safe_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int n = lua_gettop(L);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); // f, handler, true, f, arguments
    int status = lua_pcall(L, n - 2, LUA_MULTRET, 0);
    if (status == LUA_OK)
        return lua_gettop(L) - 2;
    if (is_fatal(script_of(L), status))
        return lua_error(L);
    lua_settop(L, 4); // f, handler, true, error
    lua_pushvalue(L, 2);
    lua_insert(L, 4);
    status = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (status != LUA_OK && is_fatal(script_of(L), status))
        return lua_error(L);
    lua_pushboolean(L, 0);
    lua_replace(L, 3);
    return lua_gettop(L) - 2;
}

// --- bounded library functions: upvalue 1 is Lua's own

// Called in place, not through Lua, so that errors name the user's line. They use no upvalues.
static int call_original(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

// A metatable's __len could promise any number of items, all walked in C.
static int safe_table(lua_State *L)
{
    if (lua_istable(L, 1) && luaL_getmetafield(L, 1, "__len") != LUA_TNIL) {
        lua_pop(L, 1);
        if (dsl_kind(L, 1) == NULL)
            return luaL_error(L, "table functions do not work on tables with a __len metamethod");
    }
    return call_original(L);
}

static int safe_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    if (to >= from && (uint64_t)to - (uint64_t)from >= MOVE_MAX)
        return luaL_error(L, "table.move: more than %d items", MOVE_MAX);
    return call_original(L);
}

static int safe_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "metatables with __gc are not available in weir scripts");
        lua_pop(L, 1);
    }
    return call_original(L);
}

static int safe_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0)
        return luaL_error(L,
                          "collectgarbage(\"%s\") is not available in weir scripts; "
                          "memory is managed by the runtime",
                          what);
    lua_pushnumber(L, (double)script_of(L)->memory_used / 1024);
    return 1;
}

static int script_print(lua_State *L)
{
    luaL_Buffer b;
    int n = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    logline(LOG_INFO, script_of(L)->name, "%s", lua_tostring(L, -1));
    return 0;
}

static int script_require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (strcmp(name, "weir") != 0)
        return luaL_error(L, "require \"%s\": only \"weir\" can be required in a weir script",
                          name);
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

// --- sealed libraries

static const char *key_at(void *arg, int i)
{
    return ((const char **)arg)[i];
}

// The nearest string key of the table at `index`, or NULL. The names stay alive in the table.
static const char *nearest_key(lua_State *L, int index, const char *name)
{
    const char *names[256] = {NULL};
    int n = 0;
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        if (lua_type(L, -2) == LUA_TSTRING && n < 255)
            names[n++] = lua_tostring(L, -2);
        lua_pop(L, 1);
    }
    return text_nearest(name, key_at, names);
}

// Upvalue 1: the library's name. Reading a function that does not exist.
static int missing_in_library(lua_State *L)
{
    const char *library = lua_tostring(L, lua_upvalueindex(1));
    const char *name = luaL_tolstring(L, 2, NULL);
    if (strcmp(library, "math") == 0 && strcmp(name, "randomseed") == 0)
        return luaL_error(L, "math.randomseed is not available: each record has its own seed, so "
                             "that a replay gives the same numbers");
    const char *near = nearest_key(L, 1, name);
    return luaL_error(L, "there is no %s.%s%s%s%s%s%s", library, name,
                      near == NULL ? "" : "; did you mean '", near == NULL ? "" : library,
                      near == NULL ? "" : ".", near == NULL ? "" : near, near == NULL ? "" : "'?");
}

static int set_in_library(lua_State *L)
{
    return luaL_error(L,
                      "%s cannot be extended: values kept there would be lost, and differ "
                      "between tasks; use a local, or a store (:aggregate, :table)",
                      lua_tostring(L, lua_upvalueindex(1)));
}

// Seals the table on top: new keys and missing ones raise.
static void seal(lua_State *L, const char *name)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, name);
    lua_pushcclosure(L, missing_in_library, 1);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_pushcclosure(L, set_in_library, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "library");
    lua_setfield(L, -2, "__weir");
    lua_setmetatable(L, -2);
}

struct entry {
    const char *name;
    lua_CFunction wrapper; // NULL: as Lua has it; else a closure over Lua's own
};

static const struct entry string_entries[] = {
    {"byte", NULL},  {"char", NULL},   {"format", NULL},   {"len", NULL},
    {"lower", NULL}, {"pack", NULL},   {"packsize", NULL}, {"reverse", NULL},
    {"sub", NULL},   {"unpack", NULL}, {"upper", NULL},    {NULL, NULL}};
static const struct entry table_entries[] = {
    {"concat", safe_table}, {"insert", safe_table}, {"move", safe_move}, {"pack", NULL},
    {"remove", safe_table}, {"sort", safe_table},   {"unpack", NULL},    {NULL, NULL}};
static const struct entry math_entries[] = {
    {"abs", NULL},        {"acos", NULL}, {"asin", NULL},      {"atan", NULL},       {"ceil", NULL},
    {"cos", NULL},        {"deg", NULL},  {"exp", NULL},       {"floor", NULL},      {"fmod", NULL},
    {"huge", NULL},       {"log", NULL},  {"max", NULL},       {"maxinteger", NULL}, {"min", NULL},
    {"mininteger", NULL}, {"modf", NULL}, {"pi", NULL},        {"rad", NULL},        {"sin", NULL},
    {"sqrt", NULL},       {"tan", NULL},  {"tointeger", NULL}, {"type", NULL},       {"ult", NULL},
    {NULL, NULL}};
static const struct entry utf8_entries[] = {
    {"char", NULL}, {"charpattern", NULL}, {"codepoint", NULL}, {"codes", NULL},
    {"len", NULL},  {"offset", NULL},      {NULL, NULL}};
static const struct entry base_entries[] = {{"assert", NULL},
                                            {"error", NULL},
                                            {"getmetatable", NULL},
                                            {"ipairs", NULL},
                                            {"next", NULL},
                                            {"rawequal", NULL},
                                            {"rawget", NULL},
                                            {"rawlen", NULL},
                                            {"select", NULL},
                                            {"setmetatable", safe_setmetatable},
                                            {"tonumber", NULL},
                                            {"tostring", NULL},
                                            {"type", NULL},
                                            {"_VERSION", NULL},
                                            {NULL, NULL}};

// Copies entries of the library table at the top into the table below it; pops the library.
static void copy_entries(lua_State *L, const struct entry *e)
{
    for (; e->name != NULL; e++) {
        lua_getfield(L, -1, e->name);
        if (e->wrapper != NULL)
            lua_pushcclosure(L, e->wrapper, 1);
        lua_setfield(L, -3, e->name);
    }
    lua_pop(L, 1);
}

static const struct {
    const char *name;
    lua_CFunction open;
    const struct entry *entries;
    const luaL_Reg *own;
} libraries[] = {{"string", luaopen_string, string_entries, strlib_functions},
                 {"table", luaopen_table, table_entries, NULL},
                 {"math", luaopen_math, math_entries, sandbox_random},
                 {"utf8", luaopen_utf8, utf8_entries, NULL}};

// Pushes a new table of library i.
static void push_library(lua_State *L, size_t i)
{
    lua_newtable(L);
    lua_pushcfunction(L, libraries[i].open);
    lua_call(L, 0, 1);
    copy_entries(L, libraries[i].entries);
    if (libraries[i].own != NULL)
        luaL_setfuncs(L, libraries[i].own, 0);
}

// Pushes a new table of the base functions. luaopen_base fills the globals table, which nobody
// else uses.
static void push_base(lua_State *L)
{
    static const luaL_Reg own[] = {{"collectgarbage", safe_collectgarbage},
                                   {"pairs", helpers_pairs},
                                   {"pcall", safe_pcall},
                                   {"print", script_print},
                                   {"xpcall", safe_xpcall},
                                   {NULL, NULL}};
    lua_newtable(L);
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    copy_entries(L, base_entries);
    luaL_setfuncs(L, own, 0);
}

void sandbox_private(lua_State *L)
{
    push_base(L);
    for (size_t i = 0; i < ARRAY_COUNT(libraries); i++) {
        push_library(L, i);
        lua_setfield(L, -2, libraries[i].name);
    }
}

// --- globals

static int missing_global(lua_State *L) // (functions, name)
{
    static const char *const gone[] = {"io",         "os",       "debug",  "load",
                                       "loadstring", "loadfile", "dofile", "package",
                                       "coroutine",  "rawset",   "_G",     NULL};
    const char *name = luaL_tolstring(L, 2, NULL);
    for (int i = 0; gone[i] != NULL; i++) {
        if (strcmp(gone[i], name) == 0)
            return luaL_error(L,
                              "'%s' is not available in weir scripts: they have no files, no "
                              "clock and no other modules, so that replays agree%s",
                              name,
                              strcmp(name, "os") == 0 ? " (a record's time is rec.time)" : "");
    }
    const char *near = nearest_key(L, 1, name);
    return luaL_error(L, "there is no global '%s'%s%s%s", name,
                      near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                      near == NULL ? "" : "'?");
}

static int set_global(lua_State *L) // (env, name, value); upvalues: functions, own
{
    struct script *s = script_of(L);
    const char *name = luaL_tolstring(L, 2, NULL);
    if (!s->loading)
        return luaL_error(L,
                          "global '%s' cannot be set while records are processed: it would be "
                          "lost, and differ between tasks; use a local, or a store (:aggregate, "
                          ":table)",
                          name);
    lua_pushvalue(L, 2);
    bool own = lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL && !own)
        return luaL_error(L, "'%s' is part of the language here; choose another name", name);
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 1);
    lua_rawset(L, lua_upvalueindex(2));
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, lua_upvalueindex(1));
    return 0;
}

static void protect_strings(lua_State *L, int functions)
{
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 2);
    lua_getfield(L, functions, "string");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

// On entry the module is on top; it is replaced by the environment.
void sandbox_open(struct script *s)
{
    lua_State *L = s->L;
    int module = lua_gettop(L);
    push_base(L);
    int functions = lua_gettop(L);
    for (size_t i = 0; i < ARRAY_COUNT(libraries); i++) {
        push_library(L, i);
        seal(L, libraries[i].name);
        lua_setfield(L, functions, libraries[i].name);
    }
    protect_strings(L, functions);
    lua_pushvalue(L, module);
    seal(L, "weir");
    lua_pushcclosure(L, script_require, 1);
    lua_setfield(L, functions, "require");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, missing_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, functions);

    lua_newtable(L); // names of the script's own globals
    int own = lua_gettop(L);
    lua_newtable(L); // the environment: always empty
    int env = lua_gettop(L);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, functions);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, functions);
    lua_pushvalue(L, own);
    lua_pushcclosure(L, set_global, 2);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "environment");
    lua_setfield(L, -2, "__weir");
    lua_setmetatable(L, env);
    lua_pushvalue(L, functions);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_functions);
    lua_pushvalue(L, own);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_own);
    lua_replace(L, module);
    lua_settop(L, module);
}

bool sandbox_global(lua_State *L, struct slice name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_own);
    lua_pushlstring(L, (const char *)name.p, name.n);
    bool own = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    if (!own)
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_functions);
    lua_pushlstring(L, (const char *)name.p, name.n);
    lua_rawget(L, -2);
    lua_remove(L, -2);
    return true;
}
