/// What the files of the gRPC side share: listeners, connections, streams.
/// All of it is on the I/O thread of the connection.
#ifndef NORN_SERVE_GRPC_CONNECTION_H
#define NORN_SERVE_GRPC_CONNECTION_H

#include "serve/grpc/grpc_call.h"
#include "serve/grpc/grpc_frames.h"

#include <event2/bufferevent.h>
#include <nghttp2/nghttp2.h>

enum {
    NORN_GRPC_STREAMS_MAX = 1024,      ///< at once, of a connection
    NORN_GRPC_HEADERS_MAX = 16 * 1024, ///< a header list, as SETTINGS_MAX_HEADER_LIST_SIZE counts
    NORN_GRPC_WATCHES_MAX = 1000,      ///< of an I/O thread
    /// Stop making frames while the socket is this far behind.
    NORN_GRPC_OUTPUT_HIGH_BYTES = 1 << 20,
};

typedef struct norn_grpc_connection norn_grpc_connection;
typedef struct norn_grpc_listener norn_grpc_listener;

typedef enum norn_grpc_stage {
    NORN_GRPC_HEAD,     ///< header fields come
    NORN_GRPC_BODY,     ///< the message comes
    NORN_GRPC_RUNNING,  ///< the call was started and has not been answered
    NORN_GRPC_ANSWERED, ///< the answer is on its way; what still comes is discarded
} norn_grpc_stage;

/// A stream lives until nghttp2 has closed it and its call, if one was started, has been answered.
typedef struct norn_grpc_stream {
    norn_grpc_call call;              ///< first
    norn_grpc_connection *connection; ///< NULL once the stream is closed
    int32_t id;
    norn_grpc_stage stage;
    size_t header_bytes;                  ///< of the header list so far
    bool post, trailers, grpc;            ///< :method, te and content-type are right
    bool bad_timeout, bad_encoding;       ///< so are not grpc-timeout and grpc-encoding
    size_t sent;                          ///< of call.response
    int64_t moved_ns;                     ///< when a byte of the request or the answer last moved
    int64_t body_until_ns;                ///< the request must have come by then
    struct norn_grpc_stream *prev, *next; ///< of the connection
} norn_grpc_stream;

struct norn_grpc_connection {
    norn_grpc_listener *listener;
    struct bufferevent *socket;
    nghttp2_session *session;
    norn_grpc_frames frames; ///< what the client sends, counted
    norn_grpc_stream *streams;
    norn_grpc_connection *prev, *next;
    int64_t opened_ns;
    int64_t idle_ns;      ///< since when there is no stream
    int64_t output_bytes; ///< in the socket's buffer, taken from the budget
    int64_t output_ns;    ///< when the socket last took some
    bool sending;         ///< inside flush: callbacks must not free the connection
};

struct norn_grpc_listener {
    norn_acceptor *acceptor; ///< NULL once it stopped, and in the fuzzer
    norn_grpc_connection *connections;
    struct event *tick;
    int32_t watches; ///< streams that Health/Watch keeps open
    norn_io *io;
};

// ---- grpc_connection.c
/// Move frames from nghttp2 to the socket's buffer. False: the connection is done for.
bool norn_grpc_flush(norn_grpc_connection *connection);
/// GOAWAY with an HTTP/2 error code, as far as the socket takes it at once, and gone.
void norn_grpc_part(norn_grpc_connection *connection, uint32_t code);
void norn_grpc_connection_destroy(norn_grpc_connection *connection);

// ---- grpc_stream.c
/// nghttp2's callbacks about streams.
void norn_grpc_stream_callbacks(nghttp2_session_callbacks *callbacks);
/// Take the stream from its connection: its call is cancelled, nothing is sent any more. Frees it,
/// unless its call is running.
void norn_grpc_stream_close(norn_grpc_stream *stream);
/// Time-outs and news for one stream, every tick; may submit frames.
void norn_grpc_stream_tick(norn_grpc_stream *stream, int64_t now_ns);
/// The server stops: streams that would never end do.
void norn_grpc_stream_stop(norn_grpc_stream *stream);

#endif
