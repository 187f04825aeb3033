/// Pointwise and row-reduce regions as CUDA C: printed while compiling, loaded while preparing.
///
/// A code object is a small container of a cubin for one architecture and the PTX it came from, so
/// that a newer GPU can still load it.
#ifndef NORN_CUDA_CODEGEN_H
#define NORN_CUDA_CODEGEN_H

#include "base/wire.h"
#include "cuda/backend.h"

/// What a generated kernel gets, by value. The printed source declares the same struct.
typedef struct norn_cuda_generated_args {
    const void *load[NORN_SCALAR_LOAD_MAX];
    void *store[NORN_SCALAR_STORE_MAX];
    int64_t row_stride[NORN_SCALAR_STORE_MAX]; ///< of the stores, in elements; "rows" kernels only
    int64_t total;                             ///< elements of the loop
    int64_t dim[NORN_MAX_RANK];                ///< sizes of the loop's merged dims
    int64_t dim_out[NORN_MAX_RANK];            ///< row-reduce: those of the epilogue's loop
    int64_t outer, reduced, inner;             ///< row-reduce
    int64_t row;                               ///< row-reduce: elements in a row of the stores
    /// "dynamic" kernels: of the loads, by loop dim.
    int64_t stride[NORN_SCALAR_LOAD_MAX][NORN_MAX_RANK];
    int64_t pad; ///< "rows" kernels: zeros at the end of a row of the stores
} norn_cuda_generated_args;

/// Adjacent loop dims that every operand treats alike are one: what is left is what index
/// arithmetic has to take apart.
typedef struct norn_cuda_loop {
    int32_t count;
    int32_t begin[NORN_MAX_RANK], end[NORN_MAX_RANK];  ///< of merged dim i, in loop dims
    bool repeats[NORN_SCALAR_LOAD_MAX][NORN_MAX_RANK]; ///< by load and merged dim
} norn_cuda_loop;

/// `split_last`: the last loop dim stays by itself (strided stores).
void norn_cuda_loop_of(const norn_scalar_program *program, int32_t rank, bool split_last,
                       norn_cuda_loop *loop);
/// Sizes of the merged dims.
void norn_cuda_loop_dims(const norn_cuda_loop *loop, const int64_t *dims, int64_t *merged);

bool norn_cuda_program_supported(const norn_scalar_program *program);
bool norn_cuda_program_dynamic(const norn_scalar_program *program);

// ---- printing
const char *norn_cuda_storage_type(norn_dtype dtype); ///< NULL: no CUDA form
const char *norn_cuda_register_type(norn_dtype dtype);
void norn_cuda_print_prelude(norn_buffer *out);
/// `static __device__ void NAME(v0, v1, …, acc, s0 &, …)`: the program on loaded values.
void norn_cuda_print_program(norn_buffer *out, const char *name, const norn_scalar_program *program,
                             norn_dtype acc);
/// Statements that set i0.. (type long long) from element index `index`; sizes are a.`dims`[..].
void norn_cuda_print_indices(norn_buffer *out, const norn_cuda_loop *loop, const char *index,
                             const char *dims);
/// Expression: element offset of load `load` at i0..
void norn_cuda_print_offset(norn_buffer *out, const norn_cuda_loop *loop, uint32_t load,
                            const char *dims);

norn_status norn_cuda_pointwise_source(const norn_scalar_program *program, int32_t rank,
                                       const norn_view *out, norn_buffer *source) NORN_NODISCARD;
norn_status norn_cuda_row_reduce_source(const norn_step_spec *spec,
                                        norn_buffer *source) NORN_NODISCARD;

// ---- compiling and loading
/// NVRTC; INTERNAL holds its first error line.
norn_status norn_cuda_compile(const char *source, int32_t sm, norn_alloc alloc,
                              norn_span *code) NORN_NODISCARD;

typedef struct norn_cuda_module {
    cudaLibrary_t library;
} norn_cuda_module;
norn_status norn_cuda_module_load(const norn_cuda_device *device, norn_span code,
                                  norn_cuda_module *module) NORN_NODISCARD;
void norn_cuda_module_unload(norn_cuda_module *module);
norn_status norn_cuda_module_kernel(const norn_cuda_module *module, const char *name,
                                    cudaKernel_t *kernel) NORN_NODISCARD;
cudaError_t norn_cuda_module_launch(cudaKernel_t kernel, uint32_t blocks, uint32_t threads,
                                    norn_cuda_generated_args *args, cudaStream_t stream);

// ---- pointwise programs as prepared state, also of GEMM epilogues
typedef struct norn_cuda_pointwise_state {
    norn_cuda_module module;
    cudaKernel_t flat_v4, flat_v1, rows_v4, rows_v1, dynamic; ///< NULL: not generated
    int32_t multiprocessors;
} norn_cuda_pointwise_state;

/// `program` and `rank` are those that the code was made for.
norn_status norn_cuda_pointwise_load(const norn_cuda_device *device, norn_span code,
                                     const norn_scalar_program *program, int32_t rank,
                                     norn_cuda_pointwise_state *state) NORN_NODISCARD;
/// Run over loop dims `dims`; loads come from call->in, the accumulator
/// from `acc` (may be an output). `pad` zeros follow in every row of the outputs.
norn_status norn_cuda_pointwise_run(norn_call *call, const norn_cuda_pointwise_state *state,
                                    const norn_scalar_program *program, int32_t rank,
                                    const int64_t *dims, int64_t pad,
                                    const void *acc) NORN_NODISCARD;

norn_status norn_cuda_pointwise_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                        norn_alloc alloc, norn_span *code);
norn_status norn_cuda_pointwise_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                        void **state);
void norn_cuda_pointwise_unprepare(norn_cuda_device *device, void *state);
bool norn_cuda_pointwise_supports(const norn_step_spec *spec);
norn_status norn_cuda_row_reduce_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                         norn_alloc alloc, norn_span *code);
norn_status norn_cuda_row_reduce_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                         void **state);
void norn_cuda_row_reduce_unprepare(norn_cuda_device *device, void *state);
bool norn_cuda_row_reduce_supports(const norn_step_spec *spec);

#endif
