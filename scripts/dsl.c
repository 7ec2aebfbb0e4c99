// SPDX-License-Identifier: Apache-2.0
//
// Dsl: the bindings that weir_*.lua calls (listed in weir_core.lua), and the objects it hands to
// scripts. All of it runs while a script loads, inside lua_pcall; the helpers of records are
// elsewhere (helpers.c).
#include "scripts/internal.h"

#include "base/text.h"

#include <stdarg.h>

static char key_functions, key_bindings; // registry: user functions; the table c

const char *dsl_kind(lua_State *L, int index)
{
    if (!lua_istable(L, index) || luaL_getmetafield(L, index, "__weir") == LUA_TNIL)
        return NULL;
    const char *kind = lua_tostring(L, -1); // lives on in the metatable
    lua_pop(L, 1);
    return kind;
}

// --- places in the user's script

uint32_t dsl_user_line(struct script *s)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(s->L, level, &ar); level++) {
        lua_getinfo(s->L, "Sl", &ar);
        if (ar.source[0] == '@' && strcmp(ar.source + 1, s->name) == 0 && ar.currentline > 0)
            return (uint32_t)ar.currentline;
    }
    return 0;
}

int dsl_fail(struct script *s, uint32_t line, const char *fmt, ...)
{
    char text[sizeof(((struct err *)0)->text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (line != 0)
        lua_pushfstring(s->L, "%s:%d: %s", s->name, (int)line, text);
    else
        lua_pushfstring(s->L, "%s: %s", s->name, text);
    return lua_error(s->L);
}

static int dsl_fail_lua(lua_State *L) // (text [, line])
{
    struct script *s = script_of(L);
    uint32_t line = (uint32_t)luaL_optinteger(L, 2, s->line);
    return dsl_fail(s, line, "%s", luaL_checkstring(L, 1));
}

static int dsl_line(lua_State *L) // (name) → line, variable or nil
{
    struct script *s = script_of(L);
    struct slice name, assigned = {NULL, 0};
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    name = slice_of(text, n);
    if (!s->loading)
        return dsl_fail(s, dsl_user_line(s),
                        "'%s' describes the topology, which is complete when the script has "
                        "loaded; it cannot be called in a function",
                        text);
    s->line = dsl_user_line(s);
    struct scan_site *site = scan_call(&s->scan, s->line, name);
    if (site != NULL) {
        s->line = site->line;
        assigned = scan_assigned(&s->scan, site);
    }
    lua_pushinteger(L, s->line);
    if (assigned.n != 0)
        lua_pushlstring(L, (const char *)assigned.p, assigned.n);
    else
        lua_pushnil(L);
    return 2;
}

static int dsl_where(lua_State *L)
{
    lua_pushfstring(L, "%s:%d", script_of(L)->name, (int)luaL_checkinteger(L, 1));
    return 1;
}

// --- words

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

// (table, line) → its string keys, as written if a constructor of these keys is found, else by
// name.
static int dsl_order(lua_State *L)
{
    struct script *s = script_of(L);
    uint32_t n = 0, line = (uint32_t)luaL_checkinteger(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
        n += lua_type(L, -2) == LUA_TSTRING;
    struct slice *keys = arena_alloc(&s->arena, (n + 1) * sizeof(*keys));
    n = 0;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        size_t length;
        if (lua_type(L, -2) != LUA_TSTRING)
            continue;
        const char *key = lua_tolstring(L, -2, &length);
        keys[n++] = slice_of(key, length);
    }
    qsort(keys, n, sizeof(*keys), by_bytes);
    scan_order(&s->scan, line, keys, n);
    lua_createtable(L, (int)n, 0);
    for (uint32_t i = 0; i < n; i++) {
        lua_pushlstring(L, (const char *)keys[i].p, keys[i].n);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

struct names_of {
    lua_State *L;
    int index;
};

static const char *name_at(void *arg, int i)
{
    struct names_of *n = arg;
    lua_rawgeti(n->L, n->index, i + 1);
    const char *name = lua_type(n->L, -1) == LUA_TSTRING ? lua_tostring(n->L, -1) : NULL;
    lua_pop(n->L, 1);
    return name;
}

static int dsl_nearest(lua_State *L) // (name, list) → the nearest or nil
{
    struct names_of names = {L, 2};
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_pushstring(L, text_nearest(name, name_at, &names));
    return 1;
}

static int dsl_duration(lua_State *L) // (text) → ms or nil
{
    struct err e;
    int64_t ms;
    if (text_duration_ms(luaL_checkstring(L, 1), &ms, &e) == 0)
        lua_pushinteger(L, ms);
    else
        lua_pushnil(L);
    return 1;
}

static int dsl_duration_text(lua_State *L)
{
    char out[32];
    lua_pushstring(L, text_duration(luaL_checkinteger(L, 1), out));
    return 1;
}

static int dsl_field_type(lua_State *L) // (text) → type, nullable; or nil, why
{
    struct err e;
    enum field_type type;
    bool nullable;
    if (field_type_parse(luaL_checkstring(L, 1), &type, &nullable, &e) != 0) {
        lua_pushnil(L);
        lua_pushstring(L, e.text);
    } else {
        lua_pushstring(L, field_type_name(type));
        lua_pushboolean(L, nullable);
    }
    return 2;
}

// --- functions

static int dsl_register(lua_State *L) // (function, writes) → index
{
    struct script *s = script_of(L);
    lua_Debug ar;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_getinfo(L, ">S", &ar);
    if (ar.linedefined <= 0 || strcmp(ar.source + 1, s->name) != 0)
        return dsl_fail(s, s->line,
                        "write the function out here: function(t) … end; functions of "
                        "the library cannot be called with a record");
    if (s->functions_count == s->functions_size) {
        s->functions_size = s->functions_size == 0 ? 16 : s->functions_size * 2;
        s->functions =
            check_alloc(realloc(s->functions, s->functions_size * sizeof(*s->functions)));
    }
    struct script_function *f = arena_new(&s->arena, struct script_function);
    f->fn.call = call_function;
    f->script = s;
    f->index = s->functions_count;
    f->writes = lua_toboolean(L, 2);
    f->line = (uint32_t)ar.linedefined;
    f->end_line = (uint32_t)ar.lastlinedefined;
    f->where = arena_str(&s->arena, lua_pushfstring(L, "%s:%d", s->name, ar.linedefined));
    f->fn.where = f->where;
    s->functions[s->functions_count++] = f;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_functions);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, s->functions_count);
    lua_pushinteger(L, f->index);
    return 1;
}

static const struct scan_function *text_of(lua_State *L, struct script *s)
{
    lua_Integer i = luaL_checkinteger(L, 1);
    luaL_argcheck(L, i >= 0 && i < s->functions_count, 1, "no such function");
    return scan_function_at(&s->scan, s->functions[i]->line, s->functions[i]->end_line);
}

static int dsl_reads(lua_State *L) // (index, position) → list of {name=, line=} or nil
{
    enum { READS_MAX = 256 };
    struct script *s = script_of(L);
    const struct scan_function *f = text_of(L, s);
    struct read_field reads[READS_MAX];
    int n = f == NULL
                ? -1
                : reads_fields(&s->scan, f, (uint32_t)luaL_checkinteger(L, 2), reads, READS_MAX);
    if (n < 0)
        return 0;
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, (const char *)reads[i].name.p, reads[i].name.n);
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, reads[i].line);
        lua_setfield(L, -2, "line");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int dsl_infer(lua_State *L) // (index) → type or nil, field or nil
{
    struct script *s = script_of(L);
    const struct scan_function *f = text_of(L, s);
    struct slice field = {NULL, 0};
    lua_pushstring(L, f == NULL ? NULL : reads_type(&s->scan, f, &field));
    lua_pushlstring(L, (const char *)field.p, field.n);
    if (field.n == 0) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    return 2;
}

// --- parameters and values

static int dsl_param(lua_State *L) // (name) → text or nil
{
    struct script *s = script_of(L);
    const char *name = luaL_checkstring(L, 1);
    const char **more = arena_alloc(&s->arena, (s->asked_count + 2) * sizeof(*more));
    if (s->asked_count != 0)
        memcpy(more, s->asked, s->asked_count * sizeof(*more));
    s->asked = more;
    s->asked[s->asked_count++] = arena_str(&s->arena, name);
    s->asked[s->asked_count] = NULL;
    for (uint32_t i = 0; s->options != NULL && i < s->options->params_count; i++) {
        if (strcmp(s->options->params[i].name, name) == 0) {
            lua_pushstring(L, s->options->params[i].value);
            return 1;
        }
    }
    return 0;
}

void dsl_check_params(struct script *s)
{
    for (uint32_t i = 0; s->options != NULL && i < s->options->params_count; i++) {
        const char *name = s->options->params[i].name;
        uint32_t j = 0;
        while (j < s->asked_count && strcmp(s->asked[j], name) != 0)
            j++;
        if (j < s->asked_count)
            continue;
        const char *near = s->asked_count == 0 ? NULL : text_nearest_of(name, s->asked);
        lua_pushliteral(s->L, "");
        for (j = 0; j < s->asked_count; j++) {
            lua_pushfstring(s->L, "%s%s", j == 0 ? "" : ", ", s->asked[j]);
            lua_concat(s->L, 2);
        }
        dsl_fail(s, 0, "--set %s: the script has no parameter '%s'%s%s%s (parameters: %s)", name,
                 name, near == NULL ? ";" : "; did you mean '", near == NULL ? "" : near,
                 near == NULL ? "" : "'?", s->asked_count == 0 ? "none" : lua_tostring(s->L, -1));
    }
}

static int convert(lua_State *L)
{
    struct value v;
    pull_value(L, 1, &script_of(L)->scratch, &v);
    return 0;
}

static int dsl_value(lua_State *L) // (value, what)
{
    struct script *s = script_of(L);
    lua_pushcfunction(L, convert);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        return dsl_fail(s, s->line, "%s: %s", luaL_checkstring(L, 2), lua_tostring(L, -1));
    return 0;
}

// --- objects

static int dsl_kind_lua(lua_State *L)
{
    lua_pushstring(L, dsl_kind(L, 1));
    return 1;
}

// Reading something an object does not hold: a method, or a mistake. Upvalue 1: the kind.
static int object_index(lua_State *L)
{
    static const char *const own[] = {"schema", "key", "key_format", "key_made", NULL};
    const char *kind = lua_tostring(L, lua_upvalueindex(1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (int i = 0; own[i] != NULL; i++) {
        if (strcmp(own[i], name) == 0)
            return 0;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_bindings);
    lua_getfield(L, -1, "methods");
    lua_getfield(L, -1, kind);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return 1;
    lua_getfield(L, -4, "missing");
    lua_pushstring(L, kind);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 0);
    return 0;
}

static int object_newindex(lua_State *L)
{
    if (!script_of(L)->loading)
        return luaL_error(L,
                          "'%s' cannot be changed in a function; use a local, or a store "
                          "(:aggregate, :table)",
                          lua_tostring(L, lua_upvalueindex(1)));
    lua_rawset(L, 1);
    return 0;
}

static int object_tostring(lua_State *L)
{
    lua_pushfstring(L, "weir.%s", lua_tostring(L, lua_upvalueindex(1)));
    return 1;
}

static int dsl_object(lua_State *L) // (kind, table) → table
{
    static const luaL_Reg meta[] = {{"__index", object_index},
                                    {"__newindex", object_newindex},
                                    {"__tostring", object_tostring},
                                    {NULL, NULL}};
    const char *kind = luaL_checkstring(L, 1);
    bool has_methods =
        strcmp(kind, "app") == 0 || strcmp(kind, "stream") == 0 || strcmp(kind, "table") == 0;
    lua_createtable(L, 0, 5);
    for (const luaL_Reg *m = meta; m->name != NULL; m++) {
        if (m->func == object_index && !has_methods)
            continue;
        lua_pushvalue(L, 1);
        lua_pushcclosure(L, m->func, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__weir");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, 2);
    lua_settop(L, 2);
    return 1;
}

static const luaL_Reg bindings[] = {
    {"duration", dsl_duration}, {"duration_text", dsl_duration_text},
    {"fail", dsl_fail_lua},     {"field_type", dsl_field_type},
    {"infer", dsl_infer},       {"kind", dsl_kind_lua},
    {"line", dsl_line},         {"nearest", dsl_nearest},
    {"object", dsl_object},     {"order", dsl_order},
    {"param", dsl_param},       {"reads", dsl_reads},
    {"register", dsl_register}, {"value", dsl_value},
    {"where", dsl_where},       {NULL, NULL}};

void dsl_open(struct script *s)
{
    lua_State *L = s->L;
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_functions);
    // Byte code, but of our own making; a user's script is loaded as text only.
    struct slice code = dsl_code();
    if (luaL_loadbufferx(L, (const char *)code.p, code.n, "=weir", "b") != LUA_OK)
        lua_error(L);
    sandbox_private(L);
    CHECK(lua_setupvalue(L, -2, 1) != NULL);
    luaL_newlib(L, bindings);
    lua_newtable(L);
    luaL_setfuncs(L, helpers_functions, 0);
    lua_setfield(L, -2, "helpers");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_bindings);
    lua_call(L, 1, 1);
}

void dsl_finish(struct script *s)
{
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &key_bindings);
    lua_getfield(s->L, -1, "finish");
    lua_call(s->L, 0, 1);
    lua_remove(s->L, -2);
}

void dsl_push_function(struct script *s, uint32_t index)
{
    lua_rawgetp(s->L, LUA_REGISTRYINDEX, &key_functions);
    lua_rawgeti(s->L, -1, index + 1);
    lua_remove(s->L, -2);
}
