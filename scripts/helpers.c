// SPDX-License-Identifier: Apache-2.0
//
// Helpers: the functions of weir that are meant for records: times, hashes, JSON; and those of
// Lua's that must not differ between runs: math.random and pairs. None reads a clock.
#include "scripts/internal.h"

#include "base/hash.h"
#include "base/prng.h"
#include "base/text.h"

enum { DAY_MS = 86400000, HOUR_MS = 3600000 };

// --- time

static int64_t check_time(lua_State *L)
{
    if (lua_isinteger(L, 1))
        return lua_tointeger(L, 1);
    lua_Number n = luaL_checknumber(L, 1);
    luaL_argcheck(L, n > -9e15 && n < 9e15, 1, "a time in epoch milliseconds is expected");
    int64_t ms = (int64_t)n;
    return (lua_Number)ms > n ? ms - 1 : ms;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    int64_t m = a % b;
    return m < 0 ? m + b : m;
}

static int weir_hour(lua_State *L) // 0 … 23, UTC
{
    lua_pushinteger(L, floor_mod(check_time(L), DAY_MS) / HOUR_MS);
    return 1;
}

static int weir_day(lua_State *L) // days since 1970-01-01, UTC
{
    lua_pushinteger(L, floor_div(check_time(L), DAY_MS));
    return 1;
}

static int weir_weekday(lua_State *L) // 0 = Monday; 1970-01-01 was a Thursday
{
    lua_pushinteger(L, floor_mod(floor_div(check_time(L), DAY_MS) + 3, 7));
    return 1;
}

static int weir_parse_time(lua_State *L)
{
    size_t n;
    int64_t ms;
    const char *s = luaL_checklstring(L, 1, &n);
    if (text_time_ms(slice_of(s, n), &ms) != 0)
        return luaL_error(L,
                          "'%s' is not a time; write 2018-07-25, 2018-07-25T10:00:00Z or epoch "
                          "milliseconds",
                          s);
    lua_pushinteger(L, ms);
    return 1;
}

static int weir_format_time(lua_State *L)
{
    char out[32];
    lua_pushstring(L, text_time(check_time(L), out));
    return 1;
}

static int weir_duration(lua_State *L)
{
    struct err e;
    int64_t ms;
    if (text_duration_ms(luaL_checkstring(L, 1), &ms, &e) != 0)
        return luaL_error(L, "%s", e.text);
    lua_pushinteger(L, ms);
    return 1;
}

// --- values

static int weir_hash(lua_State *L) // of text or a number's text; the same everywhere, for ever
{
    size_t n;
    const char *s = luaL_checklstring(L, 1, &n);
    lua_pushinteger(L, (lua_Integer)hash_bytes(slice_of(s, n)));
    return 1;
}

static int weir_json_encode(lua_State *L)
{
    struct arena *a = &script_of(L)->scratch;
    struct value v;
    luaL_checkany(L, 1);
    arena_reset(a);
    pull_value(L, 1, a, &v);
    struct buf b;
    buf_init(&b);
    value_to_json(&v, &b);
    struct slice text = arena_slice(a, buf_slice(&b)); // Lua may raise below
    buf_release(&b);
    lua_pushlstring(L, (const char *)text.p, text.n);
    return 1;
}

static int weir_json_decode(lua_State *L)
{
    struct arena *a = &script_of(L)->scratch;
    size_t n;
    struct err e;
    struct value v;
    const char *s = luaL_checklstring(L, 1, &n);
    arena_reset(a);
    if (value_from_json(slice_of(s, n), a, &v, &e) != 0)
        return luaL_error(L, "%s", e.text);
    push_value(L, &v);
    return 1;
}

const luaL_Reg helpers_functions[] = {{"day", weir_day},
                                      {"duration", weir_duration},
                                      {"format_time", weir_format_time},
                                      {"hash", weir_hash},
                                      {"hour", weir_hour},
                                      {"json_decode", weir_json_decode},
                                      {"json_encode", weir_json_encode},
                                      {"parse_time", weir_parse_time},
                                      {"weekday", weir_weekday},
                                      {NULL, NULL}};

// --- random numbers: each call of a function begins anew, seeded by what it works on

static uint64_t call_seed(const struct script *s)
{
    uint64_t h = s->graph.app == NULL ? 0 : hash_bytes(slice_str(s->graph.app));
    h = hash_mix(h ^ (s->running == NULL ? 0 : s->running->index + 1));
    if (s->message != NULL) {
        const struct origin *o = &s->message->origin;
        h = hash_mix(h ^ ((uint64_t)o->topic << 32 | (uint32_t)o->partition));
        h = hash_mix(h ^ (uint64_t)o->offset);
        h = hash_mix(h ^ o->sequence);
    }
    return h;
}

static uint64_t random_u64(struct script *s)
{
    struct prng r = {s->random_state};
    if (s->random_call != s->call) {
        s->random_call = s->call;
        prng_init(&r, call_seed(s));
    }
    uint64_t n = prng_u64(&r);
    s->random_state = r.state;
    return n;
}

static int math_random(lua_State *L)
{
    uint64_t r = random_u64(script_of(L));
    lua_Integer low = 1, high;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, (lua_Number)(r >> 11) * 0x1.0p-53);
        return 1;
    case 1:
        high = luaL_checkinteger(L, 1);
        if (high == 0) {
            lua_pushinteger(L, (lua_Integer)r);
            return 1;
        }
        break;
    case 2:
        low = luaL_checkinteger(L, 1);
        high = luaL_checkinteger(L, 2);
        break;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
    luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
    uint64_t range = (uint64_t)high - (uint64_t)low + 1; // 0: all 64 bits
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + (range == 0 ? r : r % range)));
    return 1;
}

const luaL_Reg sandbox_random[] = {{"random", math_random}, {NULL, NULL}};

// --- pairs

enum rank { RANK_INTEGER, RANK_NUMBER, RANK_STRING, RANK_BOOLEAN };

struct key {
    enum rank rank;
    union {
        lua_Integer i; // also booleans
        lua_Number n;
        struct slice s;
    };
};

static int by_key(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->rank == RANK_STRING)
        return slice_cmp(a->s, b->s);
    if (a->rank == RANK_NUMBER)
        return (a->n > b->n) - (a->n < b->n);
    return (a->i > b->i) - (a->i < b->i);
}

static struct key key_at(lua_State *L, int index)
{
    size_t n;
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return (struct key){.rank = RANK_INTEGER, .i = lua_tointeger(L, index)};
        return (struct key){.rank = RANK_NUMBER, .n = lua_tonumber(L, index)};
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, index, &n);
        return (struct key){.rank = RANK_STRING, .s = slice_of(s, n)};
    }
    default:
        return (struct key){.rank = RANK_BOOLEAN, .i = lua_toboolean(L, index)};
    }
}

static void push_key(lua_State *L, const struct key *k)
{
    if (k->rank == RANK_INTEGER)
        lua_pushinteger(L, k->i);
    else if (k->rank == RANK_NUMBER)
        lua_pushnumber(L, k->n);
    else if (k->rank == RANK_STRING)
        lua_pushlstring(L, (const char *)k->s.p, k->s.n);
    else
        lua_pushboolean(L, (int)k->i);
}

static int pairs_next(lua_State *L) // upvalues: table, keys in order, position
{
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
    for (;;) {
        lua_settop(L, 0);
        if (lua_rawgeti(L, lua_upvalueindex(2), ++i) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, 1);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
            break; // else it was removed on the way
    }
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(3));
    return 2;
}

int helpers_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t n = 0, m = 0;
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1))
        n++;
    struct key *keys = lua_newuserdatauv(L, (n + 1) * sizeof(*keys), 0);
    lua_createtable(L, (int)n, 0);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        int type = lua_type(L, -2);
        if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN)
            return luaL_error(L, "pairs: a key of the table is a %s, which has no order",
                              lua_typename(L, type));
        keys[m++] = key_at(L, -2);
    }
    qsort(keys, m, sizeof(*keys), by_key);
    for (size_t i = 0; i < m; i++) {
        push_key(L, &keys[i]);
        lua_rawseti(L, 3, (lua_Integer)i + 1);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 3);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_next, 3);
    return 1;
}
