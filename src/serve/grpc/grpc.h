/// gRPC over nghttp2: inference.GRPCInferenceService and grpc.health.v1.Health.
///
/// Source   https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
#ifndef NORN_SERVE_GRPC_H
#define NORN_SERVE_GRPC_H

#include "serve/io/io.h"

/// Accept connections on `fd` from this I/O thread. Takes `fd`, also on failure.
/// -1: no listening socket, connections come through norn_grpc_accept.
norn_status norn_grpc_open(norn_io *io, evutil_socket_t fd) NORN_NODISCARD;
/// Serve one connected socket. Takes `fd`.
void norn_grpc_accept(norn_io *io, evutil_socket_t fd);
void norn_grpc_stop_accepting(norn_io *io); ///< on the I/O thread; also sends GOAWAY
void norn_grpc_close(norn_io *io);          ///< after the loop has ended

#endif
