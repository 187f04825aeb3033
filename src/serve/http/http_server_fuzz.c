/// What a client may send on an HTTP connection.
#include "serve/fuzz_server.h"
#include "serve/http/http.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    char sink[4096];
    int pair[2];
    if (!started) {
        fuzz_server_start();
        if (norn_http_open(&fuzz_io, -1) != NORN_OK) abort();
        started = true;
    }
    if (size > 64 * 1024 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return 0;
    norn_http_accept(&fuzz_io, pair[0]);
    if (size == 0 || write(pair[1], data, size) > 0) {
        fuzz_server_turn();
        (void)shutdown(pair[1], SHUT_WR);
        fuzz_server_turn();
    }
    while (read(pair[1], sink, sizeof sink) > 0) {
    }
    (void)close(pair[1]);
    fuzz_server_turn();
    // Whatever was sent, nothing stays behind.
    if (fuzz_server.connections != 0 || fuzz_server.in_flight != 0 ||
        fuzz_server.budget.held_bytes != 0)
        abort();
    return 0;
}
