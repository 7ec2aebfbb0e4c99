// SPDX-License-Identifier: Apache-2.0
//
// Net: see net.h. The loop: wait, serve the sockets that moved, then look over the parked and idle
// connections. A walk over all connections per wake is cheap next to the group commit behind it.
#include "broker/net.h"

#include "base/logline.h"
#include "broker/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, TICK_MS = 1000, HOST_SIZE = 256 };

struct net {
    struct net_config config;
    struct broker *broker; // borrowed
    struct clk *clk;
    struct api api;
    char host[HOST_SIZE]; // advertised
    uint16_t port;
    int listener, epoll, wake;
    pthread_t thread;
    atomic_bool stopping;
    struct conn *conns;
    uint32_t conns_count;
    bool refusing; // the listener is off until connections are freed
    char addr_file[4096];
};

// --- listening ----------------------------------------------------------------------------------

// Splits "host:port"; the host may be empty or in brackets.
static int split(const char *listen, char host[HOST_SIZE], char port[16], struct err *e)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - listen);
    if (colon == NULL || n >= HOST_SIZE || strlen(colon + 1) >= 16 || colon[1] == 0)
        return err_set(e, ERR_INVALID,
                       "cannot listen on \"%s\": write HOST:PORT, e.g. 127.0.0.1:9092 or :0",
                       listen);
    const char *from = listen;
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    snprintf(host, HOST_SIZE, "%.*s", (int)n, from);
    snprintf(port, 16, "%s", colon + 1);
    return 0;
}

static int bind_to(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 128) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage s;
    socklen_t n = sizeof(s);
    if (getsockname(fd, (struct sockaddr *)&s, &n) != 0)
        return 0;
    return ntohs(s.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&s)->sin6_port
                                         : ((struct sockaddr_in *)&s)->sin_port);
}

// IPv4 first: it is what clients can reach when a name has both.
static int open_listener(struct net *n, struct err *e)
{
    char host[HOST_SIZE], port[16];
    const char *where = n->config.listen;
    if (split(where, host, port, e) != 0)
        return -1;
    struct addrinfo hints = {.ai_family = AF_INET,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    const char *name = host[0] == 0 ? NULL : host;
    int r = getaddrinfo(name, port, &hints, &list);
    if (r != 0) {
        hints.ai_family = AF_UNSPEC;
        r = getaddrinfo(name, port, &hints, &list);
    }
    if (r != 0)
        return err_set(e, ERR_INVALID, "cannot listen on %s: %s", where, gai_strerror(r));
    for (struct addrinfo *a = list; a != NULL && n->listener < 0; a = a->ai_next)
        n->listener = bind_to(a);
    int saved = errno;
    freeaddrinfo(list);
    errno = saved;
    if (n->listener < 0 && errno == EADDRINUSE)
        return err_set(e, ERR_IO,
                       "cannot listen on %s: the port is taken; stop the other program, or choose "
                       "another port with --listen (port 0 takes a free one)",
                       where);
    if (n->listener < 0)
        return err_io(e, "cannot listen on %s", where);
    n->port = port_of(n->listener);
    bool any = name == NULL || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    if (n->config.advertise != NULL)
        snprintf(n->host, sizeof(n->host), "%s", n->config.advertise);
    else if (!any)
        snprintf(n->host, sizeof(n->host), "%s",
                 strcmp(host, "localhost") == 0 ? "127.0.0.1" : host);
    else if (gethostname(n->host, sizeof(n->host)) != 0)
        snprintf(n->host, sizeof(n->host), "127.0.0.1");
    return 0;
}

// --- connections --------------------------------------------------------------------------------

static void poll_for(struct net *n, int op, int fd, uint32_t events, void *what)
{
    struct epoll_event ev = {.events = events, .data.ptr = what};
    CHECK(epoll_ctl(n->epoll, op, fd, &ev) == 0);
}

static void unlink_conn(struct net *n, struct conn *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        n->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    n->conns_count--;
    conn_free(c);
    if (n->refusing) {
        n->refusing = false;
        poll_for(n, EPOLL_CTL_MOD, n->listener, EPOLLIN, &n->listener);
    }
}

static void refuse_more(struct net *n, const char *why)
{
    logline(LOG_WARN, "net", "not accepting more connections until one closes: %s", why);
    n->refusing = true;
    poll_for(n, EPOLL_CTL_MOD, n->listener, 0, &n->listener);
}

static void accept_all(struct net *n, int64_t now_ms)
{
    while (!n->refusing) {
        if (n->conns_count >= n->config.connections_max) {
            refuse_more(n, "the limit is reached");
            return;
        }
        int fd = accept4(n->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool full = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (full && n->conns_count > 0)
                refuse_more(n, strerror(errno));
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct conn *c = conn_new(fd, &n->api, n->config.request_max, now_ms);
        c->next = n->conns;
        if (n->conns != NULL)
            n->conns->prev = c;
        n->conns = c;
        n->conns_count++;
        c->events = EPOLLIN;
        poll_for(n, EPOLL_CTL_ADD, fd, c->events, c);
    }
}

// Tells epoll what a connection waits for, if that has changed.
static void update(struct net *n, struct conn *c)
{
    uint32_t events = (conn_wants_read(c) ? EPOLLIN : 0) | (conn_wants_write(c) ? EPOLLOUT : 0);
    if (c->fd < 0 || events == c->events)
        return;
    c->events = events;
    poll_for(n, EPOLL_CTL_MOD, c->fd, events, c);
}

static void serve_socket(struct net *n, struct conn *c, uint32_t events, int64_t now_ms)
{
    if (c->fd < 0)
        return; // closed by an earlier event of this round
    if ((events & EPOLLOUT) != 0)
        conn_writable(c, now_ms);
    if (c->fd >= 0 && (events & EPOLLIN) != 0)
        conn_readable(c, now_ms);
    else if (c->fd >= 0 && (events & (EPOLLERR | EPOLLHUP)) != 0)
        conn_close(c);
    update(n, c);
}

// Resumes parked calls (`woken`: something was committed), closes idle connections, frees finished
// ones. Returns the time of the next deadline.
static int64_t look_over(struct net *n, bool woken, int64_t now_ms)
{
    int64_t next_ms = now_ms + TICK_MS;
    for (struct conn *c = n->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->call.parked && (woken || now_ms >= c->call.deadline_ms))
            conn_resume(c, now_ms);
        else if (!c->closing && !c->call.parked && now_ms - c->active_ms >= n->config.idle_ms)
            conn_close(c);
        if (conn_finished(c)) {
            unlink_conn(n, c);
            continue;
        }
        update(n, c);
        if (c->call.parked && c->call.deadline_ms < next_ms)
            next_ms = c->call.deadline_ms;
    }
    return next_ms;
}

static bool drain_wake(struct net *n)
{
    uint64_t count;
    return read(n->wake, &count, sizeof(count)) == sizeof(count);
}

static void *run(void *arg)
{
    struct net *n = arg;
    struct epoll_event events[EVENTS];
    int64_t next_ms = clk_mono_ms(n->clk) + TICK_MS;
    while (!atomic_load_explicit(&n->stopping, memory_order_acquire)) {
        int64_t wait = next_ms - clk_mono_ms(n->clk);
        int count = epoll_wait(n->epoll, events, EVENTS, wait < 0 ? 0 : (int)wait);
        int64_t now_ms = clk_mono_ms(n->clk);
        bool woken = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &n->listener)
                accept_all(n, now_ms);
            else if (events[i].data.ptr == &n->wake)
                woken = drain_wake(n) || woken;
            else
                serve_socket(n, events[i].data.ptr, events[i].events, now_ms);
        }
        next_ms = look_over(n, woken, now_ms);
    }
    return NULL;
}

// --- start and stop -----------------------------------------------------------------------------

static void on_wake(void *arg)
{
    struct net *n = arg;
    uint64_t one = 1;
    ssize_t r = write(n->wake, &one, sizeof(one));
    (void)r; // full means that a wake is pending already
}

static int write_addr(struct net *n, struct err *e)
{
    char temporary[sizeof(n->addr_file) + 8];
    snprintf(n->addr_file, sizeof(n->addr_file), "%s/broker.addr", broker_settings(n->broker)->dir);
    snprintf(temporary, sizeof(temporary), "%s.tmp", n->addr_file);
    FILE *f = fopen(temporary, "we");
    if (f == NULL)
        return err_io(e, "cannot write %s", temporary);
    bool good = fprintf(f, "%s:%u\n", n->host, n->port) > 0;
    good = fclose(f) == 0 && good;
    if (!good || rename(temporary, n->addr_file) != 0)
        return err_io(e, "cannot write %s", n->addr_file);
    return 0;
}

// Finishes a connection: a Fetch that waits is answered with what there is, a Produce when it is on
// disk, which is why this may take a few milliseconds.
static void finish(struct net *n, struct conn *c)
{
    while (c->call.parked) {
        bool fetch = c->call.deadline_ms != INT64_MAX;
        conn_resume(c, fetch ? c->call.deadline_ms : clk_mono_ms(n->clk));
        struct timespec pause = {0, 1000000};
        if (c->call.parked)
            nanosleep(&pause, NULL);
    }
    conn_close(c);
    n->refusing = false; // the listener is going, too
    unlink_conn(n, c);
}

static void release(struct net *n)
{
    while (n->conns != NULL)
        finish(n, n->conns);
    api_release(&n->api);
    if (n->listener >= 0)
        close(n->listener);
    if (n->epoll >= 0)
        close(n->epoll);
    if (n->wake >= 0)
        close(n->wake);
    free(n);
}

static int open_all(struct net *n, struct err *e)
{
    if (open_listener(n, e) != 0)
        return -1;
    n->epoll = epoll_create1(EPOLL_CLOEXEC);
    n->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->epoll < 0 || n->wake < 0)
        return err_io(e, "cannot start the network thread");
    poll_for(n, EPOLL_CTL_ADD, n->listener, EPOLLIN, &n->listener);
    poll_for(n, EPOLL_CTL_ADD, n->wake, EPOLLIN, &n->wake);
    n->api.host = n->host;
    n->api.port = n->port;
    n->api.wake = on_wake;
    n->api.wake_arg = n;
    return write_addr(n, e);
}

int net_start(struct broker *broker, const struct net_config *config, struct net **out,
              struct err *e)
{
    struct net *n = check_alloc(calloc(1, sizeof(*n)));
    n->config = *config;
    n->config.idle_ms = config->idle_ms == 0 ? 600000 : config->idle_ms;
    n->config.request_max = config->request_max == 0 ? 100 << 20 : config->request_max;
    n->config.connections_max = config->connections_max == 0 ? 1000 : config->connections_max;
    n->broker = broker;
    n->clk = clk_real(); // sockets live in real time, whatever clock the log is given
    n->listener = n->epoll = n->wake = -1;
    api_init(&n->api, broker, NULL, 0);
    if (open_all(n, e) != 0) {
        release(n);
        return -1;
    }
    broker_notify_fd(broker, n->wake);
    sigset_t all, before; // signals are for the main thread
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&n->thread, NULL, run, n);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        errno = r;
        err_io(e, "cannot start the network thread");
        broker_notify_fd(broker, -1);
        unlink(n->addr_file);
        release(n);
        return -1;
    }
    *out = n;
    return 0;
}

uint16_t net_port(const struct net *n)
{
    return n->port;
}

const char *net_host(const struct net *n)
{
    return n->host;
}

void net_stop(struct net *n)
{
    atomic_store_explicit(&n->stopping, true, memory_order_release);
    on_wake(n);
    pthread_join(n->thread, NULL);
    broker_notify_fd(n->broker, -1);
    unlink(n->addr_file);
    release(n);
}
