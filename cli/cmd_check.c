// SPDX-License-Identifier: Apache-2.0
//
// `weir check` and `weir plan`: a script without running it.
#include <stdio.h>

#include "cli/cmd.h"
#include "cli/params.h"
#include "connectors/connector.h"
#include "runtime/plan.h"

struct loaded {
    struct script *script;
    struct arena arena;
    struct plan *plan;
};

static int load(const char *path, const struct option_list *set, struct loaded *l, struct err *err)
{
    struct params params;
    if (params_from(set, &params, err) != 0)
        return -1;
    struct script_options o = {.params = params.items, .params_count = params.count};
    if (script_load(path, NULL, &o, &l->script, err) != 0 ||
        plan_make(script_graph(l->script), &l->arena, &l->plan, err) != 0 ||
        plan_partitions_fix(l->plan, NULL, NULL, err) != 0)
        return -1;
    return connectors_check(l->plan->graph, err);
}

static int check_or_plan(const char *command, bool plan, const char *about, int argc, char **argv)
{
    struct option_list set = {.count = 0};
    bool json = false;
    char usage[64];
    snprintf(usage, sizeof(usage), "weir %s SCRIPT.lua [options]", command);
    const struct option table[] = {
        {"set", 's', OPTION_LIST, &set, "NAME=VALUE", "a parameter of the script", NULL},
        {"json", 0, OPTION_FLAG, &json, NULL, "for machines", NULL},
        {NULL, 0, OPTION_FLAG, NULL, NULL, NULL, NULL},
    };
    struct options_usage u = {.usage = usage,
                              .about = about,
                              .table = table,
                              .examples = plan ? "  weir plan app.lua\n" : "  weir check app.lua\n",
                              .min_args = 1,
                              .max_args = 1};
    struct options_args args;
    struct err err;
    enum options_outcome o = options_parse(&u, argc, argv, &args, &err);
    if (o != OPTIONS_RUN)
        return o == OPTIONS_HELP ? 0 : options_fail(command, &err, 2);
    struct loaded l = {0};
    arena_init(&l.arena);
    int rc = load(args.items[0], &set, &l, &err);
    if (rc == 0 && plan) {
        struct buf out;
        buf_init(&out);
        plan_print(l.plan, json, &out);
        fwrite(out.p, 1, out.n, stdout);
        buf_release(&out);
    } else if (rc == 0) {
        printf(json ? "{\"ok\":true,\"app\":\"%s\"}\n" : "%s is fine\n",
               json ? l.plan->graph->app : args.items[0]);
    }
    if (rc != 0 && json) {
        printf("{\"ok\":false,\"error\":");
        struct buf out;
        buf_init(&out);
        value_json_string(slice_str(err.text), &out);
        fwrite(out.p, 1, out.n, stdout);
        printf("}\n");
        buf_release(&out);
    }
    if (l.script != NULL)
        script_free(l.script);
    arena_release(&l.arena);
    return rc == 0 ? 0 : json ? 1 : options_fail(command, &err, 1);
}

int cmd_check(int argc, char **argv)
{
    return check_or_plan("check", false,
                         "Loads a script and checks every option, field, name and connector,\n"
                         "without starting anything. Exit code 1 when something is wrong.",
                         argc, argv);
}

int cmd_plan(int argc, char **argv)
{
    return check_or_plan("plan", true,
                         "Shows what a script becomes: sub-topologies and their tasks, stores,\n"
                         "topics (also internal ones), and which repartition was made or elided,\n"
                         "and why.",
                         argc, argv);
}
