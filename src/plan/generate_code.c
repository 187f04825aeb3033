#include "base/memory.h"
#include "plan/plan.h"

#include <string.h>

norn_status norn_plan_generate_code(norn_plan *plan, const norn_compile_options *options) {
    norn_program *program = plan->program;
    const norn_target *target = norn_plan_target(plan);
    norn_arena scratch;
    norn_status status = NORN_OK;
    if (!target || !target->ops->codegen) return NORN_OK;
    norn_arena_init(&scratch, plan->alloc, 1 << 14);
    int64_t *max;
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&plan->arena, (size_t)program->step_count + 1, &plan->codes));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&scratch, (size_t)plan->graph->symbols.count + 1, &max));
    norn_symbols_at_max(plan->graph, max);
    for (uint32_t i = 0; i < program->step_count; i++) {
        norn_step *step = &program->steps[i];
        if (step->kind != NORN_STEP_KERNEL || step->place == NORN_HOST) continue;
        norn_view *views;
        norn_span made = {0};
        void *kept;
        NORN_TRY_DONE(
            NORN_TAKE_ARRAY(&scratch, (size_t)step->in_count + step->out_count + 1, &views));
        norn_step_spec spec = norn_node_spec(step->node, max, plan->precision, views);
        status = target->ops->codegen(target, &spec, plan->alloc, &made);
        if (status != NORN_OK) {
            norn_note("node '%s'", step->node->name);
            goto done;
        }
        if (made.count == 0) continue;
        status = norn_arena_take(&plan->arena, made.count, 1, NORN_HOST_ALIGN, &kept);
        if (status == NORN_OK) {
            memcpy(kept, made.bytes, made.count);
            step->code = norn_span_of(kept, made.count);
            plan->codes[plan->code_count++] = (norn_plan_code){step->node_index, step->code};
        }
        norn_free(plan->alloc, (void *)(uintptr_t)made.bytes);
        if (status != NORN_OK) goto done;
        if (options && options->progress)
            options->progress(options->progress_context, "generating code",
                              (double)(i + 1) / program->step_count);
    }
done:
    norn_arena_deinit(&scratch);
    return status;
}
