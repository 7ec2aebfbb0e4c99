// SPDX-License-Identifier: Apache-2.0
//
// Plans of scripts, as text: where they are cut, which topics there are, what is refused.
#include "runtime/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "scripts/script.h"

struct rig {
    struct script *script;
    struct arena arena;
    struct plan *plan;
    struct err err;
    struct buf text;
};

static int setup(void **state)
{
    struct rig *r = check_alloc(calloc(1, sizeof(*r)));
    arena_init(&r->arena);
    buf_init(&r->text);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    script_free(r->script);
    arena_release(&r->arena);
    buf_release(&r->text);
    free(r);
    return 0;
}

#define HEAD                                                                                       \
    "local weir = require 'weir'\n"                                                                \
    "local app = weir.app 'app'\n"                                                                 \
    "local T = weir.schema { {'id','long'}, {'ts','timestamp'}, {'a','long'}, {'b','long'} }\n"    \
    "local function yes() return true end\n"

static int make(struct rig *r, const char *body)
{
    char source[4096];
    snprintf(source, sizeof(source), "%s%s", HEAD, body);
    script_free(r->script);
    r->script = NULL;
    if (script_load("app.lua", source, NULL, &r->script, &r->err) != 0)
        fail_msg("the script was refused: %s", r->err.text);
    return plan_make(script_graph(r->script), &r->arena, &r->plan, &r->err);
}

static int32_t lookup_none(void *arg, const char *topic)
{
    (void)arg;
    (void)topic;
    return 0;
}

static void made(struct rig *r, const char *body)
{
    if (make(r, body) != 0 || plan_partitions_fix(r->plan, lookup_none, NULL, &r->err) != 0)
        fail_msg("%s", r->err.text);
}

static void refused(struct rig *r, const char *body, const char *text)
{
    if (make(r, body) == 0 && plan_partitions_fix(r->plan, lookup_none, NULL, &r->err) == 0)
        fail_msg("accepted, expected: %s", text);
    assert_string_equal(r->err.text, text);
}

static void put_step(struct rig *r, const struct plan_sub *s, const struct plan_step *st)
{
    const char *name = st->node->name;
    if (st->kind == STEP_REPARTITION || st->node->kind == NODE_TO)
        buf_printf(&r->text, ">%s", r->plan->topics[s->outputs[st->output].topic].name);
    else
        buf_str(&r->text, name);
    if (st->table != NULL)
        buf_printf(&r->text, "*%s", st->table->node->name);
    if (st->next_count == 0)
        return;
    buf_str(&r->text, "(");
    for (uint32_t i = 0; i < st->next_count; i++) {
        buf_str(&r->text, i == 0 ? "" : " ");
        put_step(r, s, st->next[i]);
    }
    buf_str(&r->text, ")");
}

// One line per sub-topology: "name/partitions: input{step(step) step} input{…}".
static const char *shape(struct rig *r)
{
    const struct plan *p = r->plan;
    buf_clear(&r->text);
    for (uint32_t i = 0; i < p->subs_count; i++) {
        const struct plan_sub *s = p->subs[i];
        buf_printf(&r->text, "%s%s/%d:", i == 0 ? "" : "\n", s->name, s->partitions);
        for (uint32_t k = 0; k < s->inputs_count; k++) {
            buf_printf(&r->text, " %s{", p->topics[s->inputs[k].topic].name);
            for (uint32_t n = 0; n < s->inputs[k].roots_count; n++) {
                buf_str(&r->text, n == 0 ? "" : " ");
                put_step(r, s, s->inputs[k].roots[n]);
            }
            buf_str(&r->text, "}");
        }
    }
    buf_u8(&r->text, 0);
    return (const char *)r->text.p;
}

// What every plan promises, whatever the script.
static void sound(const struct rig *r)
{
    const struct plan *p = r->plan;
    for (uint32_t i = 0; i < p->subs_count; i++) {
        const struct plan_sub *s = p->subs[i];
        assert_int_equal(s->id, i);
        for (uint32_t k = 0; k < s->inputs_count; k++)
            assert_int_equal(p->topics[s->inputs[k].topic].partitions, s->partitions);
        for (uint32_t k = 0; k < s->steps_count; k++) {
            const struct plan_step *st = s->steps[k];
            assert_int_equal(st->index, k);
            if (st->kind == STEP_REPARTITION || st->node->kind == NODE_TO)
                assert_true(st->output < s->outputs_count);
            if (st->kind == STEP_NODE && st->node->kind == NODE_JOIN) {
                assert_non_null(st->table);
                assert_true(st->table->index < k); // tasks build in this order
                assert_ptr_equal(s->steps[st->table->index], st->table);
            }
            for (uint32_t n = 0; n < st->next_count; n++)
                assert_ptr_equal(s->steps[st->next[n]->index], st->next[n]);
        }
    }
}

static void shaped(struct rig *r, const char *body, const char *expected)
{
    made(r, body);
    sound(r);
    assert_string_equal(shape(r), expected);
}

static const char *notes(struct rig *r)
{
    buf_clear(&r->text);
    for (uint32_t i = 0; i < r->plan->notes_count; i++)
        buf_printf(&r->text, "%s%s %s", i == 0 ? "" : "\n", r->plan->notes[i].where,
                   r->plan->notes[i].text);
    buf_u8(&r->text, 0);
    return (const char *)r->text.p;
}

static int32_t partitions_of(const struct rig *r, const char *topic)
{
    int i = plan_topic_find(r->plan, topic);
    if (i < 0)
        fail_msg("no topic %s", topic);
    return r->plan->topics[i].partitions;
}

// --- cuts ---------------------------------------------------------------------------------------

static void test_stateless(void **state)
{
    struct rig *r = *state;
    shaped(r, "app:stream('in'):filter(yes):with{x=yes}:to('out')", "in/1: in{filter(with(>out))}");
    assert_string_equal(notes(r), "");
    // A stream goes on behind :to, and branches.
    shaped(r,
           "local s = app:stream('in'):filter(yes) s:to('out'):peek(yes):to('out2') s:to('out3')",
           "in/1: in{filter(>out peek(>out2) >out3)}");
}

static void test_repartition_made_and_elided(void **state)
{
    struct rig *r = *state;
    shaped(r, "app:stream('in',{value=weir.json(T),key='a'}):count('n',{by='a'}):to('out')",
           "in/1: in{n(>out)}");
    assert_string_equal(notes(r),
                        "app.lua:5 n: no repartition, the records are already keyed by a");
    shaped(r, "app:stream('in',{value=weir.json(T),key='b'}):count('n',{by='a'}):to('out')",
           "in/1: in{n-key(>app-n-repartition)}\n"
           "app-n-repartition/1: app-n-repartition{n(>out)}");
    assert_string_equal(notes(r), "app.lua:5 n: repartitioned by a (the stream is keyed by b)");
    shaped(r, "app:stream('in',{value=weir.json(T)}):count('n',{by='a'}):to('out')",
           "in/1: in{n-key(>app-n-repartition)}\n"
           "app-n-repartition/1: app-n-repartition{n(>out)}");
    assert_string_equal(
        notes(r), "app.lua:5 n: repartitioned by a (the stream does not say what it is keyed by)");
}

static void test_key_by(void **state)
{
    struct rig *r = *state;
    // key_by made the key: the repartition needs no second key step.
    shaped(r, "app:stream('in',{value=weir.json(T)}):key_by('a'):count('n'):to('out')",
           "in/1: in{by-a(>app-n-repartition)}\napp-n-repartition/1: app-n-repartition{n(>out)}");
    assert_string_equal(notes(r), "app.lua:5 n: repartitioned, because key_by changed the key");
    // The key it has already does not move it.
    shaped(r, "app:stream('in',{value=weir.json(T),key='a'}):key_by('a'):count('n'):to('out')",
           "in/1: in{by-a(n(>out))}");
    // The same field in another format does.
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a'}):key_by('a',{key_format='long'})"
           ":count('n'):to('out')",
           "in/1: in{by-a(>app-n-repartition)}\napp-n-repartition/1: app-n-repartition{n(>out)}");
    shaped(r, "app:stream('in'):key_by(function(t) return t.a end):count('n'):to('out')",
           "in/1: in{by-key(>app-n-repartition)}\napp-n-repartition/1: app-n-repartition{n(>out)}");
    // Without state behind it, nothing is cut.
    shaped(r, "app:stream('in'):key_by('a'):to('out')", "in/1: in{by-a(>out)}");
    shaped(r, "app:stream('in'):key_by('a'):to('out',{key='b'})",
           "in/1: in{by-a(to-out-key(>out))}");
    shaped(r, "app:stream('in'):key_by('a'):to('out',{key='a'})", "in/1: in{by-a(>out)}");
}

// The field that the key was made of may change: then it says nothing about the key any more.
static void test_key_field_changes(void **state)
{
    struct rig *r = *state;
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a'}):with{a=function(t) return t.b end}"
           ":count('n',{by='a'}):to('out')",
           "in/1: in{with(n-key(>app-n-repartition))}\n"
           "app-n-repartition/1: app-n-repartition{n(>out)}");
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a'}):with{b=function(t) return t.a end}"
           ":count('n',{by='a'}):to('out')",
           "in/1: in{with(n(>out))}");
}

static void test_chain_of_keys(void **state)
{
    struct rig *r = *state;
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a',partitions=4}):count('x',{by='a'})"
           ":key_by(function(t) return 'all' end):sum('y',{field='count'}):to('out')",
           "in/4: in{x(by-key(>app-y-repartition))}\n"
           "app-y-repartition/4: app-y-repartition{y(>out)}");
    assert_int_equal(partitions_of(r, "out"), 4);
}

// --- holders ------------------------------------------------------------------------------------

#define F(name, by, more)                                                                          \
    ":features('" name "',{by='" by "',windows={'1d'},compute={n=weir.count()}" more "})"

static void test_features(void **state)
{
    struct rig *r = *state;
    shaped(
        r,
        "app:stream('in',{value=weir.json(T),key='a'})" F("f", "a", "")
            F("g", "b", "") ":to('out')",
        "in/1: in{f(g-key(>app-g-repartition))}\napp-g-repartition/1: app-g-repartition{g(>out)}");
    // Two of them by the same key share a task: the second never holds across a commit.
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a'})" F("f", "a", "")
               F("g", "a", "") ":to('out')",
           "in/1: in{f(g(>out))}");
}

static void test_features_behind_state(void **state)
{
    struct rig *r = *state;
    shaped(r,
           "local t = app:table('limits',{value=weir.json(T),key='a'})\n"
           "app:stream('in',{value=weir.json(T),key='a'}):left_join(t,{prefix='l_'})" F(
               "f", "a", "") ":to('out')",
           "in/1: in{join-limits*limits(>app-f-repartition)} limits{limits}\n"
           "app-f-repartition/1: app-f-repartition{f(>out)}");
    assert_string_equal(
        notes(r),
        "app.lua:6 join-limits: no repartition, the records are already keyed by a\n"
        "app.lua:6 f: no repartition, the records are already keyed by a\n"
        "app.lua:6 f: cut by an internal topic, because it holds records and stands behind "
        "a stateful operator");
    // At arrival it passes records on at once, so the next one would miss its held ones on replay.
    shaped(r,
           "app:stream('in',{value=weir.json(T),key='a'})" F("f", "a", ",emit='arrival'")
               F("g", "a", "") ":to('out')",
           "in/1: in{f(>app-g-repartition)}\napp-g-repartition/1: app-g-repartition{g(>out)}");
    // A filter between hides what is above it from nobody.
    shaped(
        r,
        "app:stream('in',{value=weir.json(T),key='a'}):count('n',{by='a'}):filter(yes)"
        ":features('f',{by='a',windows={'1d'},compute={n=weir.count()}}):to('out')",
        "in/1: in{n(filter(>app-f-repartition))}\napp-f-repartition/1: app-f-repartition{f(>out)}");
    // At arrival nothing is held, so nothing is cut.
    shaped(
        r,
        "app:stream('in',{value=weir.json(T),key='a'}):count('n',{by='a'})"
        ":features('f',{by='a',windows={'1d'},compute={m=weir.count()},emit='arrival'}):to('out')",
        "in/1: in{n(f(>out))}");
}

// --- joins --------------------------------------------------------------------------------------

#define TABLE "local t = app:table('limits',{value=weir.json(T),key='a'})\n"
#define STREAM "local s = app:stream('in',{value=weir.json(T),key='a'})\n"

static void test_join(void **state)
{
    struct rig *r = *state;
    shaped(r, TABLE STREAM "s:join(t,{prefix='l_'}):to('out')",
           "in/1: in{join-limits*limits(>out)} limits{limits}");
    // The table may come later in the script than the stream.
    shaped(r, STREAM TABLE "s:join(t,{prefix='l_'}):to('out')",
           "in/1: in{join-limits*limits(>out)} limits{limits}");
}

// Steps made before the merge keep their places, outputs and inputs.
static void test_join_merges(void **state)
{
    struct rig *r = *state;
    shaped(
        r,
        "local o = app:stream('other',{value=weir.json(T),key='a'}):filter(yes) o:to('o1')\n" TABLE
            STREAM "s:to('o2') o:join(t,{prefix='l_'}):to('o3') s:join(t,{prefix='m_'}):to('o4')\n"
        "o:to('o5') s:to('o6')",
        "in/1: in{>o2 join-limits-2*limits(>o4) >o6} "
        "other{filter(>o1 join-limits*limits(>o3) >o5)} limits{limits}");
    assert_int_equal(r->plan->subs[0]->outputs_count, 6);
}

static void test_two_joins_one_table(void **state)
{
    struct rig *r = *state;
    shaped(r,
           TABLE STREAM
           "s:join(t,{prefix='l_'}):to('o1') s:filter(yes):left_join(t,{prefix='m_'}):to('o2')",
           "in/1: in{join-limits*limits(>o1) filter(join-limits-2*limits(>o2))} limits{limits}");
    shaped(r,
           TABLE "local u = app:table('names',{value=weir.json(T),key='a'})\n" STREAM
                 "s:join(t,{prefix='l_'}):join(u,{prefix='n_'}):to('out')",
           "in/1: in{join-limits*limits(join-names*names(>out))} limits{limits} names{names}");
}

static void test_join_of_repartitioned(void **state)
{
    struct rig *r = *state;
    shaped(
        r,
        "local t = app:table('limits',{value=weir.json(T),key='a',partitions=3})\n"
        "app:stream('in',{value=weir.json(T),partitions=2}):join(t,{by='a',prefix='l_'}):to('out')",
        "in/2: in{join-limits-key(>app-join-limits-repartition)}\n"
        "app-join-limits-repartition/3: app-join-limits-repartition{join-limits*limits(>out)} "
        "limits{limits}");
    assert_int_equal(r->plan->subs[1]->inputs[0].feeders_count, 1);
    assert_ptr_equal(r->plan->subs[1]->inputs[0].feeders[0], r->plan->subs[0]);
    assert_int_equal(r->plan->subs[1]->inputs[1].feeders_count, 0);
}

// Equal fields, but not equal bytes: the stream is keyed again in the table's format.
static void test_join_key_formats(void **state)
{
    struct rig *r = *state;
    shaped(r,
           "local t = app:table('limits',{value=weir.json(T),key='a',key_format='long'})\n"
           "app:stream('in',{value=weir.json(T),key='a'}):join(t,{prefix='l_'}):to('out')",
           "in/1: in{join-limits-key(>app-join-limits-repartition)}\n"
           "app-join-limits-repartition/1: app-join-limits-repartition{join-limits*limits(>out)} "
           "limits{limits}");
    assert_string_equal(notes(r),
                        "app.lua:6 join-limits: repartitioned by a (its keys have another format)");
}

static void test_copartition(void **state)
{
    struct rig *r = *state;
    refused(
        r,
        "local t = app:table('limits',{value=weir.json(T),key='a',partitions=3})\n"
        "app:stream('in',{value=weir.json(T),key='a',partitions=2}):join(t,{prefix='l_'}):to('o')",
        "app.lua:5: 'in' has 2 partitions but 'limits' has 3, and they are joined: a key must lie "
        "in the same partition of both. Give them the same number (partitions = …) or key_by one "
        "side first");
}

static void test_join_on_both_sides_of_a_repartition(void **state)
{
    struct rig *r = *state;
    refused(
        r,
        TABLE STREAM "s:join(t,{prefix='l_'}):key_by('b'):count('n'):key_by('b')"
                     ":join(t,{prefix='m_',by='b'}):to('out')",
        "app.lua:5: table 'limits' is joined both before and behind a repartition "
        "(app-n-repartition), so a task would wait for itself. Write the stream to a topic with "
        ":to(…) and read it in another app, or give the second join a table of another topic");
}

// --- topics -------------------------------------------------------------------------------------

static void test_one_topic_twice(void **state)
{
    struct rig *r = *state;
    shaped(r, "app:stream('in'):to('o1') app:stream('in'):filter(yes):to('o2')",
           "in/1: in{>o1 filter(>o2)}");
    refused(
        r, "app:stream('in',{value=weir.json(T),time='ts'}):to('o1')\napp:stream('in'):to('o2')",
        "app.lua:6: topic 'in' is read at app.lua:5 already, with other options (value, time, key, "
        "max_out_of_order …); both must be the same");
}

static void test_circles(void **state)
{
    struct rig *r = *state;
    refused(
        r, "app:stream('in'):to('in')",
        "app.lua:5: topic 'in' is read by app 'app' and written with what comes out of it: records "
        "would go round for ever; write to another topic");
    refused(
        r, "app:stream('in'):key_by('b'):count('c',{by='b'}):to('in')",
        "app.lua:5: topic 'in' is read by app 'app' and written with what comes out of it: records "
        "would go round for ever; write to another topic");
    refused(r, "app:stream('in'):to('mid') app:stream('mid'):filter(yes):to('in')",
            "app.lua:5: topic 'mid' is read by app 'app' and written with what comes out of it: "
            "records would go round for ever; write to another topic");
    shaped(r, "app:stream('in'):to('mid') app:stream('mid'):to('out')",
           "in/1: in{>mid}\nmid/1: mid{>out}");
    assert_int_equal(r->plan->subs[1]->inputs[0].feeders_count, 1);
}

static void test_formats_of_a_topic(void **state)
{
    struct rig *r = *state;
    refused(r,
            "app:stream('in',{value=weir.json(T)}):to('mid',{value='avro'})\n"
            "app:stream('mid'):to('out')",
            "app.lua:6: topic 'mid' is read as json, but app.lua:5 writes avro to it");
}

static int32_t lookup_some(void *arg, const char *topic)
{
    (void)arg;
    return strcmp(topic, "in") == 0 ? 5 : strcmp(topic, "there") == 0 ? 2 : 0;
}

static void test_partitions(void **state)
{
    struct rig *r = *state;
    int rc = make(r, "local s = app:stream('in',{value=weir.json(T),partitions=3})\n"
                     "s:to('wide') s:to('there') s:to('asked',{partitions=7})\n"
                     "s:count('n',{by='a'}):to('counts')\n"
                     "app:sink('files',{connector='file',from='wide',path='x'})\n"
                     "app:source('more',{connector='file',to='untouched',path='y',partitions=2})");
    assert_int_equal(rc, 0);
    assert_int_equal(plan_partitions_fix(r->plan, lookup_some, NULL, &r->err), 0);
    sound(r);
    assert_int_equal(partitions_of(r, "in"), 5);   // what exists counts
    assert_int_equal(partitions_of(r, "wide"), 5); // a sink's input, too, is as wide as its writer
    assert_int_equal(partitions_of(r, "there"), 2);
    assert_int_equal(partitions_of(r, "asked"), 7);
    assert_int_equal(partitions_of(r, "app-n-repartition"), 5);
    assert_int_equal(partitions_of(r, "counts"), 5);
    assert_int_equal(partitions_of(r, "untouched"), 2);
}

static void test_names(void **state)
{
    struct rig *r = *state;
    made(r, "app:source('feed',{connector='file',to='in',path='x'})\n"
            "app:stream('in',{value=weir.json(T)}):count('n',{by='a'}):to('out')");
    assert_string_equal(plan_store_topic(r->plan, "n", &r->arena), "app-n-changelog");
    assert_int_equal(r->plan->subs[0]->inputs[0].sources_count, 1);
    assert_int_equal(r->plan->subs[0]->inputs[0].feeders_count, 0);
    assert_int_equal(r->plan->topics[plan_topic_find(r->plan, "app-n-repartition")].role,
                     PLAN_REPARTITION);
    assert_int_equal(r->plan->topics[plan_topic_find(r->plan, "in")].role, PLAN_SOURCE);
    assert_int_equal(r->plan->topics[plan_topic_find(r->plan, "out")].role, PLAN_OUTPUT);
    assert_int_equal(plan_topic_find(r->plan, "nothing"), -1);
}

static void test_print(void **state)
{
    struct rig *r = *state;
    made(r, TABLE STREAM "s:join(t,{prefix='l_'}):count('n',{by='b'}):to('out')");
    buf_clear(&r->text);
    plan_print(r->plan, false, &r->text);
    buf_u8(&r->text, 0);
    const char *text = (const char *)r->text.p;
    assert_non_null(strstr(text, "join join-limits  (app.lua:7) with table limits\n"));
    assert_non_null(
        strstr(text, "aggregate n  (app.lua:7)  store and changelog app-n-changelog\n"));
    buf_clear(&r->text);
    plan_print(r->plan, true, &r->text);
    struct value v;
    assert_int_equal(value_from_json(buf_slice(&r->text), &r->arena, &v, &r->err), 0);
    assert_int_equal(v.type, VALUE_MAP);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_stateless),
        T(test_repartition_made_and_elided),
        T(test_key_by),
        T(test_key_field_changes),
        T(test_chain_of_keys),
        T(test_features),
        T(test_features_behind_state),
        T(test_join),
        T(test_join_merges),
        T(test_two_joins_one_table),
        T(test_join_of_repartitioned),
        T(test_join_key_formats),
        T(test_copartition),
        T(test_join_on_both_sides_of_a_repartition),
        T(test_one_topic_twice),
        T(test_circles),
        T(test_formats_of_a_topic),
        T(test_partitions),
        T(test_names),
        T(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
