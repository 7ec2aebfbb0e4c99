// SPDX-License-Identifier: Apache-2.0
#include "scripts/testfile.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/text.h"
#include "scripts/testfile_case.h"

enum { PARAMS_MAX = 64 };

// --- starting the app of a case ----------------------------------------------------------------

int testfile_raise(lua_State *l, const struct err *err)
{
    return luaL_error(l, "%s", err->text);
}

void testfile_fail_line(struct runner *r)
{
    if (r->mismatches++ == 0)
        fprintf(r->to, "FAIL  %s\n", r->case_name);
}

// Names that mean nothing are mistakes, not wishes.
void testfile_check_options(lua_State *l, int index, const char *what, const char *const *names)
{
    index = lua_absindex(l, index);
    for (lua_pushnil(l); lua_next(l, index) != 0; lua_pop(l, 1)) {
        const char *name = lua_type(l, -2) == LUA_TSTRING ? lua_tostring(l, -2) : "[…]";
        bool known = false;
        for (uint32_t i = 0; names[i] != NULL; i++)
            known = known || strcmp(names[i], name) == 0;
        if (known)
            continue;
        luaL_Buffer b;
        luaL_buffinit(l, &b);
        for (uint32_t i = 0; names[i] != NULL; i++) {
            luaL_addstring(&b, i == 0 ? "" : ", ");
            luaL_addstring(&b, names[i]);
        }
        luaL_pushresult(&b);
        luaL_error(l, "%s: no option '%s' (valid: %s)", what, name, lua_tostring(l, -1));
    }
}

static uint32_t read_params(lua_State *l, struct runner *r, struct script_param *params)
{
    uint32_t n = 0;
    lua_rawgeti(l, LUA_REGISTRYINDEX, r->app_options);
    if (!lua_istable(l, -1) || lua_getfield(l, -1, "set") != LUA_TTABLE)
        return 0;
    for (lua_pushnil(l); lua_next(l, -2) != 0; lua_pop(l, 1)) {
        if (n == PARAMS_MAX || lua_type(l, -2) != LUA_TSTRING)
            luaL_error(l, "set = { name = value, … } with at most %d names", PARAMS_MAX);
        params[n].name = arena_str(&r->arena, lua_tostring(l, -2));
        params[n++].value = arena_str(&r->arena, luaL_tolstring(l, -1, NULL));
        lua_pop(l, 1);
    }
    return n;
}

void testfile_start(lua_State *l)
{
    struct runner *r = testfile_self(l);
    struct err err;
    int top = lua_gettop(l);
    if (r->started)
        return;
    if (r->app[0] == 0)
        luaL_error(l, "say which script is tested first: test.app(\"app.lua\")");
    // They live as long as the engine: tasks load the script once more.
    struct script_param *params = arena_alloc(&r->arena, PARAMS_MAX * sizeof(*params));
    uint32_t n = read_params(l, r, params);
    lua_settop(l, top);
    lua_rawgeti(l, LUA_REGISTRYINDEX, r->app_options);
    int32_t partitions = 1;
    if (lua_istable(l, -1) && lua_getfield(l, -1, "partitions") == LUA_TNUMBER)
        partitions = (int32_t)lua_tointeger(l, -1);
    lua_settop(l, top);
    if (r->host->start(r->host->arg, r->app, params, n, partitions, &err) != 0)
        testfile_raise(l, &err);
    r->started = true;
}

static int test_app(lua_State *l)
{
    struct runner *r = testfile_self(l);
    const char *name = luaL_checkstring(l, 1);
    const char *slash = strrchr(r->path, '/');
    if (name[0] == '/' || slash == NULL)
        snprintf(r->app, sizeof(r->app), "%s", name);
    else
        snprintf(r->app, sizeof(r->app), "%.*s/%s", (int)(slash - r->path), r->path, name);
    lua_settop(l, 2);
    static const char *const names[] = {"partitions", "set", NULL};
    if (lua_istable(l, 2))
        testfile_check_options(l, 2, "test.app", names);
    luaL_unref(l, LUA_REGISTRYINDEX, r->app_options);
    r->app_options = luaL_ref(l, LUA_REGISTRYINDEX);
    return 0;
}

// --- what a case can do ------------------------------------------------------------------------

static void pipe_one(lua_State *l, struct runner *r, const char *topic, int index, int options)
{
    struct testfile_pipe p = {.topic = topic, .partition = -1};
    struct value v;
    struct err err;
    testfile_to_value(l, index, &r->arena, &v);
    p.value = &v;
    static const char *const names[] = {"key", "time", "partition", NULL};
    if (options != 0 && lua_istable(l, options)) {
        testfile_check_options(l, options, "t:pipe", names);
        if (lua_getfield(l, options, "key") != LUA_TNIL) {
            size_t n;
            const char *s = luaL_tolstring(l, -1, &n);
            p.key = arena_slice(&r->arena, slice_of(s, n));
            p.has_key = true;
            lua_pop(l, 1);
        }
        if (lua_getfield(l, options, "time") == LUA_TNUMBER) {
            p.time = (int64_t)lua_tonumber(l, -1);
            p.has_time = true;
        }
        if (lua_getfield(l, options, "partition") == LUA_TNUMBER)
            p.partition = (int32_t)lua_tointeger(l, -1);
        lua_pop(l, 3);
    }
    if (r->host->pipe(r->host->arg, &p, &err) != 0)
        testfile_raise(l, &err);
}

static int case_pipe(lua_State *l)
{
    struct runner *r = testfile_self(l);
    const char *topic = luaL_checkstring(l, 2);
    int options = lua_istable(l, 4) ? 4 : 0;
    testfile_start(l);
    if (lua_istable(l, 3) && lua_rawlen(l, 3) > 0) {
        for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(l, 3); i++) {
            lua_rawgeti(l, 3, i);
            pipe_one(l, r, topic, lua_gettop(l), options);
            lua_pop(l, 1);
        }
        return 0;
    }
    pipe_one(l, r, topic, 3, options);
    return 0;
}

static int case_advance(lua_State *l)
{
    struct runner *r = testfile_self(l);
    struct err err;
    int64_t ms;
    testfile_start(l);
    if (lua_type(l, 2) == LUA_TNUMBER)
        ms = (int64_t)lua_tonumber(l, 2);
    else if (text_duration_ms(luaL_checkstring(l, 2), &ms, &err) != 0)
        return testfile_raise(l, &err);
    return r->host->advance(r->host->arg, ms, &err) != 0 ? testfile_raise(l, &err) : 0;
}

static int case_finish(lua_State *l)
{
    struct err err;
    testfile_start(l);
    return testfile_self(l)->host->finish(testfile_self(l)->host->arg, &err) != 0
               ? testfile_raise(l, &err)
               : 0;
}

// --- the module --------------------------------------------------------------------------------

static const luaL_Reg case_methods[] = {
    {"pipe", case_pipe},
    {"advance", case_advance},
    {"finish", case_finish},
    {"expect", testfile_expect},
    {"expect_dead_letters", testfile_expect_dead_letters},
    {"take", testfile_take},
    {NULL, NULL},
};

// The case's function with its `t`, then what it left unsaid.
static int run_body(lua_State *l)
{
    lua_call(l, 1, 0);
    testfile_check_dead_letters(l);
    return 0;
}

static int test_case(lua_State *l)
{
    struct runner *r = testfile_self(l);
    const char *name = luaL_checkstring(l, 1);
    luaL_checktype(l, 2, LUA_TFUNCTION);
    if (r->only != NULL && strstr(name, r->only) == NULL)
        return 0;
    snprintf(r->case_name, sizeof(r->case_name), "%s", name);
    r->mismatches = 0;
    lua_settop(l, 2);
    lua_newtable(l);
    luaL_newlib(l, case_methods);
    lua_setfield(l, -2, "__index");
    lua_pushvalue(l, -1);
    lua_setmetatable(l, -2);
    lua_pushcfunction(l, run_body);
    lua_insert(l, 2);
    if (lua_pcall(l, 2, 0, 0) != LUA_OK) {
        testfile_fail_line(r);
        fprintf(r->to, "      %s\n", lua_tostring(l, -1));
    }
    bool failed = r->mismatches != 0;
    if (!failed)
        fprintf(r->to, "ok    %s\n", name);
    else if (r->started && r->host->report != NULL)
        r->host->report(r->host->arg, r->to);
    r->result->passed += !failed;
    r->result->failed += failed;
    if (r->started)
        r->host->stop(r->host->arg);
    r->started = false;
    arena_reset(&r->arena);
    return 0;
}

static int open_module(lua_State *l)
{
    static const luaL_Reg functions[] = {{"app", test_app}, {"case", test_case}, {NULL, NULL}};
    luaL_newlib(l, functions);
    lua_pushlightuserdata(l, testfile_null);
    lua_setfield(l, -2, "null");
    return 1;
}

int testfile_run(const char *path, const char *only, const struct testfile_host *host, FILE *to,
                 struct testfile_result *result, struct err *err)
{
    struct runner r = {.host = host,
                       .path = path,
                       .only = only,
                       .to = to,
                       .result = result,
                       .app_options = LUA_NOREF};
    lua_State *l = luaL_newstate();
    CHECK(l != NULL);
    *result = (struct testfile_result){0};
    *(struct runner **)lua_getextraspace(l) = &r;
    arena_init(&r.arena);
    luaL_openlibs(l);
    luaL_requiref(l, "weir.test", open_module, 0);
    lua_settop(l, 0);
    int rc = 0;
    if (luaL_loadfile(l, path) != LUA_OK || lua_pcall(l, 0, 0, 0) != LUA_OK)
        rc = err_set(err, ERR_SCRIPT, "%s", lua_tostring(l, -1));
    lua_close(l);
    arena_release(&r.arena);
    return rc;
}
