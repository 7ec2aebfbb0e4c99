// SPDX-License-Identifier: Apache-2.0
//
// Cell: one CSV cell's text as a typed JSON value or a record key. No state, no allocation.
#pragma once

#include "base/buf.h"
#include "formats/codec.h"

// Worst case of cell_put_json for a cell of n bytes.
static inline uint32_t cell_json_max(uint32_t n)
{
    return n * 6 + 40;
}

// Writes the cell as JSON at `out` (cell_json_max bytes) and returns the end, or NULL when the text
// does not fit the type. FIELD_ANY: number, true, false or text.
uint8_t *cell_put_json(enum field_type type, struct slice cell, uint8_t *out);
// Appends the key made of the cell, as doc_key would make it of the decoded field; false: does not
// fit the type or key format.
bool cell_put_key(enum field_type type, enum format key_format, struct slice cell, struct buf *out);
bool cell_long(struct slice cell, int64_t *out); // decimal, "+" and leading zeros allowed
bool cell_time(struct slice cell, int64_t *out); // epoch ms or ISO 8601
bool cell_utf8(struct slice cell);
