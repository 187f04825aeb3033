/// norn/plan.h's ways to a plan: the devices of libnorn, then the compiler or the reader of files.
#include "api/backends.h"
#include "compile/compile.h"
#include "plan/plan_load.h"

norn_status norn_plan_compile(const norn_model *model, const norn_compile_options *options,
                              norn_alloc alloc, norn_plan **out) {
    norn_backends_offer();
    return norn_compile_plan(model, options, alloc, out);
}

norn_status norn_plan_load(const char *path, norn_alloc alloc, norn_plan **out) {
    norn_backends_offer();
    return norn_plan_read(path, alloc, out);
}
