// SPDX-License-Identifier: Apache-2.0
//
// Api: the Kafka protocol without sockets: the bytes of one request go in, the bytes of its
// response come out, or the call is parked and asked again later. net.c drives it over TCP, the
// command line in-process, tests and the fuzzer with bytes.
//
// `struct api` holds settings and borrows the broker; `struct api_call` is one request being served
// and belongs to a connection (or another driver). All calls of one api are driven by one thread.
//
// A1  Each request ends as exactly one of ANSWERED, SILENT or CLOSE; while it is PARKED the driver
//     calls api_resume after every wake (broker_notify_fd, api.wake) and at `deadline_ms`.
// A2  A response is appended to `out` in whole, with its size in front, or not at all.
// A3  A parked Produce is referenced by the committer until it is durable: a call may be released
//     only when api_cancel says so. A parked Fetch can be cancelled at any time.
// A4  A request is parsed to its end before anything is done; malformed bytes change nothing.
// A5  A version range is listed only if every version in it works; ApiVersions is made from the
//     same table that dispatches. (Produce 0 to 2 are listed and answered with UNSUPPORTED_VERSION:
//     librdkafka before 2.10 compresses only if it sees version 0.)
//
// Creating and deleting topics and InitProducerId wait for their group commit inside the call: a
// few milliseconds during which the network thread serves nobody else. They are rare.
#pragma once

#include "base/arena.h"
#include "broker/broker.h"
#include "broker/wire.h"

#include <stdatomic.h>

enum {
    API_NODE_ID = 1,      // of the one broker there is
    API_LEADER_EPOCH = 0, // never moves: nothing a consumer saw can vanish (broker.h, P2 and P4)
    API_NAME_SIZE = 250,  // topic names with their NUL
    API_FETCH_MAX_BYTES = 64 * 1024 * 1024, // in one Fetch response, whatever the client allows
    API_ANSWER_MAX = 64 * 1024 * 1024,      // of other responses: small requests can ask for a lot
};

enum api_key {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_LIST_OFFSETS = 2,
    API_METADATA = 3,
    API_FIND_COORDINATOR = 10,
    API_VERSIONS = 18,
    API_CREATE_TOPICS = 19,
    API_DELETE_TOPICS = 20,
    API_INIT_PRODUCER_ID = 22,
    API_DESCRIBE_CONFIGS = 32,
    API_DESCRIBE_CLUSTER = 60,
};

// Error codes that only the protocol layer gives; the rest are enum broker_error.
enum api_error {
    API_INVALID_FETCH_SIZE = 4,
    API_COORDINATOR_NOT_AVAILABLE = 15,
    API_UNSUPPORTED_FOR_MESSAGE_FORMAT = 43,
    API_FETCH_SESSION_ID_NOT_FOUND = 70,
    API_FENCED_LEADER_EPOCH = 74,
    API_UNKNOWN_LEADER_EPOCH = 75,
    API_UNKNOWN_TOPIC_ID = 100,
};

struct api {
    struct broker *broker; // borrowed
    const char *host;      // what clients are told to connect to; borrowed
    int32_t port;
    bool auto_create;
    int32_t auto_partitions;
    // Called on the committer's thread when a parked Produce became durable; NULL: nobody waits.
    void (*wake)(void *arg);
    void *wake_arg;
    atomic_uint pending; // produce calls the committer still refers to
    struct buf scratch;  // records on their way into a Fetch response
};

enum api_result {
    API_ANSWERED, // the response is in `out`
    API_SILENT,   // done, and this request gets no response (acks=0)
    API_PARKED,   // ask again with api_resume
    API_CLOSE,    // malformed or unknown: drop the connection
};

struct api_entry;

struct api_call {
    struct api *api;               // borrowed
    const struct api_entry *entry; // of the request's key
    int16_t version;
    int32_t correlation;
    struct wire_in in;   // borrowed request, only during api_start
    struct wire_out out; // during api_start and api_resume
    struct arena arena;  // the parsed request; reset by the next api_start
    void *op;            // a parked handler's own state, in `arena`
    int64_t now_ms;      // monotonic, as the driver said
    int64_t deadline_ms; // parked: resume at the latest then
    bool parked;
};

// One row per api key. `resume` and `cancel` are NULL for handlers that never park.
struct api_entry {
    int16_t key, min, max, flexible; // flexible: the first flexible version
    const char *name;
    enum api_result (*start)(struct api_call *);
    enum api_result (*resume)(struct api_call *);
    bool (*cancel)(struct api_call *); // true: the call may be released now
};

void api_init(struct api *, struct broker *, const char *host, int32_t port);
void api_release(struct api *); // waits until the committer has let go of it
void api_call_init(struct api_call *, struct api *);
void api_call_release(struct api_call *); // not while parked

// `request` without its size prefix; borrowed during the call.
enum api_result api_start(struct api_call *, struct slice request, int64_t now_ms, struct buf *out);
enum api_result api_resume(struct api_call *, int64_t now_ms, struct buf *out);
// True: not parked any more. False: call api_resume until it is not PARKED, then release.
bool api_cancel(struct api_call *);

// The table; *count rows in key order.
const struct api_entry *api_entries(uint32_t *count);

// --- handlers (one family per file) -------------------------------------------------------------

enum api_result api_versions_start(struct api_call *);
enum api_result api_metadata_start(struct api_call *);
enum api_result api_describe_cluster_start(struct api_call *);
enum api_result api_find_coordinator_start(struct api_call *);
enum api_result api_produce_start(struct api_call *);
enum api_result api_produce_resume(struct api_call *);
bool api_produce_cancel(struct api_call *);
enum api_result api_fetch_start(struct api_call *);
enum api_result api_fetch_resume(struct api_call *);
bool api_fetch_cancel(struct api_call *);
enum api_result api_offsets_start(struct api_call *);
enum api_result api_producer_start(struct api_call *);
enum api_result api_topics_create(struct api_call *);
enum api_result api_topics_delete(struct api_call *);
enum api_result api_configs_start(struct api_call *);

// --- shared by handlers -------------------------------------------------------------------------

// Finds a topic; creates it when `create` and the name allows.
enum broker_error api_topic_get(struct api *, const char *name, bool create,
                                struct broker_topic_info *);
// 0, or the error for a request's current_leader_epoch (-1: not given).
int16_t api_check_epoch(int32_t epoch);

// The version answer for a version we do not know: body v0, error 35, our range for key 18.
void api_versions_refuse(struct api_call *);

// True once a response has grown beyond what any honest request asks for: give up, close.
static inline bool api_answer_too_large(const struct api_call *call)
{
    return call->out.b->n > API_ANSWER_MAX;
}

// A topic's configs with name, value and origin, as CreateTopics answers them.
void api_configs_put(struct api_call *, const struct broker_topic_config *);
