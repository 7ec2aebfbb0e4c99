// SPDX-License-Identifier: Apache-2.0
//
// Watermark: the event time of one task: one tracker per input partition, and their minimum.
//
// A partition's watermark comes from its records (highest time seen minus max_out_of_order) until
// the first marker is seen; from then on it is the minimum over the writers of all groups that
// write into it. Idle writers and inputs are not waited for: if none is left to wait for, the
// furthest one counts, so that what is already known to be complete is not kept back.
//
// Pure: no I/O, no clock, one owner (the task's worker). wm_record and wm_watermark allocate
// nothing. Nothing fails but wm_decode (bytes from outside).
//
// I1  Neither a partition's watermark nor the task's ever goes back (wm_decode and wm_reset apart).
// I2  Every record accepted after wm_watermark() said W, and not late, has time >= W.
// I3  A refused record (WM_FUTURE, WM_JUMP) changes nothing.
// I4  `end` is never mixed into a saved watermark: a later run goes on where the data stopped.
#pragma once

#include "base/err.h"
#include "log/marker.h"

enum wm_verdict {
    WM_TAKE,
    WM_FUTURE, // later than the wall clock plus max_future
    WM_JUMP,   // later than the watermark plus max_jump
};

struct wm_writer {
    int64_t watermark; // INT64_MIN: nothing heard, or unknown to it
    uint8_t flags;     // enum marker_flags, of its latest marker
};

struct wm_group {
    uint32_t id; // marker.group
    int32_t writers_count;
    struct wm_writer *writers; // owned
};

struct wm_input {
    uint32_t topic; // hash_id of the topic's name: tells inputs apart in saved bytes
    int32_t partition;
    // -1 switches a check off; max_out_of_order_ms -1: records never move the watermark, only
    // markers do (internal topics).
    int64_t max_out_of_order_ms, max_future_ms, max_jump_ms;

    // The rest is the tracker's own; callers may read it.
    int64_t high;      // highest time accepted; INT64_MIN: none
    int64_t watermark; // INT64_MIN: none yet
    bool idle;         // told by wm_idle
    bool end;          // told by wm_end
    bool marked;       // a marker was seen: records no longer move the watermark
    bool writers_idle; // every writer that has not ended is idle
    bool writers_end;  // every expected or known writer has ended
    struct wm_group *groups;
    uint32_t groups_count;
};

struct wm {
    struct wm_input *inputs; // owned
    uint32_t inputs_count;
    int64_t watermark; // the task's, without regard to end
    bool ended;
};

// Copies the first six fields of each of `count` inputs.
void wm_init(struct wm *, const struct wm_input *inputs, uint32_t count);
void wm_release(struct wm *);
// Forgets everything seen, as after wm_init; expected writers stay expected.
void wm_reset(struct wm *);

// Declares a group of `writers` that will write into the input, so that neither the watermark of a
// marked input nor its end come before all of them have spoken.
void wm_expect(struct wm *, uint32_t input, uint32_t group, int32_t writers);

// A marker from input `input`. A group's size is what its latest marker says.
void wm_marker(struct wm *, uint32_t input, const struct marker *);
// The input has (not) been at its end for idle_after. A record or marker ends idleness by itself.
void wm_idle(struct wm *, uint32_t input, bool idle);
// The highest time that others than the writers have reached, less what may come out of order:
// counts while the input is idle and so are all its writers, since nobody else says how far it is.
void wm_settle(struct wm *, uint32_t input, int64_t time);
// Bounded run, topic without writers of ours: the input's end was reached.
void wm_end(struct wm *, uint32_t input);

// The slow path of wm_record: the record is the highest so far, or the input was idle.
enum wm_verdict wm_record_high(struct wm *, uint32_t input, int64_t time, int64_t wall_ms);

// A record's time, before the record is processed. `wall_ms` is for max_future; the task reads the
// clock once per step. After WM_TAKE ask wm_watermark; after a refusal drop the record
// (DROP_FUTURE).
static inline enum wm_verdict wm_record(struct wm *w, uint32_t input, int64_t time, int64_t wall_ms)
{
    const struct wm_input *in = &w->inputs[input];
    if (__builtin_expect(time <= in->high && !in->idle, 1))
        return WM_TAKE;
    return wm_record_high(w, input, time, wall_ms);
}

// The task's watermark: INT64_MIN: none yet; INT64_MAX: every input has ended.
static inline int64_t wm_watermark(const struct wm *w)
{
    return w->ended ? INT64_MAX : w->watermark;
}
static inline bool wm_ended(const struct wm *w)
{
    return w->ended;
}
// Nothing to wait for: every input that has not ended is idle. What a marker's MARKER_IDLE says.
bool wm_all_idle(const struct wm *);
// What this task tells its readers: watermark without regard to end, IDLE and END as flags.
struct marker wm_task_marker(const struct wm *, uint32_t group, int32_t writer, int32_t writers);

// The committed vector, for the task mark.
void wm_encode(const struct wm *, struct buf *out);
// Replaces what is known by saved bytes; inputs are matched by topic and partition, unknown ones
// are skipped, inputs not in the bytes start empty. With `new_run` the saved `end`s are forgotten
// (a later run; more may come); without it they stay (an abort within a run). Empty bytes: as
// wm_reset.
int wm_decode(struct wm *, struct slice, bool new_run, struct err *);
