/// HTTP/1.1: the Open Inference Protocol's REST endpoints, and the metrics page on a port of its
/// own.
#ifndef NORN_SERVE_HTTP_H
#define NORN_SERVE_HTTP_H

#include "serve/io.h"

/// Serve the protocol (or the metrics) on `fd` from this I/O thread. Takes `fd`, also on failure.
norn_status norn_http_open(norn_io *io, evutil_socket_t fd) NORN_NODISCARD;
norn_status norn_http_open_metrics(norn_io *io, evutil_socket_t fd) NORN_NODISCARD;
void norn_http_stop_accepting(norn_io *io); ///< on the I/O thread
void norn_http_close(norn_io *io);          ///< after the loop has ended

#endif
