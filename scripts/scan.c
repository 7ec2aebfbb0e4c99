// SPDX-License-Identifier: Apache-2.0
#include "scripts/scan.h"

#include "base/check.h"

#include <ctype.h>

struct lexer {
    const char *p, *end;
    uint32_t line;
};

static const char *const keywords[] = {"and",   "break", "do",       "else", "elseif", "end",
                                       "false", "for",   "function", "goto", "if",     "in",
                                       "local", "nil",   "not",      "or",   "repeat", "return",
                                       "then",  "true",  "until",    "while"};

static const char *const long_ops[] = {"...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"};

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

// At "[" "="* "[": the number of "=", else -1.
static int long_bracket(const struct lexer *x)
{
    const char *p = x->p + 1;
    while (p < x->end && *p == '=')
        p++;
    return x->p < x->end && *x->p == '[' && p < x->end && *p == '[' ? (int)(p - x->p - 1) : -1;
}

static struct slice take_long(struct lexer *x, int level)
{
    x->p += level + 2;
    const char *start = x->p;
    for (; x->p < x->end; x->p++) {
        if (*x->p == '\n')
            x->line++;
        if (*x->p != ']')
            continue;
        const char *q = x->p + 1;
        while (q < x->end && *q == '=')
            q++;
        if (q < x->end && *q == ']' && q - x->p - 1 == level) {
            struct slice text = slice_of(start, (size_t)(x->p - start));
            x->p = q + 1;
            return text;
        }
    }
    return slice_of(start, (size_t)(x->p - start));
}

static struct slice take_string(struct lexer *x)
{
    char quote = *x->p++;
    const char *start = x->p;
    while (x->p < x->end && *x->p != quote && *x->p != '\n') {
        if (*x->p == '\\' && x->p + 1 < x->end) {
            x->p++;
            if (*x->p == '\n')
                x->line++;
        }
        x->p++;
    }
    struct slice text = slice_of(start, (size_t)(x->p - start));
    if (x->p < x->end && *x->p == quote)
        x->p++;
    return text;
}

static void skip_space(struct lexer *x)
{
    for (; x->p < x->end; x->p++) {
        if (*x->p == '\n') {
            x->line++;
        } else if (x->end - x->p >= 2 && x->p[0] == '-' && x->p[1] == '-') {
            x->p += 2;
            int level = long_bracket(x);
            if (level >= 0)
                take_long(x, level);
            else
                while (x->p < x->end && *x->p != '\n')
                    x->p++;
            x->p--; // the loop steps over the last byte of the comment
        } else if (!isspace((unsigned char)*x->p)) {
            return;
        }
    }
}

static enum token_type take_word(struct lexer *x, struct slice *text)
{
    const char *start = x->p;
    bool number = isdigit((unsigned char)*start) || *start == '.';
    while (x->p < x->end &&
           (is_name(*x->p) || (number && (*x->p == '.' || ((*x->p == '-' || *x->p == '+') &&
                                                           strchr("eEpP", x->p[-1]) != NULL)))))
        x->p++;
    *text = slice_of(start, (size_t)(x->p - start));
    if (number)
        return TOKEN_NUMBER;
    for (size_t i = 0; i < ARRAY_COUNT(keywords); i++) {
        if (slice_eq_str(*text, keywords[i]))
            return TOKEN_KEYWORD;
    }
    return TOKEN_NAME;
}

static struct slice take_op(struct lexer *x)
{
    size_t n = 1, left = (size_t)(x->end - x->p);
    for (size_t i = 0; i < ARRAY_COUNT(long_ops); i++) {
        size_t m = strlen(long_ops[i]);
        if (m <= left && m > n && memcmp(x->p, long_ops[i], m) == 0)
            n = m;
    }
    struct slice text = slice_of(x->p, n);
    x->p += n;
    return text;
}

static struct token next_token(struct lexer *x)
{
    skip_space(x);
    struct token t = {.type = TOKEN_END, .line = x->line};
    if (x->p >= x->end)
        return t;
    char c = *x->p;
    int level = long_bracket(x);
    if (level >= 0) {
        t.type = TOKEN_STRING;
        t.text = take_long(x, level);
    } else if (c == '"' || c == '\'') {
        t.type = TOKEN_STRING;
        t.text = take_string(x);
    } else if (is_name(c) || (c == '.' && x->end - x->p > 1 && isdigit((unsigned char)x->p[1]))) {
        t.type = take_word(x, &t.text);
    } else {
        t.type = TOKEN_OP;
        t.text = take_op(x);
    }
    return t;
}

static void tokenize(struct scan *s, struct slice source)
{
    struct lexer x = {(const char *)source.p, (const char *)source.p + source.n, 1};
    if (source.n > 0 && *x.p == '#') { // a "#!" line
        while (x.p < x.end && *x.p != '\n')
            x.p++;
    }
    uint32_t size = 64;
    s->tokens = arena_alloc(s->arena, size * sizeof(*s->tokens));
    do {
        if (s->count == size) {
            struct token *more = arena_alloc(s->arena, (size_t)size * 2 * sizeof(*more));
            memcpy(more, s->tokens, size * sizeof(*more));
            s->tokens = more;
            size *= 2;
        }
        s->tokens[s->count++] = next_token(&x);
    } while (s->tokens[s->count - 1].type != TOKEN_END);
}

// Does a value end at this token, so that "(", "{" or a string after it is a call?
static bool ends_value(const struct token *t)
{
    return t->type == TOKEN_NAME || t->type == TOKEN_STRING || token_is(t, ")") ||
           token_is(t, "]") || token_is(t, "}");
}

enum { SCAN_DEPTH = 250 }; // Lua itself refuses text nested deeper than 200

struct level {         // of brackets and blocks
    uint32_t start;    // token at which the chain being read begins
    uint32_t table;    // for "{": index in tables; else UINT32_MAX
    uint32_t function; // for `function`: index in functions; else UINT32_MAX
};

struct reader {
    struct scan *s;
    struct level levels[SCAN_DEPTH];
    uint32_t depth, keys_count;
};

static void push_level(struct reader *r)
{
    if (r->depth + 1 < SCAN_DEPTH)
        r->depth++;
    r->levels[r->depth] = (struct level){0, UINT32_MAX, UINT32_MAX};
}

// A key at token i ("name =" or ["name"] =) directly inside a constructor.
static void read_key(struct reader *r, uint32_t i)
{
    struct scan *s = r->s;
    const struct token *t = &s->tokens[i], *before = &s->tokens[i - 1];
    bool starts = token_is(before, "{") || token_is(before, ",") || token_is(before, ";");
    bool plain = t->type == TOKEN_NAME && starts && token_is(t + 1, "=");
    bool quoted = t->type == TOKEN_STRING && i > 1 && token_is(before, "[") &&
                  token_is(t + 1, "]") && token_is(t + 2, "=");
    // Inside [ ] the constructor is one level up.
    uint32_t depth = quoted && r->depth > 0 ? r->depth - 1 : r->depth;
    uint32_t table = r->levels[depth].table;
    if ((!plain && !quoted) || table == UINT32_MAX)
        return;
    // The keys of nested constructors lie between; each table's keys are gathered at its end.
    s->keys[r->keys_count++] = t->text;
    s->tables[table].keys_count++;
}

static void open_table(struct reader *r, uint32_t i)
{
    struct scan *s = r->s;
    push_level(r);
    r->levels[r->depth].table = s->tables_count;
    s->tables[s->tables_count++] = (struct scan_table){.line = s->tokens[i].line, .key = i};
}

static void read_block(struct reader *r, uint32_t i)
{
    struct scan *s = r->s;
    const struct token *t = &s->tokens[i];
    if (token_is(t, "function")) {
        push_level(r);
        r->levels[r->depth].function = s->functions_count;
        s->functions[s->functions_count++] = (struct scan_function){i, i};
    } else if (token_is(t, "do") || token_is(t, "if") || token_is(t, "repeat")) {
        push_level(r);
    } else if ((token_is(t, "end") || token_is(t, "until")) && r->depth > 0) {
        uint32_t f = r->levels[r->depth].function;
        if (f != UINT32_MAX)
            s->functions[f].last = i;
        r->depth--;
    }
}

static void read_token(struct reader *r, uint32_t i)
{
    struct scan *s = r->s;
    const struct token *t = &s->tokens[i];
    const struct token *before = i > 0 ? t - 1 : &s->tokens[s->count - 1];
    bool after_dot = token_is(before, ".") || token_is(before, ":");
    bool call = token_is(t + 1, "(") || token_is(t + 1, "{") || t[1].type == TOKEN_STRING;
    if (t->type == TOKEN_NAME && !after_dot) {
        r->levels[r->depth].start = i;
    } else if (t->type == TOKEN_NAME && call) {
        uint32_t start = r->levels[r->depth].start;
        s->sites[s->sites_count++] =
            (struct scan_site){s->tokens[start].line, t->line, i, start, 0};
    }
    if (token_is(t, "{")) {
        open_table(r, i);
    } else if (token_is(t, "(") || token_is(t, "[")) {
        if (!ends_value(before))
            r->levels[r->depth].start = i;
        push_level(r);
    } else if (token_is(t, ")") || token_is(t, "]") || token_is(t, "}")) {
        if (r->depth > 0)
            r->depth--;
    } else if (t->type == TOKEN_KEYWORD) {
        read_block(r, i);
    }
}

// The keys of each constructor, found by walking from its brace; quadratic only in nesting depth.
static void gather_keys(struct scan *s)
{
    struct reader r = {.s = s};
    for (uint32_t table = 0; table < s->tables_count; table++) {
        uint32_t open = s->tables[table].key, depth = 0;
        s->tables[table].key = r.keys_count;
        r.depth = 1;
        r.levels[1].table = table;
        r.levels[0].table = UINT32_MAX;
        for (uint32_t i = open; s->tokens[i].type != TOKEN_END; i++) {
            const struct token *t = &s->tokens[i];
            bool block = token_is(t, "function") || token_is(t, "do") || token_is(t, "if") ||
                         token_is(t, "repeat");
            if (token_is(t, "{") || token_is(t, "(") || token_is(t, "[") || block)
                depth++;
            else if (token_is(t, "}") || token_is(t, ")") || token_is(t, "]") ||
                     token_is(t, "end") || token_is(t, "until"))
                depth--;
            else if (depth == 1 || (depth == 2 && t->type == TOKEN_STRING && i > open + 1 &&
                                    token_is(t - 1, "["))) {
                r.depth = depth;
                r.levels[2].table = UINT32_MAX;
                read_key(&r, i);
            }
            if (depth == 0 || depth > SCAN_DEPTH)
                break;
        }
    }
}

void scan_init(struct scan *s, struct arena *arena, struct slice source)
{
    *s = (struct scan){.arena = arena};
    tokenize(s, source);
    size_t n = s->count;
    s->sites = arena_alloc(arena, n * sizeof(*s->sites));
    s->tables = arena_alloc(arena, n * sizeof(*s->tables));
    s->functions = arena_alloc(arena, n * sizeof(*s->functions));
    s->keys = arena_alloc(arena, n * sizeof(*s->keys));
    struct reader r = {.s = s, .levels = {{0, UINT32_MAX, UINT32_MAX}}};
    for (uint32_t i = 0; i + 1 < s->count; i++)
        read_token(&r, i);
    gather_keys(s);
}

struct scan_site *scan_call(struct scan *s, uint32_t line, struct slice name)
{
    struct scan_site *best = NULL;
    for (uint32_t i = 0; i < s->sites_count; i++) {
        struct scan_site *site = &s->sites[i];
        if (site->chain_line == line && slice_eq(s->tokens[site->token].text, name) &&
            (best == NULL || site->calls < best->calls))
            best = site;
    }
    if (best != NULL)
        best->calls++;
    return best;
}

struct slice scan_assigned(const struct scan *s, const struct scan_site *site)
{
    if (site->start < 2 || !token_is(&s->tokens[site->start - 1], "=") ||
        s->tokens[site->start - 2].type != TOKEN_NAME)
        return (struct slice){NULL, 0};
    return s->tokens[site->start - 2].text;
}

static bool same_keys(const struct scan *s, const struct scan_table *t, const struct slice *keys,
                      uint32_t n)
{
    if (t->keys_count != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = 0;
        while (j < n && !slice_eq(s->keys[t->key + i], keys[j]))
            j++;
        if (j == n)
            return false;
    }
    return true;
}

bool scan_order(const struct scan *s, uint32_t line, struct slice *keys, uint32_t n)
{
    const struct scan_table *best = NULL;
    for (uint32_t i = 0; i < s->tables_count; i++) {
        const struct scan_table *t = &s->tables[i];
        bool nearer = best == NULL || (t->line >= line && best->line < line) ||
                      (t->line < line && best->line < line && t->line > best->line);
        if (nearer && same_keys(s, t, keys, n))
            best = t;
    }
    if (best == NULL)
        return false;
    // Borrowed from the text instead of from Lua: the same bytes.
    memcpy(keys, s->keys + best->key, n * sizeof(*keys));
    return true;
}

const struct scan_function *scan_function_at(const struct scan *s, uint32_t line, uint32_t end)
{
    const struct scan_function *found = NULL;
    for (uint32_t i = 0; i < s->functions_count; i++) {
        const struct scan_function *f = &s->functions[i];
        if (s->tokens[f->first].line != line || s->tokens[f->last].line != end)
            continue;
        if (found != NULL)
            return NULL;
        found = f;
    }
    return found;
}
