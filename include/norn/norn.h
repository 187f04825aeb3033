/// Everything public, for those who want one include.
#ifndef NORN_NORN_H
#define NORN_NORN_H

#include "norn/alloc.h"
#include "norn/model.h"
#include "norn/plan.h"
#include "norn/server.h"
#include "norn/session.h"
#include "norn/status.h"
#include "norn/store.h"
#include "norn/tensor.h"

#define NORN_VERSION "0.1.0"

#endif
