// SPDX-License-Identifier: Apache-2.0
//
// Scan: the script's text as tokens, for what Lua does not tell. Lua forgets the order in which a
// table constructor lists its keys, reports one line for a whole chain of method calls, and does
// not say which fields a function reads. All three shape error messages and schemas, so they are
// read from the text. Nothing here decides what a script does: where the text is unclear the answer
// is "unknown" and the caller does without.
//
// Thread: the loader's. Owns its arrays; borrows the source text, which must outlive it.
// Any bytes are accepted; text that Lua would refuse gives tokens nobody will ask for.
#pragma once

#include "base/arena.h"

enum token_type {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_KEYWORD,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_OP, // "=" "==" "{" "..." …
};

struct token {
    enum token_type type;
    uint32_t line;
    struct slice text; // strings: the content between the quotes, escapes untouched
};

struct scan_site {       // "<chain>:name(" or "<chain>.name{"
    uint32_t chain_line; // where the chain of calls begins: the line that Lua reports
    uint32_t line;       // where the name stands
    uint32_t token;      // of the name
    uint32_t start;      // token at which the chain begins
    uint32_t calls;      // how often scan_call has returned it
};

struct scan_table { // a constructor with at least one named key
    uint32_t line;
    uint32_t key, keys_count; // range of scan.keys
};

struct scan_function {
    uint32_t first, last; // tokens: `function` and its `end`
};

struct scan {
    struct arena *arena; // borrowed; everything below lives there
    struct token *tokens;
    uint32_t count;
    struct scan_site *sites;
    uint32_t sites_count;
    struct scan_table *tables;
    uint32_t tables_count;
    struct slice *keys;
    struct scan_function *functions;
    uint32_t functions_count;
};

void scan_init(struct scan *, struct arena *, struct slice source);
// The call of method `name` whose chain begins at `line`; the next one each time, so that equal
// calls of one chain are told apart, from the first again in loops. NULL: not found.
struct scan_site *scan_call(struct scan *, uint32_t line, struct slice name);
// The variable a call's result is assigned to ("local Tx = weir.schema …"); n == 0: none.
struct slice scan_assigned(const struct scan *, const struct scan_site *);
// Puts `keys` (n of them) into the order in which a constructor of exactly these keys writes them,
// the nearest one at or after `line` first. false: no such constructor.
bool scan_order(const struct scan *, uint32_t line, struct slice *keys, uint32_t n);
// The function that begins and ends at these lines, if there is just one.
const struct scan_function *scan_function_at(const struct scan *, uint32_t line, uint32_t end);

static inline bool token_is(const struct token *t, const char *op)
{
    return (t->type == TOKEN_OP || t->type == TOKEN_KEYWORD) && slice_eq_str(t->text, op);
}
