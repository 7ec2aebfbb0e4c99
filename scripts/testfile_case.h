// SPDX-License-Identifier: Apache-2.0
//
// Testfile case: what the parts of the test file runner share: the run at hand, and the methods of
// a case's `t` that look at what came out.
#pragma once

#include "scripts/testfile.h"
#include "scripts/testfile_value.h"

struct runner {
    const struct testfile_host *host;
    const char *path, *only;
    FILE *to;
    struct testfile_result *result;
    struct arena arena; // of one case
    char app[4096];
    int app_options; // registry reference of test.app's second argument
    bool started;
    uint32_t mismatches; // of the case that runs; an error counts, too
    char case_name[256];
};

static inline struct runner *testfile_self(lua_State *l)
{
    return *(struct runner **)lua_getextraspace(l);
}

void testfile_start(lua_State *l); // starts the case's engine, if it does not run yet
int testfile_raise(lua_State *l, const struct err *err);
// Raises if the table has a name that is not among `names` (NULL-terminated).
void testfile_check_options(lua_State *l, int index, const char *what, const char *const *names);
// Counts a mismatch; prints the case's name before the first.
void testfile_fail_line(struct runner *r);

int testfile_expect(lua_State *l);
int testfile_expect_dead_letters(lua_State *l);
int testfile_take(lua_State *l);
// At the end of a case: dead letters that nobody asked for are mismatches.
void testfile_check_dead_letters(lua_State *l);
