// SPDX-License-Identifier: Apache-2.0
//
// Transport: see transport.h. Which way is decided by the data directory's lock: who gets it owns
// the log. If somebody else has it, `broker.addr` in the directory says where they listen; an
// address left behind by a crash is never used, since then the lock is free.
#include "cli/transport.h"

#include "broker/api.h"
#include "log/rec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESPONSE_MAX = 256 << 20, SLACK_MS = 60000, SLICE_MS = 200 };

struct transport {
    char name[4096];
    int fd; // TCP; -1: in this process
    struct broker *broker;
    struct api api;
    struct api_call call;
    int wake; // eventfd: a group commit, a finished Produce
};

static volatile sig_atomic_t stopped;

void transport_stop(void)
{
    stopped = 1;
}

bool transport_stopped(void)
{
    return stopped != 0;
}

const char *transport_name(const struct transport *t)
{
    return t->name;
}

// --- TCP ----------------------------------------------------------------------------------------

static int connect_to(struct transport *t, const char *address, struct err *e)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - address);
    if (n == 0 || n >= sizeof(host))
        return err_set(e, ERR_INVALID, "\"%s\" is not an address; write HOST:PORT", address);
    snprintf(host, sizeof(host), "%.*s", (int)n, address);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int r = getaddrinfo(host, colon + 1, &hints, &list);
    if (r != 0)
        return err_set(e, ERR_IO, "cannot find %s: %s", address, gai_strerror(r));
    for (struct addrinfo *a = list; a != NULL && t->fd < 0; a = a->ai_next) {
        t->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (t->fd >= 0 && connect(t->fd, a->ai_addr, a->ai_addrlen) != 0) {
            int saved = errno;
            close(t->fd);
            t->fd = -1;
            errno = saved;
        }
    }
    freeaddrinfo(list);
    if (t->fd < 0)
        return err_io(e, "cannot connect to the broker at %s", address);
    int on = 1;
    setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    snprintf(t->name, sizeof(t->name), "%s", address);
    return 0;
}

static int send_all(struct transport *t, struct slice s, struct err *e)
{
    while (s.n > 0) {
        ssize_t n = send(t->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR && !stopped)
            continue;
        if (n < 0)
            return stopped ? err_set(e, ERR_CLOSED, "stopped")
                           : err_io(e, "cannot send to the broker at %s", t->name);
        s.p += n;
        s.n -= (uint32_t)n;
    }
    return 0;
}

// Reads exactly `want` bytes into `out`, looking at the stop flag now and then.
static int receive(struct transport *t, uint32_t want, int64_t *left_ms, struct buf *out,
                   struct err *e)
{
    while (want > 0) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        int r = poll(&p, 1, SLICE_MS);
        if (stopped)
            return err_set(e, ERR_CLOSED, "stopped");
        if (r == 0 && (*left_ms -= SLICE_MS) <= 0)
            return err_set(e, ERR_UNKNOWN, "the broker at %s does not answer", t->name);
        if (r <= 0)
            continue;
        uint32_t chunk = want < (1 << 20) ? want : 1 << 20; // grow with what comes
        ssize_t n = recv(t->fd, buf_reserve(out, chunk + REC_PADDING), chunk, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_io(e, "cannot read from the broker at %s", t->name);
        if (n == 0)
            return err_set(e, ERR_CLOSED, "the broker at %s closed the connection", t->name);
        out->n += (uint32_t)n;
        want -= (uint32_t)n;
    }
    return 0;
}

static int exchange_tcp(struct transport *t, struct slice request, int64_t wait_ms,
                        struct buf *response, struct err *e)
{
    int64_t left_ms = wait_ms + SLACK_MS;
    if (send_all(t, request, e) != 0 || receive(t, 4, &left_ms, response, e) != 0)
        return -1;
    uint32_t size = bytes_get32(response->p);
    if (size > RESPONSE_MAX)
        return err_set(e, ERR_CORRUPT, "%s announced a response of %u bytes; is it a Kafka broker?",
                       t->name, size);
    buf_clear(response);
    return receive(t, size, &left_ms, response, e);
}

// --- in this process ----------------------------------------------------------------------------

static void on_wake(void *arg)
{
    struct transport *t = arg;
    uint64_t one = 1;
    ssize_t r = write(t->wake, &one, sizeof(one));
    (void)r; // full means that a wake is pending already
}

static int64_t now_ms(void)
{
    return clk_mono_ms(clk_real());
}

// Waits for a wake or the call's deadline.
static void wait_parked(struct transport *t)
{
    int64_t left = t->call.deadline_ms - now_ms();
    struct pollfd p = {.fd = t->wake, .events = POLLIN};
    if (poll(&p, 1, left < 0 ? 0 : left < SLICE_MS ? (int)left : SLICE_MS) <= 0)
        return;
    uint64_t count;
    ssize_t r = read(t->wake, &count, sizeof(count));
    (void)r;
}

static int exchange_here(struct transport *t, struct slice request, struct buf *response,
                         struct err *e)
{
    struct slice body = slice_of(request.p + 4, request.n - 4);
    enum api_result r = api_start(&t->call, body, now_ms(), response);
    while (r == API_PARKED) {
        wait_parked(t);
        if (stopped && api_cancel(&t->call))
            return err_set(e, ERR_CLOSED, "stopped");
        r = api_resume(&t->call, now_ms(), response);
    }
    if (r != API_ANSWERED)
        return err_set(e, ERR_INVALID, "the log in %s refused a request", t->name);
    response->n -= 4; // the size: nobody needs it here
    memmove(response->p, response->p + 4, response->n);
    buf_reserve(response, REC_PADDING);
    return 0;
}

static int open_here(struct transport *t, const char *data, struct err *e)
{
    struct broker_config config = {.dir = data, .durability = BROKER_FSYNC, .housekeeping_ms = -1};
    if (broker_open(&config, &t->broker, e) != 0)
        return -1;
    t->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(t->wake >= 0);
    api_init(&t->api, t->broker, "127.0.0.1", 0);
    api_call_init(&t->call, &t->api);
    t->api.wake = on_wake;
    t->api.wake_arg = t;
    broker_notify_fd(t->broker, t->wake);
    snprintf(t->name, sizeof(t->name), "%s", data);
    return 0;
}

// --- choice -------------------------------------------------------------------------------------

static bool read_addr(const char *data, char out[512])
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/broker.addr", data);
    FILE *f = fopen(path, "re");
    bool good = f != NULL && fgets(out, 512, f) != NULL;
    if (f != NULL)
        fclose(f);
    if (good)
        out[strcspn(out, "\n")] = 0;
    return good;
}

static int choose(struct transport *t, const struct transport_where *where, struct err *e)
{
    char address[512];
    if (where->broker != NULL)
        return connect_to(t, where->broker, e);
    struct stat st;
    if (!where->create && stat(where->data, &st) != 0 && errno == ENOENT)
        return err_set(
            e, ERR_NOT_FOUND,
            "there is no data directory %s; start a broker with `weir broker --data %s`, "
            "or name another directory with --data",
            where->data, where->data);
    if (open_here(t, where->data, e) == 0)
        return 0;
    if (e->code != ERR_EXISTS || !read_addr(where->data, address))
        return -1;
    struct err tcp;
    if (connect_to(t, address, &tcp) == 0)
        return 0;
    return err_set(e, tcp.code, "%s is in use by another process, which does not answer: %s",
                   where->data, tcp.text);
}

int transport_open(const struct transport_where *where, struct transport **out, struct err *e)
{
    struct transport *t = check_alloc(calloc(1, sizeof(*t)));
    *out = t;
    t->fd = t->wake = -1;
    if (choose(t, where, e) == 0)
        return 0;
    free(t);
    *out = NULL;
    return -1;
}

void transport_close(struct transport *t)
{
    if (t == NULL)
        return;
    if (t->fd >= 0)
        close(t->fd);
    if (t->broker != NULL) {
        broker_notify_fd(t->broker, -1);
        api_release(&t->api);
        api_call_release(&t->call);
        broker_close(t->broker);
        close(t->wake);
    }
    free(t);
}

int transport_exchange(struct transport *t, struct slice request, int64_t wait_ms,
                       struct buf *response, struct err *e)
{
    buf_clear(response);
    if (t->fd >= 0)
        return exchange_tcp(t, request, wait_ms, response, e);
    return exchange_here(t, request, response, e);
}
