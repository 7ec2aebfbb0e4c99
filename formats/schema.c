// SPDX-License-Identifier: Apache-2.0
#include "formats/schema.h"

#include "base/text.h"

static const char *const type_names[] = {"any",    "boolean", "int",   "long",      "float",
                                         "double", "string",  "bytes", "timestamp", NULL};

const char *field_type_name(enum field_type t)
{
    return (uint32_t)t <= FIELD_TIMESTAMP ? type_names[t] : "unknown";
}

int field_type_parse(const char *text, enum field_type *type, bool *nullable, struct err *e)
{
    char name[32];
    size_t n = strlen(text);
    *nullable = n > 0 && text[n - 1] == '?';
    n -= *nullable ? 1 : 0;
    snprintf(name, sizeof(name), "%.*s", (int)(n < sizeof(name) ? n : sizeof(name) - 1), text);
    for (int i = 0; type_names[i] != NULL && n < sizeof(name); i++) {
        if (strcmp(type_names[i], name) == 0) {
            *type = (enum field_type)i;
            return 0;
        }
    }
    const char *near = text_nearest_of(name, type_names);
    return err_set(e, ERR_INVALID,
                   "'%s' is not a field type%s%s%s; the types are any, boolean, int, long, float, "
                   "double, string, bytes, timestamp, with '?' behind when null is allowed",
                   text, near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                   near == NULL ? "" : "'");
}

int schema_find(const struct schema *s, struct slice name)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (slice_eq_str(name, s->fields[i].name))
            return (int)i;
    }
    return -1;
}

static const char *field_name_at(void *arg, int i)
{
    const struct schema *s = arg;
    return (uint32_t)i < s->count ? s->fields[i].name : NULL;
}

const char *schema_nearest(const struct schema *s, const char *name)
{
    return text_nearest(name, field_name_at, (void *)s);
}
