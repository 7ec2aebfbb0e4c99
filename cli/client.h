// SPDX-License-Identifier: Apache-2.0
//
// Client: the few requests the command line makes, as functions. Speaks Kafka's protocol through a
// transport, in versions that need no compact encodings. One thread, one request at a time.
#pragma once

#include "base/arena.h"
#include "cli/transport.h"

enum { CLIENT_START = -2, CLIENT_END = -1 }; // for client_offset, besides times

struct client {
    struct transport *transport; // owned
    struct buf request, response;
    int32_t correlation;
};

int client_open(struct client *, const struct transport_where *, struct err *);
void client_close(struct client *);

struct client_topic {
    const char *name; // in the caller's arena
    int32_t partitions;
};

struct client_config {
    const char *name, *value; // in the caller's arena, or the caller's own
    bool is_default;
};

// All topics, in name order.
int client_topics(struct client *, struct arena *, struct client_topic **out, uint32_t *n,
                  struct err *);
// ERR_NOT_FOUND names the nearest topic.
int client_topic(struct client *, const char *name, int32_t *partitions, struct err *);
int client_create(struct client *, const char *name, int32_t partitions,
                  const struct client_config *, uint32_t n, struct err *);
int client_delete(struct client *, const char *name, struct err *);
int client_configs(struct client *, const char *topic, struct arena *, struct client_config **out,
                   uint32_t *n, struct err *);

// `time`: CLIENT_START, CLIENT_END (of what is committed), or a time in ms. -1: no such record.
int client_offset(struct client *, const char *topic, int32_t partition, int64_t time,
                  int64_t *offset, struct err *);
// One record batch; waits until it is durable.
int client_produce(struct client *, const char *topic, int32_t partition, struct slice batch,
                   int64_t *base_offset, struct err *);

struct client_aborted {
    int64_t producer_id, first_offset;
};

struct client_part { // one partition of a fetch
    int32_t partition;
    int64_t offset;                 // in: where to read
    int64_t stable;                 // out: end of what is committed
    struct slice records;           // out: whole batches; borrowed until the next call
    struct client_aborted *aborted; // out: in the caller's arena
    uint32_t aborted_count;
};

// Reads committed records; waits up to wait_ms for some. An offset that is gone is ERR_RANGE.
int client_fetch(struct client *, const char *topic, struct client_part *, uint32_t n,
                 int64_t wait_ms, struct arena *, struct err *);
