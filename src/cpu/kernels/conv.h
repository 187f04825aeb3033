/// The geometry of a convolution, shared by the float, integer and deformable kernels.
#ifndef NORN_CPU_CONV_H
#define NORN_CPU_CONV_H

#include "cpu/kernels/operand.h"
#include "ops/window.h"

typedef struct norn_conv {
    norn_window window; ///< padding resolved
    int64_t batch, channels, filters, groups;
    int64_t in[NORN_WINDOW_RANK_MAX], out[NORN_WINDOW_RANK_MAX]; ///< spatial dims
    int64_t in_plane, out_plane, taps;
} norn_conv;

/// x [N, C, d...], w [M, C / group, k...], y [N, M, o...].
/// INVALID_ARGUMENT when they do not go together.
norn_status norn_conv_describe(norn_call *call, const norn_view *x, const norn_view *w,
                               const norn_view *y, norn_conv *out) NORN_NODISCARD;
/// Position in an input plane that tap `tap` of output position `to` reads; -1 in the padding.
int64_t norn_conv_source(const norn_conv *conv, int64_t tap, int64_t to);
/// All of them, [taps, out_plane], in scratch.
norn_status norn_conv_sources(norn_call *call, const norn_conv *conv,
                              const int64_t **out) NORN_NODISCARD;

#endif
