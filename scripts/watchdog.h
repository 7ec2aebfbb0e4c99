// SPDX-License-Identifier: Apache-2.0
//
// Watchdog: bounds the time of a call into an interpreter, without cost per instruction and without
// reading a clock per call. One thread per process, started with the first script, looks every
// 50 ms which interpreters are still in the call it saw before and how much CPU time their threads
// have used since; beyond the budget it sends the thread a signal, whose handler asks Lua for its
// hook, which raises. CPU time, so that a busy machine or a suspended one kills nobody's records.
//
// The handler runs on the thread that runs the interpreter: that is what makes lua_sethook safe
// here. Called from another thread it would walk frames that the interpreter may be freeing.
//
// Threads: watch_begin/watch_end on the interpreter's; the watchdog reads only atomics.
// The signal is SIGURG: ignored by default, so a late one hurts nobody.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct lua_State;

struct watch {
    struct lua_State *L;
    struct watch *next, *previous; // under the watchdog's lock
    int64_t budget_ns;
    _Atomic uint64_t sequence; // odd while a call runs
    _Atomic uint64_t fired;    // the sequence whose time is over
    _Atomic int thread;        // kernel id of the thread of the call
    _Atomic clockid_t clock;   // its CPU clock
    uint64_t seen;             // watchdog: sequence at its last look
    int64_t seen_ns;           // watchdog: that thread's CPU time then
    volatile bool hooked;      // by the handler: the hook was set in this call
};

void watch_add(struct watch *, struct lua_State *, int64_t budget_ms);
void watch_remove(struct watch *);
void watch_begin(struct watch *);
// true: the call had run out of time.
bool watch_end(struct watch *);

// Is the running call's time over? Cheap; for loops in C.
static inline bool watch_expired(const struct watch *w)
{
    return atomic_load_explicit(&w->fired, memory_order_relaxed) ==
           atomic_load_explicit(&w->sequence, memory_order_relaxed);
}
