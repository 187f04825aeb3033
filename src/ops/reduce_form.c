// Reduce* operators of float32 as RowReduce regions.
#include "ops/op.h"

bool norn_reduce_form_of(norn_op_id op, norn_reduce_form *out) {
    *out = (norn_reduce_form){NORN_REDUCE_SUM, NORN_SCALAR_LOAD, NORN_SCALAR_LOAD};
    switch ((int)op) {
    case NORN_OP_ReduceSum:
        return true;
    case NORN_OP_ReduceMean:
        out->kind = NORN_REDUCE_MEAN;
        return true;
    case NORN_OP_ReduceMax:
        out->kind = NORN_REDUCE_MAX;
        return true;
    case NORN_OP_ReduceMin:
        out->kind = NORN_REDUCE_MIN;
        return true;
    case NORN_OP_ReduceProd:
        out->kind = NORN_REDUCE_PROD;
        return true;
    case NORN_OP_ReduceL1:
        out->before = NORN_SCALAR_ABS;
        return true;
    case NORN_OP_ReduceL2:
        out->before = NORN_SCALAR_MUL, out->after = NORN_SCALAR_SQRT;
        return true;
    case NORN_OP_ReduceSumSquare:
        out->before = NORN_SCALAR_MUL;
        return true;
    case NORN_OP_ReduceLogSum:
        out->after = NORN_SCALAR_LOG;
        return true;
    default:
        return false;
    }
}
