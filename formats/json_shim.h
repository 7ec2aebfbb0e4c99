// SPDX-License-Identifier: Apache-2.0
//
// Json shim: simdjson's first stage behind a C face: the positions of all structural characters
// (braces, brackets, colons, commas, opening quotes, first bytes of other scalars) outside strings,
// with strings closed, control characters refused and UTF-8 checked. The walk over them is ours
// (doc_json.c), so nothing is parsed that nobody asks for. One per thread; memory is kept.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_shim;
struct json_shim *json_shim_new(void);
void json_shim_free(struct json_shim *);
// The number of positions, in ascending order in *positions (borrowed until the next call, with at
// least two readable entries behind); -1: the text is malformed. Reads nothing behind the text.
int64_t json_shim_index(struct json_shim *, const uint8_t *text, uint32_t n,
                        const uint32_t **positions);

#ifdef __cplusplus
}
#endif
