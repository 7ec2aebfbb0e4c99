// SPDX-License-Identifier: Apache-2.0
//
// Testfile values: Lua values of a test file as struct value and back. Tables with items 1 … n are
// lists, others are maps (keys in byte order, so that output does not depend on hashing).
#pragma once

#include <lua.h>

#include "formats/value.h"

extern char testfile_null[1]; // its address is test.null: null where Lua's nil would vanish

void testfile_to_value(lua_State *l, int index, struct arena *a, struct value *out);
void testfile_push_value(lua_State *l, const struct value *v);
// A map's field, or NULL.
const struct value *testfile_field(const struct value *map, struct slice name);
