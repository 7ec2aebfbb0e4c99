// SPDX-License-Identifier: Apache-2.0
#include "scripts/pattern.h"

#include <ctype.h>
#include <string.h>

const char pattern_too_long[] = "a pattern took too many steps on this text; make it simpler "
                                "(fewer '.*' and '.-' in a row), or the text shorter";

static const uint8_t *try_at(struct pattern *m, const uint8_t *s, const uint8_t *p);

static const uint8_t *fail(struct pattern *m, const char *error)
{
    if (m->error == NULL)
        m->error = error;
    return NULL;
}

// Takes `cost` steps; false when the budget is spent.
static bool step(struct pattern *m, uint64_t cost)
{
    if (__builtin_expect(*m->steps <= cost, 0)) {
        *m->steps = 0;
        fail(m, pattern_too_long);
        return false;
    }
    *m->steps -= cost;
    return true;
}

// The byte at p, or 0 behind the pattern, as Lua's strings end with one.
static uint8_t at(const struct pattern *m, const uint8_t *p)
{
    return p < m->pattern_end ? *p : 0;
}

// Behind the single-character item at p ("a", "%d", "[set]"); NULL: malformed.
static const uint8_t *item_end(struct pattern *m, const uint8_t *p)
{
    uint8_t c = *p++;
    if (c == '%')
        return p < m->pattern_end ? p + 1 : fail(m, "malformed pattern (ends with '%%')");
    if (c != '[')
        return p;
    if (at(m, p) == '^')
        p++;
    for (bool first = true; first || at(m, p) != ']'; first = false) {
        if (p >= m->pattern_end)
            return fail(m, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    }
    return p + 1;
}

static bool in_class(uint8_t c, uint8_t letter)
{
    bool in;
    switch (tolower(letter)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z': // old, still there
        in = c == 0;
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !in : in;
}

// p: at "[", last: at its "]".
static bool in_set(uint8_t c, const uint8_t *p, const uint8_t *last)
{
    bool found = true;
    p++;
    if (*p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            p++;
            if (in_class(c, *p))
                return found;
        } else if (p[1] == '-' && p + 2 < last) {
            if (p[0] <= c && c <= p[2])
                return found;
            p += 2;
        } else if (*p == c) {
            return found;
        }
    }
    return !found;
}

// Does the character at s fit the item [p, end)? Never at the end of the subject.
static bool fits(struct pattern *m, const uint8_t *s, const uint8_t *p, const uint8_t *end)
{
    if (!step(m, (uint64_t)(end - p)) || s >= m->subject_end)
        return false;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(*s, p[1]);
    case '[':
        return in_set(*s, p, end - 1);
    default:
        return *p == *s;
    }
}

// As many as possible, then fewer.
static const uint8_t *most(struct pattern *m, const uint8_t *s, const uint8_t *p,
                           const uint8_t *end)
{
    ptrdiff_t n = 0;
    while (fits(m, s + n, p, end))
        n++;
    for (; n >= 0 && m->error == NULL; n--) {
        const uint8_t *e = try_at(m, s + n, end + 1);
        if (e != NULL)
            return e;
    }
    return NULL;
}

// As few as possible, then more.
static const uint8_t *fewest(struct pattern *m, const uint8_t *s, const uint8_t *p,
                             const uint8_t *end)
{
    while (m->error == NULL) {
        const uint8_t *e = try_at(m, s, end + 1);
        if (e != NULL)
            return e;
        if (!fits(m, s, p, end))
            return NULL;
        s++;
    }
    return NULL;
}

static const uint8_t *open_capture(struct pattern *m, const uint8_t *s, const uint8_t *p,
                                   ptrdiff_t kind)
{
    if (m->captures_count == PATTERN_CAPTURES)
        return fail(m, "too many captures");
    m->captures[m->captures_count++] = (struct pattern_capture){s, kind};
    const uint8_t *e = try_at(m, s, p);
    if (e == NULL)
        m->captures_count--;
    return e;
}

static const uint8_t *close_capture(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    int i = m->captures_count - 1;
    while (i >= 0 && m->captures[i].n != PATTERN_OPEN)
        i--;
    if (i < 0)
        return fail(m, "invalid pattern capture");
    m->captures[i].n = s - m->captures[i].at;
    const uint8_t *e = try_at(m, s, p);
    if (e == NULL)
        m->captures[i].n = PATTERN_OPEN;
    return e;
}

// "%bxy": p at the x. Behind the balanced part, or NULL.
static const uint8_t *balanced(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    if (m->pattern_end - p < 2)
        return fail(m, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0])
        return NULL;
    size_t open = 1;
    for (s++; s < m->subject_end && step(m, 1); s++) {
        if (*s == p[1]) {
            if (--open == 0)
                return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

// "%1": the same text as a capture. Behind it, or NULL.
static const uint8_t *repeated(struct pattern *m, const uint8_t *s, uint8_t digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures_count || m->captures[i].n == PATTERN_OPEN) {
        m->argument = i + 1;
        return fail(m, "invalid capture index %%%d");
    }
    ptrdiff_t n = m->captures[i].n;
    if (n < 0 || m->subject_end - s < n || !step(m, (uint64_t)n + 1) ||
        memcmp(m->captures[i].at, s, (size_t)n) != 0)
        return NULL;
    return s + n;
}

// "%f[set]": p at the "[". Behind the set if s is a border, else NULL.
static const uint8_t *frontier(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    if (at(m, p) != '[')
        return fail(m, "missing '[' after '%%f' in pattern");
    const uint8_t *end = item_end(m, p);
    if (end == NULL || !step(m, (uint64_t)(end - p)))
        return NULL;
    uint8_t before = s == m->subject ? 0 : s[-1], here = s < m->subject_end ? *s : 0;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1) ? end : NULL;
}

// A "%" item that is more than a class. false: it is a class. Else *s and *p stand behind it, *s
// NULL if it does not match.
static bool special(struct pattern *m, const uint8_t **s, const uint8_t **p)
{
    uint8_t c = at(m, *p + 1);
    if (c == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
    } else if (c == 'f') {
        *p = frontier(m, *s, *p + 2);
        if (*p == NULL)
            *s = NULL;
    } else if (isdigit(c)) {
        *s = repeated(m, *s, c);
        *p += 2;
    } else {
        return false;
    }
    return true;
}

static const uint8_t *run(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    while (p < m->pattern_end) {
        if (*p == '(')
            return at(m, p + 1) == ')' ? open_capture(m, s, p + 2, PATTERN_POSITION)
                                       : open_capture(m, s, p + 1, PATTERN_OPEN);
        if (*p == ')')
            return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->subject_end ? s : NULL;
        if (*p == '%' && special(m, &s, &p)) {
            if (s == NULL)
                return NULL;
            continue;
        }
        const uint8_t *end = item_end(m, p);
        if (end == NULL)
            return NULL;
        switch (at(m, end)) {
        case '*':
            return most(m, s, p, end);
        case '+':
            return fits(m, s, p, end) ? most(m, s + 1, p, end) : NULL;
        case '-':
            return fewest(m, s, p, end);
        case '?':
            if (fits(m, s, p, end)) {
                const uint8_t *e = try_at(m, s + 1, end + 1);
                if (e != NULL || m->error != NULL)
                    return e;
            }
            p = end + 1;
            break;
        default:
            if (!fits(m, s, p, end))
                return NULL;
            s++;
            p = end;
        }
    }
    return s;
}

static const uint8_t *try_at(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    if (!step(m, 1))
        return NULL;
    if (m->depth == PATTERN_DEPTH)
        return fail(m, "pattern too complex");
    m->depth++;
    const uint8_t *e = run(m, s, p);
    m->depth--;
    return m->error == NULL ? e : NULL;
}

const uint8_t *pattern_match(struct pattern *m, const uint8_t *s, const uint8_t *p)
{
    m->depth = 0;
    m->captures_count = 0;
    return try_at(m, s, p);
}
