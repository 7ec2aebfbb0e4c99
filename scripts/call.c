// SPDX-License-Identifier: Apache-2.0
//
// Call: one user function with one record: one protected call, no allocation of ours. The usual
// case (records in, a number, boolean or the record itself out) takes the short way; arguments or
// results that are tables or strings are moved inside the protected part, since Lua may run out of
// memory there.
//
// Arguments: the values in their order, then the rec of the first record: (t, rec), (state, t,
// rec), (left, right, rec).
#include "scripts/internal.h"

// A record whose value is not a record (a string, a number, a list) is given as plain value.
static bool needs_protection(const struct fn_arg *a, struct err *e)
{
    if (a->kind == FN_VALUE)
        return a->value->type > VALUE_DOUBLE;
    return a->msg->doc != NULL && !view_is_record(a->msg->doc, e);
}

static void push_scalar(lua_State *L, const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        return;
    case VALUE_INT:
        lua_pushinteger(L, v->i);
        return;
    case VALUE_DOUBLE:
        lua_pushnumber(L, v->d);
        return;
    default:
        lua_pushnil(L);
    }
}

static uint32_t slot(const struct script *s, uint32_t i)
{
    return (uint32_t)(s->call * SCRIPT_ARGS + i) % SCRIPT_VIEWS;
}

static void push_record(struct script *s, uint32_t i, const struct msg *m)
{
    if (m->doc == NULL) {
        lua_pushnil(s->L);
        return;
    }
    uint32_t at = slot(s, i);
    s->views[at]->doc = m->doc;
    s->views[at]->call = s->call;
    lua_pushvalue(s->L, script_view_at(at));
}

static void push_rec(struct script *s)
{
    uint32_t at = slot(s, 0);
    s->recs[at]->msg = s->message;
    s->recs[at]->call = s->call;
    lua_pushvalue(s->L, script_rec_at(at));
}

// (function, arguments …) → its result. Arguments that need memory are nil so far.
static int call_with_values(lua_State *L)
{
    struct script *s = script_of(L);
    struct err e;
    struct value v;
    for (uint32_t i = 0; i < s->args_count; i++) {
        const struct fn_arg *a = &s->args[i];
        if (!needs_protection(a, &e))
            continue;
        if (a->kind == FN_VALUE)
            v = *a->value;
        else if (doc_value(a->msg->doc, &v, &e) != 0)
            return luaL_error(L, "%s", e.text);
        push_value(L, &v);
        lua_replace(L, 2 + (int)i);
    }
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int take_result(lua_State *L) // (result)
{
    struct script *s = script_of(L);
    pull_value(L, 1, s->result_arena, s->result);
    return 0;
}

// Function, arguments → result or error, on top.
static int run(struct script *s, const struct script_function *f, const struct fn_arg *args,
               uint32_t n)
{
    lua_State *L = s->L;
    struct err e;
    bool protect = false;
    s->message = NULL;
    for (uint32_t i = 0; i < n; i++) {
        protect |= needs_protection(&args[i], &e);
        if (args[i].kind == FN_MSG && s->message == NULL)
            s->message = args[i].msg;
    }
    if (protect)
        lua_pushcfunction(L, call_with_values);
    lua_pushvalue(L, script_function_at(f->index));
    for (uint32_t i = 0; i < n; i++) {
        if (args[i].kind == FN_VALUE)
            push_scalar(L, args[i].value);
        else
            push_record(s, i, args[i].msg);
    }
    if (s->message != NULL)
        push_rec(s);
    s->args = args;
    s->args_count = n;
    return lua_pcall(L, (int)n + (s->message != NULL) + protect, 1, 0);
}

// The result on top into *out. LUA_OK, or the status of the failure with its error on top.
static int take(struct script *s, const struct fn_arg *args, struct arena *arena, struct value *out,
                bool *same)
{
    lua_State *L = s->L;
    *out = value_null();
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        return LUA_OK;
    case LUA_TBOOLEAN:
        *out = value_bool(lua_toboolean(L, -1));
        return LUA_OK;
    case LUA_TNUMBER:
        *out = lua_isinteger(L, -1) ? value_int(lua_tointeger(L, -1))
                                    : value_double(lua_tonumber(L, -1));
        return LUA_OK;
    case LUA_TUSERDATA:
        if (same != NULL && lua_touserdata(L, -1) == s->views[slot(s, 0)] &&
            args[0].kind == FN_MSG && s->views[slot(s, 0)]->call == s->call) {
            *same = true;
            return LUA_OK;
        }
        break;
    default:
        break;
    }
    s->result = out;
    s->result_arena = arena;
    lua_pushcfunction(L, take_result);
    lua_insert(L, -2);
    int status = lua_pcall(L, 1, 0, 0);
    if (status == LUA_OK)
        lua_pushnil(L); // the caller pops one
    return status;
}

int call_function(struct fn *fn, const struct fn_arg *args, uint32_t n, struct arena *arena,
                  struct value *out, bool *same, struct err *e)
{
    const struct script_function *f = (const struct script_function *)fn;
    struct script *s = f->script;
    CHECK(n <= SCRIPT_ARGS);
    if (same != NULL)
        *same = false;
    s->call++;
    s->running = f;
    s->steps_left = SCRIPT_PATTERN_STEPS;
    watch_begin(&s->watch);
    int status = run(s, f, args, n);
    if (status == LUA_OK)
        status = take(s, args, arena, out, same);
    int rc = 0;
    if (status == LUA_OK)
        lua_pop(s->L, 1);
    else
        rc = sandbox_error(s, status, e);
    watch_end(&s->watch);
    s->running = NULL;
    s->call++; // views end here (I2)
    return rc;
}
