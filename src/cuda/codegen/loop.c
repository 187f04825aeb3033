/// The loop dims of a program, merged where every operand treats neighbours alike.
#include "cuda/codegen/codegen.h"

void norn_cuda_loop_of(const norn_scalar_program *program, int32_t rank, bool split_last,
                       norn_cuda_loop *loop) {
    *loop = (norn_cuda_loop){0};
    for (int32_t d = 0; d < rank; d++) {
        bool join = loop->count > 0 && !(split_last && d == rank - 1);
        for (uint32_t i = 0; join && i < program->load_count; i++)
            join = program->loads[i].broadcast[d] == program->loads[i].broadcast[d - 1];
        if (!join) {
            for (uint32_t i = 0; i < program->load_count; i++)
                loop->repeats[i][loop->count] = program->loads[i].broadcast[d];
            loop->begin[loop->count++] = d;
        }
        loop->end[loop->count - 1] = d + 1;
    }
}

void norn_cuda_loop_dims(const norn_cuda_loop *loop, const int64_t *dims, int64_t *merged) {
    for (int32_t i = 0; i < loop->count; i++) {
        merged[i] = 1;
        for (int32_t d = loop->begin[i]; d < loop->end[i]; d++) merged[i] *= dims[d];
    }
}

void norn_cuda_print_indices(norn_buffer *out, const norn_cuda_loop *loop, const char *index,
                             const char *dims) {
    if (loop->count < 2) {
        if (loop->count == 1) norn_buffer_format(out, "    const I i0 = %s;\n", index);
        return;
    }
    norn_buffer_format(out, "    I t = %s;\n", index);
    for (int32_t i = loop->count - 1; i > 0; i--)
        norn_buffer_format(out, "    const I i%d = t %% (I)a.%s[%d]; t /= (I)a.%s[%d];\n", i, dims,
                           i, dims, i);
    norn_buffer_text(out, "    const I i0 = t;\n");
}

void norn_cuda_print_offset(norn_buffer *out, const norn_cuda_loop *loop, uint32_t load,
                            const char *dims) {
    int32_t kept = 0;
    for (int32_t i = 0; i < loop->count; i++) kept += !loop->repeats[load][i];
    if (kept == 0) {
        norn_buffer_text(out, "0");
        return;
    }
    // Horner over the merged dims in which the operand does not repeat.
    for (int32_t i = 1; i < kept; i++) norn_buffer_text(out, "(");
    bool first = true;
    for (int32_t i = 0; i < loop->count; i++) {
        if (loop->repeats[load][i]) continue;
        if (first)
            norn_buffer_format(out, "i%d", i);
        else
            norn_buffer_format(out, " * (I)a.%s[%d] + i%d)", dims, i, i);
        first = false;
    }
}
