// SPDX-License-Identifier: Apache-2.0
//
// Table: see table.h. Widths are counted in code points, so that names in UTF-8 stay aligned.
#include "cli/table.h"

#include "base/check.h"

static int width_of(const char *s)
{
    int n = 0;
    for (; *s != 0; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_init(struct table *t, const char *const *titles)
{
    memset(t, 0, sizeof(*t));
    arena_init(&t->arena);
    for (; titles[t->columns] != NULL; t->columns++) {
        CHECK(t->columns < TABLE_COLUMNS);
        const char *title = titles[t->columns];
        t->right[t->columns] = title[0] == '>';
        t->titles[t->columns] = title + (title[0] == '>');
    }
}

void table_release(struct table *t)
{
    arena_release(&t->arena);
    free(t->rows);
}

void table_row(struct table *t, const char *const *cells)
{
    if (t->count == t->size) {
        t->size = t->size == 0 ? 16 : t->size * 2;
        t->rows = check_alloc(realloc(t->rows, t->size * sizeof(*t->rows)));
    }
    for (uint32_t i = 0; i < t->columns; i++)
        t->rows[t->count][i] = arena_str(&t->arena, cells[i]);
    t->count++;
}

static void print_row(const struct table *t, const char *const *cells, const int *widths, FILE *to)
{
    for (uint32_t i = 0; i < t->columns; i++) {
        int pad = widths[i] - width_of(cells[i]);
        bool last = i + 1 == t->columns;
        if (t->right[i])
            fprintf(to, "%*s%s%s", pad, "", cells[i], last ? "" : "  ");
        else
            fprintf(to, "%s%*s", cells[i], last ? 0 : pad + 2, "");
    }
    fputc('\n', to);
}

void table_print(const struct table *t, FILE *to)
{
    int widths[TABLE_COLUMNS] = {0};
    for (uint32_t i = 0; i < t->columns; i++) {
        widths[i] = width_of(t->titles[i]);
        for (uint32_t r = 0; r < t->count; r++) {
            int n = width_of(t->rows[r][i]);
            widths[i] = n > widths[i] ? n : widths[i];
        }
    }
    print_row(t, t->titles, widths, to);
    for (uint32_t r = 0; r < t->count; r++)
        print_row(t, t->rows[r], widths, to);
}
