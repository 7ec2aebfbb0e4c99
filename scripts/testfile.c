// SPDX-License-Identifier: Apache-2.0
#include "scripts/testfile.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/text.h"
#include "scripts/testfile_value.h"

enum { PARAMS_MAX = 64 };

struct runner {
    const struct testfile_host *host;
    const char *path, *only;
    FILE *to;
    struct testfile_result *result;
    struct arena arena;
    char app[4096];
    int app_options; // registry reference of test.app's second argument
    bool started;
    uint32_t mismatches; // of the case that runs
    char case_name[256];
};

static struct runner *self(lua_State *l)
{
    return *(struct runner **)lua_getextraspace(l);
}

static int raise(lua_State *l, const struct err *err)
{
    return luaL_error(l, "%s", err->text);
}

// --- starting the app of a case
// -------------------------------------------------------------------

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

static void ensure_started(lua_State *l)
{
    struct runner *r = self(l);
    struct script_param params[PARAMS_MAX];
    struct err err;
    int top = lua_gettop(l);
    if (r->started)
        return;
    if (r->app[0] == 0)
        luaL_error(l, "say which script is tested first: test.app(\"app.lua\")");
    uint32_t n = read_params(l, r, params);
    lua_settop(l, top);
    lua_rawgeti(l, LUA_REGISTRYINDEX, r->app_options);
    int32_t partitions = 1;
    if (lua_istable(l, -1) && lua_getfield(l, -1, "partitions") == LUA_TNUMBER)
        partitions = (int32_t)lua_tointeger(l, -1);
    lua_settop(l, top);
    if (r->host->start(r->host->arg, r->app, params, n, partitions, &err) != 0)
        raise(l, &err);
    r->started = true;
}

static int test_app(lua_State *l)
{
    struct runner *r = self(l);
    const char *name = luaL_checkstring(l, 1);
    const char *slash = strrchr(r->path, '/');
    if (name[0] == '/' || slash == NULL)
        snprintf(r->app, sizeof(r->app), "%s", name);
    else
        snprintf(r->app, sizeof(r->app), "%.*s/%s", (int)(slash - r->path), r->path, name);
    lua_settop(l, 2);
    luaL_unref(l, LUA_REGISTRYINDEX, r->app_options);
    r->app_options = luaL_ref(l, LUA_REGISTRYINDEX);
    return 0;
}

// --- what a case can do
// ---------------------------------------------------------------------------

static void pipe_one(lua_State *l, struct runner *r, const char *topic, int index, int options)
{
    struct testfile_pipe p = {.topic = topic, .partition = -1};
    struct value v;
    struct err err;
    testfile_to_value(l, index, &r->arena, &v);
    p.value = &v;
    if (options != 0 && lua_istable(l, options)) {
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
        raise(l, &err);
}

static int case_pipe(lua_State *l)
{
    struct runner *r = self(l);
    const char *topic = luaL_checkstring(l, 2);
    int options = lua_istable(l, 4) ? 4 : 0;
    ensure_started(l);
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
    struct runner *r = self(l);
    struct err err;
    int64_t ms;
    ensure_started(l);
    if (lua_type(l, 2) == LUA_TNUMBER)
        ms = (int64_t)lua_tonumber(l, 2);
    else if (text_duration_ms(luaL_checkstring(l, 2), &ms, &err) != 0)
        return raise(l, &err);
    return r->host->advance(r->host->arg, ms, &err) != 0 ? raise(l, &err) : 0;
}

static int case_finish(lua_State *l)
{
    struct err err;
    ensure_started(l);
    return self(l)->host->finish(self(l)->host->arg, &err) != 0 ? raise(l, &err) : 0;
}

static void mismatch(lua_State *l, const char *topic)
{
    struct runner *r = self(l);
    if (r->mismatches++ == 0)
        fprintf(r->to, "FAIL  %s\n", r->case_name);
    luaL_where(l, 1);
    fprintf(r->to, "      %stopic %s\n", lua_tostring(l, -1), topic);
    lua_pop(l, 1);
}

static void print_value(FILE *to, const char *label, const struct value *v)
{
    struct buf b;
    buf_init(&b);
    value_to_json(v, &b);
    fprintf(to, "%s%.*s\n", label, (int)b.n, (const char *)b.p);
    buf_release(&b);
}

// Compares the fields that `want` names. Prints each that differs; true if all agree.
static bool compare(FILE *to, uint32_t number, const struct value *want, const struct value *got,
                    void (*head)(void *), void *arg)
{
    bool same = true;
    if (want->type != VALUE_MAP || got->type != VALUE_MAP) {
        if (value_eq(want, got))
            return true;
        head(arg);
        fprintf(to, "        record %u\n", number);
        print_value(to, "          expected ", want);
        print_value(to, "          got      ", got);
        return false;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        const struct value *g = testfile_field(got, want->keys[i]);
        struct value null = value_null();
        if (value_eq(&want->items[i], g == NULL ? &null : g))
            continue;
        head(arg);
        fprintf(to, "        record %u, field %.*s\n", number, (int)want->keys[i].n,
                (const char *)want->keys[i].p);
        print_value(to, "          expected ", &want->items[i]);
        print_value(to, "          got      ", g == NULL ? &null : g);
        same = false;
    }
    if (!same)
        print_value(to, "          whole    ", got);
    return same;
}

struct head_arg {
    lua_State *l;
    const char *topic;
    bool done;
};

static void head(void *arg)
{
    struct head_arg *h = arg;
    if (!h->done)
        mismatch(h->l, h->topic);
    h->done = true;
}

static int take(lua_State *l, const char *topic, struct testfile_record *rec)
{
    struct err err;
    int got = self(l)->host->take(self(l)->host->arg, topic, &self(l)->arena, rec, &err);
    if (got < 0)
        raise(l, &err);
    return got;
}

static int case_expect(lua_State *l)
{
    struct runner *r = self(l);
    const char *topic = luaL_checkstring(l, 2);
    struct head_arg h = {l, topic, false};
    struct testfile_record rec;
    luaL_checktype(l, 3, LUA_TTABLE);
    ensure_started(l);
    uint32_t want_count = (uint32_t)lua_rawlen(l, 3), n = 0;
    for (; n < want_count; n++) {
        struct value want;
        lua_rawgeti(l, 3, (lua_Integer)n + 1);
        testfile_to_value(l, lua_gettop(l), &r->arena, &want);
        lua_pop(l, 1);
        if (take(l, topic, &rec) == 0) {
            head(&h);
            fprintf(r->to, "        expected %u records, got %u; the next one would be\n",
                    want_count, n);
            print_value(r->to, "          expected ", &want);
            return 0;
        }
        compare(r->to, n + 1, &want, &rec.value, head, &h);
    }
    while (take(l, topic, &rec) == 1) {
        head(&h);
        fprintf(r->to, "        one record too many\n");
        print_value(r->to, "          got      ", &rec.value);
    }
    return 0;
}

// All records so far, as a list of { key, time, partition, value }.
static int case_take(lua_State *l)
{
    const char *topic = luaL_checkstring(l, 2);
    struct testfile_record rec;
    ensure_started(l);
    lua_newtable(l);
    for (lua_Integer i = 1; take(l, topic, &rec) == 1; i++) {
        lua_newtable(l);
        if (rec.key.p != NULL) {
            lua_pushlstring(l, (const char *)rec.key.p, rec.key.n);
            lua_setfield(l, -2, "key");
        }
        lua_pushinteger(l, rec.time);
        lua_setfield(l, -2, "time");
        lua_pushinteger(l, rec.partition);
        lua_setfield(l, -2, "partition");
        testfile_push_value(l, &rec.value);
        lua_setfield(l, -2, "value");
        lua_rawseti(l, -2, i);
    }
    return 1;
}

static const luaL_Reg case_methods[] = {{"pipe", case_pipe},     {"advance", case_advance},
                                        {"finish", case_finish}, {"expect", case_expect},
                                        {"take", case_take},     {NULL, NULL}};

static int test_case(lua_State *l)
{
    struct runner *r = self(l);
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
    bool failed = lua_pcall(l, 1, 0, 0) != LUA_OK;
    if (failed)
        fprintf(r->to, "FAIL  %s\n      %s\n", name, lua_tostring(l, -1));
    failed = failed || r->mismatches != 0;
    if (!failed)
        fprintf(r->to, "ok    %s\n", name);
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
