// SPDX-License-Identifier: Apache-2.0
//
// Params: `--set name=value` options as script parameters.
#pragma once

#include "cli/options.h"
#include "scripts/script.h"

struct params {
    struct script_param items[OPTION_LIST_MAX];
    char text[OPTION_LIST_MAX][256]; // the names
    uint32_t count;
};

// Values are borrowed from argv. -1: an item without '='.
int params_from(const struct option_list *list, struct params *out, struct err *err);
