// SPDX-License-Identifier: Apache-2.0
//
// Json map: members of a decoded JSON object by name, for the small records that connectors keep
// (positions, commit entries). A missing or mistyped member is `false`, never a guess.
#pragma once

#include "formats/value.h"

int json_map_parse(struct slice json, struct arena *, struct value *out, struct err *);
const struct value *json_map_get(const struct value *map, const char *name); // NULL: none
bool json_map_int(const struct value *map, const char *name, int64_t *out);
bool json_map_text(const struct value *map, const char *name, char *out, size_t size);
bool json_map_hex(const struct value *map, const char *name, uint64_t *out);
