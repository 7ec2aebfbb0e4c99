// SPDX-License-Identifier: Apache-2.0
//
// Broker: the embedded durable log: topics, partitions, producers, group offsets, all on one disk.
//
// This header is the in-process face, used by log/native.c and by the Kafka protocol
// (broker/api_*). Any thread may call any function. Nothing here blocks on the network; functions
// that say "waits" block until a group commit.
//
// Promises
// P1  An append is acknowledged only when it is durable (journal synced), unless BROKER_OS.
// P2  The high watermark is the durable offset: nobody reads what a crash could take back.
// P3  Batches given to one call of broker_commit become visible together or not at all.
// P4  After kill -9 or power loss, broker_open finds exactly the acknowledged prefix (and maybe
//     complete later calls); it never truncates below what was acknowledged: corruption there is
//     an error with the file's name and position.
#pragma once

#include "base/buf.h"
#include "base/clk.h"
#include "base/err.h"

// The numbers are Kafka's error codes, so that the protocol layer passes them through.
enum broker_error {
    BROKER_OK = 0,
    BROKER_UNKNOWN_SERVER_ERROR = -1,
    BROKER_OFFSET_OUT_OF_RANGE = 1,
    BROKER_CORRUPT_MESSAGE = 2,
    BROKER_UNKNOWN_TOPIC_OR_PARTITION = 3,
    BROKER_MESSAGE_TOO_LARGE = 10,
    BROKER_INVALID_TOPIC = 17,
    BROKER_INVALID_REQUIRED_ACKS = 21,
    BROKER_INVALID_TIMESTAMP = 32,
    BROKER_UNSUPPORTED_VERSION = 35,
    BROKER_TOPIC_ALREADY_EXISTS = 36,
    BROKER_INVALID_PARTITIONS = 37,
    BROKER_INVALID_REPLICATION_FACTOR = 38,
    BROKER_INVALID_CONFIG = 40,
    BROKER_INVALID_REQUEST = 42,
    BROKER_OUT_OF_ORDER_SEQUENCE = 45,
    BROKER_DUPLICATE_SEQUENCE = 46,
    BROKER_INVALID_PRODUCER_EPOCH = 47,
    BROKER_INVALID_TXN_STATE = 48,
    BROKER_INVALID_PRODUCER_ID_MAPPING = 49,
    BROKER_INVALID_TRANSACTION_TIMEOUT = 50,
    BROKER_CONCURRENT_TRANSACTIONS = 51,
    BROKER_STORAGE_ERROR = 56,
    BROKER_UNSUPPORTED_COMPRESSION = 76,
    BROKER_INVALID_RECORD = 87,
    BROKER_PRODUCER_FENCED = 90,
};

const char *broker_error_name(enum broker_error e);

enum broker_durability {
    BROKER_FSYNC, // group-commit fdatasync before every acknowledgement
    BROKER_OS,    // acknowledge when the operating system has it (Kafka's default trade)
};

struct broker_config {
    const char *dir; // created when missing; locked while open
    enum broker_durability durability;
    struct clk *clk;          // borrowed; NULL: the real one
    int64_t segment_bytes;    // default for topics; 0: 256 MiB
    int64_t checkpoint_bytes; // journal size that triggers a checkpoint; 0: 64 MiB
    int64_t housekeeping_ms;  // retention and compaction interval; 0: 30 s; -1: only by call
    bool auto_create;         // topics spring up when first used over TCP
    int32_t auto_partitions;  // with this many partitions; 0: 4
};

struct broker;           // opaque
struct broker_partition; // opaque, reference-counted by nobody: lives as long as the broker

int broker_open(const struct broker_config *, struct broker **out, struct err *);
void broker_close(struct broker *); // checkpoints; a later open needs no recovery
const struct broker_config *broker_settings(const struct broker *);
const char *broker_cluster_id(const struct broker *); // 22 characters, made at first open
// After an error of fsync or of a journal write every change is refused with BROKER_STORAGE_ERROR
// while reads go on: the reason, or NULL when all is well. Valid until broker_close.
const char *broker_failure(struct broker *);
// Why a write was answered with BROKER_STORAGE_ERROR last while the broker has not failed: as a
// rule, the disk is full. Empty when there was none.
void broker_refusal(struct broker *, char *out, size_t size);

// --- topics -------------------------------------------------------------------------------------

enum broker_cleanup { BROKER_DELETE, BROKER_COMPACT, BROKER_COMPACT_DELETE };

struct broker_topic_config { // every member has a default: broker_topic_config_default()
    enum broker_cleanup cleanup;
    int64_t retention_ms;    // -1: for ever
    int64_t retention_bytes; // -1: unbounded
    int64_t segment_bytes;
    int64_t segment_ms;
    int64_t delete_retention_ms;
    int64_t min_compaction_lag_ms;
    int32_t max_message_bytes;
    bool append_time; // message.timestamp.type=LogAppendTime
};

struct broker_topic_info {
    char name[250];
    uint8_t id[16];
    int32_t partitions;
    struct broker_topic_config config;
};

struct broker_topic_config broker_topic_config_default(const struct broker *);
// Sets one config by its Kafka name ("cleanup.policy", "retention.ms" …).
enum broker_error broker_topic_config_set(struct broker_topic_config *, const char *name,
                                          const char *value);
enum broker_error broker_topic_create(struct broker *, const char *name, int32_t partitions,
                                      const struct broker_topic_config *, struct err *); // waits
enum broker_error broker_topic_delete(struct broker *, const char *name, struct err *);  // waits
enum broker_error broker_topic_find(struct broker *, const char *name, struct broker_topic_info *);
// Calls `each` for every topic in name order, until it returns false.
void broker_topic_each(struct broker *, bool (*each)(void *arg, const struct broker_topic_info *),
                       void *arg);
// Replaces the topic's config. Waits.
enum broker_error broker_topic_configure(struct broker *, const char *name,
                                         const struct broker_topic_config *, struct err *);
// NULL when there is no such topic or partition. A handle of a deleted topic stays valid and
// answers BROKER_UNKNOWN_TOPIC_OR_PARTITION.
struct broker_partition *broker_partition_find(struct broker *, const char *topic,
                                               int32_t partition);

// --- producers ----------------------------------------------------------------------------------

// NULL id: a fresh idempotent producer (epoch 0). Otherwise the id's producer with its epoch
// bumped: older holders are fenced, an open transaction of theirs is aborted. Waits.
enum broker_error broker_producer_init(struct broker *, const char *transactional_id,
                                       int32_t timeout_ms, int64_t *producer_id, int16_t *epoch);

// --- writing ------------------------------------------------------------------------------------

struct broker_batch { // one record batch v2 for one partition
    struct broker_partition *partition;
    struct slice bytes;  // borrowed during the call; offsets and leader epoch are set in our copy
    int64_t base_offset; // out
    int64_t log_append_time; // out: -1 unless the topic uses LogAppendTime
    enum broker_error error; // out
};

struct broker_group_offset {
    const char *topic;
    int32_t partition;
    int64_t offset;
    const char *metadata; // may be NULL
};

struct broker_done { // embed; `fn` is called once, on the committer's thread, when durable
    void (*fn)(struct broker_done *, enum broker_error);
};

// Validates each batch on its own (CRC, sequence, size; sets batch->error), assigns offsets and
// queues the good ones. `done` fires when they are durable, at once if none was good.
// `client_checked`: the caller built the batches itself (native client): skip the deep checks.
void broker_append(struct broker *, struct broker_batch *, uint32_t n, bool client_checked,
                   struct broker_done *);
// The same, waits. Returns the first error.
enum broker_error broker_append_wait(struct broker *, struct broker_batch *, uint32_t n,
                                     bool client_checked);

// A whole transaction in one call (P3): batches and group offsets. Batches are stored as plain
// (non-transactional) batches, since nothing uncommitted ever reaches the log. `sequence` numbers
// the caller's transactions: a repeat of the last one answers its result without writing again,
// so a caller that does not know the outcome may ask again. Waits.
// BROKER_PRODUCER_FENCED, BROKER_STORAGE_ERROR (outcome unknown), or a batch's error (nothing
// written, batches[i].error says which).
enum broker_error broker_commit(struct broker *, int64_t producer_id, int16_t epoch,
                                uint64_t sequence, struct broker_batch *, uint32_t n,
                                const char *group, const struct broker_group_offset *,
                                uint32_t offsets_count);

// Classic transactions: batches carry the transactional bit and reach the log at once, hidden
// behind the last stable offset until the end marker.
enum broker_error broker_txn_add(struct broker *, int64_t producer_id, int16_t epoch,
                                 struct broker_partition *);
enum broker_error broker_txn_offsets(struct broker *, int64_t producer_id, int16_t epoch,
                                     const char *group, const struct broker_group_offset *,
                                     uint32_t n);
enum broker_error broker_txn_end(struct broker *, int64_t producer_id, int16_t epoch,
                                 bool commit); // waits

// --- group offsets ------------------------------------------------------------------------------

enum broker_error broker_offsets_commit(struct broker *, const char *group,
                                        const struct broker_group_offset *, uint32_t n); // waits
// -1 when none. *unstable: a transaction holds an offset for it that is not decided yet.
int64_t broker_offset_committed(struct broker *, const char *group, const char *topic,
                                int32_t partition, bool *unstable);
// Calls `each` for the offsets of one group (NULL: of all), in no order, until it returns false.
// `offset` is -1 where there is only an undecided one. `each` may not call the broker. Committing
// offset -1 removes an offset.
typedef bool (*broker_offset_each)(void *arg, const char *group, const struct broker_group_offset *,
                                   bool unstable);
void broker_offsets_each(struct broker *, const char *group, broker_offset_each each, void *arg);

// --- reading ------------------------------------------------------------------------------------

struct broker_offsets {
    int64_t start;  // first offset
    int64_t stable; // last stable offset: read_committed stops here
    int64_t end;    // high watermark
};

struct broker_aborted {
    int64_t producer_id, first_offset;
};

struct broker_read {
    struct broker_offsets offsets;
    struct broker_aborted *aborted; // sorted by first offset; malloc'd, freed by the caller
    uint32_t aborted_count;
    int64_t next_offset; // end of what was read
};

enum broker_error broker_partition_offsets(struct broker_partition *, struct broker_offsets *);
// Appends whole batches to `out`, from the one that holds `offset`, up to `max_bytes` (at least one
// batch if there is any below the limit of `committed`: last stable offset, else high watermark).
// The bytes are as on the wire. OFFSET_OUT_OF_RANGE fills `info->offsets`.
enum broker_error broker_read(struct broker_partition *, int64_t offset, uint32_t max_bytes,
                              bool committed, struct buf *out, struct broker_read *info);
// First record with timestamp >= time: its offset and timestamp, or -1, -1.
enum broker_error broker_offset_for_time(struct broker_partition *, int64_t time_ms,
                                         int64_t *offset, int64_t *timestamp);

// A number that grows with every group commit, and a wait for it to pass `seen`.
uint64_t broker_progress(const struct broker *);
// Returns the new number; waits at most wait_ms.
uint64_t broker_progress_wait(struct broker *, uint64_t seen, int64_t wait_ms);
// Wakes everything in broker_progress_wait (used to stop a client).
void broker_wake(struct broker *);
// An eventfd (or any descriptor) that gets an 8-byte 1 written at every group commit; -1 removes.
void broker_notify_fd(struct broker *, int fd);

// --- housekeeping -------------------------------------------------------------------------------

// Makes `offset` (-1: the end) the partition's first: DeleteRecords. *start: what it is now. Waits.
enum broker_error broker_partition_trim(struct broker_partition *, int64_t offset, int64_t *start);
// One pass of transaction timeouts, retention and compaction over all partitions, now.
int broker_housekeep(struct broker *, struct err *);
int broker_checkpoint(struct broker *, struct err *);
