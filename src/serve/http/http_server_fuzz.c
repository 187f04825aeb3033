/// What a client may send on an HTTP connection.
#include "serve/fuzz_server.h"
#include "serve/http/http.h"
#include "serve/listen.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    static int32_t port;
    struct sockaddr_in address = {.sin_family = AF_INET};
    char sink[4096];
    if (!started) {
        evutil_socket_t listener;
        fuzz_server_start();
        if (norn_listen("127.0.0.1", &port, &listener) != NORN_OK ||
            norn_http_open(&fuzz_io, listener) != NORN_OK)
            abort();
        started = true;
    }
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    const struct linger at_once = {1, 0}; // no TIME_WAIT: there will be many connections
    if (client < 0 || size > 64 * 1024) return 0;
    (void)setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (connect(client, (const struct sockaddr *)&address, sizeof address) == 0 &&
        (size == 0 || send(client, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)) {
        fuzz_server_turn();
        (void)shutdown(client, SHUT_WR);
        fuzz_server_turn();
        while (recv(client, sink, sizeof sink, MSG_DONTWAIT) > 0) {
        }
    }
    (void)close(client);
    fuzz_server_turn();
    return 0;
}
