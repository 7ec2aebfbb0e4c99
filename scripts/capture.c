// SPDX-License-Identifier: Apache-2.0
//
// Capture: looks at what user functions hold on to. State in a table or a variable between records
// would be lost at a restart and would differ between tasks, so it is refused when the script
// loads: captured tables, captured variables that are assigned to, globals that are tables.
// Numbers, texts, booleans, weir's own objects, weir.const tables, and functions that pass the same
// test are fine. What the look at the text misses, the sandbox catches when it is used.
#include "scripts/internal.h"

static const char advice[] = "it would be state that is lost at a restart and differs between "
                             "tasks; keep it in a store (:aggregate, :table), or make a constant "
                             "with weir.const{…}";

struct capture {
    struct script *s;
    lua_State *L;
    int seen;      // stack index: functions looked at
    uint32_t line; // of the user function at hand, for messages
};

static void check_function(struct capture *c, int index, int depth);

static void check_value(struct capture *c, int index, const char *what, const char *name, int depth)
{
    int type = lua_type(c->L, index);
    if (type == LUA_TTABLE && dsl_kind(c->L, index) == NULL)
        dsl_fail(c->s, c->line, "the function %s the table '%s': %s", what, name, advice);
    if (type == LUA_TFUNCTION && !lua_iscfunction(c->L, index))
        check_function(c, index, depth + 1);
}

static void check_upvalues(struct capture *c, int index, const struct scan_function *text,
                           int depth)
{
    const char *name;
    for (int i = 1; (name = lua_getupvalue(c->L, index, i)) != NULL; i++) {
        uint32_t line;
        int at = lua_gettop(c->L);
        if (text != NULL && strcmp(name, "_ENV") != 0 &&
            reads_assigns(&c->s->scan, text, slice_str(name), &line))
            dsl_fail(c->s, line, "the function changes '%s', a variable outside of it: %s", name,
                     advice);
        check_value(c, at, "captures", name, depth);
        lua_settop(c->L, at - 1);
    }
}

static void check_globals(struct capture *c, const struct scan_function *text, int depth)
{
    const struct token *tokens = c->s->scan.tokens;
    for (uint32_t i = text->first + 1; i < text->last; i++) {
        int top = lua_gettop(c->L);
        if (tokens[i].type != TOKEN_NAME || token_is(&tokens[i - 1], ".") ||
            token_is(&tokens[i - 1], ":") || !sandbox_global(c->L, tokens[i].text))
            continue;
        lua_pushlstring(c->L, (const char *)tokens[i].text.p, tokens[i].text.n);
        check_value(c, top + 1, "uses", lua_tostring(c->L, -1), depth);
        lua_settop(c->L, top);
    }
}

static void check_function(struct capture *c, int index, int depth)
{
    lua_Debug ar;
    luaL_checkstack(c->L, 16, "functions");
    lua_pushvalue(c->L, index);
    if (lua_rawget(c->L, c->seen) != LUA_TNIL || depth > 100) {
        lua_pop(c->L, 1);
        return;
    }
    lua_pop(c->L, 1);
    lua_pushvalue(c->L, index);
    lua_pushboolean(c->L, 1);
    lua_rawset(c->L, c->seen);
    lua_pushvalue(c->L, index);
    lua_getinfo(c->L, ">S", &ar);
    if (strcmp(ar.source + 1, c->s->name) != 0)
        return; // one of weir's own
    const struct scan_function *text =
        scan_function_at(&c->s->scan, (uint32_t)ar.linedefined, (uint32_t)ar.lastlinedefined);
    check_upvalues(c, index, text, depth);
    if (text != NULL)
        check_globals(c, text, depth);
}

void capture_check(struct script *s)
{
    lua_newtable(s->L);
    struct capture c = {s, s->L, lua_gettop(s->L), 0};
    for (uint32_t i = 0; i < s->functions_count; i++) {
        c.line = s->functions[i]->line;
        dsl_push_function(s, i);
        check_function(&c, lua_gettop(s->L), 0);
        lua_pop(s->L, 1);
    }
    lua_pop(s->L, 1);
}
