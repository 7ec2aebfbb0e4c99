// SPDX-License-Identifier: Apache-2.0
//
// Json: strict JSON text into values (RFC 8259): one value, nothing behind it, valid UTF-8, no
// deeper than VALUE_DEPTH_MAX. Lazy documents use it for nested values and to say where a malformed
// record breaks. No state; any thread.
#pragma once

#include "formats/value.h"

struct json_source {
    struct slice text;    // exactly one value, whitespace around it allowed
    const uint8_t *begin; // where positions in errors count from
    bool borrow;          // strings without escapes may point into the text
};

// -1: ERR_CORRUPT, "… at byte N".
int json_parse(const struct json_source *, struct arena *, struct value *out, struct err *);
// The text between a string's quotes with its escapes resolved, in the arena. -1: a bad escape.
int json_unescape(struct slice inside, struct arena *, struct slice *out);
// The index of the first byte that is not UTF-8, or s.n.
uint32_t json_utf8(struct slice s);

// Base64 (RFC 4648, with padding), as JSON carries bytes.
void json_base64_put(struct slice s, struct buf *out);
int json_base64_take(struct slice text, struct arena *, struct slice *out);
