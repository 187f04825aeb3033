/// The `norn.json` of a model package: what its trainer says of serving it. Everything is optional.
///
///   {
///     "inputs":   {"user_id": {"batch": "user"},
///                  "history": {"batch": "item", "offsets": "history_offsets"}},
///     "tables":   {"item": {"missing": "default" | "error"}},
///     "profile":  {"max_batch": 1024, "min": {}, "opt": {"ids": [64, 26]},
///                  "max": {"ids": [1024, 26]}},
///     "log":      "file:log", "tier": "rocksdb:rows", "tier_memory_mb": 1024, "device": "cpu", "precision": "fp32", "instances": 1, "threads": 0,
///     "max_memory_mb": 4096,
///     "batching": {"max_batch": 256, "max_delay_us": 0, "max_queue": 1024, "max_wait_ms": 10000,
///                  "join": "never", "split": "never", "max_request_rows": 4096},
///     "warmup":   true, "freeze_initializers": false
///   }
///
/// The keys are a table, settings.inc. One that Norn does not know is refused with the nearest
/// that it knows: a misspelt option must not be silently lost.
#ifndef NORN_COMPILE_PACKAGE_H
#define NORN_COMPILE_PACKAGE_H

#include "base/arena.h"
#include "base/span.h"
#include "norn/plan.h"

#include <stdbool.h>

typedef struct norn_package_input {
    const char *name;
    bool user;           ///< one row a request, repeated for every item
    const char *offsets; ///< ragged: the input that holds this one's CSR offsets, or NULL
} norn_package_input;

typedef struct norn_package_table {
    const char *name;
    bool missing_is_error;
    int64_t wait_us; ///< for rows of a tier; -1: until they come
} norn_package_table;

/// May rows of requests be joined, or of one request split?
typedef enum norn_package_rows {
    NORN_PACKAGE_ROWS_PROVED, ///< where the plan proves that no row sees another
    NORN_PACKAGE_ROWS_NEVER,
    NORN_PACKAGE_ROWS_ALWAYS, ///< the user's word that they do not
} norn_package_rows;

typedef struct norn_shape_list {
    norn_input_shape *at;
    uint32_t count;
} norn_shape_list;

typedef struct norn_package_config {
    norn_package_input *inputs;
    norn_package_table *tables;
    uint32_t input_count, table_count;
    norn_shape_list min_shapes, opt_shapes, max_shapes;
    const char *device;        ///< NULL: not said
    const char *log;           ///< of deltas to the tables; NULL: not said
    const char *tier;          ///< of the tables' rows; NULL: host memory
    int64_t tier_memory_bytes; ///< 0: not said
    norn_precision precision;
    int64_t max_batch; ///< 0: not said
    int32_t instances, threads;
    int64_t max_memory_bytes;                        ///< of an instance; 0: not said
    int64_t batch_rows, batch_delay_us, queue_limit; ///< -1: not said
    int64_t max_wait_ms;                             ///< in the queue; -1: not said; 0: no bound
    norn_package_rows join, split;
    int64_t max_request_rows; ///< 0: not said
    bool warmup;
    bool freeze_initializers; ///< those that callers may override become constants
} norn_package_config;

/// Parse `text` (NULL: an empty object). `name` is for messages. Strings live in `arena`.
/// Errors   INVALID_ARGUMENT with the key or the byte offset.
norn_status norn_package_parse(const char *name, norn_span text, norn_arena *arena,
                               norn_package_config *out) NORN_NODISCARD;
enum { NORN_PACKAGE_PATH = 4096 };
/// A file of another server's, in version folder `dir` or its model's folder, that says how to
/// serve and that Norn does not read: its path, and what to do instead. NULL: there is none.
const char *norn_package_ignored(const char *dir, char path[NORN_PACKAGE_PATH]);
const norn_package_input *norn_package_input_find(const norn_package_config *config,
                                                  const char *name);

#endif
