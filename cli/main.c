// SPDX-License-Identifier: Apache-2.0
//
// The `weir` command: picks the sub-command; each lives in its own cmd_*.c.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "cli/cmd.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"run", cmd_run, "run a topology script with the embedded broker"},
    {"check", cmd_check, "look for mistakes in a script without running it"},
    {"plan", cmd_plan, "show what a script becomes: tasks, stores, topics, repartitions"},
    {"test", cmd_test, "run a script's tests on a simulated clock, without a broker"},
    {"connect", cmd_connect, "run the connectors of a script alone"},
    {"broker", cmd_broker, "run only the log: any Kafka client can use it"},
    {"topic", cmd_topic, "list, create, describe, produce, consume, delete topics"},
    {"dlq", cmd_dlq, "list, show and replay dead letters"},
    {"generate", cmd_generate, "make sample data (fraud: card transactions)"},
};

static const char *command_name(void *arg, int i)
{
    (void)arg;
    return i < (int)ARRAY_COUNT(commands) ? commands[i].name : NULL;
}

static void usage(FILE *to)
{
    fprintf(to, "weir %s: stream processing on a log, in one binary\n\nusage: weir COMMAND …\n\n",
            WEIR_VERSION);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].about);
    fprintf(to, "\n`weir COMMAND --help` explains one. A first look:\n"
                "  weir generate fraud --out tx.csv.gz\n"
                "  weir run examples/fraud/fraud.lua --set transactions=tx.csv.gz --bounded\n");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    failpoint_init();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("weir %s\n", WEIR_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    const char *near = text_nearest(argv[1], command_name, NULL);
    fprintf(stderr, "weir: there is no command '%s'", argv[1]);
    if (near != NULL)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\nSee `weir --help`.\n");
    return 2;
}
