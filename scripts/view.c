// SPDX-License-Identifier: Apache-2.0
//
// View: a record as a function sees it: `t.amount` decodes that field and no other, `t.x = 1` (in
// :map) sets it beside the untouched bytes. A few userdata per interpreter are lent in turn; one
// that a function kept is noticed by its call number and raises.
//
// Field names come as Lua's interned strings, so a name is looked up by its address: one multiply
// and one compare. The strings are kept alive in the registry; past SCRIPT_FIELDS / 2 names the
// slower way is taken, as they must come from data.
#include "scripts/internal.h"

#include "base/text.h"

static char key_view, key_rec, key_names; // registry: metatables; field names kept alive

static struct view *check_view(lua_State *L)
{
    struct view *v = lua_touserdata(L, 1);
    if (__builtin_expect(v->call != v->script->call, 0))
        luaL_error(L, "this record was kept after the function that got it returned; its memory is "
                      "gone by then. Copy what you need: t:copy()");
    return v;
}

// --- field names

static struct field_ref *name_slot(struct script *s, const char *key)
{
    uintptr_t h = (uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - 10);
    _Static_assert(SCRIPT_FIELDS == 1 << 10, "slots follow from ten bits");
    for (;; h = (h + 1) & (SCRIPT_FIELDS - 1)) {
        struct field_slot *slot = &s->fields[h];
        if (slot->key == key)
            return &slot->ref;
        if (slot->key == NULL)
            return NULL;
    }
}

// Keeps the string at stack place 2 and its ref.
static struct field_ref *name_add(lua_State *L, struct script *s, const char *key, size_t n)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_names);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, s->fields_count + 1);
    lua_pop(L, 1);
    uintptr_t h = (uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - 10);
    while (s->fields[h].key != NULL)
        h = (h + 1) & (SCRIPT_FIELDS - 1);
    s->fields[h].key = key;
    s->fields[h].ref = field_ref_of(slice_of(key, n), NULL);
    s->fields_count++;
    return &s->fields[h].ref;
}

// The ref of the name at stack place 2; *spare holds it if there is no slot.
static struct field_ref *name_ref(lua_State *L, struct view *v, struct field_ref *spare)
{
    size_t n;
    if (__builtin_expect(lua_type(L, 2) != LUA_TSTRING, 0))
        luaL_error(L, "a record has named fields, there is none at [%s]",
                   luaL_tolstring(L, 2, NULL));
    const char *key = lua_tolstring(L, 2, &n);
    struct field_ref *ref = name_slot(v->script, key);
    if (__builtin_expect(ref != NULL, 1))
        return ref;
    if (v->script->fields_count < SCRIPT_FIELDS / 2)
        return name_add(L, v->script, key, n);
    *spare = field_ref_of(arena_slice(v->doc->arena, slice_of(key, n)), NULL);
    return spare;
}

// --- reading and writing fields

static int copy_method(lua_State *L) // t:copy() → a plain table
{
    if (luaL_testudata(L, 1, "weir.record") == NULL)
        return luaL_error(L, "copy is called with a colon on a record: t:copy()");
    struct view *v = check_view(L);
    struct err e;
    struct value whole;
    if (doc_value(v->doc, &whole, &e) != 0)
        return luaL_error(L, "%s", e.text);
    push_value(L, &whole);
    return 1;
}

// A null that may be a misspelt name.
static int missing_field(lua_State *L, struct view *v, const struct field_ref *ref)
{
    struct err e;
    const char *name = lua_tostring(L, 2);
    if (strcmp(name, "copy") == 0 && !doc_has(v->doc, ref, &e)) {
        lua_pushcfunction(L, copy_method);
        return 1;
    }
    const struct schema *schema = v->doc->codec == NULL ? NULL : v->doc->codec->schema;
    if (schema != NULL && schema_find(schema, ref->name) < 0 && !doc_has(v->doc, ref, &e)) {
        const char *near = schema_nearest(schema, name);
        return luaL_error(L, "no field '%s' in %s%s%s%s", name, schema->name,
                          near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                          near == NULL ? "" : "'?");
    }
    lua_pushnil(L);
    return 1;
}

static int view_index(lua_State *L)
{
    struct view *v = check_view(L);
    struct field_ref spare, *ref = name_ref(L, v, &spare);
    struct value value;
    struct err e;
    if (__builtin_expect(doc_get(v->doc, ref, &value, &e) != 0, 0))
        return luaL_error(L, "%s", e.text);
    switch (value.type) {
    case VALUE_DOUBLE:
        lua_pushnumber(L, value.d);
        return 1;
    case VALUE_INT:
        lua_pushinteger(L, value.i);
        return 1;
    case VALUE_NULL:
        return missing_field(L, v, ref);
    default:
        push_value(L, &value);
        return 1;
    }
}

static int view_newindex(lua_State *L)
{
    struct view *v = check_view(L);
    struct field_ref spare, *ref = name_ref(L, v, &spare);
    if (!v->script->running->writes)
        return luaL_error(L,
                          "fields can be set in :map only; add one with :with{ %s = function(t) "
                          "… end }",
                          lua_tostring(L, 2));
    if (lua_isnil(L, 3)) {
        doc_remove(v->doc, ref);
        return 0;
    }
    struct value value;
    pull_value(L, 3, v->doc->arena, &value);
    doc_set(v->doc, ref, &value);
    return 0;
}

// --- the whole record

static int view_next(lua_State *L) // upvalues: view, position
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    struct view *v = check_view(L);
    uint32_t i = (uint32_t)lua_tointeger(L, lua_upvalueindex(2));
    struct slice name;
    struct value value;
    struct err e;
    do { // a null would end nothing here, but reads as an absent field
        int rc = doc_field_at(v->doc, i++, &name, &value, &e);
        if (rc < 0)
            return luaL_error(L, "%s", e.text);
        if (rc == 0)
            return 0;
    } while (value.type == VALUE_NULL);
    lua_pushinteger(L, i);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushlstring(L, (const char *)name.p, name.n);
    push_value(L, &value);
    return 2;
}

static int view_pairs(lua_State *L)
{
    check_view(L);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, view_next, 2);
    return 1;
}

static int view_tostring(lua_State *L)
{
    struct view *v = check_view(L);
    struct value whole;
    struct err e;
    if (doc_value(v->doc, &whole, &e) != 0)
        return luaL_error(L, "%s", e.text);
    // Made with a buffer of C, which must not leak when Lua raises: hence the copy in the arena.
    struct buf b;
    buf_init(&b);
    value_to_json(&whole, &b);
    struct slice text = arena_slice(v->doc->arena, buf_slice(&b));
    buf_release(&b);
    lua_pushlstring(L, (const char *)text.p, text.n);
    return 1;
}

// --- rec

static const struct msg *check_rec(lua_State *L, struct rec_view *v)
{
    if (v->call != v->script->call)
        luaL_error(L, "rec was kept after the function that got it returned; copy the fields you "
                      "need");
    return v->msg;
}

static void push_bytes(lua_State *L, struct slice s)
{
    if (s.p == NULL)
        lua_pushnil(L);
    else
        lua_pushlstring(L, (const char *)s.p, s.n);
}

// Header name → value; of equal names the last one counts.
static void push_headers(lua_State *L, const struct rec *rec)
{
    lua_newtable(L);
    if (rec == NULL)
        return;
    struct cur c = cur_of(rec->headers);
    for (uint32_t i = 0; i < rec->header_count; i++) {
        int64_t n = cur_varint(&c);
        const uint8_t *key = n < 0 ? NULL : cur_take(&c, (uint64_t)n);
        int64_t m = cur_varint(&c);
        const uint8_t *value = m < 0 ? NULL : cur_take(&c, (uint64_t)m);
        if (c.failed)
            luaL_error(L, "the headers of this record are damaged");
        if (key == NULL || value == NULL)
            continue;
        lua_pushlstring(L, (const char *)key, (size_t)n);
        lua_pushlstring(L, (const char *)value, (size_t)m);
        lua_rawset(L, -3);
    }
}

static int rec_index(lua_State *L)
{
    static const char *const names[] = {"key",       "time",   "headers", "topic",
                                        "partition", "offset", NULL};
    const struct msg *m = check_rec(L, lua_touserdata(L, 1));
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    int i = 0;
    while (names[i] != NULL && strcmp(names[i], name) != 0)
        i++;
    switch (i) {
    case 0:
        push_bytes(L, m->key);
        return 1;
    case 1:
        lua_pushinteger(L, m->time);
        return 1;
    case 2:
        push_headers(L, m->rec);
        return 1;
    case 3:
        lua_pushstring(L, m->topic);
        return 1;
    case 4:
        lua_pushinteger(L, m->partition);
        return 1;
    case 5:
        if (m->rec == NULL)
            lua_pushnil(L);
        else
            lua_pushinteger(L, m->rec->offset);
        return 1;
    default:
        break;
    }
    const char *near = text_nearest_of(name, names);
    return luaL_error(L,
                      "rec has no '%s'%s%s%s (it has key, time, headers, topic, partition, "
                      "offset)",
                      name, near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                      near == NULL ? "" : "'?");
}

static int rec_newindex(lua_State *L)
{
    return luaL_error(L, "rec cannot be changed; a new key is set by :key_by");
}

// --- lending

static void make_metatable(lua_State *L, const char *name, const luaL_Reg *functions, void *key)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, functions, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void view_open(struct script *s)
{
    static const luaL_Reg view_functions[] = {{"__index", view_index},
                                              {"__newindex", view_newindex},
                                              {"__pairs", view_pairs},
                                              {"__tostring", view_tostring},
                                              {NULL, NULL}};
    static const luaL_Reg rec_functions[] = {
        {"__index", rec_index}, {"__newindex", rec_newindex}, {NULL, NULL}};
    lua_State *L = s->L;
    make_metatable(L, "weir.record", view_functions, &key_view);
    make_metatable(L, "weir.rec", rec_functions, &key_rec);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_names);
    s->fields = check_alloc(calloc(SCRIPT_FIELDS, sizeof(*s->fields)));
    luaL_checkstack(L, 2 * SCRIPT_VIEWS + 4, "views");
    for (uint32_t i = 0; i < SCRIPT_VIEWS; i++) {
        s->views[i] = lua_newuserdatauv(L, sizeof(struct view), 0);
        *s->views[i] = (struct view){.script = s, .call = UINT64_MAX};
        lua_rawgetp(L, LUA_REGISTRYINDEX, &key_view);
        lua_setmetatable(L, -2);
    }
    for (uint32_t i = 0; i < SCRIPT_VIEWS; i++) {
        s->recs[i] = lua_newuserdatauv(L, sizeof(struct rec_view), 0);
        *s->recs[i] = (struct rec_view){.script = s, .call = UINT64_MAX};
        lua_rawgetp(L, LUA_REGISTRYINDEX, &key_rec);
        lua_setmetatable(L, -2);
    }
}

struct view *view_at(lua_State *L, int index)
{
    struct view *v = luaL_testudata(L, index, "weir.record");
    if (v != NULL && v->call != v->script->call)
        luaL_error(L, "a record was kept after the function that got it returned; copy it: "
                      "t:copy()");
    return v;
}

bool view_is_record(struct doc *d, struct err *e)
{
    if (d->indexed)
        return !d->whole;
    enum format f = d->codec == NULL ? FORMAT_JSON : d->codec->format;
    if (f == FORMAT_AVRO || f == FORMAT_CSV)
        return true;
    // JSON: a record begins with a brace; anything else is looked at properly.
    uint32_t i = 0;
    while (f == FORMAT_JSON && i < d->raw.n && strchr(" \t\r\n", d->raw.p[i]) != NULL &&
           d->raw.p[i] != 0)
        i++;
    if (f == FORMAT_JSON && i < d->raw.n && d->raw.p[i] == '{')
        return true;
    struct field_ref none = field_ref_of(slice_of("", 0), NULL);
    return !doc_has(d, &none, e) && d->indexed && !d->whole;
}
