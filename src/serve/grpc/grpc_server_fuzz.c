/// What a client may send after the HTTP/2 preface.
#include "serve/fuzz_server.h"
#include "serve/grpc/grpc.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static bool started;
    char sink[4096];
    int pair[2];
    if (!started) {
        fuzz_server_start();
        if (norn_grpc_open(&fuzz_io, -1) != NORN_OK) abort();
        started = true;
    }
    if (size > 64 * 1024 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
        return 0;
    norn_grpc_accept(&fuzz_io, pair[0]);
    if (write(pair[1], preface, sizeof preface - 1) > 0 &&
        (size == 0 || write(pair[1], data, size) > 0))
        fuzz_server_turn();
    while (read(pair[1], sink, sizeof sink) > 0) {
    }
    (void)close(pair[1]);
    fuzz_server_turn();
    if (fuzz_server.budget.held_bytes != 0) abort(); // somebody did not give back what it took
    return 0;
}
