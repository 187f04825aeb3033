/// One call: the request message as it comes, and the answer that is to be sent.
/// Knows nothing of HTTP/2.
#ifndef NORN_SERVE_GRPC_CALL_H
#define NORN_SERVE_GRPC_CALL_H

#include "base/wire.h"
#include "serve/io/io.h"
#include "serve/io/workers.h"

enum { NORN_GRPC_PREFIX_BYTES = 5 }; ///< compressed flag, 32-bit big-endian length

typedef struct norn_grpc_call norn_grpc_call;

struct norn_grpc_call {
    norn_exchange exchange;                ///< first
    const struct norn_grpc_method *method; ///< chosen by norn_grpc_call_route
    int64_t deadline_ns;                   ///< from grpc-timeout; 0: none
    bool encoded; ///< grpc-encoding names what inflate knows: messages may be compressed
    uint8_t prefix[NORN_GRPC_PREFIX_BYTES];
    uint32_t prefix_count; ///< bytes of it that have come
    size_t message_bytes;  ///< what it says
    norn_buffer request;   ///< the message
    int64_t request_held;  ///< bytes taken from the budget for it
    int64_t response_held; ///< likewise
    norn_buffer response;  ///< with its prefix; valid when status is OK
    norn_status status;    ///< grpc-status
    char message[512];     ///< grpc-message
    norn_job job;          ///< while a worker has the call: norn_grpc_call_work
    norn_status (*work)(norn_grpc_call *call);
    void (*then)(norn_grpc_call *call);
    bool answered;
    bool open;         ///< Health/Watch: more answers follow the one that is sent
    int health;        ///< what Watch said last
    char watched[256]; ///< what it watches
    /// The connection's; on the I/O thread, once, when answered.
    void (*send)(norn_grpc_call *call);
};

void norn_grpc_call_init(norn_grpc_call *call, norn_io *io);
void norn_grpc_call_deinit(norn_grpc_call *call);
/// Choose the method (grpc_methods.c).
/// Errors   UNIMPLEMENTED.
norn_status norn_grpc_call_route(norn_grpc_call *call, norn_span path) NORN_NODISCARD;
/// Bytes of the request have come. Errors: the call cannot become one that could be answered.
norn_status norn_grpc_call_data(norn_grpc_call *call, norn_span bytes) NORN_NODISCARD;
/// The whole request is there: answer it. `send` is called now or later.
void norn_grpc_call_run(norn_grpc_call *call);
/// Answer with what norn_grpc_call.response holds after its prefix, or with a failure.
void norn_grpc_call_answer(norn_grpc_call *call, norn_status status);
/// Room in the byte budget, given back when the call is answered.
/// Errors   RESOURCE_EXHAUSTED.
norn_status norn_grpc_call_hold(norn_grpc_call *call, int64_t bytes, int64_t *held) NORN_NODISCARD;
/// Let a worker do `work`, then go on with `then` on the I/O thread. What `work` returns is in
/// call->status, with its message; norn_grpc_call_failed says it again there.
void norn_grpc_call_work(norn_grpc_call *call, norn_status (*work)(norn_grpc_call *call),
                         void (*then)(norn_grpc_call *call));
norn_status norn_grpc_call_failed(const norn_grpc_call *call) NORN_NODISCARD;
/// The client has gone: work that has not begun need not.
void norn_grpc_call_cancel(norn_grpc_call *call);

/// "500m", "2S", … to nanoseconds, saturated. False: malformed.
bool norn_grpc_timeout(norn_span text, int64_t *ns);

// ---- grpc_methods.c
void norn_grpc_call_dispatch(norn_grpc_call *call, norn_span message);

// ---- grpc_health.c: grpc.health.v1
void norn_grpc_health_check(norn_grpc_call *call, norn_span message);
void norn_grpc_health_watch(norn_grpc_call *call, norn_span message);
/// A Watch whose last answer has left: true when there is another one in call->response.
bool norn_grpc_health_again(norn_grpc_call *call);

#endif
