/// One call: the request message that arrived, and the answer that is to be sent. Knows nothing of
/// HTTP/2.
#ifndef NORN_SERVE_GRPC_CALL_H
#define NORN_SERVE_GRPC_CALL_H

#include "base/wire.h"
#include "serve/io.h"

typedef struct norn_grpc_call {
    norn_exchange exchange; ///< first
    char path[128];         ///< "/inference.GRPCInferenceService/ModelInfer"
    int64_t deadline_ns;    ///< from grpc-timeout; 0: none
    norn_buffer request;    ///< bytes of DATA frames: the 5-byte prefix and the message
    norn_buffer response;   ///< likewise; valid when status is OK
    norn_status status;     ///< grpc-status
    char message[512];      ///< grpc-message
    bool answered;
    void (*send)(
        struct norn_grpc_call *call); ///< the connection's; on the I/O thread, once, when answered
} norn_grpc_call;

void norn_grpc_call_init(norn_grpc_call *call, norn_io *io);
void norn_grpc_call_deinit(norn_grpc_call *call);
/// The whole request is there: answer it. `send` is called now or later.
void norn_grpc_call_run(norn_grpc_call *call);
/// "500m", "2S", … to nanoseconds. False: malformed.
bool norn_grpc_timeout(norn_span text, int64_t *ns);

#endif
