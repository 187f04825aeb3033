/// A plan: a model compiled for one device, in memory or in a `.norn` file.
#ifndef NORN_PLAN_H
#define NORN_PLAN_H

#include "norn/alloc.h"
#include "norn/model.h"
#include "norn/tensor.h"

typedef struct norn_plan norn_plan;

typedef enum norn_precision {
    NORN_PRECISION_FP32 = 0, ///< exact: the default on every device
    NORN_PRECISION_TF32 = 1, ///< CUDA only: tf32 matrix products, fp32 accumulation
    NORN_PRECISION_FP16 = 2, ///< CUDA only: layers in fp16, fp32 accumulation; other products in tf32
    NORN_PRECISION_BF16 = 3, ///< CUDA only: the same in bf16
} norn_precision;

/// A binding of one input's dimensions, from `--min-shapes/--opt-shapes/--max-shapes NAME:2x13`.
typedef struct norn_input_shape {
    const char *name;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
} norn_input_shape;

/// What to compile for. Zero-initialise, then set what matters.
typedef struct norn_compile_options {
    const char *device; ///< "cpu" (NULL), "cuda", "cuda:1"
    norn_precision precision;
    const norn_input_shape *min_shapes, *opt_shapes, *max_shapes;
    size_t min_count, opt_count, max_count;
    int64_t max_batch;       ///< bound of the batch symbol when max_shapes is silent; 0: 1024
    int64_t table_threshold; ///< bytes from which a gathered initializer becomes a table; 0: 1 MiB
    const char *print_after; ///< pass name, "all", or NULL; the graph goes to stderr
    const char *stop_after;  ///< pass name or NULL
    int freeze_initializers; ///< initializers that callers may override become constants
    const char *batch_dim;   ///< "INPUT:0": this dimension is the batch; NULL: inferred
    void (*progress)(void *context, const char *what, double fraction);
    void *progress_context;
} norn_compile_options;

/// Compile; the plan borrows nothing from `model` that norn_model_close would free.
/// Errors   INVALID_ARGUMENT names the node; UNAVAILABLE: the device cannot be compiled for here.
NORN_API norn_status norn_plan_compile(const norn_model *model, const norn_compile_options *options,
                                       norn_alloc alloc, norn_plan **out) NORN_NODISCARD;

/// Map and check a plan file. Never recompiles for the CPU.
/// Errors   NOT_FOUND; DATA_LOSS (truncated or corrupt; names file and section);
///          FAILED_PRECONDITION (other ABI: compile again)
NORN_API norn_status norn_plan_load(const char *path, norn_alloc alloc,
                                    norn_plan **out) NORN_NODISCARD;

/// Time, on the plan's device, the ways in which its products can be computed,
/// and keep the choices: saved plans carry them, and sessions are created without timing.
/// `cache` (may be NULL) is a file of choices that several models share; it is read
/// when it is there, then written. Nothing to do for the CPU.
/// Errors   UNAVAILABLE: a cache was given and the device is not here;
///          DATA_LOSS: the cache is damaged
NORN_API norn_status norn_plan_tune(norn_plan *plan, const char *cache) NORN_NODISCARD;

/// Write to `path` atomically (a temporary beside it, fsync, rename). Tables that came out of
/// initializers go to `path`.tables/NAME.safetensors.
NORN_API norn_status norn_plan_save(const norn_plan *plan, const char *path) NORN_NODISCARD;

/// Plans are counted: sessions retain theirs.
NORN_API norn_plan *norn_plan_retain(norn_plan *plan);
NORN_API void norn_plan_release(norn_plan *plan);

/// One input or output of the model. Dims of -1 are dynamic; `dim_names[i]` then names the symbol.
typedef struct norn_port {
    const char *name;
    norn_dtype dtype;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    int64_t max_dims[NORN_MAX_RANK];
    const char *dim_names[NORN_MAX_RANK]; ///< NULL for a constant
    int optional; ///< an input with a default: an initializer that callers may override
    int squeezed; ///< an output without the dims that are 1 in a run: [] for [1]
} norn_port;

NORN_API const char *norn_plan_name(const norn_plan *plan);
NORN_API size_t norn_plan_input_count(const norn_plan *plan);
NORN_API size_t norn_plan_output_count(const norn_plan *plan);
NORN_API const norn_port *norn_plan_input(const norn_plan *plan, size_t index);
NORN_API const norn_port *norn_plan_output(const norn_plan *plan, size_t index);

/// The symbol that is the batch ("B"), its bound, and NULL when no input has a dynamic dim 0.
NORN_API const char *norn_plan_batch_symbol(const norn_plan *plan);
NORN_API int64_t norn_plan_max_batch(const norn_plan *plan);

#endif
