#include "ops/op.h"

#include <string.h>

static const norn_op_info infos[NORN_OP_COUNT] = {
    [NORN_OP_NONE] = {.id = NORN_OP_NONE, .name = "none", .domain = "norn"},
#define NORN_OP(op_name, op_domain, op_since, op_flags, op_shape, op_cost, op_cpu, op_cuda) \
    [NORN_OP_##op_name] = {.id = NORN_OP_##op_name,                                         \
                           .name = #op_name,                                                \
                           .domain = op_domain,                                             \
                           .since = op_since,                                               \
                           .flags = op_flags,                                               \
                           .shape = op_shape,                                               \
                           .cost = op_cost},
#include "ops/op_table.inc"
#undef NORN_OP
};

const norn_op_info *norn_op_info_of(norn_op_id op) {
    return &infos[(uint32_t)op < NORN_OP_COUNT ? op : NORN_OP_NONE];
}

const norn_op_info *norn_op_find(const char *domain, const char *name) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t i = 1; i < NORN_OP_COUNT; i++)
        if (strcmp(infos[i].name, name) == 0 && strcmp(infos[i].domain, domain) == 0)
            return &infos[i];
    return NULL;
}
