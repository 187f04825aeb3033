#include "serve/http/http_connection.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FIRST_BYTES = 8 * 1024,          ///< of a buffer, before anything is known of the request
    KEEP_BYTES = 64 * 1024,          ///< a larger buffer is not kept for the next request
    SLACK_BYTES = 2 * 1024,          ///< behind a body: room to see the client hang up
    CHUNKED_FIRST = 64 * 1024,       ///< of a body of unknown length
    SIZED_FIRST = 256 * 1024,        ///< of one of known length; see sized_capacity
    TRUSTED_BYTES = 16 << 20,        ///< that came: then the rest is believed in
    READ_AT_ONCE = 512 * 1024,       ///< then others on this thread have their turn
    SLOWEST_BYTES_PER_S = 16 * 1024, ///< of a body, after its time-out
};
static const int64_t LINGER_NS = 2000000000, EVICT_AFTER_NS = 1000000000;

static norn_budget *budget_of(const norn_http_connection *connection) {
    return &norn_http_service(connection)->budget;
}

static norn_alloc alloc_of(const norn_http_connection *connection) {
    return norn_http_service(connection)->alloc;
}

// ---- memory

bool norn_http_take(norn_http_connection *connection, int64_t bytes) {
    if (!norn_budget_take(budget_of(connection), bytes)) return false;
    connection->charged_bytes += bytes;
    return true;
}

/// A buffer of `capacity` bytes with what the old one held. False: no budget or memory for it.
static bool resize(norn_http_connection *connection, size_t capacity) {
    norn_budget *budget = budget_of(connection);
    const int64_t before = (int64_t)connection->capacity, after = (int64_t)capacity;
    void *bytes;
    if (after > before && !norn_budget_take(budget, after - before)) return false;
    if (norn_alloc_bytes(alloc_of(connection), capacity, &bytes) != NORN_OK) {
        if (after > before) norn_budget_give(budget, after - before);
        return false;
    }
    if (connection->count) memcpy(bytes, connection->bytes, connection->count);
    norn_free(alloc_of(connection), connection->bytes);
    connection->bytes = bytes;
    connection->capacity = capacity;
    if (after < before) norn_budget_give(budget, before - after);
    return true;
}

void norn_http_release_work(norn_http_connection *connection) {
    norn_request_destroy(connection->exchange.request);
    connection->exchange.request = NULL;
    norn_buffer_deinit(&connection->plain);
    norn_budget_give(budget_of(connection), connection->charged_bytes);
    connection->charged_bytes = 0;
}

/// After the answer has left, or was given up.
static void end_request(norn_http_connection *connection) {
    norn_http_release_work(connection);
    norn_buffer_deinit(&connection->body);
    if (connection->counted) norn_service_leave(norn_http_service(connection));
    connection->counted = false;
}

// ---- refusing

/// An answer after which nothing of what the client sends is looked at.
static void refuse(norn_http_connection *connection, int code, const char *why) {
    connection->last = connection->linger = true;
    norn_http_answer_error(connection, code, why);
}

static void refuse_for_memory(norn_http_connection *connection, size_t bytes) {
    if (!norn_budget_fits(budget_of(connection), (int64_t)bytes)) {
        refuse(connection, 413, "the request does not fit into the server's --memory-budget");
    } else {
        refuse(connection, 503, "other requests hold the server's memory; try again");
    }
}

// ---- reading

/// Time for a body, either way, of which `moved` bytes have moved:
/// it may not stand still, nor trickle.
static int64_t body_due_ns(const norn_http_connection *connection, size_t moved) {
    const int64_t body_ns = norn_http_service(connection)->limits.body_ns;
    const int64_t still_ns = norn_clock_now_ns() + body_ns;
    const int64_t trickle_ns =
        connection->begin_ns + body_ns + (int64_t)(moved / SLOWEST_BYTES_PER_S) * 1000000000;
    return still_ns < trickle_ns ? still_ns : trickle_ns;
}

/// Room for a body of known length. A client has the more room the more it has sent, because a
/// promise costs nothing: four silent connections could else hold the whole budget. Steps of eight
/// and the trust after 16 MiB keep the copying short.
static size_t sized_capacity(const norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    const size_t whole = request->head_bytes + request->body_bytes + SLACK_BYTES;
    const size_t capacity = connection->capacity;
    size_t next = request->head_bytes + SIZED_FIRST;
    if (capacity >= next) next = capacity >= TRUSTED_BYTES ? whole : 8 * capacity;
    return next < whole ? next : whole;
}

static void begin_body(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const bool whole =
        !request->chunked && connection->count - request->head_bytes >= request->body_bytes;
    const size_t body = request->chunked ? CHUNKED_FIRST : request->body_bytes;
    const size_t wanted = request->head_bytes + body + SLACK_BYTES;
    const size_t first = request->chunked ? wanted : sized_capacity(connection);
    connection->stage = NORN_HTTP_READ_BODY;
    if (!whole && wanted > connection->capacity &&
        (!norn_budget_could_take(budget_of(connection), (int64_t)wanted) ||
         (first > connection->capacity && !resize(connection, first)))) {
        refuse_for_memory(connection, wanted);
        return;
    }
    if (request->expect_continue && !whole)
        (void)send(connection->fd, go_on, sizeof go_on - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    connection->begin_ns = norn_clock_now_ns();
    connection->due_ns = body_due_ns(connection, connection->count);
}

/// False: more bytes are needed.
static bool read_head(norn_http_connection *connection) {
    if (connection->count == 0) return false;
    switch (norn_http_parse_head(&connection->parser, connection->bytes, connection->count)) {
    case NORN_HTTP_DONE:
        begin_body(connection);
        return true;
    case NORN_HTTP_BAD:
        refuse(connection, connection->parser.code, connection->parser.why);
        return true;
    case NORN_HTTP_MORE:
        break;
    }
    // The parser refuses before a head is larger than HEAD_MAX, so this ends.
    if (connection->count < connection->capacity) return false;
    if (resize(connection, 2 * connection->capacity)) return false;
    refuse_for_memory(connection, 2 * connection->capacity);
    return true;
}

static bool read_chunks(norn_http_connection *connection) {
    norn_http_parser *parser = &connection->parser;
    switch (norn_http_parse_chunks(parser, connection->bytes, &connection->count)) {
    case NORN_HTTP_DONE:
        connection->stage = NORN_HTTP_SERVE;
        return true;
    case NORN_HTTP_BAD:
        refuse(connection, parser->code, parser->why);
        return true;
    case NORN_HTTP_MORE:
        break;
    }
    if (connection->capacity - connection->count >= NORN_HTTP_CHUNK_LINE_MAX) return false;
    if (resize(connection, 2 * connection->capacity)) return false;
    refuse_for_memory(connection, 2 * connection->capacity);
    return true;
}

static bool read_body(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    if (request->chunked) return read_chunks(connection);
    if (connection->count - request->head_bytes >= request->body_bytes) {
        connection->stage = NORN_HTTP_SERVE;
        return true;
    }
    if (connection->count < connection->capacity) return false;
    const size_t wanted = sized_capacity(connection);
    if (resize(connection, wanted)) return false;
    refuse_for_memory(connection, wanted);
    return true;
}

/// Fill the buffer from the socket.
static void receive(norn_http_connection *connection) {
    size_t got = 0;
    while (got < READ_AT_ONCE && connection->count < connection->capacity) {
        const size_t room = connection->capacity - connection->count;
        const ssize_t n =
            recv(connection->fd, connection->bytes + connection->count, room, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0) {
            connection->eof = true;
            if (n < 0) connection->stage = NORN_HTTP_CLOSED;
            break;
        }
        if (connection->count == 0 && connection->stage == NORN_HTTP_READ_HEAD)
            connection->due_ns =
                norn_clock_now_ns() + norn_http_service(connection)->limits.header_ns;
        connection->count += (size_t)n;
        got += (size_t)n;
        if ((size_t)n < room) break; // the socket is empty; if not, we are called again
    }
    if (got && connection->stage == NORN_HTTP_READ_BODY)
        connection->due_ns = body_due_ns(connection, connection->count);
}

// ---- from one request to the next

/// Move to the front of `list`; NULL: out of all.
static void file_under(norn_http_connection *connection, norn_http_list *list) {
    norn_http_list *old = connection->list;
    if (old) {
        *(connection->prev ? &connection->prev->next : &old->first) = connection->next;
        *(connection->next ? &connection->next->prev : &old->last) = connection->prev;
    }
    connection->list = list;
    if (!list) return;
    connection->prev = NULL;
    connection->next = list->first;
    *(list->first ? &list->first->prev : &list->last) = connection;
    list->first = connection;
}

static void begin_request(norn_http_connection *connection) {
    const norn_limits *limits = &norn_http_service(connection)->limits;
    norn_http_parser_init(&connection->parser, (size_t)limits->request_bytes);
    connection->stage = NORN_HTTP_READ_HEAD;
    connection->encoding = connection->allow = NULL;
    connection->encoded = connection->last = connection->linger = false;
    connection->status = NORN_OK;
    connection->used_ns = norn_clock_now_ns();
    connection->due_ns =
        connection->used_ns + (connection->count ? limits->header_ns : limits->idle_ns);
}

/// The answer has left.
static void finish_request(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    end_request(connection);
    if (connection->last) {
        connection->stage = NORN_HTTP_CLOSED;
        if (connection->linger && !connection->eof) {
            (void)shutdown(connection->fd, SHUT_WR);
            connection->stage = NORN_HTTP_LINGER;
            connection->due_ns = norn_clock_now_ns() + LINGER_NS;
        }
        return;
    }
    const size_t used = request->head_bytes + request->body_bytes;
    connection->count -= used;
    memmove(connection->bytes, connection->bytes + used, connection->count);
    if (connection->capacity > KEEP_BYTES && connection->count <= FIRST_BYTES)
        (void)resize(connection, FIRST_BYTES);
    begin_request(connection);
    file_under(connection, &connection->listener->idle);
}

static void serve(norn_http_connection *connection) {
    const norn_http_request *request = &connection->parser.request;
    connection->stage = NORN_HTTP_WAIT;
    connection->due_ns = INT64_MAX;
    connection->counted = connection->listener->counts;
    if (connection->counted) norn_service_enter(norn_http_service(connection));
    connection->last = !request->keep_alive;
    // Pipelined, never answered.
    connection->linger = connection->count > request->head_bytes + request->body_bytes;
    connection->in_work = true;
    connection->listener->serve(connection);
    connection->in_work = connection->stage == NORN_HTTP_WAIT;
}

static bool send_answer(norn_http_connection *connection) {
    const size_t before = connection->sent;
    bool done = false;
    if (before == 0) connection->begin_ns = norn_clock_now_ns();
    if (!norn_http_write(connection, &done)) {
        connection->stage = NORN_HTTP_CLOSED;
    } else if (done) {
        finish_request(connection);
    } else if (before == 0 || connection->sent > before) {
        connection->due_ns = body_due_ns(connection, connection->sent);
    }
    return done;
}

/// False: wait for the socket, or for whoever works on the answer.
static bool step(norn_http_connection *connection) {
    switch (connection->stage) {
    case NORN_HTTP_READ_HEAD:
        return read_head(connection);
    case NORN_HTTP_READ_BODY:
        return read_body(connection);
    case NORN_HTTP_SERVE:
        serve(connection);
        return true;
    case NORN_HTTP_SEND:
        return send_answer(connection);
    case NORN_HTTP_WAIT:
    case NORN_HTTP_LINGER:
    case NORN_HTTP_CLOSED:
        return false;
    }
    return false;
}

static void on_event(evutil_socket_t fd, short what, void *context);

/// Wait for `what` on the socket from now on.
static void watch(norn_http_connection *connection, short what) {
    if (connection->watched == what) return;
    if (connection->watched) (void)event_del(&connection->event);
    connection->watched = what;
    if (!what) return;
    if (event_assign(&connection->event, connection->listener->io->base, connection->fd,
                     (short)(what | EV_PERSIST), on_event, connection) != 0 ||
        event_add(&connection->event, NULL) != 0) {
        connection->watched = 0;
        connection->stage = NORN_HTTP_CLOSED;
    }
}

static void close_socket(norn_http_connection *connection) {
    if (connection->watched) (void)event_del(&connection->event);
    connection->watched = 0;
    if (connection->fd < 0) return;
    (void)close(connection->fd);
    connection->fd = -1;
    norn_service_hang_up(norn_http_service(connection));
}

/// Bytes may come while nothing is done with them yet: into what room is left, then they wait in
/// the kernel, and only the client's end is watched for.
static short wanted_events(const norn_http_connection *connection) {
    const bool reads = connection->stage != NORN_HTTP_WAIT && connection->stage != NORN_HTTP_SEND;
    short events = connection->stage == NORN_HTTP_SEND ? EV_WRITE : 0;
    if (connection->eof) return events;
    if (reads || connection->count < connection->capacity) return (short)(events | EV_READ);
    return (short)(connection->hung_up ? events : events | EV_CLOSED);
}

/// As far as it goes. The connection may be gone after this.
static void advance(norn_http_connection *connection) {
    while (step(connection)) {
    }
    if (connection->eof && connection->stage != NORN_HTTP_WAIT &&
        connection->stage != NORN_HTTP_SEND)
        connection->stage = NORN_HTTP_CLOSED; // what is left of a request will not come
    if (connection->stage != NORN_HTTP_READ_HEAD && connection->list == &connection->listener->idle)
        file_under(connection, &connection->listener->busy);
    if (connection->stage != NORN_HTTP_CLOSED) watch(connection, wanted_events(connection));
    if (connection->stage != NORN_HTTP_CLOSED) return;
    if (!connection->in_work) {
        norn_http_destroy(connection);
        return;
    }
    close_socket(connection); // the rest when the work is done
    file_under(connection, NULL);
}

static void on_event(evutil_socket_t fd, short what, void *context) {
    norn_http_connection *connection = context;
    (void)fd;
    if (what & EV_CLOSED) connection->hung_up = true;
    if (what & EV_READ) {
        if (connection->stage == NORN_HTTP_LINGER) connection->count = 0;
        receive(connection);
    }
    if (connection->in_work && connection->exchange.request &&
        (connection->eof || connection->hung_up))
        norn_request_cancel(connection->exchange.request); // nobody waits for it any more
    advance(connection);
}

/// Work is done: exchange->finish of every connection.
static void on_finish(norn_exchange *exchange) {
    norn_http_connection *connection = (norn_http_connection *)exchange;
    if (connection->fd < 0) {
        norn_http_destroy(connection);
        return;
    }
    connection->finish(connection);
    connection->in_work = connection->stage == NORN_HTTP_WAIT;
    advance(connection);
}

void norn_http_expire(norn_http_connection *connection) {
    if (connection->stage == NORN_HTTP_READ_BODY) {
        refuse(connection, 408, "the body did not come in time");
    } else if (connection->stage == NORN_HTTP_READ_HEAD && connection->count) {
        refuse(connection, 408, "the head of the request did not come in time");
    } else {
        connection->stage = NORN_HTTP_CLOSED;
    }
    advance(connection);
}

bool norn_http_evict(norn_http_listener *listener) {
    norn_http_connection *longest = listener->idle.last;
    if (!longest || longest->used_ns > norn_clock_now_ns() - EVICT_AFTER_NS) return false;
    norn_http_destroy(longest);
    return true;
}

// ---- life

void norn_http_connect(norn_http_listener *listener, evutil_socket_t fd) {
    norn_service *service = listener->io->service;
    norn_http_connection *connection;
    if (NORN_NEW(service->alloc, &connection) != NORN_OK) {
        (void)close(fd);
        norn_service_hang_up(service);
        return;
    }
    connection->listener = listener;
    connection->fd = fd;
    connection->exchange.io = listener->io;
    connection->exchange.finish = on_finish;
    norn_buffer_init(&connection->plain, service->alloc);
    norn_buffer_init(&connection->body, service->alloc);
    file_under(connection, &listener->idle);
    if (!resize(connection, FIRST_BYTES)) {
        norn_http_destroy(connection);
        return;
    }
    begin_request(connection);
    connection->due_ns = connection->used_ns + service->limits.header_ns;
    advance(connection);
}

void norn_http_destroy(norn_http_connection *connection) {
    file_under(connection, NULL);
    close_socket(connection);
    end_request(connection);
    norn_budget_give(budget_of(connection), (int64_t)connection->capacity);
    norn_free(alloc_of(connection), connection->bytes);
    norn_free(alloc_of(connection), connection);
}
