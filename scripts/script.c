// SPDX-License-Identifier: Apache-2.0
#include "scripts/internal.h"

#include "base/hash.h"

#include <errno.h>

static int read_file(const char *path, struct arena *a, struct slice *out, struct err *e)
{
    enum { SOURCE_MAX = 8 << 20 };
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return err_io(e, "cannot read the script %s", path);
    uint32_t n = 0, size = 16384;
    uint8_t *p = check_alloc(malloc(size));
    while (!feof(f) && !ferror(f) && n < SOURCE_MAX) {
        if (n == size)
            p = check_alloc(realloc(p, size *= 2));
        n += (uint32_t)fread(p + n, 1, size - n, f);
    }
    bool failed = ferror(f);
    fclose(f);
    *out = arena_slice(a, slice_of(p, n));
    free(p);
    if (failed)
        return err_io(e, "cannot read the script %s", path);
    if (n >= SOURCE_MAX)
        return err_set(e, ERR_LIMIT, "the script %s is larger than 8 MB", path);
    return 0;
}

// What messages call the script: the path, unless Lua would cut it.
static const char *short_name(const char *path)
{
    enum { NAME_MAX_BYTES = 55 };
    if (strlen(path) <= NAME_MAX_BYTES)
        return path;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t n = strlen(name);
    return n <= NAME_MAX_BYTES ? name : name + n - NAME_MAX_BYTES;
}

static int load_protected(lua_State *L)
{
    struct script *s = script_of(L);
    dsl_open(s);
    sandbox_open(s); // takes the module, leaves the environment
    char chunk[80];
    snprintf(chunk, sizeof(chunk), "@%s", s->name);
    if (luaL_loadbufferx(L, (const char *)s->source.p, s->source.n, chunk, "t") != LUA_OK)
        return lua_error(L);
    scan_init(&s->scan, &s->arena, s->source);
    lua_insert(L, -2);
    CHECK(lua_setupvalue(L, -2, 1) != NULL);
    lua_call(L, 0, 0);
    s->line = 0;
    dsl_finish(s);
    dsl_check_params(s);
    graph_build(s);
    capture_check(s);
    return 0;
}

static int open_views(lua_State *L)
{
    view_open(script_of(L));
    return 2 * SCRIPT_VIEWS;
}

// Puts views and functions at their places.
static int settle(struct script *s, struct err *e)
{
    lua_State *L = s->L;
    if (!lua_checkstack(L, (int)s->functions_count + 2 * SCRIPT_VIEWS + 64))
        return err_set(e, ERR_LIMIT, "%s: %u functions are more than an interpreter holds", s->name,
                       s->functions_count);
    lua_pushcfunction(L, open_views);
    int status = lua_pcall(L, 0, LUA_MULTRET, 0);
    if (status != LUA_OK)
        return sandbox_error(s, status, e);
    for (uint32_t i = 0; i < s->functions_count; i++)
        dsl_push_function(s, i);
    return 0;
}

static int load(struct script *s, struct err *e)
{
    lua_State *L = s->L;
    s->loading = true;
    s->steps_left = SCRIPT_PATTERN_STEPS;
    lua_pushcfunction(L, load_protected);
    watch_begin(&s->watch);
    int status = lua_pcall(L, 0, 0, 0);
    int rc = status == LUA_OK ? 0 : sandbox_error(s, status, e);
    watch_end(&s->watch);
    s->loading = false;
    s->options = NULL;
    arena_reset(&s->scratch);
    if (rc != 0)
        return rc;
    s->hash = graph_build_hash(&s->graph);
    return settle(s, e);
}

int script_load(const char *path, const char *source, const struct script_options *o,
                struct script **out, struct err *e)
{
    struct script *s = check_alloc(calloc(1, sizeof(*s)));
    arena_init(&s->arena);
    arena_init(&s->scratch);
    s->path = arena_str(&s->arena, path);
    s->name = short_name(s->path);
    s->options = o;
    s->memory_max = o != NULL && o->memory_bytes != 0 ? o->memory_bytes : SCRIPT_MEMORY;
    int64_t call_ms = o != NULL && o->call_ms != 0 ? o->call_ms : SCRIPT_CALL_MS;
    int rc = 0;
    if (source != NULL)
        s->source = arena_slice(&s->arena, slice_str(source));
    else
        rc = read_file(path, &s->arena, &s->source, e);
    if (rc == 0 && (s->L = sandbox_state(s)) == NULL)
        rc = err_set(e, ERR_LIMIT, "%s: the memory limit is too low to start an interpreter",
                     s->name);
    if (rc == 0) {
        watch_add(&s->watch, s->L, call_ms);
        rc = load(s, e);
    }
    if (rc != 0) {
        if (e->code == ERR_SCRIPT)
            e->code = ERR_INVALID; // the script is wrong, not a record
        script_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void script_free(struct script *s)
{
    if (s == NULL)
        return;
    if (s->L != NULL) {
        watch_remove(&s->watch);
        lua_close(s->L);
    }
    for (uint32_t i = 0; i < s->codecs_count; i++)
        codec_free(s->codecs[i]);
    free(s->codecs);
    free(s->functions);
    free(s->fields);
    arena_release(&s->scratch);
    arena_release(&s->arena);
    free(s);
}

const struct graph *script_graph(const struct script *s)
{
    return &s->graph;
}

struct fn *script_fn(struct script *s, uint32_t index)
{
    CHECK(index < s->functions_count);
    return &s->functions[index]->fn;
}

uint32_t script_fn_count(const struct script *s)
{
    return s->functions_count;
}

uint64_t script_graph_hash(const struct script *s)
{
    return s->hash;
}
