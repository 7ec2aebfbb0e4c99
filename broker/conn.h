// SPDX-License-Identifier: Apache-2.0
//
// Conn: one client's connection: bytes in, one call at a time, bytes out. No epoll, no timers:
// net.c says when to read, resume and write, and asks what to wait for. Used by the network thread
// only.
//
// A connection whose client is gone may still have a Produce at the committer (api.h, A3): it is
// then `closing` with its socket already closed, and is freed when conn_resume has finished it.
#pragma once

#include "broker/api.h"

struct conn {
    struct conn *next, *prev; // in net's list
    int fd;                   // -1: closed
    struct api_call call;
    struct buf in;
    uint32_t in_start; // where the next request begins in `in`
    struct buf out;
    uint32_t out_sent;
    uint32_t request_max;
    uint32_t events;   // what epoll waits for now; net.c's
    int64_t active_ms; // last time bytes moved
    bool eof;          // the client will send nothing more
    bool closing;      // no more requests; freed as soon as nothing refers to it
};

struct conn *conn_new(int fd, struct api *, uint32_t request_max, int64_t now_ms);
void conn_free(struct conn *); // conn_finished only

// Each does what can be done now and goes on as far as possible.
void conn_readable(struct conn *, int64_t now_ms);
void conn_writable(struct conn *, int64_t now_ms);
void conn_resume(struct conn *, int64_t now_ms); // the parked call
// Drops the client; the call is cancelled or left to finish.
void conn_close(struct conn *);

bool conn_finished(const struct conn *); // may be freed
bool conn_wants_read(const struct conn *);
bool conn_wants_write(const struct conn *);
