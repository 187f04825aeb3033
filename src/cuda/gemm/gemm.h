/// Matrix products: cuBLASLt, kernels of our own where a product is
/// thin, and the choice between them.
#ifndef NORN_CUDA_GEMM_H
#define NORN_CUDA_GEMM_H

#include "cuda/backend.h"
#include "cuda/codegen/codegen.h"
#include "cuda/kernels/gemm_kernels.h"

/// D[m, n] = op(A[m, k] * B + bias), row-major, added up in float32, `batches` of them at the given
/// strides (elements).
typedef struct norn_cuda_product {
    int64_t m, n, k;
    norn_dtype dtype; ///< of A and B: F32, F16 or BF16
    norn_dtype out;   ///< of D and bias: dtype, F32, or from our own kernels a half type for F32
    const void *a, *b;
    void *d;
    int64_t lda, ldb, ldd;
    bool b_transposed;               ///< B is [n, k]
    const void *bias;                ///< [n], or NULL
    float bias_value;                ///< added to every element; our own kernels only
    norn_cuda_activation activation; ///< SIGMOID: our own kernels only
    const void *times, *plus;        ///< of a cross layer, dense [m, n] of dtype; DOT and TILE only
    bool tf32;
    int32_t batches;
    int64_t stride_a, stride_b, stride_d;
} norn_cuda_product;

/// Up to `most` algorithms, best guess first. None found is UNIMPLEMENTED.
norn_status norn_cuda_lt_algorithms(const norn_cuda_device *device,
                                    const norn_cuda_product *product, int most,
                                    cublasLtMatmulAlgo_t *algorithms, int *found) NORN_NODISCARD;
/// `algorithm` NULL, or one that does not suit this shape or the stream's
/// workspace: asks the heuristic.
norn_status norn_cuda_lt_run(const norn_cuda_device *device, const norn_cuda_product *product,
                             const cublasLtMatmulAlgo_t *algorithm,
                             const norn_stream *stream) NORN_NODISCARD;

/// Who computes an epilogue program.
typedef enum norn_cuda_ending {
    NORN_CUDA_ENDING_ANY,       ///< every way of computing the product
    NORN_CUDA_ENDING_OWN,       ///< our own kernels; after cuBLASLt a pointwise kernel
    NORN_CUDA_ENDING_POINTWISE, ///< always a pointwise kernel
} norn_cuda_ending;

/// activation(accumulator + bias + bias_value), as far as `ending` is not POINTWISE; of a cross layer (DCN) that
/// times input `times_input`, plus input `plus_input`.
typedef struct norn_cuda_epilogue {
    norn_cuda_ending ending;
    bool has_bias;
    uint32_t bias_input;
    float bias_value;
    norn_cuda_activation activation;
    bool crosses;
    uint32_t times_input, plus_input;
} norn_cuda_epilogue;

/// Where the result is of a half type, a product that ends its epilogue itself rounds
/// once, after all of it.
norn_cuda_epilogue norn_cuda_epilogue_match(const norn_scalar_program *program,
                                            const norn_numbers *numbers);

/// How one size of a GEMM is computed.
typedef enum norn_cuda_gemm_way {
    NORN_CUDA_GEMM_LT,
    NORN_CUDA_GEMM_PADDED, ///< cuBLASLt after a copy of A whose rows are aligned
    NORN_CUDA_GEMM_DOT,    ///< a warp a column: few rows, or one column
    NORN_CUDA_GEMM_THIN_K, ///< short sums: k up to 32
    NORN_CUDA_GEMM_SKINNY, ///< tf32 tensor cores, k split over a cluster: tens of rows
    NORN_CUDA_GEMM_TILE,   ///< tf32 or halves on Hopper, tiles of 64 rows: tens to hundreds of rows
} norn_cuda_gemm_way;

typedef struct norn_cuda_gemm_choice {
    int64_t m;
    norn_cuda_gemm_way way;
    int32_t split, groups; ///< SKINNY, TILE: blocks of a cluster; times 16 columns a block
    float us;              ///< as timed while preparing; 0 when not timed
    bool algorithm_known;
    cublasLtMatmulAlgo_t algorithm;
} norn_cuda_gemm_choice;

enum { NORN_CUDA_GEMM_CHOICES = 20 };

/// All that the choices for a product follow from. Compared as bytes: zero what is unused.
typedef struct norn_cuda_gemm_key {
    int64_t max_m, n, k;
    uint8_t b_transposed, packed, tf32, has_bias, activation, ending, dtype, out;
    uint64_t crosses;
} norn_cuda_gemm_key;

typedef struct norn_cuda_gemm_tuned {
    norn_cuda_gemm_key key;
    int32_t choice_count;
    norn_cuda_gemm_choice choices[NORN_CUDA_GEMM_CHOICES]; ///< by rising m
} norn_cuda_gemm_tuned;

typedef struct norn_cuda_gemm_state {
    norn_cuda_device *device;
    norn_cuda_epilogue epilogue;
    /// Where the product does not end all of them: over the output, in place.
    norn_cuda_pointwise_state pointwise;
    norn_numbers numbers;
    void *packed; ///< constant B as [n][k padded to 16], zeros beyond; NULL: B is not constant
    int64_t packed_k;
    void *panels; ///< constant B for TILE (gemm_tile.cu); NULL where no choice is TILE
    int32_t choice_count;
    norn_cuda_gemm_choice choices[NORN_CUDA_GEMM_CHOICES]; ///< by rising m
} norn_cuda_gemm_state;

/// The product over the padded copies of A (at `scratch`) and B, for PADDED.
norn_cuda_product norn_cuda_gemm_padded(const norn_cuda_gemm_state *state,
                                        const norn_cuda_product *product, void *scratch);
/// Whether cuBLASLt computes the product, and so leaves what it cannot end.
bool norn_cuda_gemm_is_lt(const norn_cuda_product *product, const norn_cuda_gemm_choice *choice);
/// Run `product` in the way of `choice`; `scratch` has m * packed_k elements where that is PADDED.
norn_status norn_cuda_gemm_run(const norn_cuda_gemm_state *state, const norn_cuda_product *product,
                               const norn_cuda_gemm_choice *choice, void *scratch,
                               norn_stream *stream) NORN_NODISCARD;
size_t norn_cuda_gemm_elem_bytes(const norn_cuda_gemm_state *state); ///< of A and B
/// Do rows of A begin where no load of sixteen bytes can?
bool norn_cuda_gemm_is_unaligned(const norn_cuda_gemm_state *state, int64_t k);
/// Is there a layout of B for TILE: tf32, compute capability 9.0, a tile of columns?
bool norn_cuda_gemm_tiles(const norn_cuda_gemm_state *state, int64_t n, int64_t k);
norn_cuda_elem norn_cuda_elem_of(norn_dtype dtype); ///< F32, F16 or BF16
/// Can this way compute the product of `key` at the choice's rows and all fewer ones?
bool norn_cuda_gemm_suits(const norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key,
                          const norn_cuda_gemm_choice *choice);
/// Take the choices of a product that was timed before; false when it was not.
bool norn_cuda_gemm_recall(norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key);
norn_status norn_cuda_gemm_remember(const norn_cuda_gemm_state *state,
                                    const norn_cuda_gemm_key *key) NORN_NODISCARD;
/// Fill the choices for 1 … max_m rows by timing what can compute them.
norn_status norn_cuda_gemm_tune(norn_cuda_gemm_state *state, int64_t max_m, int64_t n, int64_t k,
                                bool b_transposed) NORN_NODISCARD;

norn_status norn_cuda_gemm_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                   norn_alloc alloc, norn_span *code);
norn_status norn_cuda_gemm_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                   void **state);
void norn_cuda_gemm_unprepare(norn_cuda_device *device, void *state);
bool norn_cuda_gemm_supports(const norn_step_spec *spec);

#endif
