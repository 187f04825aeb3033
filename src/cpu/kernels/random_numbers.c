// RandomNormal(Like), RandomUniform(Like), Bernoulli, Multinomial. A node with a seed gives the
// same numbers in every run; without one, others each time.
#include "base/clock.h"
#include "base/hash.h"
#include "cpu/kernels/operand.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static norn_random generator(const norn_call *call) {
    static _Atomic uint64_t runs;
    const norn_attr *seed = norn_attr_find(call->attrs, "seed");
    uint64_t state;
    norn_random random;
    if (seed) {
        uint32_t bits;
        memcpy(&bits, &seed->f32, sizeof bits);
        state = bits;
    } else {
        state = norn_hash_u64((uint64_t)norn_clock_now_ns()) ^
                atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
    }
    norn_random_init(&random, state);
    return random;
}

static double normal(norn_random *random) {
    double u = 1 - norn_random_unit(random), v = norn_random_unit(random);
    return sqrt(-2 * log(u)) * cos(6.28318530717958647692 * v);
}

norn_status norn_cpu_random(norn_call *call) {
    const norn_view *out = &call->out[0];
    norn_random random = generator(call);
    bool uniform = call->op == NORN_OP_RandomUniform || call->op == NORN_OP_RandomUniformLike;
    double low = (double)norn_attr_f32(call->attrs, "low", 0),
           high = (double)norn_attr_f32(call->attrs, "high", 1);
    double mean = (double)norn_attr_f32(call->attrs, "mean", 0),
           scale = (double)norn_attr_f32(call->attrs, "scale", 1);
    int64_t elems = norn_view_elems(out);
    for (int64_t i = 0; i < elems; i++) {
        double value = uniform ? low + norn_random_unit(&random) * (high - low)
                               : mean + scale * normal(&random);
        norn_element_set_f64(out->dtype, out->data, i, value);
    }
    return NORN_OK;
}

norn_status norn_cpu_bernoulli(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_random random = generator(call);
    int64_t elems = norn_view_elems(out);
    for (int64_t i = 0; i < elems; i++) {
        bool hit = norn_random_unit(&random) < norn_element_f64(in->dtype, in->data, i);
        norn_element_set_f64(out->dtype, out->data, i, hit);
    }
    return NORN_OK;
}

/// Classes drawn from unnormalised log probabilities.
norn_status norn_cpu_multinomial(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_random random = generator(call);
    const double *x;
    NORN_TRY(norn_input_f64(call, 0, &x));
    int64_t classes = in->dims[1], samples = out->dims[1];
    for (int64_t r = 0; r < in->dims[0]; r++) {
        double most = -(double)INFINITY, total = 0;
        for (int64_t c = 0; c < classes; c++) most = fmax(most, x[r * classes + c]);
        for (int64_t c = 0; c < classes; c++) total += exp(x[r * classes + c] - most);
        for (int64_t s = 0; s < samples; s++) {
            double left = norn_random_unit(&random) * total;
            int64_t c = 0;
            while (c + 1 < classes && (left -= exp(x[r * classes + c] - most)) >= 0) c++;
            norn_element_set_i64(out->dtype, out->data, r * samples + s, c);
        }
    }
    return NORN_OK;
}
