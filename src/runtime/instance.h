/// One instance: a frame with its threads, staging memory and device stream. One thread at a time.
#ifndef NORN_RUNTIME_INSTANCE_H
#define NORN_RUNTIME_INSTANCE_H

#include "norn/session.h"
#include "plan/plan.h"
#include "runtime/device_run.h"
#include "runtime/frame.h"
#include "runtime/table_set.h"
#include "runtime/trace.h"

/// Where callers put one input. Grows with what they give, like the frame's memory.
typedef struct norn_staging {
    void *memory;
    size_t bytes, recent_bytes; ///< recent: most since the last trim
} norn_staging;

/// Runs between looks at whether memory was too much. Few: what one large request took is back soon
/// after it; and enough that a size which comes now and then does not grow memory each time.
enum { NORN_TRIM_EVERY = 64 };

struct norn_instance {
    norn_session *session;
    const norn_plan *plan;
    norn_alloc alloc;
    norn_run_room room;
    struct norn_gather *gather; ///< made by the first run whose tables are not all in memory
    norn_frame *frame;
    norn_view *given; ///< inputs as the caller placed them
    bool *is_given;
    norn_view *outputs; ///< of the last run, dims as the plan has them
    norn_view *answers; ///< the same as the caller sees them: squeezed where the model says so
    norn_staging *staging;
    norn_device_run *device_run; ///< NULL: a plan for the CPU
    norn_trace *trace;
    bool trace_on;
    uint32_t runs; ///< since the last trim
    norn_run_phases phases;
    norn_instance *next; ///< among the session's free ones
};

/// `options`: threads, instances and max_memory_bytes count.
norn_status norn_instance_create(norn_session *session, norn_resident *resident,
                                 const norn_session_options *options, norn_alloc alloc,
                                 norn_instance **out) NORN_NODISCARD;
void norn_instance_destroy(norn_instance *instance); ///< takes NULL
/// Forget the inputs of the last holder.
void norn_instance_clear(norn_instance *instance);
/// The holder is done: now and then, give back memory that was long not needed.
void norn_instance_settle(norn_instance *instance);
/// Run on `inputs`, wherever they are in host memory, with `tables`;
/// outputs are in instance->outputs.
norn_status norn_instance_execute(norn_instance *instance, const norn_view *inputs,
                                  const norn_table_set *tables) NORN_NODISCARD;

/// Input `index` is what the model says when nobody gives it; false when it says nothing.
bool norn_instance_fall_back(norn_instance *instance, uint32_t index);
/// Output `index` with the batch as dim 0 even where the caller would see it squeezed.
static inline const norn_view *norn_instance_rows(const norn_instance *instance, size_t index) {
    return &instance->outputs[index];
}

/// The session's tables now, retained.
norn_table_set *norn_session_pin_tables(norn_session *session);

#endif
