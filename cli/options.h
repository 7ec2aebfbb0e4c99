// SPDX-License-Identifier: Apache-2.0
//
// Options: one table per command says which options there are, what they take, what they mean and
// where the value goes; parsing and `--help` both come from it, so they cannot disagree.
//
// Accepted: `--name value`, `--name=value`, `-x value` for options with a letter, `--flag`,
// `--flag=false`, and `--` (everything behind it is an argument). Options and arguments may be
// mixed. An unknown option names the nearest one.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum option_type {
    OPTION_FLAG,     // bool *
    OPTION_STRING,   // const char **, borrowed from argv
    OPTION_LIST,     // struct option_list *: may be given several times
    OPTION_INT,      // int64_t *
    OPTION_DURATION, // int64_t *, milliseconds: "30s", "1d" …
    OPTION_BYTES,    // int64_t *: "64MB", "512KB", "123"
    OPTION_CHOICE,   // int *: index into `choices`
};

enum { OPTION_LIST_MAX = 64 };

struct option_list {
    const char *items[OPTION_LIST_MAX]; // borrowed from argv
    uint32_t count;
};

struct option {
    const char *name; // without dashes; NULL ends a table
    char letter;      // 0: none
    enum option_type type;
    void *out;                  // keeps its value (the default) when the option is not given
    const char *arg;            // what --help calls the value: "DIR", "N"; NULL for flags
    const char *help;           // one line, or several separated by '\n'
    const char *const *choices; // OPTION_CHOICE: NULL-terminated
};

struct options_usage {
    const char *usage;    // "weir topic produce NAME [FILE] [options]"
    const char *about;    // a short paragraph
    const char *examples; // lines, shown as they are
    const struct option *table;
    int min_args, max_args; // of the arguments that are not options
};

struct options_args { // what is left: the arguments, in order; borrowed from argv
    const char **items;
    int count;
};

enum options_outcome {
    OPTIONS_RUN,   // go on
    OPTIONS_HELP,  // --help was asked for and printed: exit with 0
    OPTIONS_ERROR, // err says why: print it, exit with 2
};

// Parses argv[1 …]; argv is reordered: `args` points into it.
enum options_outcome options_parse(const struct options_usage *, int argc, char **argv,
                                   struct options_args *args, struct err *);
void options_help(const struct options_usage *, FILE *to);
// Prints "weir <command>: <text>" to standard error and returns `code`.
int options_fail(const char *command, const struct err *, int code);
