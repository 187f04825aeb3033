/// Connections: nghttp2 over a bufferevent, with limits on what a client may cost.
#include "serve/grpc/grpc_connection.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/grpc/grpc.h"

#include <event2/buffer.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

enum {
    STREAM_WINDOW_BYTES = 16 << 20,
    CONNECTION_WINDOW_BYTES = 64 << 20,
    FRAME_BYTES = 1 << 20,
};

/// What lies in the socket's buffer is held for the client as well.
static void count_output(norn_grpc_connection *connection) {
    norn_budget *budget = &connection->listener->io->service->budget;
    const int64_t now = (int64_t)evbuffer_get_length(bufferevent_get_output(connection->socket));
    if (now > connection->output_bytes) {
        norn_budget_force(budget, now - connection->output_bytes);
    } else {
        norn_budget_give(budget, connection->output_bytes - now);
    }
    connection->output_bytes = now;
}

bool norn_grpc_flush(norn_grpc_connection *connection) {
    struct evbuffer *output = bufferevent_get_output(connection->socket);
    if (evbuffer_get_length(output) == 0) connection->output_ns = norn_clock_now_ns();
    while (evbuffer_get_length(output) < NORN_GRPC_OUTPUT_HIGH_BYTES) {
        const uint8_t *bytes;
        const ssize_t count = nghttp2_session_mem_send(connection->session, &bytes);
        if (count < 0) return false;
        if (count == 0) break;
        if (evbuffer_add(output, bytes, (size_t)count) != 0) return false;
    }
    count_output(connection);
    return nghttp2_session_want_read(connection->session) ||
           nghttp2_session_want_write(connection->session) || evbuffer_get_length(output) > 0;
}

void norn_grpc_connection_destroy(norn_grpc_connection *connection) {
    norn_grpc_listener *listener = connection->listener;
    norn_service *service = listener->io->service;
    while (connection->streams) norn_grpc_stream_close(connection->streams);
    if (connection->prev) {
        connection->prev->next = connection->next;
    } else {
        listener->connections = connection->next;
    }
    if (connection->next) connection->next->prev = connection->prev;
    if (connection->session) nghttp2_session_del(connection->session);
    if (connection->socket) bufferevent_free(connection->socket);
    norn_grpc_frames_deinit(&connection->frames);
    norn_budget_give(&service->budget, connection->output_bytes);
    norn_free(service->alloc, connection);
    norn_service_hang_up(service);
}

void norn_grpc_part(norn_grpc_connection *connection, uint32_t code) {
    connection->sending = true;
    (void)nghttp2_session_terminate_session(connection->session, code);
    (void)norn_grpc_flush(connection);
    struct evbuffer *output = bufferevent_get_output(connection->socket);
    (void)evbuffer_unfreeze(output, 1); // a bufferevent lets nobody else write
    (void)evbuffer_write(output, bufferevent_getfd(connection->socket));
    norn_grpc_connection_destroy(connection);
}

// ---- the socket

/// Hand one piece of what came to nghttp2, frame by frame. False: the connection
/// is done for; `*code` says why.
static bool receive_piece(norn_grpc_connection *connection, norn_span bytes, uint32_t *code) {
    const int64_t now_ns = norn_clock_now_ns();
    while (bytes.count > 0) {
        norn_span out;
        const norn_grpc_verdict verdict =
            norn_grpc_frames_next(&connection->frames, &bytes, now_ns, &out);
        if (verdict == NORN_GRPC_FLOOD)
            NORN_LOG_LIMITED(NORN_LOG_WARN, "gRPC: a client floods with frames, hanging up");
        *code = verdict == NORN_GRPC_FLOOD ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR;
        if (verdict != NORN_GRPC_FINE) return false;
        if (out.count == 0) continue;
        const ssize_t used = nghttp2_session_mem_recv(connection->session, out.bytes, out.count);
        if (used == NGHTTP2_ERR_FLOODED) *code = NGHTTP2_ENHANCE_YOUR_CALM;
        if (used < 0 || (size_t)used < out.count) return false;
    }
    return true;
}

static bool receive(norn_grpc_connection *connection, uint32_t *code) {
    struct evbuffer *input = bufferevent_get_input(connection->socket);
    while (evbuffer_get_length(input) > 0) {
        struct evbuffer_iovec piece;
        if (evbuffer_peek(input, -1, NULL, &piece, 1) < 1) break;
        if (!receive_piece(connection, norn_span_of(piece.iov_base, piece.iov_len), code) ||
            evbuffer_drain(input, piece.iov_len) != 0)
            return false;
    }
    return true;
}

static void on_readable(struct bufferevent *socket, void *context) {
    norn_grpc_connection *connection = context;
    uint32_t code = NGHTTP2_INTERNAL_ERROR;
    (void)socket;
    connection->sending = true;
    if (!receive(connection, &code)) {
        norn_grpc_part(connection, code);
        return;
    }
    const bool good = norn_grpc_flush(connection);
    connection->sending = false;
    if (!good) norn_grpc_connection_destroy(connection);
}

/// The socket's buffer ran low: there may be frames that waited for it.
static void on_writable(struct bufferevent *socket, void *context) {
    norn_grpc_connection *connection = context;
    (void)socket;
    connection->output_ns = norn_clock_now_ns();
    connection->sending = true;
    const bool good = norn_grpc_flush(connection);
    connection->sending = false;
    if (!good) norn_grpc_connection_destroy(connection);
}

static void on_event(struct bufferevent *socket, short what, void *context) {
    (void)socket;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
        norn_grpc_connection_destroy(context);
}

// ---- life

static int session_create(norn_grpc_connection *connection) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NORN_GRPC_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, NORN_GRPC_HEADERS_MAX},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int result = nghttp2_session_callbacks_new(&callbacks);
    if (result == 0) result = nghttp2_option_new(&option);
    if (result == 0) {
        norn_grpc_stream_callbacks(callbacks);
        nghttp2_option_set_no_closed_streams(option, 1); // they would be kept for priorities
        result = nghttp2_session_server_new2(&connection->session, callbacks, connection, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (result == 0)
        result = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                         sizeof settings / sizeof settings[0]);
    if (result == 0)
        result = nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                       CONNECTION_WINDOW_BYTES);
    return result;
}

void norn_grpc_accept(norn_io *io, evutil_socket_t fd) {
    norn_grpc_listener *listener = io->grpc;
    norn_grpc_connection *connection;
    const int64_t now_ns = norn_clock_now_ns();
    if (NORN_NEW(io->service->alloc, &connection) != NORN_OK) {
        (void)close(fd);
        norn_service_hang_up(io->service);
        return;
    }
    norn_grpc_frames_init(&connection->frames, now_ns, io->service->alloc);
    connection->opened_ns = connection->idle_ns = connection->output_ns = now_ns;
    connection->listener = listener;
    connection->next = listener->connections;
    if (connection->next) connection->next->prev = connection;
    listener->connections = connection;
    connection->socket = bufferevent_socket_new(io->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection->socket) (void)close(fd);
    if (!connection->socket || session_create(connection) != 0) {
        NORN_LOG_LIMITED(NORN_LOG_ERROR, "gRPC: no memory for a connection");
        norn_grpc_connection_destroy(connection);
        return;
    }
    bufferevent_setcb(connection->socket, on_readable, on_writable, on_event, connection);
    bufferevent_setwatermark(connection->socket, EV_WRITE, NORN_GRPC_OUTPUT_HIGH_BYTES / 2, 0);
    (void)bufferevent_enable(connection->socket, EV_READ | EV_WRITE);
    if (!norn_grpc_flush(connection)) norn_grpc_connection_destroy(connection);
}
