// SPDX-License-Identifier: Apache-2.0
//
// Reads: what the text of a user function says about it: which fields of its record it reads, what
// type its results have, which variables it assigns to. Only plain cases are understood; everything
// else is "unclear" or "unknown", never a guess.
#include "scripts/internal.h"

enum { WALK_DEPTH = 250 };

// A walk over a function's tokens that knows the innermost bracket or block.
struct walk {
    const struct scan *s;
    const struct scan_function *f;
    uint32_t i;
    uint32_t depth, functions; // functions: nested ones around i
    char open[WALK_DEPTH];     // '{' '(' '[' 'f' (function) 'b' (other blocks)
};

static void walk_push(struct walk *w, char c)
{
    if (w->depth + 1 < WALK_DEPTH)
        w->open[++w->depth] = c;
    w->functions += c == 'f';
}

static void walk_pop(struct walk *w)
{
    if (w->depth == 0)
        return;
    w->functions -= w->open[w->depth] == 'f';
    w->depth--;
}

static void walk_token(struct walk *w)
{
    const struct token *t = &w->s->tokens[w->i];
    if (token_is(t, "{") || token_is(t, "(") || token_is(t, "["))
        walk_push(w, (char)t->text.p[0]);
    else if (token_is(t, "function"))
        walk_push(w, 'f');
    else if (token_is(t, "do") || token_is(t, "if") || token_is(t, "repeat"))
        walk_push(w, 'b');
    else if (token_is(t, "}") || token_is(t, ")") || token_is(t, "]") || token_is(t, "end") ||
             token_is(t, "until"))
        walk_pop(w);
}

static const struct token *token_at(const struct walk *w, int distance)
{
    return &w->s->tokens[(int64_t)w->i + distance];
}

// Is the name at i a key of a constructor ("{ name = …")?
static bool is_key(const struct walk *w)
{
    const struct token *before = token_at(w, -1);
    return w->open[w->depth] == '{' && token_is(token_at(w, 1), "=") &&
           (token_is(before, "{") || token_is(before, ",") || token_is(before, ";"));
}

static bool is_member(const struct walk *w)
{
    return token_is(token_at(w, -1), ".") || token_is(token_at(w, -1), ":");
}

// The token of parameter `position` (from 1), or 0; *body: the first token behind the parameters.
static uint32_t parameter(const struct scan *s, const struct scan_function *f, uint32_t position,
                          uint32_t *body)
{
    uint32_t i = f->first, found = 0;
    while (i < f->last && !token_is(&s->tokens[i], "("))
        i++;
    for (i++; i < f->last && !token_is(&s->tokens[i], ")"); i++) {
        if (s->tokens[i].type == TOKEN_NAME && --position == 0)
            found = i;
    }
    *body = i + 1;
    return found;
}

static struct walk walk_begin(const struct scan *s, const struct scan_function *f, uint32_t body)
{
    return (struct walk){.s = s, .f = f, .i = body};
}

// --- fields

// Is the name at i declared or assigned anew here, so that it may mean something else?
static bool rebinds(const struct walk *w)
{
    if (is_member(w) || is_key(w))
        return false;
    if (token_is(token_at(w, 1), "=") || token_is(token_at(w, -1), "local") ||
        token_is(token_at(w, -1), "for"))
        return true;
    // In a list of names: "local a, t", "function(a, t)", "a, t = …"; an argument list looks the
    // same, so a comma beside it within parentheses is a call unless `function` stands before.
    if (!token_is(token_at(w, -1), ",") && !token_is(token_at(w, -1), "("))
        return false;
    int back = -1;
    while ((token_at(w, back)->type == TOKEN_NAME || token_is(token_at(w, back), ",")) &&
           w->i + (uint32_t)back > w->f->first)
        back--;
    if (token_is(token_at(w, back), "local") || token_is(token_at(w, back), "for"))
        return true;
    if (!token_is(token_at(w, back), "("))
        return false;
    return token_is(token_at(w, back - 1), "function") ||
           (token_at(w, back - 1)->type == TOKEN_NAME &&
            token_is(token_at(w, back - 2), "function"));
}

static bool has_name(const struct read_field *list, int n, struct slice name)
{
    for (int i = 0; i < n; i++) {
        if (slice_eq(list[i].name, name))
            return true;
    }
    return false;
}

// The field accessed at i ("t.name", "t['name']"); n == 0: none.
static struct slice accessed(const struct walk *w, int *behind)
{
    if (token_is(token_at(w, 1), ".") && token_at(w, 2)->type == TOKEN_NAME) {
        *behind = 3;
        return token_at(w, 2)->text;
    }
    if (token_is(token_at(w, 1), "[") && token_at(w, 2)->type == TOKEN_STRING &&
        token_is(token_at(w, 3), "]")) {
        *behind = 4;
        return token_at(w, 2)->text;
    }
    return (struct slice){NULL, 0};
}

static int collect(const struct scan *s, const struct scan_function *f, uint32_t position,
                   bool written, struct read_field *out, uint32_t max)
{
    uint32_t body, name = parameter(s, f, position, &body), n = 0;
    struct walk w = walk_begin(s, f, body);
    for (; name != 0 && w.i < f->last; walk_token(&w), w.i++) {
        const struct token *t = token_at(&w, 0);
        if (t->type != TOKEN_NAME || !slice_eq(t->text, s->tokens[name].text))
            continue;
        if (rebinds(&w))
            return -1;
        int behind = 0;
        struct slice field = accessed(&w, &behind);
        if (field.n == 0 || is_member(&w) || is_key(&w) ||
            token_is(token_at(&w, behind), "=") != written)
            continue;
        if (!has_name(out, (int)n, field) && n < max)
            out[n++] = (struct read_field){field, t->line};
    }
    return (int)n;
}

int reads_fields(const struct scan *s, const struct scan_function *f, uint32_t position,
                 struct read_field *out, uint32_t max)
{
    enum { WRITTEN_MAX = 64 };
    struct read_field written[WRITTEN_MAX];
    int set = collect(s, f, position, true, written, WRITTEN_MAX);
    int n = collect(s, f, position, false, out, max), kept = 0;
    if (n < 0 || set < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        bool method = slice_eq_str(out[i].name, "copy");
        if (!method && !has_name(written, set, out[i].name))
            out[kept++] = out[i];
    }
    return kept;
}

bool reads_assigns(const struct scan *s, const struct scan_function *f, struct slice name,
                   uint32_t *line)
{
    uint32_t body;
    parameter(s, f, 1, &body);
    struct walk w = walk_begin(s, f, body);
    bool found = false;
    for (; w.i < f->last; walk_token(&w), w.i++) {
        const struct token *t = token_at(&w, 0);
        if (t->type != TOKEN_NAME || !slice_eq(t->text, name) || is_member(&w) || is_key(&w))
            continue;
        if (token_is(token_at(&w, -1), "local") || token_is(token_at(&w, -1), "for"))
            return false; // a variable of the function's own
        // "n = …" and "n, m = …"
        int ahead = 1;
        while (w.open[w.depth] != '(' && w.open[w.depth] != '{' &&
               (token_is(token_at(&w, ahead), ",") || token_at(&w, ahead)->type == TOKEN_NAME))
            ahead++;
        bool list = token_is(token_at(&w, -1), ",") || ahead == 1 || token_is(token_at(&w, 1), ",");
        if (!found && list && token_is(token_at(&w, ahead), "=")) {
            found = true;
            *line = t->line;
        }
    }
    return found;
}

// --- types

struct span {
    const struct token *from, *to; // [from, to)
};

static const char *type_of(struct span e, struct slice param, struct slice *field);

static int depth_change(const struct token *t)
{
    if (token_is(t, "(") || token_is(t, "{") || token_is(t, "["))
        return 1;
    return token_is(t, ")") || token_is(t, "}") || token_is(t, "]") ? -1 : 0;
}

// The first of `ops` outside of brackets, at or behind `from`; NULL: none.
static const struct token *find_op(struct span e, const char *const *ops)
{
    int depth = 0;
    for (const struct token *t = e.from; t < e.to; t++) {
        depth += depth_change(t);
        for (int i = 0; depth == 0 && ops[i] != NULL; i++) {
            if (token_is(t, ops[i]))
                return t;
        }
    }
    return NULL;
}

// "a and b", "a or b": boolean if all parts are.
static const char *type_of_parts(struct span e, const char *const *op, struct slice param)
{
    while (e.from < e.to) {
        const struct token *at = find_op(e, op);
        struct span part = {e.from, at == NULL ? e.to : at};
        struct slice field = {NULL, 0};
        const char *t = type_of(part, param, &field);
        if (t == NULL || strcmp(t, "boolean") != 0)
            return NULL;
        e.from = at == NULL ? e.to : at + 1;
    }
    return "boolean";
}

static const char *type_of_token(const struct token *t)
{
    if (t->type == TOKEN_STRING)
        return "string";
    if (token_is(t, "true") || token_is(t, "false"))
        return "boolean";
    if (t->type != TOKEN_NUMBER)
        return NULL;
    bool hex = t->text.n > 1 && (t->text.p[1] == 'x' || t->text.p[1] == 'X');
    for (uint32_t i = 0; i < t->text.n; i++) {
        if (strchr(hex ? ".pP" : ".eE", t->text.p[i]) != NULL)
            return "double";
    }
    return "long";
}

// "weir.hour(…)" and others whose result is always of one type.
static const char *type_of_call(struct span e)
{
    static const struct {
        const char *library, *name, *type;
    } known[] = {{"weir", "hour", "long"},          {"weir", "day", "long"},
                 {"weir", "weekday", "long"},       {"weir", "parse_time", "long"},
                 {"weir", "hash", "long"},          {"weir", "format_time", "string"},
                 {"weir", "json_encode", "string"}, {"math", "sqrt", "double"},
                 {"math", "exp", "double"},         {"math", "log", "double"},
                 {"string", "upper", "string"},     {"string", "lower", "string"},
                 {"string", "sub", "string"},       {"string", "format", "string"}};
    if (e.to - e.from < 5 || !token_is(e.from + 1, ".") || !token_is(e.from + 3, "("))
        return NULL;
    int depth = 0;
    for (const struct token *t = e.from + 3; t < e.to; t++) {
        depth += depth_change(t);
        if (depth == 0 && t + 1 != e.to)
            return NULL; // something behind the call
    }
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (slice_eq_str(e.from->text, known[i].library) &&
            slice_eq_str(e.from[2].text, known[i].name))
            return known[i].type;
    }
    return NULL;
}

static const char *type_of(struct span e, struct slice param, struct slice *field)
{
    static const char *const or_op[] = {"or", NULL}, *const and_op[] = {"and", NULL};
    static const char *const compare[] = {"==", "~=", "<", ">", "<=", ">=", NULL};
    static const char *const bits[] = {"&", "|", "~", "<<", ">>", NULL};
    static const char *const arithmetic[] = {"+", "-", "*", "/", "//", "%", "^", NULL};
    static const char *const concat[] = {"..", NULL};
    if (e.from >= e.to)
        return NULL;
    if (find_op(e, or_op) != NULL)
        return type_of_parts(e, or_op, param);
    if (find_op(e, and_op) != NULL)
        return type_of_parts(e, and_op, param);
    if (token_is(e.from, "not") || find_op(e, compare) != NULL)
        return "boolean";
    if (find_op(e, bits) != NULL)
        return "long";
    if (find_op(e, concat) != NULL)
        return "string";
    if (find_op(e, arithmetic) != NULL)
        return "double";
    if (token_is(e.from, "#"))
        return "long";
    if (e.to - e.from == 1)
        return type_of_token(e.from);
    if (e.to - e.from == 3 && slice_eq(e.from->text, param) && token_is(e.from + 1, ".")) {
        *field = e.from[2].text;
        return NULL;
    }
    return type_of_call(e);
}

// The expression behind `return` at w->i, up to the block's end.
static struct span returned(const struct walk *w)
{
    static const char *const ends[] = {"end", "else", "elseif", "until", ";", NULL};
    struct span e = {token_at(w, 1), &w->s->tokens[w->f->last]};
    const struct token *end = find_op(e, ends);
    if (end != NULL)
        e.to = end;
    for (const struct token *t = e.from; t < e.to; t++) {
        if (token_is(t, "function") || token_is(t, ","))
            return (struct span){e.from, e.from};
    }
    return e;
}

const char *reads_type(const struct scan *s, const struct scan_function *f, struct slice *field)
{
    uint32_t body, name = parameter(s, f, 1, &body);
    struct slice param = name == 0 ? slice_of("", 0) : s->tokens[name].text;
    struct walk w = walk_begin(s, f, body);
    const char *type = NULL;
    bool any = false, at_end = false;
    *field = (struct slice){NULL, 0};
    for (; w.i < f->last; walk_token(&w), w.i++) {
        if (!token_is(token_at(&w, 0), "return") || w.functions != 0)
            continue;
        struct slice one = {NULL, 0};
        struct span e = returned(&w);
        const char *t = type_of(e, param, &one);
        bool same = !any || (t == NULL ? type == NULL && slice_eq(one, *field)
                                       : type != NULL && strcmp(type, t) == 0);
        if (!same || (t == NULL && one.n == 0))
            goto unknown;
        type = t;
        *field = one;
        any = true;
        at_end = w.depth == 0; // not only under an `if`
    }
    if (at_end)
        return type;
unknown:
    *field = (struct slice){NULL, 0};
    return NULL;
}
