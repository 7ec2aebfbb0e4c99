// SPDX-License-Identifier: Apache-2.0
//
// Net: the TCP face of the broker: one thread, epoll, non-blocking sockets, the protocol of api.h.
//
// N1  A connection's requests are served one at a time, in order; what a client sends ahead waits
//     in the connection's buffer, and beyond a bound in the kernel's (back-pressure).
// N2  The thread never waits for a client. It sleeps until a socket moves, a group commit happened
//     (broker_notify_fd), a parked call's time is up, or net_stop.
// N3  Limits: request size, connections, idle time. Memory for a request grows as its bytes arrive,
//     never by what its length field claims.
// N4  While it runs, `<data directory>/broker.addr` holds "host:port\n", so that the command line
//     finds it; net_stop removes the file. A crash leaves it behind: the directory's lock tells.
//
// net_start and net_stop are called by one thread; net_stop before broker_close.
#pragma once

#include "broker/broker.h"

struct net; // opaque

struct net_config {
    const char *listen;    // "host:port", "[v6]:port", ":port" (every address); port 0: a free one
    const char *advertise; // host told to clients; NULL: what is listened on, or the host's name
    int64_t idle_ms;       // close silent connections; 0: 10 minutes
    uint32_t request_max;  // bytes; 0: 100 MiB
    uint32_t connections_max; // 0: 1000
};

int net_start(struct broker *, const struct net_config *, struct net **out, struct err *);
uint16_t net_port(const struct net *);
const char *net_host(const struct net *); // as told to clients; borrowed
// Stops accepting, lets calls that wait for the disk finish (milliseconds), closes everything.
void net_stop(struct net *);
