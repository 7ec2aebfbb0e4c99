// SPDX-License-Identifier: Apache-2.0
#include "cli/params.h"

#include <string.h>

int params_from(const struct option_list *list, struct params *out, struct err *err)
{
    out->count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *eq = strchr(list->items[i], '=');
        size_t n = eq == NULL ? 0 : (size_t)(eq - list->items[i]);
        if (n == 0 || n >= sizeof(out->text[0]))
            return err_set(err, ERR_INVALID, "--set %s: write --set name=value", list->items[i]);
        memcpy(out->text[i], list->items[i], n);
        out->text[i][n] = 0;
        out->items[out->count++] = (struct script_param){out->text[i], eq + 1};
    }
    return 0;
}
