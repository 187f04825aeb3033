#include "cpu/cpu_device.h"

#include "base/checked.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/isa.h"

typedef struct cpu_device {
    norn_device device;
    norn_alloc alloc;
} cpu_device;

static cpu_device *cpu_of(norn_device *self) {
    return (cpu_device *)self;
}

static const norn_kernel_fn kernels[NORN_OP_COUNT] = {
#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda) [NORN_OP_##name] = cpu,
#include "ops/op_table.inc"
#undef NORN_OP
};

norn_status norn_cpu_none(norn_call *call) {
    (void)call;
    return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no kernel for this operator");
}

norn_status norn_cpu_scratch(norn_call *call, int64_t count, size_t size, void **out) {
    size_t bytes;
    if (count < 0 || !norn_size_mul((size_t)count, size, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "its work space does not fit memory");
    return norn_call_scratch(call, bytes ? bytes : 1, out);
}

static bool takes(const norn_step_spec *spec) {
    switch ((int)spec->op) {
    case NORN_OP_Lookup:
        return norn_cpu_lookup_takes(spec);
    case NORN_OP_Interaction:
        return norn_cpu_interaction_takes(spec);
    case NORN_OP_GemmRegion:
        return norn_cpu_gemm_region_takes(spec);
    default:
        return true;
    }
}

static norn_kernel_fn cpu_kernel(const norn_target *self, const norn_step_spec *spec) {
    (void)self;
    norn_kernel_fn fn = spec->op < NORN_OP_COUNT ? kernels[spec->op] : NULL;
    return fn == norn_cpu_none || !takes(spec) ? NULL : fn;
}

/// Plans run on any x86-64: kernels choose their instruction set when they run.
static const char *cpu_stamp(const norn_target *self) {
    (void)self;
#if defined(__x86_64__)
    return "cpu x86-64";
#else
    return "cpu portable";
#endif
}

static norn_status cpu_prepare(norn_device *self, const norn_step_spec *spec, void **state) {
    (void)self, (void)spec;
    *state = NULL;
    return NORN_OK;
}

static void cpu_unprepare(norn_device *self, const norn_step_spec *spec, void *state) {
    (void)self, (void)spec, (void)state;
}

static norn_status cpu_memory_create(norn_device *self, norn_memory_kind kind, size_t bytes,
                                     void **out) {
    (void)kind;
    return norn_alloc_bytes(cpu_of(self)->alloc, bytes, out);
}

static void cpu_memory_destroy(norn_device *self, norn_memory_kind kind, void *memory) {
    (void)kind;
    norn_free(cpu_of(self)->alloc, memory);
}

static norn_status cpu_table_bind(norn_device *self, const norn_table_binding *host,
                                  norn_table_binding *out) {
    (void)self;
    *out = *host;
    return NORN_OK;
}

static void cpu_table_unbind(norn_device *self, norn_table_binding *table) {
    (void)self, (void)table;
}

static void cpu_destroy(norn_device *self) {
    norn_free(cpu_of(self)->alloc, self);
}

static const norn_target_ops cpu_target = {.kind = "cpu", .kernel = cpu_kernel, .stamp = cpu_stamp};

static const norn_device_ops cpu_ops = {
    .prepare = cpu_prepare,
    .unprepare = cpu_unprepare,
    .memory_create = cpu_memory_create,
    .memory_destroy = cpu_memory_destroy,
    .table_bind = cpu_table_bind,
    .table_unbind = cpu_table_unbind,
    .destroy = cpu_destroy,
};

norn_status norn_cpu_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    cpu_device *device;
    (void)ordinal;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &device));
    device->device = (norn_device){&cpu_ops, 0, true, {&cpu_target}};
    device->alloc = alloc;
    *out = &device->device;
    return NORN_OK;
}

const norn_device_kind norn_cpu_kind = {.name = "cpu", .open = norn_cpu_open, .host = true};
