// SPDX-License-Identifier: Apache-2.0
//
// weir broker: only the log: a Kafka-protocol server on a data directory, until SIGINT or SIGTERM.
#include "base/text.h"
#include "broker/net.h"
#include "cli/cmd.h"
#include "cli/options.h"

#include <signal.h>

struct settings {
    struct broker_config broker;
    struct net_config net;
    int durability;
    int64_t partitions;
};

// Blocks the signals that end us before any thread exists, so that only sigwait sees them.
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}

static int serve(struct settings *s, struct err *e)
{
    struct broker *broker;
    struct net *net;
    sigset_t set;
    int sig;
    block_signals(&set);
    if (broker_open(&s->broker, &broker, e) != 0)
        return -1;
    if (net_start(broker, &s->net, &net, e) != 0) {
        broker_close(broker);
        return -1;
    }
    printf("weir broker is listening on %s:%u, data in %s (Ctrl-C stops it)\n", net_host(net),
           net_port(net), s->broker.dir);
    fflush(stdout);
    sigwait(&set, &sig);
    net_stop(net);
    broker_close(broker);
    printf("weir broker stopped\n");
    return 0;
}

int cmd_broker(int argc, char **argv)
{
    static const char *const durabilities[] = {"fsync", "os", NULL};
    struct settings s = {.broker = {.dir = "weir-data", .auto_create = true},
                         .net = {.listen = "127.0.0.1:9092"},
                         .partitions = 4};
    const struct option table[] = {
        {"data", 'd', OPTION_STRING, &s.broker.dir, "DIR", "data directory (default: ./weir-data)",
         NULL},
        {"listen", 'l', OPTION_STRING, &s.net.listen, "HOST:PORT",
         "where clients connect (default: 127.0.0.1:9092; port 0: a free one,\n"
         ":9092: every address of this machine)",
         NULL},
        {"advertise", 0, OPTION_STRING, &s.net.advertise, "HOST",
         "the host name clients are told, when it is not the one above", NULL},
        {"durability", 0, OPTION_CHOICE, &s.durability, "fsync|os",
         "fsync (default): acknowledge when on disk; os: when the operating system\n"
         "has it (faster; a power cut may lose the last moments)",
         durabilities},
        {"auto-create", 0, OPTION_FLAG, &s.broker.auto_create, NULL,
         "make topics when clients first use them (default: true; --auto-create=false)", NULL},
        {"partitions", 'p', OPTION_INT, &s.partitions, "N", "of topics made that way (default: 4)",
         NULL},
        {0},
    };
    const struct options_usage usage = {
        "weir broker [options]",
        "Runs the log alone, for Kafka clients: producers, consumers, kcat, and weir itself.",
        "  weir broker\n"
        "  weir broker --data /srv/log --listen :9092 --advertise log.example.net\n"
        "  kcat -b 127.0.0.1:9092 -L",
        table,
        0,
        0};
    struct options_args args;
    struct err e = {0};
    switch (options_parse(&usage, argc, argv, &args, &e)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return options_fail("broker", &e, 2);
    case OPTIONS_RUN:
        break;
    }
    s.broker.durability = s.durability == 0 ? BROKER_FSYNC : BROKER_OS;
    if (s.partitions < 1 || s.partitions > 10000) {
        err_set(&e, ERR_INVALID, "--partitions is 1 to 10000");
        return options_fail("broker", &e, 2);
    }
    s.broker.auto_partitions = (int32_t)s.partitions;
    return serve(&s, &e) == 0 ? 0 : options_fail("broker", &e, 1);
}
