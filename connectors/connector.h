// SPDX-License-Identifier: Apache-2.0
//
// Connector: moves records between a topic and the outside. Sources write records and their own
// offset in one transaction; sinks keep the consumed offset at the destination, atomically with
// the data. One connector runs on one thread with its own log client; the runtime calls step().
//
// Failure: step returns -1 with an err whose code says what to do: ERR_AGAIN and ERR_IO are retried
// with capped back-off after reopening, ERR_INVALID stops loudly, ERR_CORRUPT never comes out of
// step: a bad record is set aside through ctx->dead_letter and the connector goes on.
#pragma once

#include "base/clk.h"
#include "base/counter.h"
#include "formats/doc.h"
#include "log/log.h"
#include "operators/graph.h"

#include <stdatomic.h>

struct connector_stats { // written by the connector's thread, read by others (relaxed atomics)
    _Atomic uint64_t records, bytes, bad, commits;
    _Atomic uint64_t total_bytes; // known size of the input, 0: unknown (for progress)
    _Atomic int64_t event_time;   // highest event time seen; INT64_MIN: none
    _Atomic bool finished;
};

struct connector_ctx {                 // borrowed from open until close
    const struct connector_spec *spec; // borrowed for the connector's life
    const char *app;                   // names group, offsets topic and dead letters
    struct log *log;                   // borrowed; this thread's own client
    struct clk *clk;
    bool bounded;      // stop at the end of what is there, with end markers
    int64_t commit_ms; // longest time between commits
    // Sinks: which writer groups must reach their end before the sink may finish (bounded). Every
    // writer has to send its end marker in every bounded run, also when it had nothing to add: the
    // sink may have left an earlier one behind. And it must take an old end back (a marker without
    // the flag) before sinks are opened, or a sink could believe that one.
    const struct marker_writers *writers;
    uint32_t writers_count;
    // Bounded: nothing in this process writes the topic any more (an end marker of an earlier run
    // says nothing about this one). NULL: markers alone decide.
    bool (*upstream_done)(void *arg, const char *topic);
    struct connector_stats *stats; // NULL: nobody looks
    // Appends a dead letter in the open transaction.
    int (*dead_letter)(struct connector_ctx *, const char *cause, const char *where,
                       struct slice key, struct slice value, struct err *);
    void *arg;
};

struct marker_writers { // who feeds a topic: see log/marker.h
    uint32_t group;
    int32_t writers;
};

struct connector { // first member of every connector
    const struct connector_ops *ops;
};

struct connector_ops {
    const char *name;
    bool is_sink;
    const struct setting *settings; // the options it takes (connectors/settings.h), for help
    // Checks the options before anything starts; err names the option and its valid forms.
    int (*check)(const struct connector_spec *, struct err *);
    int (*open)(struct connector_ctx *, struct connector **out, struct err *);
    // Bounded work (some ms). 1: there may be more at once; 0: nothing now, call again later;
    // 2: finished (bounded); -1: error.
    int (*step)(struct connector *, struct err *);
    // Makes what was read so far durable, if anything is open (sources); sinks leave unfinished
    // files to be read again. Called before close in an orderly stop; a crash is a missing call.
    int (*commit)(struct connector *, struct err *);
    void (*close)(struct connector *);
};

// Checks all connectors of a script, and that no two sinks write the same files.
int connectors_check(const struct graph *, struct err *);
// Puts "app.lua:8: source "csv": " in front, whatever of it the text does not say yet.
void connector_name(const struct connector_spec *, struct err *);
// By name and direction; NULL with the nearest name in err.
const struct connector_ops *connector_find(const char *name, bool is_sink, struct err *);
