// SPDX-License-Identifier: Apache-2.0
//
// Transport: how the command line reaches a log: over TCP when a broker (or `weir run`) is live on
// the data directory, else by opening the directory in this process. Both exchange the same
// protocol bytes, so everything above works the same either way.
//
// One thread. A wait ends early with ERR_CLOSED when transport_stop was called (a signal handler
// may do that).
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct transport; // opaque

struct transport_where {
    const char *data;   // the data directory
    const char *broker; // "host:port"; NULL: by the data directory
    bool create;        // make the data directory when it is missing
};

int transport_open(const struct transport_where *, struct transport **out, struct err *);
void transport_close(struct transport *);
// Sends one request (with its size in front) and waits for the response; `response` is replaced and
// holds it without its size. `wait_ms`: how long the request itself may take to be answered.
int transport_exchange(struct transport *, struct slice request, int64_t wait_ms,
                       struct buf *response, struct err *);
void transport_stop(void);    // async-signal-safe
bool transport_stopped(void); // somebody called it
// "127.0.0.1:9092" or the directory; borrowed.
const char *transport_name(const struct transport *);
