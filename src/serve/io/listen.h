/// Listening TCP sockets. A host is an address of IPv4 or IPv6 (also in brackets) or a name that
/// this machine resolves; of a name that has several addresses the first IPv4 one is taken, which
/// clients of "localhost" find whatever they try first. "::" takes IPv4 too.
#ifndef NORN_SERVE_IO_LISTEN_H
#define NORN_SERVE_IO_LISTEN_H

#include "base/status.h"

#include <event2/util.h>
#include <stdint.h>

/// Non-blocking, SO_REUSEPORT; *port 0 becomes the port that was taken.
/// Errors   INVALID_ARGUMENT: no such host; UNAVAILABLE: the port cannot be had, and why
norn_status norn_listen(const char *host, int32_t *port, evutil_socket_t *out) NORN_NODISCARD;

/// Another server on the same port would share its connections silently, because of SO_REUSEPORT:
/// is somebody there? `option` names the port in the message. Port -1: nothing is asked.
/// Errors   INVALID_ARGUMENT: no such host; UNAVAILABLE: somebody is there
norn_status norn_listen_probe(const char *host, int32_t port, const char *option) NORN_NODISCARD;

#endif
