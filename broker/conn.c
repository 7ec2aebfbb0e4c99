// SPDX-License-Identifier: Apache-2.0
//
// Conn: see conn.h.
#include "broker/conn.h"

#include "base/logline.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_AHEAD = 256 * 1024, // bytes of later requests that are kept while one is served
    READ_CHUNK = 64 * 1024,
    READS_PER_TURN = 16, // then the others; epoll will say again that there is more
    KEEP = 1024 * 1024,  // larger buffers are given back when empty
};

struct conn *conn_new(int fd, struct api *api, uint32_t request_max, int64_t now_ms)
{
    struct conn *c = check_alloc(calloc(1, sizeof(*c)));
    c->fd = fd;
    c->request_max = request_max;
    c->active_ms = now_ms;
    buf_init(&c->in);
    buf_init(&c->out);
    api_call_init(&c->call, api);
    return c;
}

void conn_free(struct conn *c)
{
    CHECK(conn_finished(c));
    api_call_release(&c->call);
    buf_release(&c->in);
    buf_release(&c->out);
    free(c);
}

bool conn_finished(const struct conn *c)
{
    return c->closing && !c->call.parked;
}

void conn_close(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->closing = true;
    api_cancel(&c->call);
}

static uint32_t buffered(const struct conn *c)
{
    return c->in.n - c->in_start;
}

static uint32_t unsent(const struct conn *c)
{
    return c->out.n - c->out_sent;
}

// Size of the next request without its prefix; -1: not known yet.
static int64_t next_size(const struct conn *c)
{
    return buffered(c) < 4 ? -1 : (int64_t)(int32_t)bytes_get32(c->in.p + c->in_start);
}

bool conn_wants_read(const struct conn *c)
{
    if (c->closing || c->eof)
        return false;
    int64_t size = next_size(c);
    bool partial = size < 0 || buffered(c) < (uint64_t)size + 4;
    return buffered(c) < READ_AHEAD || (partial && !c->call.parked);
}

bool conn_wants_write(const struct conn *c)
{
    return !c->closing && unsent(c) > 0;
}

// Takes the served bytes out of the input; large buffers are not kept for small clients.
static void compact(struct conn *c)
{
    uint32_t left = buffered(c);
    if (c->in_start == 0)
        return;
    if (left > 0 && left < c->in_start) // moves little compared with what was served
        memcpy(c->in.p, c->in.p + c->in_start, left);
    else if (left > 0)
        return;
    c->in.n = left;
    c->in_start = 0;
    if (left == 0 && c->in.size > KEEP)
        buf_release(&c->in);
}

// Sends what is there. False: the connection was closed.
static bool flush(struct conn *c, int64_t now_ms)
{
    while (unsent(c) > 0) {
        ssize_t n = send(c->fd, c->out.p + c->out_sent, unsent(c), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n < 0) {
            conn_close(c);
            return false;
        }
        c->out_sent += (uint32_t)n;
        c->active_ms = now_ms;
    }
    c->out_sent = 0;
    buf_clear(&c->out);
    if (c->out.size > KEEP)
        buf_release(&c->out);
    return true;
}

static void settle(struct conn *c, enum api_result r)
{
    if (r == API_CLOSE)
        conn_close(c);
}

// Takes the next whole request, if there is one. False: nothing to do.
static bool start_next(struct conn *c, int64_t now_ms)
{
    int64_t size = next_size(c);
    if (buffered(c) >= 4 && (size < 0 || size > c->request_max)) {
        logline(LOG_WARN, "net", "closing a connection: it announced a request of %lld bytes%s",
                (long long)size,
                size < 0 ? " (is this a Kafka client?)" : ", more than is accepted");
        conn_close(c);
        return false;
    }
    if (size < 0 || buffered(c) < (uint64_t)size + 4)
        return false;
    struct slice request = slice_of(c->in.p + c->in_start + 4, (size_t)size);
    c->in_start += (uint32_t)size + 4;
    settle(c, api_start(&c->call, request, now_ms, &c->out));
    compact(c);
    return true;
}

// Serves requests until there is none, one waits, or the client does not take its answers.
static void drive(struct conn *c, int64_t now_ms)
{
    while (!c->closing && flush(c, now_ms)) {
        if (unsent(c) > 0 || c->call.parked || !start_next(c, now_ms))
            break;
    }
    bool done = !c->closing && c->eof && unsent(c) == 0;
    if (!done)
        return;
    if (!c->call.parked || api_cancel(&c->call)) // nobody is left to wait for a parked Fetch
        conn_close(c);
}

void conn_readable(struct conn *c, int64_t now_ms)
{
    for (int i = 0; i < READS_PER_TURN && conn_wants_read(c); i++) {
        uint32_t room = READ_CHUNK;
        int64_t size = next_size(c);
        if (size > READ_CHUNK && size <= c->request_max) // a large one: grow with what has come
            room = buffered(c) < READ_AHEAD ? READ_CHUNK : buffered(c) / 2;
        ssize_t n = recv(c->fd, buf_reserve(&c->in, room), room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            conn_close(c);
            return;
        }
        c->eof = n == 0;
        c->in.n += (uint32_t)n;
        c->active_ms = now_ms;
        drive(c, now_ms);
    }
    drive(c, now_ms);
}

void conn_writable(struct conn *c, int64_t now_ms)
{
    drive(c, now_ms);
}

void conn_resume(struct conn *c, int64_t now_ms)
{
    if (!c->call.parked)
        return;
    enum api_result r = api_resume(&c->call, now_ms, &c->out);
    if (r == API_PARKED)
        return;
    c->active_ms = now_ms;
    settle(c, r);
    drive(c, now_ms);
}
