/// norn_cuda_check: kernels of the CUDA backend against float64 references on the CPU.
///
/// Each case draws fresh random inputs, poisons the outputs, guards every buffer on both sides,
/// runs the step as a session would (kernel, codegen, prepare, launch) and compares.
#ifndef NORN_TOOLS_CHECK_H
#define NORN_TOOLS_CHECK_H

#include "base/hash.h"
#include "cuda/backend.h"
#include "norn/plan.h"

#include <stdio.h>

enum { CHECK_INPUTS = 40, CHECK_OUTPUTS = 8 };

typedef struct checker {
    norn_device *device;
    norn_stream *stream;
    norn_random random;
    void *scratch; ///< device memory of the last kernel that asked for some
    int32_t passed, failed;
    double worst_ratio; ///< of the error over what is allowed
} checker;

typedef struct check_case {
    char label[96];
    uint16_t op;
    norn_attr attrs[4];
    uint32_t attr_count;
    norn_region region;
    norn_precision precision;
    norn_view in[CHECK_INPUTS]; ///< host data, owned
    bool constant[CHECK_INPUTS];
    uint32_t in_count;
    norn_view out[CHECK_OUTPUTS]; ///< host data after check_run, dense, owned
    uint32_t out_count;
    const norn_table_binding *tables;
    uint32_t table_count;
    /// When not NULL: may choose another way in the step's state before the run.
    norn_status (*prepared)(const void *wish, void *state);
    const void *wish;
    norn_status wanted; ///< what the run returns; outputs are not compared unless OK
} check_case;

/// What kernels read of bound tables: in device memory, the caller's to destroy.
norn_status check_views(checker *k, const norn_table_binding *tables, uint32_t count,
                        norn_table_view **out);

void check_init(check_case *c, uint16_t op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void check_free(check_case *c);
/// A random input: floats in [-1, 1), bools, or integers in [0, limit).
norn_view *check_input(checker *k, check_case *c, norn_dtype dtype, int32_t rank,
                       const int64_t *dims, int64_t limit);
/// An int64 vector of these values, constant.
norn_view *check_ints(check_case *c, const int64_t *values, int64_t count);
norn_view *check_output(check_case *c, norn_dtype dtype, int32_t rank, const int64_t *dims,
                        int64_t row_stride);
void check_attr_int(check_case *c, const char *name, int64_t value);
void check_attr_ints(check_case *c, const char *name, const int64_t *values, uint32_t count);

/// Run the case on the device. False: it failed, and said why.
bool check_run(checker *k, check_case *c);
/// Output `index` against `want`: the norm of the difference over the norm of `want` within
/// `tolerance`.
bool check_close(checker *k, const check_case *c, uint32_t index, const double *want,
                 double tolerance);
/// Both, and free.
void check_against(checker *k, check_case *c, const double *want, double tolerance);

/// For norn_call.host: scratch, from the checker of the current run.
extern const norn_call_host check_host;
void check_host_use(checker *k);

double *check_doubles(int64_t count); ///< zeroed, or the program ends
double check_uniform(checker *k);     ///< [-1, 1)
int64_t check_below(checker *k, int64_t limit);
static inline double check_f32(const norn_view *view, int64_t index) {
    return (double)((const float *)view->data)[index];
}

void check_device(checker *k);
void check_pointwise(checker *k);
void check_row_reduce(checker *k);
void check_gemm(checker *k);
void check_lookup(checker *k);
void check_interaction(checker *k);
void check_operators(checker *k);

/// `bias`, `relu`: the epilogue of a Linear layer; the program's arrays are static.
norn_scalar_program check_linear_epilogue(bool bias, bool relu);
/// Time DLRM as a chain of steps in one graph, by batch.
int check_dlrm(checker *k, norn_precision precision);

#endif
