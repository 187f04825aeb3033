/// gzip and deflate of bodies and messages. Without zlib nothing is known
/// and every call is UNIMPLEMENTED.
#ifndef NORN_SERVE_IO_INFLATE_H
#define NORN_SERVE_IO_INFLATE_H

#include "base/span.h"
#include "base/wire.h"
#include "serve/budget.h"

#include <stdbool.h>

bool norn_inflate_knows(const char *encoding); ///< "gzip" or "deflate", in any case
/// Append what `packed` (gzip, or deflate in zlib's wrapping) holds
/// to *out, at most max_bytes of it.
/// Errors   INVALID_ARGUMENT: damaged or cut; RESOURCE_EXHAUSTED: more than max_bytes
norn_status norn_inflate(norn_span packed, size_t max_bytes, norn_buffer *out) NORN_NODISCARD;
/// The same, with room for *out taken from `budget` as it grows. What is held of it then,
/// and after a failure, is added to *held_bytes.
/// Errors   also UNAVAILABLE: others hold the budget
norn_status norn_inflate_within(norn_span packed, size_t max_bytes, norn_budget *budget,
                                int64_t *held_bytes, norn_buffer *out) NORN_NODISCARD;
norn_status norn_deflate(norn_span plain, bool gzip, norn_buffer *out) NORN_NODISCARD;

#endif
