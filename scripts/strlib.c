// SPDX-License-Identifier: Apache-2.0
//
// Strlib: string.find, match, gmatch, gsub and rep, with the behaviour of Lua's own (manual, 6.4)
// but bounded: patterns by steps (pattern.h, one budget for all of a call), rep by the memory limit
// before it begins.
#include "scripts/internal.h"
#include "scripts/pattern.h"

struct text {
    const uint8_t *p, *end;
};

static struct text check_text(lua_State *L, int arg)
{
    size_t n;
    const char *s = luaL_checklstring(L, arg, &n);
    return (struct text){(const uint8_t *)s, (const uint8_t *)s + n};
}

static struct pattern prepare(lua_State *L, struct text subject, struct text pattern)
{
    return (struct pattern){.subject = subject.p,
                            .subject_end = subject.end,
                            .pattern_end = pattern.end,
                            .steps = &script_of(L)->steps_left};
}

static void raise_if(lua_State *L, const struct pattern *m)
{
    if (__builtin_expect(m->error != NULL, 0))
        luaL_error(L, m->error, m->argument);
}

// Pushes capture i; with none at all, capture 0 is the whole match [s, e).
static void push_capture(lua_State *L, const struct pattern *m, int i, const uint8_t *s,
                         const uint8_t *e)
{
    if (i >= m->captures_count) {
        if (i != 0)
            luaL_error(L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(L, (const char *)s, (size_t)(e - s));
        return;
    }
    const struct pattern_capture *c = &m->captures[i];
    if (c->n == PATTERN_POSITION)
        lua_pushinteger(L, c->at - m->subject + 1);
    else if (c->n == PATTERN_OPEN)
        luaL_error(L, "unfinished capture");
    else
        lua_pushlstring(L, (const char *)c->at, (size_t)c->n);
}

// All captures, or the whole match if there are none and `s` is given.
static int push_captures(lua_State *L, const struct pattern *m, const uint8_t *s, const uint8_t *e)
{
    int n = m->captures_count == 0 && s != NULL ? 1 : m->captures_count;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(L, m, i, s, e);
    return n;
}

// Position argument → offset from the start; may lie behind the end.
static size_t start_of(lua_State *L, int arg, size_t n)
{
    lua_Integer i = luaL_optinteger(L, arg, 1);
    if (i > 0)
        return (size_t)i - 1;
    if (i == 0 || i < -(lua_Integer)n)
        return 0;
    return n - (size_t)-i;
}

static bool is_plain(struct text p)
{
    for (; p.p < p.end; p.p++) {
        if (*p.p != 0 && strchr("^$*+?.([%-", *p.p) != NULL)
            return false;
    }
    return true;
}

static int find_plain(lua_State *L, struct text s, const uint8_t *from, struct text p)
{
    const uint8_t *at = memmem(from, (size_t)(s.end - from), p.p, (size_t)(p.end - p.p));
    if (at == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (p.end - p.p));
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    struct text s = check_text(L, 1), p = check_text(L, 2);
    size_t start = start_of(L, 3, (size_t)(s.end - s.p));
    if (start > (size_t)(s.end - s.p)) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(p)))
        return find_plain(L, s, s.p + start, p);
    bool anchored = p.p < p.end && *p.p == '^';
    p.p += anchored;
    struct pattern m = prepare(L, s, p);
    for (const uint8_t *at = s.p + start; at <= s.end; at++) {
        const uint8_t *e = pattern_match(&m, at, p.p);
        raise_if(L, &m);
        if (e != NULL && !find)
            return push_captures(L, &m, at, e);
        if (e != NULL) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, e - s.p);
            return push_captures(L, &m, NULL, NULL) + 2;
        }
        if (anchored)
            break;
    }
    lua_pushnil(L);
    return 1;
}

static int str_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int str_match(lua_State *L)
{
    return find_or_match(L, false);
}

// --- gmatch: upvalues subject, pattern, offset to go on at, end of the last match (-1: none)

static int gmatch_next(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(2));
    struct text s = check_text(L, 1), p = check_text(L, 2);
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct pattern m = prepare(L, s, p);
    for (lua_Integer i = lua_tointeger(L, lua_upvalueindex(3)); i <= s.end - s.p; i++) {
        const uint8_t *e = pattern_match(&m, s.p + i, p.p);
        raise_if(L, &m);
        if (e == NULL || e - s.p == last)
            continue;
        lua_pushinteger(L, e - s.p);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &m, s.p + i, e);
    }
    lua_pushinteger(L, s.end - s.p + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int str_gmatch(lua_State *L)
{
    struct text s = check_text(L, 1);
    check_text(L, 2);
    size_t n = (size_t)(s.end - s.p), start = start_of(L, 3, n);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(start > n ? n + 1 : start));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

// --- gsub

// A replacement text: "%0" … "%9" are captures, "%%" a percent sign.
static void add_text(lua_State *L, luaL_Buffer *b, const struct pattern *m, const uint8_t *s,
                     const uint8_t *e)
{
    struct text r;
    size_t n;
    r.p = (const uint8_t *)lua_tolstring(L, 3, &n);
    r.end = r.p + n;
    for (; r.p < r.end; r.p++) {
        if (*r.p != '%') {
            luaL_addchar(b, (char)*r.p);
            continue;
        }
        uint8_t c = ++r.p < r.end ? *r.p : 0;
        if (c == '%') {
            luaL_addchar(b, '%');
        } else if (c == '0') {
            luaL_addlstring(b, (const char *)s, (size_t)(e - s));
        } else if (c >= '1' && c <= '9') {
            push_capture(L, m, c - '1', s, e);
            luaL_tolstring(L, -1, NULL); // a position is a number
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

// Adds what takes the place of the match; true if it differs from it.
static bool add_replacement(lua_State *L, luaL_Buffer *b, const struct pattern *m, const uint8_t *s,
                            const uint8_t *e)
{
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, m, s, e), 1);
        break;
    case LUA_TTABLE:
        push_capture(L, m, 0, s, e);
        lua_gettable(L, 3);
        break;
    default:
        add_text(L, b, m, s, e);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, (const char *)s, (size_t)(e - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int str_gsub(lua_State *L)
{
    struct text s = check_text(L, 1), p = check_text(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)(s.end - s.p) + 1), n = 0;
    bool anchored = p.p < p.end && *p.p == '^', changed = false;
    p.p += anchored;
    struct pattern m = prepare(L, s, p);
    const uint8_t *at = s.p, *last = NULL;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < max) {
        const uint8_t *e = pattern_match(&m, at, p.p);
        raise_if(L, &m);
        if (e != NULL && e != last) {
            n++;
            changed |= add_replacement(L, &b, &m, at, e);
            at = last = e;
        } else if (at < s.end) {
            luaL_addchar(&b, (char)*at++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        luaL_addlstring(&b, (const char *)at, (size_t)(s.end - at));
        luaL_pushresult(&b);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

static int str_rep(lua_State *L)
{
    size_t n, between;
    const char *s = luaL_checklstring(L, 1, &n), *sep = luaL_optlstring(L, 3, "", &between);
    lua_Integer times = luaL_checkinteger(L, 2);
    size_t max = script_of(L)->memory_max;
    if (times <= 0 || n + between == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((uint64_t)times > max / (n + between))
        return luaL_error(L, "resulting string too large");
    size_t total = (size_t)times * n + ((size_t)times - 1) * between;
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, total);
    for (lua_Integer i = 0; i < times; i++) {
        memcpy(to, s, n);
        to += n;
        if (i + 1 < times)
            memcpy(to, sep, between);
        to += i + 1 < times ? between : 0;
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

const luaL_Reg strlib_functions[] = {{"find", str_find}, {"gmatch", str_gmatch},
                                     {"gsub", str_gsub}, {"match", str_match},
                                     {"rep", str_rep},   {NULL, NULL}};
