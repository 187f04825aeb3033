/// The metrics page, in Prometheus' text format. Names that begin with nv_ are those that Triton's
/// clients and dashboards read; Norn's own begin with norn_.
#ifndef NORN_SERVE_OBSERVE_METRICS_H
#define NORN_SERVE_OBSERVE_METRICS_H

#include "base/wire.h"
#include "serve/service.h"

void norn_metrics_put(norn_service *service, norn_buffer *out);

#endif
