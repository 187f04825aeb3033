#include "conformance/case_value.h"

#include "base/wire.h"
#include "onnx/tensor_proto.h"
#include "tensor/dtype.h"
#include "tensor/sequence.h"

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
    norn_wire_reader wire = {bytes};
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
    norn_wire_reader wire = {bytes};
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
