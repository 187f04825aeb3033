#include "tensor/dtype.h"

#include "base/checked.h"

typedef enum dtype_class {
    CLASS_NONE,
    CLASS_FLOAT,
    CLASS_SIGNED,
    CLASS_UNSIGNED,
    CLASS_OTHER
} dtype_class;

/// The type's own name, then those of what holds tensors of it, by the bits of norn/tensor.h.
#define NAMED(name) \
    { name, "sequence of " name, "optional " name, "optional sequence of " name }

static const struct {
    const char *names[4], *kserve;
    uint32_t bits;
    dtype_class kind;
} facts[NORN_DTYPE_COUNT] = {
    [NORN_DTYPE_NONE] = {NAMED("none"), "NONE", 0, CLASS_NONE},
    [NORN_F32] = {NAMED("float32"), "FP32", 32, CLASS_FLOAT},
    [NORN_U8] = {NAMED("uint8"), "UINT8", 8, CLASS_UNSIGNED},
    [NORN_I8] = {NAMED("int8"), "INT8", 8, CLASS_SIGNED},
    [NORN_U16] = {NAMED("uint16"), "UINT16", 16, CLASS_UNSIGNED},
    [NORN_I16] = {NAMED("int16"), "INT16", 16, CLASS_SIGNED},
    [NORN_I32] = {NAMED("int32"), "INT32", 32, CLASS_SIGNED},
    [NORN_I64] = {NAMED("int64"), "INT64", 64, CLASS_SIGNED},
    [NORN_STRING] = {NAMED("string"), "BYTES", 8 * sizeof(norn_string), CLASS_OTHER},
    [NORN_BOOL] = {NAMED("bool"), "BOOL", 8, CLASS_OTHER},
    [NORN_F16] = {NAMED("float16"), "FP16", 16, CLASS_FLOAT},
    [NORN_F64] = {NAMED("float64"), "FP64", 64, CLASS_FLOAT},
    [NORN_U32] = {NAMED("uint32"), "UINT32", 32, CLASS_UNSIGNED},
    [NORN_U64] = {NAMED("uint64"), "UINT64", 64, CLASS_UNSIGNED},
    [NORN_C64] = {NAMED("complex64"), "NONE", 64, CLASS_OTHER},
    [NORN_C128] = {NAMED("complex128"), "NONE", 128, CLASS_OTHER},
    [NORN_BF16] = {NAMED("bfloat16"), "BF16", 16, CLASS_FLOAT},
    [NORN_F8E4M3FN] = {NAMED("float8e4m3fn"), "NONE", 8, CLASS_FLOAT},
    [NORN_F8E4M3FNUZ] = {NAMED("float8e4m3fnuz"), "NONE", 8, CLASS_FLOAT},
    [NORN_F8E5M2] = {NAMED("float8e5m2"), "NONE", 8, CLASS_FLOAT},
    [NORN_F8E5M2FNUZ] = {NAMED("float8e5m2fnuz"), "NONE", 8, CLASS_FLOAT},
    [NORN_U4] = {NAMED("uint4"), "NONE", 4, CLASS_UNSIGNED},
    [NORN_I4] = {NAMED("int4"), "NONE", 4, CLASS_SIGNED},
    [NORN_F4E2M1] = {NAMED("float4e2m1"), "NONE", 4, CLASS_FLOAT},
    [NORN_F8E8M0] = {NAMED("float8e8m0"), "NONE", 8, CLASS_FLOAT},
    [NORN_U2] = {NAMED("uint2"), "NONE", 2, CLASS_UNSIGNED},
    [NORN_I2] = {NAMED("int2"), "NONE", 2, CLASS_SIGNED},
};

/// An index that is safe for any value, since dtypes come from files.
static size_t row(norn_dtype dtype) {
    return (uint32_t)dtype < NORN_DTYPE_COUNT ? (size_t)dtype : NORN_DTYPE_NONE;
}

bool norn_dtype_is_known(uint64_t value) {
    uint64_t element = value & ~(uint64_t)(NORN_SEQUENCE | NORN_OPTIONAL);
    return element > NORN_DTYPE_NONE && element < NORN_DTYPE_COUNT;
}

const char *norn_dtype_name(norn_dtype dtype) {
    if (!norn_dtype_is_known(dtype)) return facts[NORN_DTYPE_NONE].names[0];
    return facts[norn_dtype_element(dtype)].names[(uint32_t)dtype >> 6];
}

const char *norn_dtype_kserve_name(norn_dtype dtype) {
    return facts[row(dtype)].kserve;
}

norn_dtype norn_dtype_from_kserve(const char *name) {
    if (strcmp(name, "NONE") == 0) return NORN_DTYPE_NONE;
    for (size_t i = 0; i < NORN_DTYPE_COUNT; i++)
        if (strcmp(facts[i].kserve, name) == 0) return (norn_dtype)i;
    return NORN_DTYPE_NONE;
}

uint32_t norn_dtype_bits(norn_dtype dtype) {
    if (norn_dtype_holds_tensors(dtype)) return 8;
    return facts[row(dtype)].bits;
}

bool norn_dtype_is_half(norn_dtype dtype) {
    return dtype == NORN_F16 || dtype == NORN_BF16;
}

bool norn_dtype_is_float(norn_dtype dtype) {
    return facts[row(dtype)].kind == CLASS_FLOAT;
}

bool norn_dtype_is_integer(norn_dtype dtype) {
    dtype_class kind = facts[row(dtype)].kind;
    return kind == CLASS_SIGNED || kind == CLASS_UNSIGNED;
}

bool norn_dtype_is_signed(norn_dtype dtype) {
    dtype_class kind = facts[row(dtype)].kind;
    return kind == CLASS_SIGNED || (kind == CLASS_FLOAT && dtype != NORN_F8E8M0);
}

bool norn_dtype_bytes(norn_dtype dtype, int64_t elems, size_t *bytes) {
    size_t bits = norn_dtype_bits(dtype);
    if (elems < 0 || bits == 0) return false;
    if (bits >= 8) return norn_size_mul((size_t)elems, bits / 8, bytes);
    size_t per_byte = 8 / bits;
    *bytes = (size_t)elems / per_byte + ((size_t)elems % per_byte != 0);
    return true;
}
