#include "conformance/case_value.h"

#include "base/wire.h"
#include "onnx/tensor_proto.h"
#include "tensor/dtype.h"
#include "tensor/sequence.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

enum { TENSORS_MAX = 64 };

typedef struct value_reader {
    norn_arena *arena;
    norn_view tensors[TENSORS_MAX];
    uint32_t count;
    bool present;
} value_reader;

static norn_status add_tensor(value_reader *r, norn_span bytes) {
    if (r->count == TENSORS_MAX)
        return norn_fail(NORN_UNIMPLEMENTED, "a case's sequence of more than %d tensors",
                         TENSORS_MAX);
    r->present = true;
    return norn_tensor_proto_decode(bytes, NULL, r->arena, &r->tensors[r->count++], NULL);
}

/// SequenceProto: tensor_values = 3.
static norn_status read_sequence(value_reader *r, norn_span bytes) {
    norn_wire_reader wire = {.rest = bytes};
    norn_wire_field field;
    bool more;
    r->present = true;
    for (;;) {
        NORN_TRY(norn_wire_next(&wire, &field, &more));
        if (!more) return NORN_OK;
        if (field.number == 3) NORN_TRY(add_tensor(r, field.bytes));
    }
}

/// OptionalProto: tensor_value = 3, sequence_value = 5; neither when it is absent.
static norn_status read_optional(value_reader *r, norn_span bytes) {
    norn_wire_reader wire = {.rest = bytes};
    norn_wire_field field;
    bool more;
    for (;;) {
        NORN_TRY(norn_wire_next(&wire, &field, &more));
        if (!more) return NORN_OK;
        if (field.number == 3) NORN_TRY(add_tensor(r, field.bytes));
        if (field.number == 5) NORN_TRY(read_sequence(r, field.bytes));
    }
}

norn_status case_value_read(norn_span bytes, norn_dtype dtype, norn_arena *arena, norn_view *out) {
    value_reader r = {.arena = arena};
    size_t size;
    if (!norn_dtype_holds_tensors(dtype))
        return norn_tensor_proto_decode(bytes, NULL, arena, out, NULL);
    if (dtype & NORN_OPTIONAL)
        NORN_TRY(read_optional(&r, bytes));
    else
        NORN_TRY(read_sequence(&r, bytes));
    NORN_TRY(norn_sequence_bytes(r.tensors, r.count, &size));
    *out = norn_view_of(dtype, 1, &(int64_t){(int64_t)size}, NULL);
    NORN_TRY(norn_arena_take(arena, size, 1, 64, &out->data));
    norn_sequence_write(out->data, r.tensors, r.count, r.present);
    return NORN_OK;
}

// ---- comparing

static bool same_string(const norn_view *a, const norn_view *b, int64_t i) {
    const norn_string *x = (const norn_string *)a->data + i, *y = (const norn_string *)b->data + i;
    return x->count == y->count && (x->count == 0 || memcmp(x->bytes, y->bytes, x->count) == 0);
}

bool case_value_same(const norn_view *got, const norn_view *want, int64_t i,
                     case_tolerance tolerance, double *most) {
    norn_dtype dtype = want->dtype;
    if (dtype == NORN_STRING) return same_string(got, want, i);
    bool complex = dtype == NORN_C64 || dtype == NORN_C128;
    if (!complex && !norn_dtype_is_float(dtype))
        return norn_element_i64(dtype, got->data, i) == norn_element_i64(dtype, want->data, i);
    for (int part = 0; part < (complex ? 2 : 1); part++) {
        norn_dtype real = dtype == NORN_C64 ? NORN_F32 : dtype == NORN_C128 ? NORN_F64 : dtype;
        int64_t at = complex ? 2 * i + part : i;
        double a = norn_element_f64(real, got->data, at),
               b = norn_element_f64(real, want->data, at);
        if (isnan(a) && isnan(b)) continue;
        if (a == b) continue;
        double error = fabs(a - b);
        if (!(error <= *most)) *most = error;
        if (!(error <= tolerance.atol + tolerance.rtol * fabs(b))) return false;
    }
    return true;
}

bool case_tensor_same(const norn_view *got, const norn_view *want, case_tolerance tolerance) {
    double most = 0;
    bool same = got->dtype == want->dtype && norn_view_same_shape(got, want);
    for (int64_t i = 0; same && i < norn_view_elems(want); i++)
        same = case_value_same(got, want, i, tolerance, &most);
    return same;
}
