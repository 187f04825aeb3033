/// Listeners: accepting, time-outs, stopping.
#include "serve/grpc/grpc.h"

#include "base/clock.h"
#include "base/memory.h"
#include "serve/grpc/grpc_connection.h"

#include <event2/buffer.h>
#include <unistd.h>

enum {
    TICK_MAX_MS = 100, ///< time-outs and health are looked at this often
    TICK_MIN_MS = 10,
    ROOM_AFTER_NS = 1000000000, ///< a connection that is idle this long may make room for another
};

// ---- time-outs

/// Has the client let pass what it may? `*code` says how to part.
static bool overdue(const norn_grpc_connection *connection, int64_t now_ns, uint32_t *code) {
    const norn_limits *limits = &connection->listener->io->service->limits;
    const norn_grpc_frames *frames = &connection->frames;
    *code = NGHTTP2_NO_ERROR;
    if (frames->count == 0) return now_ns - connection->opened_ns > limits->header_ns;
    if (frames->in_block) return now_ns - frames->block_ns > limits->header_ns;
    if (connection->output_bytes > 0 && now_ns - connection->output_ns > limits->body_ns)
        return true; // it does not read
    return !connection->streams && now_ns - connection->idle_ns > limits->idle_ns;
}

static void tick_connection(norn_grpc_connection *connection, int64_t now_ns) {
    const size_t left = evbuffer_get_length(bufferevent_get_output(connection->socket));
    uint32_t code;
    if ((int64_t)left < connection->output_bytes) connection->output_ns = now_ns; // some was taken
    connection->sending = true;
    for (norn_grpc_stream *stream = connection->streams, *next; stream; stream = next) {
        next = stream->next;
        norn_grpc_stream_tick(stream, now_ns);
    }
    const bool good = norn_grpc_flush(connection);
    connection->sending = false;
    if (!good) {
        norn_grpc_connection_destroy(connection);
    } else if (overdue(connection, now_ns, &code)) {
        norn_grpc_part(connection, code);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *context) {
    norn_grpc_listener *listener = context;
    norn_service *service = listener->io->service;
    const int64_t now_ns = norn_clock_now_ns();
    (void)fd, (void)what;
    if (norn_budget_wants_trim(&service->budget)) norn_workers_trim(service->workers);
    for (norn_grpc_connection *connection = listener->connections, *next; connection;
         connection = next) {
        next = connection->next;
        tick_connection(connection, now_ns);
    }
}

static norn_status start_ticking(norn_grpc_listener *listener) {
    const norn_limits *limits = &listener->io->service->limits;
    int64_t least_ns = limits->header_ns < limits->body_ns ? limits->header_ns : limits->body_ns;
    if (limits->idle_ns < least_ns) least_ns = limits->idle_ns;
    int64_t ms = least_ns / 4000000;
    if (ms > TICK_MAX_MS) ms = TICK_MAX_MS;
    if (ms < TICK_MIN_MS) ms = TICK_MIN_MS;
    const struct timeval period = {.tv_usec = 1000 * ms};
    listener->tick = event_new(listener->io->base, -1, EV_PERSIST, on_tick, listener);
    if (!listener->tick || event_add(listener->tick, &period) != 0)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory for a gRPC listener");
    return NORN_OK;
}

// ---- life

/// Close the connection that has been idle for longest, so that a crowd which only holds
/// connections open does not shut others out.
static bool make_room(norn_io *io) {
    const norn_grpc_listener *listener = io->grpc;
    norn_grpc_connection *oldest = NULL;
    for (norn_grpc_connection *connection = listener->connections; connection;
         connection = connection->next)
        if (!connection->streams && (!oldest || connection->idle_ns < oldest->idle_ns))
            oldest = connection;
    if (!oldest || norn_clock_now_ns() - oldest->idle_ns < ROOM_AFTER_NS) return false;
    norn_grpc_part(oldest, NGHTTP2_NO_ERROR);
    return true;
}

static void listener_destroy(norn_grpc_listener *listener) {
    norn_io *io = listener->io;
    norn_acceptor_close(listener->acceptor);
    if (listener->tick) event_free(listener->tick);
    while (listener->connections) norn_grpc_part(listener->connections, NGHTTP2_NO_ERROR);
    norn_free(io->service->alloc, listener);
    io->grpc = NULL;
}

norn_status norn_grpc_open(norn_io *io, evutil_socket_t fd) {
    static const norn_acceptor_calls calls = {
        .accepted = norn_grpc_accept, .make_room = make_room, .refusal = ""};
    norn_grpc_listener *listener;
    norn_status status = NORN_NEW(io->service->alloc, &listener);
    if (status != NORN_OK) {
        if (fd >= 0) (void)close(fd);
        return status;
    }
    listener->io = io;
    io->grpc = listener;
    if (fd >= 0) status = norn_acceptor_open(io, fd, &calls, &listener->acceptor);
    if (status == NORN_OK) status = start_ticking(listener);
    if (status != NORN_OK) listener_destroy(listener);
    return status;
}

void norn_grpc_stop_accepting(norn_io *io) {
    norn_grpc_listener *listener = io->grpc;
    if (!listener) return;
    norn_acceptor_close(listener->acceptor);
    listener->acceptor = NULL;
    for (norn_grpc_connection *connection = listener->connections, *next; connection;
         connection = next) {
        next = connection->next;
        connection->sending = true;
        for (norn_grpc_stream *stream = connection->streams, *after; stream; stream = after) {
            after = stream->next;
            norn_grpc_stream_stop(stream);
        }
        // GOAWAY that refuses nothing: calls on their way are answered, new ones go elsewhere. The
        // last GOAWAY, with the last stream, is sent when the listener closes.
        (void)nghttp2_submit_shutdown_notice(connection->session);
        const bool good = norn_grpc_flush(connection);
        connection->sending = false;
        if (!good) norn_grpc_connection_destroy(connection);
    }
}

void norn_grpc_close(norn_io *io) {
    if (io->grpc) listener_destroy(io->grpc);
}
