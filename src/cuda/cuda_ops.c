/// Operators that need more than a kernel: which steps they take, their code, their state.
#include "cuda/codegen/codegen.h"
#include "cuda/gemm/gemm.h"
#include "cuda/ops/ops.h"

#define MOVE(op) \
    { NORN_OP_##op, norn_cuda_move_supports, NULL, NULL, NULL }
#define GATHER(op)                                                               \
    {                                                                            \
        NORN_OP_##op, norn_cuda_gather_supports, NULL, norn_cuda_gather_prepare, \
            norn_cuda_state_free                                                 \
    }
#define ROWS(op) \
    { NORN_OP_##op, norn_cuda_rows_supports, NULL, NULL, NULL }
#define REDUCE(op)                                                               \
    {                                                                            \
        NORN_OP_##op, norn_cuda_reduce_supports, NULL, norn_cuda_reduce_prepare, \
            norn_cuda_state_free                                                 \
    }

// clang-format off
const norn_cuda_op norn_cuda_ops[] = {
    //op                      supports                         codegen                       prepare                        unprepare
    {NORN_OP_GemmRegion,      norn_cuda_gemm_supports,         norn_cuda_gemm_codegen,       norn_cuda_gemm_prepare,        norn_cuda_gemm_unprepare},
    {NORN_OP_Pointwise,       norn_cuda_pointwise_supports,    norn_cuda_pointwise_codegen,  norn_cuda_pointwise_prepare,   norn_cuda_pointwise_unprepare},
    {NORN_OP_RowReduce,       norn_cuda_row_reduce_supports,   norn_cuda_row_reduce_codegen, norn_cuda_row_reduce_prepare,  norn_cuda_row_reduce_unprepare},
    {NORN_OP_Lookup,          norn_cuda_lookup_supports,       NULL,                         norn_cuda_lookup_prepare,      norn_cuda_lookup_unprepare},
    {NORN_OP_Interaction,     norn_cuda_interaction_supports,  NULL,                         norn_cuda_interaction_prepare, norn_cuda_interaction_unprepare},
    {NORN_OP_MatMul,          norn_cuda_matmul_supports,       NULL,                         norn_cuda_matmul_prepare,      norn_cuda_state_free},
    {NORN_OP_Slice,           norn_cuda_slice_supports,        NULL,                         norn_cuda_slice_prepare,       norn_cuda_state_free},
    {NORN_OP_Tile,            norn_cuda_tile_supports,         NULL,                         NULL,                          NULL},
    MOVE(Identity), MOVE(Reshape), MOVE(Flatten), MOVE(Squeeze), MOVE(Unsqueeze), MOVE(Dropout),
    MOVE(Transpose), MOVE(Concat), MOVE(Split), MOVE(Expand),
    GATHER(Gather), GATHER(GatherElements), GATHER(GatherND),
    ROWS(Softmax), ROWS(LogSoftmax), ROWS(LayerNormalization), ROWS(RMSNormalization), ROWS(BatchNormalization),
    REDUCE(ReduceSum), REDUCE(ReduceMean), REDUCE(ReduceMax), REDUCE(ReduceMin), REDUCE(ReduceProd),
    REDUCE(ReduceL1), REDUCE(ReduceL2), REDUCE(ReduceSumSquare), REDUCE(ReduceLogSum), REDUCE(ReduceLogSumExp),
};
// clang-format on
const size_t norn_cuda_op_count = sizeof norn_cuda_ops / sizeof *norn_cuda_ops;
