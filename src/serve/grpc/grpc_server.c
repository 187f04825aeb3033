/// Connections: nghttp2 over a bufferevent, streams to calls and answers to frames. All on the I/O
/// thread.
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/grpc/grpc.h"
#include "serve/grpc/grpc_call.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    STREAM_WINDOW = 16 << 20,
    CONNECTION_WINDOW = 64 << 20,
    FRAME_BYTES = 1 << 20,
    STREAMS_MAX = 1024,
    OUTPUT_HIGH = 4 << 20, ///< stop making frames while the socket is this far behind
};

typedef struct grpc_connection grpc_connection;

/// A stream lives until nghttp2 has closed it and its call, if one was started, has been answered.
typedef struct grpc_stream {
    norn_grpc_call call;         ///< first
    grpc_connection *connection; ///< NULL once the stream is closed
    int32_t id;
    size_t sent;  ///< of call.response
    bool running; ///< the call was started and has not been answered
    bool refused; ///< answered before the request was complete
    struct grpc_stream *prev, *next;
} grpc_stream;

typedef struct grpc_listener {
    struct evconnlistener *accept;
    grpc_connection *connections;
    norn_io *io;
} grpc_listener;

struct grpc_connection {
    grpc_listener *listener;
    struct bufferevent *socket;
    nghttp2_session *session;
    grpc_stream *streams;
    grpc_connection *prev, *next;
    bool sending; ///< inside flush: callbacks must not free the connection
};

static void connection_destroy(grpc_connection *connection);

// ---- output

/// Move frames from nghttp2 to the socket's buffer. False: the connection is done for.
static bool flush(grpc_connection *connection) {
    struct evbuffer *output = bufferevent_get_output(connection->socket);
    while (evbuffer_get_length(output) < OUTPUT_HIGH) {
        const uint8_t *bytes;
        const ssize_t count = nghttp2_session_mem_send(connection->session, &bytes);
        if (count < 0) return false;
        if (count == 0) break;
        if (evbuffer_add(output, bytes, (size_t)count) != 0) return false;
    }
    return nghttp2_session_want_read(connection->session) ||
           nghttp2_session_want_write(connection->session) || evbuffer_get_length(output) > 0;
}

static nghttp2_nv header(const char *name, const char *value) {
    nghttp2_nv nv = {
        .namelen = strlen(name), .valuelen = strlen(value), .flags = NGHTTP2_NV_FLAG_NONE};
    memcpy(&nv.name, &name, sizeof nv.name); // nghttp2 copies both; its fields are not const
    memcpy(&nv.value, &value, sizeof nv.value);
    return nv;
}

/// grpc-message: printable ASCII but '%' as it is, the rest percent-encoded.
static void encode_message(const char *text, char out[1600]) {
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && used + 4 < 1600; c++) {
        if (*c >= 0x20 && *c <= 0x7e && *c != '%') {
            out[used++] = (char)*c;
        } else {
            used += (size_t)snprintf(out + used, 4, "%%%02X", *c);
        }
    }
    out[used] = 0;
}

static ssize_t read_response(nghttp2_session *session, int32_t id, uint8_t *out, size_t length,
                             uint32_t *flags, nghttp2_data_source *source, void *context) {
    grpc_stream *stream = source->ptr;
    const norn_buffer *response = &stream->call.response;
    const size_t left = response->count - stream->sent;
    const size_t count = left < length ? left : length;
    (void)context;
    if (count) memcpy(out, response->bytes + stream->sent, count);
    stream->sent += count;
    if (stream->sent == response->count) {
        const nghttp2_nv trailer[] = {header("grpc-status", "0")};
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, trailer, 1) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)count;
}

static int submit_answer(grpc_stream *stream) {
    nghttp2_session *session = stream->connection->session;
    char status[16], message[1600];
    if (stream->call.status == NORN_OK) {
        const nghttp2_nv headers[] = {header(":status", "200"),
                                      header("content-type", "application/grpc")};
        const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_response};
        return nghttp2_submit_response(session, stream->id, headers, 2, &body);
    }
    (void)snprintf(status, sizeof status, "%d", (int)stream->call.status);
    encode_message(stream->call.message, message);
    const nghttp2_nv headers[] = {header(":status", "200"),
                                  header("content-type", "application/grpc"),
                                  header("grpc-status", status), header("grpc-message", message)};
    return nghttp2_submit_response(session, stream->id, headers, 4, NULL);
}

// ---- streams

static void stream_destroy(grpc_stream *stream) {
    const norn_alloc alloc = stream->call.request.alloc;
    norn_grpc_call_deinit(&stream->call);
    norn_free(alloc, stream);
}

static void stream_unlink(grpc_stream *stream) {
    grpc_connection *connection = stream->connection;
    if (stream->prev) {
        stream->prev->next = stream->next;
    } else {
        connection->streams = stream->next;
    }
    if (stream->next) stream->next->prev = stream->prev;
    stream->connection = NULL;
}

/// norn_grpc_call.send: the answer is there.
static void on_answer(norn_grpc_call *call) {
    grpc_stream *stream = (grpc_stream *)call;
    grpc_connection *connection = stream->connection;
    if (stream->running) norn_server_leave(call->exchange.io->server);
    stream->running = false;
    if (!connection) { // the client has gone
        stream_destroy(stream);
        return;
    }
    const bool good = submit_answer(stream) == 0;
    if (connection->sending) return; // a callback of flush or of receive: the caller flushes
    if (!good || !flush(connection)) connection_destroy(connection);
}

static void refuse(grpc_stream *stream, norn_status status, const char *message) {
    if (stream->refused) return;
    stream->refused = true;
    stream->call.status = status;
    (void)snprintf(stream->call.message, sizeof stream->call.message, "%s", message);
    (void)submit_answer(stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    grpc_connection *connection = context;
    norn_io *io = connection->listener->io;
    grpc_stream *stream;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (NORN_NEW(io->server->alloc, &stream) != NORN_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    norn_grpc_call_init(&stream->call, io);
    stream->call.send = on_answer;
    stream->connection = connection;
    stream->id = frame->hd.stream_id;
    stream->next = connection->streams;
    if (stream->next) stream->next->prev = stream;
    connection->streams = stream;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_count, const uint8_t *value, size_t value_count, uint8_t flags,
                     void *context) {
    grpc_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    const norn_span key = {name, name_count}, text = {value, value_count};
    (void)flags, (void)context;
    if (!stream) return 0;
    if (norn_span_equal(key, ":path")) {
        if (value_count < sizeof stream->call.path) memcpy(stream->call.path, value, value_count);
    } else if (norn_span_equal(key, "grpc-timeout")) {
        int64_t ns;
        if (!norn_grpc_timeout(text, &ns)) {
            refuse(stream, NORN_INVALID_ARGUMENT, "grpc-timeout is malformed");
        } else {
            const int64_t now_ns = norn_clock_now_ns();
            stream->call.deadline_ns = ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + ns;
        }
    } else if (norn_span_equal(key, "content-type")) {
        if (value_count < 16 || memcmp(value, "application/grpc", 16) != 0)
            refuse(stream, NORN_INVALID_ARGUMENT, "content-type must be application/grpc");
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t count, void *context) {
    grpc_connection *connection = context;
    grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    if (!stream || stream->refused) return 0;
    if ((int64_t)(stream->call.request.count + count) >
        connection->listener->io->server->limits.request_bytes) {
        refuse(stream, NORN_RESOURCE_EXHAUSTED, "the request is larger than --max-request-bytes");
        return 0;
    }
    norn_buffer_append(&stream->call.request, bytes, count);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    grpc_stream *stream;
    (void)context;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream || stream->refused || stream->running || stream->call.answered) return 0;
    stream->running = true;
    norn_server_enter(stream->call.exchange.io->server);
    norn_grpc_call_run(&stream->call);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *context) {
    grpc_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)error, (void)context;
    if (!stream) return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    stream_unlink(stream);
    if (!stream->running) stream_destroy(stream); // else its answer destroys it
    return 0;
}

// ---- connections

static void connection_destroy(grpc_connection *connection) {
    grpc_listener *listener = connection->listener;
    while (connection->streams) {
        grpc_stream *stream = connection->streams;
        stream_unlink(stream);
        if (!stream->running) stream_destroy(stream);
    }
    if (connection->prev) {
        connection->prev->next = connection->next;
    } else {
        listener->connections = connection->next;
    }
    if (connection->next) connection->next->prev = connection->prev;
    if (connection->session) nghttp2_session_del(connection->session);
    if (connection->socket) bufferevent_free(connection->socket);
    norn_free(listener->io->server->alloc, connection);
}

static void on_readable(struct bufferevent *socket, void *context) {
    grpc_connection *connection = context;
    struct evbuffer *input = bufferevent_get_input(socket);
    bool good = true;
    connection->sending = true;
    while (good && evbuffer_get_length(input) > 0) {
        struct evbuffer_iovec piece;
        if (evbuffer_peek(input, -1, NULL, &piece, 1) < 1) break;
        const ssize_t used =
            nghttp2_session_mem_recv(connection->session, piece.iov_base, piece.iov_len);
        good = used >= 0 && evbuffer_drain(input, (size_t)used) == 0;
    }
    good = flush(connection) && good;
    connection->sending = false;
    if (!good) connection_destroy(connection);
}

/// The socket's buffer ran low: there may be frames that waited for it.
static void on_writable(struct bufferevent *socket, void *context) {
    grpc_connection *connection = context;
    (void)socket;
    connection->sending = true;
    const bool good = flush(connection);
    connection->sending = false;
    if (!good) connection_destroy(connection);
}

static void on_event(struct bufferevent *socket, short what, void *context) {
    (void)socket;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) connection_destroy(context);
}

static int session_create(grpc_connection *connection) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_BYTES},
    };
    nghttp2_session_callbacks *callbacks;
    int result = nghttp2_session_callbacks_new(&callbacks);
    if (result != 0) return result;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    result = nghttp2_session_server_new(&connection->session, callbacks, connection);
    nghttp2_session_callbacks_del(callbacks);
    if (result == 0)
        result = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                         sizeof settings / sizeof settings[0]);
    if (result == 0)
        result = nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                       CONNECTION_WINDOW);
    return result;
}

void norn_grpc_accept(norn_io *io, evutil_socket_t fd) {
    grpc_listener *listener = io->grpc;
    grpc_connection *connection;
    if (NORN_NEW(listener->io->server->alloc, &connection) != NORN_OK) {
        (void)close(fd);
        return;
    }
    connection->listener = listener;
    connection->next = listener->connections;
    if (connection->next) connection->next->prev = connection;
    listener->connections = connection;
    connection->socket = bufferevent_socket_new(listener->io->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection->socket) (void)close(fd);
    if (!connection->socket || session_create(connection) != 0) {
        norn_log(NORN_LOG_ERROR, "gRPC: no memory for a connection");
        connection_destroy(connection);
        return;
    }
    bufferevent_setcb(connection->socket, on_readable, on_writable, on_event, connection);
    (void)bufferevent_enable(connection->socket, EV_READ | EV_WRITE);
    if (!flush(connection)) connection_destroy(connection);
}

static void on_accept(struct evconnlistener *accept, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *context) {
    (void)accept, (void)address, (void)length;
    norn_grpc_accept(context, fd);
}

norn_status norn_grpc_open(norn_io *io, evutil_socket_t fd) {
    grpc_listener *listener;
    if (NORN_NEW(io->server->alloc, &listener) != NORN_OK) {
        (void)close(fd);
        return NORN_RESOURCE_EXHAUSTED;
    }
    listener->io = io;
    if (fd >= 0)
        listener->accept =
            evconnlistener_new(io->base, on_accept, io, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    if (fd >= 0 && !listener->accept) {
        norn_free(io->server->alloc, listener);
        (void)close(fd);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot create a gRPC listener");
    }
    io->grpc = listener;
    return NORN_OK;
}

void norn_grpc_stop_accepting(norn_io *io) {
    grpc_listener *listener = io->grpc;
    if (!listener) return;
    if (listener->accept) evconnlistener_free(listener->accept);
    listener->accept = NULL;
    for (grpc_connection *connection = listener->connections, *next; connection;
         connection = next) {
        next = connection->next;
        (void)nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(connection->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        if (!flush(connection)) connection_destroy(connection);
    }
}

void norn_grpc_close(norn_io *io) {
    grpc_listener *listener = io->grpc;
    if (!listener) return;
    if (listener->accept) evconnlistener_free(listener->accept);
    while (listener->connections) connection_destroy(listener->connections);
    norn_free(io->server->alloc, listener);
    io->grpc = NULL;
}
