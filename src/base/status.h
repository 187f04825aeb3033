/// Raising and passing on errors. The enum and norn_message() are public: norn/status.h.
#ifndef NORN_BASE_STATUS_H
#define NORN_BASE_STATUS_H

#include "norn/status.h"

/// norn_fail(status, format, ...): set this thread's message; its value is `status`.
/// Never allocates; long text is cut with "…". A macro, so that the compiler sees
/// that `return norn_fail(NORN_X, …)` does not return NORN_OK, and does not warn
/// of outputs that a failed call left unset.
#define norn_fail(status, ...) (norn_set_message(__VA_ARGS__), (status))
void norn_set_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// Put context before this thread's message: "context: message".
void norn_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// "%u step%s", n, norn_plural(n): 1 step, 2 steps. "%u step%s late", n, norn_number(n, " is", "s are").
#define norn_number(count, one, many) ((count) == 1 ? (one) : (many))
#define norn_plural(count) norn_number(count, "", "s")

/// The function owns nothing: return the error.
#define NORN_TRY(expr)                                            \
    do {                                                          \
        norn_status norn_try_status_ = (expr);                    \
        if (norn_try_status_ != NORN_OK) return norn_try_status_; \
    } while (0)

/// Store the result in the function's `status` and go to its single `done:` on an error.
#define NORN_TRY_DONE(expr)               \
    do {                                  \
        status = (expr);                  \
        if (status != NORN_OK) goto done; \
    } while (0)

#endif
