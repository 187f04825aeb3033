#include "serve/io/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

typedef struct listen_address {
    struct sockaddr_storage at;
    socklen_t length;
} listen_address;

static norn_status no_such_host(const char *host, const char *why) {
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "host '%s': %s; give an address such as 127.0.0.1 or ::1, or a name of this "
                     "machine",
                     host, why);
}

static norn_status resolve(const char *host, int32_t port, listen_address *out) {
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *all;
    char name[256], service[16];
    const size_t length = strlen(host);
    const int bracket = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (length == 0 || length >= sizeof name)
        return no_such_host(host, "it has no sensible length");
    (void)snprintf(name, sizeof name, "%.*s", (int)length - 2 * bracket, host + bracket);
    (void)snprintf(service, sizeof service, "%d", (int)port);
    const int error = getaddrinfo(name, service, &wanted, &all);
    if (error != 0)
        return no_such_host(host, error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    const struct addrinfo *best = all;
    for (const struct addrinfo *one = all; one; one = one->ai_next)
        if (one->ai_family == AF_INET) {
            best = one;
            break;
        }
    memcpy(&out->at, best->ai_addr, best->ai_addrlen);
    out->length = best->ai_addrlen;
    freeaddrinfo(all);
    return NORN_OK;
}

static int open_socket(const listen_address *address) {
    const int on = 1, off = 0;
    const int fd =
        socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->at.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return fd;
}

static int32_t port_of(const listen_address *address) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->at.ss_family == AF_INET6) {
        memcpy(&v6, &address->at, sizeof v6);
        return ntohs(v6.sin6_port);
    }
    memcpy(&v4, &address->at, sizeof v4);
    return ntohs(v4.sin_port);
}

norn_status norn_listen(const char *host, int32_t *port, evutil_socket_t *out) {
    listen_address address;
    const int on = 1;
    *out = -1;
    NORN_TRY(resolve(host, *port, &address));
    const int fd = open_socket(&address);
    if (fd < 0) return norn_fail(NORN_UNAVAILABLE, "host '%s': %s", host, strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // accepted sockets inherit it
    if (bind(fd, (const struct sockaddr *)&address.at, address.length) != 0 ||
        listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address.at, &address.length) != 0) {
        const norn_status status =
            norn_fail(NORN_UNAVAILABLE, "port %d on %s: %s", (int)*port, host, strerror(errno));
        (void)close(fd);
        return status;
    }
    *port = port_of(&address);
    *out = fd;
    return NORN_OK;
}

norn_status norn_listen_probe(const char *host, int32_t port, const char *option) {
    listen_address address;
    if (port < 0) return NORN_OK;
    NORN_TRY(resolve(host, port, &address));
    if (port == 0) return NORN_OK;
    const int fd = open_socket(&address);
    if (fd < 0) return NORN_OK; // norn_listen says why
    const int result = bind(fd, (const struct sockaddr *)&address.at, address.length);
    const int error = errno;
    (void)close(fd);
    if (result == 0 || error != EADDRINUSE) return NORN_OK;
    return norn_fail(NORN_UNAVAILABLE, "port %d on %s is in use; choose another with %s", (int)port,
                     host, option);
}
