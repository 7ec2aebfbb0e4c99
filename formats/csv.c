// SPDX-License-Identifier: Apache-2.0
//
// One pass per row. Fields are noted as offsets from the row's begin while they are scanned; when
// the bytes run out, the scan stops at a point it can go on from, so that a row that arrives in
// pieces is still read once. Only fields with doubled quotes are copied.
//
// Thread: one owner. Memory is kept between rows.
#include "formats/csv.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct csv_field {
    uint32_t begin, end; // between the quotes, if there are any
    bool quoted, doubled;
};

struct csv {
    char delimiter;
    bool started;                 // a BOM can no longer come
    uint32_t resume, field_begin; // scanned so far of the row at hand, and its unfinished field
    struct csv_field *found;
    struct slice *fields;
    bool *quoted;
    uint32_t count, size;
    struct buf unquoted;
};

struct csv *csv_new(char delimiter)
{
    struct csv *c = check_alloc(calloc(1, sizeof(*c)));
    c->delimiter = delimiter == 0 ? ',' : delimiter;
    return c;
}

void csv_free(struct csv *c)
{
    if (c == NULL)
        return;
    free(c->found);
    free(c->fields);
    free(c->quoted);
    buf_release(&c->unquoted);
    free(c);
}

static void push(struct csv *c, struct csv_field f)
{
    if (c->count == c->size) {
        c->size = c->size == 0 ? 32 : c->size * 2;
        c->found = check_alloc(realloc(c->found, c->size * sizeof(*c->found)));
        c->fields = check_alloc(realloc(c->fields, c->size * sizeof(*c->fields)));
        c->quoted = check_alloc(realloc(c->quoted, c->size * sizeof(*c->quoted)));
    }
    c->found[c->count++] = f;
}

// The first delimiter, newline or quote at or after p, or `end`.
static const uint8_t *find_special(const uint8_t *p, const uint8_t *end, uint8_t delimiter)
{
#ifdef __SSE2__
    const __m128i d = _mm_set1_epi8((char)delimiter), n = _mm_set1_epi8('\n'),
                  q = _mm_set1_epi8('"');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, d), _mm_cmpeq_epi8(v, n)),
                                   _mm_cmpeq_epi8(v, q));
        int mask = _mm_movemask_epi8(hit);
        if (mask != 0)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != delimiter && *p != '\n' && *p != '"')
        p++;
    return p;
}

static const char unclosed[] = "a quote that is not closed";

enum step { STEP_FIELD, STEP_ROW, STEP_MORE, STEP_BAD };

static enum step finish(struct csv *c, struct slice in, uint32_t at, struct csv_field f)
{
    if (at == in.n) {
        push(c, f);
        c->resume = at;
        return STEP_ROW;
    }
    push(c, f);
    c->resume = c->field_begin = at + 1;
    return in.p[at] == '\n' ? STEP_ROW : STEP_FIELD;
}

// A field that does not begin with a quote.
static enum step plain_field(struct csv *c, struct slice in, bool last, const char **why)
{
    const uint8_t *p = find_special(in.p + c->resume, in.p + in.n, (uint8_t)c->delimiter);
    uint32_t at = (uint32_t)(p - in.p), end = at;
    if (at == in.n && !last) {
        c->resume = at;
        return STEP_MORE;
    }
    if (at < in.n && *p == '"') {
        *why = "a quote inside a field that does not begin with one";
        return STEP_BAD;
    }
    bool line_end = at == in.n || *p == '\n';
    if (line_end && end > c->field_begin && in.p[end - 1] == '\r')
        end--;
    return finish(c, in, at, (struct csv_field){.begin = c->field_begin, .end = end});
}

// The closing quote of the field at field_begin, or NULL if it has not come yet.
static const uint8_t *closing_quote(struct csv *c, struct slice in, bool last, bool *doubled)
{
    uint32_t at = c->field_begin + 1;
    for (;;) {
        const uint8_t *q = memchr(in.p + at, '"', in.n - at);
        if (q == NULL)
            return NULL;
        at = (uint32_t)(q - in.p) + 1;
        if (at == in.n)
            return last ? q : NULL; // the second quote of a pair may come
        if (in.p[at] != '"')
            return q;
        *doubled = true;
        at++;
    }
}

static enum step quoted_field(struct csv *c, struct slice in, bool last, const char **why)
{
    // Fields in quotes are read again from their begin when bytes were missing: they are short.
    bool doubled = false;
    const uint8_t *q = closing_quote(c, in, last, &doubled);
    if (q == NULL) {
        *why = unclosed;
        return last || in.n > CSV_ROW_MAX ? STEP_BAD : STEP_MORE;
    }
    uint32_t end = (uint32_t)(q - in.p), at = end + 1;
    if (at < in.n && in.p[at] == '\r') {
        if (at + 1 == in.n && !last)
            return STEP_MORE;
        if (at + 1 == in.n || in.p[at + 1] == '\n')
            at++;
    }
    if (at == in.n && !last)
        return STEP_MORE;
    if (at < in.n && in.p[at] != (uint8_t)c->delimiter && in.p[at] != '\n') {
        *why = "text behind a closing quote";
        return STEP_BAD;
    }
    struct csv_field f = {
        .begin = c->field_begin + 1, .end = end, .quoted = true, .doubled = doubled};
    return finish(c, in, at, f);
}

static void unquote(struct csv *c, struct slice in, const struct csv_field *f, struct slice *out)
{
    uint32_t start = c->unquoted.n;
    for (uint32_t i = f->begin; i < f->end; i++) {
        buf_u8(&c->unquoted, in.p[i]);
        i += in.p[i] == '"'; // its double
    }
    *out = slice_of(NULL, c->unquoted.n - start); // the place is known when all are done
}

static void give_row(struct csv *c, struct slice in, struct csv_row *row)
{
    uint32_t at = 0;
    buf_clear(&c->unquoted);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct csv_field *f = &c->found[i];
        c->quoted[i] = f->quoted;
        if (f->doubled)
            unquote(c, in, f, &c->fields[i]);
        else
            c->fields[i] = slice_of(in.p + f->begin, f->end - f->begin);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->found[i].doubled) {
            c->fields[i].p = c->unquoted.p + at;
            at += c->fields[i].n;
        }
    }
    *row = (struct csv_row){.fields = c->fields,
                            .quoted = c->quoted,
                            .count = c->count,
                            .begin = in.p,
                            .end = in.p + c->resume};
}

static void start_row(struct csv *c)
{
    c->resume = c->field_begin = c->count = 0;
}

// Frames the bad row: to the next newline from where the scan gave up or, for a quote that is not
// closed, the first line. Waits for the newline if it has not come.
static int give_bad(struct csv *c, struct slice in, bool last, const char *why, struct csv_row *row,
                    struct err *e)
{
    uint32_t from = why == unclosed ? 0 : c->field_begin, field = c->count + 1;
    const uint8_t *newline = memchr(in.p + from, '\n', in.n - from);
    if (newline == NULL && !last && in.n <= CSV_ROW_MAX) {
        c->resume = c->field_begin;
        return 0;
    }
    *row = (struct csv_row){.begin = in.p, .end = newline == NULL ? in.p + in.n : newline + 1};
    start_row(c);
    c->started = true;
    return err_set(e, ERR_CORRUPT, "malformed CSV: %s, in field %u", why, field);
}

static int next(struct csv *c, struct slice in, bool last, struct csv_row *row, struct err *e)
{
    for (;;) {
        const char *why = "";
        bool quote = c->field_begin < in.n && in.p[c->field_begin] == '"';
        if (!quote && c->field_begin == in.n && !last)
            return 0;
        switch (quote ? quoted_field(c, in, last, &why) : plain_field(c, in, last, &why)) {
        case STEP_FIELD:
            break;
        case STEP_MORE:
            return 0;
        case STEP_ROW:
            give_row(c, in, row);
            start_row(c);
            c->started = true;
            return 1;
        case STEP_BAD:
            return give_bad(c, in, last, why, row, e);
        }
        if (c->resume > CSV_ROW_MAX)
            return give_bad(c, in, last, "a row longer than 4 MiB", row, e);
    }
}

int csv_next(struct csv *c, struct slice in, bool last, struct csv_row *row, struct err *e)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    if (!c->started && c->field_begin == 0 && c->count == 0) {
        uint32_t n = in.n < 3 ? in.n : 3;
        bool maybe = n != 0 && memcmp(in.p, bom, n) == 0;
        if (maybe && n < 3 && !last)
            return 0;
        if (maybe && n == 3)
            c->resume = c->field_begin = 3;
    }
    if (in.n == (c->started ? 0 : c->field_begin) && c->count == 0)
        return 0;
    return next(c, in, last, row, e);
}

int csv_line(struct csv *c, char delimiter, struct slice line, struct csv_row *row, struct err *e)
{
    c->delimiter = delimiter == 0 ? ',' : delimiter;
    start_row(c);
    int r = next(c, line, true, row, e);
    if (r == 1 && row->end != line.p + line.n)
        return err_set(e, ERR_CORRUPT, "malformed CSV: a second line in one value");
    return r;
}

void csv_put_field(struct slice field, char delimiter, struct buf *out)
{
    bool quote = false;
    for (uint32_t i = 0; i < field.n && !quote; i++) {
        uint8_t b = field.p[i];
        quote =
            b == '"' || b == '\n' || b == '\r' || b == (uint8_t)(delimiter == 0 ? ',' : delimiter);
    }
    if (!quote) {
        buf_slice_put(out, field);
        return;
    }
    buf_u8(out, '"');
    for (uint32_t i = 0; i < field.n; i++) {
        if (field.p[i] == '"')
            buf_u8(out, '"');
        buf_u8(out, field.p[i]);
    }
    buf_u8(out, '"');
}
