/// The result of every fallible call, numbered as gRPC numbers its codes.
///
/// Errors   a status by value; the text that goes with it is in a fixed thread-local
///          record, so that it works out of memory. Read it with norn_message()
///          on the thread that got the status.
/// Source   https://grpc.github.io/grpc/core/md_doc_statuscodes.html
#ifndef NORN_STATUS_H
#define NORN_STATUS_H

#if defined(__GNUC__)
#define NORN_API __attribute__((visibility("default")))
#define NORN_NODISCARD __attribute__((warn_unused_result))
#else
#define NORN_API
#define NORN_NODISCARD
#endif

typedef enum norn_status {
    NORN_OK = 0,
    NORN_CANCELLED = 1,
    NORN_UNKNOWN = 2,
    NORN_INVALID_ARGUMENT = 3,
    NORN_DEADLINE_EXCEEDED = 4,
    NORN_NOT_FOUND = 5,
    NORN_ALREADY_EXISTS = 6,
    NORN_PERMISSION_DENIED = 7,
    NORN_RESOURCE_EXHAUSTED = 8,
    NORN_FAILED_PRECONDITION = 9,
    NORN_ABORTED = 10,
    NORN_OUT_OF_RANGE = 11,
    NORN_UNIMPLEMENTED = 12,
    NORN_INTERNAL = 13,
    NORN_UNAVAILABLE = 14,
    NORN_DATA_LOSS = 15,
} norn_status;

/// "INVALID_ARGUMENT" and so on; "UNKNOWN" for a number outside the enum. Static memory.
NORN_API const char *norn_status_name(norn_status status);

/// The text of the last failure on this thread, outermost note first; "" when there was none.
/// Borrowed: valid until the next failing norn call on this thread.
NORN_API const char *norn_message(void);

#endif
