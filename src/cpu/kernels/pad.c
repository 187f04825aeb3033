// Pad and CenterCropPad: every output coordinate of an axis comes from one input coordinate, or
// from none (the constant), so a table an axis tells all.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

typedef struct pad_tables {
    int64_t *at[NORN_MAX_RANK]; ///< input coordinate of each output coordinate; -1: the constant
} pad_tables;

static norn_status take_tables(norn_call *call, pad_tables *tables) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    for (int32_t d = 0; d < out->rank; d++) {
        void *room;
        NORN_TRY(norn_cpu_scratch(call, out->dims[d], sizeof(int64_t), &room));
        tables->at[d] = room;
        for (int64_t i = 0; i < out->dims[d]; i++) tables->at[d][i] = i < in->dims[d] ? i : -1;
    }
    return NORN_OK;
}

static norn_status copy_by_tables(norn_call *call, const pad_tables *tables, const void *fill) {
    norn_view in, out;
    int64_t strides[NORN_MAX_RANK];
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    size_t size = norn_view_element_bytes(&out);
    int64_t elems = norn_view_elems(&out);
    norn_strided_dense(in.rank, in.dims, strides);
    if (elems == 0) return NORN_OK;
    if (out.rank == 0) {
        memcpy(out.data, in.data, size);
        return NORN_OK;
    }
    int64_t columns = out.dims[out.rank - 1];
    const int64_t *last = tables->at[out.rank - 1];
    for (int64_t row = 0; row < elems / columns; row++) {
        int64_t rest = row, base = 0;
        bool outside = false;
        for (int32_t d = out.rank - 2; d >= 0; d--) {
            int64_t from = tables->at[d][rest % out.dims[d]];
            rest /= out.dims[d];
            outside |= from < 0;
            base += from * strides[d];
        }
        char *to = (char *)out.data + (size_t)(row * columns) * size;
        for (int64_t c = 0; c < columns; c++) {
            const char *from = fill;
            if (!outside && last[c] >= 0)
                from = (const char *)in.data + (size_t)(base + last[c]) * size;
            memcpy(to + (size_t)c * size, from, size);
        }
    }
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

/// The coordinate that `at`, outside [0, n), stands for; -1 when it is the constant. n > 0.
static int64_t outside(const char *mode, int64_t at, int64_t n) {
    if (strcmp(mode, "edge") == 0) return at < 0 ? 0 : n - 1;
    if (strcmp(mode, "wrap") == 0) return ((at % n) + n) % n;
    if (strcmp(mode, "reflect") == 0) {
        int64_t period = n > 1 ? 2 * (n - 1) : 1;
        at = ((at % period) + period) % period;
        return at < n ? at : period - at;
    }
    return -1;
}

norn_status norn_cpu_pad(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const int64_t *pads, *axes;
    const char *mode = norn_attr_string(call->attrs, "mode", "constant");
    uint8_t zeros[16] = {0};
    pad_tables tables;
    NORN_TRY(norn_input_i64(call, 1, &pads));
    NORN_TRY(norn_input_i64(call, 3, &axes));
    NORN_TRY(take_tables(call, &tables));
    int64_t count = axes ? norn_view_elems(&call->in[3]) : in->rank;
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes ? axes[i] : i;
        if (axis < 0) axis += in->rank;
        int64_t n = in->dims[axis];
        for (int64_t k = 0; k < out->dims[axis]; k++) {
            int64_t at = k - pads[i];
            bool inside = at >= 0 && at < n;
            tables.at[axis][k] = inside ? at : n > 0 ? outside(mode, at, n) : -1;
        }
    }
    const void *fill = zeros;
    if (norn_call_has(call, 2) && norn_view_elems(&call->in[2]) == 1) {
        norn_view value;
        NORN_TRY(norn_unpack(call, &call->in[2], &value));
        fill = value.data;
    }
    return copy_by_tables(call, &tables, fill);
}

norn_status norn_cpu_center_crop_pad(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const uint8_t zeros[16] = {0};
    pad_tables tables;
    NORN_TRY(take_tables(call, &tables));
    for (int32_t d = 0; d < in->rank; d++) {
        int64_t more = out->dims[d] - in->dims[d];
        int64_t begin = more >= 0 ? more / 2 : -(-more / 2); // both round towards the beginning
        for (int64_t k = 0; k < out->dims[d]; k++) {
            int64_t at = k - begin;
            tables.at[d][k] = at >= 0 && at < in->dims[d] ? at : -1;
        }
    }
    return copy_by_tables(call, &tables, zeros);
}
