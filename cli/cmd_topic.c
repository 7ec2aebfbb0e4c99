// SPDX-License-Identifier: Apache-2.0
//
// weir topic: looks at and changes topics, through a live broker or the data directory itself
// (transport.h). This file: the dispatch and list, create, describe, delete.
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/table.h"
#include "cli/topic.h"
#include "formats/value.h"

#include <inttypes.h>
#include <signal.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

int topic_fail(const char *command, const struct err *e)
{
    char name[64];
    snprintf(name, sizeof(name), "topic %s", command);
    return options_fail(name, e, 1);
}

int topic_usage_fail(const char *command, const struct err *e)
{
    topic_fail(command, e);
    return 2;
}

static void on_signal(int sig)
{
    (void)sig;
    transport_stop();
}

void topic_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

// --- list ---------------------------------------------------------------------------------------

// Topics that weir makes for its own use; dead letters are for people and always shown.
static bool is_internal(const char *name)
{
    static const char *const endings[] = {"-repartition", "-changelog", "-tasks", "-sources", NULL};
    size_t n = strlen(name);
    if (name[0] == '_' && name[1] == '_')
        return true;
    for (int i = 0; endings[i] != NULL; i++) {
        size_t k = strlen(endings[i]);
        if (n > k && strcmp(name + n - k, endings[i]) == 0)
            return true;
    }
    return false;
}

static int count_records(struct client *c, const struct client_topic *t, int64_t *out,
                         struct err *e)
{
    *out = 0;
    for (int32_t i = 0; i < t->partitions; i++) {
        int64_t start, end;
        if (client_offset(c, t->name, i, CLIENT_START, &start, e) != 0 ||
            client_offset(c, t->name, i, CLIENT_END, &end, e) != 0)
            return -1;
        *out += end - start;
    }
    return 0;
}

static int list_topic(struct client *c, const struct client_topic *t, bool json,
                      struct table *table, struct arena *a, struct err *e)
{
    int64_t records;
    struct client_config *configs;
    uint32_t n;
    const char *cleanup = "";
    if (count_records(c, t, &records, e) != 0 ||
        client_configs(c, t->name, a, &configs, &n, e) != 0)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(configs[i].name, "cleanup.policy") == 0)
            cleanup = configs[i].value;
    }
    if (json) {
        printf("{\"topic\":\"%s\",\"partitions\":%d,\"offsets\":%" PRId64 ",\"cleanup\":\"%s\"}\n",
               t->name, t->partitions, records, cleanup);
        return 0;
    }
    char partitions[32], count[32];
    snprintf(partitions, sizeof(partitions), "%d", t->partitions);
    const char *cells[] = {t->name, partitions, text_count(records, count), cleanup};
    table_row(table, cells);
    return 0;
}

static int list_all(struct client *c, bool internal, bool json, struct err *e)
{
    static const char *const titles[] = {"TOPIC", ">PARTITIONS", ">RECORDS", "CLEANUP", NULL};
    struct arena a;
    struct table table;
    struct client_topic *topics;
    uint32_t n, hidden = 0;
    arena_init(&a);
    table_init(&table, titles);
    int r = client_topics(c, &a, &topics, &n, e);
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        if (internal || !is_internal(topics[i].name))
            r = list_topic(c, &topics[i], json, &table, &a, e);
        else
            hidden++;
    }
    if (r == 0 && !json && table.count > 0)
        table_print(&table, stdout);
    else if (r == 0 && !json)
        printf("No topics yet. Make one: weir topic create NAME\n");
    if (r == 0 && !json && hidden > 0)
        printf("(%u internal %s not shown; --internal shows %s)\n", hidden,
               hidden == 1 ? "topic" : "topics", hidden == 1 ? "it" : "them");
    table_release(&table);
    arena_release(&a);
    return r;
}

static int topic_list(int argc, char **argv)
{
    struct transport_where where = {.data = TOPIC_DATA};
    bool internal = false, json = false;
    const struct option table[] = {
        {"internal", 0, OPTION_FLAG, &internal, NULL,
         "also topics that weir made for itself (changelogs, repartitions …)", NULL},
        {"json", 'j', OPTION_FLAG, &json, NULL, "one JSON object a line", NULL},
        TOPIC_WHERE_OPTIONS(where),
        {0},
    };
    const struct options_usage usage = {
        "weir topic list [options]",
        "Lists topics. RECORDS counts offsets in use; compaction and markers leave gaps in them.",
        "  weir topic list\n  weir topic list --internal --json | jq -r .topic",
        table,
        0,
        0};
    struct options_args args;
    struct client c;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("list", &e);
    case OPTIONS_RUN:
        break;
    }
    if (client_open(&c, &where, &e) != 0)
        return topic_fail("list", &e);
    int r = list_all(&c, internal, json, &e);
    client_close(&c);
    return r == 0 ? 0 : topic_fail("list", &e);
}

// --- create -------------------------------------------------------------------------------------

static int parse_configs(const struct option_list *texts, struct arena *a,
                         struct client_config *out, struct err *e)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        const char *eq = strchr(texts->items[i], '=');
        if (eq == NULL)
            return err_set(e, ERR_INVALID, "--config \"%s\": write --config name=value",
                           texts->items[i]);
        out[i].name =
            (const char *)arena_slice(a, slice_of(texts->items[i], (size_t)(eq - texts->items[i])))
                .p;
        out[i].value = eq + 1;
    }
    return 0;
}

struct create {
    struct transport_where where;
    int64_t partitions, retention_ms;
    bool compact, if_missing;
    struct option_list texts;
};

static int create_topic(struct create *o, const char *name, struct err *e)
{
    struct client_config configs[OPTION_LIST_MAX + 2];
    struct client c;
    struct arena a;
    char retention[32];
    uint32_t n = o->texts.count;
    arena_init(&a);
    int r = parse_configs(&o->texts, &a, configs, e);
    if (o->compact)
        configs[n++] = (struct client_config){"cleanup.policy", "compact", false};
    if (o->retention_ms != INT64_MIN) {
        snprintf(retention, sizeof(retention), "%" PRId64, o->retention_ms);
        configs[n++] = (struct client_config){"retention.ms", retention, false};
    }
    if (r == 0 && (o->partitions < 1 || o->partitions > INT32_MAX))
        r = err_set(e, ERR_INVALID, "--partitions is at least 1");
    if (r == 0 && (r = client_open(&c, &o->where, e)) == 0) {
        r = client_create(&c, name, (int32_t)o->partitions, configs, n, e);
        client_close(&c);
    }
    arena_release(&a);
    if (r == 0)
        printf("Topic %s created with %" PRId64 " %s.\n", name, o->partitions,
               o->partitions == 1 ? "partition" : "partitions");
    return r != 0 && e->code == ERR_EXISTS && o->if_missing ? 0 : r;
}

static int topic_create(int argc, char **argv)
{
    struct create o = {
        .where = {.data = TOPIC_DATA, .create = true}, .partitions = 4, .retention_ms = INT64_MIN};
    const struct option table[] = {
        {"partitions", 'p', OPTION_INT, &o.partitions, "N", "how many (default: 4)", NULL},
        {"compact", 0, OPTION_FLAG, &o.compact, NULL,
         "keep the newest record of each key instead of deleting by age", NULL},
        {"retention", 0, OPTION_DURATION, &o.retention_ms, "TIME",
         "how long records stay, e.g. 30d (default: as the broker says)", NULL},
        {"config", 'c', OPTION_LIST, &o.texts, "NAME=VALUE",
         "a topic config by its Kafka name; may be repeated", NULL},
        {"if-missing", 0, OPTION_FLAG, &o.if_missing, NULL, "no error when it exists already",
         NULL},
        TOPIC_WHERE_OPTIONS(o.where),
        {0},
    };
    const struct options_usage usage = {
        "weir topic create TOPIC [options]",
        "Makes a topic.",
        "  weir topic create payments --partitions 8 --retention 30d\n"
        "  weir topic create customers --compact --config segment.bytes=16777216",
        table,
        1,
        1};
    struct options_args args;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("create", &e);
    case OPTIONS_RUN:
        break;
    }
    return create_topic(&o, args.items[0], &e) == 0 ? 0 : topic_fail("create", &e);
}

// --- describe -----------------------------------------------------------------------------------

static int describe_partitions(struct client *c, const char *name, int32_t partitions, bool json,
                               struct err *e)
{
    static const char *const titles[] = {">PARTITION", ">START", ">END", ">RECORDS", NULL};
    struct table table;
    int r = 0;
    table_init(&table, titles);
    for (int32_t i = 0; r == 0 && i < partitions; i++) {
        int64_t start = 0, end = 0;
        char cells[4][32];
        r = client_offset(c, name, i, CLIENT_START, &start, e);
        if (r == 0)
            r = client_offset(c, name, i, CLIENT_END, &end, e);
        if (json && r == 0)
            printf("%s{\"partition\":%d,\"start\":%" PRId64 ",\"end\":%" PRId64 "}",
                   i == 0 ? "" : ",", i, start, end);
        snprintf(cells[0], sizeof(cells[0]), "%d", i);
        const char *row[] = {cells[0], text_count(start, cells[1]), text_count(end, cells[2]),
                             text_count(end - start, cells[3])};
        table_row(&table, row);
    }
    if (r == 0 && !json)
        table_print(&table, stdout);
    table_release(&table);
    return r;
}

static void print_configs(const struct client_config *configs, uint32_t n, bool json, bool all)
{
    static const char *const titles[] = {"CONFIG", "VALUE", "", NULL};
    struct table table;
    bool first = true;
    table_init(&table, titles);
    for (uint32_t i = 0; i < n; i++) {
        if (json)
            printf("%s\"%s\":\"%s\"", first ? "" : ",", configs[i].name, configs[i].value);
        else if (all || !configs[i].is_default)
            table_row(&table, (const char *[]){configs[i].name, configs[i].value,
                                               configs[i].is_default ? "default" : "set"});
        first = false;
    }
    if (!json && table.count > 0) {
        printf("\n");
        table_print(&table, stdout);
    } else if (!json) {
        printf("\nAll configs have their defaults (--all shows them).\n");
    }
    table_release(&table);
}

static int describe(struct client *c, const char *name, bool json, bool all, struct err *e)
{
    struct arena a;
    struct client_config *configs;
    int32_t partitions;
    uint32_t n;
    arena_init(&a);
    int r = client_topic(c, name, &partitions, e);
    if (r == 0)
        r = client_configs(c, name, &a, &configs, &n, e);
    if (r == 0) {
        if (json)
            printf("{\"topic\":\"%s\",\"partitions\":[", name);
        r = describe_partitions(c, name, partitions, json, e);
    }
    if (r == 0) {
        if (json)
            printf("],\"configs\":{");
        print_configs(configs, n, json, all);
        if (json)
            printf("}}\n");
    }
    arena_release(&a);
    return r;
}

static int topic_describe(int argc, char **argv)
{
    struct transport_where where = {.data = TOPIC_DATA};
    bool json = false, all = false;
    const struct option table[] = {
        {"all", 'a', OPTION_FLAG, &all, NULL, "also configs that have their default", NULL},
        {"json", 'j', OPTION_FLAG, &json, NULL, "one JSON object, with all configs", NULL},
        TOPIC_WHERE_OPTIONS(where),
        {0},
    };
    const struct options_usage usage = {
        "weir topic describe TOPIC [options]",
        "Shows a topic's partitions with their offsets, and the configs that were set.",
        "  weir topic describe payments\n  weir topic describe payments --json | jq .configs",
        table,
        1,
        1};
    struct options_args args;
    struct client c;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("describe", &e);
    case OPTIONS_RUN:
        break;
    }
    if (client_open(&c, &where, &e) != 0)
        return topic_fail("describe", &e);
    int r = describe(&c, args.items[0], json, all, &e);
    client_close(&c);
    return r == 0 ? 0 : topic_fail("describe", &e);
}

// --- delete and dispatch ------------------------------------------------------------------------

static int topic_delete(int argc, char **argv)
{
    struct transport_where where = {.data = TOPIC_DATA};
    const struct option table[] = {TOPIC_WHERE_OPTIONS(where), {0}};
    const struct options_usage usage = {"weir topic delete TOPIC [options]",
                                        "Deletes a topic with all its records. There is no way "
                                        "back.",
                                        "  weir topic delete payments-test",
                                        table,
                                        1,
                                        1};
    struct options_args args;
    struct client c;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return topic_usage_fail("delete", &e);
    case OPTIONS_RUN:
        break;
    }
    if (client_open(&c, &where, &e) != 0)
        return topic_fail("delete", &e);
    int32_t partitions; // asked first: its error names the nearest topic
    int r = client_topic(&c, args.items[0], &partitions, &e);
    if (r == 0)
        r = client_delete(&c, args.items[0], &e);
    client_close(&c);
    if (r != 0)
        return topic_fail("delete", &e);
    printf("Topic %s deleted.\n", args.items[0]);
    return 0;
}

static const struct command commands[] = {
    {"list", topic_list, "list topics"},
    {"create", topic_create, "make a topic"},
    {"describe", topic_describe, "partitions, offsets and configs of a topic"},
    {"produce", topic_produce, "write lines as records"},
    {"consume", topic_consume, "show records"},
    {"delete", topic_delete, "delete a topic with all its records"},
};

static const char *command_name(void *arg, int i)
{
    (void)arg;
    return (size_t)i < ARRAY_COUNT(commands) ? commands[i].name : NULL;
}

static void help(FILE *to)
{
    fprintf(to,
            "Usage: weir topic COMMAND [options]\n\n"
            "Looks at and changes topics. Works on a running broker or `weir run` as well as on "
            "a\ndata directory that nobody has open.\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\nExamples:\n"
                "  weir topic create payments\n"
                "  echo '{\"user\":\"ann\",\"amount\":12}' | weir topic produce payments\n"
                "  weir topic consume payments\n\n"
                "`weir topic COMMAND --help` tells more.\n");
}

int cmd_topic(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    struct err e;
    const char *near = text_nearest(argv[1], command_name, NULL);
    err_set(&e, ERR_INVALID, "there is no command \"%s\"%s%s%s; see weir topic --help", argv[1],
            near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near,
            near == NULL ? "" : "\"?");
    return options_fail("topic", &e, 2);
}
