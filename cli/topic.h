// SPDX-License-Identifier: Apache-2.0
//
// Topic: what the `weir topic …` subcommands share. Each takes its arguments from its own name on
// and returns the exit code.
#pragma once

#include "cli/client.h"
#include "cli/options.h"

// Options that all of them have; put TOPIC_WHERE_OPTIONS(where) into a table.
#define TOPIC_WHERE_OPTIONS(where)                                                                 \
    {"data", 'd', OPTION_STRING, &(where).data, "DIR", "data directory (default: ./weir-data)",    \
     NULL},                                                                                        \
    {                                                                                              \
        "broker", 'b', OPTION_STRING, &(where).broker, "HOST:PORT",                                \
            "talk to this broker instead of looking into the data directory", NULL                 \
    }
#define TOPIC_DATA "weir-data"

int topic_produce(int argc, char **argv);
int topic_consume(int argc, char **argv);

// Prints "weir topic <command>: <text>" and returns 1 (2 for ERR_INVALID when parsing options).
int topic_fail(const char *command, const struct err *);
int topic_usage_fail(const char *command, const struct err *);
// SIGINT and SIGTERM end waits in the transport.
void topic_catch_signals(void);
