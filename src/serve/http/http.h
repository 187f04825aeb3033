/// HTTP/1.1: the Open Inference Protocol's REST endpoints, and the metrics page on a port
/// of its own. Its own reader, strict and bounded (http_parser.h), because libevent's
/// evhttp cannot be made either: it takes bare LF, two Content-Lengths and "Host :",
/// reads chunk lines of any length, and answers errors in HTML.
#ifndef NORN_SERVE_HTTP_H
#define NORN_SERVE_HTTP_H

#include "serve/io/io.h"

/// Serve the protocol (or the metrics) on `fd` from this I/O thread. Takes `fd`, also on failure.
/// -1: no listening socket, connections come through norn_http_accept.
norn_status norn_http_open(norn_io *io, evutil_socket_t fd) NORN_NODISCARD;
norn_status norn_http_open_metrics(norn_io *io, evutil_socket_t fd) NORN_NODISCARD;
/// Serve one connected socket. Takes `fd`.
void norn_http_accept(norn_io *io, evutil_socket_t fd);
void norn_http_stop_accepting(norn_io *io); ///< on the I/O thread
/// After the loop has ended: drop the connections that only wait for their clients.
void norn_http_drop_idle(norn_io *io);
void norn_http_close(norn_io *io); ///< then, when nothing is in flight

#endif
