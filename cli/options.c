// SPDX-License-Identifier: Apache-2.0
//
// Options: see options.h. No state; every word is looked at once, left to right.
#include "cli/options.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>

static const char *table_name(void *arg, int i)
{
    const struct option *table = arg;
    return table[i].name;
}

static const struct option *find_long(const struct option *table, const char *name, size_t n)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    }
    return NULL;
}

static const struct option *find_letter(const struct option *table, char letter)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        if (o->letter != 0 && o->letter == letter)
            return o;
    }
    return NULL;
}

static int set_flag(const struct option *o, const char *value, struct err *e)
{
    bool *out = o->out;
    if (value == NULL || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0) {
        *out = true;
    } else if (strcmp(value, "false") == 0 || strcmp(value, "no") == 0) {
        *out = false;
    } else {
        return err_set(e, ERR_INVALID, "--%s is true or false, not \"%s\"", o->name, value);
    }
    return 0;
}

static int set_int(const struct option *o, const char *value, struct err *e)
{
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != 0)
        return err_set(e, ERR_INVALID, "--%s needs a whole number, not \"%s\"", o->name, value);
    *(int64_t *)o->out = v;
    return 0;
}

static int set_choice(const struct option *o, const char *value, struct err *e)
{
    char all[256] = "";
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], value) == 0) {
            *(int *)o->out = i;
            return 0;
        }
        size_t n = strlen(all);
        snprintf(all + n, sizeof(all) - n, "%s%s", i == 0 ? "" : ", ", o->choices[i]);
    }
    return err_set(e, ERR_INVALID, "--%s cannot be \"%s\"; choose one of %s", o->name, value, all);
}

static int set_list(const struct option *o, const char *value, struct err *e)
{
    struct option_list *list = o->out;
    if (list->count == OPTION_LIST_MAX)
        return err_set(e, ERR_LIMIT, "--%s may be given at most %d times", o->name,
                       OPTION_LIST_MAX);
    list->items[list->count++] = value;
    return 0;
}

static int set_value(const struct option *o, const char *value, struct err *e)
{
    switch (o->type) {
    case OPTION_FLAG:
        return set_flag(o, value, e);
    case OPTION_STRING:
        *(const char **)o->out = value;
        return 0;
    case OPTION_LIST:
        return set_list(o, value, e);
    case OPTION_INT:
        return set_int(o, value, e);
    case OPTION_DURATION:
        return text_duration_ms(value, o->out, e) != 0 ? err_wrap(e, "--%s", o->name) : 0;
    case OPTION_BYTES:
        return text_bytes(value, o->out, e) != 0 ? err_wrap(e, "--%s", o->name) : 0;
    case OPTION_CHOICE:
        return set_choice(o, value, e);
    }
    return 0;
}

static int unknown(const struct options_usage *u, const char *word, size_t n, struct err *e)
{
    char name[128];
    snprintf(name, sizeof(name), "%.*s", (int)n, word);
    const char *near = text_nearest(name, table_name, (void *)u->table);
    if (near != NULL)
        return err_set(e, ERR_INVALID, "there is no option --%s; did you mean --%s?", name, near);
    return err_set(e, ERR_INVALID, "there is no option --%s; see --help", name);
}

// One option word at argv[*i]; takes the next word too when the option needs a value.
static int parse_option(const struct options_usage *u, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i], *value = NULL;
    const struct option *o;
    if (word[1] == '-') {
        const char *eq = strchr(word, '=');
        size_t n = eq == NULL ? strlen(word + 2) : (size_t)(eq - word - 2);
        o = find_long(u->table, word + 2, n);
        if (o == NULL)
            return unknown(u, word + 2, n, e);
        value = eq == NULL ? NULL : eq + 1;
    } else {
        o = find_letter(u->table, word[1]);
        if (o == NULL)
            return err_set(e, ERR_INVALID, "there is no option -%c; see --help", word[1]);
        value = word[2] != 0 ? word + 2 : NULL;
    }
    if (value == NULL && o->type != OPTION_FLAG) {
        if (*i + 1 >= argc)
            return err_set(e, ERR_INVALID, "--%s needs a value: --%s %s", o->name, o->name,
                           o->arg == NULL ? "VALUE" : o->arg);
        value = argv[++*i];
    }
    return set_value(o, value, e);
}

static int check_args(const struct options_usage *u, const struct options_args *args, struct err *e)
{
    if (args->count < u->min_args)
        return err_set(e, ERR_INVALID, "something is missing; usage: %s", u->usage);
    if (args->count > u->max_args)
        return err_set(e, ERR_INVALID, "\"%s\" is one word too many; usage: %s",
                       args->items[u->max_args], u->usage);
    return 0;
}

enum options_outcome options_parse(const struct options_usage *u, int argc, char **argv,
                                   struct options_args *args, struct err *e)
{
    args->items = (const char **)(argv + 1);
    args->count = 0;
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (only_args || word[0] != '-' || word[1] == 0) {
            argv[1 + args->count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_args = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            options_help(u, stdout);
            return OPTIONS_HELP;
        } else if (parse_option(u, argc, argv, &i, e) != 0) {
            return OPTIONS_ERROR;
        }
    }
    return check_args(u, args, e) == 0 ? OPTIONS_RUN : OPTIONS_ERROR;
}

static int left_column(const struct option *o, char out[80])
{
    char letter[8] = "    ";
    if (o->letter != 0)
        snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    return snprintf(out, 80, "  %s--%s%s%s", letter, o->name, o->arg == NULL ? "" : " ",
                    o->arg == NULL ? "" : o->arg);
}

static void help_text(const char *text, int indent, int at, FILE *to)
{
    while (true) {
        const char *end = strchr(text, '\n');
        int n = end == NULL ? (int)strlen(text) : (int)(end - text);
        fprintf(to, "%*s%.*s\n", indent > at ? indent - at : 2, "", n, text);
        if (end == NULL)
            return;
        text = end + 1;
        at = 0;
    }
}

void options_help(const struct options_usage *u, FILE *to)
{
    fprintf(to, "Usage: %s\n", u->usage);
    if (u->about != NULL)
        fprintf(to, "\n%s\n", u->about);
    char left[80];
    int width = 12;
    for (const struct option *o = u->table; o->name != NULL; o++) {
        int n = left_column(o, left);
        width = n > width && n < 40 ? n : width;
    }
    fprintf(to, "\nOptions:\n");
    for (const struct option *o = u->table; o->name != NULL; o++) {
        int n = left_column(o, left);
        fputs(left, to);
        help_text(o->help, width + 2, n, to);
    }
    fprintf(to, "  -h, --help%*s%s\n", width + 2 - 12, "", "show this");
    if (u->examples != NULL)
        fprintf(to, "\nExamples:\n%s\n", u->examples);
}

int options_fail(const char *command, const struct err *e, int code)
{
    fflush(stdout);
    fprintf(stderr, "weir %s: %s\n", command, e->text);
    return code;
}
