// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

/// Inputs [N, C, d...] of log probabilities and [N, d...] of classes.
typedef struct loss_job {
    norn_call *call;
    const double *log_prob;
    const double *weights; ///< NULL: ones
    int64_t batch, classes, plane;
} loss_job;

static norn_status loss_of(const loss_job *job) {
    norn_call *call = job->call;
    const norn_view *target = &call->in[1], *out = &call->out[0];
    const norn_attr *ignored = norn_attr_find(call->attrs, "ignore_index");
    const char *reduction = norn_attr_string(call->attrs, "reduction", "mean");
    double sum = 0, weight_sum = 0;
    for (int64_t i = 0; i < job->batch * job->plane; i++) {
        int64_t c = norn_element_i64(target->dtype, target->data, i);
        double loss = 0, weight = 0;
        if (!ignored || c != ignored->i64) {
            if (c < 0 || c >= job->classes) return norn_index_outside(c, job->classes);
            weight = job->weights ? job->weights[c] : 1;
            loss =
                -job->log_prob[(i / job->plane * job->classes + c) * job->plane + i % job->plane] *
                weight;
        }
        sum += loss;
        weight_sum += weight;
        if (reduction[0] == 'n' && norn_call_wants(call, 0))
            norn_element_set_f64(out->dtype, out->data, i, loss);
    }
    if (reduction[0] == 'n' || !norn_call_wants(call, 0)) return NORN_OK;
    norn_element_set_f64(out->dtype, out->data, 0,
                         strcmp(reduction, "sum") == 0 ? sum : sum / weight_sum);
    return NORN_OK;
}

static norn_status describe(norn_call *call, loss_job *job) {
    const norn_view *in = &call->in[0];
    *job = (loss_job){.call = call,
                      .batch = in->dims[0],
                      .classes = in->dims[1],
                      .plane = norn_dims_product(in->dims, 2, in->rank)};
    NORN_TRY(norn_input_f64(call, 2, &job->weights));
    if (job->weights && norn_view_elems(&call->in[2]) != job->classes)
        return norn_call_misfit(call, 2);
    if (norn_view_elems(&call->in[1]) != job->batch * job->plane) return norn_call_misfit(call, 1);
    return NORN_OK;
}

norn_status norn_cpu_nll_loss(norn_call *call) {
    loss_job job;
    NORN_TRY(describe(call, &job));
    NORN_TRY(norn_input_f64(call, 0, &job.log_prob));
    return loss_of(&job);
}

norn_status norn_cpu_softmax_loss(norn_call *call) {
    loss_job job;
    const double *x;
    void *room;
    NORN_TRY(describe(call, &job));
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_cpu_scratch(call, norn_view_elems(&call->in[0]), sizeof(double), &room));
    double *log_prob = room;
    for (int64_t r = 0; r < job.batch * job.plane; r++) {
        int64_t base = r / job.plane * job.classes * job.plane + r % job.plane;
        double most = -(double)INFINITY, sum = 0;
        for (int64_t c = 0; c < job.classes; c++) most = fmax(most, x[base + c * job.plane]);
        for (int64_t c = 0; c < job.classes; c++) sum += exp(x[base + c * job.plane] - most);
        for (int64_t c = 0; c < job.classes; c++)
            log_prob[base + c * job.plane] = x[base + c * job.plane] - most - log(sum);
    }
    job.log_prob = log_prob;
    if (norn_call_wants(call, 1)) {
        const norn_view *out = &call->out[1];
        int64_t elems = norn_view_elems(out);
        for (int64_t i = 0; i < elems; i++)
            norn_element_set_f64(out->dtype, out->data, i, log_prob[i]);
    }
    return loss_of(&job);
}
