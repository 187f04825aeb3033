/// Element types, shapes of constants and views of tensors: what goes in and out of a session.
#ifndef NORN_TENSOR_H
#define NORN_TENSOR_H

#include "norn/status.h"

#include <stddef.h>
#include <stdint.h>

/// Element types, numbered as onnx.TensorProto.DataType.
typedef enum norn_dtype {
    NORN_DTYPE_NONE = 0,
    NORN_F32 = 1,
    NORN_U8 = 2,
    NORN_I8 = 3,
    NORN_U16 = 4,
    NORN_I16 = 5,
    NORN_I32 = 6,
    NORN_I64 = 7,
    NORN_STRING = 8, ///< each element is a norn_string; data borrowed
    NORN_BOOL = 9,   ///< one byte, 0 or 1
    NORN_F16 = 10,
    NORN_F64 = 11,
    NORN_U32 = 12,
    NORN_U64 = 13,
    NORN_C64 = 14,
    NORN_C128 = 15,
    NORN_BF16 = 16,
    NORN_F8E4M3FN = 17,
    NORN_F8E4M3FNUZ = 18,
    NORN_F8E5M2 = 19,
    NORN_F8E5M2FNUZ = 20,
    NORN_U4 = 21, ///< two to a byte, low nibble first
    NORN_I4 = 22,
    NORN_F4E2M1 = 23,
    NORN_F8E8M0 = 24,
    NORN_U2 = 25, ///< four to a byte
    NORN_I2 = 26,
    NORN_DTYPE_COUNT
} norn_dtype;

/// ONNX values that are no tensors have a type too: these bits on the element type
/// of the tensors that they hold. `NORN_SEQUENCE | NORN_F32` is a sequence of float32
/// tensors, both bits an optional sequence. Such a value is a view of rank 1 whose
/// dim counts bytes; tensor/sequence.h reads it.
enum { NORN_SEQUENCE = 0x40, NORN_OPTIONAL = 0x80 };

enum { NORN_MAX_RANK = 8 };

typedef struct norn_string {
    const char *bytes;
    size_t count;
} norn_string;

/// A tensor somewhere in memory. Row-major.
///
/// `row_stride` is the distance in elements between consecutive rows, a row being
/// the innermost dimension; 0 means dense. Only kernels whose operator is marked
/// NORN_OP_STRIDED see anything but 0.
/// Memory   `data` is borrowed. NULL data with rank 0 and dtype NONE is an omitted optional input.
typedef struct norn_view {
    norn_dtype dtype;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    int64_t row_stride;
    void *data;
} norn_view;

/// "FP32", "INT64", "BYTES", …: the names of the Open Inference Protocol; "NONE" if it has none.
NORN_API const char *norn_dtype_kserve_name(norn_dtype dtype);

/// "float32", "int64", … as numpy and ONNX print them.
NORN_API const char *norn_dtype_name(norn_dtype dtype);

#endif
