// SPDX-License-Identifier: Apache-2.0
//
// Settings: the options of a connector, as one table: name, type, default, help. The check (unknown
// option with its nearest name, wrong type with an example of a right one) and the help text come
// from the same table, so they cannot disagree.
//
// Values are read out of the spec's option map by name after settings_check has passed; asking for
// a name that the table lacks is a bug. Texts are copied into the caller's arena.
#pragma once

#include "operators/graph.h"

enum setting_type {
    SETTING_TEXT,
    SETTING_FLAG,
    SETTING_COUNT,    // a whole number >= 0
    SETTING_DURATION, // "250ms", "7d"
    SETTING_NAMES,    // a list of texts
};

struct setting {
    const char *name; // NULL ends a table
    enum setting_type type;
    bool required;
    const char *fallback; // as it would be written; NULL: none
    const char *help;
};

int settings_check(const struct connector_spec *, const struct setting *table, struct err *);

bool settings_given(const struct connector_spec *, const char *name);
// NULL: not given, no default.
const char *settings_text(const struct connector_spec *, const struct setting *table,
                          const char *name, struct arena *);
bool settings_flag(const struct connector_spec *, const struct setting *table, const char *name);
int64_t settings_count(const struct connector_spec *, const struct setting *table,
                       const char *name);
int64_t settings_duration(const struct connector_spec *, const struct setting *table,
                          const char *name); // ms
// The names, moved into the arena; *n = 0 when not given.
const char **settings_names(const struct connector_spec *, const char *name, struct arena *,
                            uint32_t *n);

// For a text option that takes one character: "," or "tab". -1: err names the option.
int settings_delimiter(const struct connector_spec *, const char *text, char *out, struct err *);
// An error about one option: "<where>: source "x": option "path": …". Returns -1.
int settings_fail(const struct connector_spec *, const char *option, struct err *, const char *fmt,
                  ...) PRINTF_LIKE(4, 5);
