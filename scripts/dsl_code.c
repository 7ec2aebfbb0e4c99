// SPDX-License-Identifier: Apache-2.0
//
// The DSL's own source, compiled once per process: every task loads a script of its own, and
// parsing the DSL took most of that. Any thread; the code is immutable once made.
#include <pthread.h>

#include "scripts/internal.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct buf code; // lives as long as the process

static int put(lua_State *l, const void *p, size_t n, void *arg)
{
    (void)l;
    buf_put(arg, p, (uint32_t)n);
    return 0;
}

static void compile(void)
{
    lua_State *l = luaL_newstate();
    CHECK(l != NULL);
    CHECK(luaL_loadbufferx(l, dsl_source, dsl_source_size, "=weir", "t") == LUA_OK);
    buf_init(&code);
    CHECK(lua_dump(l, put, &code, 0) == 0);
    lua_close(l);
}

struct slice dsl_code(void)
{
    pthread_once(&once, compile);
    return buf_slice(&code);
}
