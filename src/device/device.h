/// A device: where buffers live and steps run. The CPU is one; each CUDA GPU is one.
#ifndef NORN_DEVICE_DEVICE_H
#define NORN_DEVICE_DEVICE_H

#include "base/span.h"
#include "base/status.h"
#include "base/wire.h"
#include "kernel/target.h"
#include "norn/alloc.h"

#include <stddef.h>

typedef struct norn_device norn_device;
typedef struct norn_event norn_event;     ///< a point in a stream's time
typedef struct norn_capture norn_capture; ///< a recorded run of steps that can be launched again

typedef enum norn_memory_kind {
    NORN_MEMORY_DEVICE, ///< the device's own
    NORN_MEMORY_STAGING ///< host memory that the device copies from and to quickly (pinned)
} norn_memory_kind;

/// Devices implement this; `self` is theirs. All calls but noted are from one thread
/// at a time a device object's stream; memory_* and copy are safe from any thread.
/// A thread enters the device before it makes any call of "Loading" or "Running": with several
/// GPUs, nothing else says which one the thread's launches and allocations are for.
typedef struct norn_device_ops {
    // Loading.
    /// Makes this device the calling thread's. Cheap where it is already; NULL: nothing to do.
    norn_status (*enter)(norn_device *self);
    /// State for a step (library handles, loaded code, chosen algorithms); NULL state is fine.
    norn_status (*prepare)(norn_device *self, const norn_step_spec *spec, void **state);
    void (*unprepare)(norn_device *self, const norn_step_spec *spec, void *state);
    /// What `prepare` has timed and chosen so far, as bytes for another
    /// process to be given; appended.
    /// NULL: this device times nothing.
    void (*tuning_save)(norn_device *self, norn_buffer *out);
    /// Choices that `prepare` takes instead of timing. *taken: false for those of other hardware or
    /// libraries. The bytes are hostile; they are copied.
    norn_status (*tuning_load)(norn_device *self, norn_span record, bool *taken);
    norn_status (*memory_create)(norn_device *self, norn_memory_kind kind, size_t bytes,
                                 void **out);
    void (*memory_destroy)(norn_device *self, norn_memory_kind kind, void *memory);

    // Running. NULL members on the CPU.
    /// `main` NULL: a stream of its own. Else a lane of that stream, for work beside it: ordered by
    /// events alone; what its kernels report shows when the main stream is waited for.
    norn_status (*stream_create)(norn_device *self, norn_stream *main, norn_stream **out);
    void (*stream_destroy)(norn_device *self, norn_stream *stream);
    /// Until all its work is done.
    norn_status (*stream_wait)(norn_device *self, norn_stream *stream);
    /// In any direction.
    norn_status (*copy)(norn_device *self, norn_stream *stream, void *to, const void *from,
                        size_t bytes);
    norn_status (*event_create)(norn_device *self, norn_event **out);
    void (*event_destroy)(norn_device *self, norn_event *event);
    norn_status (*event_record)(norn_device *self, norn_event *event, norn_stream *stream);
    /// What is given to `stream` from now on waits for what was given
    /// before the event was recorded.
    norn_status (*event_wait)(norn_device *self, norn_stream *stream, norn_event *event);
    norn_status (*event_elapsed_ns)(norn_device *self, norn_event *from, norn_event *to,
                                    int64_t *ns);
    /// Has all been done that was given before the event was recorded? Does not wait.
    norn_status (*event_query)(norn_device *self, norn_event *event, bool *done);
    /// From memory of `other`, a device of the same kind, to this one's, in the order of `stream`.
    norn_status (*copy_peer)(norn_device *self, norn_stream *stream, void *to, norn_device *other,
                             const void *from, size_t bytes);
    /// `fn` is called when what was given to `stream` before is done, and what is given after it
    /// waits for it. On a thread of the device's choice; it makes no call of this device.
    norn_status (*host_call)(norn_device *self, norn_stream *stream, void (*fn)(void *context),
                             void *context);
    /// What the thread does in between has this name in a profiler's timeline. Ranges nest.
    void (*range_begin)(norn_device *self, const char *name);
    void (*range_end)(norn_device *self);
    norn_status (*capture_begin)(norn_device *self, norn_stream *stream);
    norn_status (*capture_end)(norn_device *self, norn_stream *stream, norn_capture **out);
    norn_status (*capture_launch)(norn_device *self, norn_capture *capture, norn_stream *stream);
    void (*capture_destroy)(norn_device *self, norn_capture *capture);

    /// A table's rows on this device, from a host binding: uploads
    /// (CUDA), or copies the binding (CPU).
    norn_status (*table_bind)(norn_device *self, const norn_table_binding *host,
                              norn_table_binding *out);
    void (*table_unbind)(norn_device *self, norn_table_binding *table);
    /// Bring the missing_count of the host binding up to what kernels have counted so far.
    /// Any thread that has entered, while runs go on. NULL: kernels count there themselves.
    norn_status (*table_count)(norn_device *self, const norn_table_binding *table);

    void (*destroy)(norn_device *self);
} norn_device_ops;

/// Every device object begins with this.
struct norn_device {
    const norn_device_ops *ops;
    int32_t ordinal;
    bool can_run;       ///< false: hardware absent, compile only
    norn_target target; ///< what is compiled for it
};

/// The target of a device, NULL of none.
static inline const norn_target *norn_device_target(const norn_device *device) {
    return device ? &device->target : NULL;
}
/// The device that `target` is a member of.
static inline norn_device *norn_target_device(const norn_target *target) {
    return (norn_device *)((uintptr_t)target - offsetof(norn_device, target));
}

static inline norn_status norn_device_enter(norn_device *device) {
    return device && device->ops->enter ? device->ops->enter(device) : NORN_OK;
}

// ---- which devices there are: whoever composes a program says so (api/backends.h)

typedef norn_status (*norn_backend_open_fn)(int32_t ordinal, norn_alloc alloc, norn_device **out);
/// A backend library exports its norn_backend_open_fn under this name.
#define NORN_BACKEND_SYMBOL "norn_backend_open"

typedef struct norn_device_kind {
    const char *name; ///< at most 15 letters; copied
    norn_backend_open_fn open;
    bool host; ///< computes in the process's own memory; there is one, without ordinals
} norn_device_kind;

/// Add a kind unless there is one of that name.
void norn_device_offer(const norn_device_kind *kind);
/// Add a kind that is not the host, or take the place of one.
void norn_device_register(const char *name, norn_backend_open_fn open);

/// Makes a device from "cpu", "cuda", "cuda:1": a kind and which of them.
/// Errors   INVALID_ARGUMENT: no such kind, and which there are; UNAVAILABLE: says what is missing
norn_status norn_device_open(const char *name, norn_alloc alloc, norn_device **out) NORN_NODISCARD;
void norn_device_close(norn_device *device); ///< takes NULL
/// Could norn_device_open know `name`? Opens nothing.
bool norn_device_is_name(const char *name);
const char *norn_device_host_name(void); ///< "cpu"; "" when no host was offered
/// What one may write, for messages: "cpu, cuda or cuda:N".
enum { NORN_DEVICE_NAMES = 320 };
const char *norn_device_names(char text[NORN_DEVICE_NAMES]);

#endif
