// SPDX-License-Identifier: Apache-2.0
//
// What the files of scripts/ share: the interpreter and everything around it.
//
// Who does what: script.c loads and frees; scan.c and reads.c read the script's text; dsl.c gives
// weir_*.lua its bindings; graph_build.c turns what they gathered into the graph; capture.c checks
// what functions hold on to; sandbox.c makes the globals and bounds memory; watchdog.c bounds time;
// pattern.c and strlib.c replace the pattern functions; view.c, push.c and pull.c move values;
// call.c runs a user function; helpers.c has weir.hour and its like.
//
// I1  Lua raises only inside lua_pcall. C code outside of it uses calls that cannot raise.
// I2  `call` counts calls; a view is valid only in the call it was made for.
// I3  Functions and views stay on the interpreter's stack, at fixed places, until script_free.
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "scripts/scan.h"
#include "scripts/script.h"
#include "scripts/watchdog.h"

enum {
    SCRIPT_MEMORY = 64 << 20,
    SCRIPT_CALL_MS = 1000,
    SCRIPT_PATTERN_STEPS = 20 * 1000 * 1000, // of all pattern functions in one call
    SCRIPT_DEPTH = 32,                       // of nested values
    SCRIPT_VALUES = 1000000,                 // in one result
    SCRIPT_VIEWS = 16,    // in turn, so that one kept past its call is noticed in later calls
    SCRIPT_FIELDS = 1024, // slots for field names that functions asked for; a power of two
    SCRIPT_ARGS = 3,
};

struct view { // a record as a function sees it
    struct script *script;
    struct doc *doc;
    uint64_t call;
};

struct rec_view { // key, time, headers, topic, partition, offset of a record
    struct script *script;
    const struct msg *msg;
    uint64_t call;
};

struct field_slot {
    const char *key; // Lua's string, kept alive by the registry: its address is its identity
    struct field_ref ref;
};

struct script_function {
    struct fn fn; // first: operators see only this
    struct script *script;
    uint32_t index;
    bool writes; // may set fields of its record
    char *where;
    uint32_t line, end_line;
};

struct script {
    lua_State *L;
    struct arena arena; // graph, source text, scan; until script_free
    struct graph graph;
    uint64_t hash;
    const char *path, *name; // as given; as messages show it
    struct slice source;
    struct scan scan;
    const struct script_options *options; // while loading

    size_t memory_used, memory_max;
    struct watch watch; // watchdog.h

    struct script_function **functions;
    uint32_t functions_count, functions_size;
    struct codec **codecs;
    uint32_t codecs_count;

    uint64_t call;
    const struct script_function *running;
    const struct msg *message; // first record of the call: seeds math.random
    uint64_t steps_left;       // of pattern functions
    uint64_t random_call, random_state;

    struct view *views[SCRIPT_VIEWS];
    struct rec_view *recs[SCRIPT_VIEWS];
    struct field_slot *fields;
    uint32_t fields_count;

    bool loading;
    uint32_t line;      // of the DSL call being made, for messages
    const char **asked; // parameters the script asked for
    uint32_t asked_count;
    struct arena scratch; // for the call at hand

    const struct fn_arg *args; // of the call at hand, for its protected part
    uint32_t args_count;
    struct value *result;
    struct arena *result_arena;
};

// Stack places (I3): views, recs, then functions.
static inline int script_view_at(uint32_t i)
{
    return 1 + (int)i;
}
static inline int script_rec_at(uint32_t i)
{
    return 1 + SCRIPT_VIEWS + (int)i;
}
static inline int script_function_at(uint32_t i)
{
    return 1 + 2 * SCRIPT_VIEWS + (int)i;
}

static inline struct script *script_of(lua_State *L)
{
    return *(struct script **)lua_getextraspace(L);
}

// sandbox.c
lua_State *sandbox_state(struct script *);      // NULL: no memory
void sandbox_open(struct script *);             // raises; leaves the script's environment on top
void sandbox_private(lua_State *);              // pushes a table of libraries for weir_*.lua
bool sandbox_global(lua_State *, struct slice); // pushes a global the script made itself
// Pops the error on top into *e; `status` of lua_pcall.
int sandbox_error(struct script *, int status, struct err *e);
extern const luaL_Reg sandbox_random[]; // math.random, in helpers.c

// strlib.c: find, match, gmatch, gsub, rep
extern const luaL_Reg strlib_functions[];

// helpers.c: weir.hour …
extern const luaL_Reg helpers_functions[];
// pairs in a fixed order: positions, numbers, then strings in byte order.
int helpers_pairs(lua_State *);

// dsl.c
void dsl_open(struct script *); // pushes the module and keeps c in the registry
// The line of the innermost frame of the user's script, as Lua reports it; 0: none.
uint32_t dsl_user_line(struct script *);
int dsl_fail(struct script *, uint32_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void dsl_check_params(struct script *);
void dsl_finish(struct script *);                        // pushes c.finish()'s result
void dsl_push_function(struct script *, uint32_t index); // cannot raise
extern const char dsl_source[];                          // weir_*.lua, made by the build
extern const size_t dsl_source_size;
struct slice dsl_code(void);                  // the same, compiled (dsl_code.c)
const char *dsl_kind(lua_State *, int index); // "stream" … or NULL

// reads.c: what a function's text says
struct read_field {
    struct slice name;
    uint32_t line;
};
// Fields read of parameter `position` (from 1) and not set by the function before. -1: unclear.
int reads_fields(const struct scan *, const struct scan_function *, uint32_t position,
                 struct read_field *out, uint32_t max);
// Is the variable assigned to in the function?
bool reads_assigns(const struct scan *, const struct scan_function *, struct slice name,
                   uint32_t *line);
// The type of the results, or NULL; *field: the field it returns, if just that.
const char *reads_type(const struct scan *, const struct scan_function *, struct slice *field);

// capture.c: raises if a function holds state that belongs into a store.
void capture_check(struct script *);

// graph_build.c: from c.finish()'s table on top; raises.
void graph_build(struct script *);
uint64_t graph_build_hash(const struct graph *);

// view.c
void view_open(struct script *);              // makes views and recs, at their places on the stack
struct view *view_at(lua_State *, int index); // or NULL; valid ones only
bool view_is_record(struct doc *, struct err *);

// push.c, pull.c: plain values
void push_value(lua_State *, const struct value *); // raises
// Converts the value at `index`, memory from `arena`; raises with what is wrong.
void pull_value(lua_State *, int index, struct arena *, struct value *out);

// call.c
int call_function(struct fn *, const struct fn_arg *, uint32_t n, struct arena *, struct value *out,
                  bool *same, struct err *);
