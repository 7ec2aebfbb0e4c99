// SPDX-License-Identifier: Apache-2.0
//
// Testfile expectations: compares what came out of a topic with what a case wants, and says where
// they differ. Only the fields that the case names are compared.
#include <lauxlib.h>

#include "base/text.h"
#include "scripts/testfile_case.h"

struct expectation {
    lua_State *l;
    const char *topic;
    bool substrings; // texts need only contain what is wanted
    bool told;       // where it was said
};

struct records {
    struct testfile_record *items;
    uint32_t count;
};

static FILE *out(lua_State *l)
{
    return testfile_self(l)->to;
}

// Before the first difference: the case, the line of the expectation, the topic.
static void tell(struct expectation *e)
{
    if (e->told)
        return;
    e->told = true;
    testfile_fail_line(testfile_self(e->l));
    luaL_where(e->l, 1);
    fprintf(out(e->l), "      %s%s\n", lua_tostring(e->l, -1), e->topic);
    lua_pop(e->l, 1);
}

static void print_value(lua_State *l, const char *label, const struct value *v)
{
    struct buf b;
    buf_init(&b);
    value_to_json(v, &b);
    fprintf(out(l), "          %-9s%.*s\n", label, (int)b.n, (const char *)b.p);
    buf_release(&b);
}

static bool contains(struct slice text, struct slice part)
{
    return part.n == 0 || (text.n >= part.n && memmem(text.p, text.n, part.p, part.n) != NULL);
}

static bool agrees(const struct expectation *e, const struct value *want, const struct value *got)
{
    if (e->substrings && want->type == VALUE_STRING && got->type == VALUE_STRING)
        return contains(got->s, want->s);
    if (want->type == VALUE_MAP && got->type == VALUE_MAP) {
        static const struct value null;
        for (uint32_t i = 0; i < want->count; i++) {
            const struct value *g = testfile_field(got, want->keys[i]);
            if (!agrees(e, &want->items[i], g == NULL ? &null : g))
                return false;
        }
        return true;
    }
    return value_eq(want, got);
}

struct fields {
    const struct value *map;
    struct arena *arena;
};

static const char *field_name(void *arg, int i)
{
    const struct fields *f = arg;
    if (i >= (int)f->map->count)
        return NULL;
    char *name = arena_alloc(f->arena, (size_t)f->map->keys[i].n + 1);
    memcpy(name, f->map->keys[i].p, f->map->keys[i].n);
    name[f->map->keys[i].n] = 0;
    return name;
}

static void print_missing(struct expectation *e, struct slice name, const struct value *got)
{
    char text[256];
    struct fields fields = {got, &testfile_self(e->l)->arena};
    snprintf(text, sizeof(text), "%.*s", (int)name.n, (const char *)name.p);
    const char *near = text_nearest(text, field_name, &fields);
    fprintf(out(e->l), "          %-9sno such field%s%s%s\n", "got",
            near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
            near == NULL ? "" : "'?");
}

static void compare(struct expectation *e, uint32_t number, const struct value *want,
                    const struct value *got)
{
    if (agrees(e, want, got))
        return;
    tell(e);
    if (want->type != VALUE_MAP || got->type != VALUE_MAP) {
        fprintf(out(e->l), "        record %u\n", number);
        print_value(e->l, "expected", want);
        print_value(e->l, "got", got);
        return;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        const struct value *g = testfile_field(got, want->keys[i]);
        static const struct value null;
        if (agrees(e, &want->items[i], g == NULL ? &null : g))
            continue;
        fprintf(out(e->l), "        record %u, field %.*s\n", number, (int)want->keys[i].n,
                (const char *)want->keys[i].p);
        print_value(e->l, "expected", &want->items[i]);
        if (g == NULL)
            print_missing(e, want->keys[i], got);
        else
            print_value(e->l, "got", g);
    }
    print_value(e->l, "of", got);
}

// --- reading -----------------------------------------------------------------------------------

// `topic` NULL: the dead letters.
static struct records take_all(lua_State *l, const char *topic)
{
    struct runner *r = testfile_self(l);
    struct records all = {NULL, 0};
    uint32_t room = 0;
    struct testfile_record rec;
    struct err err;
    int got;
    while ((got = r->host->take(r->host->arg, topic, &r->arena, &rec, &err)) == 1) {
        if (all.count == room) {
            room = room == 0 ? 16 : room * 2;
            struct testfile_record *grown = arena_alloc(&r->arena, room * sizeof(*grown));
            if (all.count != 0)
                memcpy(grown, all.items, all.count * sizeof(*grown));
            all.items = grown;
        }
        all.items[all.count++] = rec;
    }
    if (got < 0)
        testfile_raise(l, &err);
    return all;
}

static struct records wanted(lua_State *l, int index)
{
    struct runner *r = testfile_self(l);
    luaL_checktype(l, index, LUA_TTABLE);
    if (lua_rawlen(l, index) == 0 && (lua_pushnil(l), lua_next(l, index) != 0))
        luaL_error(l, "a list of records is expected: { { id = 1 }, … }, even for one");
    struct records all = {NULL, (uint32_t)lua_rawlen(l, index)};
    all.items = arena_alloc(&r->arena, sizeof(*all.items) * (all.count + 1));
    for (uint32_t i = 0; i < all.count; i++) {
        lua_rawgeti(l, index, (lua_Integer)i + 1);
        all.items[i] = (struct testfile_record){.partition = -1};
        testfile_to_value(l, lua_gettop(l), &r->arena, &all.items[i].value);
        lua_pop(l, 1);
    }
    return all;
}

// --- expectations ------------------------------------------------------------------------------

static void in_order(struct expectation *e, const struct records *want, const struct records *got)
{
    uint32_t both = want->count < got->count ? want->count : got->count;
    for (uint32_t i = 0; i < both; i++)
        compare(e, i + 1, &want->items[i].value, &got->items[i].value);
    for (uint32_t i = both; i < want->count; i++) {
        tell(e);
        fprintf(out(e->l), "        record %u is missing: expected %u, got %u\n", i + 1,
                want->count, got->count);
        print_value(e->l, "expected", &want->items[i].value);
    }
    for (uint32_t i = both; i < got->count; i++) {
        tell(e);
        fprintf(out(e->l), "        record %u is one too many: expected %u, got %u\n", i + 1,
                want->count, got->count);
        print_value(e->l, "got", &got->items[i].value);
    }
}

static void any_order(struct expectation *e, const struct records *want, const struct records *got)
{
    bool *used = arena_alloc(&testfile_self(e->l)->arena, got->count + 1);
    memset(used, 0, got->count + 1);
    for (uint32_t i = 0; i < want->count; i++) {
        uint32_t k = 0;
        while (k < got->count &&
               (used[k] || !agrees(e, &want->items[i].value, &got->items[k].value)))
            k++;
        if (k < got->count) {
            used[k] = true;
            continue;
        }
        tell(e);
        fprintf(out(e->l), "        no record (of %u) is like\n", got->count);
        print_value(e->l, "expected", &want->items[i].value);
    }
    for (uint32_t k = 0; k < got->count; k++) {
        if (used[k])
            continue;
        tell(e);
        fprintf(out(e->l), "        a record that was not expected\n");
        print_value(e->l, "got", &got->items[k].value);
    }
}

// t:expect(topic, records [, { any_order = true }])
int testfile_expect(lua_State *l)
{
    static const char *const names[] = {"any_order", NULL};
    const char *topic = luaL_checkstring(l, 2);
    char title[300];
    bool any = false;
    snprintf(title, sizeof(title), "topic %s", topic);
    struct expectation e = {.l = l, .topic = title};
    testfile_start(l);
    if (lua_istable(l, 4)) {
        testfile_check_options(l, 4, "t:expect", names);
        lua_getfield(l, 4, "any_order");
        any = lua_toboolean(l, -1) != 0;
        lua_pop(l, 1);
    }
    struct records want = wanted(l, 3), got = take_all(l, topic);
    if (any)
        any_order(&e, &want, &got);
    else
        in_order(&e, &want, &got);
    return 0;
}

// t:expect_dead_letters{ { cause = "negative", where = "app.lua:7" } }: texts by substring.
int testfile_expect_dead_letters(lua_State *l)
{
    struct expectation e = {.l = l, .topic = "dead letters", .substrings = true};
    testfile_start(l);
    struct records want = wanted(l, 2), got = take_all(l, NULL);
    in_order(&e, &want, &got);
    return 0;
}

void testfile_check_dead_letters(lua_State *l)
{
    struct runner *r = testfile_self(l);
    if (!r->started)
        return;
    struct records got = take_all(l, NULL);
    for (uint32_t i = 0; i < got.count; i++) {
        if (i == 0) {
            testfile_fail_line(r);
            fprintf(r->to, "      dead letters that the case does not expect "
                           "(t:expect_dead_letters{ { cause = \"…\" } })\n");
        }
        print_value(l, "got", &got.items[i].value);
    }
}

// All records so far, as a list of { key, time, partition, value }.
int testfile_take(lua_State *l)
{
    const char *topic = luaL_checkstring(l, 2);
    testfile_start(l);
    struct records all = take_all(l, topic);
    lua_newtable(l);
    for (uint32_t i = 0; i < all.count; i++) {
        const struct testfile_record *rec = &all.items[i];
        lua_newtable(l);
        if (rec->key.p != NULL) {
            lua_pushlstring(l, (const char *)rec->key.p, rec->key.n);
            lua_setfield(l, -2, "key");
        }
        lua_pushinteger(l, rec->time);
        lua_setfield(l, -2, "time");
        lua_pushinteger(l, rec->partition);
        lua_setfield(l, -2, "partition");
        testfile_push_value(l, &rec->value);
        lua_setfield(l, -2, "value");
        lua_rawseti(l, -2, (lua_Integer)i + 1);
    }
    return 1;
}
