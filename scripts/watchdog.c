// SPDX-License-Identifier: Apache-2.0
#include "scripts/watchdog.h"

#include "scripts/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOOK_EVERY_MS = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t started = PTHREAD_ONCE_INIT;
static struct watch *watches; // all of the process, under `lock`

static _Thread_local struct watch *running; // of this thread, or NULL
static _Thread_local int thread_id;
static _Thread_local clockid_t thread_clock;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return -1; // the thread is gone
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// In the interpreter's thread, from its hook: between instructions, so raising is allowed.
static void on_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct script *s = script_of(L);
    // luaL_error would name the caller of the function at hand.
    uint32_t line = dsl_user_line(s);
    if (line != 0)
        lua_pushfstring(L, "%s:%d: ", s->name, (int)line);
    else
        lua_pushliteral(L, "");
    lua_pushfstring(L, "ran longer than %d ms", (int)(s->watch.budget_ns / 1000000));
    lua_concat(L, 2);
    lua_error(L);
}

static void on_signal(int sig)
{
    (void)sig;
    struct watch *w = running;
    if (w == NULL || !watch_expired(w))
        return; // the call has ended meanwhile
    w->hooked = true;
    // Calls too: a loop of C functions executes no instruction.
    lua_sethook(w->L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void look(struct watch *w)
{
    uint64_t sequence = atomic_load_explicit(&w->sequence, memory_order_acquire);
    if ((sequence & 1) == 0)
        return;
    int64_t now = clock_ns(atomic_load_explicit(&w->clock, memory_order_relaxed));
    if (sequence != w->seen || now < 0) {
        w->seen = sequence;
        w->seen_ns = now;
        return;
    }
    if (now - w->seen_ns < w->budget_ns)
        return;
    atomic_store_explicit(&w->fired, sequence, memory_order_release);
    // A thread that is gone gives ESRCH; one that has moved on finds nothing expired.
    syscall(SYS_tgkill, getpid(), atomic_load_explicit(&w->thread, memory_order_relaxed), SIGURG);
}

static void *watchdog(void *arg)
{
    (void)arg;
    const struct timespec pause = {0, LOOK_EVERY_MS * 1000000L};
    for (;;) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        for (struct watch *w = watches; w != NULL; w = w->next)
            look(w);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void start(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGURG, &action, NULL) == 0);
    // All signals but ours are for other threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK(pthread_create(&thread, NULL, watchdog, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_detach(thread);
}

void watch_add(struct watch *w, lua_State *L, int64_t budget_ms)
{
    w->L = L;
    w->budget_ns = budget_ms * 1000000;
    // Even and never 0, which `fired` begins with.
    atomic_store(&w->sequence, 2);
    pthread_once(&started, start);
    pthread_mutex_lock(&lock);
    w->next = watches;
    if (watches != NULL)
        watches->previous = w;
    watches = w;
    pthread_mutex_unlock(&lock);
}

void watch_remove(struct watch *w)
{
    pthread_mutex_lock(&lock);
    if (w->previous != NULL)
        w->previous->next = w->next;
    else
        watches = w->next;
    if (w->next != NULL)
        w->next->previous = w->previous;
    pthread_mutex_unlock(&lock);
}

static void know_thread(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK(pthread_getcpuclockid(pthread_self(), &thread_clock) == 0);
    thread_id = (int)syscall(SYS_gettid);
}

void watch_begin(struct watch *w)
{
    if (__builtin_expect(thread_id == 0, 0))
        know_thread();
    atomic_store_explicit(&w->thread, thread_id, memory_order_relaxed);
    atomic_store_explicit(&w->clock, thread_clock, memory_order_relaxed);
    running = w;
    uint64_t sequence = atomic_load_explicit(&w->sequence, memory_order_relaxed);
    atomic_store_explicit(&w->sequence, sequence + 1, memory_order_release);
}

bool watch_end(struct watch *w)
{
    bool expired = watch_expired(w);
    uint64_t sequence = atomic_load_explicit(&w->sequence, memory_order_relaxed);
    atomic_store_explicit(&w->sequence, sequence + 1, memory_order_release);
    running = NULL;
    atomic_signal_fence(memory_order_seq_cst); // from here on the handler does nothing
    if (__builtin_expect(w->hooked, 0)) {
        lua_sethook(w->L, NULL, 0, 0);
        w->hooked = false;
    }
    return expired;
}
