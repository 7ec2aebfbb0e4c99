// SPDX-License-Identifier: Apache-2.0
//
// Journal: the shared write-ahead log and its committer thread.
//
// Callers add entries to the group that is filling; the committer takes the group, syncs the
// segments it refers to, writes it as ONE frame, syncs the journal, publishes what became durable
// and fires the waiters. Callers that come during a sync form the next group, so there is no timer.
//
// A frame is magic, crc, payload length, sequence, then entries (broker/entry.h), padded to 8
// bytes. Space is zero-filled ahead and promised to callers before they change anything, so that
// a full disk refuses them cleanly and a sync rarely has to commit a file size. When the committer
// goes idle it writes a seal (an empty frame) behind the last one, unsynced: it tells a damaged
// acknowledged frame from one that was being written when the power went.
//
// J1  Frames have consecutive sequence numbers across journal files. Seals take the next number
//     and are overwritten by the frame that really gets it.
// J2  A frame is complete on disk, and so is all it refers to, before its waiters fire.
// J3  After an error of write or sync nothing is written again: the broker has failed.
// J4  All entries of one call lie in one frame.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "broker/broker.h"

struct segment;

struct journal_group {
    struct buf payload;
    struct broker_done **dones;
    struct segment **syncs; // references held
    uint32_t dones_count, dones_size, syncs_count, syncs_size;
    int64_t promised;   // of the space promised to its callers
    int64_t referenced; // bytes by reference
};

struct journal {
    struct broker *broker;
    char *dir;
    pthread_mutex_t mutex;
    pthread_cond_t work; // something to commit, or stop
    pthread_cond_t idle; // a group was finished
    pthread_t thread;
    struct journal_group groups[2];
    struct journal_group *filling;
    bool busy, stop, running;
    int fd;
    uint64_t number;   // of the file
    uint64_t sequence; // of the next frame
    int64_t position;  // where it goes
    int64_t zeroed;    // space that is there
    int64_t promised;  // to callers whose bytes are not written yet
    int64_t replay;    // bytes a recovery would read: frames and what they refer to
};

enum { JOURNAL_HEADER = 32, JOURNAL_FRAME = 24 };

// Bytes that a frame takes in the file: frames begin at multiples of 8.
static inline int64_t journal_frame_size(uint32_t payload)
{
    return JOURNAL_FRAME + (((int64_t)payload + 7) & ~(int64_t)7);
}

// The file journal/<number>.wal; `out` holds SEGMENT_PATH bytes.
void journal_path(char *out, const char *dir, uint64_t number);
int journal_init(struct journal *, struct broker *, struct err *);
// Opens a new file; its first frame will have `sequence`. Before journal_start, and by
// journal_switch. The old file is closed, not deleted.
int journal_new_file(struct journal *, uint64_t number, uint64_t sequence, struct err *);
int journal_start(struct journal *, struct err *);
void journal_stop(struct journal *); // commits what is queued, joins the thread
void journal_release(struct journal *);

// Promises room for `bytes` of entries; waits while too much is queued. -1: no space, or failed.
int journal_reserve(struct journal *, int64_t bytes, struct err *);
void journal_give_back(struct journal *, int64_t bytes);
// Opens the filling group: entries go to the returned buffer until journal_end. Locks the queue.
struct buf *journal_begin(struct journal *);
void journal_sync_segment(struct journal *, struct segment *, int64_t bytes); // inside begin/end
// `reserved` as promised; `done` may be NULL.
void journal_end(struct journal *, int64_t reserved, struct broker_done *);
// Queues ready-made entries: reserve, begin, end.
enum broker_error journal_submit(struct journal *, struct slice entries, struct broker_done *);
// Waits until everything queued is written. The caller keeps others from queuing.
void journal_drain(struct journal *);

// A waiter on the stack.
struct journal_wait {
    struct broker_done done;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool fired;
    enum broker_error error;
};
void journal_wait_init(struct journal_wait *);
enum broker_error journal_wait_for(struct journal_wait *);

// --- reading (journal_read.c)

struct journal_frame {
    uint64_t sequence;
    struct slice payload;
    int64_t position; // in its file
};

struct journal_source {
    const char *path;
    uint64_t number;
    bool last;   // no file follows: it may end in a frame that was being written
    bool synced; // acknowledged frames were synced: a bad one with a later good one is damage
};

// Calls `each` for the frames of one file in order; their numbers must start at *sequence, which is
// moved on. ERR_CORRUPT when acknowledged frames are missing or damaged. `each` returns 1 to stop
// there, -1 to fail.
typedef int (*journal_each)(void *arg, const struct journal_frame *, struct err *);
int journal_read(const struct journal_source *, uint64_t *sequence, journal_each, void *arg,
                 struct err *);
// Used by both sides.
void journal_frame_put(uint8_t out[JOURNAL_FRAME], struct slice payload, uint64_t sequence);
void journal_header_put(uint8_t out[JOURNAL_HEADER], uint64_t number, uint64_t sequence);
