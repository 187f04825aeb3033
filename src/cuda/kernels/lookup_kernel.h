/// Launcher of the lookup kernel. Plain C: read by .c and .cu.
#ifndef NORN_CUDA_LOOKUP_KERNEL_H
#define NORN_CUDA_LOOKUP_KERNEL_H

#include "cuda/kernels/fault.h"

#include <cuda_runtime_api.h>

enum { NORN_CUDA_LOOKUP_COLUMNS = 64 }; ///< in one launch

enum { NORN_CUDA_ROW_F32, NORN_CUDA_ROW_F16, NORN_CUDA_ROW_BF16, NORN_CUDA_ROW_I8 };
/// Of outputs.
enum { NORN_CUDA_OUT_F32, NORN_CUDA_OUT_F16, NORN_CUDA_OUT_BF16 };
enum { NORN_CUDA_POOL_NONE, NORN_CUDA_POOL_SUM, NORN_CUDA_POOL_MEAN, NORN_CUDA_POOL_MAX };

enum { NORN_CUDA_TABLE_DENSE = 0, NORN_CUDA_TABLE_CACHE = 2, NORN_CUDA_MISSING_ERROR = 1 };

/// norn_table_view as the kernel reads it; ops/lookup.c asserts that they agree.
typedef struct norn_cuda_table {
    int32_t kind, missing;
    int64_t row_count, row_bytes;
    const char *default_row;           ///< NULL: zeros
    unsigned long long *missing_count; ///< or NULL
    const char *rows;
    const int64_t *buckets; ///< of a cache
    uint64_t bucket_mask;
} norn_cuda_table;

/// One column of a lookup region, resolved. Strides of keys and `out` are in elements.
typedef struct norn_cuda_lookup_column {
    const norn_cuda_table *table; ///< in device memory: another snapshot changes it; NULL: `own`
    norn_cuda_table own;          ///< rows that are a constant of the plan
    const void *keys, *offsets;   ///< offsets NULL: `keys_count` keys a row
    const float *weights;         ///< by key position, or NULL
    char *out;                    ///< of row 0, at this column
    int64_t keys_first, keys_stride, keys_total;
    int64_t key_offset, out_stride;
    int32_t dim, keys_count;
    uint8_t keys_32, offsets_32, row, pool;
    uint8_t wraps, to; ///< to: NORN_CUDA_OUT_…
    uint8_t wide;      ///< rows and outputs move 16 bytes at once
    uint8_t lane_bits; ///< 2^lane_bits lanes a row
} norn_cuda_lookup_column;

typedef struct norn_cuda_lookup_args {
    int64_t batch;
    norn_cuda_fault *fault;
    const norn_cuda_site *site;
    int32_t count, first; ///< columns here; index of the first in the region
    norn_cuda_lookup_column columns[NORN_CUDA_LOOKUP_COLUMNS];
} norn_cuda_lookup_args;

#ifdef __cplusplus
extern "C"
#endif
    cudaError_t
    norn_cuda_lookup_launch(const norn_cuda_lookup_args *args, cudaStream_t stream);

#endif
