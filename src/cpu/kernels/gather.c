// Gather, GatherElements, GatherND. An index outside its axis is an error that names the value.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <stdatomic.h>
#include <string.h>

typedef struct gather_job {
    const char *from;
    char *to;
    const void *indices;
    bool wide;                ///< int64 indices
    int64_t picks, axis, run; ///< indices; length of the axis; bytes that go together
    _Atomic int64_t bad;      ///< position of an index outside, or -1
} gather_job;

static int64_t index_at(const gather_job *job, int64_t i) {
    return job->wide ? ((const int64_t *)job->indices)[i] : ((const int32_t *)job->indices)[i];
}

static void gather_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    gather_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t pick = i % job->picks, index = index_at(job, pick);
        if (index < 0) index += job->axis;
        if (index < 0 || index >= job->axis) {
            atomic_store_explicit(&job->bad, pick, memory_order_relaxed);
            return;
        }
        const char *from = job->from + (i / job->picks * job->axis + index) * job->run;
        char *to = job->to + i * job->run;
        switch (job->run) { // constant sizes are single moves
        case 4:
            memcpy(to, from, 4);
            break;
        case 8:
            memcpy(to, from, 8);
            break;
        default:
            memcpy(to, from, (size_t)job->run);
        }
    }
}

norn_status norn_cpu_gather(norn_call *call) {
    norn_view in, out;
    int32_t axis = norn_call_axis(call, 0, call->in[0].rank);
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    gather_job job = {.from = in.data,
                      .to = out.data,
                      .indices = call->in[1].data,
                      .wide = call->in[1].dtype == NORN_I64,
                      .picks = norn_view_elems(&call->in[1]),
                      .axis = in.dims[axis],
                      .run = norn_dims_product(in.dims, axis + 1, in.rank) *
                             (int64_t)norn_view_element_bytes(&in),
                      .bad = -1};
    int64_t outer = norn_dims_product(in.dims, 0, axis);
    if (outer * job.picks * job.run !=
        norn_view_elems(&out) * (int64_t)norn_view_element_bytes(&in))
        return norn_call_misfit(call, 1);
    if (job.picks == 0 || job.run == 0 || outer == 0) return NORN_OK;
    int64_t grain = 65536 / job.run;
    norn_pool_loop(call->pool, outer * job.picks, grain > 1 ? grain : 1, gather_range, &job);
    if (job.bad >= 0) return norn_index_outside(index_at(&job, job.bad), job.axis);
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_gather_elements(norn_call *call) {
    norn_view in, out;
    int32_t rank = call->in[0].rank, axis = norn_call_axis(call, 0, rank);
    const int64_t *indices;
    int64_t strides[NORN_MAX_RANK];
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    NORN_TRY(norn_input_i64(call, 1, &indices));
    for (int32_t d = 0; d < rank; d++)
        if (d != axis && out.dims[d] > in.dims[d]) return norn_call_misfit(call, 1);
    if (!norn_view_same_shape(&call->in[1], &call->out[0])) return norn_call_misfit(call, 1);
    norn_strided_dense(rank, in.dims, strides);
    size_t size = norn_view_element_bytes(&in);
    int64_t elems = norn_view_elems(&out);
    for (int64_t i = 0; i < elems; i++) {
        int64_t rest = i, from = 0, index = indices[i];
        NORN_TRY(norn_index_in(&index, in.dims[axis]));
        for (int32_t d = rank - 1; d >= 0; d--) {
            from += (d == axis ? index : rest % out.dims[d]) * strides[d];
            rest /= out.dims[d];
        }
        memcpy((char *)out.data + (size_t)i * size, (const char *)in.data + (size_t)from * size,
               size);
    }
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_gather_nd(norn_call *call) {
    norn_view in, out;
    const norn_view *at = &call->in[1];
    int64_t batch_dims = norn_attr_i64(call->attrs, "batch_dims", 0),
            depth = at->dims[at->rank - 1];
    const int64_t *indices;
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    NORN_TRY(norn_operand_i64(call, at, &indices));
    int32_t first = (int32_t)batch_dims;
    for (int32_t d = 0; d < first; d++)
        if (in.dims[d] != at->dims[d]) return norn_call_misfit(call, 1);
    int64_t batches = norn_dims_product(in.dims, 0, first),
            block = norn_dims_product(in.dims, first, in.rank);
    int64_t run = norn_dims_product(in.dims, first + (int32_t)depth, in.rank);
    int64_t picks = norn_dims_product(at->dims, first, at->rank - 1);
    size_t size = norn_view_element_bytes(&in);
    if (batches * picks * run != norn_view_elems(&out)) return norn_call_misfit(call, 1);
    for (int64_t i = 0; i < batches * picks; i++) {
        int64_t from = 0;
        for (int32_t d = 0; d < depth; d++) {
            int64_t index = indices[i * depth + d], n = in.dims[first + d];
            NORN_TRY(norn_index_in(&index, n));
            from = from * n + index;
        }
        memcpy((char *)out.data + (size_t)(i * run) * size,
               (const char *)in.data + (size_t)(i / picks * block + from * run) * size,
               (size_t)run * size);
    }
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}
