// SPDX-License-Identifier: Apache-2.0
//
// `weir dlq list|show|replay`: dead letters: what could not be processed, why, and again.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/cmd.h"
#include "cli/letters.h"
#include "cli/options.h"
#include "cli/table.h"
#include "cli/topic.h"
#include "formats/value.h"
#include "log/batch.h"

enum { CAUSE_SHOWN = 96 }; // bytes in a list

struct dlq {
    struct transport_where where;
    const char *app;
    int64_t limit;
    bool json, yes, all;
    struct client client;
    struct arena arena;
    struct letters letters;
};

// --- printing ----------------------------------------------------------------------------------

static void json_field(struct buf *b, const char *name, struct slice s, bool last)
{
    buf_printf(b, "\"%s\":", name);
    if (s.p == NULL)
        buf_str(b, "null");
    else
        value_json_string(s, b);
    buf_str(b, last ? "}\n" : ",");
}

static void print_json(const struct letter *l)
{
    struct buf b;
    char when[32];
    buf_init(&b);
    buf_printf(&b, "{\"id\":%" PRId64 ",\"partition\":%d,\"offset\":%" PRId64 ",", l->offset,
               l->partition, l->record_offset);
    json_field(&b, "app", slice_str(l->app), false);
    json_field(&b, "stage", slice_str(l->stage), false);
    json_field(&b, "where", slice_str(l->where), false);
    json_field(&b, "class", slice_str(l->error_class), false);
    json_field(&b, "cause", slice_str(l->cause), false);
    json_field(&b, "topic", slice_str(l->topic), false);
    json_field(&b, "time", slice_str(text_time(l->time, when)), false);
    json_field(&b, "key", l->key, false);
    json_field(&b, "value", l->value, true);
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
}

static const char *place(struct arena *a, const struct letter *l)
{
    char text[400];
    if (l->partition < 0)
        snprintf(text, sizeof(text), "%s", l->topic);
    else
        snprintf(text, sizeof(text), "%s/%d @%" PRId64, l->topic, l->partition, l->record_offset);
    return arena_str(a, text);
}

static int list(struct dlq *d, struct err *err)
{
    static const char *const titles[] = {">id", "app", "stage", "where", "record", "cause", NULL};
    struct table t;
    uint32_t from =
        d->limit >= 0 && d->letters.count > d->limit ? d->letters.count - (uint32_t)d->limit : 0;
    (void)err;
    if (d->letters.count == 0 && !d->json) {
        printf("no dead letters\n");
        return 0;
    }
    table_init(&t, titles);
    for (uint32_t i = from; i < d->letters.count; i++) {
        const struct letter *l = &d->letters.items[i];
        char id[24], cause[CAUSE_SHOWN + 8];
        if (d->json) {
            print_json(l);
            continue;
        }
        snprintf(id, sizeof(id), "%" PRId64, l->offset);
        int n = snprintf(cause, sizeof(cause), "%s", l->cause);
        if (n >= (int)sizeof(cause)) { // between two characters
            for (n = CAUSE_SHOWN; n > 0 && (l->cause[n] & 0xc0) == 0x80; n--)
                ;
            snprintf(cause + n, sizeof(cause) - (size_t)n, "…");
        }
        const char *cells[] = {id, l->app, l->stage, l->where, place(&d->arena, l), cause, NULL};
        table_row(&t, cells);
    }
    if (!d->json) {
        table_print(&t, stdout);
        if (from != 0)
            printf("… and %u older ones (--limit -1 shows all)\n", from);
        printf("weir dlq show ID tells everything about one; weir dlq replay ID sends it again\n");
    }
    table_release(&t);
    return 0;
}

// Text as it is, anything else in hexadecimal.
static void print_bytes(const char *title, struct slice s)
{
    bool text = true;
    for (uint32_t i = 0; i < s.n && text; i++)
        text = (s.p[i] >= 0x20 && s.p[i] != 0x7f) || s.p[i] == '\n' || s.p[i] == '\t';
    printf("%s%s", title, s.p == NULL ? "(none)" : text ? "" : "0x");
    for (uint32_t i = 0; i < s.n; i++)
        text ? putchar(s.p[i]) : printf("%02x", s.p[i]);
    putchar('\n');
}

static void show_one(const struct letter *l)
{
    char when[32];
    printf("id      %" PRId64 " in %s\napp     %s\nstage   %s (%s)\ncause   %s: %s\n", l->offset,
           l->topic_name, l->app, l->stage, l->where, l->error_class, l->cause);
    if (l->partition >= 0)
        printf("record  %s, partition %d, offset %" PRId64 "\n", l->topic, l->partition,
               l->record_offset);
    else
        printf("record  %s, on its way to or from topic %s\n", l->where, l->topic);
    printf("time    %s\n", text_time(l->time, when));
    print_bytes("key     ", l->key);
    print_bytes("value   ", l->value);
}

// --- choosing by id ----------------------------------------------------------------------------

static const struct letter *find(const struct dlq *d, const char *id, struct err *err)
{
    char *rest;
    int64_t offset = strtoll(id, &rest, 10);
    const struct letter *found = NULL;
    for (uint32_t i = 0; rest != id && *rest == 0 && i < d->letters.count; i++) {
        const struct letter *l = &d->letters.items[i];
        if (l->offset != offset)
            continue;
        if (found != NULL) {
            err_set(err, ERR_INVALID,
                    "apps '%s' and '%s' both have a dead letter %s; say which with --app",
                    found->app, l->app, id);
            return NULL;
        }
        found = l;
    }
    if (found == NULL)
        err_set(err, ERR_NOT_FOUND, "there is no dead letter %s; weir dlq list shows their ids",
                id);
    return found;
}

static int replay_one(struct dlq *d, const struct letter *l, struct err *err)
{
    if (l->partition < 0)
        return err_set(err, ERR_INVALID,
                       "dead letter %" PRId64 " never was a record of a topic (%s): mend the input "
                       "itself, e.g. the file it comes from",
                       l->offset, l->where);
    if (!d->yes) {
        printf("would send %" PRId64 " to %s, partition %d\n", l->offset, l->topic, l->partition);
        return 0;
    }
    struct batch_builder b = {0};
    struct log_record r = {.time = l->time, .key = l->key, .value = l->value};
    struct slice bytes;
    int64_t offset;
    batch_builder_init(&b);
    batch_begin(&b, l->time, 0);
    batch_append(&b, &r);
    bytes = batch_finish(&b, NULL);
    int rc = client_produce(&d->client, l->topic, l->partition, bytes, &offset, err);
    batch_builder_release(&b);
    if (rc == 0)
        printf("sent %" PRId64 " to %s, partition %d, offset %" PRId64 "\n", l->offset, l->topic,
               l->partition, offset);
    return rc;
}

static int replay(struct dlq *d, const struct options_args *args, struct err *err)
{
    if (d->all) {
        for (uint32_t i = 0; i < d->letters.count; i++) {
            const struct letter *l = &d->letters.items[i];
            if (l->partition >= 0 && replay_one(d, l, err) != 0)
                return -1;
        }
    }
    for (int i = 0; i < args->count; i++) {
        const struct letter *l = find(d, args->items[i], err);
        if (l == NULL || replay_one(d, l, err) != 0)
            return -1;
    }
    if (!d->yes)
        printf("nothing was sent; add --yes to do it\n");
    return 0;
}

static int show(struct dlq *d, const struct options_args *args, struct err *err)
{
    for (int i = 0; i < args->count; i++) {
        const struct letter *l = find(d, args->items[i], err);
        if (l == NULL)
            return -1;
        if (d->json)
            print_json(l);
        else
            show_one(l);
    }
    return 0;
}

// --- the command -------------------------------------------------------------------------------

static int act(struct dlq *d, const char *verb, const struct options_args *args, struct err *err)
{
    if (client_open(&d->client, &d->where, err) != 0)
        return -1;
    int rc = letters_read(&d->client, d->app, &d->arena, &d->letters, err);
    if (rc == 0)
        rc = strcmp(verb, "list") == 0   ? list(d, err)
             : strcmp(verb, "show") == 0 ? show(d, args, err)
                                         : replay(d, args, err);
    client_close(&d->client);
    return rc;
}

int cmd_dlq(int argc, char **argv)
{
    static const char *const verbs[] = {"list", "show", "replay", NULL};
    struct dlq d = {.where = {.data = TOPIC_DATA}, .limit = 50};
    const char *verb = argc > 1 ? argv[1] : "--help";
    const struct option table[] = {
        TOPIC_WHERE_OPTIONS(d.where),
        {"app", 'a', OPTION_STRING, &d.app, "NAME", "only this app's (default: all)", NULL},
        {"limit", 'n', OPTION_INT, &d.limit, "N", "list: the newest N (50; -1: all)", NULL},
        {"all", 0, OPTION_FLAG, &d.all, NULL, "replay: every one that was in a topic", NULL},
        {"yes", 'y', OPTION_FLAG, &d.yes, NULL, "replay: really send", NULL},
        {"json", 0, OPTION_FLAG, &d.json, NULL, "one JSON object a line", NULL},
        {NULL, 0, OPTION_FLAG, NULL, NULL, NULL, NULL},
    };
    struct options_usage u = {
        .usage = "weir dlq list|show ID…|replay ID… [options]",
        .about = "Dead letters: records that could not be processed, each with its cause, the\n"
                 "operator and script line, and where it came from. `replay` sends the original\n"
                 "bytes to their topic again (after the script was mended); it only says what it\n"
                 "would do unless --yes is given.",
        .examples = "  weir dlq list\n  weir dlq show 3\n  weir dlq replay 3 --yes\n",
        .table = table,
        .max_args = 1000,
    };
    struct options_args args;
    struct err err;
    bool known = false;
    for (int i = 0; verbs[i] != NULL; i++)
        known = known || strcmp(verb, verbs[i]) == 0;
    if (!known && verb[0] != '-') {
        const char *near = text_nearest_of(verb, verbs);
        err_set(&err, ERR_INVALID, "there is no '%s'%s%s%s", verb, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "; use list, show or replay");
        return options_fail("dlq", &err, 2);
    }
    enum options_outcome o =
        options_parse(&u, known ? argc - 1 : argc, known ? argv + 1 : argv, &args, &err);
    if (o != OPTIONS_RUN)
        return o == OPTIONS_HELP ? 0 : options_fail("dlq", &err, 2);
    if (!known)
        verb = "list"; // only options
    if (strcmp(verb, "list") != 0 && args.count == 0 && !(d.all && strcmp(verb, "replay") == 0)) {
        err_set(&err, ERR_INVALID, "say which: weir dlq %s ID… (weir dlq list shows the ids)%s",
                verb, strcmp(verb, "replay") == 0 ? ", or weir dlq replay --all" : "");
        return options_fail("dlq", &err, 2);
    }
    if (strcmp(verb, "list") == 0 && args.count != 0) {
        err_set(&err, ERR_INVALID, "list takes no '%s'; weir dlq show %s shows one", args.items[0],
                args.items[0]);
        return options_fail("dlq", &err, 2);
    }
    arena_init(&d.arena);
    int rc = act(&d, verb, &args, &err);
    arena_release(&d.arena);
    return rc == 0 ? 0 : options_fail("dlq", &err, 1);
}
